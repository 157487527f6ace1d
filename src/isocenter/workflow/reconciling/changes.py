"""What a study takes over from its worklist item, and what a person may type in: DICOM JSON of what becomes of it.

Only what differs from the study counts as a change where objects are written again (`archive.covering`), and their
former values are told in Original Attributes Sequence.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from isocenter.archive.edits.checks import check_changes
from isocenter.declarations.reconciling import ISSUER, PATIENT_ID, REQUEST, REQUESTS, STUDY_UID, TAKEN, Taken
from isocenter.errors import Reason, Refused
from isocenter.workflow.reconciling.models import Model, steps_of, text

Changes = dict[str, Any]
"""New attributes by tag; None takes one out."""

_LEVEL_OF: Final = {taken.tag: taken.level for taken in TAKEN}


def taken_from(model: Mapping[str, Any], item: Mapping[str, Any], leave: Collection[str] = ()) -> Changes:
    """What a study of `model` becomes by a worklist item of one step. `leave`: keywords that stay as they are."""
    other = is_another(model, item)
    changes: Changes = {}
    for taken in TAKEN:
        if taken.keyword in leave:
            continue
        attribute = item.get(taken.of_item)
        if attribute is not None and _has_value(attribute):
            changes[taken.tag] = {"vr": taken.vr, "Value": attribute["Value"]}
        elif other and taken.level == "P" and taken.tag != PATIENT_ID:
            changes[taken.tag] = _nothing(taken)
    if "RequestAttributesSequence" not in leave and (request := _request(item)):
        changes[REQUESTS] = {"vr": "SQ", "Value": [request]}
    return changes


def is_another(model: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether they are of different patients. An issuer that only one of them names tells nothing."""
    issuers = {text(each, ISSUER) for each in (model, item)} - {""}
    return text(model, PATIENT_ID) != text(item, PATIENT_ID) or len(issuers) > 1


def _has_value(attribute: Any) -> bool:
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return isinstance(values, list) and any(value not in (None, "", {}) for value in values)


def _nothing(taken: Taken) -> Any:
    return {"vr": taken.vr} if taken.kept_empty else None


def _request(item: Mapping[str, Any]) -> Model:
    step = next(iter(steps_of(item)), {})
    sources = {each.tag: (step if each.step else item).get(each.source) for each in REQUEST}
    return {tag: attribute for tag, attribute in sources.items() if attribute is not None and _has_value(attribute)}


def study_uid_of(item: Mapping[str, Any]) -> Changes:
    """The Study Instance UID of the item as a change; none where it has none."""
    uid = text(item, STUDY_UID)
    return {STUDY_UID: {"vr": "UI", "Value": [uid]}} if uid else {}


def typed(changes: Mapping[str, Any]) -> Changes:
    """What a person typed in, by tag, if it may be changed so. Raises Refused(BAD_REQUEST)."""
    if not isinstance(changes, Mapping) or not changes:
        raise Refused(Reason.BAD_REQUEST, "nothing to change")
    for tag, attribute in changes.items():
        level = _LEVEL_OF.get(tag)
        if level is None and tag != REQUESTS:
            raise Refused(Reason.BAD_REQUEST, f"{tag} is not changed by reconciliation")
        if attribute is not None and not isinstance(attribute, Mapping):
            raise Refused(Reason.BAD_REQUEST, f"{tag} is no attribute of the DICOM JSON model")
        if level is not None:
            check_changes(level, {tag: attribute})
    return dict(changes)


def of_level(changes: Mapping[str, Any], level: str) -> Changes:
    """Those of a patient (P) or study (S)."""
    return {tag: attribute for tag, attribute in changes.items() if _LEVEL_OF.get(tag) == level}


def before(model: Mapping[str, Any], changes: Mapping[str, Any]) -> Changes:
    """What the study had of what changes; null for what it had not."""
    return {tag: model.get(tag) for tag in sorted(changes)}
