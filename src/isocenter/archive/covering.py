"""The edits that cover a series' objects, laid over one of them: which elements become what (`series.overlay`).

An edit that says what the object says itself changes nothing. What it does change is told in an item of Original
Attributes Sequence (PS3.3 C.12.1.1.9): the former values, when, by whom, why.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, encode_element, items, text
from isocenter.dicom.elements import Encoding, Read
from isocenter.dicom.json_reading import Attribute, element_of, fits
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import RawElement, Scan, scan_file
from isocenter.dicom.swapping import swapped

SYSTEM: Final = "ISOCENTER"
"""Modifying System (0400,0563)."""

_CHARACTER_SET: Final = 0x00080005
_ORIGINAL: Final = 0x04000561
_SOURCE, _WHEN, _SYSTEM, _REASON, _MODIFIED = 0x04000564, 0x04000562, 0x04000563, 0x04000565, 0x04000550
_MORE: Final = ("100", "101", "109", "110", "144", "127", "126", "138", "148", "166", "13", "87", "149", "58")
_EXPLICIT: Final = "1.2.840.10008.1.2.1"


class Covering(NamedTuple):
    """The edits that cover the objects of a series (`series.overlay`)."""

    at: int
    attributes: Mapping[int, Attribute | None]


@lru_cache(maxsize=256)
def covering(overlay: str) -> Covering:
    """What the text of `series.overlay` says."""
    found: dict[str, Any] = json.loads(overlay)
    return Covering(int(found["at"]), {int(tag, 16): attribute for tag, attribute in found["changes"].items()})


def changes_to(overlay: str, read: Read, size: int, syntax: str, assumed: str = "") -> Changes:
    """The same for the data set behind `read(offset, n)`; `assumed` is its character set where it names none.

    {} where the object says all of it itself."""
    wanted = covering(overlay)
    tags = frozenset(wanted.attributes) | {_ORIGINAL, _CHARACTER_SET}
    found = scan_file(lambda n, at: read(at, n), size, syntax, tags)
    declared, more = _character_set(found, wanted.attributes, assumed)
    changes: dict[int, Element | None] = {}
    for tag, attribute in wanted.attributes.items():
        element = None if attribute is None else element_of(attribute, declared)
        if not _same(tag, element, found):
            changes[tag] = element
    if changes:
        changes[_ORIGINAL] = _account(found, changes, wanted.at)
        changes.update(more)
    return changes


def _character_set(
    found: Scan, attributes: Mapping[int, Attribute | None], assumed: str
) -> tuple[str, dict[int, Element | None]]:
    """What the new text is written in: the object's own set, or one that has more."""
    raw = found.elements.get(_CHARACTER_SET)
    declared = raw.value.decode("ascii", "replace").strip(" \0") if raw is not None else ""
    own = (declared,) if declared else ("ISO_IR 6", *((assumed,) if assumed else ()))
    for candidate in (*own, *_extensions(declared or assumed)):
        if all(attribute is None or fits(attribute, candidate) for attribute in attributes.values()):
            same = candidate in (declared, "ISO_IR 6")
            return candidate, {} if same else {_CHARACTER_SET: text("CS", candidate)}
    return declared, {}


def _extensions(declared: str) -> Iterator[str]:
    """Sets in which all text of an object in `declared` means the same, and that have more: where none is declared
    UTF-8, for those of ISO 2022 one more set beside it (PS3.5 6.1.2.5)."""
    if not declared:
        yield "ISO_IR 192"
        return
    first, _, rest = declared.partition("\\")
    if rest or first.startswith(("ISO_IR 192", "GB")):
        return
    number = first.rpartition(" ")[2]
    yield from (f"ISO 2022 IR {number}\\ISO 2022 IR {more}" for more in _MORE if more != number)


def _same(tag: int, element: Element | None, found: Scan) -> bool:
    """Whether the object has this value already."""
    raw = found.elements.get(tag)
    if raw is None or element is None:
        return raw is None and element is None
    own = _element(raw, found.encoding)
    if own is None or isinstance(own.value, bytes) != isinstance(element.value, bytes):
        return False
    if isinstance(own.value, bytes) and isinstance(element.value, bytes):
        return own.value.rstrip(b" \0") == element.value.rstrip(b" \0")
    return encode_element(tag, *own, _EXPLICIT) == encode_element(tag, *element, _EXPLICIT)


def _element(raw: RawElement, encoding: Encoding) -> Element | None:
    if raw.vr == "SQ":
        return Element("SQ", items(raw.value, encoding))
    return Element(raw.vr, raw.value if encoding.little else swapped(raw.vr, raw.value))


def _account(found: Scan, changes: Mapping[int, Element | None], at: int) -> Element:
    """Original Attributes Sequence with one item more."""
    former: DataSet = dict(_former(found, changes))
    when = datetime.fromtimestamp(at / 1e6, UTC)
    item: DataSet = {
        _SOURCE: Element("LO", b""),
        _WHEN: text("DT", f"{when:%Y%m%d%H%M%S}.{when.microsecond:06d}+0000"),
        _SYSTEM: text("LO", SYSTEM),
        _REASON: text("CS", "CORRECT"),
        _MODIFIED: Element("SQ", (former,)),
    }
    earlier = found.elements.get(_ORIGINAL)
    kept = _element(earlier, found.encoding) if earlier is not None else None
    before = kept.value if kept is not None and isinstance(kept.value, tuple) else ()
    return Element("SQ", (*before, item))


def _former(found: Scan, changes: Mapping[int, Element | None]) -> Iterator[tuple[int, Element]]:
    """The values of before; an attribute that was not there stands empty."""
    for tag, element in sorted(changes.items()):
        raw = found.elements.get(tag)
        if raw is not None and (own := _element(raw, found.encoding)) is not None:
            yield tag, own
        elif element is not None:
            yield tag, Element(element.vr, () if element.vr == "SQ" else b"")
