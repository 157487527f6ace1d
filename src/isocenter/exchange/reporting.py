"""The reports of storage commitment as SCP (PS3.4 J.3.3): what was found, sent by N-EVENT-REPORT.

All that waits for one destination goes over one association, and no other is open meanwhile (X-QR-61, X-QR-63,
I-COMMIT-04). What fails is tried again as the AE's `commitment` says.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

from isocenter import telemetry
from isocenter.archive.commitment import data as commitment_data
from isocenter.archive.commitment.accepted import Accepted, Destination
from isocenter.archive.commitment.data import Reference, Result
from isocenter.archive.commitment.holding import Checker, Depth
from isocenter.archive.commitment.rows import Transaction, failed
from isocenter.config import HostedAE
from isocenter.config.offered import accepts_storage, services_of
from isocenter.declarations.commitment import Failure, delivered
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE
from isocenter.dimse import Association, Context, ProposedContext, commands
from isocenter.errors import IsocenterError
from isocenter.exchange.peers import Peers
from isocenter.jobs.alone import Alone
from isocenter.jobs.runner import Again, Running
from isocenter.registry.roster import Directory

log = telemetry.logger("exchange.reporting")

CONTEXT: Final = ProposedContext(STORAGE_COMMITMENT_PUSH, NON_STORAGE, scu=False, scp=True)
"""What is proposed for a report over a new association: we are the SCP."""
_BUSY: Final = 0.5
"""Seconds until a destination that is being reported to is looked at again."""


class Reports:
    """Looks and reports, for all the AEs of an installation."""

    def __init__(self, accepted: Accepted, checker: Checker, directory: Directory) -> None:
        self.accepted, self._checker, self._directory = accepted, checker, directory

    def results(self, asked: Transaction, ae: HostedAE) -> list[Result]:
        """What is to be said of each instance. The first look counts (X-QR-60): a later one, before another try, can
        only take a promise back."""
        known = self.accepted.instances(asked.id)
        if all(each.failure is None for each in known) and self.accepted.clashes(asked):
            results = {each.reference: Result(*each.reference, Failure.DUPLICATE_TRANSACTION) for each in known}
        else:
            results = {each.reference: Result(*each.reference, each.failure or 0) for each in known}
            depth: Depth = ae.commitment.check
            open_questions = [each.reference for each in known if not each.failure]
            for page in self._checker.check(open_questions, depth, partial(accepts_storage, ae)):
                results |= {Reference(*each[:2]): each for each in page}
        found = list(results.values())
        self.accepted.checked(asked.id, found)
        return found

    def deliver(self, association: Association, context: Context, asked: Transaction, results: list[Result]) -> int:
        """N-EVENT-REPORT over an association; the status of the answer. Raises what the association raises."""
        retrieve = _retrieve_title(asked.ae, self._directory.now().settings.aes)
        data = commitment_data.report(asked.transaction_uid, results, retrieve, context.transfer_syntax)
        command = commands.event_report_rq(
            STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE, commitment_data.event_type(results)
        )
        response = association.invoke(context.id, command, data)
        said = log.bind(peer=asked.peer, transaction=asked.transaction_uid, status=f"{response.status:04X}")
        if not delivered(response.status):
            said.warning("commitment.report.refused")
        elif response.status:
            said.warning("commitment.reported", instances=len(results), failed=failed(results))
        else:
            said.info("commitment.reported", instances=len(results), failed=failed(results))
        return response.status


class Reporter:
    """Carries out the jobs of kind `commitment_accepted.KIND`."""

    def __init__(self, reports: Reports, peers: Peers, directory: Directory) -> None:
        self._reports, self._accepted = reports, reports.accepted
        self._peers, self._directory = peers, directory
        self._alone = Alone()

    def handle(self, running: Running) -> Again | None:
        """Report all that is due for one destination (`jobs.runner.Handler`)."""
        destination = Destination(**running.payload)
        with self._alone.at(destination) as mine:
            if not mine:
                return Again(_BUSY)
            while not (running.cancelled() or running.stopping) and (due := self._accepted.due(destination)):
                self._report(destination, due)
            wait = self._accepted.wait(destination)
        return None if wait is None else Again(wait)

    def _report(self, destination: Destination, due: list[Transaction]) -> None:
        """One association for all of them. What it does not get through counts as tried."""
        ae = self._directory.now().settings.ae(destination.ae) or HostedAE(title=destination.ae)
        left = [(asked, self._reports.results(asked, ae)) for asked in due if self._may_leave(asked)]
        if not left:
            return
        peer = self._peers.destination(destination.peer, ae, destination.address)
        if peer is None:
            self._failed([asked for asked, _ in left], ae, "no address of the peer is known")
            return
        try:
            with self._peers.connect(peer, ae.title, [CONTEXT]) as association:
                context = association.context_to_report(STORAGE_COMMITMENT_PUSH)
                while left:
                    asked, results = left[0]
                    if self._accepted.pending(asked.id):
                        self._answered(asked, ae, self._reports.deliver(association, context, asked, results))
                    del left[0]
        except IsocenterError as failure:
            self._failed([asked for asked, _ in left], ae, failure.comment)

    def _may_leave(self, asked: Transaction) -> bool:
        if asked.way == "same":
            log.error("commitment.report.undelivered", peer=asked.peer, transaction=asked.transaction_uid)
            self._accepted.undelivered(asked.id, "its association ended before the report")
        return asked.way != "same"

    def _answered(self, asked: Transaction, ae: HostedAE, status: int) -> None:
        if delivered(status):
            self._accepted.reported(asked.id, status)
        else:
            self._failed([asked], ae, "the peer refused the report", status)

    def _failed(self, tried: list[Transaction], ae: HostedAE, comment: str, status: int | None = None) -> None:
        """Again later, or the tries are used up."""
        for asked in tried:
            said = log.bind(peer=asked.peer, transaction=asked.transaction_uid, comment=comment)
            if asked.attempts >= ae.commitment.retries:
                said.error("commitment.report.undelivered")
                self._accepted.undelivered(asked.id, comment, status)
            else:
                said.warning("commitment.report.postponed", tries=asked.attempts + 1)
                self._accepted.postpone(asked.id, ae.commitment.retry_delay, comment, status)


def _retrieve_title(asked: str, aes: Iterable[HostedAE]) -> str:
    """The Retrieve AE Title (0008,0054): the AE that was asked, if one can retrieve from it; else another that serves
    the same archive and can."""
    able = [ae.title for ae in aes if {"move", "get"} & services_of(ae)]
    return asked if asked in able or not able else able[0]
