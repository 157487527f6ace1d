"""Making values fit their value representation (PS3.5 6.2): what HL7 leaves open, DICOM limits."""

import re
from collections.abc import Callable
from typing import Any, Final

from isocenter.dicom.uids import is_regular

IDENTIFIERS: Final = frozenset(
    {
        *("PatientID", "IssuerOfPatientID", "AdmissionID", "AccessionNumber", "StudyInstanceUID"),
        *("RequestedProcedureID", "ScheduledProcedureStepID"),
        *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
    }
)
"""Never cut, however long: two that were different would become one."""

_LENGTHS: Final = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "AE": 16, "CS": 16, "PN": 64, "DS": 16, "IS": 12}
_LINES: Final = frozenset({"ST", "LT", "UT"})
_CODE: Final = re.compile(r"[A-Z0-9_ ]{1,16}")
_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}")
_FORMS: Final = {
    "DA": re.compile(r"\d{8}"),
    "TM": re.compile(r"\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?"),
    "DS": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
}
_RANGES: Final = {
    "US": (0, 0xFFFF),
    "UL": (0, 0xFFFFFFFF),
    "SS": (-0x8000, 0x7FFF),
    "SL": (-0x80000000, 0x7FFFFFFF),
    "IS": (-0x80000000, 0x7FFFFFFF),
}
_WORDS: Final = {"DA": "this is no date", "TM": "this is no time", "DS": "this is no number"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Warn = Callable[[str], None]


class Unfit(ValueError):
    """What a value has to be and isn't; never the value itself, which may be a patient's."""


def fitted(keyword: str, vr: str, value: Any, warn: Warn) -> Any:
    """One value as the attribute can hold it. `warn` is told what had to be done to it. Raises Unfit for what can't
    be a value of the VR at all."""
    if vr == "PN":
        return {group: _cut(keyword, vr, text, warn) for group, text in value.items()}
    if vr == "SQ" or not isinstance(value, str):
        return value
    return _text(keyword, vr, value, warn)


def _text(keyword: str, vr: str, value: str, warn: Warn) -> Any:
    if vr in _LINES:
        return _cut(keyword, vr, "".join(c for c in value if c >= " " or c in "\r\n\t"), warn)
    text = _CONTROL.sub(" ", value).strip()
    if vr == "UI":
        return _uid(text, warn)
    if vr == "CS":
        return _code(text)
    if vr == "AE":
        if not _TITLE.fullmatch(text):
            raise Unfit("this is no AE title")
        return text
    if vr in _RANGES:
        if not re.fullmatch(r"[+-]?\d{1,10}", text):
            raise Unfit("this is no whole number")
        return _whole(vr, int(text))
    if vr in _FORMS:
        if not _FORMS[vr].fullmatch(text):
            raise Unfit(_WORDS[vr])
        return text
    if "\\" in text:
        warn("a backslash divides values in DICOM; it was written as a slash")
        text = text.replace("\\", "/")
    return _cut(keyword, vr, text, warn)


def _whole(vr: str, number: int) -> int:
    least, most = _RANGES[vr]
    if not least <= number <= most:
        raise Unfit(f"the number is beyond the VR {vr}")
    return number


def _uid(text: str, warn: Warn) -> str:
    if not text or len(text) > 128 or not re.fullmatch(r"[0-9.]+", text):
        raise Unfit("this is no UID")
    if not is_regular(text):
        warn("the UID breaks the rules of PS3.5 9.1; it is used as it is")
    return text


def _code(text: str) -> str:
    code = text.upper()
    if not _CODE.fullmatch(code):
        raise Unfit("this is no code of at most 16 capitals, digits and underscores")
    return code


def _cut(keyword: str, vr: str, text: str, warn: Warn) -> str:
    longest = _LENGTHS.get(vr)
    if longest is None or len(text) <= longest:
        return text
    if keyword in IDENTIFIERS:
        warn(f"longer than the {longest} characters of VR {vr}; it is used as it is")
        return text
    warn(f"longer than the {longest} characters of VR {vr}; it was cut")
    return text[:longest].rstrip()
