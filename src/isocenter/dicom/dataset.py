"""Small data sets in memory: identifiers, command sets, responses. Not for objects: those stay bytes.

A `DataSet` is a plain dict from tag to `Element`. A value is the encoded bytes, little endian whatever transfer syntax
it came from or goes to, or a tuple of data sets for a sequence.
"""

import struct
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from isocenter.dicom.charset import encode as encode_text
from isocenter.dicom.deflate import deflate, inflate
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import (
    DEPTH_LIMIT,
    IMPLICIT_LITTLE,
    ITEM,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    Event,
    Kind,
    MalformedDataSet,
    encoding_of,
    walk,
    walk_sequence,
)
from isocenter.dicom.swapping import swapped
from isocenter.dicom.uids import transfer_syntax


class Element(NamedTuple):
    """VR and value of an element."""

    vr: str
    value: "bytes | tuple[dict[int, Element], ...]"


DataSet = dict[int, Element]

_SPACE_PADDED = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"]
)


_LITTLE_ITEM = b"\xfe\xff\0\xe0"


# --- reading


def decode(data: bytes, syntax: str, *, depth_limit: int = DEPTH_LIMIT) -> DataSet:
    """The data set that `data` encodes in transfer syntax `syntax`; group lengths are left out, and the
    dictionary says what lies behind UN.

    Raises MalformedDataSet, also for encapsulated pixel data, which no identifier has.
    """
    if transfer_syntax(syntax).deflated:
        data = inflate(data)
    top: DataSet = {}
    _build(walk(data, syntax, depth_limit=depth_limit), data, top)
    return top


def items(value: bytes, syntax: str | Encoding, *, depth_limit: int = DEPTH_LIMIT) -> tuple[DataSet, ...]:
    """The items of a sequence's value as it stands in a data set of `syntax` (as `scan` gives it)."""
    encoding = encoding_of(syntax) if isinstance(syntax, str) else syntax
    if not encoding.little and value[:4] == _LITTLE_ITEM:
        encoding = IMPLICIT_LITTLE  # it lay behind UN
    found: list[DataSet] = []
    _build(walk_sequence(value, encoding, depth_limit=depth_limit), value, found)
    return tuple(found)


def _build(events: Iterable[Event], data: bytes, into: DataSet | list[DataSet]) -> None:
    holders: list[DataSet | list[DataSet]] = [into]
    for kind, tag, vr, _, offset, length, _, encoding in events:
        if kind == Kind.VALUE:
            if tag & 0xFFFF:
                value = data[offset : offset + length]
                known = vr_of(tag) if vr == "UN" else vr
                if vr == "UN" and known == "SQ":
                    _put(holders[-1], tag, Element("SQ", items(value, IMPLICIT_LITTLE)))
                else:
                    # what is behind UN is little endian in any case (PS3.5 6.2.2)
                    turned = value if encoding.little or vr == "UN" else swapped(vr, value)
                    _put(holders[-1], tag, Element(known, turned))
        elif kind == Kind.SEQUENCE:
            holders.append([])
        elif kind == Kind.ITEM:
            holders.append({})
        elif kind == Kind.ITEM_END:
            item, sequence = holders.pop(), holders[-1]
            assert isinstance(sequence, list) and isinstance(item, dict)  # noqa: PT018 - one fact for the type checker
            sequence.append(item)
        elif kind == Kind.SEQUENCE_END:
            closed = holders.pop()
            _put(holders[-1], tag, Element("SQ", tuple(closed)))  # type: ignore[arg-type]
        else:
            raise MalformedDataSet("encapsulated pixel data in a small data set", offset)


def _put(holder: DataSet | list[DataSet], tag: int, element: Element) -> None:
    assert isinstance(holder, dict)
    holder[tag] = element


# --- writing


class _Format(NamedTuple):
    """Packers of one encoding; a tag is packed as two numbers."""

    implicit: bool
    little: bool
    short: struct.Struct
    long: struct.Struct
    bare: struct.Struct


@cache
def _format(encoding: Encoding) -> _Format:
    order = "<" if encoding.little else ">"
    return _Format(*encoding, *(struct.Struct(order + form) for form in ("HH2sH", "HH2sHI", "HHI")))


def encode(data_set: DataSet, syntax: str) -> bytes:
    """The bytes of `data_set`: elements sorted, values of even length, sequences and items of defined length."""
    encoded = _encode(data_set, _format(encoding_of(syntax)), 0)
    return deflate(encoded) if transfer_syntax(syntax).deflated else encoded


