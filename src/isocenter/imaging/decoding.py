"""From a stored frame to an array. Heavy: for the worker processes."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import imagecodecs
import numpy as np

from isocenter.errors import Reason, Refused
from isocenter.imaging import codestreams
from isocenter.imaging.arrays import Array, dtype_of, from_native
from isocenter.imaging.codecs import DEFLATED, NATIVE, RLE, UNCOMPRESSED, codec
from isocenter.imaging.codestreams import Stream
from isocenter.imaging.colour import after_decoding, is_ybr
from isocenter.imaging.pixels import Pixels

_RLE_HEADER: Final = 64
_EOI: Final = b"\xff\xd9"


def decoded(
    data: bytes | bytearray | memoryview, syntax: str, pixels: Pixels, threads: int = 1
) -> tuple[Array, Pixels]:
    """The array of one frame, and what describes it now. Raises Refused, and whatever a codec raises.

    With `threads` a slow codec uses so many: for a frame that somebody waits for, not where all workers have one."""
    form = codec(syntax)
    if form is None:
        raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, "pixel data in this transfer syntax is not decoded")
    if form.frame in (NATIVE, UNCOMPRESSED):
        return from_native(data, pixels), _now(pixels, None)
    if form.frame == DEFLATED:
        return from_native(_inflated(data, pixels), pixels), _now(pixels, None)
    if form.frame == RLE:
        return _run_lengths(bytes(data), pixels), _now(pixels, None)
    stream = codestreams.described(data)
    hold(stream, pixels)
    if stream.coder == codestreams.JPEG_2000:
        array = _jpeg_2000(bytes(data), stream, pixels, threads)
    else:
        array = _DECODERS[stream.coder](bytes(data), stream, pixels)
    return fitted(array, stream, pixels), _now(pixels, stream)


def _now(pixels: Pixels, stream: Stream | None) -> Pixels:
    return pixels._replace(photometric=after_decoding(pixels.photometric, pixels.samples, stream), planar=0)


def hold(stream: Stream, pixels: Pixels) -> None:
    """Hold what a stream claims against what the object says, before anything is decoded."""
    if stream.coder == codestreams.JPEG_XL:
        return
    if (stream.rows, stream.columns, stream.samples) != (pixels.rows, pixels.columns, pixels.samples):
        raise Refused(Reason.CANNOT_UNDERSTAND, "the compressed frame has another size than the object says")
    if stream.precision > pixels.allocated:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the compressed frame is deeper than the object says")


def fitted(array: Array, stream: Stream, pixels: Pixels) -> Array:
    """A decoder's array as pixel cells: right type, negative numbers negative."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    shape = (pixels.rows, pixels.columns, pixels.samples)[: 3 if pixels.samples > 1 else 2]
    if array.shape != shape or array.dtype.kind not in "ui":
        raise Refused(Reason.CANNOT_UNDERSTAND, "the compressed frame has another size than the object says")
    wanted, bits = dtype_of(pixels), stream.precision or pixels.stored
    if array.dtype.itemsize > wanted.itemsize and stream.coder == codestreams.JPEG_XL:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the compressed frame is deeper than the object says")
    signed = array.dtype.kind == "i"
    if signed == pixels.signed:
        return array.astype(wanted, copy=False)
    if signed:
        # the stream says signed, the object does not: the same bits, read as the object has them
        return (array.astype(np.int64) & ((1 << bits) - 1)).astype(wanted)
    spare = 8 * wanted.itemsize - bits
    return np.right_shift(np.left_shift(array.astype(wanted), spare), spare)


# --- streams


def _jpeg(data: bytes, stream: Stream, pixels: Pixels) -> Array:
    if stream.samples == 3:
        held = "YCBCR" if is_ybr(pixels.photometric, stream) else "RGB"
        return _array(imagecodecs.jpeg8_decode(data, colorspace=held, outcolorspace="RGB"))
    return _array(imagecodecs.jpeg8_decode(data))


