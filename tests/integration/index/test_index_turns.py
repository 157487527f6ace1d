"""Whose turn it is: many threads file at once, with objects that become durable late, never, or while all ends.

A thread is held in its `before_commit` by an event, so that what comes meanwhile queues up behind it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from arrivals import arrival
from databases import Cluster
from isocenter import database
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index import tables
from isocenter.index.batches import Item, already_durable
from isocenter.index.records import Arrival, Deletion, ExceptionNote, Outcome, Record, Verdict
from isocenter.index.writer import LocalWriter
from servers import until

PATIENCE = 30.0


class Durable:
    """A `before_commit` that counts its calls, may be held, and may fail."""

    def __init__(self, fault: BaseException | None = None, *, held: bool = False) -> None:
        self._fault = fault
        self.began, self._let = threading.Event(), threading.Event()
        self.threads: list[int] = []
        if not held:
            self._let.set()

    def __call__(self) -> None:
        self.threads.append(threading.get_ident())
        self.began.set()
        assert self._let.wait(PATIENCE)
        if self._fault is not None:
            raise self._fault

    def let(self) -> None:
        """End the call, now or when it comes."""
        self._let.set()


class Turns:
    """A writer, what its batches carried, and threads that file."""

    def __init__(self, opened: database.Database, **options: Any) -> None:
        self.database = opened
        self.writer = LocalWriter(opened, **options)
        self.batches: list[list[Record]] = []
        """The records of each batch in order, a batch that is tried again included."""
        self._commit = self.writer._batches.commit
        self.writer._batches.commit = self._noted  # type: ignore[method-assign]
        self._threads = ThreadPoolExecutor(40)
        self._held: list[Durable] = []

    def _noted(self, batch: list[Item]) -> list[Item]:
        self.batches.append([item.record for item in batch])
        return self._commit(batch)

    def filing(self, record: Record, before_commit: Callable[[], None] = already_durable) -> "Future[Outcome]":
        """File it in a thread of its own, and wait until the writer has it."""
        if isinstance(before_commit, Durable):
            self._held.append(before_commit)
        before = self.known()
        filing = self._threads.submit(self.writer.file, record, before_commit)
        until(lambda: self.known() > before or filing.done(), patience=PATIENCE, told="queued")
        return filing

    def known(self) -> int:
        """How many records the writer was given and has not forgotten."""
        return len(self.writer._queue) + sum(map(len, self.batches))

    def occupied(self, record: Record) -> tuple[Durable, "Future[Outcome]"]:
        """Somebody has the turn, and keeps it until let go."""
        until(lambda: not self.writer._taken, patience=PATIENCE, told="the turn is free")
        durable = Durable(held=True)
        filing = self.filing(record, durable)
        assert durable.began.wait(PATIENCE)
        return durable, filing

    def queued(self, n: int) -> None:
        """Wait until so many records wait for the turn."""
        until(lambda: len(self.writer._queue) == n, patience=PATIENCE, told=f"{n} queued")

    def seen(self, table: str = "instance") -> set[str]:
        """The storage keys that another connection sees."""
        column = tables.metadata.tables[table].c.store_key
        with self.database.reading() as connection:
            return set(connection.execute(select(column)).scalars())

    def count(self, table: str) -> int:
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar() or 0

    def still_works(self) -> None:
        """The turn was passed on: whoever comes next files, by itself and by the keeper."""
        assert verdict(self._threads.submit(self.writer.file, arrival(77, 1, 1))) == "stored"
        assert verdict(self.writer.submit(arrival(77, 1, 2))) == "stored"
        until(lambda: not self.writer._taken, patience=PATIENCE, told="the turn is free")

    def close(self) -> None:
        """Never waits for ever."""
        for durable in self._held:
            durable.let()
        closing = threading.Thread(target=self.writer.close, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        assert not closing.is_alive(), "the writer does not close"
        self._threads.shutdown()


@pytest.fixture
def turns(any_database: database.Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    """The keeper comes when it is called, and not now and then, or it might have the turn that a test wants to hold."""
    monkeypatch.setattr("isocenter.index.writer.IDLE", 10 * PATIENCE)
    made = Turns(any_database)
    yield made
    made.close()


def verdict(filing: "Future[Outcome]") -> str:
    return filing.result(PATIENCE).verdict


def fault_of(filing: "Future[Outcome]") -> IsocenterError:
    fault = filing.exception(PATIENCE)
    assert isinstance(fault, IsocenterError)
    return fault


def one_batch(turns: Turns, records: Sequence[tuple[Record, Callable[[], None]]]) -> "list[Future[Outcome]]":
    """File `records` so that all wait for the same turn."""
    durable, first = turns.occupied(arrival(99, 9, 9))
    filing = [turns.filing(record, before_commit) for record, before_commit in records]
    turns.queued(len(records))
    durable.let()
    assert verdict(first) == "stored"
    return filing


def test_what_comes_meanwhile_shares_a_batch_and_each_gets_its_own_answer(turns: Turns) -> None:
    known = arrival(1, 1, 1)
    assert turns.writer.file(known).verdict == "stored"
    records: list[Record] = [arrival(2, n % 3, n) for n in range(20)]
    records += [
        arrival(1, 1, 1),
        known,
        arrival(3, 1, 1, size=None),
        ExceptionNote("k", "r", "c", "1", "2", "3", "A", "B", "::1", 4),
    ]
    filing = one_batch(turns, [(record, already_durable) for record in records])
    assert [verdict(each) for each in filing[:20]] == ["stored"] * 20
    assert verdict(filing[20]) == "equal"
    assert isinstance(fault_of(filing[22]), Refused)
    assert verdict(filing[23]) == Verdict.NOTED
    assert verdict(filing[21]) == "stored", "the same record again, the same answer"
    assert len(turns.batches[2]) == len(records), "one batch took all that waited"
    assert turns.count("instance") == 1 + 1 + 20
    turns.still_works()


def test_many_threads_for_a_while(turns: Turns) -> None:
    def file(study: int) -> list[str]:
        return [turns.writer.file(arrival(study % 4, study, n), Durable()).verdict for n in range(25)]

    with ThreadPoolExecutor(12) as threads:
        for verdicts in threads.map(file, range(12), timeout=60):
            assert verdicts == ["stored"] * 25
    assert [turns.count(table) for table in ("instance", "change")] == [300, 300]
    turns.still_works()


@pytest.mark.req("M-STORE-09", "I-STORE-05")
def test_an_object_that_did_not_reach_the_disk_takes_only_its_own_row_back(turns: Turns) -> None:
    lost = [arrival(1, 1, 1), arrival(5, 1, 1)]
    full = Retriable(Reason.OUT_OF_STORAGE, "the disk is full")
    good: list[Record] = [arrival(1, 1, n) for n in (2, 3, 4)]
    filing = one_batch(turns, [*((each, Durable(full)) for each in lost), *((each, Durable()) for each in good)])
    assert [fault_of(each) for each in filing[:2]] == [full, full]
    assert [verdict(each) for each in filing[2:]] == ["stored"] * 3
    for table in ("instance", "change"):
        assert not turns.seen(table) & {each.store_key for each in lost}
        assert turns.count(table) == 4
    assert turns.count("study") == 2, "nor is there a study of it"
    assert verdict(turns.filing(lost[0])) == "stored"
    turns.still_works()


@pytest.mark.parametrize("fault", [Retriable(Reason.OUT_OF_STORAGE), ValueError("unforeseen"), KeyboardInterrupt()])
def test_the_one_who_leads_may_fail_too(turns: Turns, fault: BaseException) -> None:
    lost = arrival()
    durable = Durable(fault, held=True)
    leading = turns.filing(lost, durable)
    assert durable.began.wait(PATIENCE)
    following = [turns.filing(arrival(1, 1, n)) for n in (2, 3)]
    durable.let()
    assert leading.exception(PATIENCE) is fault
    assert [verdict(each) for each in following] == ["stored"] * 2
    assert lost.store_key not in turns.seen()
    turns.still_works()


@pytest.mark.req("M-STORE-09", "I-STORE-05")
def test_nothing_is_visible_before_all_of_its_batch_is_durable(turns: Turns) -> None:
    slow = Durable(held=True)
    quick = arrival(1, 1, 2)
    filing = one_batch(turns, [(quick, already_durable), (arrival(1, 1, 1), slow), (arrival(1, 1, 3), Durable())])
    until(lambda: len(turns.batches[-1]) == 3, patience=PATIENCE, told="the batch has begun")
    assert slow.began.wait(PATIENCE)
    # what files them has done all but to wait: a record that comes now can only queue up
    later = turns.filing(arrival(1, 1, 4))
    assert turns.seen().isdisjoint(record.store_key for record in turns.batches[-1] if isinstance(record, Arrival))
    assert not any(each.done() for each in (*filing, later))
    slow.let()
    assert [verdict(each) for each in (*filing, later)] == ["stored"] * 4
    assert quick.store_key in turns.seen()


def test_each_makes_its_own_object_durable_once_and_itself(turns: Turns) -> None:
    """Also where the index refuses the record, and where a batch is tried again for another's sake."""
    good, bad, other = Durable(), Durable(), Durable()
    thread: list[int] = []

    def file(record: Record, durable: Durable) -> Outcome:
        thread.append(threading.get_ident())
        return turns.writer.file(record, durable)

    held, first = turns.occupied(arrival(9, 9, 9))
    filing = []
    records = [arrival(1, 1, 1), arrival(1, 1, 2, size=None), arrival(1, 1, 3)]
    for n, (record, durable) in enumerate(zip(records, (good, bad, other), strict=True)):
        filing.append(turns._threads.submit(file, record, durable))
        turns.queued(n + 1)
    held.let()
    assert verdict(first) == "stored"
    assert [verdict(filing[0]), verdict(filing[2])] == ["stored"] * 2
    assert isinstance(fault_of(filing[1]), Refused)
    assert [durable.threads for durable in (good, bad, other)] == [[each] for each in thread]
    assert len(held.threads) == 1


