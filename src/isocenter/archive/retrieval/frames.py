"""Frames of stored pixel data, as bytes: by the index's frame table, else from the object itself (PS3.3 C.7.6.3, PS3.5
8.2 and A.4). Nothing is decoded: frames of compressed pixel data come as their codec's stream.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.deflate import inflate
from isocenter.dicom.scan import RawElement, Scan, scan, scan_file
from isocenter.dicom.swapping import swapped_words
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.index import frames as tables
from isocenter.index.frames import Frame, Shape
from isocenter.index.keys import EXTENDED_LENGTHS, EXTENDED_OFFSETS

_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _BITS = 0x00280010, 0x00280011, 0x00280100
_WANTED = frozenset({_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS, EXTENDED_OFFSETS, EXTENDED_LENGTHS})
_ITEM = struct.Struct("<HHI")
_ITEM_TAG, _DELIMITER_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)

ReadAt = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one object. Native ones are little endian, whatever the object's byte order."""

    syntax: str
    """The transfer syntax of the frames: the object's where they are compressed, else Explicit VR Little Endian."""
    places: tuple[Frame, ...] | list[Frame]
    read: ReadAt
    swap: int = 1
    """Bytes a word to be turned round."""
    bits: int = 0
    """Bits a frame, where frames don't end on bytes; `places` then has the whole as its first."""
    packed: int = 0
    """How many frames are packed so."""

    @property
    def count(self) -> int:
        """How many frames there are."""
        return self.packed or len(self.places)

    def length(self, number: int) -> int:
        """Bytes of frame `number`, counted from 1."""
        if self.bits:
            return (self.bits + 7) // 8
        return sum(length for _, length in self.places[number - 1])

    def frame(self, number: int) -> bytes:
        """Frame `number`, counted from 1. Raises Refused where the object ends before it."""
        if self.bits:
            return self._packed(number)
        pieces = self.places[number - 1]
        data = self.read(pieces[0][1], pieces[0][0]) if len(pieces) == 1 else b"".join(
            [self.read(length, offset) for offset, length in pieces]
        )  # fmt: skip
        if len(data) != self.length(number):
            raise Refused(Reason.PROCESSING_FAILURE, "the stored object is shorter than its frames")
        return swapped_words(self.swap, data) if self.swap > 1 else data

    def _packed(self, number: int) -> bytes:
        """A frame of single bits that begins anywhere in a byte (PS3.5 8.1.1)."""
        first = (number - 1) * self.bits
        start, end = first // 8, (first + self.bits + 7) // 8
        raw = int.from_bytes(self.read(end - start, self.places[0][0][0] + start), "little")
        value = (raw >> first % 8) & ((1 << self.bits) - 1)
        return value.to_bytes((self.bits + 7) // 8, "little")


def frames_of(located: Located, table: bytes | None, reader: Reader) -> Frames:
    """The frames of an object that `reader` reads, by its frame table if it has one; valid while `reader` is open.

    Raises Refused: NOT_ACCEPTABLE where there are no pixels, or frames can't be told apart.
    """
    facts = transfer_syntax(located.syntax)
    if table is None:
        return _from_object(located, reader)
    swap = (located.bits_allocated or 8) // 8 if facts.big_pixels else 1
    syntax = located.syntax if facts.encapsulated else EXPLICIT_LE
    return Frames(syntax, tables.unpack(bytes(table)), reader.pread, swap)


def _from_object(located: Located, reader: Reader) -> Frames:
    facts = transfer_syntax(located.syntax)
    read: ReadAt = reader.pread
    size = reader.size
    if facts.deflated:
        data = inflate(reader.pread(size, 0))
        size = len(data)
        read = lambda n, at: data[at : at + n]  # noqa: E731
        found = scan(data, EXPLICIT_LE, _WANTED)
    else:
        found = scan_file(read, size, located.syntax, _WANTED)
    if found.pixel is None:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has no frames: it holds no pixel data")
    shape = _shape(found)
    blob = tables.locate(found, shape, size, read) if not facts.deflated else None
    swap = max(shape.bits // 8, 1) if facts.big_pixels else 1
    if found.pixel.length >= 0:
        return _native(found, shape, size, read, swap)
    places = tables.unpack(blob) if blob is not None else _walked(found, shape, size, read)
    return Frames(located.syntax, places, read)


def _native(found: Scan, shape: Shape, size: int, read: ReadAt, swap: int) -> Frames:
    assert found.pixel is not None
    samples = shape.rows * shape.columns * shape.samples
    if shape.subsampled and shape.samples == 3:
        samples = samples * 2 // 3
    bits = samples * shape.bits
    start, held = found.pixel.offset, min(found.pixel.length, size - found.pixel.offset)
    if bits <= 0 or bits > held * 8:
        raise Refused(Reason.NOT_ACCEPTABLE, "the pixel data is shorter than one frame")
    count = min(max(shape.frames, 1), held * 8 // bits)
    if bits % 8 and count > 1:
        return Frames(EXPLICIT_LE, (((start, held),),), read, bits=bits, packed=count)
    length = (bits + 7) // 8
    return Frames(EXPLICIT_LE, [((start + i * length, length),) for i in range(count)], read, swap)


def _walked(found: Scan, shape: Shape, size: int, read: ReadAt) -> list[Frame]:
    """The fragments one by one, however many; grouped to frames where that is certain."""
    assert found.pixel is not None
    at = found.pixel.offset
    table: tuple[int, ...] = ()
    fragments: list[tuple[int, int]] = []
    first = 0
    while at + 8 <= size:
        group, element, length = _ITEM.unpack(read(8, at))
        if (group, element) != _ITEM_TAG or at + 8 + length > size:
            break
        if not first:
            table = struct.unpack(f"<{length // 4}I", read(length // 4 * 4, at + 8))
            first = at + 8 + length
        else:
            fragments.append((at + 8, length))
        at += 8 + length
    count = max(shape.frames, 1)
    if len(fragments) == count:
        return [(piece,) for piece in fragments]
    if count == 1 and fragments:
        return [tuple(fragments)]
    starts = {first + 8 + offset for offset in table}
    grouped: list[list[tuple[int, int]]] = []
    for piece in fragments:
        if piece[0] in starts or not grouped:
            grouped.append([])
        grouped[-1].append(piece)
    if len(grouped) != count:
        raise Refused(Reason.NOT_ACCEPTABLE, "the frames of this object can't be told apart without decoding it")
    return [tuple(group) for group in grouped]


def _shape(found: Scan) -> Shape:
    elements, order = found.elements, "<" if found.encoding.little else ">"

    def short(tag: int, default: int = 0) -> int:
        element = elements.get(tag)
        if element is None or len(element.value) < 2:
            return default
        return int(struct.unpack_from(f"{order}H", element.value)[0])

    photometric = _text(elements.get(_PHOTOMETRIC))
    count = _text(elements.get(_FRAMES))
    frames = int(count) if count.isascii() and count.isdigit() else 1
    subsampled = photometric == "YBR_FULL_422"
    return Shape(short(_ROWS), short(_COLUMNS), short(_SAMPLES, 1), short(_BITS, 8), frames, subsampled)


def _text(element: RawElement | None) -> str:
    return element.value.decode("ascii", "replace").strip("\0 ") if element else ""
