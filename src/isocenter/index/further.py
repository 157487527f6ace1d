"""The further attributes of a level (`index.keys.FURTHER`): as DICOM JSON to return, as rows to match.

A row is (level, path, item, value, fold): `path` is the tag in hexadecimal, with those of the enclosing sequences
before it and a dot between; attributes of one item share a number `item`, counted over all items of the innermost
sequence, and values of one attribute share it too. A person name gives a row for each of its component groups, with
the whole name as value.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from isocenter.declarations.query_keys import Path
from isocenter.dicom import charset, person_name
from isocenter.dicom.dataset import DataSet, Element, items
from isocenter.dicom.elements import Encoding, MalformedDataSet
from isocenter.dicom.folding import fold
from isocenter.dicom.scan import RawElement
from isocenter.dicom.swapping import swapped
from isocenter.index.keys import SPECIFIC_CHARACTER_SET, Keys, Wanted

Row: TypeAlias = tuple[str, str, int, str, str]
Charset: TypeAlias = str | bytes

MOST_ROWS = 4096
"""Rows for one level of one object; what goes beyond is returned but not matched."""
MOST_BYTES = 1 << 16
"""A longer value is left to the object itself."""
_DEPTH = 6

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_WHOLE = frozenset({"ST", "LT", "UT", "UR"})
_TEXT = charset.TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}


class Found(NamedTuple):
    """What one level's further attributes come to."""

    json: str
    """DICOM JSON (PS3.18 F), '' for none. DS and IS stand as strings, exactly as written."""
    rows: tuple[Row, ...]


NOTHING = Found("", ())


def further_at(
    level: str, wanted: Wanted, elements: Mapping[int, RawElement], encoding: Encoding, declared: Charset
) -> Found:
    """The further attributes of one level, as an installation wants them."""
    return further(level, wanted.further[level], elements, encoding, declared, wanted.private.get(level, ()))


def further(
    level: str,
    wanted: Keys,
    elements: Mapping[int, RawElement],
    encoding: Encoding,
    declared: Charset,
    private: Sequence[tuple[Path, str]] = (),
) -> Found:
    """The `wanted` attributes among the raw `elements` of a header scan, written in `encoding`. `private`: VRs of
    elements that the dictionary does not know, for objects that don't tell them either."""
    present: DataSet = {}
    for tag in wanted:
        raw = elements.get(tag)
        if raw is not None and len(raw.value) <= MOST_BYTES:
            vr = raw.vr if raw.vr != "UN" else next((vr for path, vr in private if path == (tag,)), "UN")
            element = _element(vr, raw.value, wanted[tag] is not None, encoding)
            if element is not None:
                present[tag] = element
    for path, vr in private:
        _name_vr(present, path, vr)
    return further_of(level, wanted, present, declared)


def further_of(level: str, wanted: Keys, present: DataSet, declared: Charset) -> Found:
    """What the `wanted` elements of `present` come to."""
    if not present:
        return NOTHING
    model = _object(present, declared, 0)
    rows = _Rows(level)
    rows.collect("", wanted, present, 0, declared)
    return Found(msgspec.json.encode(model).decode() if model else "", tuple(rows.found[:MOST_ROWS]))


def _name_vr(source: DataSet, path: Path, vr: str) -> None:
    """Give the elements at `path` the VR `vr` where the object left it open."""
    element = source.get(path[0])
    if element is None:
        return
    if len(path) == 1:
        if element.vr == "UN":
            source[path[0]] = Element(vr, element.value)
    elif isinstance(element.value, tuple):
        for item in element.value:
            _name_vr(item, path[1:], vr)


def _element(vr: str, value: bytes, sequence: bool, encoding: Encoding) -> Element | None:
    if not sequence and vr in _NUMBERS:
        return Element(vr, value if encoding.little else swapped(vr, value))
    if not sequence:
        return Element(vr, value) if vr in _TEXT else None
    try:
        return Element("SQ", items(value, encoding))
    except MalformedDataSet:
        return None


