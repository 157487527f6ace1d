"""The byte walker: data elements, sequences, items and fragments of an encoded data set (PS3.5 7).

Everything here is iterative and in linear time, whatever the bytes are: nesting is limited, lengths are checked
against what is there, and a data set that can't be walked is `MalformedDataSet`. Values are not decoded. Stray and
missing delimiters and trailing padding are borne where it is clear what was meant.
"""

from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from isocenter.dicom.dictionary import vr_table
from isocenter.dicom.headers import (
    BIG,
    DEPTH_LIMIT,
    DOUBLE_PIXEL_DATA,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    FLOAT_PIXEL_DATA,
    IMPLICIT_BIG,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITER,
    LITTLE,
    LONG_VRS,
    PIXEL_DATA,
    PIXEL_TAGS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
    Header,
    MalformedDataSet,
    NeedMore,
    Read,
    Window,
    encoding_at,
    encoding_of,
    read_header,
    undefined_encoding,
)

__all__ = [
    "DEPTH_LIMIT",
    "DOUBLE_PIXEL_DATA",
    "EXPLICIT_BIG",
    "EXPLICIT_LITTLE",
    "FLOAT_PIXEL_DATA",
    "IMPLICIT_BIG",
    "IMPLICIT_LITTLE",
    "ITEM",
    "ITEM_DELIMITER",
    "LONG_VRS",
    "PIXEL_DATA",
    "PIXEL_TAGS",
    "SEQUENCE_DELIMITER",
    "SHORT_VRS",
    "UNDEFINED",
    "Encoding",
    "Event",
    "Header",
    "Kind",
    "MalformedDataSet",
    "NeedMore",
    "Read",
    "Window",
    "encoding_at",
    "encoding_of",
    "read_header",
    "walk",
    "walk_sequence",
    "walk_window",
]


class Kind(IntEnum):
    """What an event of `walk` tells."""

    VALUE = 0
    """An element with its value: `length` bytes at `offset`."""
    SEQUENCE = 1
    ITEM = 2
    ITEM_END = 3
    SEQUENCE_END = 4
    FRAGMENTS = 5
    """Encapsulated pixel data starts (PS3.5 A.4); FRAGMENT events follow, the first is the Basic Offset Table."""
    FRAGMENT = 6
    FRAGMENTS_END = 7


class Event(NamedTuple):
    """One step through a data set.

    `start` is where the element's or item's header begins (for an end: where the delimiter begins or would), `offset`
    where its value begins, `length` the value's bytes or -1 where undefined, `depth` 0 at the top level and one more
    in each item. `encoding` is the one of this element: in a sequence of VR UN it differs from the data set's.
    The VR is the dictionary's where none is written. `tag` of an item or end is that of its sequence.
    """

    kind: Kind
    tag: int
    vr: str
    start: int
    offset: int
    length: int
    depth: int
    encoding: Encoding


def walk(
    data: bytes,
    syntax: str | Encoding,
    *,
    start: int = 0,
    stop: int | None = None,
    depth_limit: int = DEPTH_LIMIT,
) -> Iterator[Event]:
    """All elements of the data set (not deflated) that lies in data[start:stop], in order, sequences opened.

    A trailing rest of less than an element header is ignored. Raises MalformedDataSet.
    """
    window = Window.over(data if stop is None else data[:stop])
    encoding = encoding_of(syntax) if isinstance(syntax, str) else syntax
    return walk_window(window, encoding, start=start, depth_limit=depth_limit)


def walk_window(
    window: Window, encoding: Encoding, *, start: int = 0, depth_limit: int = DEPTH_LIMIT
) -> Iterator[Event]:
    """`walk` over a window: constant memory whatever the size."""
    shown = encoding_at(window, start, encoding)
    return _Walker(window, depth_limit, _Frame(0, "", True, True, window.size, shown, 0)).run(start)


def walk_sequence(value: bytes, syntax: str | Encoding, *, depth_limit: int = DEPTH_LIMIT) -> Iterator[Event]:
    """The items in a sequence's value, as in `walk` (tag 0; a sequence delimiter at its end does no harm)."""
    encoding = encoding_of(syntax) if isinstance(syntax, str) else syntax
    return _Walker(Window.over(value), depth_limit, _Frame(0, "SQ", False, True, len(value), encoding, 0)).run(0)


