"""The pool of worker processes: who answers, what a death costs, and when they go."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from isocenter.errors import Retriable
from isocenter.workers import Pool, WorkerLate, WorkerLost

TESTS = str(Path(__file__).parents[2])


@contextmanager
def pool(limit: int = 1, *, idle: float = 60.0, patience: float = 30.0, most: int | None = None) -> Iterator[Pool]:
    path = os.pathsep.join([TESTS, *filter(None, [os.environ.get("PYTHONPATH")])])
    made = Pool(
        "worker_program", str(idle), limit=limit, patience=patience, most=most, environment={"PYTHONPATH": path},
        quiet=True,
    )  # fmt: skip
    try:
        yield made
    finally:
        made.close()


def who(answer: bytearray) -> int:
    return int(answer.split(b" ")[0])


def test_one_process_answers_one_request_after_the_other() -> None:
    with pool() as asked:
        first, second = asked.ask(b"abc"), asked.ask(b"de", b"", b"f")
        assert (first.split(b" ")[1], second.split(b" ")[1]) == (b"cba", b"fed")
        assert who(first) == who(second) != os.getpid()


def test_nothing_is_started_before_it_is_needed() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pool(4) as asked:
        assert {child.pid for child in psutil.Process().children()} == before
        asked.warm()
        assert len({child.pid for child in psutil.Process().children()} - before) == 4


def test_one_may_be_started_ahead_and_never_one_too_many() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pool(2) as asked:
        asked.warm(1)
        asked.warm(1)
        started = {child.pid for child in psutil.Process().children()} - before
        assert len(started) == 1
        assert {who(asked.ask(b"x"))} == started
        asked.warm(5)
        assert len({child.pid for child in psutil.Process().children()} - before) == 2


def test_large_messages_pass_in_parts() -> None:
    part = os.urandom(3 << 20)
    with pool() as asked:
        answer = asked.ask(b"x", part, memoryview(part)[1:])
        assert bytes(answer.split(b" ", 1)[1]) == (b"x" + part + part[1:])[::-1]


def test_no_more_than_its_limit_work_at_once() -> None:
    with pool(2) as asked, ThreadPoolExecutor(8) as threads:
        pids = {who(answer) for answer in threads.map(asked.ask, [b"x" * 1000] * 60)}
        assert 1 <= len(pids) <= 2


def test_a_crash_costs_its_request_and_the_process_is_replaced() -> None:
    with pool() as asked:
        before = who(asked.ask(b"x"))
        with pytest.raises(WorkerLost) as lost:
            asked.ask(b"!")
        assert lost.value.status == -signal.SIGSEGV
        assert isinstance(lost.value, Retriable)
        assert who(asked.ask(b"x")) != before
        assert not psutil.pid_exists(before)


def test_one_that_hangs_is_ended() -> None:
    with pool(patience=0.3) as asked, pytest.raises(WorkerLate):
        asked.ask(b"?")
    with pool() as asked:
        assert who(asked.ask(b"x"))


def test_one_that_went_as_the_request_came_is_replaced_at_once() -> None:
    """An idle process may end, with status 0, just as it is chosen; a request that ends two is at fault itself."""
    with pool() as asked:
        before = who(asked.ask(b"x"))
        with pytest.raises(WorkerLost) as lost:
            asked.ask(b".")
        assert lost.value.status == 0
        assert who(asked.ask(b"x")) != before


def test_idle_processes_go_by_themselves() -> None:
    with pool(idle=0.05) as asked:
        first = who(asked.ask(b"x"))
        asked._idle[0]._process.wait(30)
        assert who(asked.ask(b"x")) != first


def test_answers_that_are_too_long_are_not_read() -> None:
    with pool(most=1000) as asked:
        assert asked.ask(b"x")
        with pytest.raises(WorkerLost):
            asked.ask(b"#")
        assert asked.ask(b"x")


def test_what_is_printed_does_not_get_between_the_answers() -> None:
    with pool() as asked:
        assert asked.ask(b">x").endswith(b"x>")


def test_submitted_requests_run_side_by_side() -> None:
    with pool(2) as asked:
        futures = [asked.submit(b"x") for _ in range(20)]
        assert all(future.result().endswith(b" x") for future in futures)


def test_a_program_that_is_not_there() -> None:
    missing = Pool("isocenter.there_is_no_such_module", limit=1, patience=30, quiet=True)
    with pytest.raises(WorkerLost):
        missing.ask(b"x")
    missing.close()


def test_they_go_with_the_process_that_asked() -> None:
    code = (
        "import sys, os; from isocenter.workers import Pool\n"
        "p = Pool('worker_program', '600', limit=1, patience=30)\n"
        "print(p.ask(b'x').split()[0].decode(), flush=True); os._exit(0)"
    )
    path = os.pathsep.join([TESTS, *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    pid = int(done.stdout)
    with contextlib.suppress(psutil.NoSuchProcess):  # gone already
        psutil.Process(pid).wait(30)
    assert not psutil.pid_exists(pid)
