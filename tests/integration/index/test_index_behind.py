"""Rows that are filed behind the acknowledgement: which may be, how far they may lag, and what a failing index does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from arrivals import ROOT, arrival
from isocenter import database
from isocenter.database import Database
from isocenter.errors import Reason, Refused, Retriable
from isocenter.index.batches import Answer, already_durable
from isocenter.index.behind import Behind
from isocenter.index.records import Arrival, DuplicatePolicy, Outcome, Verdict
from isocenter.index.remote import RemoteWriter
from isocenter.index.shared import SharedWriter
from isocenter.index.writer import LocalWriter
from servers import until

STORED = Outcome(Verdict.STORED)
AWAY = Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer")
CANT = Refused(Reason.PROCESSING_FAILURE, "the index can't take this object")


class Tally:
    """An account."""

    def __init__(self) -> None:
        self.owed = self.paid = 0

    def acknowledged(self) -> None:
        self.owed += 1

    def filed(self, count: int) -> None:
        self.paid += count

    def hurried(self) -> bool:
        """Nobody does."""
        return False


class Index:
    """Stands in for a writer: answers when it is let, with what it is told."""

    def __init__(self, *answers: Answer, held: bool = False) -> None:
        self.let = threading.Event()
        self.asked: list[list[Arrival]] = []
        self._answers = list(answers)
        if not held:
            self.let.set()

    def file_all(self, records: Sequence[Arrival]) -> list[Answer]:
        self.asked.append(list(records))
        assert self.let.wait(30)
        answer = self._answers.pop(0) if self._answers else STORED
        return [answer] * len(records)


@pytest.fixture
def opened(sqlite_url: str) -> Iterator[Database]:
    index = database.open(sqlite_url)
    yield index
    index.close()


@pytest.fixture
def make(opened: Database) -> Iterator[Callable[..., Behind]]:
    made: list[Behind] = []

    def start(index: object, account: Tally | None = None, most: int = 512) -> Behind:
        made.append(Behind(opened, index, account or Tally(), most=most))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for behind in made:
        behind.close()


def nothing(_answer: Answer) -> None:
    """What follows where nothing does."""


def given(behind: Behind, one: Arrival, then: Callable[[Answer], None] = nothing) -> None:
    assert behind.take(one)
    behind.put(one, already_durable, then)


def test_what_was_put_is_filed_in_batches(opened: Database, make: Callable[..., Behind]) -> None:
    writer, account, answers = LocalWriter(opened), Tally(), list[Answer]()
    behind = make(writer, account)
    for n in range(1, 301):
        given(behind, arrival(1, n % 3 + 1, n), answers.append)
    assert account.owed == 300
    behind.drain()
    assert account.paid == 300
    assert answers == [STORED] * 300
    assert not behind.take(arrival(1, 2, 1)), "the index knows it by now"
    behind.close()
    writer.close()


@pytest.mark.parametrize(
    "other",
    [
        arrival(1, 1, 1, content="another"),
        arrival(1, 1, 5, policy=DuplicatePolicy.REJECT),
        arrival(1, 1, 6, policy=DuplicatePolicy.NEW_UID),
        arrival(1, 1, 7, rejection=113001),
        arrival(1, 1, 9),
    ],
    ids=["under way", "policy reject", "policy new-uid", "a rejection note", "named by a note"],
)
def test_what_the_sender_may_have_to_be_told_waits_for_its_rows(
    opened: Database, make: Callable[..., Behind], other: Arrival
) -> None:
    writer = LocalWriter(opened)
    named = ((f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.9"),)
    writer.file(arrival(2, 1, 1, rejection=113001, rejected=named))
    index = Index(held=True)
    behind = make(index)
    given(behind, arrival(1, 1, 1))
    assert not behind.take(other)
    assert behind.take(arrival(1, 1, 8))
    index.let.set()
    writer.close()


def test_an_index_that_does_not_keep_up_is_waited_for(make: Callable[..., Behind]) -> None:
    index = Index(held=True)
    behind = make(index, most=3)
    for n in (1, 2, 3):
        given(behind, arrival(1, 1, n))
    assert not behind.take(arrival(1, 1, 4))
    drained = threading.Event()

    def drain() -> None:
        behind.drain()
        drained.set()

    waiting = threading.Thread(target=drain)
    waiting.start()
    until(lambda: index.asked)
    assert not drained.is_set()
    index.let.set()
    waiting.join(30)
    assert drained.is_set()
    assert behind.take(arrival(1, 1, 4))


def test_what_could_not_be_made_durable_may_come_again(make: Callable[..., Behind]) -> None:
    def full() -> None:
        raise Retriable(Reason.OUT_OF_STORAGE, "no space left")

    index = Index()
    behind = make(index)
    assert behind.take(arrival(1, 1, 1))
    with pytest.raises(Retriable):
        behind.put(arrival(1, 1, 1), full, nothing)
    given(behind, arrival(1, 1, 1))
    behind.drain()
    assert len(index.asked) == 1


def test_an_index_that_is_away_is_asked_again_and_nobody_else_is_told_success(make: Callable[..., Behind]) -> None:
    account, answers = Tally(), list[Answer]()
    index = Index(AWAY, AWAY, held=True)
    behind = make(index, account)
    given(behind, arrival(1, 1, 1), answers.append)
    index.let.set()
    until(lambda: answers)
    behind.drain()
    assert (account.owed, account.paid, answers) == (1, 1, [STORED])
    assert len(index.asked) == 3
    assert not behind.take(arrival(1, 1, 2)), "after a failure each object waits for its rows"


def test_what_follows_is_tried_again_where_the_index_is_away(make: Callable[..., Behind]) -> None:
    tries: list[Answer] = []

    def then(answer: Answer) -> None:
        tries.append(answer)
        if len(tries) < 3:
            raise AWAY

    behind = make(Index())
    given(behind, arrival(1, 1, 1), then)
    until(lambda: len(tries) == 3)
    behind.drain()


@pytest.mark.parametrize("fault", [CANT, RuntimeError("unthought of")])
def test_one_that_fails_keeps_no_other_back(make: Callable[..., Behind], fault: Exception) -> None:
    def fail(_answer: Answer) -> None:
        raise fault

    account = Tally()
    behind = make(Index(), account)
    given(behind, arrival(1, 1, 1), fail)
    given(behind, arrival(1, 1, 2))
    behind.drain()
    assert account.paid == 2


def test_who_has_to_wait_is_told_at_once_that_the_index_takes_nothing(make: Callable[..., Behind]) -> None:
    full = Retriable(Reason.OUT_OF_STORAGE, "no space left for the index")
    index = Index(*[full] * 1000)
    behind = make(index)
    given(behind, arrival(1, 1, 1))
    with pytest.raises(Retriable) as told:
        behind.drain()
    assert told.value.reason == Reason.OUT_OF_STORAGE


@pytest.mark.parametrize(
    "after", [arrival(1, 1, 1, content="another"), arrival(1, 1, 3, rejection=113001)], ids=["its UID", "a note"]
)
def test_only_what_has_to_come_after_waits_for_what_is_under_way(make: Callable[..., Behind], after: Arrival) -> None:
    index = Index(held=True)
    behind = make(index)
    given(behind, arrival(1, 1, 1))
    behind.precede(arrival(1, 1, 2))
    let = threading.Timer(0.05, index.let.set)
    let.start()
    behind.precede(after)
    assert index.let.is_set()
    let.join()


def test_a_record_that_can_not_be_asked_for_fails_alone(make: Callable[..., Behind]) -> None:
    class Strict(Index):
        def file_all(self, records: Sequence[Arrival]) -> list[Answer]:
            if any(record.size > 5_000 for record in records):
                raise OverflowError
            return super().file_all(records)

    answers: list[Answer] = []
    behind = make(Strict())
    for n, size in enumerate((1, 10_000, 3), 1):
        given(behind, arrival(1, 1, n, size=size), answers.append)
    behind.drain()
    assert [type(answer) for answer in answers] == [Outcome, Refused, Outcome]


def test_a_database_that_can_not_be_asked_is_left_to_the_writer(tmp_path: Path) -> None:
    opened = database.open(tmp_path / "empty.db")
    behind = Behind(opened, Index(), Tally())
    assert not behind.take(arrival(1, 1, 1))
    behind.close()
    opened.close()


def test_closing_leaves_to_recovery_what_the_index_does_not_take(make: Callable[..., Behind]) -> None:
    account, answers = Tally(), list[Answer]()
    index = Index(*[AWAY] * 1000)
    behind = make(index, account)
    given(behind, arrival(1, 1, 1), answers.append)
    until(lambda: index.asked)
    behind.close()
    assert (account.owed, account.paid, answers) == (1, 0, [])
    assert not behind.take(arrival(1, 1, 2))


def test_another_process_files_many_at_once_and_asks_the_successor(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "index.sock"
    databases = [database.open(sqlite_url) for _ in range(2)]
    first = SharedWriter(databases[0], path)
    remote = RemoteWriter(path)
    many = [arrival(1, 1, n) for n in range(1, 400)]
    assert remote.file_all(many) == [STORED] * len(many)
    second = SharedWriter(databases[1], path)
    first.close()
    until(lambda: second.owner)
    assert remote.file_all([*many[:3], arrival(1, 1, 400)]) == [STORED] * 4, "those that it knows, and a new one"
    assert second.file_all([arrival(1, 1, 401)]) == [STORED]
    remote.close()
    second.close()
    assert [isinstance(answer, Retriable) for answer in remote.file_all(many[:2])] == [True, True]
    for opened in databases:
        opened.close()


def test_a_writer_that_closes_takes_no_more(opened: Database) -> None:
    writer = LocalWriter(opened)
    assert writer.file_all([]) == []
    writer.close()
    assert [type(answer) for answer in writer.file_all([arrival(1, 1, 1)])] == [Retriable]
