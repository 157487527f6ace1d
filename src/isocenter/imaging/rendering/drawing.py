"""A request to draw, done. Heavy: for the worker processes.

frame -> decoded, at reduced resolution where that suffices -> grey or colours of 8 bits -> overlays -> the part that is
shown, scaled, turned -> colour space -> text -> file
"""

import os
from typing import Final

import numpy as np
from PIL import Image

from isocenter.imaging.arrays import Array
from isocenter.imaging.picture import ANIMATED
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering import icons
from isocenter.imaging.rendering.cells import shown
from isocenter.imaging.rendering.geometry import Box, Layout, layout_of
from isocenter.imaging.rendering.lettering import lettered
from isocenter.imaging.rendering.planes import burned
from isocenter.imaging.rendering.presentation import Presentation
from isocenter.imaging.rendering.profiles import converted
from isocenter.imaging.rendering.reducing import Frame, reduced_again
from isocenter.imaging.rendering.request import RAW, Animate, Draw, Drawn, Icon, Order
from isocenter.imaging.rendering.shutters import shuttered
from isocenter.imaging.rendering.tables import Bytes
from isocenter.imaging.rendering.writing import animated, written
from isocenter.imaging.stored import Stored

_TURNS: Final = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
"""Pillow's turn the other way."""
_GAP: Final = 2.0
"""How much larger than wanted an image is when the slow and good filter gets it."""


def done(order: Order, data: memoryview) -> tuple[Drawn, bytes]:
    """What was asked for. Raises Refused, and whatever a codec raises."""
    if order.draw is not None:
        return draw(order.draw, data, order.stored)
    if order.animate is not None:
        return animate(order.animate, data)
    assert order.icon is not None
    return icon(order.icon)


def draw(request: Draw, data: memoryview, stored: Stored | None = None) -> tuple[Drawn, bytes]:
    """One frame, which is in `data` or `stored`."""
    presentation, picture, pixels = request.presentation, request.picture, request.pixels
    layout = layout_of(pixels.columns, pixels.rows, presentation, picture, request.most)
    scale = _scale(layout) if _averages(presentation) else 1.0
    # frames of an animation are drawn by all workers at once
    threads = 1 if picture.media_type == RAW else len(os.sched_getaffinity(0))
    array, now, factor = reduced_again(Frame(request.name, data, stored), request.syntax, pixels, scale, threads)
    image = laid_out(_seen(array, now, request, factor), layout, factor)
    image, icc, warnings = converted(image, presentation.icc, picture.profile)
    image, more = lettered(image, request.text, request.font)
    made = written(image, picture.media_type, picture.quality, icc)
    return Drawn(picture.media_type, image.width, image.height, len(image.getbands()), warnings + more), made


def _scale(layout: Layout) -> float:
    return max(layout.width / layout.box.width, layout.height / layout.box.height)


def _averages(presentation: Presentation) -> bool:
    """Pixels may be averaged before they are shown: none has a colour of its own or holds graphics."""
    return presentation.palette is None and all(overlay.bits for overlay in presentation.overlays)


def _seen(array: Array, pixels: Pixels, request: Draw, factor: int) -> Bytes:
    presentation = request.presentation
    picture = burned(shown(array, pixels, presentation), array, presentation.overlays, factor)
    return picture if presentation.shutter is None else shuttered(picture, presentation.shutter, factor)


def laid_out(picture: Bytes, layout: Layout, factor: int) -> Image.Image:
    """The picture of a whole frame, whose pixels are `factor` of the frame's each way, as the layout says."""
    rows, columns = picture.shape[:2]
    box = layout.box.divided(factor)
    image = Image.fromarray(np.ascontiguousarray(picture))
    if not box.within(columns, rows):
        image, box = _on_black(image, box)
    image = _scaled(image, box, (layout.width, layout.height))
    if layout.rotation in _TURNS:
        image = image.transpose(_TURNS[layout.rotation])
    if layout.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if layout.upended:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def _on_black(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """An image that reaches as far as the box, and the box in it. By how sides are divided, a box may reach beyond an
    image by a part of a pixel."""
    left, top = int(np.floor(min(box.left, 0))), int(np.floor(min(box.top, 0)))
    right, bottom = int(np.ceil(max(box.right, image.width))), int(np.ceil(max(box.bottom, image.height)))
    made = Image.new(image.mode, (right - left, bottom - top))
    made.paste(image, (-left, -top))
    return made, Box(box.left - left, box.top - top, box.right - left, box.bottom - top)


def _scaled(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    if size == (box.width, box.height) and all(edge == int(edge) for edge in box):
        whole = (0, 0, image.width, image.height)
        edges = (int(box.left), int(box.top), int(box.right), int(box.bottom))
        return image if edges == whole else image.crop(edges)
    enlarged = size[0] > box.width or size[1] > box.height
    filtered = Image.Resampling.BICUBIC if enlarged else Image.Resampling.LANCZOS
    return image.resize(size, filtered, box=box, reducing_gap=None if enlarged else _GAP)


def animate(request: Animate, data: memoryview) -> tuple[Drawn, bytes]:
    """Frames that are drawn already, as one picture."""
    columns, rows, samples, times, media_type = request
    assert media_type in ANIMATED
    mode, size = ("L", "RGB")[samples == 3], columns * rows * samples
    frames = [Image.frombytes(mode, (columns, rows), data[at : at + size]) for at in range(0, size * len(times), size)]
    return Drawn(media_type, columns, rows, samples), animated(frames, times)


def icon(request: Icon) -> tuple[Drawn, bytes]:
    """What stands for an object without pixels."""
    picture = request.picture
    bounds = [side for side in (picture.width, picture.height) if side]
    image = icons.drawn(request.subject, min(bounds, default=icons.SIDE))
    made = written(image, picture.media_type, picture.quality, b"")
    return Drawn(picture.media_type, image.width, image.height, 3), made
