"""That nothing was lost: a digest of the samples that an object's frames decode to, whatever they are stored in.

The digest is SHA-256 over all frames decoded, one after the other: samples as the data set describes them, little
endian, those of a pixel together (PS3.5 8.1 with Planar Configuration 0). Before it stands in which colours the samples
are: `RGB 5f2c...`. Two objects with the same digest show the same, bit for bit; anyone with a decoder can make it.
"""

import hashlib
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Final, Literal, TypeAlias

from isocenter.dicom.headers import Read
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging.engine import Engine, Recoded
from isocenter.imaging.frames import FrameBytes
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import source
from isocenter.imaging.recode import Recode
from isocenter.imaging.transcoding import Inflated

_SAMPLED: Final = 8192
"""Samples of a frame that tell how far a copy is off."""
_Format: TypeAlias = Literal["B", "b", "H", "h", "I", "i"]
_FORMATS: Final[Mapping[tuple[int, bool], _Format]] = {
    (1, False): "B",
    (1, True): "b",
    (2, False): "H",
    (2, True): "h",
    (4, False): "I",
    (4, True): "i",
}


def pixel_digest(engine: Engine, read: Read, size: int, syntax: str) -> str:
    """The digest of the data set of `size` bytes behind `read(offset, n)`. Raises Refused as `Engine.recoded`;
    NOT_ACCEPTABLE where there is no pixel data, or fewer frames than the object says."""
    digest, photometric = hashlib.sha256(), ""
    with closing(_decoded(engine, read, size, syntax)) as frames:
        for frame in frames:
            if photometric not in ("", frame.pixels.photometric):
                raise Refused(Reason.CANNOT_UNDERSTAND, "the frames of the object differ in colour")
            photometric = frame.pixels.photometric
            digest.update(frame.data)
    return f"{photometric} {digest.hexdigest()}"


def signal_to_noise(engine: Engine, one: tuple[Read, int, str], other: tuple[Read, int, str]) -> float:
    """How near the samples of the second object come to those of the first, in decibels of the range of the stored bits
    (PSNR), by a lattice of samples of each frame. Infinite where they are the same. Objects: `read(offset, n)`, size,
    transfer syntax.

    Raises Refused where either can't be decoded; NOT_ACCEPTABLE where they don't have the same frames and colours."""
    squares, count, range_ = 0, 0, 1
    with closing(_decoded(engine, *one)) as first, closing(_decoded(engine, *other)) as second:
        for before, after in zip(first, second, strict=True):
            if _shape(before.pixels) != _shape(after.pixels):
                raise Refused(Reason.NOT_ACCEPTABLE, "the copy has other frames or colours")
            range_ = (1 << before.pixels.stored) - 1
            pairs = zip(_lattice(before), _lattice(after), strict=True)
            errors = [(a - b) ** 2 for a, b in pairs]
            squares, count = squares + sum(errors), count + len(errors)
    return 10 * math.log10(range_**2 * count / squares) if squares else math.inf


def _decoded(engine: Engine, read: Read, size: int, syntax: str) -> Generator[Recoded]:
    with ExitStack() as stack:
        if transfer_syntax(syntax).deflated:
            inflated = stack.enter_context(Inflated(read, size))
            read, size, syntax = inflated.read, inflated.size, EXPLICIT_LE
        frames = _frames(read, size, syntax)
        engine.check(frames.pixels)
        ahead = engine.all_recoded(Recode(frames.syntax, EXPLICIT_LE, frames.pixels), frames)
        stack.callback(ahead.close)
        yield from ahead


def _frames(read: Read, size: int, syntax: str) -> FrameBytes:
    origin = source(read, size, syntax)
    if origin is None:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has no pixel data")
    if origin.frames.count < origin.frames.pixels.frames:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has fewer frames than it says")
    return origin.frames


def _shape(pixels: Pixels) -> tuple[object, ...]:
    return pixels.rows, pixels.columns, pixels.samples, pixels.cell, pixels.signed, pixels.photometric


def _lattice(frame: Recoded) -> Iterator[int]:
    """Samples of a decoded frame, at equal distances."""
    pixels = frame.pixels
    form = _FORMATS.get((pixels.cell, pixels.signed))
    if form is None or pixels.kind != "integer" or pixels.allocated not in (8, 16, 32):
        raise Refused(Reason.NOT_ACCEPTABLE, "samples of this kind are not compared")
    view = memoryview(bytes(frame.data)).cast(form)  # little endian, as this machine is
    step = max(len(view) // _SAMPLED, 1) | 1  # odd, so that it does not walk along a column
    return iter(view[::step].tolist())
