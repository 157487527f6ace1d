"""Event reports on their way to subscribers over DIMSE (PS3.4 CC.2.4.3): an association of ours to each, as SCP of UPS
Event. What fails is tried again, in the order of the events, as often as `config.workitems` allows."""

from typing import Final, NamedTuple

from isocenter import telemetry
from isocenter.config import HostedAE
from isocenter.declarations.commitment import delivered
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.declarations.workitem import EVENT, PUSH
from isocenter.dimse import Association, Context, ProposedContext, commands
from isocenter.errors import IsocenterError
from isocenter.exchange.peers import Peers
from isocenter.jobs.alone import Alone
from isocenter.jobs.queue import now
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.registry.roster import Directory
from isocenter.workflow.workitems import models
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.events import KIND, Report

log = telemetry.logger("workflow.workitems")

CONTEXT: Final = ProposedContext(EVENT, NON_STORAGE, scu=False, scp=True)
"""What is proposed: we are the SCP."""
UPKEEP: Final = "workitem-upkeep"
_LOOK: Final = 60.0
"""Seconds between two looks for what is old or was left behind."""
_BEHIND: Final = 300 * 1_000_000
"""Microseconds after which an event that waits without a job gets one."""
_BUSY: Final = 0.5


class Tries(NamedTuple):
    """How often a delivery is tried again, and after how many seconds."""

    retries: int
    delay: float


class Deliverer:
    """Carries out the jobs of kind `events.KIND`."""

    def __init__(self, worklist: Workitems, peers: Peers, directory: Directory, tries: Tries) -> None:
        self._worklist, self._database = worklist, worklist.database
        self._peers, self._directory, self._tries = peers, directory, tries
        self._alone = Alone()

    def handle(self, running: Running) -> Again | None:
        """Deliver all that waits for one AE (`jobs.runner.Handler`)."""
        aet = str(running.payload["aet"])
        with self._alone.at(aet) as mine:
            if not mine:
                return Again(_BUSY)
            while not (running.cancelled() or running.stopping) and (waiting := self._waiting(aet)):
                failure = self._deliver(aet, str(running.payload["ae"]), str(running.payload["address"]), waiting)
                if failure:
                    return Again(self._tries.delay, failure)
        return None

    def _waiting(self, aet: str) -> list[Report]:
        with self._database.reading() as connection:
            return self._worklist.events.waiting(connection, aet)

    def _deliver(self, aet: str, title: str, address: str, waiting: list[Report]) -> str:
        """One association for all of them; why it ended early, or ''. The first that is refused holds up those behind
        it, until it is given up; without an association all count as tried."""
        ae = self._directory.now().settings.ae(title) or HostedAE(title=title)
        left = list(waiting)
        try:
            peer = self._peers.destination(aet, ae, address)
            if peer is None:
                return self._failed(aet, left, "no address of the receiving AE is known")
            with self._peers.connect(peer, ae.title, [CONTEXT]) as association:
                context = association.context_to_report(EVENT)
                while left:
                    status = _report(association, context, left[0])
                    if not delivered(status):
                        return self._failed(aet, left[:1], f"answered {status:04X}")
                    with self._database.writing() as connection:
                        self._worklist.events.settle(connection, left[0].id, "delivered")
                    telemetry.count("isocenter_workitem_events_total", outcome="delivered")
                    del left[0]
        except IsocenterError as failure:
            return self._failed(aet, left, failure.comment) if left else ""
        return ""

    def _failed(self, aet: str, tried: list[Report], comment: str) -> str:
        """Again later, or the tries are used up."""
        given_up = [report for report in tried if report.attempts >= self._tries.retries]
        with self._database.writing() as connection:
            for report in tried:
                if report in given_up:
                    self._worklist.events.settle(connection, report.id, "undelivered", comment)
                else:
                    self._worklist.events.tried(connection, report.id, comment)
        said = log.bind(peer=aet, comment=comment)
        if given_up:
            said.error("workitem.events.undelivered", events=len(given_up))
            telemetry.count("isocenter_workitem_events_total", len(given_up), outcome="undelivered")
        if len(tried) > len(given_up):
            said.warning("workitem.events.postponed", events=len(tried) - len(given_up), tries=tried[-1].attempts + 1)
        return comment


def _report(association: Association, context: Context, report: Report) -> int:
    """N-EVENT-REPORT; the status of the answer."""
    command = commands.event_report_rq(PUSH, report.uid, report.type)
    return association.invoke(context.id, command, models.encoded(report.model, context.transfer_syntax)).status


def upkeep(worklist: Workitems, *, keep: float, events: float) -> Handler:
    """The handler of `UPKEEP`: workitems that ended `keep` seconds ago are removed, events older than `events` seconds
    forgotten, and what was left behind is tried again."""
    database = worklist.database

    def look(running: Running) -> Again:
        at = now()
        with database.writing() as connection:
            revived = worklist.events.revive(connection, at - _BEHIND)
            worklist.events.prune(connection, at - int(events * 1e6))
        if revived:
            log.warning("workitem.events.revived", jobs=revived)
        while not running.cancelled():
            with database.writing() as connection:
                if not worklist.purge(connection, at - int(keep * 1e6)):
                    break
        return Again(_LOOK)

    return look


__all__ = ["CONTEXT", "KIND", "UPKEEP", "Deliverer", "Tries", "upkeep"]
