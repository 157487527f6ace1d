"""Accepts associations on listening sockets: one thread each, limits, draining (PS3.8 9.1.2).

The sockets may be shared with other processes that accept on them too.
"""

import contextlib
import errno
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Collection, Hashable
from typing import Final, Protocol

from isocenter import telemetry
from isocenter.dimse import reasons
from isocenter.dimse.association import Association, Terms
from isocenter.dimse.driver import Driver
from isocenter.dimse.failures import AssociationAborted, PeerTimeout, PeerUnreachable
from isocenter.dimse.negotiation import (
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON,
    TEMPORARY_CONGESTION,
    Admission,
    Policy,
    accepted_contexts,
)
from isocenter.dimse.outbound import SMALLEST_PDU
from isocenter.dimse.overlapping import OverlappingAssociation
from isocenter.dimse.pdu import AssociateAccept, AssociateReject, AssociateRequest
from isocenter.dimse.service import ServiceMap
from isocenter.dimse.settings import DEFAULTS, Settings
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.state import State
from isocenter.dimse.transport import Transport, plain, secured
from isocenter.dimse.upper_layer import Aborted, UpperLayer

log = telemetry.logger("dimse.acceptor")

_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PAUSE: Final = 0.2
"""Seconds without accepting where the process is out of file descriptors."""


class Counter(Protocol):
    """Counts associations against a limit, perhaps of several processes together."""

    def enter(self, called: str, calling: str, address: str, port: int) -> Hashable | None:
        """Count one in that came to `port`; what `leave` wants, or None where a limit is reached. From any thread."""

    def leave(self, place: Hashable) -> None:
        """Count it out."""


class Sharing(Protocol):
    """How processes that accept on the same sockets share the connections."""

    def holds(self, connections: int) -> None:
        """This process has so many now."""

    def precedence(self) -> float:
        """Seconds in which other processes may take the next connection before this one does."""


class LocalCounter:
    """At most `limit` associations in this process; 0: any number."""

    def __init__(self, limit: int = 0) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self.count = 0

    def enter(self, called: str, calling: str, address: str, port: int = 0) -> Hashable | None:
        """See `Counter`."""
        with self._lock:
            if self._limit and self.count >= self._limit:
                return None
            self.count += 1
            return True

    def leave(self, place: Hashable) -> None:
        """See `Counter`."""
        with self._lock:
            self.count -= 1


