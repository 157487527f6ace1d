"""Carries out jobs: leases them, keeps the lease while they run, and reports how they ended."""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from isocenter import telemetry
from isocenter.errors import ConfigurationError, Refused
from isocenter.jobs.queue import Job, Queue, pause_after

log = telemetry.logger("jobs.runner")

LEASE = 60.0
POLL = 1.0
"""Seconds between looks for a job that is due."""
MOST_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class Again:
    """What a handler returns to be called again in `delay` seconds, as if for the first time; `error`: why, if there
    is anything wrong."""

    delay: float
    error: str = ""


class Running:
    """A job as its handler sees it."""

    def __init__(self, job: Job, queue: Queue, stopping: threading.Event | None = None) -> None:
        self.job = job
        self._stopping = stopping
        self.payload: dict[str, Any] = job.payload
        self._queue = queue
        self._lost = threading.Event()

    @property
    def reached(self) -> str:
        """What was told of its progress last, before a kill too."""
        state = self._queue.state(self.job.id)
        return state.progress if state is not None else ""

    def progress(self, text: str) -> None:
        """Tell how far it has come; no patient data."""
        if not self._queue.progress(self.job, text):
            self._lost.set()

    def cancelled(self) -> bool:
        """Whether to stop: it was cancelled, or the lease was lost. Look between steps."""
        return self._lost.is_set()

    @property
    def stopping(self) -> bool:
        """Whether the program ends: don't wait for what can as well come later."""
        return self._stopping is not None and self._stopping.is_set()

    def hold(self, seconds: float) -> None:
        """Renew the lease."""
        if not self._queue.renew(self.job, seconds):
            self._lost.set()


Handler: TypeAlias = Callable[[Running], Again | None]
"""Carries out one job; must bear being called again for the same job after a kill at any point.

Raises Refused or ConfigurationError where trying again is useless; any other exception is tried again later."""


class Runner:
    """Runs the jobs whose kinds have a handler, in `threads` threads, until `stop`."""

    def __init__(
        self,
        queue: Queue,
        handlers: Mapping[str, Handler],
        *,
        threads: int = 1,
        lease: float = LEASE,
        poll: float = POLL,
        most_attempts: int = MOST_ATTEMPTS,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """`begin` notes in the queue what is to be there, before the first job is looked for. Where the database can't
        take it, it is tried again until it can: a full disk keeps no server from starting."""
        self._queue = queue
        self._begin = begin
        self._handlers = dict(handlers)
        self._lease = lease
        self._poll = poll
        self._most_attempts = most_attempts
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._running: set[Running] = set()
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._threads = [threading.Thread(target=self._work, name=f"jobs-{i}", daemon=True) for i in range(threads)]
        self._threads.append(threading.Thread(target=self._renew, name="jobs-lease", daemon=True))

    def start(self) -> None:
        """Begin, in threads of its own."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is a new job: look now."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> None:
        """Take no more jobs; wait for those that run. What outlasts `timeout` is taken over once its lease is out."""
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout)

    def run_once(self) -> bool:
        """Carry out one job that is due. False if there was none."""
        leased = self._queue.lease(self._handlers, self._owner, self._lease)
        if leased is None:
            return False
        self._perform(leased)
        return True

    def _perform(self, leased: Job) -> None:
        running = Running(leased, self._queue, self._stopping)
        with self._lock:
            self._running.add(running)
        try:
            self._carry_out(running)
        finally:
            with self._lock:
                self._running.discard(running)

    def _work(self) -> None:
        while (leased := self._next()) is not None:
            try:
                self._perform(leased)
            except Exception as fault:
                log.error("queue.failed", exc_info=True, fault=type(fault).__name__)

    def _next(self) -> Job | None:
        """The next job, when one is due; None at the end. One thread looks, the others wait behind it."""
        with self._looking:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    if self._begin is not None:
                        self._begin()
                        self._begin = None
                    leased = self._queue.lease(self._handlers, self._owner, self._lease)
                except Exception as fault:
                    log.error("queue.failed", exc_info=True, fault=type(fault).__name__)
                    leased = None
                if leased is not None:
                    return leased
                self._wake.wait(self._poll)
        return None

    def _renew(self) -> None:
        while not self._stopping.wait(self._lease / 3):
            with self._lock:
                running = list(self._running)
            for each in running:
                try:
                    each.hold(self._lease)
                except Exception as fault:
                    log.warning("lease.not_renewed", job=each.job.id, fault=type(fault).__name__)

    def _carry_out(self, running: Running) -> None:
        """The edge of a job: whatever it raises ends here."""
        job = running.job
        if job.attempts > self._most_attempts:  # it was taken over from runners that died of it
            self._queue.fail(job, "tried too often")
            return
        try:
            result = self._handlers[job.kind](running)
        except (Refused, ConfigurationError) as refusal:
            self._queue.fail(job, str(refusal))
            log.warning("job.refused", job=job.id, kind=job.kind, reason=refusal.reason)
        except Exception as fault:
            self._failed(job, fault)
        else:
            if isinstance(result, Again):
                self._queue.again(job, result.delay, result.error, afresh=True)
            elif not running.cancelled():
                self._queue.done(job)
            telemetry.count("isocenter_jobs_total", kind=job.kind, state="done")

    def _failed(self, job: Job, fault: Exception) -> None:
        telemetry.count("isocenter_jobs_total", kind=job.kind, state="fault")
        log.error("job.failed", exc_info=True, job=job.id, kind=job.kind, attempts=job.attempts)
        if job.attempts >= self._most_attempts:
            self._queue.fail(job, type(fault).__name__)
        else:
            self._queue.again(job, pause_after(job.attempts), type(fault).__name__)