def values_of(element: Element, declared: Charset) -> list[str]:
    """The values of a text element, decoded, split and trimmed; empty ones keep their place."""
    raw = element.value
    if isinstance(raw, bytes) and element.vr in _NUMBERS:
        return [str(number) for number in _numbers(element)]
    if not isinstance(raw, bytes) or element.vr not in _TEXT:
        return []
    text = charset.decode(raw, element.vr, declared).replace("\0", "")
    if element.vr in _WHOLE:
        return [text.rstrip()] if text.strip() else []
    return [value.strip() for value in text.split("\\")] if text.strip() else []


class _Rows:
    """Gathers the rows of one level; numbers the items of each sequence."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.found: list[Row] = []
        self._items: defaultdict[str, int] = defaultdict(int)

    def collect(self, prefix: str, wanted: Keys, source: DataSet, item: int, declared: Charset) -> None:
        """Add rows for the `wanted` attributes of `source`, an item (number `item`) of the sequence at `prefix`."""
        for tag, inner in wanted.items():
            element = source.get(tag)
            if element is None or len(self.found) >= MOST_ROWS:
                continue
            path = f"{prefix}{tag:08X}"
            if inner is None:
                self._values(path, item, element, declared)
            elif isinstance(element.value, tuple):
                for each in element.value:
                    number, self._items[path] = self._items[path], self._items[path] + 1
                    self.collect(f"{path}.", inner, each, number, _declared_in(each, declared))

    def _values(self, path: str, item: int, element: Element, declared: Charset) -> None:
        for value in values_of(element, declared):
            if value:
                forms = _name_folds(value) if element.vr == "PN" else (fold(value),)
                self.found.extend((self.level, path, min(item, 32767), value, form) for form in forms)


def _name_folds(value: str) -> Iterator[str]:
    return (fold_group(group) for group in person_name.parse(value).groups if group)


def fold_group(group: str) -> str:
    """A component group folded, without spaces around its components and without trailing carets."""
    return fold(str(person_name.components(group)))


def _declared_in(item: DataSet, declared: Charset) -> Charset:
    own = item.get(SPECIFIC_CHARACTER_SET)
    return own.value if own is not None and isinstance(own.value, bytes) and own.value.strip() else declared


def _object(source: DataSet, declared: Charset, depth: int) -> dict[str, Any]:
    """The DICOM JSON object of `source`, binary values left out."""
    found = {}
    for tag in sorted(source):
        element = source[tag]
        if isinstance(element.value, tuple):
            if depth < _DEPTH:
                inner = [_object(each, _declared_in(each, declared), depth + 1) for each in element.value]
                found[f"{tag:08X}"] = {"vr": "SQ", "Value": inner} if inner else {"vr": "SQ"}
        elif len(element.value) <= MOST_BYTES and tag != SPECIFIC_CHARACTER_SET:
            model = _model(element, declared)
            if model is not None:
                found[f"{tag:08X}"] = model
    return found


def _model(element: Element, declared: Charset) -> dict[str, Any] | None:
    if element.vr in _TEXT:
        values: list[Any] = [_name(v) if element.vr == "PN" else v or None for v in values_of(element, declared)]
    elif element.vr in _NUMBERS:
        values = _numbers(element)
    else:
        return None
    return {"vr": element.vr, "Value": values} if values else {"vr": element.vr}


def _numbers(element: Element) -> list[Any]:
    assert isinstance(element.value, bytes)
    form = _NUMBERS[element.vr]
    count = len(element.value) // struct.calcsize(form)
    return list(struct.unpack_from(f"<{count}{form}", element.value))


def _name(value: str) -> dict[str, str] | None:
    groups = zip(person_name.GROUPS, person_name.parse(value).groups, strict=True)
    return {key: group for key, group in groups if group} or None
