"""Receiving messages over MLLP: one thread a connection, each feed's messages in their order."""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from isocenter import telemetry
from isocenter.hl7.framing import FrameTooLong, Unframing, framed

log = telemetry.logger("hl7.listening")

_CHUNK: Final = 1 << 16
_LOOK: Final = 0.5
"""Seconds after which an idle connection looks whether the listener is stopping."""

Address = tuple[str, int]
Handle = Callable[[bytes, Address], Sequence[bytes]]
"""A message and who sent it; the acknowledgements to be sent back, in order. What it raises ends the connection."""


class Limits(NamedTuple):
    """What a sender may do."""

    longest: int = 64 << 20
    """Bytes of a message."""
    connections: int = 64
    idle: float = 0.0
    """Seconds without a message after which a connection is closed; 0: never, since feeds are quiet at night."""
    handshake: float = 10.0
    """Seconds for TLS, and for an answer to be taken."""


class Listener:
    """Listens on sockets that are bound already, until it is stopped."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handle: Handle,
        limits: Limits = Limits(),  # noqa: B008  it is immutable
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls`: of all the sockets."""
        self._sockets, self._handle, self._limits, self._tls = sockets, handle, limits, tls
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
        except Exception:
            log.error("hl7.unexpected", exc_info=True, address=address[0])
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _secured(self, plain: socket.socket) -> socket.socket:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is None:
            return plain
        plain.settimeout(self._limits.handshake)
        try:
            return self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise

    def _converse(self, connection: socket.socket, address: Address) -> None:
        frames, quiet = Unframing(self._limits.longest), 0.0
        while not self._stopping.is_set():
            connection.settimeout(_LOOK)
            try:
                data = connection.recv(_CHUNK)
            except TimeoutError:
                quiet += _LOOK
                if self._limits.idle and quiet >= self._limits.idle:
                    return
                continue
            if not data:
                return
            quiet = 0.0
            for message in frames.feed(data):
                connection.settimeout(self._limits.handshake)
                for answer in self._handle(message, address):
                    connection.sendall(framed(answer))
