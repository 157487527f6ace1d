"""The header scan: wanted top level attributes and where the pixel data lies, straight from the bytes.

This is the hot path of ingest, tens of microseconds an object: one tight loop over element headers in which values are
jumped over by their length. Whatever is not a plain element of known VR leaves that loop (undefined lengths, odd VRs,
delimiters), is dealt with by `headers` and `jumping`, and the loop is entered again behind it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from isocenter.dicom.deflate import Bound, Inflating
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.headers import (
    EXPLICIT_LITTLE,
    ITEM,
    PIXEL_TAGS,
    Encoding,
    Header,
    MalformedDataSet,
    NeedMore,
    Window,
    encoding_at,
    encoding_of,
    read_header,
)
from isocenter.dicom.jumping import TWICE, Ends, RawElement, keys_for, run_of, skip_undefined
from isocenter.dicom.uids import transfer_syntax

__all__ = ["Alike", "MalformedDataSet", "NeedMore", "PixelData", "Places", "RawElement", "Sample", "Scan", "placed",
           "scan", "scan_file"]  # fmt: skip

Places: TypeAlias = Mapping[int, tuple[int, int]]
"""Where elements begin and end, by tag; empty where they don't stand in order."""

CHARACTER_SET: Final = 0x00080005
HEADER_BOUND: Final = Bound(absolute=256 << 20, free=64 << 20)
"""How far a deflated data set is inflated in search of its header's end."""


class PixelData(NamedTuple):
    """Where pixel data's value lies in the (inflated) data set; `length` is -1 for fragments."""

    tag: int
    vr: str
    offset: int
    length: int


class Scan(NamedTuple):
    """What a scan found.

    `end` is where it stopped: the pixel data's header, or the end of the data set. `truncated` says that native pixel
    data is longer than the data set, `encoding` how the elements are written, which may differ from the syntax's.
    """

    elements: dict[int, RawElement]
    pixel: PixelData | None
    end: int
    syntax: str
    encoding: Encoding = EXPLICIT_LITTLE
    truncated: bool = False
    alike: "Alike | None" = None
    """What it is known to differ in from another one, where that is known (`dicom.forms`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A scan that others are like: what was made of it may be remembered by this object."""

    scan: Scan


class Alike(NamedTuple):
    """Has all elements of the sample, but for the values of these."""

    sample: Sample
    values: Mapping[int, RawElement]


def scan(data: bytes | memoryview, syntax: str, wanted: frozenset[int], *, whole: bool = True) -> Scan:
    """Scan the data set in `data`, or with whole=False the prefix of one.

    Raises NeedMore when a prefix ends before the header does, MalformedDataSet when the bytes can't be read. Offsets
    of a deflated data set are those of the inflated one.
    """
    held = bytes(data)
    if transfer_syntax(syntax).deflated:
        reading = Inflating(lambda at, n: held[at : at + n], len(held), HEADER_BOUND, whole=whole, lookback=None)
        return _scan(Window(reading), syntax, wanted)
    return _scan(Window.over(held, whole=whole), syntax, wanted)


def scan_file(
    pread: Callable[[int, int], bytes], size: int, syntax: str, wanted: frozenset[int], *, chunk: int = 1 << 16
) -> Scan:
    """Scan a data set of `size` bytes that `pread(n, offset)` reads, in pieces of `chunk` bytes or what a wanted value
    takes; long values that nobody wants are never read. Raises MalformedDataSet."""
    if transfer_syntax(syntax).deflated:
        reading = Inflating(lambda at, n: pread(n, at), size, HEADER_BOUND, lookback=None)
        return _scan(Window(reading), syntax, wanted)
    return _scan(Window(lambda at, n: pread(n, at), size, chunk), syntax, wanted)


def placed(head: bytes, syntax: str, wanted: frozenset[int], *, whole: bool = True) -> tuple[Scan, Places]:
    """What `scan` finds in a data set that is not deflated, and where the wanted elements stand, so that laying changes
    over them needs no second walk. Raises as that."""
    ends: Ends = {}
    found = _scan(Window.over(head, whole=whole), syntax, wanted, ends)
    return found, _in_order(ends)


def _in_order(ends: Ends) -> Places:
    """The places, if the elements stand in the order of their tags, each once."""
    before = -1
    for tag, (start, _) in ends.items():
        if tag < before or start < 0:
            return {}
        before = tag
    return ends


def _scan(window: Window, syntax: str, wanted: frozenset[int], ends: Ends | None = None) -> Scan:
    """`ends` may be asked for where the window holds the data set from its beginning on."""
    encoding = encoding_at(window, 0, encoding_of(syntax))
    wanted = _with_character_set(wanted)
    run, keys = run_of(encoding), keys_for(wanted, encoding.little)
    found: dict[int, RawElement] = {}
    pos = 0
    while not window.ended(pos):
        index = window.at(pos, 8)
        pos = window.base + run(window.data, index, keys, found, ends)
        if window.ended(pos):
            break
        header = read_header(window, pos, encoding)
        if header.tag in PIXEL_TAGS:
            pixel = PixelData(header.tag, header.vr, header.offset, header.length)
            return Scan(found, pixel, pos, syntax, encoding, not window.reaches(header.offset + header.length))
        pos = _single(window, header, pos, encoding, wanted, found, ends)
    return Scan(found, None, pos, syntax, encoding)


@lru_cache(maxsize=64)
def _with_character_set(wanted: frozenset[int]) -> frozenset[int]:
    return wanted | {CHARACTER_SET}


def _single(
    window: Window,
    header: Header,
    pos: int,
    encoding: Encoding,
    wanted: frozenset[int],
    found: dict[int, RawElement],
    ends: Ends | None,
) -> int:
    """One element that the loop stopped at; the position behind it."""
    tag, vr, length, offset, implicit = header
    if tag == ITEM:
        raise MalformedDataSet("an item stands where an element should", pos)
    end = after = offset + length
    if length < 0:
        end, after = skip_undefined(window, offset, vr, tag, Encoding(implicit, encoding.little))
    if tag in wanted:
        found[tag] = RawElement(vr if vr != "UN" else vr_of(tag), window.bytes_at(offset, end - offset))
        if ends is not None:
            ends[tag] = TWICE if tag in ends else (pos, after)
    return after
