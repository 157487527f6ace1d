"""The writer's own connection: hand-prepared statements, one text for both databases.

A profile says that statements built for each call cost more than the database does, so the ingest path speaks to the
driver. In a statement `?` stands for a value and `{any}` for "equals one of these" after a column.
"""

import json
import sqlite3
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from isocenter import telemetry
from isocenter.database import Database

if TYPE_CHECKING:
    import psycopg

log = telemetry.logger("index.writer")

Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Sequence[Any]

CHECKPOINT_PAGES = 2_000
"""Pages in the write-ahead log, as estimated, after which the writer moves them into the database."""
RESTART_PAGES = 16_000
"""Pages after which it waits for readers, so that the log starts over from its beginning."""
_PAGES_A_COMMIT, _PAGES_A_ROW = 6, 3
_IDLE_PAGES = 1

_INTEGERS = frozenset(
    {"patient", "study", "series", "instance", "owner", "item", "series_number_value", "instance_number_value", "rows"}
    | {"columns", "bits_allocated", "frames", "size", "offset", "received_at", "changed_at", "opened_at", "at"}
    | {"not_before", "instances", "bytes", "edited_at", "title", "seen", "revoked", "original_size"}
)
_BYTES = frozenset({"frame_table"})


class Session(Protocol):
    """A connection that files arrivals; used by one thread."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside the block is committed at its end, or nothing."""

    @abstractmethod
    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """The rows that a statement gives."""

    @abstractmethod
    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement; the number of rows that it changed, where that is known already (see `changed`)."""

    def changed(self, sql: str, values: Values = ()) -> int:
        """Run a statement and wait for the number of rows that it changed."""
        return len(self.rows(f"{sql} RETURNING 1", values))

    @abstractmethod
    def run_many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement for each of `rows`, in order."""

    @abstractmethod
    def each(self, sql: str, values: Sequence[str]) -> list[Row]:
        """The rows that match one of `values`, which stand at the `{any}` of the statement."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values], key: str) -> dict[Any, int]:
        """Insert rows, in order, but for those that break a unique constraint. The ids by the value of column `key`."""

    @abstractmethod
    def append(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """Insert rows whose ids are not wanted; existing ones are left alone."""

    @abstractmethod
    def lock(self, table: str, ids: Sequence[int]) -> None:
        """Keep others from writing to these rows, and from adding rows below them, until the transaction ends."""

    @property
    def untidy(self) -> bool:
        """Whether `settle` has something to do that should not wait."""
        return False

    @abstractmethod
    def settle(self, *, idle: bool = False) -> None:
        """Housekeeping after a commit, when nobody waits for it any more."""

    @abstractmethod
    def reconnect(self) -> None:
        """Start over with a new connection. Raises what connecting raises."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


def session(database: Database) -> Session:
    """The session for `database`; an SQLite one must be the only one there is."""
    return SqliteSession(database) if database.dialect == "sqlite" else PostgresqlSession(database)


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


