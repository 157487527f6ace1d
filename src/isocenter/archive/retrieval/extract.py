"""A new instance made of some frames of another, for retrieval at FRAME level: PS3.4 Y.3.3.

Nothing is decoded: frames pass as they are stored, native or in their codec's stream. The new instance belongs to the
same series; it says what it was made of (Frame Extraction Module) and by whom (Contributing Equipment).
"""

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, Final, NamedTuple

from isocenter import __version__
from isocenter.archive.retrieval.frame_list import (
    FRAME_DELAY,
    FRAME_TIME,
    FRAME_TIME_VECTOR,
    INCREMENT_POINTER,
    PER_FRAME,
    FrameKeys,
    FramesFailure,
    frame_list,
    frame_times,
)
from isocenter.archive.retrieval.frames import frames_of
from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.declarations import statuses
from isocenter.dicom.dataset import DataSet, Element, at, decode, encode, int_of, items_of, sequence, text, uid
from isocenter.dicom.deflate import inflate
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.headers import Encoding
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import PixelData, scan_file
from isocenter.dicom.uids import EXPLICIT_LE, new_uid, transfer_syntax
from isocenter.errors import IsocenterError
from isocenter.imaging.frames import Frames
from isocenter.index.keys import EXTENDED_LENGTHS, EXTENDED_OFFSETS

_SOP_INSTANCE, _FRAMES = 0x00080018, 0x00280008
_EXTRACTION, _SOURCE = 0x00081164, 0x00081167
_CONTRIBUTING = 0x0018A001
_REPRESENTATIVE = 0x00286010
_NO_LONGER = (EXTENDED_OFFSETS, EXTENDED_LENGTHS, 0x00082142, 0x00082143, 0x00286020, 0x00286022, 0x00286023)
"""What counts frames or bytes of the source: offset tables, Start and Stop Trim, Frames of Interest."""
_BY_FRAME: Final = (
    *range(0x00540010, 0x00540110, 0x10),
    *(0x00182005, 0x00186060, 0x30040001, 0x3004000C),
)
"""Vectors with a value a frame: of nuclear medicine, slice, R wave time, dose grids."""
_WIDTHS: Final = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4}
_LONGEST_HEADER = 64 << 20
_SLICE = 1 << 20
_ITEM, _DELIMITER = struct.pack("<HH", 0xFFFE, 0xE000), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class Extracted(NamedTuple):
    """The new instance: its UID, its transfer syntax, and the bytes of its data set."""

    sop_uid: str
    syntax: str
    size: int


class _Source(NamedTuple):
    """The source's header as a data set, and where its pixel data lies."""

    header: DataSet
    pixel: PixelData
    encoding: Encoding
    syntax: str


def extract(
    located: Located, table: bytes | None, reader: Reader, keys: FrameKeys, changes: Changes | None, into: BinaryIO
) -> Extracted:
    """Write the data set of a new instance of the frames that `keys` names into `into`.

    `table` is the source's frame table (`index.frames`), if it has one; `changes` are laid over the source. Raises
    FramesFailure.
    """
    source = _source(located, reader)
    try:
        frames = frames_of(located, table, reader)
    except IsocenterError as failure:
        raise FramesFailure(
            statuses.Frames.NOT_EXTRACTED, "the frames can't be told apart without decoding"
        ) from failure
    header = dict(source.header)
    for tag, element in (changes or {}).items():
        header.pop(tag, None)
        if element is not None:
            header[tag] = element
    wanted = frame_list(keys, header, frames.count)
    sop_uid = new_uid()
    made = _header(header, keys, wanted, frames.count, sop_uid, located.sop_uid)
    size = 0
    for piece in (encode(made, source.syntax), *_pixels(source, frames, wanted)):
        size += into.write(piece)
    into.flush()
    return Extracted(sop_uid, source.syntax, size)


def _source(located: Located, reader: Reader) -> _Source:
    """Raises FramesFailure(NO_NEW_INSTANCE) where there are no pixels."""
    syntax, size, read = located.syntax, reader.size, reader.pread
    try:
        if transfer_syntax(syntax).deflated:
            whole = inflate(reader.pread(reader.size, 0))
            syntax, size, read = EXPLICIT_LE, len(whole), lambda n, offset: whole[offset : offset + n]
        found = scan_file(read, size, syntax, frozenset())
        if found.pixel is None or found.end > _LONGEST_HEADER:
            raise FramesFailure(statuses.Frames.NO_NEW_INSTANCE, "the instance has no frames")
        return _Source(decode(read(found.end, 0), syntax), found.pixel, found.encoding, syntax)
    except MalformedDataSet as failure:
        raise FramesFailure(statuses.Frames.NOT_EXTRACTED, "the instance can't be read") from failure


# --- the header


def _header(header: DataSet, keys: FrameKeys, wanted: list[int], count: int, sop_uid: str, source: str) -> DataSet:
    """The new instance's header. Private elements are left behind, since nobody can tell what they count."""
    made = {tag: element for tag, element in _public(header).items() if tag not in _NO_LONGER}
    made[_SOP_INSTANCE] = uid(sop_uid)
    made[_FRAMES] = text("IS", str(len(wanted)))
    for tag in _BY_FRAME:
        if tag in made:
            made[tag] = _selected(made[tag], wanted, count)
    groups = items_of(made, PER_FRAME)
    if len(groups) == count:
        made[PER_FRAME] = sequence(*(groups[number - 1] for number in wanted))
    _time(made, wanted, count)
    _represent(made, wanted)
    item: DataSet = {_SOURCE: uid(source), keys.tag: keys.element}
    made[_EXTRACTION] = sequence(*items_of(made, _EXTRACTION), item)
    made[_CONTRIBUTING] = sequence(*items_of(made, _CONTRIBUTING), _equipment())
    return made


