"""Jobs that come about with what else is written, that wait no longer than the soonest wants, and of dead runners."""

import pytest

from isocenter.database import Database
from isocenter.jobs import Again, Queue, Runner, Running


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> int:
        return int(self.seconds * 1e6)


def test_a_job_is_there_with_the_transaction_or_not_at_all(any_database: Database) -> None:
    queue = Queue(any_database)

    def write(fails: bool) -> None:
        with any_database.writing() as connection:
            queue.add(connection, "echo", {"n": 1})
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(True)
    assert queue.states() == []
    write(False)
    assert [each.kind for each in queue.states()] == ["echo"]


def test_a_twin_that_waits_longer_waits_no_longer(any_database: Database) -> None:
    clock = Clock()
    queue = Queue(any_database, clock)
    first = queue.enqueue("echo", unique_key="a", delay=300)
    assert queue.enqueue("echo", unique_key="a") == first
    assert queue.lease(["echo"], "me", 60) is None
    with any_database.writing() as connection:
        assert queue.add(connection, "echo", unique_key="a", delay=400, sooner=True) == first
        assert queue.add(connection, "echo", unique_key="a", delay=10, sooner=True) == first
    clock.seconds += 11
    leased = queue.lease(["echo"], "me", 60)
    assert leased is not None
    assert leased.id == first


def test_what_the_dead_held_is_taken_over_at_once(any_database: Database) -> None:
    clock = Clock()
    queue = Queue(any_database, clock)
    queue.enqueue("echo")
    queue.enqueue("echo")
    assert queue.lease(["echo"], "host:1", 60)
    assert queue.lease(["echo"], "host:11", 60)
    assert queue.owners() == {"host:1", "host:11"}
    assert queue.release(set()) == 0
    assert queue.release({"host:1"}) == 1
    taken = queue.lease(["echo"], "host:2", 60)
    assert taken is not None
    assert taken.attempts == 2
    assert queue.lease(["echo"], "host:2", 60) is None


def test_a_job_sees_that_the_program_ends(any_database: Database) -> None:
    seen: list[bool] = []
    queue = Queue(any_database)

    def look(running: Running) -> Again | None:
        seen.append(running.stopping)
        runner.stop(0)
        seen.append(running.stopping)
        return None

    runner = Runner(queue, {"look": look})
    queue.enqueue("look")
    assert runner.run_once()
    assert seen == [False, True]
