"""A worklist item as a DICOM JSON object (PS3.18 F): its parts, and the columns by which it is found."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.folding import fold
from isocenter.dicom.json_reading import element_of, text_of
from isocenter.dicom.person_name import parse
from isocenter.errors import Reason, Refused

Model: TypeAlias = dict[str, Any]
"""Attributes by tag, eight hexadecimal digits in capitals."""

SOP_CLASS, SOP_INSTANCE = "00080016", "00080018"
ACCESSION, STUDY, PROCEDURE = "00080050", "0020000D", "00401001"
PATIENT_NAME, PATIENT_ID, ISSUER = "00100010", "00100020", "00100021"
STEPS, STEP_ID, STATUS = "00400100", "00400009", "00400020"
MODALITY, STATIONS, STATION_NAME = "00080060", "00400001", "00400010"
START_DATE, START_TIME = "00400002", "00400003"

_TAG: Final = re.compile(r"[0-9A-F]{8}")
_NO_ATTRIBUTES: Final = frozenset({0x0000, 0x0002, 0x0004, 0x7FE0, 0xFFFE})
_CUT: Final = 256
_PACKED: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
"""VRs whose values are no text."""


def step_of(model: Mapping[str, Any]) -> Model:
    """The one item of Scheduled Procedure Step Sequence. Raises Refused(BAD_REQUEST) where there is none, or more."""
    items = model.get(STEPS, {}).get("Value", ())
    if len(items) != 1 or not isinstance(items[0], dict):
        raise Refused(Reason.BAD_REQUEST, "Scheduled Procedure Step Sequence needs exactly one item")
    step: Model = items[0]
    return step


def text(attributes: Mapping[str, Any], tag: str) -> str:
    """The value of a text attribute, several joined by backslashes; '' for none."""
    return text_of(attributes.get(tag)).replace("\0", "").strip()


def written(tag: str, *values: Any) -> Model:
    """An attribute that holds `values`, by its tag."""
    vr = vr_of(int(tag, 16))
    return {tag: {"vr": vr, "Value": list(values)} if any(values) else {"vr": vr}}


def changed(model: Mapping[str, Any], changes: Mapping[str, Any]) -> Model:
    """`model` with `changes`; None takes an attribute out, one without a value empties it."""
    merged = {**model, **changes}
    return {tag: attribute for tag, attribute in merged.items() if attribute is not None}


def check(model: Mapping[str, Any]) -> None:
    """Raise Refused(BAD_REQUEST) for what can't be written as a DICOM data set. No value stands in the comment."""
    for tag, attribute in model.items():
        _check(tag, attribute)


def _check(tag: str, attribute: Any) -> None:
    if (named := _named(tag)) is None:
        raise Refused(Reason.BAD_REQUEST, f"{tag[:8]!r} is no tag of a worklist item")
    name, known = named
    vr = attribute.get("vr") if isinstance(attribute, Mapping) else None
    if vr is None or (known != "UN" and vr != known):
        raise Refused(Reason.BAD_REQUEST, f"{name} needs the VR {known}")
    if vr == "SQ":
        for item in _items(name, attribute):
            check(item)
        return
    if _is_plain_text(attribute, vr):
        return
    try:
        element_of(attribute)
    except (ValueError, AttributeError, TypeError) as fault:
        raise Refused(Reason.BAD_REQUEST, f"{name} has no such value") from fault


@lru_cache(maxsize=4096)
def _named(tag: str) -> tuple[str, str] | None:
    """Keyword, or the tag, and VR by the dictionary; None for what may not be in an item."""
    if not _TAG.fullmatch(tag) or int(tag[:4], 16) in _NO_ATTRIBUTES:
        return None
    return keyword_of(int(tag, 16)) or tag, vr_of(int(tag, 16))


def _is_plain_text(attribute: Mapping[str, Any], vr: Any) -> bool:
    """Whether it is such as nearly all are, which any text element can hold."""
    values = attribute.get("Value")
    if len(attribute) != 2 or type(values) is not list or type(vr) is not str or vr in _PACKED:
        return False
    return all(type(value) is str and value.isascii() for value in values)


def _items(name: str, attribute: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = attribute.get("Value", [])
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise Refused(Reason.BAD_REQUEST, f"{name} is no sequence of items")
    return items


def identity_of(model: Mapping[str, Any]) -> str:
    """The patient: issuer, backslash, id. Raises Refused(BAD_REQUEST) where there is no Patient ID."""
    patient_id = text(model, PATIENT_ID)[:_CUT]
    if not patient_id:
        raise Refused(Reason.BAD_REQUEST, "PatientID is needed")
    return f"{text(model, ISSUER)[:_CUT]}\\{patient_id}"


def identified(model: Mapping[str, Any], identity: str) -> Model:
    """`model` as one of the patient `identity`."""
    issuer, _, patient_id = identity.partition("\\")
    found = {**model, **written(PATIENT_ID, patient_id)}
    if issuer or ISSUER in model:
        found.update(written(ISSUER, issuer))
    return found


def stations_of(model: Mapping[str, Any]) -> list[str]:
    """The Scheduled Station AE Titles, each once."""
    titles = (plain(title) for title in text(step_of(model), STATIONS).split("\\"))
    return list(dict.fromkeys(title for title in titles if title))


def columns_of(model: Mapping[str, Any]) -> dict[str, str]:
    """The text columns that repeat what `model` holds."""
    step, name = step_of(model), parse(text(model, PATIENT_NAME))
    return {
        "step_id": plain(text(step, STEP_ID)),
        "identity": identity_of(model),
        "patient_fold": fold(text(model, PATIENT_ID)),
        **dict(zip(("name_fold", "name_ideographic_fold", "name_phonetic_fold"), map(fold, name.groups), strict=True)),
        "accession": plain(text(model, ACCESSION)),
        "study_uid": plain(text(model, STUDY)),
        "procedure_id": plain(text(model, PROCEDURE)),
        "modality": plain(text(step, MODALITY)),
        "start_date": plain(text(step, START_DATE)),
        "start_time": plain(text(step, START_TIME)),
    }


def plain(text: str) -> str:
    """`text` as columns that are not folded hold it: composed, and cut."""
    text = text.strip()
    return (text if text.isascii() else unicodedata.normalize("NFC", text))[:_CUT]
