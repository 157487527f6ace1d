"""Conversion among the native transfer syntaxes (PS3.5 A.1 to A.3, A.5), streaming: constant memory for any value.

A first pass over the element headers finds the lengths that sequences and items will have; a second writes. What had
undefined length keeps it, and private sequences get it on their way to Implicit VR, where nothing else would tell what
they are. Group lengths are dropped, sequences of VR UN become SQ, all else stays as far as the other syntax can say it.
"""

import struct
from array import array
from collections.abc import Iterator
from typing import Final

from isocenter.dicom.deflate import DEFAULT_BOUND, Bound, Inflating, deflating
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
    Event,
    Kind,
    MalformedDataSet,
    Read,
    Window,
    encoding_of,
    walk_window,
)
from isocenter.dicom.resolution import CONTEXT, Resolver
from isocenter.dicom.swapping import swapped_words
from isocenter.dicom.uids import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    GE_PRIVATE_IMPLICIT_BE_PIXELS,
    IMPLICIT_LE,
    PAPYRUS_IMPLICIT_LE,
    transfer_syntax,
)
from isocenter.errors import Reason, Refused

native_syntaxes: Final = (EXPLICIT_LE, IMPLICIT_LE, DEFLATED_LE, EXPLICIT_BE)
"""What can be converted into each other, best first."""
_SOURCES: Final = frozenset([*native_syntaxes, GE_PRIVATE_IMPLICIT_BE_PIXELS, PAPYRUS_IMPLICIT_LE])
_SLICE: Final = 1 << 20
_CODES: Final = {vr: vr.encode("ascii") for vr in LONG_VRS | SHORT_VRS}


def can_convert(source: str, target: str) -> bool:
    """Whether data sets go from one transfer syntax to the other without touching a codec."""
    return source == target or (source in _SOURCES and target in native_syntaxes)


def convert(read: Read, size: int, source: str, target: str, *, bound: Bound = DEFAULT_BOUND) -> Iterator[bytes]:
    """The data set of `size` bytes behind `read(offset, n)` in the target syntax, in pieces of about a megabyte.

    Raises Refused where it can't be done, MalformedDataSet (before the first piece) where the source can't be read.
    """
    return Conversion(read, size, source, target, bound=bound).pieces()


def converted_size(read: Read, size: int, source: str, target: str, *, bound: Bound = DEFAULT_BOUND) -> int:
    """How many bytes `convert` will give. Reads the headers only, unless the target is deflated."""
    return Conversion(read, size, source, target, bound=bound).size()


