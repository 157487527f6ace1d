"""Modality Performed Procedure Step SCP: N-CREATE, N-SET (PS3.4 F.7) and N-GET (F.8).

A request is answered after the transaction that keeps it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.config.settings import HostedAE
from isocenter.declarations.procedure_step import (
    MAY_NO_LONGER_BE_UPDATED,
    SUCCESS,
    Cause,
    status_of,
)
from isocenter.dicom import dataset
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE as RETRIEVE
from isocenter.dicom.uids import new_uid
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context, Sink
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.workflow.steps import attributes as of
from isocenter.workflow.steps.checking import StepRefused, read
from isocenter.workflow.steps.performing import Done, Performing, Sender

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

log = telemetry.logger("services.mpps")

Whence = Callable[["Association"], tuple[Sender, str]]
"""Who reports over an association, and the character set assumed of its data sets."""
_LONGEST_UID: Final = 64
_CHARACTER_SET: Final = 0x00080005
_NAMES: Final = {commands.N_CREATE_RQ: "create", commands.N_SET_RQ: "set", commands.N_GET_RQ: "get"}


class ProcedureStepService(BufferedService):
    """Answers such requests of one hosted AE; `largest`: bytes of the longest data set."""

    def __init__(self, performing: Performing, ae: HostedAE, whence: Whence, *, largest: int) -> None:
        self._performing, self._ae, self._whence = performing, ae, whence
        self.limit = largest

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """See `dimse.Service`."""
        try:
            super().perform(association, context, command, sink)
        except Refused as refusal:
            if refusal.reason is not Reason.TOO_LARGE:
                raise
            self._refuse(association, context, command, StepRefused(Cause.TOO_LARGE, refusal.comment))

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Carry the request out, and answer."""
        try:
            match commands.number(command, commands.COMMAND_FIELD):
                case commands.N_CREATE_RQ:
                    self._create(association, context, command, data)
                case commands.N_SET_RQ:
                    self._set(association, context, command, data)
                case _:
                    self._get(association, context, command)
        except StepRefused as refusal:
            self._refuse(association, context, command, refusal)
        except (SQLAlchemyError, IsocenterError, OSError) as fault:
            if isinstance(fault, IsocenterError) and not association.open:
                raise
            log.error("mpps.not-kept", exc_info=True, calling=association.calling, fault=type(fault).__name__)
            failed = StepRefused(Cause.PROCESSING, "the request can't be carried out now")
            self._refuse(association, context, command, failed)

    def _create(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        _check_class(command, commands.AFFECTED_SOP_CLASS, MPPS)
        given = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        sop_uid = _checked(given) if given else new_uid()
        sender, character_set = self._whence(association)
        received = read(data, context.transfer_syntax, character_set=character_set)
        done = self._performing.create(self._ae, sender, sop_uid, received)
        self._done(association, context, {**command, commands.AFFECTED_SOP_INSTANCE: sop_uid}, done)

    def _set(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        _check_class(command, commands.REQUESTED_SOP_CLASS, MPPS)
        sop_uid = _checked(commands.text(command, commands.REQUESTED_SOP_INSTANCE))
        sender, character_set = self._whence(association)
        received = read(data, context.transfer_syntax, character_set=character_set)
        self._done(association, context, command, self._performing.set(self._ae, sender, sop_uid, received))

    def _get(self, association: "Association", context: Context, command: Command) -> None:
        _check_class(command, commands.REQUESTED_SOP_CLASS, RETRIEVE, MPPS)
        sop_uid = _checked(commands.text(command, commands.REQUESTED_SOP_INSTANCE))
        steps = self._performing.steps
        with steps.database.reading() as connection:
            step = steps.of_uid(connection, sop_uid)
        if step is None:
            raise StepRefused(Cause.NO_SUCH_INSTANCE, "no step has this SOP Instance UID")
        asked = commands.tags(command)
        found = of.data_set(step.model, step.character_set, asked)
        absent = [tag for tag in asked if tag not in found and tag != _CHARACTER_SET]
        done = Done(Cause.UNSUPPORTED, tuple(absent)) if absent else Done()
        self._done(association, context, command, done, dataset.encode(found, context.transfer_syntax))

    def _done(
        self,
        association: "Association",
        context: Context,
        command: Command,
        done: Done,
        data: bytes | None = None,
    ) -> None:
        status = status_of(done.cause, self._ae.preset) if done.cause else SUCCESS
        response = commands.response(command, status)
        if done.tags:
            response[commands.ATTRIBUTE_LIST] = list(done.tags)
        self._note(association, command, status)
        association.respond(context.id, response, data)

    def _refuse(self, association: "Association", context: Context, command: Command, refusal: StepRefused) -> None:
        status = status_of(refusal.cause, self._ae.preset)
        response = commands.response(command, status, refusal.comment)
        if refusal.tags:
            response[commands.ATTRIBUTE_LIST] = list(refusal.tags)
        if refusal.cause is Cause.FINAL_STATE:
            response[commands.ERROR_ID] = MAY_NO_LONGER_BE_UPDATED
        self._note(association, command, status, refusal.comment)
        association.respond(context.id, response)
        if refusal.cause is Cause.INVALID_VALUE and self._ae.mpps.close_invalid:
            association.abort()

    def _note(self, association: "Association", command: Command, status: int, comment: str = "") -> None:
        operation = _NAMES.get(commands.number(command, commands.COMMAND_FIELD), "")
        uid = commands.text(command, commands.AFFECTED_SOP_INSTANCE)
        step = uid or commands.text(command, commands.REQUESTED_SOP_INSTANCE)
        said = log.bind(calling=association.calling, step=step, operation=operation, status=f"{status:04X}")
        if comment:
            said.warning("mpps.refused", comment=comment)
        else:
            said.info("mpps.done")
        telemetry.count("isocenter_mpps_requests_total", operation=operation, status=f"{status:04X}")


def _check_class(command: Command, element: int, *wanted: str) -> None:
    if commands.text(command, element) not in wanted:
        raise StepRefused(Cause.CLASS_CONFLICT, "not the SOP class of this operation")


def _checked(uid: str) -> str:
    """A SOP Instance UID as far as it can be one; leading zeros occur."""
    if not 0 < len(uid) <= _LONGEST_UID or not all(part.isascii() and part.isdigit() for part in uid.split(".")):
        raise StepRefused(Cause.INVALID_INSTANCE, "no SOP Instance UID")
    return uid
