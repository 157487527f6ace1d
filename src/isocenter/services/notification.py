"""The SCPs of notifications: Basic Study Content Notification by C-STORE (retired; I-BSCN-05, I-PREF-03), Instance
Availability Notification by N-CREATE (PS3.4 R, P-IAN-01 to -09).

What is told is kept, and answered once it is durable.
"""

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.config.settings import HostedAE
from isocenter.declarations.notification import Answer, study_content_answer
from isocenter.dicom.uids import new_uid
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context, Sink
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.workflow.notices.received import Kind, Malformed, Received, Sender, read

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.notification")


class _NotificationService(BufferedService):
    """What both have in common."""

    kind: Kind

    def __init__(self, received: Received, ae: HostedAE, *, largest: int) -> None:
        """`largest`: bytes of the longest data set."""
        self._received, self._ae = received, ae
        self.limit = largest

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """See `dimse.Service`."""
        try:
            super().perform(association, context, command, sink)
        except Refused as refusal:
            if refusal.reason is not Reason.TOO_LARGE:
                raise
            self._refuse(association, context, command, Answer.RESOURCE_LIMITATION, refusal.comment)

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Keep what is told, and answer."""
        sop_uid = commands.text(command, commands.AFFECTED_SOP_INSTANCE) or new_uid()
        try:
            said = read(self.kind, sop_uid, data, context.transfer_syntax)
            new = self._received.keep(said, Sender(association.calling, association.called, association.address))
        except Malformed as refusal:
            self._refuse(association, context, command, refusal.status, refusal.comment)
            return
        except (SQLAlchemyError, IsocenterError, OSError) as fault:
            log.error("notification.not-kept", exc_info=True, calling=association.calling, fault=type(fault).__name__)
            self._refuse(association, context, command, Answer.PROCESSING_FAILURE, "it can't be kept now")
            return
        log.info(
            "notification.kept", kind=self.kind, calling=association.calling, study=said.study_uid, again=not new,
            instances=len(said.references),
        )  # fmt: skip
        answer = commands.response(command, self._success())
        association.respond(context.id, {**answer, commands.AFFECTED_SOP_INSTANCE: sop_uid})

    def _success(self) -> int:
        return Answer.SUCCESS

    def _status(self, status: Answer) -> int:
        return status

    def _refuse(
        self, association: "Association", context: Context, command: Command, status: Answer, comment: str
    ) -> None:
        log.warning(
            "notification.refused", kind=self.kind, calling=association.calling, status=f"{status:04X}", comment=comment
        )
        association.respond(context.id, commands.response(command, self._status(status), comment))


class AvailabilityService(_NotificationService):
    """Answers the N-CREATE requests of one hosted AE."""

    kind = Kind.AVAILABILITY


class StudyContentService(_NotificationService):
    """Answers the C-STORE requests of one hosted AE. `answer_status`: its success as configured."""

    kind = Kind.STUDY_CONTENT

    def __init__(self, received: Received, ae: HostedAE, *, largest: int, answer_status: int | None) -> None:
        super().__init__(received, ae, largest=largest)
        self._answer_status = answer_status

    def _success(self) -> int:
        return study_content_answer(self._ae.preset, self._answer_status)

    def _status(self, status: Answer) -> int:
        """C-STORE has fewer statuses (PS3.4 B.2.3)."""
        if status in (Answer.PROCESSING_FAILURE, Answer.DUPLICATE_INSTANCE):
            return status
        return Answer.OUT_OF_RESOURCES if status is Answer.RESOURCE_LIMITATION else Answer.CANNOT_UNDERSTAND
