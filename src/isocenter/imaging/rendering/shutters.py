"""What a shutter covers (PS3.3 C.7.6.11). Heavy: for the worker processes."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from isocenter.imaging.rendering.presentation import Shutter
from isocenter.imaging.rendering.tables import Bytes


def shuttered(picture: Bytes, shutter: Shutter, factor: int) -> Bytes:
    """The picture of a whole frame, whose pixels are `factor` of the frame's each way, seen through a shutter."""
    rows, columns = picture.shape[:2]
    seen = Image.new("L", (columns, rows), 255)
    for shape in _shapes(shutter, (columns, rows), factor):
        seen = ImageChops.darker(seen, shape)
    made = picture.copy()
    made[np.asarray(seen) == 0] = shutter.shade
    return made


def _shapes(shutter: Shutter, size: tuple[int, int], factor: int) -> list[Image.Image]:
    """What each of its shapes leaves to be seen. Columns and rows count from 1; edges are covered themselves."""
    found = []
    if shutter.rectangle is not None:
        left, upper, right, lower = shutter.rectangle
        image, draw = _blank(size)
        box = (left / factor, upper / factor, (right - 2) / factor, (lower - 2) / factor)
        if box[2] >= box[0] and box[3] >= box[1]:
            draw.rectangle(box, 255)
        found.append(image)
    if shutter.circle is not None:
        x, y, radius = (value / factor for value in shutter.circle)
        image, draw = _blank(size)
        edge = 1 / factor
        draw.ellipse((x - edge - radius, y - edge - radius, x - edge + radius, y - edge + radius), 255)
        found.append(image)
    if shutter.polygon:
        image, draw = _blank(size)
        draw.polygon([((x - 1) / factor, (y - 1) / factor) for x, y in shutter.polygon], 255)
        found.append(image)
    return found


def _blank(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", size)
    return image, ImageDraw.Draw(image)
