"""The other side of storage commitment for tests: a client that asks an archive and takes its reports, an SCP that an
archive asks, and the archive's jobs carried out by hand with a clock that a test sets.

    client = Client(); with listening(client): with running(..., peers=[client.peer]) as archive:
        client.ask(archive, made(1)); Work(archive).all(); client.reports
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from archives import NETWORK, PATIENCE, Object, Running
from isocenter import dimse
from isocenter.archive.commitment.accepted import Accepted
from isocenter.archive.commitment.asked import Asked
from isocenter.archive.commitment.data import Reference, Reported, Requested, Result, read_report, read_request, report
from isocenter.archive.commitment.holding import Checker
from isocenter.config import Peer
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH as PUSH
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH_INSTANCE as WELL_KNOWN
from isocenter.dicom.uids import new_uid
from isocenter.dimse import BufferedService, ClientAssociation, Context, ProposedContext, commands
from isocenter.exchange.committing import Asker
from isocenter.exchange.peers import Peers
from isocenter.exchange.reporting import Reporter, Reports
from isocenter.jobs import Queue, Runner
from isocenter.registry.roster import Fixed

ASKING = ProposedContext(PUSH, NON_STORAGE)


class Told(NamedTuple):
    """One N-EVENT-REPORT as it came."""

    event: int
    said: Reported
    retrieve: str
    syntax: str

    @property
    def failures(self) -> dict[str, int]:
        """Failure Reason by SOP Instance UID, 0 for committed."""
        return {each.sop_uid: each.failure for each in self.said.results}


def references(*objects: Object) -> list[Reference]:
    """What names these objects."""
    return [Reference(each.sop_class, each.sop_uid) for each in objects]


def now() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


class Client(BufferedService):
    """A modality: asks for commitment and takes reports, on its association and on `port`.

    `statuses` are its answers to the reports, in turn; the last one stays. `drop`: it aborts instead, so many times.
    """

    def __init__(
        self, title: str = "MODALITY", *, statuses: Sequence[int] = (0,), roles: bool = True, drop: int = 0
    ) -> None:
        self.title, self.port = title, 0
        self.statuses, self.roles, self.drop = list(statuses), roles, drop
        self.reports: list[Told] = []
        self.requests: list[dimse.AssociateRequest] = []
        self.ended = threading.Semaphore(0)
        """Released once an association of the archive's is over."""
        self._changed = threading.Condition()

    @property
    def peer(self) -> Peer:
        """How the archive knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def await_reports(self, n: int) -> None:
        """Wait until there are `n`."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.reports) >= n, PATIENCE), self.reports

    def answer(self, association: Any, context: Context, command: dimse.Command, data: bytes | None) -> None:
        """See `BufferedService`."""
        if self.drop:
            self.drop -= 1
            association.abort()
            return
        assert commands.text(command, commands.AFFECTED_SOP_INSTANCE) == WELL_KNOWN
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        said = read_report(data, context.transfer_syntax)
        where = next((each.retrieve_aet for each in said.results if not each.failure), "")
        told = Told(commands.number(command, commands.EVENT_TYPE), said, where, context.transfer_syntax)
        association.respond(context.id, commands.response(command, status))
        with self._changed:
            self.reports.append(told)
            self._changed.notify_all()

    def negotiate(self, request: dimse.AssociateRequest, address: str, port: int, session: Any = None) -> Any:
        """See `dimse.Policy`."""
        self.requests.append(request)
        offer = dimse.Offer(NON_STORAGE, scp=True) if self.roles else dimse.Offer(NON_STORAGE)
        policy = dimse.TitlePolicy(lambda uid: offer if uid == PUSH else None, frozenset({self.title}))
        return policy.negotiate(request, address, port)

    # --- asking

    def connect(
        self, port: int, *contexts: ProposedContext, called: str = "ISOCENTER", window: int = 1
    ) -> ClientAssociation:
        """An association with an archive, on which it also takes reports."""
        return dimse.connect(
            ("127.0.0.1", port),
            calling=self.title,
            called=called,
            contexts=contexts or (ASKING,),
            settings=replace(NETWORK, window=(window, window)),
            services=lambda context, command: self,
        )

    def associated(self, archive: Running, *contexts: ProposedContext) -> ClientAssociation:
        """The same with an archive of this process."""
        return self.connect(archive.port, *contexts, called=archive.settings.aes[0].title)

    def ask(self, archive: Running, *objects: Object | Reference, transaction: str = "", listen: int = 0) -> str:
        """Ask on an association of its own, stay for `listen` reports, release; the transaction UID."""
        transaction = transaction or new_uid()
        with self.associated(archive) as association:
            assert act(association, transaction, objects).status == 0
            if listen:
                association.listen(PATIENCE, until=lambda: len(self.reports) >= listen)
                assert len(self.reports) >= listen
        return transaction


