"""The identifier of a worklist query, by the keys that an AE knows (`declarations.worklist`): what is matched, what is
returned, what is not supported."""

from collections.abc import Iterable, Sequence
from typing import Final

from isocenter.archive.query import Field, Kind, Layout
from isocenter.config.worklist import WorklistAnswers
from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import MATCHING, RETURNING, START_DATE, START_TIME, STUDY, Use, keys, use_of
from isocenter.dicom.dictionary import vr_of
from isocenter.errors import Reason, Refused
from isocenter.index.matching_items import Asked

ASIDE: Final = frozenset({(0x00080005,), (0x00080052,), (0x00080053,)})
"""Elements of an identifier that are no keys: Specific Character Set, and what queries of archives hold."""
_ZONE: Final[Path] = (0x00080201,)
"""In an identifier it tells of what zone the query's times are (PS3.4 K.4.1.1.3)."""
_JSON_AT: Final = 1
"""Where the attributes stand in a row; the primary key is before them."""


def keys_of(named: Sequence[tuple[Path, str]], habits: WorklistAnswers) -> tuple[Asked, ...]:
    """What is matched."""
    given = {path for path, text in named if text.strip(" \0*")}
    found = []
    for path, text in named:
        use = use_of(path, habits.keys)
        if not text or use not in MATCHING or vr_of(path[-1]) == "SQ":
            continue
        if path == START_TIME and habits.time_with_date and START_DATE not in given:
            continue
        found.append(Asked(path, vr_of(path[-1]), text, use is Use.SINGLE))
    return tuple(found)


def unsupported(named: Iterable[tuple[Path, str]], habits: WorklistAnswers) -> bool:
    """Whether the answers have to warn of a key that is not supported, for existence or for matching.

    Raises Refused(IDENTIFIER_MISMATCH) for a key outside the information model, where the AE refuses these."""
    if habits.unsupported == "empty":
        return False
    found = False
    for path, text in named:
        use = use_of(path, habits.keys)
        if use is Use.UNKNOWN and habits.unsupported == "refuse" and path not in keys():
            raise Refused(Reason.IDENTIFIER_MISMATCH, f"{path[-1] >> 16:04X},{path[-1] & 0xFFFF:04X} is no key")
        found = found or use is Use.UNKNOWN or (bool(text) and use not in MATCHING and path != _ZONE)
    return found


def layout_of(named: Iterable[Path], habits: WorklistAnswers) -> Layout:
    """What is returned: what was asked for, and the study in any case."""
    fields: dict[int, Field] = {}
    for path in dict.fromkeys((STUDY, *named)):
        tag, inner = path[0], path[1:]
        field = fields.get(tag) or Field(tag, vr_of(tag), Kind.EMPTY, _JSON_AT, ())
        if path == STUDY or use_of(path, habits.keys) in RETURNING:
            field = field._replace(kind=Kind.JSON)
        fields[tag] = field._replace(wanted=(*field.wanted, inner)) if inner else field
    return Layout(tuple(_item_of_empties(fields[tag]) for tag in sorted(fields)))


def _item_of_empties(field: Field) -> Field:
    """A sequence of which only unknown keys were asked for is returned as it lies there, if it does."""
    return field._replace(kind=Kind.JSON) if field.wanted else field
