"""Storage commitment as SCU (PS3.4 J.3): asking a peer to commit to instances, and taking what it reports.

request(asked, ae, peer, references)      durable on return; a job asks
Asker.handle                              that job: N-ACTION, then a while for the report on the same association
ReportService                             takes N-EVENT-REPORT, on that association and on those of the peer's own
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.archive.commitment import data as commitment_data
from isocenter.archive.commitment.asked import OPEN, Asked, Outcome, Recorded
from isocenter.archive.commitment.data import Malformed, Reference, Reported, Requested, event_reply, read_report
from isocenter.archive.commitment.rows import Transaction
from isocenter.config import HostedAE
from isocenter.declarations.commitment import EVENTS, REQUEST, Action, Answer
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE
from isocenter.dimse import ClientAssociation, ProposedContext, Response, Service, commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context
from isocenter.errors import IsocenterError, Refused
from isocenter.exchange.peers import Peers
from isocenter.jobs.runner import Again, Running
from isocenter.registry.roster import Directory

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("exchange.committing")

CONTEXT: Final = ProposedContext(STORAGE_COMMITMENT_PUSH, NON_STORAGE)
"""What is proposed to ask: we are the SCU."""
MOST: Final = 10_000
"""Instances of one request; more are asked for by several."""
_LOOK: Final = 1.0
"""Seconds between looks whether the job was cancelled."""


def request(
    asked: Asked, ae: str, peer: str, references: Iterable[Reference], *, delay: float = 0.0, most: int = MOST
) -> tuple[int, ...]:
    """Have our AE `ae` ask `peer` to commit to instances, `delay` seconds from now; the numbers of the transactions.
    Durable on return."""
    parts = _parts(list(dict.fromkeys(references)), most)
    return tuple(asked.ask(ae, peer, part, delay) for part in parts)


def _parts(references: Sequence[Reference], most: int) -> Iterator[Sequence[Reference]]:
    return (references[start : start + most] for start in range(0, len(references), most))


def again(asked: Asked, number: int) -> tuple[int, ...]:
    """Ask the same peer anew for what it has not committed to of a transaction; nothing where it has all."""
    found = asked.get(number)
    if found is None:
        return ()
    missing = [each.reference for each in asked.instances(number) if each.failure != 0]
    return request(asked, found.ae, found.peer, missing)


def invoke(association: ClientAssociation, asked: Requested) -> Response:
    """N-ACTION: Request Storage Commitment."""
    context = association.context_for(STORAGE_COMMITMENT_PUSH)
    data = commitment_data.request(asked, context.transfer_syntax)
    return association.n_action(
        STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE, REQUEST, data, context=context
    )


class Asker:
    """Carries out the jobs of kind `commitment_asked.KIND`."""

    def __init__(self, asked: Asked, peers: Peers, directory: Directory) -> None:
        self._asked, self._peers, self._directory = asked, peers, directory
        self._service = ReportService(asked)

    def handle(self, running: Running) -> Again | None:
        """Ask, if that has not been done (`jobs.runner.Handler`). Called again after a kill it sends the same request
        again, with the same transaction UID."""
        found = self._asked.get(int(running.payload["commitment"]))
        if found is None or found.state != "asking":
            return None
        settings = self._directory.now(fresh=True).settings
        ae = settings.ae(found.ae) or HostedAE(title=found.ae)
        peer = next((peer for peer in settings.peers_titled(found.peer) if peer.host), None)
        if peer is None:
            return self._again(found, ae, "no address of the peer is known")
        try:
            with self._peers.connect(peer, ae.title, [CONTEXT], services=self._services) as association:
                if self._ask(association, found, ae):
                    self._listen(association, found.id, ae.commitment.wait, running)
        except Refused as failure:
            self._give_up(found, "refused", failure.comment)
        except IsocenterError as failure:
            return self._again(found, ae, failure.comment)
        return None

    def _services(self, context: Context, command: Command) -> Service | None:
        return self._service if is_report(context, command) else None

    def _ask(self, association: ClientAssociation, found: Transaction, ae: HostedAE) -> bool:
        """Whether the peer has the request. Any status but success ends the association and the request."""
        references = tuple(each.reference for each in self._asked.instances(found.id))
        response = invoke(association, Requested(found.transaction_uid, references))
        if response.status:
            association.abort()
            self._give_up(found, "refused", f"status {response.status:04X} {response.comment}".strip(), response.status)
            return False
        self._asked.requested(found.id, ae.commitment.timeout)
        log.info("commitment.requested", peer=found.peer, transaction=found.transaction_uid, instances=len(references))
        return True

    def _listen(self, association: ClientAssociation, number: int, seconds: float, running: Running) -> None:
        """Take a report on the same association, for a while (X-MOD-31). If none comes, another will bring it."""
        running.progress("waiting for the report")
        until = time.monotonic() + seconds
        try:
            while not (self._ended(number) or running.cancelled() or running.stopping):
                left = until - time.monotonic()
                if left <= 0:
                    return
                association.listen(min(left, _LOOK), until=lambda: self._ended(number))
        except IsocenterError as failure:
            log.info("commitment.association-ended", comment=failure.comment)

    def _ended(self, number: int) -> bool:
        found = self._asked.get(number)
        return found is None or found.state not in OPEN

    def _again(self, found: Transaction, ae: HostedAE, comment: str) -> Again | None:
        if found.attempts >= ae.commitment.retries:
            self._give_up(found, "unreachable", comment)
            return None
        log.warning("commitment.postponed", peer=found.peer, tries=found.attempts + 1, comment=comment)
        self._asked.postpone(found.id, ae.commitment.retry_delay, comment)
        return Again(ae.commitment.retry_delay)

    def _give_up(self, found: Transaction, state: str, comment: str, status: int | None = None) -> None:
        # what a peer says in its own words is no matter for the log
        why = comment if status is None else f"status {status:04X}"
        log.error(f"commitment.{state}", peer=found.peer, transaction=found.transaction_uid, why=why)
        self._asked.give_up(found.id, state, comment, status)


def is_report(context: Context, command: Command) -> bool:
    """Whether a request is the report of a storage commitment SCP."""
    field = commands.number(command, commands.COMMAND_FIELD)
    return field == commands.N_EVENT_REPORT_RQ and context.abstract == STORAGE_COMMITMENT_PUSH


class Taker(Protocol):
    """Where reports are kept."""

    def report(self, reporter: str, said: Reported) -> Recorded:
        """Keep what the AE `reporter` said; what became of it."""


class ReportService(BufferedService):
    """Answers N-EVENT-REPORT requests of storage commitment SCPs (X-MOD-32, X-MOD-36). The transaction UID says whose
    request it is: archives report under other AE titles than they were asked by."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Record what the peer says."""
        status, comment, reply = self._taken(association, context, command, data)
        if status:
            log.warning("commitment.report.unusable", peer=_peer(association), status=f"{status:04X}", comment=comment)
        association.respond(context.id, commands.response(command, status, comment), reply)

    def _taken(
        self, association: "Association", context: Context, command: Command, data: bytes | None
    ) -> tuple[Answer, str, bytes | None]:
        if commands.number(command, commands.EVENT_TYPE) not in EVENTS:
            return Answer.NO_SUCH_EVENT, "the event type is neither 1 nor 2", None
        try:
            recorded = self._taker.report(_peer(association), read_report(data, context.transfer_syntax))
        except Malformed as refusal:
            invalid = refusal.status == Action.INVALID_ARGUMENT
            return Answer.INVALID_ARGUMENT if invalid else Answer.PROCESSING_FAILURE, refusal.comment, None
        except (SQLAlchemyError, OSError) as fault:
            log.error("commitment.report.unrecorded", exc_info=True, fault=type(fault).__name__)
            return Answer.PROCESSING_FAILURE, "the report can't be recorded now", None
        match recorded.outcome:
            case Outcome.UNKNOWN:
                return Answer.UNKNOWN_TRANSACTION, "no such transaction was requested", None
            case Outcome.EXPIRED:
                return Answer.EXPIRED_TRANSACTION, "the transaction has expired", None
            case Outcome.FOREIGN_INSTANCES:
                reply = event_reply(recorded.foreign, context.transfer_syntax)
                return Answer.INVALID_ARGUMENT, "instances that the request did not name", reply
        return Answer.SUCCESS, "", None


def _peer(association: "Association") -> str:
    """The AE title of the other side."""
    return association.called if isinstance(association, ClientAssociation) else association.calling
