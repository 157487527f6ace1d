"""Where each frame of an object's pixel data lies, packed into one blob an instance.

Offsets count from the start of the data set (the file's start plus `instance.offset` gives the place in the file). A
frame of native pixel data is one piece; an encapsulated one may consist of several fragments, whose item headers are
left out. Where nothing can be derived cheaply there is no table, and a reader walks the pixel data itself.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from isocenter.dicom.scan import PixelData, Scan
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Refused
from isocenter.imaging.frames import Piece, fragments_of
from isocenter.index.keys import EXTENDED_LENGTHS, EXTENDED_OFFSETS

Frame: TypeAlias = tuple[Piece, ...]
Read: TypeAlias = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""

MOST_FRAGMENTS = 4096
"""More are not walked while an object is being received."""
MOST_OFFSETS = 1 << 20
"""Entries of an offset table that are believed."""

_NATIVE, _SINGLE, _FRAGMENTED = 1, 2, 3
_NATIVE_FORM = struct.Struct("<BIQQ")  # kind, frames, offset of the first, bytes of each
_HEAD = struct.Struct("<BI")  # kind, frames
_PIECE = struct.Struct("<QI")


class Shape(NamedTuple):
    """What the image attributes say; `frames` is 1 where Number of Frames is absent."""

    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    subsampled: bool
    """Native YBR_FULL_422: two samples a pixel for three."""


def pack(frames: Sequence[Frame]) -> bytes:
    """The blob for any table of frames."""
    if all(len(frame) == 1 for frame in frames):
        native = _as_native([frame[0] for frame in frames])
        if native is not None:
            return native
        return _HEAD.pack(_SINGLE, len(frames)) + _pieces(frame[0] for frame in frames)
    parts = [_HEAD.pack(_FRAGMENTED, len(frames))]
    for frame in frames:
        parts += struct.pack("<H", len(frame)), _pieces(frame)
    return b"".join(parts)


def pack_native(offset: int, length: int, frames: int) -> bytes:
    """The blob for `frames` frames of `length` bytes each, one behind the other."""
    return _NATIVE_FORM.pack(_NATIVE, frames, offset, length)


def _as_native(pieces: list[Piece]) -> bytes | None:
    if not pieces or any(
        piece != (pieces[0][0] + i * pieces[0][1], pieces[0][1]) for i, piece in enumerate(pieces)
    ):  # fmt: skip
        return None
    return pack_native(*pieces[0], len(pieces))


def _pieces(pieces: Iterable[Piece]) -> bytes:
    return b"".join([_PIECE.pack(*piece) for piece in pieces])


def unpack(blob: bytes) -> list[Frame]:
    """The frames, each as its pieces (offset in the data set, length), in order. `[i][0]` is frame i+1's only piece
    unless the object is fragmented."""
    kind, count = _HEAD.unpack_from(blob)
    if kind == _NATIVE:
        _, _, offset, length = _NATIVE_FORM.unpack(blob)
        return [((offset + i * length, length),) for i in range(count)]
    if kind == _SINGLE:
        return [(piece,) for piece in _PIECE.iter_unpack(blob[_HEAD.size :])]
    return _unpack_fragmented(blob, count)


def _unpack_fragmented(blob: bytes, count: int) -> list[Frame]:
    found: list[Frame] = []
    at = _HEAD.size
    for _ in range(count):
        (fragments,) = struct.unpack_from("<H", blob, at)
        end = at + 2 + fragments * _PIECE.size
        found.append(tuple(_PIECE.iter_unpack(blob[at + 2 : end])))
        at = end
    return found


def locate(scan: Scan, shape: Shape, size: int, read: Read | None) -> bytes | None:
    """The frame table of a scanned object of `size` bytes, None where it can't be derived cheaply."""
    pixel = scan.pixel
    if pixel is None or scan.truncated or transfer_syntax(scan.syntax).deflated:
        return None
    if pixel.length >= 0:
        return _native(pixel, shape, size)
    if shape.frames < 1:
        return None
    extended = _extended(scan, shape.frames)
    if extended is not None or read is None:
        return extended
    return _encapsulated(pixel.offset, shape.frames, size, read)


def _native(pixel: PixelData, shape: Shape, size: int) -> bytes | None:
    samples = shape.rows * shape.columns * shape.samples
    if shape.subsampled and shape.samples == 3 and pixel.length * 8 < samples * shape.bits * shape.frames:
        samples = samples * 2 // 3  # else it has every sample, whatever it says
    bits = samples * shape.bits
    length = bits // 8 if shape.frames > 1 else (bits + 7) // 8
    whole = bits % 8 == 0 or shape.frames == 1
    if length < 1 or shape.frames < 1 or not whole:
        return None
    if length * shape.frames > pixel.length or pixel.offset + pixel.length > size:
        return None
    return pack_native(pixel.offset, length, shape.frames)


def _extended(scan: Scan, frames: int) -> bytes | None:
    """By the Extended Offset Table (PS3.3 C.7.6.3.1.8): one fragment a frame, offsets from behind the basic table."""
    offsets, lengths = scan.elements.get(EXTENDED_OFFSETS), scan.elements.get(EXTENDED_LENGTHS)
    if scan.pixel is None or offsets is None or lengths is None or not 0 < frames <= MOST_OFFSETS:
        return None
    if len(offsets.value) != 8 * frames or len(lengths.value) != 8 * frames:
        return None
    places = struct.unpack(f"<{frames}Q", offsets.value)
    sizes = struct.unpack(f"<{frames}Q", lengths.value)
    first = scan.pixel.offset + 8  # the basic table must be empty, and the fragment's header comes before its bytes
    if max(places) >= 1 << 62 or max(sizes) >= 1 << 32:
        return None
    return pack([((first + 8 + place, length),) for place, length in zip(places, sizes, strict=True)])


def _encapsulated(start: int, frames: int, size: int, read: Read) -> bytes | None:
    """By the items themselves: one fragment a frame, all of them one frame, or grouped by the Basic Offset Table."""
    try:
        found = fragments_of(lambda at, n: read(n, at), start, size, MOST_FRAGMENTS)
    except Refused:  # no table: the frames are found when they are asked for
        return None
    if not found.whole:
        return None
    if len(found.pieces) == frames:
        return pack([(piece,) for piece in found.pieces])
    if frames == 1:
        return pack([tuple(found.pieces)]) if found.pieces else None
    return _grouped(found.pieces, [found.first + 8 + offset for offset in found.table], frames)


def _grouped(fragments: list[Piece], starts: list[int], frames: int) -> bytes | None:
    if len(starts) != frames or len(fragments) > 0xFFFF:
        return None
    opening = set(starts)
    grouped: list[list[Piece]] = []
    for piece in fragments:
        if piece[0] in opening:
            grouped.append([])
        if not grouped:
            return None
        grouped[-1].append(piece)
    return pack([tuple(group) for group in grouped]) if len(grouped) == frames else None
