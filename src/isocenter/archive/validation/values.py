"""The level `minimal`: identity, and values that fit their value representations (PS3.5 6.2, table 6.2-1)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from isocenter.dicom import charset, uids
from isocenter.dicom.charset import TEXT_VRS, CharacterSet
from isocenter.dicom.deflate import Inflating
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.elements import PIXEL_TAGS, Event, Kind, Window, walk_window
from isocenter.dicom.scan import HEADER_BOUND, Scan
from isocenter.dicom.uids import transfer_syntax

SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PATIENT_NAME, _PATIENT_ID, _MODALITY = 0x00100010, 0x00100020, 0x00080060
_ENOUGH: Final = 8
"""Findings after which nobody needs more."""
_LOOKED_AT: Final = 1 << 17
"""Bytes of a value that are looked at; what is longer is too long for every VR that is checked."""


class Incoming(NamedTuple):
    """A received data set: `read(n, offset)` gives its bytes."""

    scan: Scan
    read: Callable[[int, int], bytes]
    size: int
    character_set: str = ""
    """Assumed where it names none."""

    @property
    def sop_class(self) -> str:
        """Its SOP Class UID; '' if it is missing."""
        element = self.scan.elements.get(0x00080016)
        return element.value.decode("ascii", "replace").strip(" \0") if element else ""


class Found(NamedTuple):
    """An element before the pixel data: where it is, and its value as far as it is looked at."""

    event: Event
    value: bytes


def elements(incoming: Incoming) -> Iterator[Found]:
    """All elements before the pixel data, nested ones too; an empty sequence has no value. Raises MalformedDataSet."""
    read = incoming.read
    window = Window(lambda offset, n: read(n, offset), incoming.scan.end)
    if transfer_syntax(incoming.scan.syntax).deflated:
        window = Window(Inflating(lambda offset, n: read(n, offset), incoming.size, HEADER_BOUND))
    for event in walk_window(window, incoming.scan.encoding):
        if event.depth == 0 and event.tag in PIXEL_TAGS:
            return
        if event.kind == Kind.VALUE:
            yield Found(event, window.bytes_at(event.offset, min(event.length, _LOOKED_AT)))
        elif event.kind in (Kind.SEQUENCE, Kind.ITEM):
            yield Found(event, b"")


def minimal(incoming: Incoming) -> Sequence[str]:
    """What is wrong with identity and values."""
    found: list[str] = []
    seen: set[int] = set()
    sets = [charset.character_set(incoming.character_set or "ISO_IR 6")]
    for event, value in elements(incoming):
        del sets[event.depth + 1 :]  # those of items that ended
        sets += sets[-1:] * (event.depth + 1 - len(sets))
        if event.depth == 0:
            seen.add(event.tag)
        if event.tag == SPECIFIC_CHARACTER_SET and value.strip(b" \0"):
            sets[-1] = charset.character_set(value.strip(b" \0"))
        problem = "" if event.kind != Kind.VALUE else _problem(event, value, sets[-1])
        if problem and len(found) < _ENOUGH:
            found.append(f"{named(event.tag)} {problem}")
    if incoming.scan.truncated:
        found.append("the pixel data is shorter than its length says")
    return [*_missing(incoming.scan, seen), *found]


def _missing(scan: Scan, seen: set[int]) -> list[str]:
    """What identifies an object and its patient besides the UIDs, which filing asks for: Patient's Name and ID may be
    empty (type 2, PS3.3 C.7.1.1), Modality must have a value (type 1, C.7.3.1)."""
    found = [f"{named(tag)} is missing" for tag in (_PATIENT_NAME, _PATIENT_ID, _MODALITY) if tag not in seen]
    modality = scan.elements.get(_MODALITY)
    if modality is not None and not modality.value.strip(b" \0"):
        found.append(f"{named(_MODALITY)} is empty")
    return found


@lru_cache(maxsize=1024)
def named(tag: int) -> str:
    """Tag and keyword, for people."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword_of(tag)}".rstrip()


# --- value representations

_WORDS: Final[Mapping[str, int]] = {
    "US": 2, "SS": 2, "OW": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "OL": 4, "OF": 4, "FD": 8, "OD": 8, "SV": 8,
    "UV": 8, "OV": 8,
}  # fmt: skip
"""Bytes of one value."""
_CHARACTERS: Final[Mapping[str, int]] = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "PN": 64}
"""Characters of one value; of PN: of one component group."""
_DATE = rb"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_TIME = rb"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"
_FORMS: Final = {
    "AE": re.compile(rb"[\x20-\x5b\x5d-\x7e]{0,16}"),
    "AS": re.compile(rb"(\d{3}[DWMY])?"),
    "CS": re.compile(rb"[A-Z0-9 _]{0,16}"),
    "DA": re.compile(rb"(" + _DATE + rb"|\d{4}\.\d\d\.\d\d)?"),
    "DS": re.compile(rb"(?=.{0,16}$) *([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)? *"),
    "DT": re.compile(rb"(\d{4}((0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(" + _TIME + rb")?)?)?([+-]\d{4})?)?"),
    "IS": re.compile(rb"(?=.{0,12}$) *([+-]?\d{1,11})? *"),
    "TM": re.compile(rb"(" + _TIME + rb"|([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?)?"),
}
"""What one value looks like. Dates and times of ACR-NEMA 2.0 pass (PS3.5 6.2, note to DA and TM)."""


def _problem(event: Event, value: bytes, text: CharacterSet) -> str:
    """What is wrong with a value, '' if nothing. Private elements are their makers' own business."""
    vr = vr_of(event.tag) if event.vr == "UN" else event.vr
    if event.tag >> 16 & 1:
        return ""
    if event.length & 1:
        return "has an odd length"
    if vr in _WORDS:
        return f"is no whole number of {vr} values" if event.length % _WORDS[vr] else ""
    if vr == "UI":
        values = value.split(b"\\")
        legal = all(not v or uids.is_regular(v.decode("ascii", "replace")) for v in (x.strip(b" \0") for x in values))
        return "" if legal else "is no legal UID"
    if vr in _FORMS:
        form = _FORMS[vr]
        return "" if all(form.fullmatch(v.strip(b" \0")) for v in value.split(b"\\")) else f"is no legal {vr}"
    if vr in _CHARACTERS:
        return _too_long(vr, value, text)
    return ""


def _too_long(vr: str, value: bytes, text: CharacterSet) -> str:
    limit = _CHARACTERS[vr]
    if len(value) <= limit:  # no character takes less than a byte
        return ""
    decoded = charset.decode(value, vr, text) if vr in TEXT_VRS else value.decode("latin-1")
    parts = [decoded] if vr in ("ST", "LT") else decoded.split("\\")
    if vr == "PN":
        parts = [group for part in parts for group in part.split("=")]
    return f"is longer than {limit} characters" if any(len(part.strip(" \0")) > limit for part in parts) else ""