class Conversion:
    """One data set on its way into another native transfer syntax. `size()` before `pieces()` costs one pass, not two.

    Nothing is refused halfway: lengths are known, and all headers were read, before the first piece.
    """

    def __init__(self, read: Read, size: int, source: str, target: str, *, bound: Bound = DEFAULT_BOUND) -> None:
        if not can_convert(source, target):
            raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, f"no conversion from {source} to {target}")
        self._read, self._size, self._bound = read, size, bound
        self._source, self._target = transfer_syntax(source), transfer_syntax(target)
        # the same elements byte for byte, at most inflated or deflated
        self._copies = source == target or (
            self._source.implicit == self._target.implicit
            and self._source.little == self._target.little
            and self._source.big_pixels == self._target.big_pixels
        )
        self._lengths: array[int] | None = None
        self._total = 0
        self._signed: int | None = None

    def size(self) -> int:
        """Bytes of the result. A deflated one must be made to be measured."""
        if self._source.uid == self._target.uid:
            return self._size
        if self._target.deflated:
            return sum(map(len, self.pieces()))
        if self._copies:
            return sum(map(len, self._copied()))
        self._measure()
        return self._total

    def pieces(self) -> Iterator[bytes]:
        """The result."""
        if self._source.uid == self._target.uid:
            return _slices(self._read, 0, self._size)
        if self._copies:
            written = self._copied()
        else:
            self._measure()
            written = self._written()
        return deflating(written) if self._target.deflated else written

    def _opened(self) -> tuple[Read, int | None]:
        """The source's elements from the start: what reads them, and how many bytes they are if that is known."""
        if self._source.deflated:
            return Inflating(self._read, self._size, self._bound), None
        return self._read, self._size

    def _copied(self) -> Iterator[bytes]:
        read, size = self._opened()
        return _slices(read, 0, size)

    def _walk(self) -> tuple[Window, Read, Iterator[Event]]:
        read, size = self._opened()
        window = Window(read) if size is None else Window(read, size)
        return window, read, walk_window(window, encoding_of(self._source.uid))

    # --- first pass

    def _measure(self) -> None:
        """Lengths of all sequences and items of defined length in the target, in the order they begin."""
        if self._lengths is not None:
            return
        window, _, events = self._walk()
        lengths: array[int] = array("I")
        writer = _Headers(encoding_of(self._target.uid))
        resolver = Resolver()
        open_at, sums = list[int](), [0]
        for event in events:
            kind = event.kind
            if kind == Kind.VALUE:
                if event.tag & 0xFFFF:
                    if event.tag in CONTEXT:
                        _note(resolver, window, event)
                    sums[-1] += writer.size(resolver.vr(event)) + event.length
            elif kind in (Kind.SEQUENCE, Kind.ITEM):
                if kind == Kind.ITEM:
                    resolver.enter()
                open_at.append(len(lengths))
                lengths.append(event.length < 0 or (kind == Kind.SEQUENCE and self._hides(event)))
                sums.append(0)
            elif kind in (Kind.SEQUENCE_END, Kind.ITEM_END):
                place, inside = open_at.pop(), sums.pop()
                undefined = lengths[place] or inside >= UNDEFINED
                lengths[place] = UNDEFINED if undefined else inside
                if kind == Kind.ITEM_END:
                    resolver.leave()
                sums[-1] += (8 if kind == Kind.ITEM_END else writer.size("SQ")) + inside + 8 * bool(undefined)
            else:
                raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, "pixel data is encapsulated")
        self._lengths, self._total, self._signed = lengths, sums[0], resolver.signed

    def _hides(self, event: Event) -> bool:
        """Whether nobody could tell that this is a sequence where no VR is written, if not by its undefined length."""
        return self._target.implicit and vr_of(event.tag) != "SQ"

    # --- second pass

    def _written(self) -> Iterator[bytes]:
        window, read, events = self._walk()
        assert self._lengths is not None
        lengths, writer, resolver = iter(self._lengths), _Headers(encoding_of(self._target.uid)), Resolver(self._signed)
        opened, held, size = list[int](), list[bytes](), 0
        for event in events:
            kind = event.kind
            if kind == Kind.VALUE:
                if not event.tag & 0xFFFF:
                    continue
                if event.tag in CONTEXT:
                    _note(resolver, window, event)
                vr = resolver.vr(event)
                width = resolver.word(event, vr) if self._turns(event) else 1
                held.append(writer.header(event.tag, vr, event.length))
                size += event.length
                if event.length > window.chunk:
                    yield b"".join(held)
                    held, size = [], 0
                    yield from _turned(width, _slices(read, event.offset, event.length))
                else:
                    value = window.bytes_at(event.offset, event.length)
                    held.append(swapped_words(width, value) if width > 1 else value)
                if size > _SLICE:
                    yield b"".join(held)
                    held, size = [], 0
            else:
                held.append(_bracket(event, writer, resolver, opened, lengths))
        yield b"".join(held)

    def _turns(self, event: Event) -> bool:
        """Whether the words of this value change their byte order."""
        if event.depth == 0 and event.tag == PIXEL_DATA:
            return self._source.big_pixels != self._target.big_pixels
        return event.encoding.little != self._target.little


class _Headers:
    """Writes element and item headers in one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        order = "<" if encoding.little else ">"
        self._implicit = encoding.implicit
        self._short, self._long, self._bare = (struct.Struct(order + form) for form in ("HH2sH", "HH2sHI", "HHI"))

    def size(self, vr: str) -> int:
        """Bytes of a header."""
        return 12 if vr in LONG_VRS and not self._implicit else 8

    def bare(self, tag: int, length: int) -> bytes:
        """A header without VR."""
        return self._bare.pack(tag >> 16, tag & 0xFFFF, length)

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """An element's header."""
        if self._implicit:
            return self._bare.pack(tag >> 16, tag & 0xFFFF, length)
        if vr in LONG_VRS:
            return self._long.pack(tag >> 16, tag & 0xFFFF, _CODES[vr], 0, length)
        return self._short.pack(tag >> 16, tag & 0xFFFF, _CODES[vr], length)


def _note(resolver: Resolver, window: Window, event: Event) -> None:
    if event.length <= 16:
        resolver.note(event, window.bytes_at(event.offset, event.length))


def _slices(read: Read, offset: int, length: int | None) -> Iterator[bytes]:
    """`length` bytes from `offset`, or all there are with None, in pieces of whole words."""
    done = 0
    while length is None or done < length:
        wanted = _SLICE if length is None else min(_SLICE, length - done)
        piece = read(offset + done, wanted)
        if len(piece) < wanted and length is not None:
            raise MalformedDataSet("the data set ends too early", offset + done)
        if not piece:
            return
        yield piece
        done += len(piece)


def _turned(width: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (swapped_words(width, piece) for piece in pieces) if width > 1 else pieces


def _bracket(event: Event, writer: _Headers, resolver: Resolver, opened: list[int], lengths: Iterator[int]) -> bytes:
    """What stands where a sequence or item begins or ends."""
    if event.kind in (Kind.SEQUENCE, Kind.ITEM):
        opened.append(next(lengths))
        if event.kind == Kind.SEQUENCE:
            return writer.header(event.tag, "SQ", opened[-1])
        resolver.enter()
        return writer.bare(ITEM, opened[-1])
    item = event.kind == Kind.ITEM_END
    if item:
        resolver.leave()
    delimiter = ITEM_DELIMITER if item else SEQUENCE_DELIMITER
    return writer.bare(delimiter, 0) if opened.pop() == UNDEFINED else b""
