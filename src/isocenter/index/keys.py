"""Which elements of an object the index keeps, by level: those with a column of their own, and the further ones.

What a query may name is declared in `declarations.query_keys`, with the place where each value lies; this is the same
seen from the object. The further attributes are kept twice: as DICOM JSON in the level's `attributes` column, to be
returned, and as rows of `attribute`, to be matched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from isocenter.declarations.indexed_attributes import Attribute, attribute, configured_keys
from isocenter.declarations.query_keys import Key, Level, Path, Place, keys_at
from isocenter.dicom.scan import RawElement

Keys: TypeAlias = Mapping[int, "Keys | None"]
"""Tags to be matched; None for a simple value, for a sequence the keys inside its items."""

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY, SERIES = 0x0020000D, 0x0020000E
PATIENT_ID, ISSUER = 0x00100020, 0x00100021
OTHER_IDS, OTHER_ID_SEQUENCE = 0x00101000, 0x00101002
ACCESSION, ACCESSION_ISSUER = 0x00080050, 0x00080051
LOCAL_ENTITY, UNIVERSAL_ENTITY = 0x00400031, 0x00400032
REQUESTS = 0x00400275
ROWS, COLUMNS, SAMPLES, BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280002, 0x00280100
FRAMES, PHOTOMETRIC = 0x00280008, 0x00280004
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002

_APART = frozenset({PATIENT_ID, ISSUER, FRAMES})
"""Text that is worked out by itself: what identifies a patient, and a number without its text."""


def _columns(level: Level) -> list[Key]:
    return [key for key in keys_at(level).values() if key.place is Place.COLUMN]


def _texts(level: Level) -> dict[int, str]:
    """The text columns of `level`, by tag."""
    texts = (key for key in _columns(level) if key.vr not in ("PN", "UI", "US") and key.path[0] not in _APART)
    return {key.path[0]: key.column for key in texts}


def _further(level: Level, more: Iterable[Key] = ()) -> Keys:
    found: dict[int, Keys | None] = {}
    for key in (*keys_at(level).values(), *more):
        if key.place is Place.ATTRIBUTE and key.level is level:
            _add(found, key.path, key.vr)
    return found


def _add(into: dict[int, Keys | None], path: Path, vr: str) -> None:
    for tag in path[:-1]:
        inner = into.setdefault(tag, {})
        assert isinstance(inner, dict), "a sequence stands before what it holds"
        into = inner
    into.setdefault(path[-1], {} if vr == "SQ" else None)


PATIENT_TEXT: Mapping[int, str] = _texts(Level.PATIENT)
STUDY_TEXT: Mapping[int, str] = _texts(Level.STUDY)
SERIES_TEXT: Mapping[int, str] = _texts(Level.SERIES)
INSTANCE_TEXT: Mapping[int, str] = {**_texts(Level.IMAGE), SPECIFIC_CHARACTER_SET: "character_set"}

NAMES: Mapping[int, tuple[str, str, str]] = {
    key.path[0]: (level.code, key.column, key.fold) for level in Level for key in _columns(level) if key.vr == "PN"
}
"""Person names with columns: level, column of the name, and what the columns of its folded groups begin with."""

FOLDED = frozenset(
    (level.code, key.column) for level in Level for key in _columns(level) if key.fold and key.vr != "PN"
)
"""Text columns with a folded one beside them, with the level."""

FURTHER: Mapping[str, Keys] = {level.code: _further(level) for level in Level}
"""The further attributes of each level, called as in `attribute.level`."""
INSTANCE_FURTHER = FURTHER[Level.IMAGE.code]

SHARED = frozenset(
    {STUDY, SERIES, PATIENT_ID, ISSUER, OTHER_ID_SEQUENCE, ACCESSION_ISSUER, REQUESTS}
    | PATIENT_TEXT.keys()
    | STUDY_TEXT.keys()
    | SERIES_TEXT.keys()
    | NAMES.keys()
    | {tag for level in (Level.PATIENT, Level.STUDY, Level.SERIES) for tag in FURTHER[level.code]}
)
"""What the objects of a series have in common."""

OWN = frozenset(
    {SOP_CLASS, SOP_INSTANCE, ROWS, COLUMNS, SAMPLES, BITS_ALLOCATED, FRAMES, PHOTOMETRIC}
    | {EXTENDED_OFFSETS, EXTENDED_LENGTHS}
    | INSTANCE_TEXT.keys()
    | INSTANCE_FURTHER.keys()
)
"""What is an object's own."""

INDEXED = SHARED | OWN


@dataclass(frozen=True, eq=False, slots=True)
class Wanted:
    """What an installation indexes: the above, and what its settings add (`declarations.indexed_attributes`)."""

    further: Mapping[str, Keys]
    """As `FURTHER`."""
    shared: frozenset[int]
    """As `SHARED`."""
    indexed: frozenset[int]
    """As `INDEXED`: what a header scan is to look for."""
    private: Mapping[str, tuple[tuple[Path, str], ...]]
    """By level, the VRs of elements that the dictionary does not know."""
    creators: Mapping[int, str]
    """The private creator that each of these elements must have."""


STANDARD = Wanted(FURTHER, SHARED, INDEXED, {}, {})


@cache
def wanted(attributes: tuple[str, ...]) -> Wanted:
    """What is indexed where the settings add `attributes`."""
    if not attributes:
        return STANDARD
    found = [attribute(text) for text in attributes]
    more = configured_keys(attributes)
    creators = {one.key.path[0]: one.creator for one in found if one.creator}
    upper = {key.path[0] for key in more if key.level is not Level.IMAGE}
    return Wanted(
        {level.code: _further(level, more) for level in Level},
        SHARED | upper,
        INDEXED | {key.path[0] for key in more} | {_creator_of(tag) for tag in creators},
        {level.code: _private(level, found) for level in Level},
        creators,
    )


def only(attributes: tuple[str, ...]) -> Wanted:
    """The `attributes` alone, for objects that are indexed already but for them."""
    whole = wanted(attributes)
    more = configured_keys(attributes)
    further: dict[str, Keys] = {}
    for level in Level:
        tags = {key.path[0] for key in more if key.level is level}
        further[level.code] = {tag: inner for tag, inner in whole.further[level.code].items() if tag in tags}
    read = frozenset(tag for keys in further.values() for tag in keys) | {SPECIFIC_CHARACTER_SET}
    return Wanted(
        further, whole.shared, read | {_creator_of(tag) for tag in whole.creators}, whole.private, whole.creators
    )


def _private(level: Level, found: Iterable[Attribute]) -> tuple[tuple[Path, str], ...]:
    return tuple((one.key.path, one.key.vr) for one in found if one.private and one.key.level is level)


def _creator_of(tag: int) -> int:
    """The element that names who owns the block of private `tag` (PS3.5 7.8.1)."""
    return tag & 0xFFFF0000 | (tag & 0xFF00) >> 8


def of_creators(held: Wanted, elements: dict[int, RawElement]) -> dict[int, RawElement]:
    """`elements` without private ones that are another creator's."""
    others = {tag for tag, creator in held.creators.items() if _creator(elements.get(_creator_of(tag))) != creator}
    return {tag: element for tag, element in elements.items() if tag not in others} if others else elements


def _creator(element: RawElement | None) -> str:
    return element.value.decode("latin-1").strip(" \0") if element is not None else ""
