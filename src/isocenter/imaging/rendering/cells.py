"""Pixel cells to grey or colours of 8 bits. Heavy: for the worker processes."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isocenter.errors import Reason, Refused
from isocenter.imaging.arrays import Array
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.presentation import Presentation
from isocenter.imaging.rendering.tables import Bytes, Greys, grey, grey_table, modality_values, palette_table

_TABLED: Final = 16
"""Bits of a stored value up to which there is a table for all values."""
_PART: Final = 1 << 15
"""Pixels that are looked up at once."""


def shown(array: Array, pixels: Pixels, presentation: Presentation) -> Bytes:
    """The picture of a decoded frame: (rows, columns) of grey, or (rows, columns, 3) of red, green and blue."""
    if pixels.samples > 1:
        return _colours(array, pixels)
    if pixels.photometric == "PALETTE COLOR":
        if presentation.palette is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "the image has no palette")
        bits = min(pixels.stored, _TABLED)
        table = palette_table(presentation.palette, bits, pixels.signed)
        found: Bytes = table[_patterns(array, pixels) & ((1 << bits) - 1)]
        return found
    return _greys(array, pixels, presentation)


def _patterns(array: Array, pixels: Pixels) -> NDArray[Any]:
    """The stored bits of each cell as a number from 0 (PS3.5 8.1.1)."""
    cells: NDArray[Any] = array.view(np.dtype(f"u{array.dtype.itemsize}")) if array.dtype.kind == "i" else array
    below = pixels.high + 1 - pixels.stored
    if below > 0:
        cells = cells >> below
    if pixels.stored + max(below, 0) < 8 * array.dtype.itemsize or below > 0:
        cells = cells & np.array((1 << pixels.stored) - 1, cells.dtype)
    return cells


def _greys(array: Array, pixels: Pixels, presentation: Presentation) -> Bytes:
    if pixels.kind != "integer" or pixels.stored > _TABLED:
        return _untabled(array, pixels, presentation)
    patterns = _patterns(array, pixels)
    greys = _scaled(presentation, lambda: _extremes(patterns, pixels, presentation))
    table = grey_table(greys, pixels.stored, pixels.signed, presentation.padding)
    palette = presentation.palette
    if palette is None:
        return _looked_up(table, patterns)
    found: Bytes = _supplemented(table, pixels, presentation)[patterns]
    return found


def _looked_up(table: Bytes, patterns: NDArray[Any]) -> Bytes:
    """`table[patterns]`, part by part: numpy looks up by 64 bits, which are to stay in the processor's cache."""
    flat = patterns.reshape(-1)
    made = np.empty(flat.size, np.uint8)
    index = np.empty(min(_PART, flat.size), np.intp)
    for start in range(0, flat.size, _PART):
        part = index[: min(_PART, flat.size - start)]
        np.copyto(part, flat[start : start + _PART])
        table.take(part, mode="clip", out=made[start : start + _PART])  # nothing is clipped; it needs no check
    return made.reshape(patterns.shape)


def _supplemented(table: Bytes, pixels: Pixels, presentation: Presentation) -> Bytes:
    """Grey below the first entry of the supplemental palette, its colours from there on."""
    palette = presentation.palette
    assert palette is not None
    colours = palette_table(palette, pixels.stored, pixels.signed)
    stored = np.arange(1 << pixels.stored, dtype=np.int64)
    if pixels.signed:
        half = 1 << pixels.stored - 1
        stored = (stored ^ half) - half
    return np.where((stored >= palette.red.first)[:, None], colours, table[:, None])


def _scaled(presentation: Presentation, extremes: Any) -> Greys:
    low = high = 0.0
    if presentation.window is None and presentation.table is None:
        low, high = (0.0, presentation.full) if presentation.full and presentation.modality.identity else extremes()
    return Greys(
        presentation.modality,
        presentation.window,
        presentation.table,
        low,
        high,
        presentation.inverse,
        presentation.output,
    )


def _extremes(patterns: NDArray[Any], pixels: Pixels, presentation: Presentation) -> tuple[float, float]:
    """The least and the greatest modality value in the frame, padding aside."""
    stored = patterns
    if pixels.signed or presentation.padding is not None:
        stored = patterns.astype(np.int32)
        if pixels.signed:
            half = 1 << pixels.stored - 1
            stored = (stored ^ half) - half
    return _range(stored, presentation)


def _range(stored: NDArray[Any], presentation: Presentation) -> tuple[float, float]:
    if presentation.padding is not None:
        first, last = presentation.padding
        stored = stored[(stored < first) | (stored > last)]
    if stored.dtype.kind == "f":
        stored = stored[np.isfinite(stored)]
    if not stored.size:
        return 0.0, 0.0
    ends = np.array([stored.min(), stored.max()])
    if presentation.modality.table is not None:
        ends = np.unique(stored)  # a table need not rise
    values = modality_values(ends, presentation.modality)
    return float(values.min()), float(values.max())


def _untabled(array: Array, pixels: Pixels, presentation: Presentation) -> Bytes:
    stored: NDArray[Any] = array
    if pixels.kind == "integer":
        stored = _patterns(array, pixels).astype(np.int64)
        if pixels.signed:
            half = 1 << pixels.stored - 1
            stored = (stored ^ half) - half
    made = grey(stored, _scaled(presentation, lambda: _range(stored, presentation)))
    if presentation.padding is not None and pixels.kind == "integer":
        made[(stored >= presentation.padding[0]) & (stored <= presentation.padding[1])] = 0
    return made


# --- colours


def _colours(array: Array, pixels: Pixels) -> Bytes:
    eights = _eights(array, pixels)
    photometric = pixels.photometric
    if pixels.samples == 4:
        if photometric == "CMYK":
            return np.asarray(Image.fromarray(eights, "CMYK").convert("RGB"))
        if photometric == "ARGB":
            return np.ascontiguousarray(eights[:, :, 1:])
        return np.ascontiguousarray(eights[:, :, :3])
    if pixels.samples == 2:
        return np.ascontiguousarray(eights[:, :, 0])
    if photometric.startswith("YBR_PARTIAL"):
        return _partial(eights)
    mode = "YCbCr" if photometric.startswith("YBR") else "HSV" if photometric == "HSV" else ""
    if mode:
        return np.asarray(Image.frombytes(mode, (eights.shape[1], eights.shape[0]), eights.tobytes()).convert("RGB"))
    return eights


def _eights(array: Array, pixels: Pixels) -> Bytes:
    """Samples of 8 bits."""
    if pixels.kind != "integer":
        reals = array.astype(np.float64)
        low, high = float(reals.min()), float(reals.max())
        return ((reals - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)
    cells = _patterns(array, pixels)
    if pixels.signed:
        cells = cells ^ np.array(1 << pixels.stored - 1, cells.dtype)
    if pixels.stored > 8:
        cells = cells >> (pixels.stored - 8)
    elif pixels.stored < 8:
        cells = cells.astype(np.uint16) * 255 // ((1 << pixels.stored) - 1)
    return np.ascontiguousarray(cells.astype(np.uint8, copy=False))


def _partial(eights: Bytes) -> Bytes:
    """Luminance from 16 to 235, chrominance from 16 to 240 (PS3.3 C.7.6.3.1.2)."""
    values = eights.astype(np.float32)
    y = (values[:, :, 0] - 16.0) * (255.0 / 219.0)
    cb, cr = ((values[:, :, n] - 128.0) * (255.0 / 224.0) for n in (1, 2))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