def _public(data_set: DataSet) -> DataSet:
    found: DataSet = {}
    for tag, element in data_set.items():
        if not tag >> 16 & 1:
            inner = element.value
            items = tuple(map(_public, inner)) if isinstance(inner, tuple) else inner
            found[tag] = Element(element.vr, items)
    return found


def _selected(element: Element, wanted: Sequence[int], count: int) -> Element:
    """The values of the wanted frames, where there is one a frame."""
    value = element.value
    if not isinstance(value, bytes):
        return element
    width = _WIDTHS.get(element.vr)
    if width is None:
        parts = value.split(b"\\")
        return Element(element.vr, b"\\".join(parts[n - 1] for n in wanted)) if len(parts) == count else element
    if len(value) != count * width:
        return element
    return Element(element.vr, b"".join(value[(n - 1) * width : n * width] for n in wanted))


def _time(made: DataSet, wanted: Sequence[int], count: int) -> None:
    """Times stay what they were after Content Time. Frames that were left out leave a gap, which a constant Frame Time
    can't tell: a vector of intervals can."""
    times = frame_times(made, count) if FRAME_TIME in made or FRAME_TIME_VECTOR in made else None
    if times is None:
        return
    chosen = [times[number - 1] for number in wanted]
    made[FRAME_DELAY] = _milliseconds(chosen[0])
    together = list(wanted) == list(range(wanted[0], wanted[0] + len(wanted)))
    if FRAME_TIME_VECTOR in made or not together:
        made[FRAME_TIME_VECTOR] = _milliseconds(0.0, *(later - earlier for earlier, later in pairwise(chosen)))
        made.pop(FRAME_TIME, None)
        made[INCREMENT_POINTER] = at(FRAME_TIME_VECTOR)


def _milliseconds(*seconds: float) -> Element:
    return text("DS", "\\".join(f"{round(each * 1000, 4):.10g}" for each in seconds))


def _represent(made: DataSet, wanted: list[int]) -> None:
    number = int_of(made, _REPRESENTATIVE)
    if number in wanted:
        made[_REPRESENTATIVE] = Element("US", struct.pack("<H", wanted.index(number) + 1))
    else:
        made.pop(_REPRESENTATIVE, None)


def _equipment() -> DataSet:
    """Who made it: CID 7005, 109105."""
    purpose: DataSet = {
        0x00080100: text("SH", "109105"),
        0x00080102: text("SH", "DCM"),
        0x00080104: text("LO", "Frame Extracting Equipment"),
    }
    return {
        0x00080070: text("LO", "Isocenter"),
        0x00181020: text("LO", __version__),
        0x0018A002: text("DT", time.strftime("%Y%m%d%H%M%S+0000", time.gmtime())),
        0x0018A003: text("ST", "Frames extracted for retrieval"),
        0x0040A170: sequence(purpose),
    }


# --- the pixel data


def _pixels(source: _Source, frames: Frames, wanted: list[int]) -> Iterator[bytes]:
    """The element with the frames, its header included."""
    if source.pixel.length < 0:
        yield from _encapsulated(frames, wanted)
        return
    if frames.bits:
        packed = _packed(frames, wanted)
        pieces: Iterable[bytes] = (packed,)
        length = len(packed)
    else:
        pieces = (piece for number in wanted for piece in _pieces(frames, number))
        length = sum(frames.length(number) for number in wanted)
    yield _element_header(source, length + length % 2)
    yield from pieces
    yield b"\0" * (length % 2)


def _element_header(source: _Source, length: int) -> bytes:
    order = "<" if source.encoding.little else ">"
    group, element = source.pixel.tag >> 16, source.pixel.tag & 0xFFFF
    if source.encoding.implicit:
        return struct.pack(f"{order}HHI", group, element, length)
    return struct.pack(f"{order}HH2sHI", group, element, source.pixel.vr.encode("ascii"), 0, length)


def _pieces(frames: Frames, number: int) -> Iterator[bytes]:
    """A frame as it is stored, not turned round."""
    for offset, length in frames.places[number - 1]:
        yield from _slices(frames, offset, length)


def _slices(frames: Frames, offset: int, length: int) -> Iterator[bytes]:
    for done in range(0, length, _SLICE):
        wanted = min(_SLICE, length - done)
        piece = frames.read(offset + done, wanted)
        if len(piece) < wanted:
            raise FramesFailure(statuses.Frames.NOT_EXTRACTED, "the stored object is shorter than its frames")
        yield piece


def _packed(frames: Frames, wanted: Iterable[int]) -> bytes:
    """Frames that don't end on bytes, one after the other."""
    value = shift = 0
    for number in wanted:
        value |= int.from_bytes(frames.frame(number), "little") << shift
        shift += frames.bits
    return value.to_bytes((shift + 7) // 8, "little")


def _encapsulated(frames: Frames, wanted: list[int]) -> Iterator[bytes]:
    """Fragments as they were, behind a Basic Offset Table where it fits (PS3.5 A.4)."""
    offsets, total = [], 0
    for number in wanted:
        offsets.append(total)
        total += sum(8 + length + length % 2 for _, length in frames.places[number - 1])
    table = struct.pack(f"<{len(offsets)}I", *offsets) if total <= 0xFFFFFFFF else b""
    yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    yield _ITEM + struct.pack("<I", len(table)) + table
    for number in wanted:
        for offset, length in frames.places[number - 1]:
            yield _ITEM + struct.pack("<I", length + length % 2)
            yield from _slices(frames, offset, length)
            yield b"\0" * (length % 2)
    yield _DELIMITER
