"""Delivering what performed procedure steps have for peers: MPPS as SCU (I-MPPS-02 to -04, P-MPPS-07 to -13), and
N-EVENT-REPORT of the MPPS Notification SOP Class as SCP (PS3.4 F.9).

A data set leaves as it came where the peer takes its transfer syntax. A peer that can't be reached is tried without
end; one that refuses is tried `mpps.retries` times more, then a person decides.
"""

from collections.abc import Callable
from typing import Final

from isocenter import telemetry
from isocenter.config import HostedAE, Peer
from isocenter.declarations.procedure_step import MAY_NO_LONGER_BE_UPDATED, Cause, accepted, status_of
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom import dataset
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION as NOTIFICATION
from isocenter.dimse import ClientAssociation, Context, ContextNotAccepted, ProposedContext, Response, commands
from isocenter.errors import IsocenterError, Refused
from isocenter.exchange.peers import Peers
from isocenter.jobs.alone import Alone
from isocenter.jobs.runner import Again, Running
from isocenter.registry.roster import Directory
from isocenter.workflow.steps.deliveries import CREATE, EVENT, SET, Deliveries, Delivery, Destination

log = telemetry.logger("workflow.steps")

MESSAGES: Final = tuple(ProposedContext(MPPS, (syntax,)) for syntax in NON_STORAGE)
"""What is proposed to pass messages on: a context for each transfer syntax, so that each leaves as it came."""
EVENTS: Final = (ProposedContext(NOTIFICATION, NON_STORAGE, scu=False, scp=True),)
"""What is proposed to report events: we are the SCP."""
_BUSY: Final = 0.5
"""Seconds until a destination that is being delivered to is looked at again."""


class Deliverer:
    """Carries out the jobs of kind `deliveries.KIND`."""

    def __init__(self, deliveries: Deliveries, peers: Peers, directory: Directory) -> None:
        self._deliveries, self._peers, self._directory = deliveries, peers, directory
        self._alone = Alone()

    def handle(self, running: Running) -> Again | None:
        """Deliver all that is due for one destination (`jobs.runner.Handler`)."""
        destination = Destination(**running.payload)
        with self._alone.at(destination) as mine:
            if not mine:
                return Again(_BUSY)
            while not (running.cancelled() or running.stopping) and (due := self._deliveries.due(destination)):
                self._deliver(destination, due, lambda: not (running.cancelled() or running.stopping))
            wait = self._deliveries.wait(destination)
        return None if wait is None else Again(wait)

    def _deliver(self, destination: Destination, due: list[Delivery], wanted: Callable[[], bool]) -> None:
        settings = self._directory.now(fresh=True).settings
        ae = settings.ae(destination.ae) or HostedAE(title=destination.ae)
        peer = next((peer for peer in settings.peers_titled(destination.peer) if peer.host), None)
        if peer is None:
            self._unreached(due[0], ae, "no address of the peer is known")
            return
        for events in (False, True):
            mine = [each for each in due if (each.operation == EVENT) is events]
            if mine and wanted():
                self._over_one(ae, peer, mine, events=events, wanted=wanted)

    def _over_one(
        self, ae: HostedAE, peer: Peer, due: list[Delivery], *, events: bool, wanted: Callable[[], bool]
    ) -> None:
        """All of them over one association, with what becomes due meanwhile. What it does not get through counts as
        tried."""
        left = list(due)
        try:
            with self._peers.connect(peer, ae.title, EVENTS if events else MESSAGES) as association:
                while left and wanted():
                    mine = self._deliveries.begin(left[0])
                    if mine and not self._answered(left[0], ae, _send(association, left[0])):
                        association.abort()  # X-MOD-54, P-MPPS-13; the rest goes over a new one
                        return
                    done = left.pop(0)
                    left += [] if left else self._followers(done, events=events)
        except Refused as failure:
            self._refused(left, ae, failure.comment)
        except IsocenterError as failure:
            if left:  # else it failed as it was released
                self._unreached(left[0], ae, failure.comment)

    def _followers(self, done: Delivery, *, events: bool) -> list[Delivery]:
        return [each for each in self._deliveries.due(done.destination) if (each.operation == EVENT) is events]

    def _answered(self, one: Delivery, ae: HostedAE, response: Response) -> bool:
        """Note what the peer says; whether it has the message."""
        said = log.bind(peer=one.peer, step=one.sop_uid, operation=one.operation, status=f"{response.status:04X}")
        said = said.bind(**_named(response)) if response.status else said
        if accepted(response.status):
            (said.warning if response.status else said.info)("mpps.delivered")
            self._deliveries.delivered(one, response.status)
            return True
        if _had_before(one, response):
            said.info("mpps.delivered", before=True)
            self._deliveries.delivered(one, response.status, "an earlier try had reached the peer")
            return True
        if one.refusals >= ae.mpps.retries:
            said.error("mpps.undelivered")
            self._deliveries.failed(one, response.status, response.comment)
        else:
            said.warning("mpps.postponed", tries=one.attempts + 1)
            self._deliveries.postpone(one, ae.mpps.retry_delay, response.comment, response.status)
        return False

    def _refused(self, tried: list[Delivery], ae: HostedAE, comment: str) -> None:
        """The association was refused for good, or none of its contexts accepted."""
        for one in tried:
            if one.refusals >= ae.mpps.retries:
                log.error("mpps.undelivered", peer=one.peer, step=one.sop_uid, comment=comment)
                self._deliveries.failed(one, None, comment)
            else:
                log.warning("mpps.postponed", peer=one.peer, step=one.sop_uid, comment=comment)
                self._deliveries.postpone(one, ae.mpps.retry_delay, comment)

    def _unreached(self, one: Delivery, ae: HostedAE, comment: str) -> None:
        waiting = self._deliveries.unreached(one, ae.mpps.retry_delay, comment)
        log.warning("mpps.unreached", peer=one.peer, waiting=waiting, comment=comment)


