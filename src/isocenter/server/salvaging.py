"""What a damaged SQLite file still holds of the departmental workflow, taken over into the one that is made anew.

The archive's rows are made from the store. Worklist, procedure steps, messages, work items and what waits for a person
are nowhere else: their rows are read from both ends of each table as far as the file lets them be read.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, insert

from isocenter import telemetry
from isocenter.database import Database
from isocenter.workflow import tables

log = telemetry.logger("server.salvaging")

_PAGE: Final = 200
_LAST: Final = 1 << 62
Row = tuple[object, ...]


def salvage(damaged: Path, index: Database) -> dict[str, int]:
    """Take over what can be read; how many rows of each table, those without any left out. Never raises for what is
    wrong with the file: what it has no table for, or can't be read, is not there."""
    found: dict[str, int] = {}
    with closing(sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)) as source, index.writing() as connection:
        source.text_factory = _text
        for name in tables.__all__:
            table: Table = getattr(tables, name)
            if count := _taken_over(source, table, connection):
                found[name] = count
    if found:
        log.warning("workflow.salvaged", **found)
    return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _taken_over(source: sqlite3.Connection, table: Table, connection: Connection) -> int:
    held = _columns(source, table.name)
    names = [column.name for column in table.columns if column.name in held]
    if not names:
        return 0
    statement = insert(table).prefix_with("OR IGNORE")
    count = 0
    for page in _pages(source, table.name, names):
        rows = [dict(zip(names, row, strict=True)) for row in page]
        count += connection.execute(statement, rows).rowcount
    return count


def _columns(source: sqlite3.Connection, table: str) -> set[str]:
    try:
        return {row[1] for row in source.execute(f'PRAGMA table_info("{table}")')}
    except sqlite3.DatabaseError:
        return set()  # the schema itself can't be read: nothing can


def _pages(source: sqlite3.Connection, table: str, names: Sequence[str]) -> Iterator[list[Row]]:
    """The rows from the first on, and where they break off from the last one back."""
    wanted = ", ".join(f'"{name}"' for name in names)
    reached = -1
    rows = f'SELECT rowid, {wanted} FROM "{table}" WHERE'  # noqa: S608 - names of ours
    forward = f"{rows} rowid > ? ORDER BY rowid LIMIT {_PAGE}"
    try:
        while page := source.execute(forward, (reached,)).fetchall():
            reached = page[-1][0]
            yield [row[1:] for row in page]
    except sqlite3.DatabaseError:
        log.warning("table.broken", table=table)
    else:
        return
    before = _LAST
    backward = f"{rows} rowid < ? AND rowid > ? ORDER BY rowid DESC LIMIT 1"
    try:
        while row := source.execute(backward, (before, reached)).fetchone():
            before = row[0]
            yield [row[1:]]
    except sqlite3.DatabaseError:
        return  # between the two ends nothing can be read