def test_twice_the_same_object_in_one_batch(turns: Turns) -> None:
    one, two, another = arrival(1, 1, 1), arrival(1, 1, 1), arrival(1, 1, 1, content="other")
    durables = [Durable() for _ in range(3)]
    filing = one_batch(turns, list(zip((one, two, another), durables, strict=True)))
    assert [verdict(each) for each in filing] == ["stored", "equal", "differs"]
    assert [len(durable.threads) for durable in durables] == [1, 1, 1]
    turns.still_works()


def test_those_who_wait_and_those_who_do_not(turns: Turns) -> None:
    """Deletions and posted records between: each in its order, none forgotten."""
    held, first = turns.occupied(arrival(1, 1, 1))
    posted = [turns.writer.submit(arrival(1, 2, n)) for n in range(30)]
    waiting = [turns.filing(arrival(1, 3, n), Durable()) for n in range(5)]
    deleting = turns.filing(Deletion(arrival(1).study_uid))
    posted += [turns.writer.submit(arrival(2, 2, n)) for n in range(30)]
    waiting += [turns.filing(arrival(2, 3, n), Durable()) for n in range(5)]
    held.let()
    assert {verdict(each) for each in (first, *posted, *waiting)} == {"stored"}
    assert deleting.result(PATIENCE).objects == 36
    assert turns.count("instance") == 35
    turns.still_works()


