"""An SQLite file that is not whole: known before anything relies on it, and put aside, so that the index is made anew.

A file that an administrator copied while the server wrote to it, or put beside the write-ahead log of another one, may
open without a complaint and yet lack rows that its own indexes name.
"""

import sqlite3
import time
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from isocenter import telemetry
from isocenter.database import Database

log = telemetry.logger("server.integrity")

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_CHECKS = ("PRAGMA integrity_check(1)", "PRAGMA foreign_key_check")
_PARTS = ("", "-wal", "-shm")


def is_whole(index: Database) -> bool:
    """Whether all tables and indexes of an SQLite database agree; about 5 s for a million objects.

    Raises what keeps the file from being read at all.
    """
    try:
        with index.reading() as connection:
            found = [row[0] for check in _CHECKS for row in connection.exec_driver_sql(check)]
    except DatabaseError as error:
        if is_broken(error):
            return False
        raise
    return found == ["ok"]


def is_broken(error: DatabaseError) -> bool:
    """Whether an error says that the file is damaged, rather than busy, missing or without a table."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF in _BROKEN


def put_aside(path: Path) -> Path:
    """Rename a database with its write-ahead log; nothing is deleted. Where it is now."""
    mark = time.time_ns() // 1000
    for part in _PARTS:
        found = path.with_name(path.name + part)
        if found.exists():
            found.rename(path.with_name(f"{path.name}.damaged-{mark}{part}"))
    log.error("index.damaged", put_aside=f"{path.name}.damaged-{mark}")
    return path.with_name(f"{path.name}.damaged-{mark}")