def _send(association: ClientAssociation, one: Delivery) -> Response:
    if one.operation == EVENT:
        context = association.context_to_report(NOTIFICATION)
        return association.event_report(NOTIFICATION, one.sop_uid, one.event, context=context)
    context = _message_context(association, one.syntax)
    data = one.data or b""
    if context.transfer_syntax != one.syntax:
        data = dataset.encode(dataset.decode(data, one.syntax), context.transfer_syntax)
    invoke = association.n_create if one.operation == CREATE else association.n_set
    return invoke(MPPS, one.sop_uid, data, context=context)


def _message_context(association: ClientAssociation, syntax: str) -> Context:
    """The context of the message's own transfer syntax, else the first that was accepted."""
    found = [context for context in association.contexts.values() if context.abstract == MPPS]
    if not found:
        raise ContextNotAccepted(MPPS)
    return next((context for context in found if context.transfer_syntax == syntax), found[0])


def _had_before(one: Delivery, response: Response) -> bool:
    """Whether the peer refuses because an earlier try, whose answer was lost, had reached it."""
    if not one.attempts:
        return False
    if one.operation == CREATE:
        return response.status == status_of(Cause.DUPLICATE)
    error_id = commands.number(response.command, commands.ERROR_ID)
    final = status_of(Cause.FINAL_STATE)
    return one.operation == SET and response.status == final and error_id == MAY_NO_LONGER_BE_UPDATED


def _named(response: Response) -> dict[str, str]:
    """The attributes that the answer is about, and its Error ID, for the log (X-MOD-54)."""
    tags = commands.tags(response.command)
    error_id = commands.number(response.command, commands.ERROR_ID)
    return {"attributes": " ".join(f"{tag:08X}" for tag in tags), "error_id": f"{error_id:04X}" if error_id else ""}