def encode_element(tag: int, vr: str, value: "bytes | tuple[DataSet, ...]", syntax: str | Encoding) -> bytes:
    """One element of a data set in `syntax` (for a deflated one: before deflating), to be joined with others."""
    encoding = encoding_of(syntax) if isinstance(syntax, str) else syntax
    return _element(tag, Element(vr, value), _format(encoding), 0)


def encode_item(data_set: DataSet, syntax: str) -> bytes:
    """An item with its header, of defined length."""
    return _item(data_set, _format(encoding_of(syntax)), 0)


def _encode(data_set: DataSet, form: _Format, depth: int) -> bytes:
    return b"".join([_element(tag, data_set[tag], form, depth) for tag in sorted(data_set)])


def _item(data_set: DataSet, form: _Format, depth: int) -> bytes:
    content = _encode(data_set, form, depth)
    return form.bare.pack(ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


def _element(tag: int, element: Element, form: _Format, depth: int) -> bytes:
    vr, value = element
    if isinstance(value, tuple):
        vr, value = "SQ", _sequence(value, form, depth + 1)
    else:
        if len(value) & 1:
            value += b" " if vr in _SPACE_PADDED else b"\0"
        if not form.little:
            value = swapped(vr, value)
    group, number = tag >> 16, tag & 0xFFFF
    if form.implicit:
        return form.bare.pack(group, number, len(value)) + value
    if vr in SHORT_VRS:
        if len(value) < 0x10000:
            return form.short.pack(group, number, vr.encode("ascii"), len(value)) + value
        vr = "UN"
    elif vr not in LONG_VRS:
        vr = vr_of(tag) if not vr else "UN"
        return _element(tag, Element(vr, value), form, depth)
    return form.long.pack(group, number, vr.encode("ascii"), 0, len(value)) + value


def _sequence(value: tuple[DataSet, ...], form: _Format, depth: int) -> bytes:
    if depth > DEPTH_LIMIT:
        raise MalformedDataSet(f"sequences are nested deeper than {DEPTH_LIMIT}")
    return b"".join([_item(item, form, depth) for item in value])


# --- values


def text(vr: str, value: str, charset: str | tuple[str, ...] = ()) -> Element:
    """An element of a text VR. `charset` is what (0008,0005) says; characters it lacks become question marks."""
    return Element(vr, value.encode("ascii") if value.isascii() else encode_text(value, charset, vr=vr, unknown="?"))


def uid(*values: str) -> Element:
    """A UI element."""
    return Element("UI", "\\".join(values).encode("ascii"))


def us(*values: int) -> Element:
    """A US element."""
    return Element("US", struct.pack(f"<{len(values)}H", *values))


def ul(*values: int) -> Element:
    """A UL element."""
    return Element("UL", struct.pack(f"<{len(values)}I", *values))


def at(*tags: int) -> Element:
    """An AT element."""
    return Element("AT", b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags))


def sequence(*values: DataSet) -> Element:
    """An SQ element."""
    return Element("SQ", values)


def bytes_of(data_set: DataSet, tag: int) -> bytes:
    """The raw value of `tag`; b'' if it is absent or a sequence."""
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, bytes) else b""


def string_of(data_set: DataSet, tag: int) -> str:
    """The value of a UID, AE title, code string or the like: default repertoire, without padding. '' if absent."""
    return bytes_of(data_set, tag).decode("latin-1").strip(" \0")


def strings_of(data_set: DataSet, tag: int) -> list[str]:
    """All values of a UID, code string or the like, without padding; [] if absent or empty."""
    joined = string_of(data_set, tag)
    return [value.strip(" \0") for value in joined.split("\\")] if joined else []


_NUMBERS = {"US": "<H", "UL": "<I", "SS": "<h", "SL": "<i", "UV": "<Q", "SV": "<q"}


def int_of(data_set: DataSet, tag: int) -> int | None:
    """The first value of a binary or string (IS) number; None if absent or no number."""
    element = data_set.get(tag)
    if element is None or not isinstance(element.value, bytes):
        return None
    form = _NUMBERS.get(element.vr)
    if form is None:
        first = element.value.split(b"\\", 1)[0].strip(b" \0")
        return int(first) if first.lstrip(b"+-").isdigit() and len(first) <= 20 else None
    if len(element.value) < struct.calcsize(form):
        return None
    return int(struct.unpack_from(form, element.value)[0])


def items_of(data_set: DataSet, tag: int) -> tuple[DataSet, ...]:
    """The items of sequence `tag`; () if absent or no sequence."""
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, tuple) else ()