class SqliteSession(Session):
    """SQLite: the one writing connection. It makes the checkpoints, under the write lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = database.write_lock()
        self._connection = database.sqlite_connection()
        self._run = self._connection.execute
        self._pages = 0
        self._changed = 0
        self._prepared: tuple[str, ...] = ()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._lock.enter()
        try:
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
                self._note_pages()
            except BaseException:
                if self._connection.in_transaction:
                    self._run("ROLLBACK")
                raise
        finally:
            self._lock.leave()

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        return self._run(sql, values).fetchall()

    def run(self, sql: str, values: Values = ()) -> int:
        return self._run(sql, values).rowcount

    def run_many(self, sql: str, rows: Sequence[Values]) -> None:
        self._connection.executemany(sql, rows)

    def each(self, sql: str, values: Sequence[str]) -> list[Row]:
        if len(values) > 32:
            return self._run(_sqlite_each(sql, True), (json.dumps(values),)).fetchall()
        found: list[Row] = []
        statement = _sqlite_each(sql, False)
        for value in values:
            found += self._run(statement, (value,))
        return found

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values], key: str) -> dict[Any, int]:
        place = columns.index(key)
        statement = _sqlite_insert(table, tuple(columns))
        found = {}
        for row in rows:
            cursor = self._run(statement, row)
            if cursor.rowcount:
                found[row[place]] = cursor.lastrowid or 0
        return found

    def append(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if rows:
            self._connection.executemany(_sqlite_insert(table, tuple(columns)), rows)

    def lock(self, table: str, ids: Sequence[int]) -> None:
        """The whole database is."""

    def prepare(self, statements: Sequence[str]) -> None:
        """Run `statements` on this connection and on every later one, which has what they make for itself."""
        self._prepared += tuple(statements)
        for statement in statements:
            self._run(statement)

    def run_through(self, sql: str, values: Values) -> int:
        """Run a statement; the number of rows that it and the triggers behind it changed."""
        before = self._connection.total_changes
        self._run(sql, values)
        return self._connection.total_changes - before

    def _note_pages(self) -> None:
        changed = self._connection.total_changes
        self._pages += _PAGES_A_COMMIT + _PAGES_A_ROW * (changed - self._changed)
        self._changed = changed

    @property
    def untidy(self) -> bool:
        return self._pages >= CHECKPOINT_PAGES

    def settle(self, *, idle: bool = False) -> None:
        if self._pages >= (_IDLE_PAGES if idle else CHECKPOINT_PAGES):
            self._checkpoint("PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        self._pages = 0
        with self._lock.held():
            _, logged, moved = self._run(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if logged >= RESTART_PAGES and mode == "PASSIVE":
            log.info("wal.restart", pages=logged, moved=moved)
            self._checkpoint("RESTART")

    def reconnect(self) -> None:
        self._connection.close()
        self._connection = self._database.sqlite_connection()
        self._run = self._connection.execute
        self._changed = 0
        for statement in self._prepared:
            self._run(statement)

    def close(self) -> None:
        if self._pages:
            self._checkpoint("TRUNCATE")
        self._connection.close()


@lru_cache(maxsize=256)
def _sqlite_insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({_quoted(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608


@lru_cache(maxsize=64)
def _sqlite_each(sql: str, many: bool) -> str:
    return sql.replace("{any}", "IN (SELECT value FROM json_each(?))" if many else "= ?")


class PostgresqlSession(Session):
    """PostgreSQL: one session in each process that writes. Rows must come sorted, or two sessions deadlock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connected: psycopg.Connection[Any] | None = None

    @property
    def _connection(self) -> "psycopg.Connection[Any]":
        if self._connected is None:
            self._connected = self._database.postgresql_connection()
        return self._connected

    @contextmanager
    def transaction(self) -> Iterator[None]:
        connection = self._connection
        try:
            with connection.pipeline():  # what needs no answer does not wait for one
                yield
                connection.commit()
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        return self._connection.execute(_postgresql(sql), values).fetchall()

    def run(self, sql: str, values: Values = ()) -> int:
        return self._connection.execute(_postgresql(sql), values).rowcount

    def run_many(self, sql: str, rows: Sequence[Values]) -> None:
        if len(rows) == 1:
            self.run(sql, rows[0])
            return
        with self._connection.cursor() as cursor:
            cursor.executemany(_postgresql(sql), rows)

    def each(self, sql: str, values: Sequence[str]) -> list[Row]:
        return self.rows(sql, (list(values),)) if values else []

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values], key: str) -> dict[Any, int]:
        return dict(self._insert(table, columns, rows, f' RETURNING "{key}", "id"').fetchall()) if rows else {}

    def append(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if rows:
            self._insert(table, columns, rows, "")

    def lock(self, table: str, ids: Sequence[int]) -> None:
        self.rows(f"SELECT id FROM {table} WHERE id = ANY(?) ORDER BY id FOR UPDATE", (sorted(ids),))  # noqa: S608

    def _insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Values], returning: str
    ) -> "psycopg.Cursor[Any]":
        if len(rows) == 1:  # a third of the time that arrays take
            return self._connection.execute(_postgresql_insert(table, tuple(columns), False) + returning, rows[0])
        arrays = [list(column) for column in zip(*rows, strict=True)]
        return self._connection.execute(_postgresql_insert(table, tuple(columns), True) + returning, arrays)

    def settle(self, *, idle: bool = False) -> None:
        return

    def reconnect(self) -> None:
        self.close()
        _ = self._connection

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()
            self._connected = None


@lru_cache(maxsize=256)
def _postgresql(sql: str) -> str:
    return sql.replace("{any}", "= ANY(?)").replace("?", "%s")


@lru_cache(maxsize=256)
def _postgresql_insert(table: str, columns: tuple[str, ...], many: bool) -> str:
    """One row, or all rows in one statement: then a column is an array, whatever the number of rows."""
    names = _quoted(columns)
    arrays = ", ".join(f"%s::{_type(column)}{'[]' if many else ''}" for column in columns)
    source = f"SELECT u.* FROM unnest({arrays}) AS u" if many else f"SELECT {arrays}"  # noqa: S608
    if table == "change":  # readers of the feed need to know which transaction wrote it
        names = f'"transaction", {names}'
        source = source.replace("SELECT ", "SELECT pg_current_xact_id()::text::bigint, ", 1)
    return f"INSERT INTO {table} ({names}) {source} ON CONFLICT DO NOTHING"


def _type(column: str) -> str:
    return "bigint" if column in _INTEGERS else "bytea" if column in _BYTES else "text"


def is_lost(fault: BaseException) -> bool:
    """Whether `fault` says that the database is away, or that two writers collided, and not that a row is bad."""
    if isinstance(fault, sqlite3.Error):
        return isinstance(fault, sqlite3.OperationalError) and "locked" in str(fault)
    import psycopg

    lost = (psycopg.OperationalError, psycopg.InterfaceError)  # deadlocks and serialization failures are Operational
    return isinstance(fault, lost)


def is_short_of_space(fault: BaseException) -> bool:
    """Whether `fault` says that the database's disk is full or fails."""
    if isinstance(fault, sqlite3.OperationalError):
        code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    return getattr(fault, "sqlstate", None) == "53100"
