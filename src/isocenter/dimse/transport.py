"""Connections as an association's thread uses them: blocking, with deadlines kept by the kernel where it can.

TCP_NODELAY is always on. TCP_QUICKACK is switched on again before each receive, since the kernel forgets it: a peer
that leaves Nagle's algorithm on would otherwise wait 40 ms for the acknowledgement of each small PDU.
"""

import contextlib
import hashlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from isocenter.dimse.failures import PeerTimeout, PeerUnreachable

Buffer = bytes | bytearray | memoryview
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_AT_ONCE = 0.001
_HANDSHAKE = 1 << 14
_ENCRYPTED = 1 << 16
"""Bytes of TLS records that are received at once."""


class Quiet(Exception):
    """Nothing arrived within the receive time-out."""


class Session(NamedTuple):
    """A TLS session as it was agreed on, and whom it is with."""

    version: str
    """`TLSv1.2` or `TLSv1.3`."""
    cipher: str
    """The cipher suite, by OpenSSL's name."""
    fingerprint: str = ""
    """SHA-256 of the peer's certificate in hexadecimal, lower case; empty: it showed none."""


@dataclass(frozen=True, slots=True)
class Secure:
    """How a requestor uses TLS."""

    context: ssl.SSLContext
    name: str = ""
    """The name or address that the acceptor's certificate must be for; empty: any that `context` trusts."""
    fingerprint: str = ""
    """SHA-256 of the acceptor's certificate in hexadecimal, lower case; empty: any that `context` trusts."""


class Transport(Protocol):
    """A connection to one peer."""

    session: Session | None
    """None without TLS."""

    def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes; how many came, 0 at the end or on a broken connection. `Quiet` after the time-out."""

    def readable(self, seconds: float | None, *, waker: int | None = None) -> bool:
        """Whether bytes, or the end, are there within `seconds` (None: however long it takes), or until the file
        descriptor `waker` is readable."""

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
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        session = context.wrap_bio(coming, going, server_side=server, server_hostname=name or None)
        _shake_hands(sock, session, coming, going, time.monotonic() + deadline)
    except (OSError, ValueError) as error:
        sock.close()
        raise PeerUnreachable(f"TLS handshake: {_why(error)}") from error
    return TlsTransport(plain(sock, send_timeout=send_timeout), session, coming, going)


def _shake_hands(
    sock: socket.socket, session: ssl.SSLObject, coming: ssl.MemoryBIO, going: ssl.MemoryBIO, until: float
) -> None:
    done = False
    while not done:
        sock.settimeout(max(until - time.monotonic(), _AT_ONCE))
        try:
            session.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass  # the peer has the word
        finally:
            sock.sendall(going.read())  # after a failure the alert
        if not done:
            piece = sock.recv(_HANDSHAKE)
            if not piece or time.monotonic() > until:
                raise ConnectionAbortedError if not piece else TimeoutError
            coming.write(piece)


def _why(error: Exception) -> str:
    """What the handshake failed at, in OpenSSL's words where it has any."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return "time-out" if isinstance(error, TimeoutError) else type(error).__name__


def _no_delay(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _readable(sock: socket.socket, seconds: float | None, waker: int | None) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    if waker is not None:
        waiting.register(waker, select.POLLIN)
    found = waiting.poll(None if seconds is None else max(0.0, seconds) * 1000)
    return any(fd != waker for fd, _ in found)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1e6))


class PlainTransport:
    """TCP without TLS. Time-outs are SO_RCVTIMEO and SO_SNDTIMEO, so that a receive is one system call."""

    session: Session | None = None

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

    def readable(self, seconds: float | None, *, waker: int | None = None) -> bool:
        """See `Transport`."""
        return _readable(self._sock, seconds, waker)

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
            with contextlib.suppress(OSError):  # on a closed socket the next read says so
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def finish(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):  # closed already
            self._sock.shutdown(socket.SHUT_WR)

    def shut(self, *, sending: bool) -> None:
        """See `Transport`."""
        with contextlib.suppress(OSError):  # closed already
            self._sock.shutdown(socket.SHUT_RDWR if sending else socket.SHUT_RD)

    def close(self) -> None:
        """See `Transport`."""
        self._sock.close()

    def send_at_once(self, data: bytes) -> None:
        """Send a few bytes if that needs no waiting. Never raises."""
        with contextlib.suppress(OSError):  # a farewell: nobody may be there to hear it
            self._sock.send(data, socket.MSG_DONTWAIT)


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


