"""The index writer over a unix socket: `serve` in the process that owns an SQLite index, `RemoteWriter` in the others.

Requests are pipelined. The thread that reads a client's socket queues its records itself, and the writer's thread sends
the answers of a commit itself, all of a client's in one piece, so that a record waits for two wake-ups and no more. If
the writer's process dies, clients connect again and send what was not answered: filing is idempotent.
"""

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from isocenter import telemetry
from isocenter.errors import Reason, Retriable
from isocenter.index import wire
from isocenter.index.records import Outcome, Record
from isocenter.index.writer import DEADLINE, Answer, LocalWriter

log = telemetry.logger("index.remote")

_READ = 1 << 18
_TICK = 0.5
"""Seconds between looks at deadlines."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_TIMEVAL = struct.Struct("@ll")


class Server:
    """Serves a `LocalWriter` to the clients of one listening socket; a thread each."""

    def __init__(self, path: Path, writer: LocalWriter) -> None:
        self._writer = writer
        self._listener = listen(path)
        self._path = path
        self._clients: set[_Client] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="index-server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            client = _Client(connection, self._writer, self._gone)
            with self._lock:
                self._clients.add(client)
            client.start()

    def _gone(self, client: "_Client") -> None:
        with self._lock:
            self._clients.discard(client)

    def stop(self) -> None:
        """Take no more requests. Close the writer afterwards; the clients send again what was not answered."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.close()
        self._thread.join()
        for client in clients:
            client.join()


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


def serve(path: Path, writer: LocalWriter, stop: threading.Event) -> None:
    """Serve `writer` at `path` until `stop` is set: the whole life of the `index` process."""
    server = Server(path, writer)
    stop.wait()
    server.stop()
    writer.close()


class _Client:
    """One connected process, as the server sees it; a sink of the writer."""

    def __init__(self, connection: socket.socket, writer: LocalWriter, gone: Callable[["_Client"], None]) -> None:
        self._connection = connection
        self._writer = writer
        self._gone = gone
        self._thread = threading.Thread(target=self._read, name="index-client", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def close(self) -> None:
        _hang_up(self._connection)

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Send answers. A client that leaves so many unread that its buffer is full is dropped: it will ask again."""
        data = b"".join([wire.answer(number, outcome) for number, outcome in answers])
        try:
            if self._connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) != len(data):
                self.close()
        except OSError:
            self.close()

    def _read(self) -> None:
        frames = wire.Frames()
        connection = self._connection
        try:
            while data := connection.recv(_READ):
                for body in frames.feed(data):
                    number, record = wire.parse_request(body)
                    self._writer.enqueue(record, self, number)
        except (OSError, ValueError, TypeError, IndexError) as fault:
            log.warning("client.dropped", fault=type(fault).__name__)
        finally:
            self._gone(self)
            connection.close()


def _hang_up(connection: socket.socket) -> None:
    """Let whoever reads the connection find its end, and close it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Pending(NamedTuple):
    frame: bytes
    future: Future[Outcome]
    deadline: float


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
        self._thread = threading.Thread(target=self._work, name="index-remote", daemon=True)
        self._thread.start()

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
