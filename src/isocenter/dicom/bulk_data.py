"""Where a value lies that a BulkDataURI names: the path of tags and items that `json_model` writes, resolved again."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from isocenter.dicom.deflate import inflate
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import (
    IMPLICIT_LITTLE,
    Encoding,
    Event,
    Kind,
    MalformedDataSet,
    Window,
    encoding_of,
    walk_sequence,
    walk_window,
)
from isocenter.dicom.swapping import WORD_BYTES, swapped
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused

_PATH = re.compile(r"(?:[0-9A-Fa-f]{8}/[1-9]\d{0,5}/){0,64}[0-9A-Fa-f]{8}", re.ASCII)

Path = tuple[tuple[int, int], ...]


class Location(NamedTuple):
    """Where a value lies in the data set, in bytes. Encapsulated pixel data is told from its first fragment's item to
    the end of its last fragment. `word` is how many bytes are to be swapped together to make it little endian."""

    vr: str
    offset: int
    length: int
    encapsulated: bool
    word: int


def parse_path(path: str) -> Path:
    """`00081140/1/00081150` as ((0x00081140, 1), (0x00081150, 0)); item numbers start at 1."""
    if not _PATH.fullmatch(path):
        raise Refused(Reason.NOT_FOUND, "no such bulk data path")
    parts = [*path.split("/"), "0"]
    return tuple((int(tag, 16), int(item)) for tag, item in zip(parts[::2], parts[1::2], strict=True))


def locate(window: Window, encoding: Encoding, path: str) -> Location:
    """Find the value at `path` in a data set that is not deflated; reads no more than what lies before it, headers
    only. Raises Refused (NOT_FOUND) and MalformedDataSet."""
    wanted = parse_path(path)
    found = _find(walk_window(window, encoding), window, wanted)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "no such element")
    return found


def locate_bytes(data: bytes, syntax: str, path: str) -> Location:
    """As locate(), over a data set in memory."""
    return locate(Window.over(data), encoding_of(syntax), path)


def bulk_value(data: bytes, syntax: str, path: str) -> tuple[str, memoryview]:
    """VR and little endian bytes of the value at `path`; of encapsulated pixel data its items."""
    if transfer_syntax(syntax).deflated:
        data = inflate(data)
    vr, offset, length, _, word = locate_bytes(data, syntax, path)
    value = memoryview(data)[offset : offset + length]
    return vr, value if word == 1 else memoryview(swapped(vr, bytes(value)))


def _find(
    events: Iterator[Event], window: Window, wanted: Path, base: int = 0, within: tuple[int, int] | None = None
) -> Location | None:
    """`base` is where the bytes of `events` lie in the window and `within` the sequence that they are the items of, for
    a sequence that was sent as UN of known length."""
    at = [] if within is None else [within]
    for event in events:
        kind, tag = event.kind, event.tag
        if kind is Kind.SEQUENCE:
            at.append((tag, 0))
        elif kind is Kind.ITEM:
            at[-1] = (at[-1][0], at[-1][1] + 1)
        elif kind is Kind.SEQUENCE_END:
            at.pop()
        elif kind is Kind.VALUE or kind is Kind.FRAGMENTS:
            level = len(at)
            if level >= len(wanted) or tag != wanted[level][0] or tuple(at) != wanted[:level]:
                continue
            if level == len(wanted) - 1:
                return _location(event, events, base)
            if event.vr == "UN":
                value = window.bytes_at(base + event.offset, event.length)
                inner = wanted[level:]
                return _find(walk_sequence(value, IMPLICIT_LITTLE), window, inner, base + event.offset, (tag, 0))
    return None


def _location(event: Event, events: Iterator[Event], base: int) -> Location:
    vr = event.vr
    if vr == "UN" and event.tag >> 16 & 1 == 0:
        vr = vr_of(event.tag)
    word = 1 if event.encoding.little else WORD_BYTES.get(vr, 1)
    if event.kind is Kind.VALUE:
        return Location(vr, base + event.offset, event.length, False, word)
    for following in events:
        if following.kind is Kind.FRAGMENTS_END:
            return Location(vr, base + event.offset, following.start - event.offset, True, 1)
    raise MalformedDataSet("encapsulated pixel data has no end", event.offset)
