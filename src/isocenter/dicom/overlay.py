"""Changed elements laid over an encoded data set as it passes: all else leaves byte for byte.

Only headers at the top level are read, and only one pass over them is made before the first byte leaves, so that what
can't be read says so in time. Pixel data, encapsulated or not, passes through unread. A deflated data set is inflated
and deflated again. Group lengths (retired) of changed groups are left out, since they would be wrong.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from isocenter.dicom import convert
from isocenter.dicom.dataset import Element, encode_element
from isocenter.dicom.deflate import DEFAULT_BOUND, Bound, Inflating, deflating
from isocenter.dicom.headers import (
    ITEM,
    PIXEL_TAGS,
    UNDEFINED,
    Encoding,
    MalformedDataSet,
    Read,
    Window,
    encoding_at,
    encoding_of,
    layout_of,
    read_header,
)
from isocenter.dicom.jumping import Keys, keys_for, run_of, skip_undefined
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax

Changes: TypeAlias = Mapping[int, Element | None]
"""Elements of the top level by tag: what each becomes, None for absent. A change within a sequence is the whole
sequence with that change in it. Values are as `dataset.Element` has them: little endian in any transfer syntax."""

_SLICE: Final = 1 << 20
_NO_PLACES: Final[Mapping[int, tuple[int, int]]] = {}
_LOOKBACK: Final = 1 << 18


class Edit(NamedTuple):
    """Bytes `start` to `end` of the (inflated) data set give way to `put`."""

    start: int
    end: int
    put: bytes


Find: TypeAlias = Callable[[Window], Iterable[Edit]]
"""Finds edits, in order and not overlapping, in the elements under a window."""


def merged(first: Changes | None, second: Changes | None) -> Changes:
    """Both, `second` over `first`."""
    return {**(first or {}), **(second or {})}


def overlaid(read: Read, size: int, syntax: str, changes: Changes, *, bound: Bound = DEFAULT_BOUND) -> Iterator[bytes]:
    """The data set of `size` bytes behind `read(offset, n)`, in `syntax`, with `changes` laid over it, in pieces.

    Raises MalformedDataSet before the first piece where the headers can't be read.
    """
    return Overlay(read, size, syntax, changes, bound=bound).pieces()


class Edited:
    """One data set with edits, which `find` finds in its (inflated) elements when it is made. Raises what that raises,
    MalformedDataSet where the headers can't be read."""

    def __init__(self, read: Read, size: int, syntax: str, find: Find, *, bound: Bound = DEFAULT_BOUND) -> None:
        self._read, self._size, self._syntax, self._bound = read, size, syntax, bound
        self._deflated = transfer_syntax(syntax).deflated
        source: Read = self._inflating() if self._deflated else read
        window = Window(source) if self._deflated else Window(source, size)
        self.edits: Final = tuple(find(window))
        self._segments: _Segments | None = None

    @property
    def syntax(self) -> str:
        """Its transfer syntax."""
        return self._syntax

    def edited(self, find: Find) -> "Edited":
        """The result, edited once more. That of a deflated one comes inflated, in Explicit VR Little Endian."""
        if not self._deflated:
            return Edited(self.read, self.size(), self._syntax, find, bound=self._bound)
        size = sum(map(len, self._inflated()))
        return Edited(_Replayed(self._inflated), size, EXPLICIT_LE, find, bound=self._bound)

    def size(self) -> int:
        """Bytes of the result. A deflated one must be made to be measured."""
        if self._deflated:
            return sum(map(len, self.pieces()))
        return self._size + self._grown()

    def pieces(self) -> Iterator[bytes]:
        """The result, in pieces of about a megabyte."""
        return deflating(self._inflated()) if self._deflated else self._inflated()

    def read(self, offset: int, n: int) -> bytes:
        """n bytes of the result at `offset`, fewer at its end. Not for a deflated one."""
        if self._deflated:
            raise ValueError("a deflated data set can't be read at random")
        if self._segments is None:
            self._segments = _Segments(self._read, self._size, self.edits)
        return self._segments.read(offset, n)

    def converted(self, target: str) -> Iterator[bytes]:
        """The result in another native transfer syntax. Raises as `convert.convert`."""
        if not self._deflated:
            return convert.convert(self.read, self.size(), self._syntax, target, bound=self._bound)
        size = sum(map(len, self._inflated()))
        return convert.convert(_Replayed(self._inflated), size, EXPLICIT_LE, target, bound=self._bound)

    def _inflating(self) -> Inflating:
        return Inflating(self._read, self._size, self._bound, lookback=_LOOKBACK)

    def _grown(self) -> int:
        return sum(len(edit.put) - (edit.end - edit.start) for edit in self.edits)

    def _inflated(self) -> Iterator[bytes]:
        """The result before it is deflated."""
        source: Read = self._inflating() if self._deflated else self._read
        at = 0
        held: list[bytes] = []
        for start, end, put in self.edits:
            while start - at > _SLICE:
                yield b"".join([*held, _exactly(source, at, _SLICE)])
                held, at = [], at + _SLICE
            held += (_exactly(source, at, start - at), put)
            at = end
        if self._deflated:
            yield b"".join(held)
            while piece := source(at, _SLICE):
                yield piece
                at += len(piece)
            return
        while at < self._size:
            n = min(_SLICE, self._size - at)
            yield b"".join([*held, _exactly(source, at, n)])
            held, at = [], at + n
        if held:
            yield b"".join(held)


