"""The index writer of another process, over its unix socket (`index.serving`).

If that process dies, this one connects to its successor and sends what was not answered: filing is idempotent.
"""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, TypeVar

from isocenter import telemetry
from isocenter.errors import Reason, Retriable
from isocenter.index import wire
from isocenter.index.batches import Answer, already_durable
from isocenter.index.records import Outcome, Record
from isocenter.index.serving import hang_up
from isocenter.index.writer import DEADLINE

log = telemetry.logger("index.remote")

_READ = 1 << 18
_TICK = 0.5
"""Seconds between looks at deadlines."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_TIMEVAL = struct.Struct("@ll")
_A = TypeVar("_A")


class _Pending(NamedTuple):
    frame: bytes
    future: Future[Outcome]
    deadline: float


class _Channel:
    """A connection that carries one question at a time, asked and awaited by the same thread."""

    def __init__(self, path: Path, patience: float) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(str(path))
        except OSError:
            self._connection.close()
            raise
        limit = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._connection.setsockopt(socket.SOL_SOCKET, option, limit)
        self._frames = wire.Frames()

    def ask(self, frame: bytes) -> Answer:
        """Raises OSError where the other end is gone, TimeoutError where it does not answer in time."""
        try:
            self._connection.sendall(frame)
            while data := self._connection.recv(_READ):
                # all of them: a body that is left in the frames would answer the next question
                for answer in [wire.parse_answer(body)[1] for body in self._frames.feed(data)]:
                    return answer
        except BlockingIOError as late:
            raise TimeoutError from late
        raise ConnectionResetError

    def ask_all(self, frames: bytes, count: int) -> list[Answer]:
        """The answers to `count` questions, numbered from 0. Raises as `ask` does."""
        answers: dict[int, Answer] = {}
        try:
            self._connection.sendall(frames)
            while data := self._connection.recv(_READ):
                answers.update(wire.parse_answer(body) for body in self._frames.feed(data))
                if len(answers) == count:
                    return [answers[number] for number in range(count)]
        except BlockingIOError as late:
            raise TimeoutError from late
        raise ConnectionResetError

    def close(self) -> None:
        self._connection.close()


class RemoteWriter:
    """A `Writer` whose records are filed by the process that serves `path`. Made after the fork.

    `before_connecting` is called by the thread that keeps the connection, each time there is none.
    """

    def __init__(
        self, path: Path, *, deadline: float = DEADLINE, before_connecting: Callable[[], object] = already_durable
    ) -> None:
        self._path = path
        self._before_connecting = before_connecting
        self._deadline = deadline
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._connection: socket.socket | None = None
        self._closing = threading.Event()
        self._idle: deque[_Channel] = deque()
        self._thread = threading.Thread(target=self._work, name="index-remote", daemon=True)
        self._thread.start()

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `index.writer.Writer`: over a connection that no other thread uses meanwhile, so that nobody has to be
        woken but the one who asks. Raises Retriable(OUT_OF_RESOURCES) without an answer in time."""
        before_commit()
        frame = wire.request(0, record)
        answer = self._answered_in_time(lambda channel: channel.ask(frame))
        if isinstance(answer, Outcome):
            return answer
        raise answer or _late()

    def file_all(self, records: Sequence[Record]) -> list[Answer]:
        """File `records` together; the answer of each, Retriable(OUT_OF_RESOURCES) without one in time."""
        frames = b"".join([wire.request(number, record) for number, record in enumerate(records)])
        answers = self._answered_in_time(lambda channel: channel.ask_all(frames, len(records)))
        return answers or [_late()] * len(records)

    def _answered_in_time(self, ask: Callable[[_Channel], _A]) -> _A | None:
        """What `ask` gives, asked again of each successor; None where that takes too long."""
        limit = time.monotonic() + self._deadline
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                return self._asked(ask)
            except TimeoutError:
                break
            except OSError:
                if time.monotonic() + pause > limit:
                    break
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return None

    def _asked(self, ask: Callable[[_Channel], _A]) -> _A:
        try:
            channel = self._idle.pop()
        except IndexError:
            channel = _Channel(self._path, self._deadline)
        try:
            answer = ask(channel)
        except BaseException:
            channel.close()
            self._drop_idle()  # the others lead to the same process
            raise
        self._idle.append(channel)
        return answer

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):  # until there is none left
            while True:
                self._idle.pop().close()

    def submit(self, record: Record) -> Future[Outcome]:
        """See `index.writer.Writer`. Without an answer in time the future fails with Retriable(OUT_OF_RESOURCES)."""
        future: Future[Outcome] = Future()
        number = next(self._numbers)
        frame = wire.request(number, record)
        with self._lock:
            if self._closing.is_set():
                future.set_exception(Retriable(Reason.OUT_OF_RESOURCES, "the index is closing"))
                return future
            self._pending[number] = _Pending(frame, future, time.monotonic() + self._deadline)
            connection = self._connection
        if connection is not None:
            self._send(connection, frame)
        return future

    def close(self) -> None:
        """Wait for what was submitted, as long as its deadlines, and stop."""
        with self._lock:
            waiting = [pending.future for pending in self._pending.values()]
        for future in waiting:
            with contextlib.suppress(Exception):  # whoever submitted it hears of the failure
                future.result(self._deadline + 2 * _TICK)
        with self._lock:
            self._closing.set()
            connection = self._connection
        if connection is not None:
            hang_up(connection)
        self._thread.join()
        self._expire(everything=True)
        self._drop_idle()

    def _send(self, connection: socket.socket, frame: bytes) -> None:
        """After a failure the receiving thread connects again and sends all that is pending."""
        try:
            with self._sending:
                connection.sendall(frame)
        except OSError:
            hang_up(connection)

    # --- the receiving thread

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            self._before_connecting()
            connection = self._connect()
            if connection is None:
                self._expire()
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self._receive(connection)
            with self._lock:
                self._connection = None
            connection.close()
            if not self._closing.is_set():
                log.warning("index.lost", pending=len(self._pending))

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return None
        # in the kernel, not by settimeout: that would cost a poll before each call
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(0, int(_TICK * 1e6)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(self._deadline) + 1, 0))
        with self._lock:
            self._connection = connection
            frames = [self._pending[number].frame for number in sorted(self._pending)]
        if frames:  # beside the receiving, or both ends would wait for the other to read
            threading.Thread(target=self._resend, args=(connection, frames), daemon=True).start()
        return connection

    def _resend(self, connection: socket.socket, frames: list[bytes]) -> None:
        for frame in frames:
            self._send(connection, frame)

    def _receive(self, connection: socket.socket) -> None:
        """Take answers until the connection ends."""
        frames = wire.Frames()
        looked = time.monotonic()
        while not self._closing.is_set():
            try:
                data = connection.recv(_READ)
            except BlockingIOError:
                data = None
            except OSError:
                return
            if data == b"":
                return
            for body in frames.feed(data or b""):
                self._answered(*wire.parse_answer(body))
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                self._expire()

    def _answered(self, number: int, outcome: Answer) -> None:
        with self._lock:
            pending = self._pending.pop(number, None)
        if pending is None:
            return  # answered twice, after a reconnection, or too late
        if isinstance(outcome, Outcome):
            pending.future.set_result(outcome)
        else:
            pending.future.set_exception(outcome)

    def _expire(self, *, everything: bool = False) -> None:
        """Give up on what waited too long."""
        at = time.monotonic()
        with self._lock:
            late = [n for n, pending in self._pending.items() if everything or pending.deadline <= at]
            expired = [self._pending.pop(number) for number in late]
        for pending in expired:
            pending.future.set_exception(_late())


def _late() -> Retriable:
    return Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer")
