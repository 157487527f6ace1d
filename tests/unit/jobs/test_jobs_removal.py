"""What goes from the store, and above all what does not."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from arrivals import arrival
from isocenter.database import Database
from isocenter.index.records import Arrival, Deletion
from isocenter.index.tables import removal
from isocenter.index.writer import LocalWriter
from isocenter.jobs import Queue, Runner
from isocenter.jobs.removal import KIND, carry_out, handler
from isocenter.store.memory import MemoryStore

LATER = time.time_ns() // 1000 + 3600 * 1_000_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def writer(any_database: Database) -> Iterator[LocalWriter]:
    made = LocalWriter(any_database)
    yield made
    made.close()


def _object(store: MemoryStore) -> str:
    spool = store.reserve()
    spool.begin(200)
    spool.write([b"data"])
    spool.finish_data()
    spool.commit(b"x" * 200)
    return spool.key


def _stored(store: MemoryStore, **changes: object) -> Arrival:
    return arrival(store_key=_object(store), **changes)  # type: ignore[arg-type]


def test_a_redundant_copy_goes_after_a_while(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    a, copy = _stored(store), _stored(store)
    assert [writer.submit(x).result(20).verdict for x in (a, copy)] == ["stored", "equal"]
    assert carry_out(any_database, store, time.time_ns() // 1000) == 0, "not at once"
    assert carry_out(any_database, store, LATER) == 1
    assert (store.exists(a.store_key), store.exists(copy.store_key)) == (True, False)
    assert carry_out(any_database, store, LATER) == 0
    assert writer.submit(copy).result(20).verdict == "equal", "a late resubmission gets the same answer"


def test_a_copy_stays_where_the_other_is_gone(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    a, copy = _stored(store), _stored(store)
    for x in (a, copy):
        writer.submit(x).result(20)
    store.remove(a.store_key)
    assert carry_out(any_database, store, LATER) == 1
    assert store.exists(copy.store_key), "the only copy there is"
    assert carry_out(any_database, store, LATER) == 0, "put off"


def test_a_copy_of_what_was_deleted_goes_too(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    a, copy = _stored(store), _stored(store)
    for x in (a, copy):
        writer.submit(x).result(20)
    writer.submit(Deletion(a.study_uid, not_before=5)).result(20)
    assert carry_out(any_database, store, LATER) == 2
    assert not store.exists(a.store_key)
    assert not store.exists(copy.store_key)


def test_what_the_index_serves_stays(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    a = _stored(store)
    writer.submit(a).result(20)
    with any_database.writing() as connection:
        connection.execute(removal.insert().values(store_key=a.store_key, reason="deleted", not_before=1))
    assert carry_out(any_database, store, LATER) == 1
    assert store.exists(a.store_key)
    with any_database.reading() as connection:
        assert connection.execute(select(removal)).all() == []


def test_a_kill_between_removal_and_its_record(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    a = _stored(store)
    writer.submit(a).result(20)
    writer.submit(Deletion(a.study_uid)).result(20)
    store.remove(a.store_key)
    assert carry_out(any_database, store, LATER) == 1
    with any_database.reading() as connection:
        assert connection.execute(select(removal.c.removed_at)).scalar() == LATER


def test_as_a_job(any_database: Database, store: MemoryStore, writer: LocalWriter) -> None:
    made = [_stored(store, instance=n) for n in range(3)]
    for a in made:
        writer.submit(a).result(20)
    writer.submit(Deletion(made[0].study_uid)).result(20)
    queue = Queue(any_database)
    number = queue.enqueue(KIND, unique_key=KIND)
    assert Runner(queue, {KIND: handler(any_database, store)}).run_once()
    assert [store.exists(a.store_key) for a in made] == [False] * 3
    state = queue.state(number)
    assert state is not None
    assert state.state == "waiting", "it comes back"
