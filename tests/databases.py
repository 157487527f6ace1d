"""Databases for tests: an SQLite file or a database of a throwaway PostgreSQL, each with the schema in place.

Test folders import the fixtures in their conftest: `from databases import any_url, postgresql_url, sqlite_url`.
The PostgreSQL cluster is started once a session, at the first test that wants it, on a unix socket; where the machine
has no PostgreSQL, those tests are skipped.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest

from isocenter import database
from isocenter.index import tables  # noqa: F401  (declares the tables)

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]))


class Cluster:
    """A PostgreSQL server of our own, in a temporary folder."""

    def __init__(self, *, durable: bool = False) -> None:
        if not _BINARIES:
            pytest.skip("no PostgreSQL under /usr/lib/postgresql")
        self.bin = _BINARIES[-1].parent
        self.folder = Path(tempfile.mkdtemp(prefix="isocenter-pg-"))
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        self.data = self.folder / "data"
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "isocenter", "--locale=C", "-E", "UTF8", "--no-sync")
        settings = ["listen_addresses=''", f"unix_socket_directories='{self.folder}'", "max_connections=60"]
        if not durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(settings) + "\n")
        self.start()

    def _run(self, program: str, *args: object) -> None:
        command = [str(self.bin / program), *map(str, args)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `fast`, or `immediate`, as a crash."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def url(self, name: str) -> str:
        """The URL of database `name`."""
        return f"postgresql://isocenter@/{name}?host={self.folder}"

    def create(self, template: str = "template0") -> str:
        """A new database's URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self._run("createdb", "-h", self.folder, "-U", "isocenter", "-T", template, name)
        return self.url(name)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def cluster() -> Cluster:
    """The session's cluster, without fsync."""
    found = Cluster()
    atexit.register(found.remove)
    return found


_PRISTINE = """
create schema pristine;
create function pristine.shape_now() returns text language sql as $$
    select concat_ws(' ', count(*), max(oid), (select count(*) from pg_trigger),
        (select count(*) from pg_attribute where not attisdropped and attrelid >= 16384),
        (select count(*) from pg_proc where oid >= 16384))
    from pg_class where relnamespace = 'public'::regnamespace $$;
do $$ declare name text; filled boolean; begin
    for name in select tablename from pg_tables where schemaname = 'public' loop
        execute format('select exists (select from public.%I)', name) into filled;
        if filled then execute format('create table pristine.%I as table public.%I', name, name); end if;
    end loop;
end $$;
create function pristine.restored() returns boolean language plpgsql set session_replication_role = replica as $$
declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'public' loop
        execute format('delete from public.%I', name);
    end loop;
    for name in select tablename from pg_tables where schemaname = 'pristine' and tablename <> 'shape' loop
        execute format('insert into public.%I overriding system value table pristine.%I', name, name);
    end loop;
    perform setval(format('public.%I', sequencename), 1, false)
        from pg_sequences where schemaname = 'public' and last_value is not null;
    return pristine.shape_now() = (select shape from pristine.shape);
end $$;
create table pristine.shape as select ''::text as shape;
update pristine.shape set shape = pristine.shape_now();
"""
"""What a migrated database carries to become again what it was: the rows that migrations leave, and a summary of its
tables, columns and triggers that tells whether a test has changed more than rows."""


@cache
def _migrated_postgresql() -> str:
    url = cluster().create()
    database.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PRISTINE)
    return url.partition("@/")[2].partition("?")[0]


@cache
def _spare() -> list[str]:
    """URLs of the databases that a test has done with, empty again."""
    return []


def _put_back(url: str) -> None:
    """Empty the database for the next test, unless its schema is no longer that of the migrations."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        row = connection.execute("select pristine.restored()").fetchone()
    if row == (True,):
        _spare().append(url)


@cache
def _migrated_sqlite() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="isocenter-sqlite-"))
    atexit.register(shutil.rmtree, folder, True)
    database.migrate(folder / "index.db")
    return folder / "index.db"


def migrated(folder: Path) -> str:
    """An SQLite database with the schema, in `folder`: for fixtures that outlive a test."""
    shutil.copy(_migrated_sqlite(), folder / "index.db")
    return f"sqlite:///{folder}/index.db"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database with the schema."""
    return migrated(tmp_path)


def new_postgresql() -> str:
    """The URL of a PostgreSQL database with the schema that no test gets again: for servers, which outlive fixtures."""
    return cluster().create(_migrated_postgresql())


@contextmanager
def migrated_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL database with the schema: for fixtures that outlive a test."""
    url = _spare().pop() if _spare() else new_postgresql()
    yield url
    _put_back(url)


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL database with the schema."""
    with migrated_postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> str:
    """Each database in turn, with the schema."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each database in turn, empty."""
    return f"sqlite:///{tmp_path}/index.db" if request.param == "sqlite" else cluster().create()


@pytest.fixture
def any_database(any_url: str) -> Iterator[database.Database]:
    """Each database in turn, with the schema, open."""
    opened = database.open(any_url)
    yield opened
    opened.close()
