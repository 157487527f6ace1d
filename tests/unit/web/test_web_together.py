"""The objects of one request filed together: one sync, one transaction, an answer each."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index.batches import Answer, already_durable
from isocenter.index.records import ExceptionNote, Outcome, Record, Verdict
from isocenter.web.dicomweb.together import Together

PATIENCE = 10.0


def note(number: int) -> ExceptionNote:
    return ExceptionNote(*[str(number)] * len(ExceptionNote._fields))


class Index:
    """Notes what is filed together; `answer` gives each its answer."""

    def __init__(self, answer: Callable[[Record], Answer] = lambda record: Outcome(Verdict.NOTED, record[0])) -> None:
        self.batches: list[list[Record]] = []
        self._answer = answer

    def file_all(self, records: Sequence[Record]) -> list[Answer]:
        self.batches.append(list(records))
        return [self._answer(record) for record in records]

    def submit(self, record: Record) -> Future[Outcome]:
        raise NotImplementedError

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def filed(together: Together, count: int, before_commit: Callable[[int], None] = lambda number: None) -> list[Any]:
    """What becomes of `count` objects that are filed at once; all of the request."""

    def one(number: int) -> Outcome | IsocenterError:
        try:
            return together.file(note(number), lambda: before_commit(number))
        except IsocenterError as fault:
            return fault
        finally:
            together.ended()

    for _ in range(count):
        together.began()
    together.complete()
    with ThreadPoolExecutor(count) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(one, number) for number in range(count)]]


def test_objects_of_a_request_are_one_transaction_and_each_has_its_own_answer() -> None:
    index = Index()
    answers = filed(Together(index), 10)
    assert [answer.existing_key for answer in answers] == [str(number) for number in range(10)]
    assert [len(batch) for batch in index.batches] == [10]


def test_nothing_is_filed_before_all_of_it_is_durable() -> None:
    index, durable = Index(), []

    def sync(number: int) -> None:
        assert not index.batches
        durable.append(number)

    filed(Together(index), 5, sync)
    assert sorted(durable) == [0, 1, 2, 3, 4]


def test_an_object_that_the_disk_refuses_is_not_filed_and_the_others_are() -> None:
    index = Index()

    def sync(number: int) -> None:
        if number == 3:
            raise Retriable(Reason.OUT_OF_STORAGE, "full")

    answers = filed(Together(index), 6, sync)
    assert [number for number, answer in enumerate(answers) if isinstance(answer, Retriable)] == [3]
    assert sorted(record[0] for batch in index.batches for record in batch) == ["0", "1", "2", "4", "5"]


def test_answers_are_told_apart() -> None:
    index = Index(
        lambda record: Refused(Reason.PROCESSING_FAILURE, "no") if record[0] == "1" else Outcome(Verdict.NOTED)
    )
    answers = filed(Together(index), 3)
    assert [isinstance(answer, Refused) for answer in answers] == [False, True, False]


def test_an_index_that_fails_leaves_nobody_waiting() -> None:
    class Broken(Index):
        def file_all(self, records: Sequence[Record]) -> list[Answer]:
            raise Retriable(Reason.OUT_OF_RESOURCES, "away")

    assert all(isinstance(answer, Retriable) for answer in filed(Together(Broken()), 4))


def test_many_objects_are_several_transactions() -> None:
    index = Index()
    together = Together(index)
    assert len(filed(together, 40)) == 40
    assert sum(map(len, index.batches)) == 40
    assert 2 <= len(index.batches) <= 40


def test_an_object_does_not_wait_for_ever_for_the_rest_of_a_slow_request() -> None:
    index = Index()
    together = Together(index)
    for _ in range(2):
        together.began()  # the other one never comes
    assert together.file(note(1)).verdict == Verdict.NOTED


def test_an_object_that_is_refused_is_not_waited_for() -> None:
    index = Index()
    together = Together(index)
    together.began()
    together.began()
    together.complete()
    done = threading.Event()

    def one() -> None:
        together.file(note(1))
        done.set()

    thread = threading.Thread(target=one)
    thread.start()
    together.ended()
    assert done.wait(PATIENCE)
    thread.join()


def test_a_record_may_be_filed_again() -> None:
    index = Index()
    together = Together(index)
    together.began()
    together.complete()
    assert together.file(note(1)).verdict == together.file(note(1)).verdict == Verdict.NOTED
    assert len(index.batches) == 2


@pytest.mark.parametrize("fault", [ValueError, Retriable(Reason.OUT_OF_STORAGE, "full")])
def test_what_hinders_an_object_is_raised_as_it_was(fault: Any) -> None:
    together = Together(Index())
    together.began()
    together.complete()

    def sync() -> None:
        raise fault

    with pytest.raises(type(fault) if isinstance(fault, Exception) else fault):
        together.file(note(1), sync)
