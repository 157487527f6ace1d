"""Data sets put together from metadata and bulk data (PS3.18 8.6.2, F.2): what STOW-RS receives in parts.

The metadata is a DICOM JSON object whose large values are named by URI. The data set comes out as a stream in Explicit
VR Little Endian, or with encapsulated pixel data; values by reference pass in slices, so that their size is no matter.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from isocenter.dicom.dataset import encode_element
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import DEPTH_LIMIT, LONG_VRS, PIXEL_DATA, SHORT_VRS
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import Reason, Refused

_CHARACTER_SET: Final = 0x00080005
_UTF_8: Final = "ISO_IR 192"
_UNDEFINED: Final = 0xFFFFFFFF
_HEADER: Final = struct.Struct("<HH2sHI")
_ITEM: Final = struct.Struct("<HHI")
_DELIMITER: Final = _ITEM.pack(0xFFFE, 0xE0DD, 0)
_ITEM_END: Final = _ITEM.pack(0xFFFE, 0xE00D, 0)
_LONGEST: Final = 0xFFFFFFFE


class Value(NamedTuple):
    """A value by reference: its length in bytes and what reads it."""

    length: int
    pieces: Callable[[], Iterator[bytes]]


Find = Callable[[str], Sequence[Value]]
"""BulkDataURI -> the value, or the frames of compressed pixel data each by itself; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """One data set to be. `encapsulated`: its pixel data is compressed."""

    model: Mapping[str, Any]
    find: Find
    encapsulated: bool = False

    def pieces(self) -> Iterator[bytes]:
        """The encoded data set. Raises Refused(CANNOT_UNDERSTAND) for what is none, or names what isn't there."""
        yield from self._data_set(self.model, 0)

    def _data_set(self, model: Mapping[str, Any], depth: int) -> Iterator[bytes]:
        if not isinstance(model, Mapping) or depth > DEPTH_LIMIT:
            raise _bad("an item is no data set, or is nested too deep")
        members = {tag: member for name, member in model.items() if (tag := _tag(name)) & 0xFFFF and tag > 0x0007FFFF}
        members.pop(_CHARACTER_SET, None)
        if depth == 0:  # the models are UTF-8, whatever the object was (PS3.18 F.2)
            members[_CHARACTER_SET] = {"vr": "CS", "Value": [_UTF_8]}
        for tag in sorted(members):
            yield from self._element(tag, members[tag], depth)

    def _element(self, tag: int, member: Any, depth: int) -> Iterator[bytes]:
        if not isinstance(member, Mapping):
            raise _bad("an attribute is no object")
        vr = member.get("vr") or vr_of(tag)
        if not isinstance(vr, str) or (vr not in SHORT_VRS and vr not in LONG_VRS):
            raise _bad("an attribute of no known value representation")
        if vr == "SQ":
            yield from self._sequence(tag, member.get("Value") or (), depth)
            return
        values = self._referenced(member)
        if tag == PIXEL_DATA and self.encapsulated and depth == 0:
            yield from _encapsulated(values if values is not None else [_inline(member)])
        elif values is not None:
            yield from _plain(tag, vr, values)
        else:
            yield _encoded(tag, {**member, "vr": vr})

    def _sequence(self, tag: int, items: Sequence[Mapping[str, Any]], depth: int) -> Iterator[bytes]:
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise _bad("a sequence holds a list of items")
        yield _HEADER.pack(tag >> 16, tag & 0xFFFF, b"SQ", 0, _UNDEFINED)
        for item in items:
            yield _ITEM.pack(0xFFFE, 0xE000, _UNDEFINED)
            yield from self._data_set(item if item is not None else {}, depth + 1)
            yield _ITEM_END
        yield _DELIMITER

    def _referenced(self, member: Mapping[str, Any]) -> Sequence[Value] | None:
        uri = member.get("BulkDataURI")
        if uri is None:
            return None
        found = self.find(uri) if isinstance(uri, str) else ()
        if not found:
            raise _bad("a bulk data part that the metadata names is not there")
        return found


def _plain(tag: int, vr: str, values: Sequence[Value]) -> Iterator[bytes]:
    length = sum(value.length for value in values)
    padded = length + length % 2
    if padded > (_LONGEST if vr in LONG_VRS else 0xFFFE):
        if padded > _LONGEST:
            raise _bad("a value is longer than an element can be")
        vr = "UN"
    if vr in LONG_VRS:
        yield _HEADER.pack(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), 0, padded)
    else:
        yield struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode("ascii"), padded)
    for value in values:
        yield from value.pieces()
    if padded > length:
        yield b" " if vr in ("UT", "UC", "LT", "ST", "UR") else b"\0"


def _encapsulated(frames: Sequence[Value]) -> Iterator[bytes]:
    """A fragment a frame, without a table of offsets (PS3.5 A.4)."""
    yield _HEADER.pack(PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, b"OB", 0, _UNDEFINED)
    yield _ITEM.pack(0xFFFE, 0xE000, 0)
    for frame in frames:
        padded = frame.length + frame.length % 2
        if padded > _LONGEST:
            raise _bad("a frame is longer than a fragment can be")
        yield _ITEM.pack(0xFFFE, 0xE000, padded)
        yield from frame.pieces()
        if padded > frame.length:
            yield b"\0"
    yield _DELIMITER


def _inline(member: Mapping[str, Any]) -> Value:
    try:
        data = base64.b64decode(member.get("InlineBinary") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as fault:
        raise _bad("an inline value is not base64") from fault
    return Value(len(data), lambda: iter((data,)))


def _encoded(tag: int, member: Mapping[str, Any]) -> bytes:
    try:
        element = element_of(member, _UTF_8)
        return encode_element(tag, element.vr, element.value, EXPLICIT_LE)
    except (ValueError, TypeError, AttributeError, KeyError, struct.error) as fault:
        raise _bad("a value that its value representation can't hold") from fault


def _tag(name: str) -> int:
    try:
        return int(name, 16) if len(name) == 8 else 0
    except ValueError:
        return 0


def _bad(comment: str) -> Refused:
    return Refused(Reason.CANNOT_UNDERSTAND, comment)
