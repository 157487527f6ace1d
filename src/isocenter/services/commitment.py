"""Storage Commitment Push Model SCP: N-ACTION, PS3.4 J.3.2 (I-COMMIT-01 to -06, X-QR-60 to -67).

A request is answered as soon as it is durable, before anything is looked up. The report follows by a job over a new
association (`exchange.reporting`), or here over the request's own where the AE or the peer is set so.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.archive.commitment.accepted import Destination, Way
from isocenter.archive.commitment.data import Malformed, read_request
from isocenter.archive.commitment.rows import Transaction
from isocenter.config.settings import HostedAE
from isocenter.declarations.commitment import REQUEST, Action, delivered
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context, Sink
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.reporting import Reports

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.commitment")

WayOf = Callable[["Association"], Way]
"""Which association the reports to a peer go over."""


class CommitmentService(BufferedService):
    """Answers the N-ACTION requests of one hosted AE; `largest`: bytes of the longest one."""

    def __init__(self, reports: Reports, ae: HostedAE, way_of: WayOf, *, largest: int) -> None:
        self._reports, self._accepted = reports, reports.accepted
        self._ae, self._way_of = ae, way_of
        self.limit = largest

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """See `dimse.Service`."""
        try:
            super().perform(association, context, command, sink)
        except Refused as refusal:
            if refusal.reason is not Reason.TOO_LARGE:
                raise
            _refuse(association, context, command, Action.RESOURCE_LIMITATION, refusal.comment)

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Keep the request, answer, and report if it is to go over this association."""
        try:
            _check(command)
            asked = read_request(data, context.transfer_syntax)
            way = self._way_of(association)
            destination = Destination(self._ae.title, association.calling, association.address)
            number = self._accepted.accept(destination, way, asked, self._ae.commitment.delay)
        except Malformed as refusal:
            _refuse(association, context, command, refusal.status, refusal.comment)
            return
        except (SQLAlchemyError, IsocenterError, OSError) as fault:
            log.error("commitment.not-kept", exc_info=True, calling=association.calling, fault=type(fault).__name__)
            _refuse(association, context, command, Action.PROCESSING_FAILURE, "the request can't be kept now")
            return
        log.info(
            "commitment.accepted",
            calling=association.calling,
            transaction=asked.transaction_uid,
            instances=len(asked.references),
        )
        telemetry.count("isocenter_commitment_requests_total", status=f"{Action.SUCCESS:04X}")
        association.respond(context.id, commands.response(command, Action.SUCCESS))
        if way != "new":
            self._report(association, context, number)

    def _report(self, association: "Association", context: Context, number: int) -> None:
        """The report over the request's own association. Where that ends first, another way is found or the report
        given up; the row is held for this association meanwhile (`commitment_accepted.HELD`)."""
        asked: Transaction | None = None
        try:
            association.silent(self._ae.commitment.delay)
            asked = self._accepted.pending(number)
            if asked is None:
                return
            if not association.open:
                self._failed(asked, "the association was released before the report")
                return
            results = self._reports.results(asked, self._ae)
            if self._accepted.pending(number) is None:  # it took so long that a job has done it
                return
            status = self._reports.deliver(association, context, asked, results)
            if delivered(status):
                self._accepted.reported(number, status)
            else:
                self._failed(asked, "the peer refused the report", status)
        except IsocenterError as failure:
            if asked is not None:
                self._failed(asked, failure.comment)
            if not association.open:
                raise
        except (SQLAlchemyError, OSError):
            log.error("commitment.not-reported", exc_info=True, calling=association.calling)

    def _failed(self, asked: Transaction, comment: str, status: int | None = None) -> None:
        said = log.bind(peer=asked.peer, transaction=asked.transaction_uid, comment=comment)
        if asked.way == "either":
            said.info("commitment.report.moved")
            self._accepted.hand_over(asked)
        else:
            said.error("commitment.report.undelivered")
            self._accepted.undelivered(asked.id, comment, status)


def _check(command: Command) -> None:
    """The command set: class, instance and action type (I-COMMIT-ST-01)."""
    if commands.text(command, commands.REQUESTED_SOP_CLASS) != STORAGE_COMMITMENT_PUSH:
        raise Malformed(Action.NO_SUCH_CLASS, "not the Storage Commitment Push Model")
    if commands.text(command, commands.REQUESTED_SOP_INSTANCE) != STORAGE_COMMITMENT_PUSH_INSTANCE:
        raise Malformed(Action.CLASS_INSTANCE_CONFLICT, "not the well-known instance of the push model")
    if commands.number(command, commands.ACTION_TYPE) != REQUEST:
        raise Malformed(Action.NO_SUCH_ACTION, "the action type is not 1")


def _refuse(association: "Association", context: Context, command: Command, status: Action, comment: str) -> None:
    log.warning("commitment.refused", calling=association.calling, status=f"{status:04X}", comment=comment)
    telemetry.count("isocenter_commitment_requests_total", status=f"{status:04X}")
    association.respond(context.id, commands.response(command, status, comment))
