"""Overlays and the shape of pixels, as an object's attributes say it (PS3.3 C.9.2, C.7.6.3.1.7, 10.7)."""

from collections.abc import Iterable
from typing import Final

from isocenter.dicom.dataset import DataSet, bytes_of
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.presentation import Overlay
from isocenter.imaging.rendering.values import number, reals

_LIMIT: Final = 100.0
"""Pixels that are said to be longer than this are taken for square."""


def overlays_of(data_set: DataSet, frame: int, groups: Iterable[int] = tags.OVERLAY_GROUPS) -> tuple[Overlay, ...]:
    """The overlay planes of a frame, counted from 1."""
    found = (_overlay(data_set, group, frame) for group in groups if group | tags.OVERLAY_ROWS in data_set)
    return tuple(overlay for overlay in found if overlay is not None)


def _overlay(data_set: DataSet, group: int, frame: int) -> Overlay | None:
    def whole(element: int, default: int) -> int:
        found = number(data_set, group | element)
        return default if found is None else int(found)

    rows, columns = whole(tags.OVERLAY_ROWS, 0), whole(tags.OVERLAY_COLUMNS, 0)
    origin = bytes_of(data_set, group | tags.OVERLAY_ORIGIN)
    row, column = (
        (int.from_bytes(origin[at : at + 2], "little", signed=True) for at in (0, 2)) if len(origin) >= 4 else (1, 1)
    )
    count, start = max(whole(tags.OVERLAY_FRAMES, 1), 1), whole(tags.OVERLAY_FIRST, 1)
    if rows <= 0 or columns <= 0:
        return None
    data = bytes_of(data_set, group | tags.OVERLAY_DATA)
    if not data:
        position = whole(tags.OVERLAY_POSITION, 0)
        if whole(tags.OVERLAY_ALLOCATED, 1) <= 1 or not 0 < position < 64:
            return None
        return Overlay(rows, columns, row, column, b"", position)
    # an overlay of one frame in an image of many is meant for all of them
    index = frame - start if group | tags.OVERLAY_FRAMES in data_set and count > 1 else 0
    plane = _plane(data, index, rows * columns) if 0 <= index < count else b""
    return Overlay(rows, columns, row, column, plane) if plane else None


def _plane(data: bytes, index: int, bits: int) -> bytes:
    """A frame of single bits, which may begin anywhere in a byte; b'' where the data ends before it does."""
    first = index * bits
    if len(data) * 8 < first + bits:
        return b""
    held = data[first // 8 : (first + bits + 7) // 8]
    if first % 8 == 0:
        return held
    value = int.from_bytes(held, "little") >> first % 8
    return value.to_bytes(len(held), "little")[: (bits + 7) // 8]


def aspect_of(data_set: DataSet, groups: DataSet) -> float:
    """A pixel's height divided by its width: by Pixel Aspect Ratio where it is there, else by the first spacing."""
    ratio = reals(data_set, tags.ASPECT, 2)
    measures = groups.get(tags.FRAME_MEASURES)
    candidates = [ratio] if ratio else []
    if measures is not None and isinstance(measures.value, tuple) and measures.value:
        candidates.append(reals(measures.value[0], tags.SPACING, 2))
    candidates += [reals(data_set, tag, 2) for tag in (tags.SPACING, tags.IMAGER_SPACING, tags.SCANNED_SPACING)]
    for found in candidates:
        if found and found[0] > 0 and found[1] > 0:
            aspect = found[0] / found[1]
            # what differs by less than a pixel in a thousand is square
            return aspect if 1 / _LIMIT <= aspect <= _LIMIT and abs(aspect - 1) > 0.001 else 1.0
    return 1.0
