"""The rows of the stored AEs and peers, read and written as plain values. What they mean is `roster`'s."""

import json
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from isocenter.config import Entry, Peer
from isocenter.registry.roster import Row, Stored
from isocenter.registry.tables import ae, peer, registry


def version(connection: Connection) -> int:
    """The version of the stored AEs and peers; one row, by its key."""
    return connection.execute(select(registry.c.version)).scalar() or 0


def read(connection: Connection) -> Stored:
    """Everything, oldest row first. All of one version if `connection` sees a snapshot."""
    number = version(connection)
    aes = connection.execute(select(ae.c.title, ae.c.settings, ae.c.changed_at).order_by(ae.c.id))
    rows = [Row("ae", title, "", _object(text), at) for title, text, at in aes]
    columns = (peer.c.title, peer.c.host, peer.c.settings, peer.c.changed_at)
    peers = connection.execute(select(*columns).order_by(peer.c.id))
    rows += [Row("peer", title, host, _object(text), at) for title, host, text, at in peers]
    return Stored(number, tuple(rows))


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def advance(connection: Connection, at: int) -> int:
    """The next version, which is the transaction's own: others that change something wait for its end."""
    connection.execute(update(registry).values(version=registry.c.version + 1, changed_at=at))
    return version(connection)


def write(connection: Connection, entry: Entry, values: dict[str, Any], at: int, *, over: Row | None) -> None:
    """Add a row, or put it in the place of `over`."""
    text = json.dumps(values, ensure_ascii=False)
    fields: dict[str, Any] = {"title": entry.title, "settings": text, "changed_at": at}
    if isinstance(entry, Peer):
        fields |= {"host": entry.host, "port": entry.port}
    else:
        fields["role"] = entry.role
    table = peer if isinstance(entry, Peer) else ae
    if over is None:
        connection.execute(insert(table).values(**fields))
    else:
        connection.execute(update(table).where(*_at(table, over)).values(**fields))


def erase(connection: Connection, row: Row) -> None:
    """Delete a row."""
    table = peer if row.kind == "peer" else ae
    connection.execute(delete(table).where(*_at(table, row)))


def _at(table: Table, row: Row) -> list[Any]:
    named = [table.c.title == row.title]
    return [*named, table.c.host == row.host] if row.kind == "peer" else named
