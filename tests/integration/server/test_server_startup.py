"""What a start makes of an index that is not the store's, or is no index."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from filed_archive import Archive
from isocenter import database
from isocenter.config import Settings
from isocenter.index import tables
from isocenter.server import startup


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with five objects, stopped."""
    made = Settings(data=tmp_path / "data")
    startup.make_data_folder(made)
    store = startup.open_store(made)
    with store.exclusive():
        startup.prepare(made, store)
        with closing(database.open(made.database_url)) as index:
            archive = Archive(store, index)
            for n in range(5):
                archive.receive(1, n)
            archive.writer.close()
        startup.note_stop(made, store)
        store.close()
    return made


def started(settings: Settings) -> int:
    """Prepare a start; how many objects it adopted."""
    store = startup.open_store(settings)
    with store.exclusive():
        return int(startup.prepare(settings, store)["adopted"])


def instances(settings: Settings) -> int:
    """How many instances the index holds."""
    with closing(database.open(settings.database_url)) as index, index.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.instance)).scalar_one())


def damaged(settings: Settings) -> list[str]:
    """What was put aside."""
    return sorted(path.name.rpartition("-")[0] for path in settings.data.glob("index.db.damaged-*"))


def test_after_a_clean_stop_nothing_is_compared(settings: Settings) -> None:
    assert started(settings) == 0
    assert instances(settings) == 5


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xa5" * 8000])
def test_a_file_that_is_no_database_is_put_aside(settings: Settings, content: bytes) -> None:
    startup.sqlite_file(settings).write_bytes(content)
    assert started(settings) == 5
    assert instances(settings) == 5
    assert damaged(settings) == ["index.db.damaged"]


def test_an_empty_file_is_a_lost_index(settings: Settings) -> None:
    startup.sqlite_file(settings).write_bytes(b"")
    assert started(settings) == 5
    assert damaged(settings) == []


def test_rows_that_were_lost_are_found_again(settings: Settings) -> None:
    """An index from before: the rows are gone, and so is its memory of the stop."""
    with closing(database.open(settings.database_url)) as index, index.writing() as connection:
        connection.exec_driver_sql("DELETE FROM instance WHERE sop_uid = '1.2.3.1.1.3'")
        connection.exec_driver_sql("DELETE FROM archive WHERE name = 'last-stop'")
    assert started(settings) == 1
    assert instances(settings) == 5
    assert damaged(settings) == []


def test_an_interrupted_rebuild_is_finished(settings: Settings) -> None:
    from isocenter.index.rebuild import rebuild

    def interrupt(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with closing(database.open(settings.database_url)) as index, pytest.raises(KeyboardInterrupt):
        rebuild(startup.open_store(settings), index, progress=interrupt)
    assert instances(settings) < 5
    started(settings)
    assert instances(settings) == 5
