"""Connections as an association's thread uses them: blocking, with deadlines kept by the kernel where it can.

TCP_NODELAY is always on. TCP_QUICKACK is switched on again before each receive, since the kernel forgets it: a peer
that leaves Nagle's algorithm on would otherwise wait 40 ms for the acknowledgement of each small PDU.
"""

import contextlib
import select
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Protocol

from isocenter.dimse.failures import PeerTimeout, PeerUnreachable

Buffer = bytes | bytearray | memoryview
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_AT_ONCE = 0.001


class Quiet(Exception):
    """Nothing arrived within the receive time-out."""


class Transport(Protocol):
    """A connection to one peer."""

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes; how many came, 0 at the end or on a broken connection. `Quiet` after the time-out."""

    def readable(self, seconds: float) -> bool:
        """Whether bytes, or the end, are there within `seconds`."""

    def poll_into(self, buffer: memoryview) -> int | None:
        """As `receive_into` without waiting; None where nothing is there."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send all. `PeerTimeout` where the peer takes nothing for the send time-out; OSError on a lost connection."""

    def quiet_after(self, seconds: float) -> None:
        """Set the receive time-out; 0: wait for ever."""

    def finish(self) -> None:
        """Say that nothing more will be sent. Never raises."""

    def shut(self, *, sending: bool) -> None:
        """From another thread: the next receive sees the end; with `sending` sends fail too."""

    def close(self) -> None:
        """Give the connection back. Never raises."""


def plain(sock: socket.socket, *, send_timeout: float) -> "PlainTransport":
    """A TCP connection as it is."""
    sock.settimeout(None)
    _no_delay(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout))
    return PlainTransport(sock)


def secured(
    sock: socket.socket, context: ssl.SSLContext, *, server: bool, deadline: float, send_timeout: float, name: str = ""
) -> "TlsTransport":
    """A TLS session over `sock`, its handshake done within `deadline` seconds; `PeerUnreachable` otherwise.

    `sock` is closed where that fails. `name`: the server's, for its certificate, on the client's side.
    """
    _no_delay(sock)
    sock.settimeout(deadline)
    wrapped: ssl.SSLSocket | None = None
    try:
        wrapped = context.wrap_socket(
            sock, server_side=server, do_handshake_on_connect=False, server_hostname=name or None
        )
        wrapped.do_handshake()
    except (OSError, ValueError) as error:
        (wrapped or sock).close()
        raise PeerUnreachable(f"TLS handshake: {type(error).__name__}") from error
    return TlsTransport(wrapped, send_timeout)


def _no_delay(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _readable(sock: socket.socket, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(max(0.0, seconds) * 1000))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1e6))


class PlainTransport:
    """TCP without TLS. Time-outs are SO_RCVTIMEO and SO_SNDTIMEO, so that a receive is one system call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._quick = _QUICKACK is not None and sock.family != socket.AF_UNIX
        self._timeout = 0.0

    def receive_into(self, buffer: memoryview) -> int:
        """See `Transport`."""
        try:
            if self._quick:
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)  # type: ignore[arg-type]
            return self._sock.recv_into(buffer)
        except BlockingIOError:
            raise Quiet from None
        except OSError:
            return 0

    def readable(self, seconds: float) -> bool:
        """See `Transport`."""
        return _readable(self._sock, seconds)

    def poll_into(self, buffer: memoryview) -> int | None:
        """See `Transport`."""
        try:
            return self._sock.recv_into(buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def send(self, buffers: Sequence[Buffer]) -> None:
        """See `Transport`."""
        left = sum(map(len, buffers))
        while True:
            try:
                sent = self._sock.sendmsg(buffers)
            except BlockingIOError:
                raise PeerTimeout("sending") from None
            left -= sent
            if not left:
                return
            buffers = _rest(buffers, sent)

    def quiet_after(self, seconds: float) -> None:
        """See `Transport`."""
        if seconds != self._timeout:
            self._timeout = seconds
            value = _timeval(max(seconds, _AT_ONCE) if seconds else 0.0)
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def finish(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def shut(self, *, sending: bool) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR if sending else socket.SHUT_RD)

    def close(self) -> None:
        """See `Transport`."""
        self._sock.close()


def _rest(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What is left of `buffers` after `sent` bytes."""
    rest: list[Buffer] = []
    for buffer in buffers:
        if sent >= len(buffer):
            sent -= len(buffer)
        else:
            rest.append(memoryview(buffer)[sent:])
            sent = 0
    return rest


class TlsTransport:
    """TCP with TLS. OpenSSL has no vectors: what is sent at once is joined first."""

    def __init__(self, sock: ssl.SSLSocket, send_timeout: float) -> None:
        self._sock = sock
        self._send_timeout = send_timeout or None
        self._timeout: float | None = None
        self._sock.settimeout(None)

    def receive_into(self, buffer: memoryview) -> int:
        """See `Transport`."""
        try:
            if _QUICKACK is not None:
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            return self._sock.recv_into(buffer)
        except TimeoutError:
            raise Quiet from None
        except OSError:
            return 0

    def readable(self, seconds: float) -> bool:
        """See `Transport`."""
        return self._sock.pending() > 0 or _readable(self._sock, seconds)

    def poll_into(self, buffer: memoryview) -> int | None:
        """See `Transport`."""
        self._sock.settimeout(0.0)
        try:
            return self._sock.recv_into(buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        except OSError:
            return 0
        finally:
            self._sock.settimeout(self._timeout)

    def send(self, buffers: Sequence[Buffer]) -> None:
        """See `Transport`."""
        self._sock.settimeout(self._send_timeout)
        try:
            self._sock.sendall(b"".join(buffers) if len(buffers) > 1 else buffers[0])
        except TimeoutError:
            raise PeerTimeout("sending") from None
        finally:
            self._sock.settimeout(self._timeout)

    def quiet_after(self, seconds: float) -> None:
        """See `Transport`."""
        self._timeout = max(seconds, _AT_ONCE) if seconds else None
        self._sock.settimeout(self._timeout)

    def finish(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def shut(self, *, sending: bool) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR if sending else socket.SHUT_RD)

    def close(self) -> None:
        """See `Transport`."""
        self._sock.close()
