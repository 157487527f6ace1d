"""What of a data set tells of the patient and of the visit, and how it is compared and put back."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from isocenter.dicom.json_reading import text_of
from isocenter.workflow.worklist.attributes import ISSUER, PATIENT_ID, Model

Changes: TypeAlias = Mapping[str, Any]
"""New values by tag, as DICOM JSON attributes; None takes an attribute out."""

IDENTIFYING: Final = frozenset({PATIENT_ID, ISSUER})

ARCHIVED: Final = ("00100010", "00100030", "00100040")
"""Patient's Name, Birth Date and Sex: what objects of a patient have in common, and an update corrects in them too."""

ADMISSION_ID: Final = "00380010"
_PATIENT, _VISIT = "0010", "0038"
_OF_PATIENT: Final = frozenset({"00380050", "00380500"})
"""Special Needs and Patient State: of the visit's group, but the patient's (PS3.3 C.2.4)."""
_OF_VISIT: Final = frozenset({"00081080", "00081084"})
"""Admitting Diagnoses."""


def parts_of(identity: str) -> tuple[str, str]:
    """(id, issuer)."""
    issuer, _, patient_id = identity.partition("\\")
    return patient_id, issuer


def of_patient(model: Mapping[str, Any]) -> dict[str, Any]:
    """What of `model` tells of the patient (PS3.3 C.2), without what identifies him."""
    return {tag: value for tag, value in model.items() if _is_patients(tag)}


def of_visit(model: Mapping[str, Any]) -> dict[str, Any]:
    """What of it tells of the visit (PS3.3 C.3): its admission, location, diagnoses."""
    return {tag: value for tag, value in model.items() if _is_visits(tag)}


def _is_patients(tag: str) -> bool:
    return tag in _OF_PATIENT or (tag.startswith(_PATIENT) and tag not in IDENTIFYING)


def _is_visits(tag: str) -> bool:
    return tag in _OF_VISIT or (tag.startswith(_VISIT) and tag not in _OF_PATIENT)


def differing(held: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Those of `changes` that say something else than `held`, an absent attribute being like an empty one."""
    return {tag: new for tag, new in changes.items() if values(held.get(tag)) != values(new)}


def former(held: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """What `held` says of the attributes in `changes`: what takes them back."""
    return {tag: held.get(tag) for tag in changes}


def values(attribute: Mapping[str, Any] | None) -> Any:
    """The values of an attribute in one form: names as text, nothing for an empty one."""
    if attribute is None or not attribute.get("Value"):
        return ()
    return tuple(attribute["Value"]) if attribute.get("vr") == "SQ" else text_of(attribute).strip(" \0")


def supplemented(model: Mapping[str, Any], more: Mapping[str, Any]) -> Model:
    """`model` with what it lacks of `more`."""
    return {**model, **{tag: value for tag, value in more.items() if not values(model.get(tag)) and values(value)}}
