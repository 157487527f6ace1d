"""Jumping over elements by their length: the loops under the header scan, and the way over undefined lengths.

A loop runs over plain elements of one byte string and stops in front of whatever needs a second look: pixel data,
items and delimiters, undefined lengths, unknown VRs, a wanted value or a header beyond the bytes at hand.
"""

from functools import lru_cache
from struct import error as struct_error
from typing import Final, NamedTuple, Protocol

from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.headers import (
    BIG,
    DEPTH_LIMIT,
    ITEM,
    ITEM_DELIMITER,
    LITTLE,
    PIXEL_TAGS,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    Encoding,
    MalformedDataSet,
    Window,
    encoding_at,
    read_header,
    undefined_encoding,
)


class RawElement(NamedTuple):
    """An element's VR, as written or (where none or UN is) the dictionary's, and its value's bytes as they stand. A
    sequence's value is its encoded items, without the delimiter at its end."""

    vr: str
    value: bytes


Keys = dict[int, tuple[int, str]]
"""Wanted elements by their first four bytes as a number: tag and VR for implicit reading; VR '' makes a loop stop."""
Ends = dict[int, tuple[int, int]]
"""Where elements begin and end, by tag; `TWICE` for one that stands there more than once."""
TWICE: Final = (-1, -1)


class Run(Protocol):
    """The loop over plain elements in one encoding."""

    def __call__(
        self, data: bytes, index: int, keys: Keys, found: dict[int, RawElement], ends: Ends | None = None
    ) -> int:
        """From the element header at `index` on; the index where it stopped. `ends` notes where what is found stands
        in `data`."""


_STOPS: Final = PIXEL_TAGS | {ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER}
_NOTHING: Final[frozenset[int]] = frozenset()


@lru_cache(maxsize=64)
def keys_for(wanted: frozenset[int], little: bool) -> Keys:
    """The keys of a set of tags in one byte order."""

    def first(tag: int) -> int:
        return (tag & 0xFFFF) << 16 | tag >> 16 if little else tag

    return {first(tag): (tag, vr_of(tag)) for tag in wanted} | {first(tag): (tag, "") for tag in _STOPS}


def _explicit(little: bool) -> Run:
    new = tuple.__new__  # half the time of the named tuple's own constructor
    layout = LITTLE if little else BIG
    unpack, unpack_length, short, long, names = (
        layout.explicit,
        layout.length,
        layout.short,
        layout.long,
        layout.names | {code: "" for code, vr in layout.names.items() if vr == "UN"},
    )

    def run(data: bytes, index: int, keys: Keys, found: dict[int, RawElement], ends: Ends | None = None) -> int:
        try:
            while True:
                first, vr, length = unpack(data, index)
                if vr in short:
                    start = index + 8
                elif vr in long:
                    (length,) = unpack_length(data, index + 8)
                    if length == UNDEFINED:
                        return index
                    start = index + 12
                else:
                    return index
                end = start + length
                if first in keys:
                    tag, known = keys[first]
                    if not known or end > len(data):
                        return index
                    found[tag] = new(RawElement, (names[vr] or known, data[start:end]))
                    if ends is not None:
                        ends[tag] = TWICE if tag in ends else (index, end)
                index = end
        except struct_error:
            return index

    return run


def _implicit(little: bool) -> Run:
    unpack, new = (LITTLE if little else BIG).implicit, tuple.__new__

    def run(data: bytes, index: int, keys: Keys, found: dict[int, RawElement], ends: Ends | None = None) -> int:
        try:
            while True:
                first, length = unpack(data, index)
                if length == UNDEFINED:
                    return index
                end = index + 8 + length
                if first in keys:
                    tag, vr = keys[first]
                    if not vr or end > len(data):
                        return index
                    found[tag] = new(RawElement, (vr, data[index + 8 : end]))
                    if ends is not None:
                        ends[tag] = TWICE if tag in ends else (index, end)
                index = end
        except struct_error:
            return index

    return run


_RUNS: Final = {
    Encoding(implicit, little): (_implicit if implicit else _explicit)(little)
    for implicit in (False, True)
    for little in (False, True)
}


def run_of(encoding: Encoding) -> Run:
    """The loop for an encoding."""
    return _RUNS[encoding]


