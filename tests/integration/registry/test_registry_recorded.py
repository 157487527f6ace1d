"""Stored AEs and peers outlive the index: the store's journal tells of each change before it is committed."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from databases import cluster
from isocenter import database
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError, Reason, Retriable
from isocenter.registry import recorded
from isocenter.registry.changing import Registry
from isocenter.registry.roster import Row, Stored
from isocenter.registry.stored import read
from isocenter.store.memory import MemoryStore


class Clock:
    """A second later each time."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def change(any_database: Database, store: MemoryStore) -> Registry:
    return Registry(any_database, store, Settings(), Clock())


@pytest.fixture
def other(any_database: Database, tmp_path: Path) -> Iterator[Database]:
    """An index that was made anew, of the same kind."""
    url = f"sqlite:///{tmp_path}/other.db" if any_database.dialect == "sqlite" else cluster().create()
    database.migrate(url)
    with closing(database.open(url)) as opened:
        yield opened


def held(opened: Database) -> Stored:
    with opened.reading(snapshot=True) as connection:
        return read(connection)


def change_much(change: Registry) -> None:
    """Add, change, move and remove, both AEs and peers; eight changes."""
    change.add("peer", "CT1", "10.0.0.1", ["port=11112", "allow=store"])
    change.add("peer", "WS", "10.0.0.2", [])
    change.add("peer", "WS", "10.0.0.3", ["issuer=Ä"])
    change.add("ae", "CACHE", "", ["duplicates=replace", "responses.study=500"])
    change.set("peer", "CT1", None, ["host=10.0.0.9"], ["allow"])
    change.set("ae", "ISOCENTER", None, ["character_set=ISO_IR 100"], [])
    change.remove("peer", "WS", "10.0.0.2")
    change.set("ae", "CACHE", None, ["relational=false"], ["duplicates"])


def test_an_index_made_anew_has_them_again(
    any_database: Database, store: MemoryStore, change: Registry, other: Database
) -> None:
    change_much(change)
    before = held(any_database)
    assert recorded.replay(other, store.journal()) == 8
    assert held(other) == before
    assert recorded.replay(other, store.journal()) == 0


def test_an_older_index_is_brought_up_to_date(
    any_database: Database, store: MemoryStore, change: Registry, other: Database
) -> None:
    change.add("peer", "WS", "10.0.0.3", [])
    change.add("peer", "OLD", "10.0.0.4", ["port=1"])
    recorded.replay(other, store.journal())
    change.remove("peer", "OLD", None)
    change.set("peer", "WS", None, ["host=10.0.0.5", "port=2"], [])
    assert recorded.replay(other, store.journal()) == 4
    assert held(other) == held(any_database)


def test_an_index_that_knows_all_is_left_alone(any_database: Database, store: MemoryStore, change: Registry) -> None:
    change_much(change)
    before = held(any_database)
    assert recorded.replay(any_database, store.journal()) == 0
    assert recorded.replay(any_database, MemoryStore().journal()) == 0
    assert held(any_database) == before


def test_rows_that_no_record_names_stay(store: MemoryStore, change: Registry, other: Database) -> None:
    Registry(other, MemoryStore(), Settings(), Clock()).add("peer", "OWN", "", [])
    change.add("peer", "CT1", "", [])
    change.add("peer", "CT2", "", [])
    recorded.replay(other, store.journal())
    assert {row.title for row in held(other).rows} == {"OWN", "CT1", "CT2"}


def test_what_is_refused_is_not_recorded(store: MemoryStore, change: Registry) -> None:
    with pytest.raises(ConfigurationError):
        change.add("peer", "CT1", "", ["port=none"])
    with pytest.raises(ConfigurationError):
        change.remove("peer", "CT1", None)
    assert list(store.journal()) == []


def test_what_can_not_be_recorded_is_not_done(
    any_database: Database, store: MemoryStore, change: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_record: Any) -> None:
        raise Retriable(Reason.OUT_OF_STORAGE, "no space")

    change.add("peer", "CT1", "10.0.0.1", [])
    before = held(any_database)
    monkeypatch.setattr(store, "append_journal", full)
    actions: tuple[Callable[[], object], ...] = (
        lambda: change.add("peer", "CT2", "", []),
        lambda: change.set("peer", "CT1", None, ["port=1"], []),
        lambda: change.remove("peer", "CT1", None),
    )
    for action in actions:
        with pytest.raises(Retriable):
            action()
    assert held(any_database) == before


def test_a_change_whose_transaction_failed_does_not_count_once_another_took_its_place(
    store: MemoryStore, change: Registry, other: Database
) -> None:
    row = Row("peer", "LOST", "", {}, 1)
    columns = {"title": "LOST", "host": "", "port": 104, "settings": '{"title": "LOST"}', "changed_at": 1}
    store.append_journal(recorded.record(1, 1, row, columns))
    change.add("peer", "CT1", "", [])
    recorded.replay(other, store.journal())
    assert [(row.title, held(other).version) for row in held(other).rows] == [("CT1", 1)]


def test_what_a_newer_program_stored_is_kept_as_it_is(store: MemoryStore, other: Database) -> None:
    """Its settings are not read, columns that are not here are left out, and a table of its own is passed over."""
    text = '{"title": "WS", "teleport": true}'
    columns = {"title": "WS", "host": "", "port": 104, "settings": text, "changed_at": 5, "colour": "green"}
    store.append_journal(recorded.record(1, 5, Row("peer", "WS", "", {}, 5), columns))
    store.append_journal({**recorded.record(2, 6, Row("ae", "X", "", {}, 6), None), "table": "relay"})
    store.append_journal({"kind": "deletion", "study_uid": "1.2", "at": 7})
    assert recorded.replay(other, store.journal()) == 1
    assert held(other) == Stored(2, (Row("peer", "WS", "", {"title": "WS", "teleport": True}, 5),))
