"""The frames of an object's pixel data as bytes, native or in their codec's stream (PS3.5 8 and A.4, PS3.3 C.7.6.3).

Nothing is decoded. Frames are found by the Extended or Basic Offset Table where these are true, else by the number of
fragments, else by how a stream begins.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from isocenter.dicom.headers import Read
from isocenter.dicom.scan import PixelData, Scan
from isocenter.dicom.swapping import WORD_BYTES, swapped_words
from isocenter.dicom.uids import EXPLICIT_LE, RLE_LOSSLESS, transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging.codecs import codec
from isocenter.imaging.pixels import EXTENDED_LENGTHS, EXTENDED_OFFSETS, Pixels

Piece: TypeAlias = tuple[int, int]
"""(offset, length) of contiguous bytes."""

_ITEM: Final = struct.Struct("<HHI")
_ITEM_TAG, _DELIMITER_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_BEGINNINGS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0c")
_MOST_FRAGMENTS: Final = 1 << 22
_NONE: Final = Pixels(0, 0)


@dataclass(frozen=True, slots=True)
class Frames:
    """Reads the frames of one object by where they lie. Native ones come little endian, each beginning on a byte."""

    syntax: str
    """Their transfer syntax: the object's where they are compressed, else Explicit VR Little Endian."""
    places: Sequence[tuple[Piece, ...]]
    """What each consists of, in order; of frames that don't end on bytes (`bits`) one piece that holds them all."""
    read: Read
    word: int = 1
    """Bytes of each word that is to be turned round."""
    bits: int = 0
    """Bits a frame, where frames don't end on bytes."""
    packed: int = 0
    """How many there are then."""

    @property
    def count(self) -> int:
        """How many there are, which may be fewer than the object says."""
        return self.packed or len(self.places)

    def length(self, number: int) -> int:
        """Bytes of frame `number`, counted from 1."""
        if self.bits:
            return (self.bits + 7) // 8
        return sum(length for _, length in self.places[number - 1])

    def frame(self, number: int) -> bytes:
        """Frame `number`, counted from 1. Raises Refused where there is none, or the object ends before it."""
        if not 1 <= number <= self.count:
            raise Refused(Reason.NOT_FOUND, "there is no such frame")
        if self.bits:
            return self._unpacked(number - 1)
        pieces = self.places[number - 1]
        if self.word > 1:
            return self._turned(*pieces[0])
        if len(pieces) == 1:
            return _exactly(self.read, *pieces[0])
        return b"".join([_exactly(self.read, offset, length) for offset, length in pieces])

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """Where frame `number` of those there are lies just as `frame` gives it, () where it can't be had so."""
        return () if self.bits or self.word > 1 else self.places[number - 1]

    def __iter__(self) -> Iterator[bytes]:
        return (self.frame(number) for number in range(1, self.count + 1))

    def _turned(self, offset: int, length: int) -> bytes:
        """Bytes of a value whose words are in the other order. Words are counted from where the value begins."""
        before = (offset - self.places[0][0][0]) % self.word
        whole = before + length + -(before + length) % self.word
        data = swapped_words(self.word, _exactly(self.read, offset - before, whole))
        return data[before : before + length]

    def _unpacked(self, index: int) -> bytes:
        """A frame of single bits that begins anywhere in a byte (PS3.5 8.1.1)."""
        first = index * self.bits
        start, end = first // 8, (first + self.bits + 7) // 8
        at = self.places[0][0][0] + start
        raw = self._turned(at, end - start) if self.word > 1 else _exactly(self.read, at, end - start)
        value = (int.from_bytes(raw, "little") >> first % 8) & ((1 << self.bits) - 1)
        return value.to_bytes((self.bits + 7) // 8, "little")


@dataclass(frozen=True, slots=True)
class FrameBytes(Frames):
    """The same with what describes them."""

    pixels: Pixels = _NONE
    end: int = 0
    """Where the pixel data's value and its delimiter end in the data set."""


def frames_of(scan: Scan, pixels: Pixels, read: Read, size: int) -> FrameBytes:
    """The frames of a scanned data set of `size` (inflated) bytes that `read(offset, n)` reads.

    Raises Refused (NOT_ACCEPTABLE) where frames can't be told apart or there is not one.
    """
    pixel = scan.pixel
    assert pixel is not None
    if pixel.length < 0:
        return _encapsulated(scan, pixel, pixels, read, size)
    return _native(scan, pixel, pixels, read, size)


# --- native


def _native(scan: Scan, pixel: PixelData, pixels: Pixels, read: Read, size: int) -> FrameBytes:
    held = min(pixel.length, size - pixel.offset)
    if pixels.shares_chrominance and held * 8 >= pixels._replace(photometric="YBR_FULL").frame_bits * pixels.frames:
        # it has every sample, whatever it says
        pixels = pixels._replace(photometric="YBR_FULL")
    bits = pixels.frame_bits
    if bits > held * 8:
        raise Refused(Reason.NOT_ACCEPTABLE, "the pixel data is shorter than one frame")
    count = min(pixels.frames, held * 8 // bits)
    word, start, end = _width(scan, pixel, pixels), pixel.offset, pixel.offset + pixel.length
    if bits % 8:
        return FrameBytes(EXPLICIT_LE, (((start, held),),), read, word, bits, count, pixels, end)
    places = [((start + number * bits // 8, bits // 8),) for number in range(count)]
    return FrameBytes(EXPLICIT_LE, places, read, word, pixels=pixels, end=end)


def _width(scan: Scan, pixel: PixelData, pixels: Pixels) -> int:
    """Bytes of each word that is to be turned round, 1 for none. Samples of 32 and 64 bits are turned whole."""
    facts = transfer_syntax(scan.syntax)
    if not facts.big_pixels:
        return 1
    width = WORD_BYTES.get(pixel.vr, 1)
    if pixels.allocated > 8 and width < 2:
        width = 2
    return pixels.allocated // 8 if width == 2 and pixels.allocated in (32, 64) else width


def _exactly(read: Read, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) < length:
        raise Refused(Reason.PROCESSING_FAILURE, "the stored object is shorter than its frames")
    return data


# --- encapsulated


class Fragments(NamedTuple):
    """What encapsulated pixel data consists of (PS3.5 A.4)."""

    table: tuple[int, ...]
    """The Basic Offset Table."""
    first: int
    """Where the first fragment's item begins."""
    pieces: list[Piece]
    end: int
    """Where the sequence delimiter that some writers forget ends."""
    whole: bool
    """All is there but that delimiter."""


def fragments_of(read: Read, at: int, size: int, most: int = _MOST_FRAGMENTS) -> Fragments:
    """The fragments of a value that begins `at`. Raises Refused where it is something else, or has more than `most`."""
    header = _item(read, at, size)
    if header is None or header[0] != _ITEM_TAG:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the pixel data has no offset table")
    length = header[1]
    table = struct.unpack(f"<{length // 4}I", _exactly(read, at + 8, length // 4 * 4)) if length else ()
    first = at = at + 8 + length
    found: list[Piece] = []
    while (header := _item(read, at, size)) is not None:
        tag, length = header
        at += 8
        if tag == _DELIMITER_TAG:
            return Fragments(table, first, found, min(at, size), True)
        if tag != _ITEM_TAG or len(found) == most:
            raise Refused(Reason.CANNOT_UNDERSTAND, "the pixel data holds something other than fragments")
        found.append((at, length))
        at += length
    return Fragments(table, first, found, min(at, size), at == size)


def _encapsulated(scan: Scan, pixel: PixelData, pixels: Pixels, read: Read, size: int) -> FrameBytes:
    table, first, pieces, end, _ = fragments_of(read, pixel.offset, size)
    places = _by_extended_table(scan, pixels, first, pieces) or _grouped(scan, pixels, table, first, pieces, read)
    return FrameBytes(scan.syntax, places, read, pixels=pixels, end=end)


def _item(read: Read, at: int, size: int) -> tuple[tuple[int, int], int] | None:
    if at + 8 > size:
        return None
    group, element, length = _ITEM.unpack(read(at, 8))
    if (group, element) == _ITEM_TAG and at + 8 + length > size:
        return None  # cut off: what is before it may still be whole
    return (group, element), length


def _by_extended_table(
    scan: Scan, pixels: Pixels, first: int, fragments: list[Piece]
) -> Sequence[tuple[Piece, ...]] | None:
    """By the Extended Offset Table, where each entry is the start of a fragment that is as long or a byte longer."""
    offsets, lengths = scan.elements.get(EXTENDED_OFFSETS), scan.elements.get(EXTENDED_LENGTHS)
    count = pixels.frames
    if offsets is None or lengths is None or not len(offsets.value) == len(lengths.value) == 8 * count:
        return None
    known = dict(fragments)
    found: list[tuple[Piece, ...]] = []
    for place, length in zip(
        struct.unpack(f"<{count}Q", offsets.value), struct.unpack(f"<{count}Q", lengths.value), strict=True
    ):
        start = first + 8 + place
        if start not in known or not known[start] - 1 <= length <= known[start]:
            return None
        found.append(((start, length),))
    return found


def _grouped(
    scan: Scan, pixels: Pixels, table: tuple[int, ...], first: int, fragments: list[Piece], read: Read
) -> Sequence[tuple[Piece, ...]]:
    count = pixels.frames
    if not fragments:
        raise Refused(Reason.NOT_ACCEPTABLE, "the pixel data has no fragments")
    if len(fragments) == count or scan.syntax == RLE_LOSSLESS:
        return [(piece,) for piece in fragments[:count]]
    if count == 1:
        return [tuple(fragments)]
    starts = {first + 8 + offset for offset in table}
    if len(starts) != count or not starts <= {piece[0] for piece in fragments}:
        starts = {piece[0] for piece in fragments if read(piece[0], 4).startswith(_BEGINNINGS)}
    if codec(scan.syntax) is None:
        raise Refused(Reason.NOT_ACCEPTABLE, "the frames of a video can't be told apart")
    if len(fragments) < count:
        # cut off, or with fewer frames than it says: each is taken for one
        starts = {piece[0] for piece in fragments}
    elif len(starts) != count or fragments[0][0] not in starts:
        raise Refused(Reason.NOT_ACCEPTABLE, "the frames of this object can't be told apart")
    grouped: list[list[Piece]] = []
    for piece in fragments:
        if piece[0] in starts:
            grouped.append([])
        grouped[-1].append(piece)
    return [tuple(group) for group in grouped]
