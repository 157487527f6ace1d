"""The requestor's side: open an association, invoke echo, store, find, move, get and the N- services (PS3.4, PS3.7)."""

import socket
import ssl as tls
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from typing import NamedTuple

from isocenter.dicom.uids import VERIFICATION
from isocenter.dimse import commands
from isocenter.dimse.association import Association, Terms
from isocenter.dimse.commands import Command
from isocenter.dimse.driver import Driver
from isocenter.dimse.failures import AssociationAborted, PeerUnreachable, rejected
from isocenter.dimse.invoking import Response
from isocenter.dimse.negotiation import accepted_contexts, propose
from isocenter.dimse.outbound import SMALLEST_PDU
from isocenter.dimse.pdu import AssociateAccept, AssociateReject, AssociateRequest, UserIdentity, UserInformation
from isocenter.dimse.service import Context, Service, ServiceMap, Sink
from isocenter.dimse.settings import DEFAULTS, ProposedContext, Settings
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.transport import Secure, Transport, plain, secured
from isocenter.dimse.upper_layer import Aborted, UpperLayer
from isocenter.errors import IsocenterError

Receive = Callable[[Association, Context, Command], Sink]
"""Where a C-GET's object goes: a sink for each C-STORE. Its `close` may raise to answer a failure."""


class Progress(NamedTuple):
    """A response to C-MOVE or C-GET. Counts are None where the peer leaves them out; `data` lists failed UIDs."""

    status: int
    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None
    comment: str
    data: bytes | None


