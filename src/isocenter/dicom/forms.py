"""Headers that come again: the objects of a series have the same header but for a few values.

A `Form` is what such headers have in common: runs of bytes, and between them the elements whose values vary, in any
length. A header that agrees with it byte by byte outside of those values is read the same way by the scanner, so its
attributes are known after a handful of comparisons, where a scan takes a step for each element.

    found = forms.scan(beginning, size, syntax, wanted)     # None: of no known form
    if found is None:
        found = scan_file(...)
        forms.learn(pread, found, wanted)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import error as struct_error
from typing import Final, NamedTuple

from isocenter.dicom.headers import (
    BIG,
    LITTLE,
    UNDEFINED,
    Encoding,
    MalformedDataSet,
    NeedMore,
    Window,
    read_header,
)
from isocenter.dicom.jumping import RawElement, skip_undefined
from isocenter.dicom.scan import Alike, Sample, Scan
from isocenter.dicom.uids import transfer_syntax

_LONGEST: Final = 1 << 15
"""Bytes of a header that is worth remembering."""
_MOST: Final = 40
"""Values that vary; with more of them a scan is as fast."""
_FEW: Final = 24
"""So many values that were the same so far are taken to vary from now on, as where another series or study begins, or
several come in turn. Where more differ, the header is of another form."""
_KEPT: Final = 3
"""Forms at once: series that come in turn."""
_SLACK: Final = 256
"""Bytes by which a header may be longer than the one that its form was learned from."""
_PATIENCE: Final = 4
"""Headers in a row that may be learned from in vain. Then only every so many are, up to the longest pause."""
_LONGEST_PAUSE: Final = 64


class _Place(NamedTuple):
    """Where an element of the top level begins, where its length stands, and where the next element begins."""

    tag: int
    vr: str
    start: int
    length: int
    wide: bool
    """The length has 32 bits."""
    end: int


class _Step(NamedTuple):
    """A run of bytes that ends in front of the length of a value that varies."""

    run: bytes
    wide: bool
    tag: int
    vr: str
    """As written or, where none is, the dictionary's."""
    told: str
    """The VR that the scan tells of it; '' where it isn't wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What the headers of a series have in common, learned from `head`, in which `sample` found what is `wanted`."""

    head: bytes
    sample: Sample
    wanted: frozenset[int]
    places: tuple[_Place, ...]
    varying: frozenset[int]
    """Tags of the elements whose values vary."""
    steps: tuple[_Step, ...]
    last: bytes
    """The run behind the last of them, with the pixel data's header."""
    ends: tuple[int, ...]
    """Where they end in `head`."""

    def read(self, data: bytes) -> "Met | None":
        """What is special about the header at the beginning of `data`; None where it is another one, or not whole."""
        layout = LITTLE if self.sample.scan.encoding.little else BIG
        wide_length, length_of, starts, new = layout.length, layout.short_length, data.startswith, tuple.__new__
        values: dict[int, RawElement] = {}
        ends: list[int] = []
        pos = 0
        try:
            for run, wide, tag, vr, told in self.steps:
                if not starts(run, pos):
                    return None
                pos += len(run)
                if wide:
                    (length,) = wide_length(data, pos)
                    start = pos + 4
                    end = pos = start + length
                    if length == UNDEFINED:
                        end, pos = self._over(data, start, vr, tag)
                else:
                    (length,) = length_of(data, pos)
                    start = pos + 2
                    end = pos = start + length
                ends.append(pos)
                if told:
                    values[tag] = new(RawElement, (told, data[start:end]))
        except (struct_error, NeedMore, MalformedDataSet):  # the scan will say what is wrong, if anything is
            return None
        return Met(self, values, tuple(ends)) if starts(self.last, pos) else None

    def _over(self, data: bytes, start: int, vr: str, tag: int) -> tuple[int, int]:
        return skip_undefined(Window.over(data, whole=False), start, vr, tag, self.sample.scan.encoding)


class Met(NamedTuple):
    """A header of a known form: the wanted ones among its varying elements, and where the varying ones end."""

    form: Form
    values: dict[int, RawElement]
    ends: tuple[int, ...]

    @property
    def grown(self) -> int:
        """Bytes that this header is longer than the one that the form was learned from."""
        return self.ends[-1] - self.form.ends[-1] if self.ends else 0

    def scanned(self, size: int) -> Scan | None:
        """What a scan of the data set of `size` bytes finds; None where its pixel data is not all there."""
        before = self.form.sample.scan
        pixel = before.pixel
        assert pixel is not None
        end, offset = before.end + self.grown, pixel.offset + self.grown
        if offset + max(pixel.length, 0) > size:
            return None
        elements, alike = {**before.elements, **self.values}, Alike(self.form.sample, self.values)
        return Scan(elements, pixel._replace(offset=offset), end, before.syntax, before.encoding, alike=alike)


