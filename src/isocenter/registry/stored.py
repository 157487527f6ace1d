"""The rows of the stored AEs and peers, read and written as plain values. What they mean is `roster`'s."""

import json
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, delete, insert, select, update

from isocenter.config import Entry, Kind, Peer
from isocenter.registry.roster import Row, Stored
from isocenter.registry.tables import ae, peer, registry

Columns: TypeAlias = dict[str, Any]
"""A row by the names of its columns, without its id."""
_TABLES: dict[Kind, Table] = {"ae": ae, "peer": peer}


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


def set_version(connection: Connection, number: int, at: int) -> None:
    """Set the version, where it is not the next one."""
    connection.execute(update(registry).values(version=number, changed_at=at))


def columns(entry: Entry, values: dict[str, Any], at: int) -> Columns:
    """The row of an AE or peer of which `values` were said, but for its id."""
    text = json.dumps(values, ensure_ascii=False)
    if isinstance(entry, Peer):
        return {"title": entry.title, "host": entry.host, "port": entry.port, "settings": text, "changed_at": at}
    return {"title": entry.title, "role": entry.role, "settings": text, "changed_at": at}


def write(connection: Connection, kind: Kind, fields: Columns, *, over: Row | None) -> None:
    """Add a row, or put it in the place of `over`."""
    table = _TABLES[kind]
    if over is None:
        connection.execute(insert(table).values(**fields))
    else:
        connection.execute(update(table).where(*_at(table, over.title, over.host)).values(**fields))


def put(connection: Connection, kind: Kind, place: tuple[str, str], fields: Columns | None) -> None:
    """Put a row in the place (title, host) of another, which need not be there; None: there is to be none.

    Columns that this program does not have are left out.
    """
    table = _TABLES[kind]
    if fields is None:
        connection.execute(delete(table).where(*_at(table, *place)))
        return
    known = {name: value for name, value in fields.items() if name in table.c and name != "id"}
    to = (str(fields.get("title", "")), str(fields.get("host", "")))
    if to != place:
        connection.execute(delete(table).where(*_at(table, *to)))
    if not connection.execute(update(table).where(*_at(table, *place)).values(**known)).rowcount:
        connection.execute(insert(table).values(**known))


def erase(connection: Connection, row: Row) -> None:
    """Delete a row."""
    table = _TABLES[row.kind]
    connection.execute(delete(table).where(*_at(table, row.title, row.host)))


def _at(table: Table, title: str, host: str) -> list[Any]:
    named = [table.c.title == title]
    return [*named, table.c.host == host] if table is peer else named
