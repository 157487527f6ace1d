"""The way in for other processes: a unix socket at the process that owns an SQLite index.

What they ask is filed with what this process files itself, and each is answered by whichever thread filed it.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from isocenter import telemetry
from isocenter.index import wire
from isocenter.index.batches import Answer, Item, Posted

log = telemetry.logger("index.serving")

_READ = 1 << 18


class Server:
    """The intake of a `LocalWriter` that files what other processes send to the unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = listen(path)
        self._listener.setblocking(False)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._clients: dict[int, _Client] = {}
        self._poll = select.poll()
        for end in (self._listener, self._wake_reader):
            self._poll.register(end, select.POLLIN)

    def wake(self) -> None:
        """See `writer.Intake`."""
        with contextlib.suppress(OSError):  # full: it will wake as it is
            self._wake_writer.send(b"\0", socket.MSG_DONTWAIT)

    def take(self, seconds: float) -> list[Item]:
        """See `writer.Intake`. Each client that has something to say is read once."""
        taken: list[Item] = []
        for descriptor, _ in self._poll.poll(seconds * 1000):
            client = self._clients.get(descriptor)
            if client is None:
                self._attend(descriptor)
            elif not client.read(taken):
                self._drop(client)
        return taken

    def _attend(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            with contextlib.suppress(OSError):  # the caller has gone before it was let in
                connection, _ = self._listener.accept()
                self._clients[connection.fileno()] = _Client(connection)
                self._poll.register(connection, select.POLLIN)
        else:
            with contextlib.suppress(BlockingIOError):  # emptied already
                self._wake_reader.recv(4096)

    def _drop(self, client: "_Client") -> None:
        descriptor = client.connection.fileno()
        self._poll.unregister(descriptor)
        del self._clients[descriptor]
        client.close()

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
    """One connection of another process, read by the keeper; a sink for whichever thread has the turn."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = wire.Frames()
        self._closing = threading.Lock()

    def read(self, taken: list[Item]) -> bool:
        """Add what it asks for; False where it has gone, or talks nonsense."""
        try:
            data = self.connection.recv(_READ, socket.MSG_DONTWAIT)
            for body in self._frames.feed(data):
                number, record = wire.parse_request(body)
                taken.append(Posted(record, self, number))
        except BlockingIOError:
            return True
        except (OSError, ValueError, TypeError, IndexError) as fault:
            log.warning("client.dropped", fault=type(fault).__name__)
            return False
        return bool(data)

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Send answers. A client that leaves so many unread that its buffer is full is dropped: it will ask again."""
        data = b"".join([wire.answer(number, outcome) for number, outcome in answers])
        with self._closing:
            try:
                if self.connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) != len(data):
                    hang_up(self.connection)
            except OSError:
                hang_up(self.connection)

    def close(self) -> None:
        """Not while an answer leaves: its descriptor might be another's by then."""
        with self._closing:
            self.connection.close()


def hang_up(connection: socket.socket) -> None:
    """Let whoever reads the connection find its end, and close it."""
    with contextlib.suppress(OSError):  # it has hung up itself
        connection.shutdown(socket.SHUT_RDWR)
