"""The Store Instances Response Module and the status above it (PS3.18 10.5.3, I-STOW-ST, I-STOW-RS)."""

from collections.abc import Sequence

from isocenter.archive.ingest import Stored
from isocenter.declarations.non_patient import MODEL_OF
from isocenter.declarations.statuses import (
    COERCED,
    DOES_NOT_MATCH_SOP_CLASS,
    ELEMENTS_DISCARDED,
    stow_failure,
    stow_status,
)
from isocenter.dicom import json_model
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.web.dicomweb.incoming import Taken
from isocenter.web.root import non_patient_url, study_url

_SOP_CLASS, _SOP_INSTANCE = 0x00081150, 0x00081155
_RETRIEVE_URL, _WARNING, _FAILURE = 0x00081190, 0x00081196, 0x00081197
_FAILED, _REFERENCED, _OTHER = 0x00081198, 0x00081199, 0x0008119A


def failure_reason(refusal: IsocenterError) -> int:
    """Failure Reason (0008,1197) for a refusal."""
    return stow_failure(_cause(refusal))


def status_of(taken: Sequence[Taken], broken: bool) -> int:
    """The status for these parts, at least one; see `declarations.statuses.stow_status`. What was no DICOM object is a
    bad request.

    `broken`: the body stopped making sense after these parts.
    """
    stored = sum(1 for one in taken if one.stored and not _warning(one.stored))
    warned = sum(1 for one in taken if one.stored and _warning(one.stored))
    failed = [_cause_of(one, one.refusal) for one in taken if one.refusal]
    if broken and (stored or warned):
        failed.append(Reason.BAD_REQUEST)
    return stow_status(stored, warned, failed)


def _cause_of(one: Taken, refusal: IsocenterError) -> Reason:
    told = one.sop_uid or isinstance(refusal, Retriable) or refusal.reason is Reason.TOO_LARGE
    return _cause(refusal) if told else Reason.BAD_REQUEST


def _cause(refusal: IsocenterError) -> Reason:
    """Why, in the words of the table: what passes without a name of its own is a want of resources."""
    unnamed = stow_failure(refusal.reason) == stow_failure(Reason.PROCESSING_FAILURE)
    return Reason.OUT_OF_RESOURCES if unnamed and isinstance(refusal, Retriable) else refusal.reason


def module(taken: Sequence[Taken], root: str, study: str, broken: bool) -> bytes:
    """The module as a DICOM JSON object. FailedSOPSequence is there only if something failed."""
    members = []
    studies = {one.stored.study_uid for one in taken if one.stored and one.stored.study_uid}
    if study or len(studies) == 1:
        members.append(json_model.element(_RETRIEVE_URL, "UR", study_url(root, study or studies.pop())))
    failed = [_failed(one) for one in taken if one.refusal and one.sop_uid]
    if failed:
        members.append(json_model.sequence(_FAILED, failed))
    stored = [_referenced(one, root) for one in taken if one.stored]
    if stored:
        members.append(json_model.sequence(_REFERENCED, stored))
    others = [_other(one.refusal) for one in taken if one.refusal and not one.sop_uid]
    if broken:
        others.append(json_model.data_set([json_model.element(_FAILURE, "US", stow_failure(Reason.BAD_REQUEST))]))
    if others:
        members.append(json_model.sequence(_OTHER, others))
    return json_model.data_set(members)


def _named(one: Taken) -> list[bytes]:
    sop_uid = one.stored.sop_uid if one.stored else one.sop_uid
    return [
        json_model.element(_SOP_CLASS, "UI", one.sop_class),
        json_model.element(_SOP_INSTANCE, "UI", sop_uid),
    ]


def _failed(one: Taken) -> bytes:
    assert one.refusal is not None
    return json_model.data_set([*_named(one), json_model.element(_FAILURE, "US", failure_reason(one.refusal))])


def _referenced(one: Taken, root: str) -> bytes:
    stored = one.stored
    assert stored is not None
    alone = MODEL_OF.get(one.sop_class) if not stored.study_uid else None
    url = study_url(root, stored.study_uid, stored.series_uid, stored.sop_uid)
    if alone is not None:
        url = non_patient_url(root, alone.resource, stored.sop_uid)
    reason = _warning(stored)
    warning = [json_model.element(_WARNING, "US", reason)] if reason else []
    return json_model.data_set([*_named(one), json_model.element(_RETRIEVE_URL, "UR", url), *warning])


def _warning(stored: Stored) -> int:
    """Warning Reason of an instance that was stored, 0 for none (I-STOW-RS-01 to -03). Over HTTP what was coerced is
    told in any case."""
    if stored.outcome.coerced:
        return COERCED
    if stored.outcome.discarded:
        return ELEMENTS_DISCARDED
    return DOES_NOT_MATCH_SOP_CLASS if stored.remark else 0


def _other(refusal: IsocenterError) -> bytes:
    return json_model.data_set([json_model.element(_FAILURE, "US", failure_reason(refusal))])
