"""Text drawn on a picture. Heavy: for the worker processes."""

from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_LEAST, _PART, _MOST = 9, 40, 36
"""Height of a letter in pixels: at least, the part of the picture's height, at most."""
_MARGIN: Final = 0.5
"""Of a letter."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def lettered(image: Image.Image, text: tuple[tuple[str, ...], ...], font: str) -> tuple[Image.Image, tuple[str, ...]]:
    """The image with lines in its upper left and upper right corner: white with a dark edge, to be read on anything;
    and warnings."""
    if not any(text):
        return image, ()
    made = image.copy()
    draw = ImageDraw.Draw(made)
    size = min(max(image.height // _PART, _LEAST), _MOST)
    warnings: tuple[str, ...] = ()
    try:
        face = _font(font, size)
    except OSError:
        face, warnings = _font("", size), ("the font for annotations can't be read; Latin letters only",)
    margin = round(size * _MARGIN)
    corners = ((margin, "l"), (image.width - margin, "r"))
    for (x, side), lines in zip(corners, text, strict=False):
        for number, line in enumerate(lines):
            at = (x, margin + number * round(size * 1.25))
            draw.text(at, line, _white(made), face, anchor=f"{side}a", stroke_width=1, stroke_fill=_black(made))
    return made, warnings


def _white(image: Image.Image) -> int | tuple[int, int, int]:
    return 255 if image.mode == "L" else (255, 255, 255)


def _black(image: Image.Image) -> int | tuple[int, int, int]:
    return 0 if image.mode == "L" else (0, 0, 0)


@lru_cache(maxsize=16)
def _font(path: str, size: int) -> Font:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