def _session(session: ssl.SSLObject) -> Session:
    suite, shown = session.cipher(), session.getpeercert(binary_form=True)
    fingerprint = hashlib.sha256(shown).hexdigest() if shown else ""
    return Session(session.version() or "", suite[0] if suite else "", fingerprint)


class TlsTransport:
    """TLS between the association and a plain transport.

    OpenSSL is kept away from the socket: it would ask for each record twice, and hand out no more than one at a time.
    So what one system call brings is decrypted in one go, and what is sent at once leaves with one. One thread uses all
    of it but `shut`, since an SSL object takes no two at once.
    """

    def __init__(
        self, transport: PlainTransport, session: ssl.SSLObject, coming: ssl.MemoryBIO, going: ssl.MemoryBIO
    ) -> None:
        self._plain, self._ssl, self._coming, self._going = transport, session, coming, going
        self._encrypted = memoryview(bytearray(_ENCRYPTED))
        self.session: Session | None = _session(session)

    def receive_into(self, buffer: memoryview) -> int:
        """See `Transport`."""
        while (n := self._decrypted(buffer)) is None:
            got = self._plain.receive_into(self._encrypted)
            if not got:
                return 0
            self._coming.write(self._encrypted[:got])
        return n

    def readable(self, seconds: float | None, *, waker: int | None = None) -> bool:
        """See `Transport`."""
        return bool(self._coming.pending or self._ssl.pending()) or self._plain.readable(seconds, waker=waker)

    def poll_into(self, buffer: memoryview) -> int | None:
        """See `Transport`."""
        while (n := self._decrypted(buffer)) is None:
            got = self._plain.poll_into(self._encrypted)
            if not got:
                return got
            self._coming.write(self._encrypted[:got])
        return n

    def _decrypted(self, buffer: memoryview) -> int | None:
        """As many bytes as are here; 0 at the end of the session, None where a record is not complete yet."""
        done, more = 0, True
        try:
            while done < len(buffer) and (n := self._ssl.read(len(buffer) - done, buffer[done:])):
                done += n  # type: ignore[operator]
        except ssl.SSLWantReadError:
            more = False
        except OSError:
            pass  # seen again at the next call, if anything came before it
        if self._going.pending:
            self._leave()
        return done if done or more else None

    def _leave(self) -> None:
        """What OpenSSL answers by itself; a connection that is lost shows at the next call."""
        with contextlib.suppress(OSError, PeerTimeout):  # what came before it is still to be read
            self._plain.send((self._going.read(),))

    def send(self, buffers: Sequence[Buffer]) -> None:
        """See `Transport`."""
        self._ssl.write(b"".join(buffers) if len(buffers) > 1 else buffers[0])
        self._plain.send((self._going.read(),))

    def quiet_after(self, seconds: float) -> None:
        """See `Transport`."""
        self._plain.quiet_after(seconds)

    def finish(self) -> None:
        """See `Transport`."""
        self._say_goodbye()
        self._plain.finish()

    def shut(self, *, sending: bool) -> None:
        """See `Transport`."""
        self._plain.shut(sending=sending)

    def close(self) -> None:
        """See `Transport`."""
        self._say_goodbye()
        self._plain.close()

    def _say_goodbye(self) -> None:
        """Send close_notify (RFC 8446 6.1) as far as that needs no waiting; once."""
        with contextlib.suppress(OSError, ValueError):  # what can't be said any more need not be
            self._ssl.unwrap()
        if self._going.pending:
            self._plain.send_at_once(self._going.read())
