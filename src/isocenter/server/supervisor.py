"""The process that the others are children of: it forks them, starts dead ones again, reloads, and ends them in order.

Single-threaded, and asleep unless a signal comes, a worker reports itself ready or a restart is due. It opens no
database and holds no connection, so that a fork carries nothing that must not be shared.

    SIGTERM, SIGINT   stop accepting, let associations and requests end, then stop; a second one: at once
    SIGHUP            read the settings again; if they are right, new workers take over and the old ones drain
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from isocenter import telemetry
from isocenter.config import Settings
from isocenter.errors import IsocenterError
from isocenter.server.board import Board, Kind, State
from isocenter.server.ports import Listeners, drop
from isocenter.server.process import fork

log = telemetry.logger("server.supervisor")

_SETTLED = 60.0  # seconds a worker must live for its failures to be forgotten
_LONGEST_DELAY = 30.0
_GRACE = 3.0  # seconds beyond the drain before a worker is killed
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True)
class Worker:
    """What a worker knows of its place."""

    kind: Kind
    slot: int
    settings: Settings
    listeners: Listeners
    board: Board
    folder: Path
    notify: int
    predecessors: tuple[int, ...] = ()
    """Process ids of dead workers of this kind whose leavings nobody has looked at yet."""

    @property
    def name(self) -> str:
        """How logs and metrics call it."""
        return f"{self.kind.label}-{self.slot}"

    def inherited(self) -> None:
        """Say that what the predecessors left is in the index."""
        self.board.inherit(self.slot)
        self._tell()

    def ready(self) -> None:
        """Say that it serves from now on."""
        self.board.mark(self.slot, State.READY)
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # the pipe is full: the supervisor looks anyway; or it ends
            os.write(self.notify, b"r")


Role = Callable[[Worker], None]


@dataclass(frozen=True)
class Plan:
    """What runs: how many of each kind for given settings, and what each does after its fork."""

    roles: Mapping[Kind, Role]
    counts: Callable[[Settings], dict[Kind, int]]
    reload: Callable[[], Settings]
    on_ready: Callable[[], object] = lambda: None
    rebind: Callable[[Settings, Listeners], Listeners] = lambda _, listeners: listeners
    """The sockets that reloaded settings want; ConfigurationError where a port can't be had."""


@dataclass
class _Running:
    kind: Kind
    slot: int
    started: float
    predecessors: tuple[int, ...] = ()
    """Whose leavings it has not filed yet."""
    deadline: float | None = None


