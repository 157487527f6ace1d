"""Opening a database: URLs, pragmas, the write lock, what is refused."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from isocenter import database
from isocenter.database import facts, sqlite
from isocenter.errors import ConfigurationError


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        database.open(url)


def test_pragmas(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    wanted = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0, "mmap_size": 0, "foreign_keys": 1}
    with opened.reading() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in wanted}
    opened.close()
    assert found == wanted


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_what_a_commit_survives(sqlite_url: str, durable: bool, level: int) -> None:
    opened = database.open(sqlite_url, durable=durable)
    connection = opened.sqlite_connection()
    assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    connection.close()
    opened.close()


def test_reading_and_writing(any_database: database.Database) -> None:
    with any_database.writing() as connection:
        facts.write(connection, "colour", "red")
    with any_database.reading(snapshot=True) as before:
        assert facts.read(before, "colour") == "red"
        with any_database.writing() as connection:
            facts.write(connection, "colour", "blue")
        assert facts.read(before, "colour") == "red", "a snapshot stays as it is"
        with any_database.reading() as after:
            assert facts.read(after, "colour") == "blue"


def test_a_failed_block_changes_nothing(any_database: database.Database) -> None:
    def write_and_fail() -> None:
        with any_database.writing() as connection:
            facts.write(connection, "colour", "red")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with any_database.reading() as connection:
        assert facts.read(connection, "colour") == ""


def test_read_only(any_url: str) -> None:
    opened = database.open(any_url, read_only=True)
    with pytest.raises(ConfigurationError), opened.writing():
        pass
    opened.close()


def test_an_index_belongs_to_one_store(any_database: database.Database) -> None:
    facts.claim(any_database, "archive-1")
    facts.claim(any_database, "archive-1")
    with pytest.raises(ConfigurationError, match="different archives"):
        facts.claim(any_database, "archive-2")


def test_an_index_that_folds_otherwise_is_refused(any_database: database.Database) -> None:
    with any_database.writing() as connection:
        facts.write(connection, "fold_version", "0")
    with pytest.raises(ConfigurationError, match="rebuild"):
        facts.claim(any_database, "archive-1")


def test_a_database_does_not_cross_a_fork(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    child = os.fork()
    if child == 0:
        try:
            with opened.reading():
                pass
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    opened.close()
    assert os.waitstatus_to_exitcode(status) == 0


def _add(url: str, times: int) -> None:
    opened = database.open(url)
    for _ in range(times):
        with opened.writing() as connection:
            facts.write(connection, "n", str(int(facts.read(connection, "n") or 0) + 1))
    opened.close()


def test_processes_and_threads_take_turns(sqlite_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(sqlite_url, 20)) for _ in range(2)]
    threads = [threading.Thread(target=_add, args=(sqlite_url, 20)) for _ in range(2)]
    for each in (*processes, *threads):
        each.start()
    for each in (*processes, *threads):
        each.join(30)
    opened = database.open(sqlite_url)
    with opened.reading() as connection:
        assert facts.read(connection, "n") == "80"
    opened.close()


def test_a_busy_writer_lets_others_in(sqlite_url: str) -> None:
    opened = database.open(sqlite_url)
    lock, other = opened.write_lock(), database.open(sqlite_url)
    stop, rounds = threading.Event(), []

    def busy() -> None:
        while not stop.is_set():
            with lock.held():
                rounds.append(1)

    thread = threading.Thread(target=busy)
    thread.start()
    for _ in range(10):
        with other.writing() as connection:
            facts.write(connection, "x", "y")
    stop.set()
    thread.join(10)
    opened.close()
    other.close()
    assert rounds


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/data /srv/nfs nfs4 rw 0 0
tmpfs /srv/nfs/local tmpfs rw 0 0
host /mnt/my\\040share cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/srv/nfs/a", "nfs4"),
        ("/srv/nfs/local/a", "tmpfs"),
        ("/mnt/my share/a", "cifs"),
        ("/srv/nfsother", "ext4"),
    ],
)
def test_file_systems(path: str, kind: str) -> None:
    assert sqlite.file_system_of(Path(path), MOUNTS) == kind


def test_network_file_systems_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="nfs4"):
        sqlite.refuse_network_file_system(Path("/srv/nfs/isocenter"), MOUNTS)
    sqlite.refuse_network_file_system(Path("/var/lib/isocenter"), MOUNTS)