class Overlay(Edited):
    """One data set with changes. The headers are read when it is made; raises MalformedDataSet where they can't be."""

    def __init__(self, read: Read, size: int, syntax: str, changes: Changes, *, bound: Bound = DEFAULT_BOUND) -> None:
        super().__init__(read, size, syntax, lambda window: edits(window, syntax, changes), bound=bound)


class Plan(NamedTuple):
    """What changes come to in one encoding."""

    puts: Mapping[int, bytes]
    """The new elements."""
    gone: frozenset[int]
    """Tags that don't stay as they are: those changed, and the lengths of their groups."""
    firsts: frozenset[int]
    """The first four bytes of such elements as numbers."""


def plan_of(changes: Changes, written: Encoding) -> Plan:
    """What they come to in an encoding."""
    return changes.plan(written) if isinstance(changes, Prepared) else _plan(changes, written)


def _plan(changes: Changes, written: Encoding) -> Plan:
    puts = {tag: encode_element(tag, *element, written) for tag, element in changes.items() if element is not None}
    gone = frozenset(changes) | {tag & 0xFFFF0000 for tag in changes}
    return Plan(puts, gone, frozenset(keys_for(gone, written.little)))


class Prepared(dict[int, Element | None]):
    """Changes that are laid over one object after another: encoded once. Not to be changed any more."""

    def __init__(self, changes: Changes) -> None:
        super().__init__(changes)
        self._plans: dict[Encoding, Plan] = {}

    def plan(self, written: Encoding) -> Plan:
        """See `plan_of`."""
        plan = self._plans.get(written)
        if plan is None:
            plan = self._plans[written] = _plan(self, written)
        return plan


def edits(
    window: Window,
    syntax: str,
    changes: Changes,
    places: Mapping[int, tuple[int, int]] = _NO_PLACES,
    looked_for: frozenset[int] = frozenset(),
) -> Iterator[Edit]:
    """Where `changes` change the data set under `window`, which is not deflated (any more), in order. `places`: where
    those of its elements begin and end that were `looked_for`, if they stand in order (`dicom.scan.placed`)."""
    if not changes:
        return
    written = encoding_at(window, 0, encoding_of(syntax))
    puts, gone, firsts = plan_of(changes, written)
    pending, advance = sorted(puts, reverse=True), _ADVANCE[written]
    absent = looked_for - places.keys() - puts.keys() if places else frozenset()
    known, todo, last, pos = sorted(places), sorted(gone - absent, reverse=True), max(changes), 0
    while todo and not window.ended(pos):
        if known and (lower := bisect_left(known, todo[-1])):
            pos = max(pos, places[known[lower - 1]][1])
            if window.ended(pos):
                break
        index = window.at(pos, 8)
        pos += advance(window.data, index, todo[-1], firsts) - index
        if window.ended(pos):
            break
        header = read_header(window, pos, written)
        tag = header.tag
        if tag == ITEM:
            raise MalformedDataSet("an item stands where an element should", pos)
        added = b""
        if tag >> 16 != 0xFFFE:
            added = _before(pending, tag, puts)
            while todo and todo[-1] < tag:
                todo.pop()
        after = header.offset + header.length if todo else pos
        if header.length < 0 and todo:
            encoding = Encoding(header.implicit, written.little)
            after = skip_undefined(window, header.offset, header.vr, tag, encoding)[1]
        if tag in gone:
            if pending and pending[-1] == tag:
                added += _before(pending, tag + 1, puts)
            yield Edit(pos, after, added)
        elif added:
            yield Edit(pos, pos, added)
        pos = after
    if pending:
        yield Edit(pos, pos, _before(pending, last + 1, puts))
    if not places:
        yield from _stragglers(window, pos, written, gone)


_Advance: TypeAlias = Callable[[bytes, int, int, frozenset[int]], int]
"""(data, index, stop, gone) -> index: over plain elements below tag `stop` that aren't `gone` (the first four bytes of
such elements as numbers)."""