def test_closing_while_others_wait(turns: Turns) -> None:
    """What was given before is filed; what comes later is refused, but made durable all the same."""
    held, first = turns.occupied(arrival(1, 1, 1))
    waiting = [turns.filing(arrival(1, 1, n), Durable()) for n in (2, 3)]
    posted = [turns.writer.submit(arrival(1, 1, n)) for n in (4, 5)]
    closing = threading.Thread(target=turns.writer.close, daemon=True)
    closing.start()
    assert turns.writer._closing.wait(PATIENCE)
    late = Durable()
    assert isinstance(fault_of(turns._threads.submit(turns.writer.file, arrival(1, 1, 6), late)), Retriable)
    assert isinstance(fault_of(turns.writer.submit(arrival(1, 1, 7))), Retriable)
    assert len(late.threads) == 1
    assert closing.is_alive()
    held.let()
    assert {verdict(each) for each in (first, *waiting, *posted)} == {"stored"}
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert turns.count("instance") == 5


class Broken(Exception):
    """Something that nobody had thought of."""


@pytest.mark.parametrize("place", ["_written", "_settled"])
def test_a_fault_of_a_batch_does_not_keep_the_turn(turns: Turns, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: object) -> None:
        raise Broken

    durables = [Durable() for _ in range(4)]
    held, first = turns.occupied(arrival(99, 9, 9))
    filing = [turns.filing(arrival(1, 1, n), durable) for n, durable in enumerate(durables)]
    posted = turns.writer.submit(arrival(1, 1, 9))
    with monkeypatch.context() as patch:
        patch.setattr(turns.writer._batches, place, broken)
        held.let()
        assert verdict(first) == "stored"
        for each in (*filing, posted):
            assert isinstance(fault_of(each).__cause__, Broken)
    assert [len(durable.threads) for durable in durables] == [1] * 4
    assert turns.seen().isdisjoint(r.store_key for r in turns.batches[-1] if isinstance(r, Arrival))
    turns.still_works()
    assert turns.count("instance") == 3


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    made = Cluster(durable=True)
    yield made
    made.remove()


def test_a_database_that_goes_away_in_mid_batch(own_cluster: Cluster) -> None:
    """The batch is tried again, its objects are not."""
    url = own_cluster.create()
    database.migrate(url)
    opened = database.open(url)
    turns = Turns(opened)
    assert turns.writer.file(arrival(9, 1, 1)).verdict == "stored"
    slow, lost = Durable(held=True), Durable(Retriable(Reason.OUT_OF_STORAGE))
    quick = Durable()
    filing = one_batch(turns, [(arrival(1, 1, 1), slow), (arrival(1, 1, 2), quick), (arrival(1, 1, 3), lost)])
    assert slow.began.wait(PATIENCE)
    own_cluster.stop()
    slow.let()
    own_cluster.start()
    assert [verdict(each) for each in filing[:2]] == ["stored"] * 2
    assert fault_of(filing[2]).reason == Reason.OUT_OF_STORAGE
    assert [len(durable.threads) for durable in (slow, quick, lost)] == [1, 1, 1]
    assert turns.count("instance") == 4
    turns.still_works()
    turns.close()
    opened.close()
