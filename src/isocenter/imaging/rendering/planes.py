"""Overlay planes drawn into a picture (PS3.3 C.9.2). Heavy: for the worker processes."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from isocenter.imaging.arrays import Array
from isocenter.imaging.rendering.presentation import Overlay
from isocenter.imaging.rendering.tables import Bytes

_WHITE: Final = 255


def burned(picture: Bytes, cells: Array, overlays: tuple[Overlay, ...], factor: int) -> Bytes:
    """The picture of a whole frame with its overlays in white. `cells` are the frame's, for planes within; `factor`
    tells how many pixels of the frame a pixel of the picture is."""
    drawn = picture
    for overlay in overlays:
        plane = _plane(cells, overlay)
        if plane is None or not plane.any():
            continue
        if drawn is picture:
            drawn = picture.copy()
        _burn(drawn, _reduced(plane, overlay, factor), factor, overlay)
    return drawn


def _plane(cells: Array, overlay: Overlay) -> NDArray[np.bool_] | None:
    if overlay.bits:
        bits = np.frombuffer(overlay.bits, np.uint8)
        flat = np.unpackbits(bits, count=overlay.rows * overlay.columns, bitorder="little")
        return flat.reshape(overlay.rows, overlay.columns).astype(bool)
    if cells.ndim != 2 or cells.dtype.kind not in "ui" or overlay.position >= 8 * cells.dtype.itemsize:
        return None
    held: NDArray[Any] = cells
    return (held >> overlay.position & 1).astype(bool)


def _reduced(plane: NDArray[np.bool_], overlay: Overlay, factor: int) -> NDArray[np.bool_]:
    """The plane in the picture's pixels: set where any of it is, so that thin lines stay."""
    if factor == 1:
        return plane
    above, before = ((start - 1) % factor for start in (overlay.row, overlay.column))
    rows, columns = plane.shape
    padded = np.pad(plane, ((above, -(above + rows) % factor), (before, -(before + columns) % factor)))
    blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor)
    return np.asarray(blocks.any(axis=(1, 3)))


def _burn(picture: Bytes, plane: NDArray[np.bool_], factor: int, overlay: Overlay) -> None:
    """Origins may lie outside of the image, and planes reach beyond it."""
    top, left = (overlay.row - 1) // factor, (overlay.column - 1) // factor
    rows, columns = picture.shape[:2]
    seen = plane[max(-top, 0) : max(rows - top, 0), max(-left, 0) : max(columns - left, 0)]
    top, left = max(top, 0), max(left, 0)
    picture[top : top + seen.shape[0], left : left + seen.shape[1]][seen] = _WHITE
