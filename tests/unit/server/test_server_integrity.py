"""A damaged index is told from one that is merely busy, empty or new; it is put aside, never deleted."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from isocenter import database
from isocenter.database import Database
from isocenter.server.integrity import is_broken, is_whole, put_aside


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Database]:
    """An index with a row for each of two tables."""
    database.migrate(tmp_path / "index.db")
    opened = database.open(tmp_path / "index.db")
    with opened.writing() as connection:
        connection.exec_driver_sql("INSERT INTO patient (id, identity, changed_at) VALUES (1, 'p', 1)")
        connection.exec_driver_sql("INSERT INTO patient_id (patient, value) VALUES (1, 'x')")
    yield opened
    opened.close()


def test_a_whole_index(index: Database) -> None:
    assert is_whole(index)


def test_rows_that_point_nowhere(index: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys=OFF")
        other.execute("DELETE FROM patient")
    assert not is_whole(index)


def test_rows_that_their_index_does_not_know(index: Database, tmp_path: Path) -> None:
    """As after a copy of the file beside the write-ahead log of a later one: each page is in order by itself."""
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as other:
        other.execute("PRAGMA writable_schema=ON")
        name = "ix_patient_id_value"
        other.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
        other.execute("PRAGMA writable_schema=RESET")
        other.execute("CREATE TABLE spare (a)")
        root = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'spare'").fetchone()[0]
        other.execute("PRAGMA writable_schema=ON")
        made = f"CREATE INDEX {name} ON patient_id (value, issuer)"
        other.execute(
            "UPDATE sqlite_schema SET type = 'index', name = ?, tbl_name = 'patient_id', sql = ? WHERE rootpage = ?",
            (name, made, root),
        )
    assert not is_whole(index)


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xa5" * 8000])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.db").write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError) as told, closing(sqlite3.connect(tmp_path / "index.db")) as other:
        other.execute("PRAGMA integrity_check").fetchall()
    assert is_broken(DatabaseError("", None, told.value))


def test_what_says_nothing_of_damage() -> None:
    with pytest.raises(sqlite3.OperationalError) as told, closing(sqlite3.connect(":memory:")) as other:
        other.execute("SELECT * FROM archive")
    assert not is_broken(DatabaseError("", None, told.value))


def test_it_is_put_aside_with_its_log(tmp_path: Path) -> None:
    for name in ("index.db", "index.db-wal"):
        (tmp_path / name).write_bytes(name.encode())
    put_aside(tmp_path / "index.db")
    left = sorted(path.name.partition(".damaged-")[0] for path in tmp_path.iterdir())
    assert left == ["index.db", "index.db"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"index.db", b"index.db-wal"}
    assert not (tmp_path / "index.db").exists()
