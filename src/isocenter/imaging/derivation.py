"""What a lossy copy says of itself: a new instance, derived from the one it was made of (PS3.3 C.7.6.1.1.3 to .5)."""

from typing import Final

from isocenter.dicom.dataset import Element, items, sequence, text, uid
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import Scan
from isocenter.dicom.uids import derived_uid, new_uid

_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE = 0x00080008, 0x00080016, 0x00080018
_DESCRIPTION, _SOURCES, _CODES, _PURPOSE = 0x00082111, 0x00082112, 0x00089215, 0x0040A170
_REFERENCED_CLASS, _REFERENCED_INSTANCE = 0x00081150, 0x00081155
_LOSSY, _RATIO, _METHOD = 0x00282110, 0x00282112, 0x00282114
_LONGEST_DESCRIPTION: Final = 1024

NEEDED: Final = frozenset(
    (_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _DESCRIPTION, _SOURCES, _CODES, _LOSSY, _RATIO, _METHOD)
)
"""What a scan has to look for."""


_PROCESSED: Final = ("121322", "Source image for image processing operation")
_UNCOMPRESSED: Final = ("121320", "Uncompressed predecessor")


def lossy_copy(found: Scan, method: str, ratio: float, sop_instance: str = "") -> Changes:
    """The elements of a copy that was compressed `ratio` to 1 with `method` (a defined term of (0028,2114)), and is
    `sop_instance`; '' for a new UID."""
    purpose = _PROCESSED if _text(found, _LOSSY) == "01" else _UNCOMPRESSED
    return {
        **_derived(found, f"Lossy compression {ratio:.4g} to 1 with {method}", purpose, sop_instance),
        _CODES: sequence(*_items(found, _CODES), _code("113040", "Lossy Compression")),
        _LOSSY: text("CS", "01"),
        _RATIO: _appended(found, _RATIO, "DS", f"{ratio:.6g}"),
        _METHOD: _appended(found, _METHOD, "CS", method),
    }


def grey_copy(found: Scan, sop_instance: str) -> Changes:
    """The elements of a copy whose colours became grey."""
    return _derived(found, "Colours converted to grey", _PROCESSED, sop_instance)


def _derived(found: Scan, words: str, purpose: tuple[str, str], sop_instance: str) -> Changes:
    predecessor = {
        _REFERENCED_CLASS: uid(_text(found, _SOP_CLASS)),
        _REFERENCED_INSTANCE: uid(_text(found, _SOP_INSTANCE)),
        _PURPOSE: sequence(_code(*purpose)),
    }
    types = _text(found, _IMAGE_TYPE).split("\\") if _text(found, _IMAGE_TYPE) else ["", "PRIMARY"]
    return {
        _IMAGE_TYPE: text("CS", "\\".join(["DERIVED", *types[1:]])),
        _SOP_INSTANCE: uid(sop_instance or new_uid()),
        _DESCRIPTION: _described(found, words),
        _SOURCES: sequence(*_items(found, _SOURCES), predecessor),
    }


def copy_of(found: Scan, *made: object) -> str:
    """The SOP Instance UID of what is `made` so of the object: the same each time, so that a receiver gets one
    instance however often it asks."""
    origin = _text(found, _SOP_INSTANCE)
    return derived_uid(origin, *map(str, made)) if origin else new_uid()


def _described(found: Scan, more: str) -> Element:
    """The description so far with `more` behind it, in its own character set, as far as there is room."""
    before = found.elements.get(_DESCRIPTION)
    words = before.value.rstrip(b" \0") if before else b""
    added = more.encode("ascii")
    if not words or len(words) + 2 + len(added) > _LONGEST_DESCRIPTION:
        return Element("ST", added)
    return Element("ST", words + b"; " + added)


def _appended(found: Scan, tag: int, vr: str, value: str) -> Element:
    before = _text(found, tag)
    return text(vr, f"{before}\\{value}" if before else value)


def _code(value: str, meaning: str) -> dict[int, Element]:
    return {0x00080100: text("SH", value), 0x00080102: text("SH", "DCM"), 0x00080104: text("LO", meaning)}


def _items(found: Scan, tag: int) -> tuple[dict[int, Element], ...]:
    element = found.elements.get(tag)
    return items(element.value, found.encoding) if element and element.vr == "SQ" else ()


def _text(found: Scan, tag: int) -> str:
    element = found.elements.get(tag)
    return element.value.decode("latin-1").strip(" \0") if element else ""
