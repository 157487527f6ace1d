"""Receiving messages over MLLP: one thread a connection, each feed's messages in their order."""

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from isocenter import telemetry
from isocenter.errors import Retriable
from isocenter.hl7.framing import FrameTooLong, Unframing, framed

log = telemetry.logger("hl7.listening")

_CHUNK: Final = 1 << 16
_LOOK: Final = 0.5
"""Seconds after which an idle connection looks whether the listener is stopping."""

_QUIET: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
"""Seconds after which a sender that says nothing is asked whether it is there still; the system's own are hours."""

Address = tuple[str, int]
Handle = Callable[[bytes, Address], Iterable[bytes]]
"""A message and who sent it; the acknowledgements to be sent back, in order, each as soon as it is given. It is asked
for all of them even where the sender is gone. What it raises ends the connection."""


class Limits(NamedTuple):
    """What a sender may do."""

    longest: int = 64 << 20
    """Bytes of a message."""
    connections: int = 64
    idle: float = 0.0
    """Seconds without a message after which a connection is closed; 0: never, since feeds are quiet at night."""
    handshake: float = 10.0
    """Seconds for TLS, and for an answer to be taken."""
    message: float = 60.0
    """Seconds from the beginning of a message to its end; 0: any."""


def anyone(_address: str) -> bool:
    """Whoever comes is let in."""
    return True


def hang_up(_beginning: bytes, _sender: Address) -> Iterable[bytes]:
    """A message that is too large gets no answer."""
    return ()


class Listener:
    """Listens on sockets that are bound already, until it is stopped."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handle: Handle,
        limits: Limits = Limits(),  # noqa: B008  it is immutable
        tls: ssl.SSLContext | None = None,
        *,
        admits: Callable[[str], bool] = anyone,
        too_long: Handle = hang_up,
    ) -> None:
        """`tls`: of all the sockets. `admits`: whether messages are taken from an address. `too_long`: what is answered
        to a message that is larger than is taken, by its beginning, before the connection ends."""
        self._sockets, self._handle, self._limits, self._tls = sockets, handle, limits, tls
        self._admits, self._too_long = admits, too_long
        self._stopping = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._accepting = threading.Thread(target=self._accept, name="hl7-listener", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._accepting.start()

    def stop(self, patience: float = 10.0) -> bool:
        """Accept no more, let every message that has come be answered, and end the connections. Whether all ended
        within `patience` seconds each."""
        self._stopping.set()
        self._waker.send(b"\0")
        self._accepting.join(patience)
        with self._lock:
            left = list(self._threads)
        for thread in left:
            thread.join(patience)
        self._waker.close()
        self._woken.close()
        return not any(thread.is_alive() for thread in left)

    @property
    def connections(self) -> int:
        """How many there are now."""
        with self._lock:
            return len(self._threads)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*self._sockets, self._woken):
                each.setblocking(False)
                selector.register(each, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if key.fileobj is not self._woken and isinstance(key.fileobj, socket.socket):
                        self._take(key.fileobj)

    def _take(self, listening: socket.socket) -> None:
        try:
            connection, address = listening.accept()
        except OSError:  # another process was faster, or the sender has gone already
            return
        if not self._admits(str(address[0])):
            log.warning("hl7.unknown-sender", address=address[0])
            connection.close()
            return
        with self._lock:
            full = len(self._threads) >= self._limits.connections
            if not full:
                thread = threading.Thread(target=self._serve, args=(connection, address[:2]), daemon=True)
                self._threads.add(thread)
        if full:
            log.warning("hl7.too-many-connections", address=address[0])
            connection.close()
            return
        thread.start()

    def _serve(self, plain: socket.socket, address: Address) -> None:
        try:
            with contextlib.closing(self._secured(plain)) as connection:
                self._converse(connection, address)
        except (OSError, FrameTooLong) as failure:
            log.warning("hl7.connection-lost", address=address[0], fault=type(failure).__name__)
        except Retriable as failure:  # there is no answer, so that the message is sent again
            log.warning("hl7.unanswered", address=address[0], reason=failure.comment)
        except Exception:
            log.error("hl7.unexpected", exc_info=True, address=address[0])
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _secured(self, plain: socket.socket) -> socket.socket:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _QUIET:
            if hasattr(socket, name):
                plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if self._tls is None:
            return plain
        plain.settimeout(self._limits.handshake)
        try:
            return self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise

    def _converse(self, connection: socket.socket, address: Address) -> None:
        frames, heard, begun = Unframing(self._limits.longest), time.monotonic(), 0.0
        while not self._stopping.is_set():
            connection.settimeout(_LOOK)
            try:
                data = connection.recv(_CHUNK)
            except TimeoutError:
                if self._is_late(frames, heard, begun):
                    return
                continue
            if not data:
                return
            heard, within = time.monotonic(), frames.under_way
            try:
                messages = frames.feed(data)
            except FrameTooLong as large:
                self._answer(connection, self._too_long(large.beginning, address))
                raise
            for message in messages:
                self._answer(connection, self._handle(message, address))
            begun = begun if within and frames.under_way and not messages else heard
            if self._is_late(frames, heard, begun):
                return

    def _is_late(self, frames: Unframing, heard: float, begun: float) -> bool:
        """Whether a message takes too long to come, or there was none for too long."""
        at = time.monotonic()
        if frames.under_way:
            late = bool(self._limits.message) and at - begun >= self._limits.message
            if late:
                log.warning("hl7.message-unfinished")
            return late
        return bool(self._limits.idle) and at - heard >= self._limits.idle

    def _answer(self, connection: socket.socket, answers: Iterable[bytes]) -> None:
        lost: OSError | None = None
        for answer in answers:
            if lost is None:
                try:
                    connection.settimeout(self._limits.handshake)
                    connection.sendall(framed(answer))
                except OSError as failure:
                    lost = failure  # what has begun goes on to its end
        if lost is not None:
            raise lost
