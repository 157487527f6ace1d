"""A live association, of either side: requests in to the services and their responses out (PS3.7 7, 8).

Everything but `stop` belongs to the one thread that drives the association. Requests that arrive while a service
performs another wait, copied, until it is done; C-CANCEL is seen by `cancelled`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from isocenter import telemetry
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.driver import Control, Driver, Item
from isocenter.dimse.failures import AssociationAborted, AssociationReleased, ContextNotAccepted, PeerTimeout
from isocenter.dimse.inbox import Head, Part
from isocenter.dimse.invoking import Invoker
from isocenter.dimse.outbound import command_pdus, data_pdus, fragment_size
from isocenter.dimse.pdu import ReleaseReply, ReleaseRequest, UserInformation
from isocenter.dimse.service import Context, NullSink, Service, ServiceMap, Sink
from isocenter.dimse.settings import Settings
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.state import State
from isocenter.dimse.upper_layer import Aborted
from isocenter.errors import IsocenterError

log = telemetry.logger("dimse.association")

_BATCH = 1 << 17
"""Bytes of responses that are sent at once."""
_UNBOUNDED_WINDOW = 32
"""Operations in flight where the peer takes any number."""


class Terms(NamedTuple):
    """What was negotiated, as seen from us."""

    calling: str
    called: str
    contexts: dict[int, Context]
    peer: UserInformation
    """What the peer said of itself."""
    window: int
    """Operations that we may have in flight; 0: any number."""
    performed: int = 1
    """Operations that the peer may have in flight; 0: any number."""


class Association(Invoker):
    """See the module. Made by `Acceptor` and `connect`; as a context manager it is released, on errors aborted."""

    def __init__(
        self,
        driver: Driver,
        terms: Terms,
        *,
        services: ServiceMap | None,
        settings: Settings,
        slabs: Slabs,
        address: str,
        port: int,
        basis: object = None,
        user: str = "",
    ) -> None:
        peer = terms.peer
        size = fragment_size(peer.max_pdu, settings.max_pdu_sent)
        super().__init__(driver, slabs, size, settings.response_limit)
        self.calling, self.called, self.contexts = terms.calling, terms.called, terms.contexts
        self.basis = basis
        """What the acceptor's policy decided by (`Admission.basis`), for its services; None at the requestor."""
        self.user, self.session = user, driver.session
        """The peer's user, where the acceptor's policy verified an identity; the TLS session, where there is one."""
        self.address, self.port = address, port
        """The peer's IP address; the port of ours that it came to, or of its own that we called."""
        self.peer_max_pdu = peer.max_pdu
        self.peer_implementation = (peer.implementation_class, peer.implementation_version)
        self.user_identity, self.identity_response = peer.user_identity, peer.identity_response
        self.peer_roles = peer.roles
        """What the peer said of role selection, by SOP class."""
        self.window = terms.window or _UNBOUNDED_WINDOW
        self._settings, self._services = settings, services
        self._deferred: list[Item] = []
        self._deferred_bytes = 0
        self._deferring = self._performing = self._answered = False
        self._current: tuple[Context, Command, Service] | None = None
        self._sink: Sink | None = None
        self._failure: Exception | None = None
        driver.established(frozenset(terms.contexts), settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    # ---- what a service or a caller uses

    @property
    def open(self) -> bool:
        """Whether the association is established, as far as we have seen."""
        return self._driver.open

    @property
    def quiet_since(self) -> float | None:
        """`time.monotonic()` of when the present silence was noticed; None while something happens."""
        return None if self._performing else self._driver.quiet_since

    def context_for(self, sop_class: str, syntax: str | None = None) -> Context:
        """The first accepted context of `sop_class` (in `syntax`) where we may invoke. Raises `ContextNotAccepted`."""
        for context in self.contexts.values():
            if context.abstract == sop_class and context.as_scu and syntax in (None, context.transfer_syntax):
                return context
        raise ContextNotAccepted(sop_class)

    def context_to_report(self, sop_class: str) -> Context:
        """The accepted context on which we report as SCP. A peer that says nothing of roles is taken to agree; one that
        refuses ours is not told: raises ContextNotAccepted."""
        role = self.peer_roles.get(sop_class)
        for context in self.contexts.values():
            if context.abstract == sop_class and (role is None or role.scp):
                return context
        raise ContextNotAccepted(sop_class)

    def respond(self, context_id: int, command: Command, data: bytes | None = None) -> None:
        """Send one response (see `commands.response`) with its data set."""
        self._driver.may_send_data()
        self._driver.send((self._message(context_id, command, data),))
        self._note(command)

    def respond_many(self, context_id: int, responses: Iterable[tuple[Command, bytes | None]]) -> None:
        """Send responses packed into few system calls. A command that is the very object of the one before isn't
        encoded again, so pending responses should share it."""
        self._driver.may_send_data()
        batch: list[bytes] = []
        length, previous, had_data, encoded = 0, None, False, b""
        for command, data in responses:
            if command is not previous or had_data is not (data is not None):
                previous, had_data = command, data is not None
                command[commands.DATA_SET_TYPE] = commands.DATA_FOLLOWS if had_data else commands.NO_DATA
                encoded = command_pdus(context_id, command, self._size)
                self._note(command)
            batch.append(encoded)
            length += len(encoded)
            if data is not None:
                batch.append(data_pdus(context_id, data, self._size))
                length += len(batch[-1])
            if length >= _BATCH:
                self._driver.send((b"".join(batch),))
                batch, length = [], 0
        self._driver.send((b"".join(batch),) if batch else ())

    def cancelled(self, message_id: int) -> bool:
        """Whether the peer cancelled the operation, or is gone. Looks at the connection without waiting."""
        driver, most = self._driver, self._settings.deferred_limit
        while message_id not in driver.cancelled and driver.open and driver.kept <= most and driver.poll():
            pass
        return message_id in driver.cancelled or not driver.open

    def silent(self, seconds: float) -> bool:
        """Wait until the peer says something, at most `seconds`; whether it said nothing and the association stands.
        What it said is taken next."""
        quiet = not self._driver.wait_readable(seconds)
        if not quiet and self._driver.open:
            self._driver.poll()  # a release request shows in `open`
        return quiet and self._driver.open

    def release(self) -> None:
        """Release the association (PS3.8 7.2) and close the connection. Does nothing more where it is over."""
        try:
            if self._driver.open:
                self._driver.send_primitive(ReleaseRequest())
                while True:
                    item = self._driver.take()
                    if not isinstance(item, Head | Part):
                        self._control(item)
        except (AssociationReleased, AssociationAborted, PeerTimeout):
            self._driver.linger(self._settings.artim)
        finally:
            self.close()

    def abort(self) -> None:
        """Send A-ABORT of the service user where that is possible, and close the connection."""
        try:
            self._driver.abort()
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection and give back what was borrowed."""
        sink, self._sink = self._sink, None
        self._abandon(sink)
        self._return_slab()
        self._driver.close()

    def stop(self, *, at_once: bool = False) -> None:
        """From any thread: end the association when the present operation is done, or `at_once`."""
        self._driver.stop(at_once=at_once)

    # ---- the loop of an acceptor

    def serve(self) -> str:
        """Perform the peer's requests until the association ends; how it did, in a word or two."""
        take, handle = self._taker(), self._handle
        try:
            while True:
                handle(take())
        except AssociationReleased:
            self._driver.linger(self._settings.artim)
            return "released"
        except AssociationAborted as error:
            self._driver.linger(self._settings.artim, finish=True)
            return "stopped" if self._driver.stopping else f"aborted {error.source}/{error.abort_reason}"
        except PeerTimeout as error:
            self._driver.abort()
            return error.comment
        finally:
            self.close()

    def _taker(self) -> Callable[[], Item]:
        """Gives the next thing that arrived."""
        return self._driver.take

    def _handle(self, item: Item) -> None:
        if type(item) is Head:
            self._head(item)
        elif type(item) is Part:
            if self._deferring:
                self._deferring = not item.last
                self._defer(item.copied(), sum(map(len, item.views)))
            elif self._answer is not None:
                self._continue_answer(item)
            else:
                self._continue(item)
        else:
            self._control(item)  # type: ignore[arg-type]

    def _head(self, head: Head) -> None:
        if commands.number(head.command, commands.COMMAND_FIELD) & commands.RESPONSE:
            self._begin_answer(head.command)
        elif self._performing:
            self._deferring = commands.has_data(head.command)
            self._defer(head, 0)
        else:
            self._begin(head)

    def _control(self, event: Control) -> None:
        state = self._driver.layer.state
        if isinstance(event, ReleaseRequest):
            if state is not State.COLLISION_ACCEPTOR_REPLY:
                self._driver.send_primitive(ReleaseReply())
            if self._driver.layer.state is State.AWAITING_CLOSE:
                raise AssociationReleased
        elif isinstance(event, ReleaseReply):
            if state is State.COLLISION_ACCEPTOR_LOCAL:
                self._driver.send_primitive(ReleaseReply())
            raise AssociationReleased
        elif isinstance(event, Aborted):
            raise AssociationAborted(event.source, event.reason, by_peer=event.by_peer)

    def _defer(self, item: Head | Part, length: int) -> None:
        self._deferred.append(item)
        self._deferred_bytes += length + 256
        if self._deferred_bytes > 2 * self._settings.deferred_limit:
            self._driver.violated(0)

    # ---- performing

    def _begin(self, head: Head) -> None:
        context, command = self.contexts[head.context_id], head.command
        service = self._service(context, command)
        self._current = (context, command, service)
        self._failure = None
        if not commands.has_data(command):
            self._perform(None)
            return
        self._sink = NullSink()
        try:
            self._sink = service.sink(self, context, command)
        except Exception as error:
            self._failure = error

    def _service(self, context: Context, command: Command) -> Service:
        field = commands.number(command, commands.COMMAND_FIELD)
        # an SCP reports to its SCU; some do so over an association of theirs without having said that they are the SCP
        permitted = context.as_scp or field == commands.N_EVENT_REPORT_RQ
        if field not in commands.REQUESTS or not permitted:
            return Refusal(commands.UNRECOGNIZED_OPERATION)
        service = self._services(context, command) if self._services else None
        return service or Refusal(commands.SOP_CLASS_NOT_SUPPORTED)

    def _continue(self, part: Part) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            if part.views:
                sink.write(part.views)
            if part.last:
                sink.close()
        except Exception as error:
            self._failure, self._sink = error, NullSink()
            self._abandon(sink)
        if part.last:
            self._sink = None
            self._perform(sink)

    def _abandon(self, sink: Sink | None) -> None:
        try:
            if sink is not None:
                sink.abandon()
        except Exception:
            log.error("sink.failed", calling=self.calling, called=self.called, exc_info=True)

    def _perform(self, sink: Sink | None) -> None:
        assert self._current is not None
        context, command, service = self._current
        self._performing, self._answered = True, False
        try:
            if self._failure is not None:
                raise self._failure
            service.perform(self, context, command, sink)
            if not self._answered:
                raise RuntimeError("service without a final response")
        except Exception as error:
            if self._driver.dead or not self._driver.open:
                raise
            self._answer_failure(context, command, error, answered=self._answered)
        finally:
            self._performing, self._current, self._failure = False, None, None
            self._driver.cancelled.discard(commands.number(command, commands.MESSAGE_ID))
            if self._deferred:
                self._driver.put_back(self._deferred)
                self._deferred, self._deferred_bytes = [], 0

    def _answer_failure(self, context: Context, command: Command, error: Exception, *, answered: bool) -> None:
        """0110 with a comment, unless the final response has left already (PS3.7 C.5.9)."""
        ours = isinstance(error, IsocenterError)
        comment = error.comment if isinstance(error, IsocenterError) else "internal error"
        field = f"{commands.number(command, commands.COMMAND_FIELD):04X}"
        kind = type(error).__name__
        log.error("service.failed", calling=self.calling, called=self.called, field=field, kind=kind, exc_info=not ours)
        telemetry.count("isocenter_dimse_service_failures_total")
        if not answered:
            self.respond(context.id, commands.response(command, commands.PROCESSING_FAILURE, comment))

    def _note(self, command: Command) -> None:
        self._answered = self._answered or not commands.is_pending(commands.status_of(command))


class Refusal:
    """Answers a request that nobody here performs (PS3.7 C.5.6, C.5.24)."""

    def __init__(self, status: int) -> None:
        self._status = status

    def sink(self, association: Association, context: Context, command: Command) -> Sink:
        """Nowhere."""
        return NullSink()

    def perform(self, association: Association, context: Context, command: Command, sink: Sink | None) -> None:
        """Refuse."""
        association.respond(context.id, commands.response(command, self._status))