def _advance(implicit: bool, little: bool) -> _Advance:
    """The loop for an encoding. What is below is told by the group first, which costs less than to put a tag together.
    A value may reach beyond the bytes at hand: then the place where it ends is given."""
    layout = layout_of(little)
    unpack, unpack_implicit, unpack_length = layout.explicit, layout.implicit, layout.length
    short, long, shift = layout.short, layout.long, 0 if little else 16

    def is_below(first: int, stop: int) -> bool:
        return ((first & 0xFFFF) << 16 | first >> 16 if little else first) < stop

    def over_implicit(data: bytes, index: int, stop: int, gone: frozenset[int]) -> int:
        group, end = stop >> 16, len(data) - 8
        while index <= end:
            first, length = unpack_implicit(data, index)
            if length == UNDEFINED or first in gone:
                break
            if first >> shift & 0xFFFF >= group and not is_below(first, stop):
                break
            index += 8 + length
        return index

    def over_explicit(data: bytes, index: int, stop: int, gone: frozenset[int]) -> int:
        group, end = stop >> 16, len(data) - 12
        while index <= end:
            first, vr, length = unpack(data, index)
            if first in gone or (first >> shift & 0xFFFF >= group and not is_below(first, stop)):
                break
            if vr in short:
                index += 8 + length
                continue
            (length,) = unpack_length(data, index + 8)
            if vr not in long or length == UNDEFINED:
                break
            index += 12 + length
        return index

    return over_implicit if implicit else over_explicit


_ADVANCE: Final = {
    Encoding(implicit, little): _advance(implicit, little) for implicit in (False, True) for little in (False, True)
}


def _before(pending: list[int], before: int, puts: Mapping[int, bytes]) -> bytes:
    """The new elements whose place is before tag `before`; they are pending no more."""
    made = b""
    while pending and pending[-1] < before:
        made += puts[pending.pop()]
    return made


def _stragglers(window: Window, pos: int, written: Encoding, gone: frozenset[int]) -> Iterator[Edit]:
    """Elements that stand behind their place (PS3.5 7.1 wants them sorted) don't survive there. Pixel data ends the
    search."""
    run, keys = run_of(written), _stops(gone, written.little)
    while not window.ended(pos):
        index = window.at(pos, 8)
        pos = window.base + run(window.data, index, keys, {})
        if window.ended(pos):
            return
        header = read_header(window, pos, written)
        if header.tag in PIXEL_TAGS:
            return
        if header.tag == ITEM:
            raise MalformedDataSet("an item stands where an element should", pos)
        after = header.offset + header.length
        if header.length < 0 and header.tag >> 16 != 0xFFFE:
            encoding = Encoding(header.implicit, written.little)
            after = skip_undefined(window, header.offset, header.vr, header.tag, encoding)[1]
        if header.tag in gone:
            yield Edit(pos, after, b"")
        pos = after


def _stops(tags: frozenset[int], little: bool) -> Keys:
    """Keys that a run stops at, without looking at values."""
    return {first: (tag, "") for first, (tag, _) in keys_for(tags, little).items()}


def _exactly(read: Read, at: int, n: int) -> bytes:
    piece = read(at, n) if n else b""
    if len(piece) < n:
        raise MalformedDataSet("the data set ends too early", at)
    return piece


class _Segments:
    """Random reading of a data set with edits."""

    def __init__(self, read: Read, size: int, changed: tuple[Edit, ...]) -> None:
        self._read = read
        self._starts: list[int] = []
        self._parts: list[tuple[bytes | None, int, int]] = []
        self._end = at = 0
        for start, end, put in changed:
            self._add(None, at, start - at)
            self._add(put, 0, len(put))
            at = end
        self._add(None, at, size - at)

    def _add(self, put: bytes | None, offset: int, length: int) -> None:
        if length > 0:
            self._starts.append(self._end)
            self._parts.append((put, offset, length))
            self._end += length

    def read(self, offset: int, n: int) -> bytes:
        n = min(n, self._end - offset)
        if n <= 0:
            return b""
        found: list[bytes] = []
        place = bisect_right(self._starts, offset) - 1
        while n > 0:
            put, at, length = self._parts[place]
            within = offset - self._starts[place]
            take = min(n, length - within)
            found.append(_exactly(self._read, at + within, take) if put is None else put[within : within + take])
            offset, n, place = offset + take, n - take, place + 1
        return b"".join(found)


class _Replayed:
    """Pieces that can be made again, as a `Read` that goes forward; a step back starts them anew."""

    def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
        self._make, self._pieces = make, make()
        self._held, self._base = bytearray(), 0

    def __call__(self, offset: int, n: int) -> bytes:
        if offset < self._base:
            self._pieces, self._held, self._base = self._make(), bytearray(), 0
        while self._base + len(self._held) < offset + n:
            self._forget(offset)
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held += piece
        start = offset - self._base
        return bytes(memoryview(self._held)[start : start + n])

    def _forget(self, offset: int) -> None:
        drop = min(max(offset - self._base - _LOOKBACK, 0), len(self._held))
        del self._held[:drop]
        self._base += drop
