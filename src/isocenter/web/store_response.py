"""The Store Instances Response Module and the status above it (PS3.18 10.5.3, I-STOW-ST, I-STOW-RS)."""

from collections.abc import Sequence

from isocenter.dicom import json_model
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.web.incoming import Taken
from isocenter.web.root import study_url

_SOP_CLASS, _SOP_INSTANCE = 0x00081150, 0x00081155
_RETRIEVE_URL, _FAILURE = 0x00081190, 0x00081197
_FAILED, _REFERENCED, _OTHER = 0x00081198, 0x00081199, 0x0008119A

_FAILURES = {
    Reason.OUT_OF_RESOURCES: 0xA700,
    Reason.OUT_OF_STORAGE: 0xA710,
    Reason.SOP_CLASS_MISMATCH: 0xA900,
    Reason.SOP_INSTANCE_MISMATCH: 0xA900,
    Reason.IDENTIFIER_MISMATCH: 0xA900,
    Reason.CANNOT_UNDERSTAND: 0xC000,
    Reason.BAD_REQUEST: 0xC000,
    Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: 0xC122,
    Reason.STUDY_MISMATCH: 0xC409,
    Reason.DUPLICATE_SOP_INSTANCE: 0x0111,
    Reason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    Reason.NOT_AUTHORIZED: 0x0124,
}
_PROCESSING_FAILURE = 0x0110


def failure_reason(refusal: IsocenterError) -> int:
    """Failure Reason (0008,1197) for a refusal."""
    known = _FAILURES.get(refusal.reason, _PROCESSING_FAILURE)
    return 0xA700 if isinstance(refusal, Retriable) and known == _PROCESSING_FAILURE else known


def status_of(taken: Sequence[Taken], broken: bool) -> int:
    """200 all stored; 202 some; 503 none, for want of something; 400 none, nothing was DICOM; else 409.

    `broken`: the body stopped making sense after these parts.
    """
    if any(one.stored for one in taken):
        return 202 if broken or any(one.refusal for one in taken) else 200
    if taken and all(isinstance(one.refusal, Retriable) for one in taken):
        return 503
    return 409 if any(one.sop_uid for one in taken) else 400


def module(taken: Sequence[Taken], root: str, study: str, broken: bool) -> bytes:
    """The module as a DICOM JSON object. FailedSOPSequence is there only if something failed."""
    members = []
    studies = {one.stored.study_uid for one in taken if one.stored}
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
        others.append(json_model.data_set([json_model.element(_FAILURE, "US", 0xC000)]))
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
    url = study_url(root, stored.study_uid, stored.series_uid, stored.sop_uid)
    return json_model.data_set([*_named(one), json_model.element(_RETRIEVE_URL, "UR", url)])


def _other(refusal: IsocenterError) -> bytes:
    return json_model.data_set([json_model.element(_FAILURE, "US", failure_reason(refusal))])
