"""The changes of the stored AEs and peers as the store's journal keeps them, so that they outlive the index.

A record is durable before its change is committed, and holds the whole row. An index that was made anew, or that is
older than the store, is told again from them (`replay`). The journal's order is that of the changes, since each is
written while the others wait for its transaction.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from isocenter import telemetry
from isocenter.database import Database
from isocenter.registry import stored
from isocenter.registry.roster import Row
from isocenter.registry.stored import Columns
from isocenter.store.api import Record

log = telemetry.logger("registry.recorded")

KIND = "registry"


def record(version: int, at: int, row: Row, columns: Columns | None, *, over: Row | None = None) -> Record:
    """The record of the change that makes `version`: `columns` instead of `over`, or None where `row` is removed.

    `at` in microseconds UTC.
    """
    place = over or row
    return {
        "kind": KIND,
        "at": at,
        "version": version,
        "table": row.kind,
        "title": place.title,
        "host": place.host,
        "row": columns,
    }


def replay(database: Database, journal: Iterable[Record]) -> int:
    """Bring the rows to what the journal says, where it knows of a later version than they are; how many changes that
    took. Rows that no record names stay as they are. No server may run."""
    records = [one for one in journal if one.get("kind") == KIND]
    newest = max((_version(one) for one in records), default=0)
    with database.reading() as connection:
        if stored.version(connection) >= newest:
            return 0
    told = 0
    with database.writing() as connection:
        for one in _committed(records):
            table, row = one.get("table"), one.get("row")
            if table not in ("ae", "peer"):
                log.warning("journal.unknown", kind=KIND, table=str(table))
                continue
            stored.put(connection, table, (_text(one, "title"), _text(one, "host")), row)
            told += 1
        stored.set_version(connection, newest, _number(records[-1], "at"))
    log.warning("registry.replayed", version=newest, changes=told)
    return told


def _committed(records: list[Record]) -> Iterator[Record]:
    """Those that came to be. One that is followed by another of its version did not: its transaction failed."""
    for one, following in pairwise([*records, {}]):
        if not following or _version(one) != _version(following):
            yield one


def _version(one: Record) -> int:
    return _number(one, "version")


def _number(one: Record, name: str) -> int:
    found: Any = one.get(name, 0)
    return found if isinstance(found, int) else 0


def _text(one: Record, name: str) -> str:
    return str(one.get(name, ""))
