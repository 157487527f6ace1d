"""A C-FIND (or C-MOVE, C-GET) identifier as a query: PS3.4 C.4.1.1.3, C.4.1.2, C.4.1.3."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from isocenter.archive.query import Model, Query
from isocenter.declarations.query_keys import Key, Level, Path, key, keys_at, unique_key
from isocenter.declarations.rejections import IN_FORCE
from isocenter.dicom.charset import CharacterSet, character_set, decode
from isocenter.dicom.dataset import DataSet, Element, int_of, string_of, strings_of
from isocenter.errors import Reason, Refused
from isocenter.index.matching import FOLDED, Access, Sensitivity

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
INSTANCE_AVAILABILITY = 0x00080056
_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
NO_LIMITS: Mapping[Level, int] = MappingProxyType({})
_ASIDE = frozenset({SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, 0x00080053})
"""Elements of an identifier that are no keys; the last is Query/Retrieve View."""
_FLOATS: Mapping[str, str] = MappingProxyType({"FL": "<f", "FD": "<d"})
_BINARY = frozenset({"US", "UL", "SS", "SL", "UV", "SV"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was negotiated and what the AE is set to: how an identifier is to be understood."""

    access: Access
    model: Model
    relational: bool = False
    """Unique keys of the levels above need not be given (PS3.4 C.4.1.2.2)."""
    combined: bool = False
    """Date and time match as one (PS3.4 C.5.1.1.5)."""
    fuzzy: bool = False
    sensitivity: Sensitivity = FOLDED
    character_set: str = ""
    """Assumed where the identifier names none."""
    more: tuple[Key, ...] = ()
    """Keys that this installation supports besides its own."""
    view: frozenset[int] = IN_FORCE
    """What is seen (`declarations.rejections`)."""


def from_identifier(identifier: DataSet, terms: Terms, *, limits: Mapping[Level, int] = NO_LIMITS) -> Query:
    """The query that `identifier` stands for. `limits` are the most matches at each level; 0 or none: any number.

    Raises Refused(IDENTIFIER_MISMATCH) where it breaks the rules of its model.
    """
    level = level_of(identifier, terms.model)
    declared = charset_of(identifier, terms.character_set)
    keys: list[tuple[Path, str]] = []
    returns: list[Path] = [unique_key(level).path, (INSTANCE_AVAILABILITY,)]
    for path, text in walk(identifier, declared):
        if len(path) == 1 and path[0] in _ASIDE:
            continue
        returns.append(path)
        if text:
            keys.append((path, text))
    if not terms.relational:
        _check_hierarchy(level, terms.model, dict(keys))
    return Query(
        level=level,
        access=terms.access,
        keys=tuple(keys),
        returns=tuple(dict.fromkeys(returns)),
        sensitivity=terms.sensitivity,
        combined=terms.combined,
        fuzzy=terms.fuzzy,
        more=terms.more,
        view=terms.view,
        refuse_above=limits.get(level, 0),
    )


def has_unsupported(identifier: DataSet, terms: Terms) -> bool:
    """Whether `identifier` has a key that its level does not support."""
    query = from_identifier(identifier, terms)
    return any(key(query.level, path, query.more) is None for path in query.returns)


def check_required(query: Query, model: Model) -> None:
    """A patient is named by a part of the id or the name, in Study Root that or a study's key (X-QR-23).

    Raises Refused(UNABLE_TO_PROCESS).
    """
    told = {path for path, text in query.keys if text.strip("*? ^=")}
    enough: set[Path] = {(_PATIENT_ID,), (_PATIENT_NAME,)}
    if query.level is Level.STUDY and model is Model.STUDY_ROOT:
        enough |= keys_at(Level.STUDY).keys()
    elif query.level is not Level.PATIENT:
        return
    if not told & enough:
        raise Refused(Reason.UNABLE_TO_PROCESS, "neither Patient ID nor Patient's Name has at least a partial value")


def level_of(identifier: DataSet, model: Model) -> Level:
    """Query/Retrieve Level, if the model has it."""
    text = string_of(identifier, QUERY_RETRIEVE_LEVEL).upper()
    if not text:
        raise Refused(Reason.IDENTIFIER_MISMATCH, "no Query/Retrieve Level")
    for level in model.levels:
        if level == text:
            return level
    raise Refused(Reason.IDENTIFIER_MISMATCH, "Query/Retrieve Level is none of the model's")


def charset_of(identifier: DataSet, default: str = "") -> CharacterSet:
    """The character set of an identifier's text."""
    declared = strings_of(identifier, SPECIFIC_CHARACTER_SET)
    return character_set(tuple(declared) if declared else default)


def _check_hierarchy(level: Level, model: Model, keys: dict[Path, str]) -> None:
    """Each level above is fixed by a single value of its unique key (PS3.4 C.4.1.2.1)."""
    for above in level.above:
        if above in model.levels:
            found = unique_key(above)
            value = keys.get(found.path, "")
            if not value or any(c in value for c in "*?\\"):
                raise Refused(Reason.IDENTIFIER_MISMATCH, f"{found.keyword} must be given as a single value")


def walk(data_set: DataSet, declared: CharacterSet, prefix: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every key of `data_set` with its value as text; an empty sequence as such, an item by what it holds."""
    for tag, element in sorted(data_set.items()):
        path = (*prefix, tag)
        if not isinstance(element.value, tuple):
            yield path, _text(data_set, tag, element, declared)
        elif len(element.value) > 1:
            raise Refused(Reason.IDENTIFIER_MISMATCH, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has more than one item")
        elif element.value and element.value[0]:
            yield from walk(element.value[0], declared, path)
        else:
            yield path, ""


def _text(data_set: DataSet, tag: int, element: Element, declared: CharacterSet) -> str:
    assert isinstance(element.value, bytes)
    if not element.value:
        return ""
    if element.vr in _BINARY:
        number = int_of(data_set, tag)
        return "" if number is None else str(number)
    if element.vr in _FLOATS:
        form = _FLOATS[element.vr]
        return str(struct.unpack_from(form, element.value)[0]) if len(element.value) >= struct.calcsize(form) else ""
    return decode(element.value, element.vr, declared).strip(" \0")