class ClientAssociation(Association):
    """An association that we asked for."""

    _receive: Service | None = None

    def echo(self) -> int:
        """C-ECHO; its status."""
        return self.invoke(self.context_for(VERIFICATION).id, commands.echo_rq()).status

    def find(
        self, sop_class: str, identifier: bytes, *, context_id: int | None = None, priority: int = 0
    ) -> Iterator[Response]:
        """C-FIND: a response for each match (status FF00 or FF01), then the final one without data.

        `identifier` is encoded in the context's transfer syntax, as the answers are. A generator that is closed early
        cancels and waits for the end.
        """
        context = context_id if context_id is not None else self.context_for(sop_class).id
        yield from self._until_final(context, commands.find_rq(sop_class, priority=priority), identifier)

    def move(
        self, sop_class: str, identifier: bytes, destination: str, *, context_id: int | None = None, priority: int = 0
    ) -> Iterator[Progress]:
        """C-MOVE to the AE `destination`: each response, the final one last. Closed early it cancels."""
        context = context_id if context_id is not None else self.context_for(sop_class).id
        command = commands.move_rq(sop_class, destination, priority=priority)
        with closing(self._until_final(context, command, identifier)) as responses:
            yield from (_progress(response) for response in responses)

    def get(
        self,
        sop_class: str,
        identifier: bytes,
        receive: Receive,
        *,
        context_id: int | None = None,
        priority: int = 0,
    ) -> Iterator[Progress]:
        """C-GET: each response, the final one last; the objects go to the sinks of `receive` meanwhile. The storage
        contexts have to be proposed with the SCP role."""
        context = context_id if context_id is not None else self.context_for(sop_class).id
        command = commands.get_rq(sop_class, priority=priority)
        self._receive = _Receiver(receive)
        try:
            with closing(self._until_final(context, command, identifier)) as responses:
                yield from (_progress(response) for response in responses)
        finally:
            self._receive = None

    def event_report(
        self, sop_class: str, sop_instance: str, event_type: int, data: bytes | None = None, *, context: Context
    ) -> Response:
        """N-EVENT-REPORT, on a context where we are the SCP."""
        return self.invoke(context.id, commands.event_report_rq(sop_class, sop_instance, event_type), data)

    def n_get(
        self, sop_class: str, sop_instance: str, attributes: list[int] | None = None, *, context: Context | None = None
    ) -> Response:
        """N-GET."""
        return self._n(sop_class, context, commands.n_get_rq(sop_class, sop_instance, attributes), None)

    def n_set(self, sop_class: str, sop_instance: str, data: bytes, *, context: Context | None = None) -> Response:
        """N-SET."""
        return self._n(sop_class, context, commands.n_set_rq(sop_class, sop_instance), data)

    def n_action(
        self,
        sop_class: str,
        sop_instance: str,
        action_type: int,
        data: bytes | None = None,
        *,
        context: Context | None = None,
    ) -> Response:
        """N-ACTION."""
        return self._n(sop_class, context, commands.n_action_rq(sop_class, sop_instance, action_type), data)

    def n_create(
        self, sop_class: str, sop_instance: str, data: bytes | None, *, context: Context | None = None
    ) -> Response:
        """N-CREATE; without `sop_instance` the response's command names the UID that the peer made."""
        return self._n(sop_class, context, commands.n_create_rq(sop_class, sop_instance), data)

    def n_delete(self, sop_class: str, sop_instance: str, *, context: Context | None = None) -> Response:
        """N-DELETE."""
        return self._n(sop_class, context, commands.n_delete_rq(sop_class, sop_instance), None)

    def listen(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Perform what the peer invokes (N-EVENT-REPORT on the same association) for `seconds` or until it says so."""
        deadline = time.monotonic() + seconds
        while not until() and self._driver.wait_readable(deadline - time.monotonic()):
            self._handle(self._driver.take())

    def _n(self, sop_class: str, context: Context | None, command: Command, data: bytes | None) -> Response:
        return self.invoke((context or self.context_for(sop_class)).id, command, data)

    def _until_final(self, context_id: int, command: Command, data: bytes) -> Generator[Response, None, None]:
        message_id = self.request(context_id, command, data)
        try:
            yield from self.responses(message_id)
        except GeneratorExit:
            with suppress(IsocenterError):  # the association is given up anyway
                self._give_up(context_id, message_id)
            raise

    def _give_up(self, context_id: int, message_id: int) -> None:
        """Cancel an operation whose caller has seen enough, and wait for its end."""
        if self.awaits(message_id) and self.open:
            self.cancel(context_id, message_id)
            for _ in self.responses(message_id):
                pass

    def _service(self, context: Context, command: Command) -> Service:
        if self._receive is not None and command.get(commands.COMMAND_FIELD) == commands.C_STORE_RQ and context.as_scp:
            return self._receive
        return super()._service(context, command)


def _progress(response: Response) -> Progress:
    command = response.command

    def count(tag: int) -> int | None:
        return commands.number(command, tag) if tag in command else None

    return Progress(
        response.status,
        count(commands.REMAINING),
        count(commands.COMPLETED),
        count(commands.FAILED),
        count(commands.WARNING),
        response.comment,
        response.data,
    )


class _Receiver:
    """Performs the C-STOREs of a C-GET."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def sink(self, association: Association, context: Context, command: Command) -> Sink:
        """The caller's."""
        return self._receive(association, context, command)

    def perform(self, association: Association, context: Context, command: Command, sink: Sink | None) -> None:
        """The sink has taken the object."""
        association.respond(context.id, commands.response(command, commands.SUCCESS))


def connect(
    address: tuple[str, int],
    *,
    calling: str,
    called: str,
    contexts: Sequence[ProposedContext],
    settings: Settings = DEFAULTS,
    ssl: tls.SSLContext | Secure | None = None,
    services: ServiceMap | None = None,
    user_identity: UserIdentity | None = None,
    slabs: Slabs | None = None,
) -> ClientAssociation:
    """Open an association with the AE `called` at (host, port).

    `services` performs what the peer invokes. An SSL context that checks host names wants `address` in the certificate.
    Raises `PeerUnreachable`, `AssociationRejected` (permanently or
    transiently), `AssociationAborted`, `PeerTimeout`.
    """
    slabs = slabs or Slabs(spare=1)
    request = propose(
        contexts,
        calling=calling,
        called=called,
        settings=settings,
        user=UserInformation(user_identity=user_identity),
    )
    layer = UpperLayer(requestor=True, max_pdu=settings.max_pdu, slabs=slabs)
    layer.send(request)
    driver = Driver(_open(address, settings, ssl), layer, settings)
    try:
        answer = _ask(driver, settings)
        terms = _terms(request, answer)
    except BaseException:
        driver.abort()
        driver.close()
        raise
    return ClientAssociation(
        driver, terms, services=services, settings=settings, slabs=slabs, address=address[0], port=address[1]
    )


def _open(address: tuple[str, int], settings: Settings, ssl: tls.SSLContext | Secure | None) -> Transport:
    try:
        sock = socket.create_connection(address, timeout=settings.connect or None)
    except OSError as error:
        raise PeerUnreachable(f"no connection: {error.strerror or type(error).__name__}") from error
    if ssl is None:
        return plain(sock, send_timeout=settings.send)
    secure = ssl if isinstance(ssl, Secure) else Secure(ssl, address[0] if ssl.check_hostname else "")
    deadline = settings.connect or 30.0
    transport = secured(
        sock, secure.context, server=False, deadline=deadline, send_timeout=settings.send, name=secure.name
    )
    shown = transport.session.fingerprint if transport.session else ""
    if secure.fingerprint and shown != secure.fingerprint:
        transport.close()
        raise PeerUnreachable("TLS: the peer's certificate has another fingerprint")
    return transport


def _ask(driver: Driver, settings: Settings) -> AssociateAccept:
    driver.send(driver.layer.connected())
    answer = driver.await_control(time.monotonic() + (settings.artim or 1e9))
    if isinstance(answer, AssociateReject):
        raise rejected(answer.result, answer.source, answer.reason)
    if isinstance(answer, AssociateAccept):
        return answer
    if isinstance(answer, Aborted):
        raise AssociationAborted(answer.source, answer.reason, by_peer=answer.by_peer)
    raise AssociationAborted(2, 2, by_peer=False)


def _terms(request: AssociateRequest, answer: AssociateAccept) -> Terms:
    if 0 < answer.user.max_pdu < SMALLEST_PDU:
        raise AssociationAborted(2, 6, by_peer=False)
    contexts = accepted_contexts(request, answer, requestor=True)
    window = answer.user.window[0] if answer.user.window and request.user.window else 1
    return Terms(request.calling, request.called, contexts, answer.user, window)