class Acceptor:
    """Serves associations. With `ssl_context` TLS is spoken on the listeners that `serve` is told, or on all."""

    def __init__(
        self,
        policy: Policy,
        services: ServiceMap,
        settings: Settings = DEFAULTS,
        *,
        counter: Counter | None = None,
        sharing: Sharing | None = None,
        ssl_context: ssl.SSLContext | None = None,
        slabs: Slabs | None = None,
    ) -> None:
        self._policy, self._services, self._settings = policy, services, settings
        self._counter, self._sharing = counter or LocalCounter(), sharing
        self._ssl, self._slabs = ssl_context, slabs or Slabs()
        self._wakers: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._connections: dict[int, _Connection] = {}
        self._accepting = True

    @property
    def associations(self) -> list[Association]:
        """Those that are established now."""
        with self._changed:
            return [c.association for c in self._connections.values() if c.association is not None]

    def serve(self, *listeners: socket.socket, secure: Collection[socket.socket] | None = None) -> None:
        """Accept on `listeners` until `drain` or `stop`, or until all of them were shut down. They aren't closed.

        `secure`: those of them that speak TLS; None: all, where there is an SSL context.
        """
        contexts = {each: self._ssl if secure is None or each in secure else None for each in listeners}
        reader, writer = socket.socketpair()
        with reader, writer, selectors.DefaultSelector() as selector:
            self._wakers.add(writer)
            selector.register(reader, selectors.EVENT_READ)
            for listener in listeners:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, contexts[listener])
            while self._accepting and len(selector.get_map()) > 1:
                for key, _ in selector.select():
                    if key.fileobj is not reader and not self._accept(key.fileobj, key.data):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
            self._wakers.discard(writer)

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> bool:
        """Take one connection; False where the listener is of no more use."""
        if self._sharing is not None and (pause := self._sharing.precedence()):
            time.sleep(pause)
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                log.error("accept.exhausted", errno=error.errno)
                time.sleep(_PAUSE)
            return error.errno not in (errno.EINVAL, errno.EBADF)  # else: another process was faster, or the peer left
        self._admit(sock, str(address[0]), context)
        return True

    def _admit(self, sock: socket.socket, address: str, context: ssl.SSLContext | None) -> None:
        port = int(sock.getsockname()[1])
        connection = _Connection(self, sock, address, port, context)
        with self._changed:
            full = len(self._connections) >= self._settings.max_connections
            if not full:
                self._connections[id(connection)] = connection
                self._tell()
        if full:
            log.warning("connection.refused", address=address, connections=self._settings.max_connections)
            sock.close()
            return
        self._start(connection)

    def _start(self, connection: "_Connection") -> None:
        try:
            threading.Thread(target=connection.run, name="association", daemon=True).start()
        except RuntimeError:
            log.error("thread.refused", connections=len(self._connections))
            connection.sock.close()
            self._gone(connection)

    def _gone(self, connection: "_Connection") -> None:
        with self._changed:
            self._connections.pop(id(connection), None)
            self._tell()
            self._changed.notify_all()

    def _tell(self) -> None:
        if self._sharing is not None:
            self._sharing.holds(len(self._connections))

    def _wake(self) -> None:
        self._accepting = False
        for waker in tuple(self._wakers):
            with contextlib.suppress(OSError):  # woken already, or gone
                waker.send(b"\0")

    def drain(self, timeout: float, *, quiet: float = 5.0) -> bool:
        """Stop accepting and wait for the associations to end; those silent for `quiet` seconds between messages are
        aborted. After `timeout` seconds all are. Returns whether all ended in time."""
        self._wake()
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0 and not self._wait(min(left, max(quiet / 4, 0.05))):
            now = time.monotonic()
            for association in self.associations:
                if (since := association.quiet_since) is not None and now - since >= quiet:
                    association.stop()
        ended = self._wait(0)
        self.stop()
        return ended

    def _wait(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._connections, seconds)

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop accepting, abort all associations and wait for their threads, at most `timeout` seconds."""
        self._wake()
        self.abort_all()
        if not self._wait(timeout / 2):
            self.abort_all(at_once=True)
        return self._wait(timeout / 2)

    def abort_all(self, *, at_once: bool = False) -> None:
        """End each association when its present operation is done; `at_once`: don't wait for the operation to send."""
        with self._changed:
            connections = list(self._connections.values())
        for connection in connections:
            connection.stop(at_once=at_once)


