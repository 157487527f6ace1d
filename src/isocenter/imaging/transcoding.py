"""An object in another transfer syntax, made as it is read: header with its changes, frames through the workers.

A small object is made whole before its first byte leaves, so that the Basic Offset Table is right and what can't be
decoded is known in time. A large one streams, with an empty table, in constant memory (PS3.5 A.4 allows both).
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Final, Self

from isocenter.dicom import convert
from isocenter.dicom.deflate import Inflating, deflating
from isocenter.dicom.headers import PIXEL_DATA, Read
from isocenter.dicom.overlay import Changes, Overlay, merged
from isocenter.dicom.scan import PixelData
from isocenter.dicom.swapping import swapped_words
from isocenter.dicom.uids import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging.codecs import is_native
from isocenter.imaging.derivation import copy_of, grey_copy, lossy_copy
from isocenter.imaging.engine import Ahead, Engine
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import COLOURED, SCANNED, Plan, Source, planned, source
from isocenter.imaging.recode import Lossy

_SLICE: Final = 1 << 20
_HELD: Final = 64 << 20
"""Decoded bytes of an object that is made whole before it leaves."""
_ITEM, _DELIMITER = struct.pack("<HH", 0xFFFE, 0xE000), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def transcoding(
    engine: Engine, read: Read, size: int, syntax: str, wanted: str, *, lossy: Lossy | None = None, colour: str = ""
) -> "Transcoding | Plain":
    """The data set of `size` bytes behind `read(offset, n)`, in `syntax`, on its way to `wanted`, and to the
    photometric interpretation `colour` (`recolouring`) where that is named.

    With `lossy` it may lose, and is another instance then. Raises Refused where it can't be done, MalformedDataSet
    where the data set can't be read; its pixels may still turn out damaged in `pieces`.
    """
    with ExitStack() as stack:
        if transfer_syntax(syntax).deflated:
            inflated = stack.enter_context(Inflated(read, size))
            read, size, syntax = inflated.read, inflated.size, EXPLICIT_LE
        origin = source(read, size, syntax, COLOURED if colour else SCANNED)
        if origin is None:
            return Plain(read, size, syntax, wanted, stack.pop_all())
        plan = planned(origin, wanted, lossy, colour)
        engine.check(origin.frames.pixels)
        return Transcoding(engine, origin, plan, stack.pop_all())


class Inflated:
    """A deflated data set, inflated for reading at random: in memory, or a file when it is large."""

    def __init__(self, read: Read, size: int) -> None:
        self._file = SpooledTemporaryFile(max_size=_HELD)  # noqa: SIM115 - closed at the exit
        self._reading, self.size = Inflating(read, size), 0

    def __enter__(self) -> Self:
        try:
            while piece := self._reading(self.size, _SLICE):
                self.size += self._file.write(piece)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, offset: int, n: int) -> bytes:
        """n bytes at `offset`."""
        self._file.seek(offset)
        return self._file.read(n)


class Plain:
    """An object without pixel data, of which a transfer syntax says only how its elements are written."""

    sop_instance = ""
    small = True

    def __init__(self, read: Read, size: int, syntax: str, wanted: str, owned: ExitStack) -> None:
        self._read, self._size, self._syntax, self._wanted, self._owned = read, size, syntax, wanted, owned

    def pieces(self) -> Iterator[bytes]:
        """The data set, in pieces."""
        with self._owned:
            yield from convert.convert(self._read, self._size, _elements(self._syntax), _elements(self._wanted))

    def collect(self) -> None:
        """Nothing is to be waited for."""

    def close(self) -> None:
        """Let go of what was made of it."""
        self._owned.close()


class Transcoding:
    """One object on its way. Its first frames are with the workers when it is made. Close it, or use up `pieces`."""

    def __init__(self, engine: Engine, origin: Source, plan: Plan, owned: ExitStack) -> None:
        self._origin, self._plan, self._owned = origin, plan, owned
        self._lossy = plan.writes.lossy
        self.sop_instance = _copied(origin, plan)
        """The new SOP Instance UID of a copy that lost something, '' for what is the same instance."""
        grey = grey_copy(origin.scan, self.sop_instance) if plan.greyed else None
        self.changes: Changes = merged(plan.changes, grey)
        self._ahead: Ahead = engine.all_recoded(plan.recode, origin.frames)
        self._made: _Collected | None = None

    def collect(self) -> None:
        """Wait for all frames. Raises as `Engine.recoded`. `changes` is complete then, also for a lossy copy."""
        if self._made is None:
            self._made = _Collected(self._frames())
            if self._lossy:
                whole = self._plan.pixels._replace(photometric="RGB" if self._plan.pixels.samples == 3 else "")
                ratio = whole.frame_bits / 8 * whole.frames / max(self._made.size, 1)
                copy = lossy_copy(self._origin.scan, self._plan.writes.method, ratio, self.sop_instance)
                self.changes = merged(self.changes, copy)

    @property
    def small(self) -> bool:
        """It is made whole before it leaves: `collect` tells whether it can be."""
        pixels = self._plan.pixels
        return self._lossy or pixels.decoded_bytes * pixels.frames <= _HELD

    def pieces(self) -> Iterator[bytes]:
        """The data set, in pieces. Raises as `Engine.recoded`, before the first piece where the object is small."""
        target = self._plan.recode.target
        written = self._pieces(target)
        return deflating(written) if transfer_syntax(target).deflated else written

    def close(self) -> None:
        """Give up what has not begun."""
        self._ahead.close()
        if self._made is not None:
            self._made.close()
        self._owned.close()

    def _frames(self) -> Iterator[bytes]:
        """The new frames. Those of a description other than planned would make the header wrong."""
        decoded = None
        for recoded in self._ahead:
            if decoded is not None and recoded.pixels != decoded:
                raise Refused(Reason.CANNOT_UNDERSTAND, "the frames of the object differ in colour")
            decoded = recoded.pixels
            yield bytes(recoded.data)

    def _pieces(self, target: str) -> Iterator[bytes]:
        try:
            pixels = self._plan.pixels
            if self.small:
                self.collect()
            native = is_native(target)
            header = _headed(target) if native else EXPLICIT_LE
            yield from self._header(header)
            if native:
                yield from _native(pixels, header, self._all())
            else:
                yield from _encapsulated(self._made, self._all())
            yield from self._rest(header)
        finally:
            self.close()

    def _all(self) -> Iterator[bytes]:
        return iter(self._made) if self._made is not None else self._frames()

    def _header(self, target: str) -> Iterator[bytes]:
        """What comes before the pixel data."""
        origin = self._origin
        end, read = origin.scan.end, origin.read

        def before(offset: int, n: int) -> bytes:
            return read(offset, max(min(n, end - offset), 0))

        overlay = Overlay(before, end, _written(origin), self.changes)
        return overlay.pieces() if overlay.syntax == target else overlay.converted(target)

    def _rest(self, target: str) -> Iterator[bytes]:
        """What comes behind it."""
        origin = self._origin
        start, read = origin.frames.end, origin.read
        left = origin.size - start
        if left < 8:
            return iter(())
        return convert.convert(lambda offset, n: read(start + offset, n), left, _written(origin), target)


def _copied(origin: Source, plan: Plan) -> str:
    """The SOP Instance UID of what is made so, '' where nothing is lost."""
    lossy = (plan.recode.target, *plan.recode.lossy) if plan.writes.lossy else ()
    grey = ("grey",) if plan.greyed else ()
    return copy_of(origin.scan, *lossy, *grey) if lossy or grey else ""


def _elements(syntax: str) -> str:
    """How the elements of an object are written, pixel data left aside."""
    return EXPLICIT_LE if transfer_syntax(syntax).encapsulated else syntax


def _written(origin: Source) -> str:
    """As `_elements`, by what stands there: some objects are not in the encoding of their transfer syntax."""
    encoding = origin.scan.encoding
    return (IMPLICIT_LE if encoding.implicit else EXPLICIT_LE) if encoding.little else EXPLICIT_BE


def _headed(target: str) -> str:
    return EXPLICIT_LE if transfer_syntax(target).deflated else target


class _Collected:
    """All frames of an object, in memory or a file."""

    def __init__(self, frames: Iterable[bytes]) -> None:
        self.lengths: list[int] = []
        self._file = SpooledTemporaryFile(max_size=_HELD)  # noqa: SIM115 - closed by its holder
        try:
            for frame in frames:
                self._file.write(frame)
                self.lengths.append(len(frame))
        except BaseException:
            self._file.close()
            raise
        self.size = sum(self.lengths)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return (self._file.read(length) for length in self.lengths)

    def close(self) -> None:
        self._file.close()


def _encapsulated(made: _Collected | None, frames: Iterator[bytes]) -> Iterator[bytes]:
    """A fragment a frame (PS3.5 A.4)."""
    table = _table(made.lengths) if made is not None else b""
    yield struct.pack("<HH2sHI", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, b"OB", 0, 0xFFFFFFFF)
    yield _ITEM + struct.pack("<I", len(table)) + table
    for frame in frames:
        yield _ITEM + struct.pack("<I", len(frame) + len(frame) % 2)
        yield frame + b"\0" * (len(frame) % 2)
    yield _DELIMITER


def _table(lengths: list[int]) -> bytes:
    offsets, at = [], 0
    for length in lengths:
        offsets.append(at)
        at += 8 + length + length % 2
    return struct.pack(f"<{len(offsets)}I", *offsets) if at <= 0xFFFFFFFF else b""


def _native(pixels: Pixels, target: str, frames: Iterator[bytes]) -> Iterator[bytes]:
    """One value, samples little or big endian."""
    facts = transfer_syntax(target)
    length = (pixels.frame_bits * pixels.frames + 7) // 8
    if length + length % 2 >= 0xFFFFFFFF:
        raise Refused(Reason.TOO_LARGE, "the pixel data is too long to be left uncompressed")
    yield _native_header(PixelData(PIXEL_DATA, "OW" if pixels.allocated > 8 else "OB", 0, length + length % 2), target)
    width = pixels.allocated // 8 if not facts.little and pixels.allocated in (16, 32, 64) else 1
    for frame in aligned(frames, pixels.frame_bits):
        yield swapped_words(width, frame) if width > 1 else frame
    yield b"\0" * (length % 2)


def aligned(frames: Iterator[bytes], bits: int) -> Iterator[bytes]:
    """Frames of single bits follow each other without a gap (PS3.5 8.1.1)."""
    if bits % 8 == 0:
        yield from frames
        return
    held = shift = 0
    for frame in frames:
        held |= int.from_bytes(frame, "little") << shift
        shift += bits
        yield held.to_bytes((shift + 7) // 8, "little")[: shift // 8]
        held, shift = held >> shift // 8 * 8, shift % 8
    yield held.to_bytes((shift + 7) // 8, "little")


def _native_header(pixel: PixelData, target: str) -> bytes:
    facts = transfer_syntax(target)
    order, group, element = "<" if facts.little else ">", pixel.tag >> 16, pixel.tag & 0xFFFF
    if facts.implicit:
        return struct.pack(f"{order}HHI", group, element, pixel.length)
    return struct.pack(f"{order}HH2sHI", group, element, pixel.vr.encode("ascii"), 0, pixel.length)
