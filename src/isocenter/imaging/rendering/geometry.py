"""Which part of the stored image a picture shows, how large it becomes, how it is turned (PS3.4 N.2.5, PS3.18
8.3.5.1.3).

Light: plain numbers.
"""

from typing import NamedTuple

from isocenter.errors import Reason, Refused
from isocenter.imaging.picture import Picture
from isocenter.imaging.rendering.presentation import Presentation


class Box(NamedTuple):
    """Edges in pixels of an image, from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def divided(self, factor: float) -> "Box":
        """In pixels `factor` as large."""
        return Box(self.left / factor, self.top / factor, self.right / factor, self.bottom / factor)

    def within(self, width: float, height: float) -> bool:
        """Nothing of it lies outside of an image."""
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height


class Layout(NamedTuple):
    """The steps from the stored image: this part of it is scaled to `width` x `height`, turned over, turned."""

    box: Box
    width: int
    height: int
    rotation: int = 0
    """Clockwise, degrees."""
    mirrored: bool = False
    """Left to right, after rotation."""
    upended: bool = False
    """Top to bottom, after rotation."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the picture."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


def layout_of(columns: int, rows: int, presentation: Presentation, picture: Picture, most: int) -> Layout:
    """The layout of a picture of an image of this size. Raises Refused: BAD_REQUEST for a part outside of it, TOO_LARGE
    for a picture of more than `most` pixels."""
    area = Box(*presentation.area) if presentation.area is not None else Box(0, 0, columns, rows)
    shown, mirrored, upended = _part(_turned_size(area, presentation.rotation), picture)
    if presentation.flip:
        width = _turned_size(area, presentation.rotation)[0]
        shown = Box(width - shown.right, shown.top, width - shown.left, shown.bottom)
        mirrored = not mirrored
    box = _stored(shown, area, presentation.rotation)
    width, height = _size(box, presentation, picture)
    if width * height > most:
        raise Refused(Reason.TOO_LARGE, f"the picture would have more than {most} pixels")
    if presentation.rotation % 180:
        width, height = height, width
    return Layout(box, width, height, presentation.rotation, mirrored, upended)


def _turned_size(area: Box, rotation: int) -> tuple[float, float]:
    return (area.height, area.width) if rotation % 180 else (area.width, area.height)


def _part(size: tuple[float, float], picture: Picture) -> tuple[Box, bool, bool]:
    """The part asked for of an image of this size as it is shown, and whether it is turned over each way."""
    width, height = size
    mirrored = upended = False
    left, top, right, bottom = 0.0, 0.0, width, height
    if picture.source is not None:
        left, top, w, h = picture.source
        mirrored, upended = w < 0, h < 0
        right = left + abs(w) if w else width
        bottom = top + abs(h) if h else height
    elif picture.region is not None:
        left, top, right, bottom = (part * side for part, side in zip(picture.region, (*size, *size), strict=True))
    found = Box(max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
    if found.width <= 0 or found.height <= 0:
        raise Refused(Reason.BAD_REQUEST, "the region lies outside of the image")
    return found, mirrored, upended


def _stored(shown: Box, area: Box, rotation: int) -> Box:
    """Where a part of the rotated area lies in the stored image."""
    left, top, right, bottom = shown
    if rotation == 90:
        left, top, right, bottom = top, area.height - right, bottom, area.height - left
    elif rotation == 180:
        left, top, right, bottom = area.width - right, area.height - bottom, area.width - left, area.height - top
    elif rotation == 270:
        left, top, right, bottom = area.width - bottom, left, area.width - top, right
    return Box(left + area.left, top + area.top, right + area.left, bottom + area.top)


def _size(box: Box, presentation: Presentation, picture: Picture) -> tuple[int, int]:
    """Columns and rows of the picture: pixels made square by making more of them, then as large as the viewport."""
    width, height = box.width * max(1 / presentation.aspect, 1), box.height * max(presentation.aspect, 1)
    if presentation.rotation % 180:
        width, height = height, width
    scales = [bound / side for bound, side in ((picture.width, width), (picture.height, height)) if bound]
    scale = min(scales, default=1.0)
    if not picture.enlarge:
        scale = min(scale, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)