class _Connection:
    """One accepted connection and its thread."""

    def __init__(
        self, owner: Acceptor, sock: socket.socket, address: str, port: int, context: ssl.SSLContext | None
    ) -> None:
        self.sock, self.address, self.port, self._ssl = sock, address, port, context
        self.association: Association | None = None
        self._driver: Driver | None = None
        self._owner = owner

    def stop(self, *, at_once: bool) -> None:
        """From any thread."""
        if self._driver is not None:
            self._driver.stop(at_once=at_once)
        else:
            with contextlib.suppress(OSError):  # the peer was first
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def run(self) -> None:
        """The thread. Whatever happens here costs this association only."""
        try:
            self._run()
        except (AssociationAborted, PeerTimeout, PeerUnreachable) as error:
            log.info("connection.ended", address=self.address, how=error.comment)
        except ConnectionError as error:
            log.info("connection.ended", address=self.address, how=type(error).__name__)
        except Exception:
            log.error("association.failed", address=self.address, exc_info=True)
            telemetry.count("isocenter_associations_failed_total")
        finally:
            if self.association is not None:
                self.association.close()
            if self._driver is not None:
                self._driver.close()
            self.sock.close()
            self._owner._gone(self)

    def _run(self) -> None:
        settings = self._owner._settings
        deadline = time.monotonic() + (settings.artim or float(threading.TIMEOUT_MAX))
        transport = self._transport(settings)
        layer = UpperLayer(requestor=False, max_pdu=settings.max_pdu, slabs=self._owner._slabs)
        layer.accepted()
        driver = self._driver = Driver(transport, layer, settings)
        request = driver.await_control(deadline)
        if isinstance(request, AssociateReject):  # the upper layer has sent it: the request can't be read
            self._note_rejection(request)
            driver.linger(settings.artim, finish=True)
            return
        if not isinstance(request, AssociateRequest) or layer.state is not State.AWAITING_LOCAL_RESPONSE:
            # a peer that only connects and leaves is a probe; what sends something else tries TLS or HTTP on this port
            tell = log.debug if isinstance(request, Aborted) and request.by_peer else log.info
            tell("connection.ended", address=self.address, port=self.port, how="no association request")
            driver.linger(settings.artim, finish=True)
            return
        answer = self._decide(request, transport)
        if isinstance(answer, AssociateReject):
            self._reject(driver, request, answer)
            return
        place = self._owner._counter.enter(request.called, request.calling, self.address, self.port)
        if place is None:
            self._reject(driver, request, LOCAL_LIMIT_EXCEEDED)
            return
        try:
            self._serve(driver, request, answer)
        finally:
            self._owner._counter.leave(place)

    def _transport(self, settings: Settings) -> Transport:
        if self._ssl is None:
            return plain(self.sock, send_timeout=settings.send)
        return secured(self.sock, self._ssl, server=True, deadline=settings.artim or 30.0, send_timeout=settings.send)

    def _decide(self, request: AssociateRequest, transport: Transport) -> Admission | AssociateReject:
        if 0 < request.user.max_pdu < SMALLEST_PDU:
            return NO_REASON
        if not self._owner._accepting:  # it is being drained: another process, or the next one, has room
            return TEMPORARY_CONGESTION
        decision = self._owner._policy.negotiate(request, self.address, self.port, transport.session)
        return Admission(decision) if isinstance(decision, AssociateAccept) else decision

    def _reject(self, driver: Driver, request: AssociateRequest, answer: AssociateReject) -> None:
        self._note_rejection(answer, calling=request.calling, called=request.called)
        driver.send_primitive(answer)
        driver.linger(self._owner._settings.artim)

    def _note_rejection(self, answer: AssociateReject, **titles: str) -> None:
        reason = f"{answer.result}/{answer.source}/{answer.reason}"
        meaning = reasons.rejection(answer.result, answer.source, answer.reason)
        log.warning("association.rejected", **titles, address=self.address, reason=reason, meaning=meaning)
        telemetry.count("isocenter_associations_rejected_total", reason=reason)

    def _serve(self, driver: Driver, request: AssociateRequest, admission: Admission) -> None:
        owner, answer = self._owner, admission.answer
        driver.send_primitive(answer)
        contexts = accepted_contexts(request, answer, requestor=False)
        performed, invoked = answer.user.window or (1, 1)
        terms = Terms(request.calling, request.called, contexts, request.user, invoked, performed)
        kind = Association if performed == 1 else OverlappingAssociation
        self.association = association = kind(
            driver,
            terms,
            services=owner._services,
            settings=admission.settings or owner._settings,
            slabs=owner._slabs,
            address=self.address,
            port=self.port,
            basis=admission.basis,
            user=admission.user,
        )
        peer = log.bind(calling=request.calling, called=request.called, address=self.address, **_secrecy(association))
        peer.info("association.accepted", contexts=len(contexts), max_pdu=request.user.max_pdu)
        telemetry.count("isocenter_associations_accepted_total")
        how = association.serve()
        peer.info("association.ended", how=how)


def _secrecy(association: Association) -> dict[str, str]:
    """What an audit wants to know of an association with TLS or with a user; nothing of the others."""
    session, told = association.session, dict[str, str]()
    if session is not None:
        told |= {"tls": session.version, "cipher": session.cipher}
        if session.fingerprint:
            told["certificate"] = session.fingerprint
    if association.user:
        told["user"] = association.user
    return told