def act(association: ClientAssociation, transaction: str, objects: Sequence[Object | Reference]) -> dimse.Response:
    """N-ACTION."""
    from isocenter.exchange.committing import invoke

    named = tuple(Reference(each.sop_class, each.sop_uid) for each in objects)
    return invoke(association, Requested(transaction, named))


@dataclass
class Archiver:
    """Another archive, which we ask: an SCP that answers N-ACTION with `statuses` in turn, then does `then`."""

    title: str = "ARCHIVER"
    statuses: list[int] = field(default_factory=lambda: [0])
    then: "Callable[[Any, Context, Requested], None]" = lambda association, context, asked: None
    instead: "Callable[[Any], None] | None" = None
    port: int = 0
    asked: list[Requested] = field(default_factory=list)
    requests: list[dimse.AssociateRequest] = field(default_factory=list)

    @property
    def peer(self) -> Peer:
        """How our archive knows it."""
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def negotiate(self, request: dimse.AssociateRequest, address: str, port: int, session: Any = None) -> Any:
        """See `dimse.Policy`."""
        self.requests.append(request)
        return dimse.TitlePolicy(lambda _: dimse.Offer(NON_STORAGE), frozenset({self.title})).negotiate(
            request, address, port
        )

    def sink(self, association: Any, context: Any, command: dimse.Command) -> dimse.Sink:
        """See `dimse.Service`."""
        return dimse.BufferSink(1 << 24)

    def perform(self, association: Any, context: Context, command: dimse.Command, sink: dimse.Sink | None) -> None:
        """See `dimse.Service`."""
        assert isinstance(sink, dimse.BufferSink)
        asked = read_request(sink.value(), context.transfer_syntax)
        self.asked.append(asked)
        if self.instead is not None:
            self.instead(association)
            return
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        association.respond(context.id, dimse.response(command, status))
        if not status:
            self.then(association, context, asked)

    def report_to(
        self,
        archive: Running,
        transaction: str,
        results: Sequence[Result],
        *,
        event: int = 0,
        role: bool = True,
        data: bytes | None = None,
    ) -> dimse.Response:
        """Report over an association of its own; the archive's answer."""
        context = ProposedContext(PUSH, NON_STORAGE, scu=not role, scp=role)
        with archive.connect(context, calling=self.title) as association:
            (accepted,) = association.contexts.values()
            return tell(association, accepted, transaction, results, event=event, data=data)


def tell(
    association: Any,
    context: Context,
    transaction: str,
    results: Sequence[Result],
    *,
    event: int = 0,
    data: bytes | None = None,
) -> dimse.Response:
    """N-EVENT-REPORT."""
    event = event or (2 if any(each.failure for each in results) else 1)
    body = report(transaction, results, "THERE", context.transfer_syntax) if data is None else data
    response: dimse.Response = association.invoke(context.id, commands.event_report_rq(PUSH, WELL_KNOWN, event), body)
    return response


def all_well(association: Any, context: Context, asked: Requested) -> None:
    """`Archiver.then`: everything is committed, told at once on the same association."""
    results = [Result(*each, 0) for each in asked.references]
    assert tell(association, context, asked.transaction_uid, results).status == 0


@contextmanager
def listening(*servers: Any) -> Iterator[None]:
    """Clients and archivers on ports of their own."""
    with ExitStack() as stack:
        for one in servers:
            acceptor = dimse.Acceptor(one, lambda _context, _command, one=one: one, NETWORK)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            one.port = listener.getsockname()[1]
            thread = threading.Thread(target=acceptor.serve, args=(listener,))
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(acceptor.stop)
        yield


class Work:
    """The background work of an archive, done when a test says so; `later` moves its clock."""

    def __init__(self, archive: Running, *, checker: Checker | None = None) -> None:
        self.ahead = 0
        directory = Fixed(archive.settings)
        peers = Peers(archive.settings, directory)
        self.accepted, self.asked = Accepted(archive.database, self.clock), Asked(archive.database, self.clock)
        reports = Reports(self.accepted, checker or Checker(archive.database, archive.store), directory)
        handlers = {
            "commitment-report": Reporter(reports, peers, directory).handle,
            "commitment-request": Asker(self.asked, peers, directory).handle,
        }
        self.queue = Queue(archive.database, self.clock)
        self._runner = Runner(self.queue, handlers)

    def clock(self) -> int:
        """The present, as the work sees it."""
        return now() + self.ahead

    def later(self, seconds: float) -> "Work":
        """Let time pass."""
        self.ahead += int(seconds * 1e6)
        return self

    def all(self) -> int:
        """Carry out what is due; how many jobs that were."""
        done = 0
        while self._runner.run_once():
            done += 1
        return done
