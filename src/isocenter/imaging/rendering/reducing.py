"""Frames decoded at a part of their resolution, where that is much cheaper and no more is wanted. Heavy: for the worker
processes.

JPEG 2000 and HTJ2K hold each frame in halved resolutions, JPEG gives eighths of its blocks.
"""

import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile

from isocenter.imaging import codestreams
from isocenter.imaging.arrays import Array
from isocenter.imaging.codecs import STREAM, codec
from isocenter.imaging.codestreams import Stream
from isocenter.imaging.colour import after_decoding
from isocenter.imaging.decoding import decoded, fitted, hold
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.stored import Stored, fetched

Decoder: TypeAlias = Callable[[bytes, Stream, int], tuple[Array, int] | None]

_LEAST: Final = 512 * 512
"""Pixels of a frame from which on it is worth it."""
_MOST: Final = 32
_KEPT: Final = 32 << 20
"""Bytes of a decoded frame that is kept for the next request at most; of these there are two."""
_SMALL: Final = 1 << 20
"""Bytes of those of which more are kept."""


class Frame:
    """A frame as it is stored. Two of one name are one."""

    def __init__(self, name: str, data: memoryview, stored: Stored | None = None) -> None:
        self.name, self._data, self._stored = name, data, stored

    def taken(self) -> bytes | memoryview:
        """Its bytes, which it no longer holds then."""
        stored, data = self._stored, self._data
        self._stored, self._data = None, memoryview(b"")
        return data if stored is None else fetched(stored)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def reduced_again(
    frame: Frame, syntax: str, pixels: Pixels, scale: float, threads: int = 1
) -> tuple[Array, Pixels, int]:
    """As `reduced`, for a frame that may be asked for once more: who looks at an image changes its window."""
    form = codec(syntax)
    if not frame.name or form is None or form.frame != STREAM or pixels.decoded_bytes > _KEPT:
        return reduced(frame.taken(), syntax, pixels, scale, threads)
    kept = _kept if pixels.decoded_bytes > _SMALL else _kept_small
    array, now, factor = kept(frame, syntax, pixels, 1 / _factor(scale), threads)
    array.flags.writeable = False
    return array, now, factor


@lru_cache(maxsize=2)
def _kept(frame: Frame, syntax: str, pixels: Pixels, scale: float, threads: int) -> tuple[Array, Pixels, int]:
    return reduced(frame.taken(), syntax, pixels, scale, threads)


@lru_cache(maxsize=16)
def _kept_small(frame: Frame, syntax: str, pixels: Pixels, scale: float, threads: int) -> tuple[Array, Pixels, int]:
    return reduced(frame.taken(), syntax, pixels, scale, threads)


def reduced(
    data: bytes | bytearray | memoryview, syntax: str, pixels: Pixels, scale: float, threads: int = 1
) -> tuple[Array, Pixels, int]:
    """A frame, what describes it, and how many of its pixels each way have become one. `scale` is the size of the
    picture divided by the frame's: there is at least a pixel for each of the picture's. Raises as `decoded`."""
    factor = _factor(scale)
    form = codec(syntax)
    if factor > 1 and form is not None and form.frame == STREAM and pixels.rows * pixels.columns >= _LEAST:
        stream = codestreams.described(data)
        decoder = _DECODERS.get(stream.coder)
        if decoder is not None and _plain(pixels, stream):
            hold(stream, pixels)
            found = _tried(decoder, bytes(data), stream, factor)
            if found is not None:
                return _described(*found, stream, pixels)
    array, now = decoded(data, syntax, pixels, threads)
    return array, now, 1


def _tried(decoder: Decoder, data: bytes, stream: Stream, factor: int) -> tuple[Array, int] | None:
    """What a decoder makes of it at this or a higher resolution, None where it gives up: tiles may be too small for it,
    and the frame's own decoder may be more patient."""
    while factor > 1:
        try:
            found = decoder(data, stream, factor)
        except (OSError, RuntimeError, SyntaxError):
            found = None
        if found is not None:
            return found
        factor //= 2
    return None


def _factor(scale: float) -> int:
    factor = 1
    while factor < _MOST and scale * factor * 2 <= 1:
        factor *= 2
    return factor


def _plain(pixels: Pixels, stream: Stream) -> bool:
    """Samples can be averaged: numbers of a palette can't, nor cells with bits of their own above those stored."""
    whole = pixels.kind == "integer" and pixels.photometric != "PALETTE COLOR" and stream.precision <= pixels.high + 1
    return whole and (stream.coder == codestreams.JPEG or not stream.subsampled)


def _described(array: Array, factor: int, stream: Stream, pixels: Pixels) -> tuple[Array, Pixels, int]:
    smaller = pixels._replace(rows=array.shape[0], columns=array.shape[1])
    found = fitted(array, stream._replace(rows=smaller.rows, columns=smaller.columns), smaller)
    return (
        found,
        smaller._replace(photometric=after_decoding(pixels.photometric, pixels.samples, stream), planar=0),
        factor,
    )


def _jpeg(data: bytes, stream: Stream, factor: int) -> tuple[Array, int] | None:
    """By the library's scaled inverse transform, where it takes colours as we do."""
    if stream.precision != 8 or stream.samples not in (1, 3) or (stream.samples == 3 and stream.transform is None):
        return None
    factor = min(factor, 8)
    with JpegImageFile(io.BytesIO(data)) as image:
        wanted = (max(stream.columns // factor, 1), max(stream.rows // factor, 1))
        image.draft("L" if stream.samples == 1 else "RGB", wanted)
        made = np.asarray(image if stream.samples == 1 else image.convert("RGB"))
    return _checked(made, stream, factor)


def _jpeg_2000(data: bytes, stream: Stream, factor: int) -> tuple[Array, int] | None:
    """By OpenJPEG, which unlike OpenJPH keeps what swings over the ends of the range within it."""
    factor = min(factor, 1 << stream.levels)
    if factor == 1 or stream.precision > 16 or (stream.samples != 1 and (stream.precision != 8 or stream.signed)):
        return None
    with Jpeg2KImageFile(io.BytesIO(codestreams.codestream(data))) as image:
        image.reduce = factor.bit_length() - 1
        image.load()
        made: Any = np.asarray(image)
    if stream.precision > 8:
        # it comes moved up to the top of 16 bits, the middle of the range of signed samples at the middle of that
        made = made.astype(np.uint16) >> (16 - stream.precision)
    if stream.signed:
        half = 1 << stream.precision - 1
        made = made.astype(np.int32) - half
        made = made.astype(np.int16 if stream.precision > 8 else np.int8)
    return _checked(made, stream, factor)


def _checked(made: Any, stream: Stream, factor: int) -> tuple[Array, int] | None:
    """None where the library made something else of it: it holds fewer resolutions, say."""
    rows, columns = -(-stream.rows // factor), -(-stream.columns // factor)
    array: Array = made
    return (array, factor) if array.shape[:2] == (rows, columns) else None


_DECODERS: Final[Mapping[str, Decoder]] = {
    codestreams.JPEG: _jpeg,
    codestreams.JPEG_2000: _jpeg_2000,
    codestreams.HTJ2K: _jpeg_2000,
}
