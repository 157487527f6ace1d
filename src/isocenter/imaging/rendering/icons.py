"""Icons for what is no image: a sheet with a mark of what it holds. Heavy: for the worker processes."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

from isocenter.imaging.rendering import subjects

SIDE: Final = 128
"""Pixels where nothing else is asked for."""
_MOST: Final = 1024
_DRAWN: Final = 512
_DARK, _SHEET, _EDGE, _INK = (24, 28, 34), (232, 236, 241), (120, 130, 145), (38, 92, 158)


@lru_cache(maxsize=32)
def drawn(subject: str, side: int) -> Image.Image:
    """The icon of a subject, `side` pixels wide and high."""
    image = Image.new("RGB", (_DRAWN, _DRAWN), _DARK)
    draw = ImageDraw.Draw(image)
    draw.polygon([(120, 56), (320, 56), (392, 128), (392, 456), (120, 456)], _SHEET, _EDGE, 6)
    draw.polygon([(320, 56), (392, 128), (320, 128)], _EDGE)
    _MARKS.get(subject, _other)(draw)
    side = min(max(side, 1), _MOST)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _lines(draw: ImageDraw.ImageDraw) -> None:
    for number, right in enumerate((344, 344, 300, 344, 260)):
        draw.line([(168, 188 + 48 * number), (right, 188 + 48 * number)], _INK, 16)


def _report(draw: ImageDraw.ImageDraw) -> None:
    for number in range(4):
        y = 188 + 60 * number
        draw.ellipse([(164, y - 12), (188, y + 12)], _INK)
        draw.line([(212, y), (344, y)], _INK, 16)


def _video(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon([(196, 180), (336, 276), (196, 372)], _INK)


def _waveform(draw: ImageDraw.ImageDraw) -> None:
    points = [(148, 290), (200, 290), (220, 260), (238, 290), (254, 190), (274, 372), (292, 290), (364, 290)]
    draw.line(points, _INK, 14, joint="curve")


def _model(draw: ImageDraw.ImageDraw) -> None:
    top, left, right, middle = (256, 180), (172, 228), (340, 228), (256, 276)
    draw.polygon([top, right, middle, left], None, _INK, 12)
    draw.line([left, (172, 330), (256, 380), (340, 330), right], _INK, 12, joint="curve")
    draw.line([middle, (256, 380)], _INK, 12)


def _plan(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse([(176, 208), (336, 368)], None, _INK, 12)
    draw.line([(256, 168), (256, 408)], _INK, 12)
    draw.line([(136, 288), (376, 288)], _INK, 12)


def _presentation(draw: ImageDraw.ImageDraw) -> None:
    for number, knob in enumerate((220, 300, 250)):
        y = 210 + 74 * number
        draw.line([(164, y), (348, y)], _INK, 12)
        draw.ellipse([(knob - 20, y - 20), (knob + 20, y + 20)], _SHEET, _INK, 12)


def _image(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle([(160, 190), (352, 370)], None, _INK, 12)
    draw.polygon([(176, 354), (236, 260), (276, 310), (300, 284), (338, 354)], _INK)
    draw.ellipse([(290, 214), (322, 246)], _INK)


def _other(draw: ImageDraw.ImageDraw) -> None:
    for x in (196, 256, 316):
        draw.ellipse([(x - 18, 272), (x + 18, 308)], _INK)


_MARKS: Final[Mapping[str, Callable[[ImageDraw.ImageDraw], None]]] = {
    subjects.IMAGE: _image,
    subjects.DOCUMENT: _lines,
    subjects.REPORT: _report,
    subjects.VIDEO: _video,
    subjects.WAVEFORM: _waveform,
    subjects.MODEL: _model,
    subjects.PLAN: _plan,
    subjects.PRESENTATION: _presentation,
}
