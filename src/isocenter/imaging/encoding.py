"""From an array to a frame as it is stored. Heavy: for the worker processes."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import imagecodecs
import numpy as np

from isocenter.dicom.uids import JPEG_EXTENDED
from isocenter.errors import Reason, Refused
from isocenter.imaging.arrays import Array, to_native
from isocenter.imaging.codecs import can_write, codec
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy

_SIZ: Final = b"\xff\x51"


def encoded(array: Array, pixels: Pixels, syntax: str, lossy: Lossy) -> bytes:
    """A frame of `syntax`; `pixels` describes the array. Raises Refused, and whatever a codec raises."""
    form = codec(syntax)
    if form is None or form.writes is None or not can_write(syntax, pixels):
        raise Refused(Reason.NOT_ACCEPTABLE, "such pixels can't be written in this transfer syntax")
    return _ENCODERS[form.writes.coder](array, pixels, syntax, lossy if form.writes.lossy else None)


def depth_of(array: Array, pixels: Pixels) -> int:
    """How many bits a coder is told: those stored, or all where others are set too (overlays of old, PS3.5 8.1.2)."""
    if pixels.stored == pixels.allocated:
        return pixels.allocated
    half = 1 << pixels.stored - 1
    low, high = (-half, half - 1) if pixels.signed else (0, 2 * half - 1)
    return pixels.stored if low <= int(array.min()) and int(array.max()) <= high else pixels.allocated


def _narrowed(array: Array, depth: int) -> Array:
    """In as few bytes as suffice: coders go by the type."""
    narrow = np.dtype(f"{array.dtype.kind}{1 if depth <= 8 else 2 if depth <= 16 else 4}")
    return np.ascontiguousarray(array.astype(narrow) if narrow.itemsize < array.dtype.itemsize else array)


def _unsigned(array: Array, pixels: Pixels) -> tuple[Array, int]:
    """For coders without negative numbers: the bits of all of a cell where there are any."""
    depth = depth_of(array, pixels)
    if pixels.signed:
        if int(array.min()) < 0:
            depth = pixels.allocated
        array = array.view(np.dtype(f"<u{array.dtype.itemsize}"))
    return _narrowed(array, depth), depth


def _bytes(made: Any) -> bytes:
    return bytes(made)


# --- coders


def _native(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    return to_native(array, pixels)


def _deflated(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(to_native(array, pixels)) + deflater.flush()


def _run_lengths(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    cell = array.dtype.itemsize
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(pixels.rows, pixels.columns, pixels.samples, cell)
    segments = []
    for sample in range(pixels.samples):
        for byte in range(cell - 1, -1, -1):
            segment = _bytes(imagecodecs.packbits_encode(planes[:, :, sample, byte].copy(), axis=-1))
            segments.append(segment + b"\0" * (len(segment) % 2))
    starts, at = [], 64
    for segment in segments:
        starts.append(at)
        at += len(segment)
    header = np.zeros(16, "<u4")
    header[0] = len(segments)
    header[1 : 1 + len(starts)] = starts
    return header.tobytes() + b"".join(segments)


def _jpeg(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    assert lossy is not None
    if syntax == JPEG_EXTENDED and pixels.allocated > 8:
        clipped = np.clip(array, 0, (1 << min(pixels.stored, 12)) - 1).astype(np.uint16)
        return _bytes(imagecodecs.jpeg8_encode(clipped, lossy.quality, bitspersample=12))
    if pixels.samples == 1:
        return _bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(array), lossy.quality))
    held = "RGB" if pixels.photometric == "RGB" else "YCBCR"
    made = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(array), lossy.quality, colorspace=held, outcolorspace="YCBCR", subsampling="422"
    )
    return _bytes(made)


def _jpeg_lossless(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    cells, depth = _unsigned(array, pixels)
    colour = "RGB" if pixels.samples == 3 else None
    made = imagecodecs.jpeg8_encode(
        cells, lossless=True, predictor=1, bitspersample=max(depth, 2), colorspace=colour, outcolorspace=colour
    )
    return _bytes(made)


def _jpeg_ls(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    cells, _ = _unsigned(array, pixels)
    return _bytes(imagecodecs.jpegls_encode(cells, level=lossy.near if lossy else 0))


def _jpeg_2000(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    depth = depth_of(array, pixels)
    made = imagecodecs.jpeg2k_encode(
        _narrowed(array, depth),
        level=lossy.psnr if lossy else 0,
        codecformat="J2K",
        bitspersample=depth,
        reversible=lossy is None,
        mct=pixels.photometric == "RGB",
        numthreads=1,
    )
    return _bytes(made)


def _high_throughput(array: Array, pixels: Pixels, syntax: str, lossy: Lossy | None) -> bytes:
    """With tile-part lengths (TLM) and in the order RPCL, as one of the lossless syntaxes wants it and none minds."""
    depth = depth_of(array, pixels)
    cells = _narrowed(array, depth)
    rgb = pixels.photometric == "RGB"
    if lossy is not None:
        return _bytes(imagecodecs.htj2k_encode(cells, level=lossy.step, reversible=False, tlm=True, rgb=rgb))
    width = 8 * cells.dtype.itemsize
    if depth < width and not pixels.signed:
        # the coder takes all bits of the type for the depth; it is told apart by moving the middle of the range to
        # where it expects it, and the header is put right afterwards
        cells = cells + np.array((1 << width - 1) - (1 << depth - 1), cells.dtype)
    made = bytearray(imagecodecs.htj2k_encode(cells, reversible=True, tlm=True, rgb=rgb))
    return _bytes(_with_depth(made, depth) if depth < width else made)


def _with_depth(stream: bytearray, depth: int) -> bytearray:
    """SIZ with another depth for each component (ISO/IEC 15444-1 A.5.1). That of the coefficients (QCD) stays: it is
    theirs that decoders go by."""
    at = stream.index(_SIZ)
    for component in range(int.from_bytes(stream[at + 38 : at + 40], "big")):
        place = at + 40 + 3 * component
        stream[place] = stream[place] & 0x80 | depth - 1
    return stream


_ENCODERS: Final[Mapping[str, Callable[[Array, Pixels, str, Lossy | None], bytes]]] = {
    "native": _native,
    "uncompressed": _native,
    "deflated": _deflated,
    "rle": _run_lengths,
    "jpeg": _jpeg,
    "jpeg-lossless": _jpeg_lossless,
    "jpeg-ls": _jpeg_ls,
    "j2k": _jpeg_2000,
    "htj2k": _high_throughput,
}
