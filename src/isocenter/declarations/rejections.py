"""Rejection notes: the titles of Key Object documents that take objects out of sight (PS3.16 CID 7010, IHE IOCM).

`instance.rejected` holds the number of the title that rejected it, 0 while it is in force, and NOTE for the document.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
SCHEME: Final = "DCM"


class Title(NamedTuple):
    """One document title: our number and name for it, its code and the code's meaning."""

    number: int
    name: str
    code: str
    meaning: str


QUALITY: Final = Title(1, "quality", "113001", "Rejected for Quality Reasons")
SAFETY: Final = Title(2, "safety", "113037", "Rejected for Patient Safety Reasons")
WORKLIST: Final = Title(3, "worklist", "113038", "Incorrect Modality Worklist Entry")
EXPIRED: Final = Title(4, "expired", "113039", "Data Retention Policy Expired")
TITLES: Final = (QUALITY, SAFETY, WORKLIST, EXPIRED)
NOTE: Final = 9
"""A rejection note itself."""
IN_FORCE: Final = frozenset({0})
"""What is seen where nobody asks for more."""

BY_CODE: Final[Mapping[str, Title]] = {title.code: title for title in TITLES}
BY_NAME: Final[Mapping[str, Title]] = {title.name: title for title in TITLES}
BY_NUMBER: Final[Mapping[int, Title]] = {title.number: title for title in TITLES}

MODIFIERS: Final[Mapping[str, str]] = {
    "111207": "Image artifact(s)",
    "111208": "Grid artifact(s)",
    "111209": "Positioning",
    "111210": "Motion blur",
    "111211": "Under exposed",
    "111212": "Over exposed",
    "111213": "No image",
    "111214": "Detector artifact(s)",
    "111215": "Artifact(s) other than grid or detector artifact",
    "111216": "Mechanical failure",
    "111217": "Electrical failure",
    "111218": "Software failure",
    "111219": "Inappropriate image processing",
    "111220": "Other failure",
    "111221": "Unknown failure",
    "113026": "Double exposure",
}
"""Why quality was not enough (CID 7011)."""