class Forms:
    """The forms that were met last, of one association. For several threads at once."""

    __slots__ = ("_known", "_pause", "_vain", "reach")

    def __init__(self) -> None:
        self._known: tuple[Form, ...] = ()
        self._vain = self._pause = 0
        self.reach = 0
        """Bytes from the beginning of a data set in which `scan` may find what it knows; 0 while it knows nothing."""

    def scan(self, beginning: bytes, size: int, syntax: str, wanted: frozenset[int]) -> Scan | None:
        """What a scan for `wanted` finds in a data set of `size` bytes, if its header is of a known form."""
        met = self.meet(beginning, syntax, wanted)
        return met.scanned(size) if met is not None else None

    def meet(self, beginning: bytes, syntax: str, wanted: frozenset[int]) -> Met | None:
        """The header at the `beginning` of a data set, if it is of a form in which `wanted` was looked for."""
        for form in self._known:
            of_kind = form.wanted is wanted and form.sample.scan.syntax == syntax
            met = form.read(beginning) if of_kind else None
            if met is not None:
                self._vain = 0
                if form is not self._known[0]:
                    self._known = (form, *(other for other in self._known if other is not form))
                return met
        return None

    def learn(self, pread: Callable[[int, int], bytes], found: Scan, wanted: frozenset[int]) -> None:
        """Remember the header of the data set behind `pread(n, offset)`, in which a scan for `wanted` has `found` so
        much. Raises what reading raises."""
        if self._pause:
            self._pause -= 1
            return
        self._vain += 1
        if self._vain > _PATIENCE:
            self._pause = min(1 << (self._vain - _PATIENCE), _LONGEST_PAUSE)
        if found.pixel is None or found.pixel.offset > _LONGEST or transfer_syntax(found.syntax).deflated:
            return
        head = pread(found.pixel.offset, 0)
        places = _places(head, found)
        if places is None:
            return
        before = self._like(places, found.syntax, wanted)
        varying, replaced = _varying(before, head, places)
        if len(varying) > _MOST or places[0].tag in varying:
            return
        form = _form(head, found, wanted, places, varying)
        others = tuple(other for other in self._known if not (replaced and other is before))
        self._known = (form, *others)[:_KEPT]
        self.reach = max(len(known.head) for known in self._known) + _SLACK

    def _like(self, places: Sequence[_Place], syntax: str, wanted: frozenset[int]) -> Form | None:
        """The known form that has the same elements."""
        tags = [place.tag for place in places]
        for form in self._known:
            if form.wanted is wanted and form.sample.scan.syntax == syntax and [p.tag for p in form.places] == tags:
                return form
        return None


def _places(head: bytes, found: Scan) -> tuple[_Place, ...] | None:
    """Where the elements of a header stand; None where anything is odd about one of them."""
    assert found.pixel is not None
    window = Window.over(head, whole=False)
    try:
        places = tuple(_walk(window, found.end, found.encoding))
        plain = places and _is_plain(window, found.end, found.encoding)
    except (NeedMore, MalformedDataSet):
        return None
    tags = {place.tag for place in places}
    return places if plain and places[-1].end == found.end and len(tags) == len(places) else None


def _walk(window: Window, end: int, encoding: Encoding) -> Iterator[_Place]:
    pos = 0
    while pos < end:
        tag, vr, length, value, implicit = read_header(window, pos, encoding)
        if tag >> 16 == 0xFFFE or implicit is not encoding.implicit or not _is_plain(window, pos, encoding):
            raise MalformedDataSet("an element that is not plain", pos)
        wide = encoding.implicit or value - pos == 12
        after = value + length
        if length < 0:
            after = skip_undefined(window, value, vr, tag, encoding)[1]
        yield _Place(tag, vr, pos, value - (4 if wide else 2), wide, after)
        pos = after


def _is_plain(window: Window, pos: int, encoding: Encoding) -> bool:
    """Whether the element at `pos` is read by its own header alone, without a look at what follows."""
    if encoding.implicit:
        return True
    layout = LITTLE if encoding.little else BIG
    return layout.explicit(window.data, window.at(pos, 8))[1] in layout.names


def _varying(before: Form | None, head: bytes, places: Sequence[_Place]) -> tuple[frozenset[int], bool]:
    """Which values vary in headers like `before` and this one, and whether they are of one series."""
    if before is None:
        return frozenset(), False
    differing = {
        place.tag
        for place, other in zip(places, before.places, strict=True)
        if head[place.start : place.end] != before.head[other.start : other.end]
    }
    same = not before.varying or len(differing - before.varying) <= _FEW
    return (before.varying | differing if same else before.varying), same


def _form(
    head: bytes, found: Scan, wanted: frozenset[int], places: tuple[_Place, ...], varying: frozenset[int]
) -> Form:
    steps: list[_Step] = []
    at = 0
    for place in places:
        if place.tag in varying:
            element = found.elements.get(place.tag)
            told = element.vr if element is not None else ""
            steps.append(_Step(head[at : place.length], place.wide, place.tag, place.vr, told))
            at = place.end
    ends = tuple(place.end for place in places if place.tag in varying)
    return Form(head, Sample(found), wanted, places, varying, tuple(steps), head[at:], ends)
