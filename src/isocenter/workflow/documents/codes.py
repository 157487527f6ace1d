"""Codes of observations: what stands in OBX-3 and OBR-4, and the headings of reports (PS3.16 CID 7001)."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from isocenter.hl7.message import NULL, Segment

_LONGEST: Final = 16
_LOCAL: Final = "99LOCAL"


class Code(NamedTuple):
    """A code; without a value it is but words."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> dict[str, Any]:
        """As an item of a code sequence (PS3.3 8.8). Words alone are a code of ours."""
        value = (self.value or "TEXT").replace("\\", "/")
        tag, vr = ("00080100", "SH") if len(value) <= _LONGEST else ("00080119", "UC")
        return {
            tag: {"vr": vr, "Value": [value]},
            "00080102": {"vr": "SH", "Value": [(self.scheme or _LOCAL)[:16].replace("\\", "/")]},
            "00080104": {"vr": "LO", "Value": [(self.meaning or value)[:64].replace("\\", "/")]},
        }


REPORT: Final = Code("18748-4", "LN", "Diagnostic imaging report")
FINDING: Final = Code("121071", "DCM", "Finding")
_HEADINGS: Final[Mapping[str, Code]] = {
    "GDT": Code("121070", "DCM", "Findings"),
    "IMP": Code("121072", "DCM", "Impressions"),
    "REC": Code("121074", "DCM", "Recommendations"),
    "ADT": Code("121078", "DCM", "Addendum"),
    "ADD": Code("121078", "DCM", "Addendum"),
    "CMT": Code("121106", "DCM", "Comment"),
    "TCM": Code("121065", "DCM", "Procedure description"),
}
"""By the suffix of an observation identifier (HL7 2.8 7.17.3): `19004&IMP`."""


def code_of(segment: Segment, field: int) -> Code:
    """The first triplet of a CE or CWE that has something, else the second one."""
    for at in (1, 4):
        value, meaning, scheme = (_plain(segment.value(field, at + n)) for n in range(3))
        if value or meaning:
            return Code(value, scheme, meaning)
    return Code("", "", "")


def heading_of(observation: Segment) -> Code:
    """Under which heading the text of an OBX stands."""
    suffix = _plain(observation.value(3, 1, 2)).upper()
    if suffix in _HEADINGS:
        return _HEADINGS[suffix]
    found = code_of(observation, 3)
    if not (found.value or found.meaning):
        return FINDING
    return found


def _plain(text: str) -> str:
    text = " ".join(text.split())
    return "" if text == NULL else text