class _Frame:
    """A data set, sequence or item that is open, ends at `end` at the latest, and there exactly if `bounded`."""

    __slots__ = ("bounded", "depth", "encoding", "end", "item", "tag", "vr")

    def __init__(self, tag: int, vr: str, item: bool, bounded: bool, end: int, encoding: Encoding, depth: int) -> None:
        self.tag, self.vr, self.item, self.bounded, self.end = tag, vr, item, bounded, end
        self.encoding, self.depth = encoding, depth


@cache
def _plain_vrs() -> dict[int, str]:
    """The dictionary's VRs without what needs a second look: sequences, items and delimiters."""
    return {tag: vr for tag, vr in vr_table().items() if vr != "SQ" and tag < ITEM}


class _Walker:
    """The walk's state: what is open. Whatever is not a plain value goes through `_step`."""

    def __init__(self, window: Window, depth_limit: int, outermost: _Frame) -> None:
        self._window, self._limit, self._stack = window, depth_limit, [outermost]

    def run(self, pos: int) -> Iterator[Event]:
        window, stack, plain = self._window, self._stack, _plain_vrs()
        new, value = tuple.__new__, Kind.VALUE  # half the time of the named tuple's own constructor
        while stack:
            frame = stack[-1]
            end, depth, encoding = frame.end, frame.depth, frame.encoding
            implicit, little = encoding
            layout = LITTLE if little else BIG
            unpack, unpack_implicit, short, names = layout.explicit, layout.implicit, layout.short, layout.names
            while frame.item:
                # plain values, the bulk of any data set, are told without leaving this loop
                index = pos - window.base
                if index < 0 or index + 12 > len(window.data) or pos + 12 > end:
                    break
                if implicit:
                    first, length = unpack_implicit(window.data, index)
                    tag = (first & 0xFFFF) << 16 | first >> 16 if little else first
                    vr = plain.get(tag, "")
                    if not vr or length == UNDEFINED:
                        break
                else:
                    first, code, length = unpack(window.data, index)
                    tag = (first & 0xFFFF) << 16 | first >> 16 if little else first
                    if code not in short or tag >= ITEM:
                        break
                    vr = names[code]
                offset = pos + 8
                after = offset + length
                if after > end:
                    raise MalformedDataSet("a value is longer than what holds it", pos)
                yield new(Event, (value, tag, vr, pos, offset, length, depth, encoding))
                pos = after
            event, pos = self._step(frame, pos)
            if event is not None:
                yield event

    def _step(self, frame: _Frame, pos: int) -> tuple[Event | None, int]:
        if pos + 8 > frame.end or (len(self._stack) == 1 and self._window.ended(pos)):
            return self._end_of_frame(frame, pos)
        if frame.item:
            return self._element(frame, pos)
        return self._fragment(frame, pos) if frame.vr == "OB" else self._item(frame, pos)

    def _end_of_frame(self, frame: _Frame, pos: int) -> tuple[Event | None, int]:
        """No further header fits: the end, unless bytes are left over or a delimiter is missing. Inside something of
        defined length a missing delimiter costs nothing."""
        if len(self._stack) == 1:
            self._stack.pop()
            return None, pos
        if pos != frame.end or not (frame.bounded or any(each.bounded for each in self._stack[1:])):
            raise MalformedDataSet("an item or a sequence ends too early", pos)
        return self._pop(pos), pos

    def _pop(self, pos: int) -> Event:
        frame = self._stack.pop()
        kind = Kind.ITEM_END if frame.item else Kind.FRAGMENTS_END if frame.vr == "OB" else Kind.SEQUENCE_END
        return Event(kind, frame.tag, frame.vr, pos, pos, 0, frame.depth, frame.encoding)

    def _element(self, frame: _Frame, pos: int) -> tuple[Event | None, int]:
        header = read_header(self._window, pos, frame.encoding)
        tag, vr, length, offset, implicit = header
        if tag >> 16 == 0xFFFE:
            return self._delimiter_in_item(frame, header, pos)
        if length < 0 or vr == "SQ":
            return self._open(frame, header, pos)
        if offset + length > frame.end:
            raise MalformedDataSet("a value is longer than what holds it", pos)
        encoding = frame.encoding if implicit == frame.encoding.implicit else Encoding(implicit, frame.encoding.little)
        return Event(Kind.VALUE, tag, vr, pos, offset, length, frame.depth, encoding), offset + length

    def _delimiter_in_item(self, frame: _Frame, header: Header, pos: int) -> tuple[Event | None, int]:
        after = header.offset + max(header.length, 0)
        if header.tag == ITEM or after > frame.end:
            raise MalformedDataSet("an item stands where an element should", pos)
        if frame.bounded:
            return None, after  # stray: the length says that the item or data set goes on
        if header.tag == ITEM_DELIMITER:
            return self._pop(pos), after
        # the item's delimiter was forgotten; the sequence sees its own next
        return self._pop(pos), pos

    def _open(self, frame: _Frame, header: Header, pos: int) -> tuple[Event, int]:
        tag, vr, length, offset, implicit = header
        end = offset + length if length >= 0 else frame.end
        if end > frame.end:
            raise MalformedDataSet("a sequence is longer than what holds it", pos)
        fragments = tag in PIXEL_TAGS or vr[0] == "O"
        encoding = frame.encoding if implicit == frame.encoding.implicit else Encoding(implicit, frame.encoding.little)
        within = undefined_encoding(self._window, offset, vr, encoding)
        name = "OB" if fragments else "UN" if vr == "UN" else "SQ"
        self._stack.append(_Frame(tag, name, False, length >= 0, end, within, frame.depth))
        if fragments:
            return Event(Kind.FRAGMENTS, tag, vr, pos, offset, length, frame.depth, within), offset
        return Event(Kind.SEQUENCE, tag, name, pos, offset, length, frame.depth, within), offset

    def _item(self, frame: _Frame, pos: int) -> tuple[Event | None, int]:
        tag, length = self._bare(frame, pos)
        offset = pos + 8
        if tag == SEQUENCE_DELIMITER and not frame.bounded:
            return self._pop(pos), offset
        if tag in (ITEM_DELIMITER, SEQUENCE_DELIMITER):
            return None, offset
        if tag != ITEM:
            raise MalformedDataSet("a sequence holds something other than items", pos)
        end = offset + length if length != UNDEFINED else frame.end
        if end > frame.end:
            raise MalformedDataSet("an item is longer than its sequence", pos)
        depth = frame.depth + 1
        if depth > self._limit:
            raise MalformedDataSet(f"sequences are nested deeper than {self._limit}", pos)
        encoding = frame.encoding
        if end - offset >= 8 and (not encoding.implicit or frame.vr == "UN"):
            encoding = encoding_at(self._window, offset, encoding)
        self._stack.append(_Frame(frame.tag, frame.vr, True, length != UNDEFINED, end, encoding, depth))
        told = -1 if length == UNDEFINED else length
        return Event(Kind.ITEM, frame.tag, frame.vr, pos, offset, told, depth, encoding), offset

    def _bare(self, frame: _Frame, pos: int) -> tuple[int, int]:
        """Tag and length of an item or delimiter."""
        index = self._window.at(pos, 8)
        little = frame.encoding.little
        first, length = (LITTLE if little else BIG).implicit(self._window.data, index)
        return (first & 0xFFFF) << 16 | first >> 16 if little else first, length

    def _fragment(self, frame: _Frame, pos: int) -> tuple[Event | None, int]:
        tag, length = self._bare(frame, pos)
        offset = pos + 8
        if tag == SEQUENCE_DELIMITER:
            return self._pop(pos), offset
        if tag != ITEM or length == UNDEFINED or offset + length > frame.end:
            raise MalformedDataSet("encapsulated pixel data holds something other than fragments", pos)
        event = Event(Kind.FRAGMENT, frame.tag, frame.vr, pos, offset, length, frame.depth, frame.encoding)
        return event, offset + length