def skip_undefined(
    window: Window, offset: int, vr: str, tag: int, encoding: Encoding, depth_limit: int = DEPTH_LIMIT
) -> tuple[int, int]:
    """Where the value of undefined length that starts at `offset` ends, and where the next element is.

    Only nested undefined lengths are entered; whatever has a length is jumped over.
    """
    return _Skipper(window, depth_limit).skip(offset, vr, tag, encoding)


class _Open(NamedTuple):
    """A sequence, item or list of fragments of undefined length that has been entered."""

    item: bool
    fragments: bool
    unknown: bool
    """A sequence of VR UN: nothing says for sure how its items are encoded."""
    encoding: Encoding


class _Marks(NamedTuple):
    """Items and delimiters by their first four bytes as a number."""

    item: int
    item_end: int
    sequence_end: int


_LITTLE_MARKS: Final = _Marks(0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE)
_BIG_MARKS: Final = _Marks(ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER)


class _Skipper:
    """What is open on the way through a value of undefined length."""

    def __init__(self, window: Window, depth_limit: int) -> None:
        self._window, self._limit, self._stack = window, 2 * depth_limit, list[_Open]()

    def skip(self, pos: int, vr: str, tag: int, encoding: Encoding) -> tuple[int, int]:
        """The end of the value and of its delimiter."""
        self._enter(pos, vr, tag, encoding)
        while True:
            top = self._stack[-1]
            if top.item:
                pos = self._in_item(top.encoding, pos)
                continue
            end = pos = self._over_items(top, pos)
            pos = self._behind_items(top, pos)
            if not self._stack:
                return end, pos

    def _enter(self, offset: int, vr: str, tag: int, encoding: Encoding) -> None:
        fragments = tag in PIXEL_TAGS or vr[:1] == "O"
        within = undefined_encoding(self._window, offset, vr, encoding)
        self._push(_Open(False, fragments, vr == "UN", within), offset)

    def _push(self, opened: _Open, pos: int) -> None:
        if len(self._stack) >= self._limit:
            raise MalformedDataSet(f"sequences are nested deeper than {self._limit // 2}", pos)
        self._stack.append(opened)

    def _over_items(self, top: _Open, pos: int) -> int:
        """Jump over items and fragments that have a length."""
        window, little = self._window, top.encoding.little
        unpack, item = (LITTLE if little else BIG).implicit, (_LITTLE_MARKS if little else _BIG_MARKS).item
        while True:
            index = window.at(pos, 8)
            first, length = unpack(window.data, index)
            if first != item or length == UNDEFINED:
                return pos
            pos += 8 + length

    def _behind_items(self, top: _Open, pos: int) -> int:
        """What follows: an item of undefined length, which is entered, or the end."""
        window, encoding = self._window, top.encoding
        little = encoding.little
        marks = _LITTLE_MARKS if little else _BIG_MARKS
        index = window.at(pos, 8)
        (first,) = (LITTLE if little else BIG).length(window.data, index)
        if first == marks.sequence_end:
            self._stack.pop()
        elif first == marks.item and not top.fragments:
            if not encoding.implicit or top.unknown:
                encoding = encoding_at(window, pos + 8, encoding)
            self._push(_Open(True, False, False, encoding), pos)
        elif first != marks.item_end or top.fragments:
            raise MalformedDataSet("a sequence holds something other than items", pos)
        return pos + 8

    def _in_item(self, encoding: Encoding, pos: int) -> int:
        window, little = self._window, encoding.little
        marks = _LITTLE_MARKS if little else _BIG_MARKS
        index = window.at(pos, 8)
        pos = window.base + run_of(encoding)(window.data, index, keys_for(_NOTHING, little), {})
        index = window.at(pos, 8)
        (first,) = (LITTLE if little else BIG).length(window.data, index)
        if first == marks.item_end:
            self._stack.pop()
            return pos + 8
        if first == marks.sequence_end:
            # the item's delimiter was forgotten; its sequence sees its own
            self._stack.pop()
            return pos
        if first == marks.item:
            raise MalformedDataSet("an item stands where an element should", pos)
        tag, vr, length, offset, implicit = read_header(window, pos, encoding)
        if length >= 0:
            return offset + length
        self._enter(offset, vr, tag, Encoding(implicit, little))
        return offset
