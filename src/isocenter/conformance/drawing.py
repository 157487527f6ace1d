"""Figures as a few kinds of strokes, which each writer draws in its own way. Lengths are points, y grows downwards."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Dash: TypeAlias = Literal["", "dashed", "dotted"]


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line, with an arrowhead at its end or at both."""

    x1: float
    y1: float
    x2: float
    y2: float
    dash: Dash = ""
    arrow: bool = False
    both: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle or, with different radii, an ellipse."""

    x: float
    y: float
    rx: float
    ry: float


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float = 9
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "middle"


Stroke: TypeAlias = Line | Box | Circle | Text


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of `width` by `height` points."""

    width: float
    height: float
    strokes: tuple[Stroke, ...]


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of about `width` characters, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def centred(x: float, y: float, text: str, width: int, *, size: float = 9, bold: bool = False) -> list[Text]:
    """Lines of text around the point (x, y)."""
    lines = wrapped(text, width)
    leading = size * 1.2
    top = y - leading * (len(lines) - 1) / 2 + size * 0.35
    return [Text(x, top + n * leading, line, size, bold) for n, line in enumerate(lines)]
