"""The index writer over a unix socket: `Server` in the process that owns an SQLite index, `RemoteWriter` in the others.

The writer's own thread reads the sockets and answers on them: what arrived while it committed is its next batch, and no
record waits for a second thread to wake. If the writer's process dies, clients connect again and send what was not
answered: filing is idempotent.
"""

import contextlib
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from isocenter import telemetry
from isocenter.errors import Reason, Retriable
from isocenter.index import wire
from isocenter.index.records import Outcome, Record
from isocenter.index.writer import DEADLINE, IDLE, Answer, Item

log = telemetry.logger("index.remote")

_READ = 1 << 18
_TICK = 0.5
"""Seconds between looks at deadlines."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_TIMEVAL = struct.Struct("@ll")


class Server:
    """The intake of a `LocalWriter` that files what other processes send to the unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = listen(path)
        self._listener.setblocking(False)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._queue: deque[Item | None] = deque()
        self._clients: dict[int, _Client] = {}
        self._poll = select.poll()
        for end in (self._listener, self._wake_reader):
            self._poll.register(end, select.POLLIN)

    def put(self, item: Item | None) -> None:
        """See `writer.Intake`."""
        self._queue.append(item)
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0", socket.MSG_DONTWAIT)

    def take(self, most: int, *, block: bool) -> tuple[list[Item], bool]:
        """See `writer.Intake`. Each client that has something to say is read once."""
        taken: list[Item] = []
        for descriptor, _ in self._poll.poll(IDLE * 1000 if block else 0):
            client = self._clients.get(descriptor)
            if client is None:
                self._attend(descriptor)
            elif not client.read(taken):
                self._drop(client)
        while self._queue:
            item = self._queue.popleft()
            if item is None:
                return taken, True
            taken.append(item)
        return taken, False

    def _attend(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                self._clients[connection.fileno()] = _Client(connection)
                self._poll.register(connection, select.POLLIN)
        else:
            with contextlib.suppress(BlockingIOError):
                self._wake_reader.recv(4096)

    def _drop(self, client: "_Client") -> None:
        descriptor = client.connection.fileno()
        self._poll.unregister(descriptor)
        del self._clients[descriptor]
        client.connection.close()

    def close(self) -> None:
        """Let go of all; the clients send again, to the next server, what was not answered."""
        self._path.unlink(missing_ok=True)
        for client in list(self._clients.values()):
            self._drop(client)
        for end in (self._listener, self._wake_reader, self._wake_writer):
            end.close()


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, which only this user may connect to; a dead server's is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o077)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(64)
    return listener


class _Client:
    """One connection of another process; a sink of the writer. Only the writer's thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = wire.Frames()

    def read(self, taken: list[Item]) -> bool:
        """Add what it asks for; False where it has gone, or talks nonsense."""
        try:
            data = self.connection.recv(_READ, socket.MSG_DONTWAIT)
            at = time.monotonic()
            for body in self._frames.feed(data):
                number, record = wire.parse_request(body)
                taken.append(Item(record, self, number, at))
        except BlockingIOError:
            return True
        except (OSError, ValueError, TypeError, IndexError) as fault:
            log.warning("client.dropped", fault=type(fault).__name__)
            return False
        return bool(data)

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Send answers. A client that leaves so many unread that its buffer is full is dropped: it will ask again."""
        data = b"".join([wire.answer(number, outcome) for number, outcome in answers])
        try:
            if self.connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) != len(data):
                _hang_up(self.connection)
        except OSError:
            _hang_up(self.connection)


def _hang_up(connection: socket.socket) -> None:
    """Let whoever reads the connection find its end, and close it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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

    def close(self) -> None:
        self._connection.close()


class RemoteWriter:
    """A `Writer` whose records are filed by the process that serves `path`. Made after the fork."""

    def __init__(self, path: Path, *, deadline: float = DEADLINE) -> None:
        self._path = path
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

    def file(self, record: Record) -> Outcome:
        """See `index.writer.Writer`: over a connection that no other thread uses meanwhile, so that nobody has to be
        woken but the one who asks. Raises Retriable(OUT_OF_RESOURCES) without an answer in time."""
        frame = wire.request(0, record)
        limit = time.monotonic() + self._deadline
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                answer = self._asked(frame)
            except TimeoutError:
                break
            except OSError:
                if time.monotonic() + pause > limit:
                    break
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if isinstance(answer, Outcome):
                return answer
            raise answer
        raise Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer")

    def _asked(self, frame: bytes) -> Answer:
        try:
            channel = self._idle.pop()
        except IndexError:
            channel = _Channel(self._path, self._deadline)
        try:
            answer = channel.ask(frame)
        except BaseException:
            channel.close()
            raise
        self._idle.append(channel)
        return answer

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
            with contextlib.suppress(Exception):
                future.result(self._deadline + 2 * _TICK)
        with self._lock:
            self._closing.set()
            connection = self._connection
        if connection is not None:
            _hang_up(connection)
        self._thread.join()
        self._expire(everything=True)
        while self._idle:
            self._idle.pop().close()

    def _send(self, connection: socket.socket, frame: bytes) -> None:
        """After a failure the receiving thread connects again and sends all that is pending."""
        try:
            with self._sending:
                connection.sendall(frame)
        except OSError:
            _hang_up(connection)

    # --- the receiving thread

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
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
            pending.future.set_exception(Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer"))
