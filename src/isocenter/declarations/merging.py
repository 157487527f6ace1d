"""Attributes that leave with the index's current values where an AE merges these into what it sends.

`full` is the update table of M-SEND-07 (T14), `reduced` that of M-DWSEND-04 (T49), which leaves out the patient's name
and age and what belongs to the series. Row 8 of T14 calls (0008,1032) Requesting Physician; both are updated
(M-GAP-11).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Extent = Literal["full", "reduced"]

_REDUCED: Final = frozenset(
    [
        0x00080020,  # Study Date
        0x00080030,  # Study Time
        0x00080050,  # Accession Number
        0x00080090,  # Referring Physician's Name
        0x00081030,  # Study Description
        0x00100020,  # Patient ID
        0x00100021,  # Issuer of Patient ID
        0x00100030,  # Patient's Birth Date
        0x00100032,  # Patient's Birth Time
        0x00100040,  # Patient's Sex
        0x00101002,  # Other Patient IDs Sequence
        0x00101020,  # Patient's Size
        0x00101030,  # Patient's Weight
        0x00200010,  # Study ID
        0x00321032,  # Requesting Physician
    ]
)
_FULL: Final = _REDUCED | {
    0x00080021,  # Series Date
    0x00080031,  # Series Time
    0x00081032,  # Procedure Code Sequence
    0x0008103E,  # Series Description
    0x00081050,  # Performing Physician's Name
    0x00100010,  # Patient's Name
    0x00101010,  # Patient's Age
}
MERGED: Final[Mapping[Extent, frozenset[int]]] = MappingProxyType({"full": _FULL, "reduced": _REDUCED})
"""Tags by how much is merged."""
