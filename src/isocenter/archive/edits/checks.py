"""What may be edited at which level, before anything is written down."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from isocenter.declarations.query_keys import Level, keys_at
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.json_reading import Attribute, element_of
from isocenter.errors import Reason, Refused
from isocenter.index.level_models import identity_of

Changes = Mapping[str, Attribute | None]
"""New values by tag (eight hexadecimal digits), as DICOM JSON attributes; None takes an attribute out."""

_LEVELS: Final = {"P": Level.PATIENT, "S": Level.STUDY, "E": Level.SERIES}
_KEPT: Final = frozenset(
    {0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00080006, 0x04000561}
)  # the character set, the UIDs and our own account of edits
_PIXEL_MODULE, _PIXELS = 0x0028, 0x7FE0
_BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PATIENT_ID, _ISSUER = "00100020", "00100021"
_TEXTS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UT"})
_LONGEST: Final = {"AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "IS": 12, "LO": 64, "SH": 16, "TM": 14, "DT": 26}


class Target(NamedTuple):
    """What an edit is about: a patient (by identity), a study or a series."""

    level: str
    identity: str = ""
    study_uid: str = ""
    series_uid: str = ""

    @classmethod
    def patient(cls, identity: str) -> "Target":
        """The patient of this identity: issuer, backslash, id."""
        return cls("P", identity)

    @classmethod
    def study(cls, study_uid: str) -> "Target":
        """A study."""
        return cls("S", "", study_uid)

    @classmethod
    def series(cls, study_uid: str, series_uid: str) -> "Target":
        """A series."""
        return cls("E", "", study_uid, series_uid)

    def arguments(self) -> dict[str, str]:
        """As the edit's record has them."""
        return {name: value for name, value in self._asdict().items() if value}


def identity(patient_id: str, issuer: str = "") -> str:
    """How the index calls the patient of this id. Raises Refused(BAD_REQUEST) for an empty one."""
    if not patient_id:
        raise Refused(Reason.BAD_REQUEST, "a Patient ID is needed")
    return f"{issuer}\\{patient_id}"


def check_changes(level: str, changes: Changes) -> None:
    """Raise Refused(BAD_REQUEST) for what no edit at this level may change, and for values that are none."""
    if not changes:
        raise Refused(Reason.BAD_REQUEST, "nothing to change")
    for tag, attribute in changes.items():
        number = _tag(tag)
        name = keyword_of(number) or tag
        _check_tag(level, number, name)
        if attribute is not None:
            _check_value(number, name, attribute)
        elif level == "P" and tag == _PATIENT_ID:
            raise Refused(Reason.BAD_REQUEST, "a Patient ID can't be taken out")


def _tag(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as fault:
        raise Refused(Reason.BAD_REQUEST, f"{text!r} is no tag") from fault


def _check_tag(level: str, tag: int, name: str) -> None:
    group = tag >> 16
    if tag in _KEPT or group in (0x0000, 0x0002, 0x0004, 0xFFFE, _PIXELS) or group == _PIXEL_MODULE:
        raise Refused(Reason.BAD_REQUEST, f"{name} can't be edited")
    levels = [letter for letter, each in _LEVELS.items() if (tag,) in keys_at(each)]
    if levels and level not in levels:
        raise Refused(Reason.BAD_REQUEST, f"{name} is an attribute of the {_LEVELS[levels[0]].lower()}")
    if not levels and (tag,) in keys_at(Level.IMAGE):
        raise Refused(Reason.BAD_REQUEST, f"{name} is an attribute of single instances")


def _check_value(tag: int, name: str, attribute: Attribute) -> None:
    vr = attribute.get("vr")
    known = vr_of(tag)
    if (known != "UN" and vr != known) or vr in _BINARY:
        raise Refused(Reason.BAD_REQUEST, f"{name} is not of VR {vr}")
    try:
        element_of(attribute)
    except (ValueError, AttributeError, TypeError) as fault:
        raise Refused(Reason.BAD_REQUEST, f"{name} has no such value") from fault
    longest = _LONGEST.get(str(vr))
    for value in attribute.get("Value", ()):
        if isinstance(value, str) and longest is not None and len(value) > longest:
            raise Refused(Reason.BAD_REQUEST, f"a value of {name} has at most {longest} characters")
        if (
            isinstance(value, str)
            and any(ord(character) < 0x20 for character in value)
            and vr not in ("LT", "ST", "UT")
        ):
            raise Refused(Reason.BAD_REQUEST, f"{name} can't hold control characters")


def patient_model(patient: Changes) -> dict[str, Any]:
    """The patient of a move, as the edit's record has it. Raises Refused(BAD_REQUEST).

    `given`: what is said of one who is not there yet, and holds for objects of this patient that come later."""
    check_changes("P", patient)
    try:
        found, _, _ = identity_of(patient)
    except ValueError as fault:
        raise Refused(Reason.BAD_REQUEST, str(fault)) from fault
    model = {tag: value for tag, value in patient.items() if value is not None}
    return {
        "identity": found,
        "model": model,
        "given": {tag: value for tag, value in model.items() if value.get("Value")},
    }