def _jpeg_lossless(data: bytes, stream: Stream, pixels: Pixels) -> Array:
    try:
        if stream.samples == 3:
            return _array(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))
        return _array(imagecodecs.jpeg8_decode(data))
    except RuntimeError:
        # libjpeg-turbo is strict about predictors and point transforms where this one is not
        return _array(imagecodecs.jpegsof3_decode(data))


def _jpeg_ls(data: bytes, stream: Stream, pixels: Pixels) -> Array:
    # where the end is missing CharLS searches for it for seconds
    whole = data if data.rstrip(b"\0").endswith(_EOI) else data + _EOI
    return _array(imagecodecs.jpegls_decode(whole))


def _jpeg_2000(data: bytes, stream: Stream, pixels: Pixels, threads: int) -> Array:
    return _array(imagecodecs.jpeg2k_decode(codestreams.codestream(data), numthreads=threads))


def _high_throughput(data: bytes, stream: Stream, pixels: Pixels) -> Array:
    held = codestreams.codestream(data)
    if stream.transform and not stream.reversible:
        # OpenJPH, as it is wrapped, gets colours of the irreversible transform wrong; OpenJPEG does not
        return _array(imagecodecs.jpeg2k_decode(held, numthreads=1))
    try:
        return _array(imagecodecs.htj2k_decode(held, planar=False))
    except RuntimeError:
        # OpenJPH refuses some streams that OpenJPEG reads
        return _array(imagecodecs.jpeg2k_decode(held, numthreads=1))


def _jpeg_xl(data: bytes, stream: Stream, pixels: Pixels) -> Array:
    return _array(imagecodecs.jpegxl_decode(data, numthreads=1))


def _array(decoded: Any) -> Array:
    array: Array = decoded
    return array


_DECODERS: Final[Mapping[str, Callable[[bytes, Stream, Pixels], Array]]] = {
    codestreams.JPEG: _jpeg,
    codestreams.JPEG_LOSSLESS: _jpeg_lossless,
    codestreams.JPEG_LS: _jpeg_ls,
    codestreams.HTJ2K: _high_throughput,
    codestreams.JPEG_XL: _jpeg_xl,
}


# --- the others


def _inflated(data: bytes | bytearray | memoryview, pixels: Pixels) -> bytes:
    """PS3.5 A.4.13: each frame a raw deflate stream."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, pixels.frame_bytes)


def _run_lengths(data: bytes, pixels: Pixels) -> Array:
    """PS3.5 annex G: a segment for each byte of each sample, the highest first."""
    cell, pixels_of = pixels.allocated // 8, pixels.rows * pixels.columns
    if pixels.allocated not in (8, 16, 24, 32) or pixels.kind != "integer":
        raise Refused(Reason.CANNOT_UNDERSTAND, "RLE of samples that are no whole bytes")
    header = np.frombuffer(data[:_RLE_HEADER], "<u4")
    count = pixels.samples * cell
    if len(header) != 16 or int(header[0]) != count or count > 15:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the RLE header does not fit the object")
    ends = [*(int(start) for start in header[2 : count + 1]), len(data)]
    planes = np.zeros((pixels_of, pixels.samples, pixels.cell), np.uint8)
    for index, (start, end) in enumerate(zip(header[1 : count + 1], ends, strict=True)):
        # runs that begin behind the last row are padding, which some write more of than allowed
        plane = imagecodecs.packbits_decode(data[int(start) : min(end, int(start) + 2 * pixels_of + 2)])
        if not _RLE_HEADER <= start < end or len(plane) < pixels_of:
            raise Refused(Reason.CANNOT_UNDERSTAND, "an RLE segment is too short")
        planes[:, index // cell, cell - 1 - index % cell] = np.frombuffer(plane, np.uint8, pixels_of)
    shape = (pixels.rows, pixels.columns, pixels.samples)[: 3 if pixels.samples > 1 else 2]
    return planes.view(dtype_of(pixels)).reshape(shape)
