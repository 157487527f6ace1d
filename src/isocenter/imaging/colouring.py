"""Decoded frames in another photometric interpretation (`recolouring`). Heavy: for the worker processes."""

import numpy as np

from isocenter.imaging.arrays import Array
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recolouring import Recolour
from isocenter.imaging.rendering.tables import palette_table


def recoloured(array: Array, pixels: Pixels, wanted: Recolour) -> tuple[Array, Pixels]:
    """The frame and what describes it then."""
    made = wanted.described(pixels)
    if pixels.photometric == "MONOCHROME1":
        return _turned(array, pixels), made
    colours = _colours(array, pixels, wanted)
    return (colours if wanted.target == "RGB" else _grey(colours)), made


def _turned(array: Array, pixels: Pixels) -> Array:
    """The stored bits the other way round, v to total - v, signed or not; bits above them stay."""
    mask = (1 << pixels.stored) - 1
    turned: Array = np.invert(array) if pixels.signed else array ^ np.array(mask, array.dtype)  # -1 - v where signed
    return turned


def _colours(array: Array, pixels: Pixels, wanted: Recolour) -> Array:
    if wanted.palette is not None:
        bits = pixels.stored
        table = palette_table(wanted.palette, bits, pixels.signed)
        stored = array.astype(np.int64) & ((1 << bits) - 1)
        return np.ascontiguousarray(table[stored])
    return _rgb(array) if pixels.photometric == "YBR_FULL" else array


def _rgb(array: Array) -> Array:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    values = array.astype(np.float32)
    y, cb, cr = values[:, :, 0], values[:, :, 1] - 128, values[:, :, 2] - 128
    made = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(made + 0.5, 0, 255).astype(np.uint8)


def _grey(colours: Array) -> Array:
    """The luminance of ITU-R BT.601, as YBR_FULL has it."""
    weighed = colours.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey: Array = np.clip(weighed + 0.5, 0, 255).astype(np.uint8)
    return grey
