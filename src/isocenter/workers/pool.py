"""The asking side: a few processes of one program, shared by the threads of this process."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from isocenter import telemetry
from isocenter.errors import Reason, Retriable
from isocenter.workers.channel import Buffer, Channel, widen

log = telemetry.logger("workers")

_FAREWELL: Final = 5.0
"""Seconds that a process has to end when its input does."""


class WorkerLost(Retriable):
    """The process that had the request is gone, or could not be started. `status`: how it ended, negative for a
    signal; None where it never was."""

    def __init__(self, comment: str, status: int | None = None) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, comment)
        self.status = status


class WorkerLate(WorkerLost):
    """There was no answer in time; the process has been ended."""


class _Worker:
    """One process. Used by one thread at a time."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], quiet: bool) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            bufsize=0,
            close_fds=True,
            env={**os.environ, **environment},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        incoming, outgoing = self._process.stdout.fileno(), self._process.stdin.fileno()
        widen(outgoing)
        os.set_blocking(outgoing, False)
        self._channel = Channel(incoming, outgoing)
        self.used = False

    def alive(self) -> bool:
        """Whether the process still runs; it ends by itself when idle."""
        return self._process.poll() is None

    def ask(self, parts: Sequence[Buffer], patience: float, most: int | None) -> bytearray:
        """Its answer. Raises WorkerLost; the process is not to be used again then."""
        until = time.monotonic() + patience
        try:
            self._channel.send(parts, until)
            answer = self._channel.receive(until, most)
        except TimeoutError as late:
            self._process.kill()
            raise WorkerLate("the work took too long", self._status()) from late
        except (OSError, ValueError) as gone:
            self._process.kill()
            raise WorkerLost("the process that did the work is gone", self._status()) from gone
        if answer is None:
            raise WorkerLost("the process that did the work is gone", self._status())
        self.used = True
        return answer

    def _status(self) -> int | None:
        try:
            return self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):  # what was not taken is no use to a dead worker
                stream.close()
        self._status()


class Pool:
    """Up to `limit` processes that run `python -m module arguments`, shared by all threads of this one."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        limit: int,
        patience: float,
        most: int | None = None,
        environment: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        """`patience`: seconds for an answer; `most`: bytes of the longest that is believed; `quiet`: what the program
        writes to standard error is dropped."""
        self.limit, self._patience, self._most, self._quiet = limit, patience, most, quiet
        self._command = (sys.executable, "-m", module, *arguments)
        self._environment = dict(environment or {})
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._free = threading.Semaphore(limit)
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    def ask(self, *parts: Buffer) -> bytearray:
        """The answer of whichever process is free. Raises WorkerLost."""
        with self._free:
            worker = self._take()
            try:
                try:
                    answer = worker.ask(parts, self._patience, self._most)
                except WorkerLate:
                    raise
                except WorkerLost as lost:
                    if not (worker.used and lost.status == 0):
                        raise
                    # it had been idle too long and went as the request came
                    worker.close()
                    worker = self._started()
                    answer = worker.ask(parts, self._patience, self._most)
            except BaseException as failure:
                worker.close()
                if isinstance(failure, WorkerLost):
                    log.warning("worker.lost", program=self._command[2], status=failure.status)
                raise
            self._give_back(worker)
            return answer

    def submit(self, *parts: Buffer) -> "Future[bytearray]":
        """As `ask`, in a thread of the pool."""
        return self._executor().submit(self.ask, *parts)

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.limit, thread_name_prefix="workers")
            return self._threads

    def warm(self, count: int | None = None) -> None:
        """Start `count` processes, None for all, so that the first requests need not wait. Those that there are, count.
        Raises WorkerLost."""
        ready: list[_Worker] = []
        try:
            while len(ready) < (count or self.limit) and self._free.acquire(blocking=False):
                try:
                    ready.append(self._take())
                except BaseException:
                    self._free.release()
                    raise
        finally:
            for worker in ready:
                self._give_back(worker)
                self._free.release()

    def warm_soon(self, count: int) -> None:
        """As `warm`, in a thread of the pool, whatever comes of it."""
        self._executor().submit(self.warm, count)

    def close(self) -> None:
        """End the processes that are idle, and the others as they come back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        for worker in idle:
            worker.close()

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._started()
            if worker.alive():
                return worker
            worker.close()

    def _started(self) -> _Worker:
        try:
            return _Worker(self._command, self._environment, self._quiet)
        except OSError as failure:
            log.error("worker.not_started", exc_info=True, program=self._command[2])
            raise WorkerLost("no process could be started for the work") from failure

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.close()
