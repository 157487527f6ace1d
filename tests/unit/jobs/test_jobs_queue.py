"""The durable queue on both databases, with a clock of the test's own."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.jobs import Again, Job, Queue, Runner, Running


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> int:
        return int(self.seconds * 1e6)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(any_database: Database, clock: Clock) -> Iterator[Queue]:
    return Queue(any_database, clock)


def _lease(queue: Queue, owner: str = "me") -> Job:
    found = queue.lease(["echo"], owner, 60)
    assert found is not None
    return found


def _state(queue: Queue, number: int) -> tuple[str, int]:
    found = queue.state(number)
    assert found is not None
    return found.state, found.attempts


def test_a_job_is_leased_once(queue: Queue) -> None:
    number = queue.enqueue("echo", {"n": 1})
    job = _lease(queue)
    assert (job.id, job.payload, job.attempts) == (number, {"n": 1}, 1)
    assert queue.lease(["echo"], "you", 60) is None
    assert queue.progress(job, "half")
    assert queue.done(job)
    assert _state(queue, number) == ("done", 1)
    assert not queue.done(job)


def test_jobs_come_when_they_are_due_oldest_first(queue: Queue, clock: Clock) -> None:
    late, early = queue.enqueue("echo", delay=20), queue.enqueue("echo", delay=10)
    queue.enqueue("other")
    assert queue.lease(["echo"], "me", 60) is None
    clock.seconds += 30
    assert [_lease(queue).id, _lease(queue).id] == [early, late]


def test_a_unique_key_waits_once(queue: Queue) -> None:
    first = queue.enqueue("echo", unique_key="a")
    assert queue.enqueue("echo", unique_key="a") == first
    assert queue.enqueue("other", unique_key="a") != first
    assert queue.enqueue("echo") != queue.enqueue("echo")
    job = _lease(queue)
    twin = queue.enqueue("echo", unique_key="a")
    assert twin != first, "the running one may have looked already"
    assert queue.again(job, 1.0)
    assert _state(queue, first)[0] == "done", "its twin waits"


def test_a_lease_that_ran_out_is_taken_over(queue: Queue, clock: Clock) -> None:
    number = queue.enqueue("echo")
    dead = _lease(queue, "dead")
    clock.seconds += 59
    assert queue.lease(["echo"], "heir", 60) is None
    assert queue.renew(dead, 60)
    clock.seconds += 59
    assert queue.lease(["echo"], "heir", 60) is None
    clock.seconds += 2
    heir = _lease(queue, "heir")
    assert (heir.id, heir.attempts) == (number, 2)
    assert not queue.renew(dead, 60)
    assert not queue.done(dead), "what the dead one says no longer counts"
    assert queue.done(heir)


def test_cancelling(queue: Queue) -> None:
    waiting, running = queue.enqueue("echo", delay=9), queue.enqueue("echo")
    job = _lease(queue)
    assert queue.cancel(waiting)
    assert queue.cancel(running)
    assert not queue.cancel(running)
    assert not queue.renew(job, 60)
    assert {state.state for state in queue.states()} == {"cancelled"}
    assert queue.prune(10**18) == 2


def test_many_runners_share_the_work(queue: Queue) -> None:
    wanted = {queue.enqueue("echo", {"n": n}) for n in range(40)}
    done: list[int] = []

    def work(name: str) -> None:
        while (job := queue.lease(["echo"], name, 60)) is not None:
            queue.done(job)
            done.append(job.id)

    threads = [threading.Thread(target=work, args=(f"r{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == sorted(wanted)


def _runner(queue: Queue, handler: object, **settings: object) -> Runner:
    return Runner(queue, {"echo": handler}, **settings)  # type: ignore[dict-item, arg-type]


def test_a_runner_retries_with_growing_pauses(queue: Queue, clock: Clock) -> None:
    number = queue.enqueue("echo")
    tries = []

    def fail(running: Running) -> None:
        tries.append(clock.seconds)
        raise OSError

    runner = _runner(queue, fail, most_attempts=4)
    while _state(queue, number)[0] != "failed":
        runner.run_once()
        clock.seconds += 1
    pauses = [b - a for a, b in itertools.pairwise(tries)]
    assert pauses == [5, 10, 20]
    found = queue.state(number)
    assert found is not None
    assert found.error == "OSError"


def test_what_is_refused_is_not_tried_again(queue: Queue) -> None:
    number = queue.enqueue("echo")

    def refuse(running: Running) -> None:
        raise Refused(Reason.NOT_FOUND, "gone")

    assert _runner(queue, refuse).run_once()
    assert _state(queue, number) == ("failed", 1)


def test_a_job_that_comes_back(queue: Queue, clock: Clock) -> None:
    number = queue.enqueue("echo", unique_key="echo")
    runner = _runner(queue, lambda running: Again(60))
    for _ in range(30):
        assert runner.run_once()
        assert not runner.run_once()
        clock.seconds += 61
    assert _state(queue, number) == ("waiting", 0)


def test_a_job_that_kills_its_runners_is_given_up(queue: Queue, clock: Clock) -> None:
    number = queue.enqueue("echo")
    for _ in range(3):
        assert queue.lease(["echo"], "dies", 60)
        clock.seconds += 61
    runner = _runner(queue, lambda running: None, most_attempts=3)
    assert runner.run_once()
    assert _state(queue, number)[0] == "failed"


def test_a_handler_sees_that_it_was_cancelled(queue: Queue) -> None:
    number = queue.enqueue("echo")

    def long(running: Running) -> None:
        queue.cancel(number)
        running.progress("half")
        assert running.cancelled()

    assert _runner(queue, long).run_once()
    assert _state(queue, number)[0] == "cancelled"


def test_a_runner_in_threads(queue: Queue) -> None:
    done = threading.Semaphore(0)
    runner = _runner(queue, lambda running: done.release(), threads=2, poll=30.0)
    runner.start()
    for _ in range(5):
        queue.enqueue("echo")
        runner.wake()
    runner.wake()
    for _ in range(5):
        assert done.acquire(timeout=20)
    runner.stop(20)
    assert {state.state for state in queue.states()} == {"done"}
