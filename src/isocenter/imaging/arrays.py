"""Native frames as arrays and back (PS3.5 8.1). Heavy: for the worker processes.

An array is (rows, columns) or (rows, columns, samples), an element a whole pixel cell: bits outside of those stored are
kept as they are.
"""

import numpy as np
from numpy.typing import NDArray

from isocenter.errors import Reason, Refused
from isocenter.imaging.pixels import Pixels

Array = NDArray[np.generic]


def dtype_of(pixels: Pixels) -> np.dtype[np.generic]:
    """The type of a pixel cell."""
    kind = "f" if pixels.kind != "integer" else "i" if pixels.signed else "u"
    return np.dtype(f"<{kind}{pixels.cell}")


def from_native(data: bytes | bytearray | memoryview, pixels: Pixels) -> Array:
    """The array of a native frame; where pixels share chrominance, every pixel gets its own (YBR_FULL)."""
    if len(data) < pixels.frame_bytes:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the frame is shorter than it should be")
    rows, columns, samples = pixels.rows, pixels.columns, pixels.samples
    if pixels.allocated == 1:
        return np.unpackbits(np.frombuffer(data, np.uint8), count=rows * columns * samples, bitorder="little").reshape(
            _shape(pixels)
        )
    if pixels.shares_chrominance:
        return _unshared(data, pixels)
    count = rows * columns * samples
    cells = (
        _triples(data, count, pixels.signed) if pixels.allocated == 24 else np.frombuffer(data, dtype_of(pixels), count)
    )
    if samples > 1 and pixels.planar:
        return np.ascontiguousarray(cells.reshape(samples, rows, columns).transpose(1, 2, 0))
    return cells.reshape(_shape(pixels))


def _shape(pixels: Pixels) -> tuple[int, ...]:
    return (pixels.rows, pixels.columns) if pixels.samples == 1 else (pixels.rows, pixels.columns, pixels.samples)


def _triples(data: bytes | bytearray | memoryview, count: int, signed: bool) -> Array:
    """Samples of three bytes, with a fourth."""
    cells = np.zeros((count, 4), np.uint8)
    cells[:, 1:] = np.frombuffer(data, np.uint8, count * 3).reshape(count, 3)
    return cells.view("<i4" if signed else "<u4").reshape(count) >> 8


def _unshared(data: bytes | bytearray | memoryview, pixels: Pixels) -> Array:
    """YBR_FULL_422: two luminances, then the chrominances of both (PS3.3 C.7.6.3.1.2)."""
    count = pixels.rows * pixels.columns
    if pixels.photometric == "YBR_PARTIAL_420" or count % 2:
        raise Refused(Reason.NOT_ACCEPTABLE, f"native {pixels.photometric} of this size is not decoded")
    pairs = np.frombuffer(data, dtype_of(pixels), count * 2).reshape(count // 2, 4)
    full = np.empty((count // 2, 2, 3), pairs.dtype)
    full[:, :, 0] = pairs[:, :2]
    full[:, :, 1:] = pairs[:, None, 2:]
    return full.reshape(pixels.rows, pixels.columns, 3)


def to_native(array: Array, pixels: Pixels) -> bytes:
    """The native frame of an array: samples of a pixel together."""
    if pixels.allocated == 1:
        return np.packbits(array.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    cells = np.ascontiguousarray(array, dtype_of(pixels))
    if pixels.allocated == 24:
        return cells.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return cells.tobytes()
