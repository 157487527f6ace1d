"""Which elements of an object the index keeps, by level: those with a column of their own, and the further ones.

What a query may name is declared in `declarations.query_keys`, with the place where each value lies; this is the same
seen from the object. The further attributes are kept twice: as DICOM JSON in the level's `attributes` column, to be
returned, and as rows of `attribute`, to be matched.
"""

from collections.abc import Mapping
from typing import TypeAlias

from isocenter.declarations.query_keys import Key, Level, Path, Place, keys_at

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


def _further(level: Level) -> Keys:
    found: dict[int, Keys | None] = {}
    for path, key in keys_at(level).items():
        if key.place is Place.ATTRIBUTE:
            _add(found, path, key.vr)
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