@dataclass
class Supervisor:
    """Runs a plan until it is told to stop."""

    settings: Settings
    plan: Plan
    listeners: Listeners
    board: Board
    folder: Path
    _workers: dict[int, _Running] = field(default_factory=dict)
    _restarts: list[tuple[float, Kind]] = field(default_factory=list)
    _failures: dict[Kind, int] = field(default_factory=dict)
    _restarted: dict[Kind, int] = field(default_factory=dict)
    _dead: dict[Kind, list[int]] = field(default_factory=dict)
    _orphans: set[int] = field(default_factory=set)
    """Dead workers that had acknowledged objects which are not filed yet."""
    _retiring: set[int] = field(default_factory=set)
    _asked: list[int] = field(default_factory=list)
    _served: bool = False
    _stopping: bool = False
    _status: int = 0

    def run(self) -> int:
        """Serve until a signal ends it; the exit status of the program."""
        self._wake_reader, self._wake = socket.socketpair()
        self._pipe, self._notify = os.pipe()
        for end in (self._wake_reader.fileno(), self._wake.fileno(), self._pipe, self._notify):
            os.set_blocking(end, False)
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        earlier = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        try:
            self._start()
            while self._workers or not self._stopping:
                self._sleep()
                self._turn()
        finally:
            signal.set_wakeup_fd(earlier)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._kill_all()
            self._wake_reader.close()
            self._wake.close()
            os.close(self._pipe)
            os.close(self._notify)
        return self._status

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked.append(number)

    def _sleep(self) -> None:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        poll.poll(self._patience())
        for end in (self._wake_reader.fileno(), self._pipe):
            with contextlib.suppress(BlockingIOError):  # emptied
                while os.read(end, 4096):
                    pass

    def _patience(self) -> float | None:
        due = [at for at, _ in self._restarts] + [w.deadline for w in self._workers.values() if w.deadline is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _turn(self) -> None:
        self._reap()
        asked, self._asked = self._asked, []
        for number in asked:
            if number == signal.SIGHUP:
                self._reload()
            else:
                self._stop()
        self._start_due()
        self._kill_late()
        for worker in self._workers.values():
            self._note_inherited(worker)
        self._look_ready()

    def _start(self) -> None:
        self.listeners.listen()
        for kind, n in sorted(self.plan.counts(self.settings).items()):
            for _ in range(n):
                self._fork(kind)

    def _fork(self, kind: Kind) -> None:
        slot = self.board.free_slot()
        if slot is None:
            self._restarts.append((time.monotonic() + 1.0, kind))
            return
        self.board.open(slot, kind, self._restarted.get(kind, 0))
        dead = tuple(self._dead.pop(kind, ()))
        worker = Worker(kind, slot, self.settings, self.listeners, self.board, self.folder, self._notify, dead)
        role = self.plan.roles[kind]
        pid = fork(lambda: role(worker), cleanup=self._let_go)
        self.board.started(slot, pid)
        self._workers[pid] = _Running(kind, slot, time.monotonic(), dead)
        log.info("process.started", process=worker.name, pid=pid)

    def _let_go(self) -> None:
        self._wake_reader.close()
        self._wake.close()
        os.close(self._pipe)

    def _reap(self) -> None:
        for pid in list(self._workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, status: int) -> None:
        worker = self._workers.pop(pid)
        expected = self._stopping or pid in self._retiring
        self._note_left(pid, worker, expected=expected)
        self.board.clear(worker.slot)
        self._retiring.discard(pid)
        if expected:
            log.info("process.ended", process=f"{worker.kind.label}-{worker.slot}", status=status)
        elif not self._served:
            log.error("process.failed-to-start", process=worker.kind.label, status=status)
            self._status = 1
            self._stop()
        else:
            self._restart_later(pid, worker, status)

    def _note_left(self, pid: int, worker: _Running, *, expected: bool) -> None:
        """Remember what a dead worker left to its successor, before its slot is cleared."""
        self._note_inherited(worker)
        left = self._dead.setdefault(worker.kind, [])
        left.extend(worker.predecessors)
        if not self.board.lags(worker.slot):
            return
        if expected:
            left.append(pid)
        else:  # those who read wait for its successor
            self._orphans.add(pid)
            self.board.orphaned(len(self._orphans))

    def _note_inherited(self, worker: _Running) -> None:
        if worker.predecessors and self.board.has_inherited(worker.slot):
            self._orphans.difference_update(worker.predecessors)
            worker.predecessors = ()
            self.board.orphaned(len(self._orphans))

    def _restart_later(self, pid: int, worker: _Running, status: int) -> None:
        settled = time.monotonic() - worker.started > _SETTLED
        failures = 0 if settled else self._failures.get(worker.kind, 0)
        self._failures[worker.kind] = failures + 1
        self._dead.setdefault(worker.kind, []).append(pid)
        self._restarted[worker.kind] = self._restarted.get(worker.kind, 0) + 1
        delay = min(self.settings.processes.restart_delay * 2**failures, _LONGEST_DELAY) if failures else 0.0
        log.error("process.died", process=f"{worker.kind.label}-{worker.slot}", status=status, restart_in=delay)
        self._restarts.append((time.monotonic() + delay, worker.kind))

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [kind for at, kind in self._restarts if at <= now]
        self._restarts = [(at, kind) for at, kind in self._restarts if at > now]
        for kind in due:
            self._fork(kind)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, worker in self._workers.items():
            if worker.deadline is not None and worker.deadline <= now:
                log.warning("process.killed", process=f"{worker.kind.label}-{worker.slot}")
                _send(pid, signal.SIGKILL)
                worker.deadline = now + _GRACE

    def _look_ready(self) -> None:
        if self._stopping or not self.board.ready(self._wanted_now()):
            return
        if not self._served:
            self._served = True
            self.plan.on_ready()
        for pid in self._retiring:
            if self._workers[pid].deadline is None:
                self._end(pid)

    def _wanted_now(self) -> dict[Kind, int]:
        """How many must be ready before the retiring ones are told to drain."""
        wanted = self.plan.counts(self.settings)
        for pid in self._retiring:
            worker = self._workers[pid]
            if worker.deadline is None and self.board.state(worker.slot) == State.READY:
                wanted[worker.kind] += 1
        return wanted

    def _end(self, pid: int) -> None:
        worker = self._workers[pid]
        self.board.mark(worker.slot, State.DRAINING)
        worker.deadline = time.monotonic() + self.settings.processes.drain + _GRACE
        _send(pid, signal.SIGTERM)

    def _stop(self) -> None:
        self._restarts.clear()
        if self._stopping:
            for worker in self._workers.values():
                worker.deadline = time.monotonic()
            return
        log.info("server.stopping")
        self._stopping = True
        self.board.close_down()
        self.listeners.close()
        for pid in self._workers:
            self._end(pid)

    def _reload(self) -> None:
        try:
            settings = self.plan.reload()
            listeners = self.plan.rebind(settings, self.listeners)
        except IsocenterError as error:
            log.error("settings.refused", comment=error.comment)
            return
        before, self.settings, self.listeners = self.listeners, settings, listeners
        self.listeners.listen()
        log.info("settings.reloaded")
        self._retiring |= self._workers.keys()
        for kind, n in self.plan.counts(self.settings).items():
            for _ in range(n):
                self._fork(kind)
        drop(before, listeners)

    def _kill_all(self) -> None:
        for pid in self._workers:
            _send(pid, signal.SIGKILL)
        for pid in self._workers:
            os.waitpid(pid, 0)
        self._workers.clear()


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, number)
