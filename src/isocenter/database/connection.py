"""One database as a process sees it: a pool for reading, the locked way to write, connections for the writer."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from isocenter import telemetry
from isocenter.database import sqlite
from isocenter.database.lock import WriteLock
from isocenter.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

log = telemetry.logger("database")

_BEGIN = "isocenter_begin"
_CHECKPOINT_COMMITS = 200
"""Rare writes of one process after which it moves the write-ahead log into the database."""
_RESTART_PAGES = 16_000
POOL_TIMEOUT = 30.0
"""Seconds a request waits for a connection of the pool."""


class Database:
    """Made by `open`, once in each process and after the fork; closed with `close`."""

    def __init__(
        self, url: URL, *, read_only: bool, pool_size: int, durable: bool, before_reading: Callable[[], None]
    ) -> None:
        self.url = url
        self.read_only = read_only
        self._durable = durable
        self._before_reading = before_reading
        self._here = threading.local()
        self._commits = 0
        self.dialect = "sqlite" if url.drivername == "sqlite" else "postgresql"
        """`sqlite` or `postgresql`."""
        self._pid = os.getpid()
        self._lock: WriteLock | None = None
        if self.dialect == "sqlite":
            self.path = _prepared(Path(url.database or ""))
            self._lock = WriteLock(self.path)
            self.engine = _sqlite_engine(self.path, pool_size)
            self._reader = self.engine
        else:
            self.engine = create_engine(
                url, pool_size=pool_size, max_overflow=0, pool_timeout=POOL_TIMEOUT, pool_pre_ping=True
            )
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def reading(self, *, snapshot: bool = False, lagging: bool = False) -> Iterator[Connection]:
        """A connection for a few short reads; give it back before you wait for a peer.

        Each statement sees what is committed when it starts. With `snapshot`, all statements see the same state.
        `lagging`: what was acknowledged last may be missing, for those who read no objects.
        """
        self._check_process()
        if not lagging and not getattr(self._here, "writing", False):
            self._before_reading()
        if not snapshot:
            with self._reader.connect() as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                connection = connection.execution_options(**{_BEGIN: "DEFERRED"})
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end of the block, or rolled back by an exception.

        For rare writes; arrivals and whatever else touches the tables that `index.writer` caches go through it. On
        SQLite the inter-process lock is held meanwhile, so keep the block short.
        """
        self._check_process()
        if self.read_only:
            raise ConfigurationError("database: opened for reading only")
        self._before_reading()
        if self._lock is None:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._lock.held(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_BEGIN: "IMMEDIATE"})
            self._here.writing = True  # a read in between must not wait for a writer who waits for the lock
            try:
                with connection.begin():
                    yield connection
                self._commits += 1
                if self._commits >= _CHECKPOINT_COMMITS:
                    self._commits = 0
                    self._checkpoint(connection)
            finally:
                self._here.writing = False

    def _checkpoint(self, connection: Connection) -> None:
        """Move what is in the write-ahead log into the database: the index writer, which does so else, counts only its
        own pages. The caller holds the lock. What fails here is tried again later: the transaction is committed."""
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            _, pages, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages >= _RESTART_PAGES:  # readers keep it from starting over: wait for them
                driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error as fault:
            log.warning("checkpoint.failed", fault=type(fault).__name__)

    def write_lock(self) -> WriteLock:
        """The inter-process lock of an SQLite database, for the one who brings a connection of its own."""
        assert self._lock is not None, "PostgreSQL needs no write lock"
        return self._lock

    def sqlite_connection(self) -> sqlite3.Connection:
        """A connection outside the pool, for the index writer, who holds `write_lock`. The caller closes it."""
        self._check_process()
        return sqlite.connect(self.path, cache_kb=sqlite.WRITER_CACHE_KB, durable=self._durable)

    def sqlite_reader(self) -> sqlite3.Connection:
        """A connection outside the pool that only reads, what is committed. The caller closes it."""
        self._check_process()
        return sqlite.connect(self.path)

    def postgresql_connection(self, *, connect_timeout: int = 5) -> "psycopg.Connection[Any]":
        """A connection outside the pool, for the index writer. The caller closes it."""
        import psycopg

        self._check_process()
        args, options = self.engine.dialect.create_connect_args(self.url)
        return psycopg.connect(*args, connect_timeout=connect_timeout, prepare_threshold=1, **options)

    def close(self) -> None:
        """Close the pool. Connections in use are closed when they are given back."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("a database must be opened after the fork")


def nothing_to_wait_for() -> None:
    """What comes before reading where all that was acknowledged is filed."""


def open(
    url: str | Path,
    *,
    read_only: bool = False,
    pool_size: int = 8,
    durable: bool = True,
    before_reading: Callable[[], None] = nothing_to_wait_for,
) -> Database:
    """The database at `url`: `sqlite:///folder/index.db` (or a path) or `postgresql://...`.

    Not `durable`: what SQLite's index writer commits survives the end of its process, not of the machine's power.
    `before_reading` is called before each read and each rare write; it may wait (`index.behind`).
    Its schema must be there (`migrate`). Raises ConfigurationError for other schemes, for SQLite without a file and for
    SQLite on a network file system.
    """
    return Database(
        parsed(url), read_only=read_only, pool_size=pool_size, durable=durable, before_reading=before_reading
    )


def parsed(url: str | Path) -> URL:
    """`url` with the driver that serves it."""
    if isinstance(url, Path):
        return URL.create("sqlite", database=str(url))
    try:
        found = make_url(url)
    except ArgumentError as fault:
        raise ConfigurationError("database: not a database URL") from fault
    match found.drivername:
        case "sqlite" | "sqlite+pysqlite":
            if not found.database or found.database == ":memory:":
                raise ConfigurationError("database: SQLite needs a file")
            return found.set(drivername="sqlite")
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return found.set(drivername="postgresql+psycopg")
        case other:
            raise ConfigurationError(f"database: {other!r} is neither sqlite nor postgresql")


def _prepared(path: Path) -> Path:
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite.refuse_network_file_system(path.parent.resolve())
    return path


def _sqlite_engine(path: Path, pool_size: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: sqlite.connect(path),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        how = connection.get_execution_options().get(_BEGIN)
        if how:
            connection.exec_driver_sql(f"BEGIN {how}")

    return engine
