"""The query parameters of rendering (PS3.18 8.3.5) read into a Picture. What is wrong in them is told in words, as 400.

    picture, unknown = picture_of(call)      a NamedTuple without its media type, and names that nobody knows

Decimal numbers are those of PS3.18 (`-1.5`, `1e3`), sizes are whole numbers of pixels from 1.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from isocenter.imaging.picture import ANNOTATIONS, LINEAR, LINEAR_EXACT, PROFILES, SIGMOID, Picture, Source, Window
from isocenter.web.call import Call
from isocenter.web.problem import bad_request

_DECIMAL: Final = re.compile(r"[+-]?(?:\d{1,12}\.?\d{0,12}|\.\d{1,12})(?:[eE][+-]?\d{1,2})?\Z", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,9}\Z", re.ASCII)
_FUNCTIONS: Final = {"linear": LINEAR, "linear-exact": LINEAR_EXACT, "sigmoid": SIGMOID}
_LARGEST: Final = 1 << 16
"""Pixels of a viewport's side that can be asked for; what is made of them is for the renderer to say."""

_WINDOW: Final = "window is CENTER,WIDTH,FUNCTION"
_VIEWPORT: Final = "viewport is WIDTH,HEIGHT or WIDTH,HEIGHT,X,Y,REGION WIDTH,REGION HEIGHT"
_OF_A_THUMBNAIL: Final = "the viewport of a thumbnail is WIDTH,HEIGHT"


def picture_of(call: Call) -> tuple[Picture, list[str]]:
    """What a rendered resource's parameters ask for, and the names of those that are none. Raises Problem 400."""
    return _read(call, _RENDERING)


def thumbnail_of(call: Call, side: int) -> tuple[Picture, list[str]]:
    """The same of a thumbnail, which has a viewport alone: `side` pixels each way where it is not given."""
    picture, unknown = _read(call, _THUMBNAIL)
    return (picture if picture.width else picture._replace(width=side, height=side)), unknown


def quality_of(text: str, name: str = "quality") -> int:
    """`quality`, or however the service calls it: 1 to 100. Raises Problem 400."""
    if not _WHOLE.match(text) or not 1 <= int(text) <= 100:
        raise bad_request(f"{name} is a whole number from 1 to 100")
    return int(text)


def annotations_of(text: str) -> tuple[str, ...]:
    """`annotation`: `patient`, `technique` or both. Raises Problem 400."""
    named = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    if not all(part in ANNOTATIONS for part in named):
        raise bad_request(f"annotation is {' or '.join(ANNOTATIONS)}, or both with a comma between")
    return named


def window_of(text: str) -> Window:
    """`window`: all three of its values, or LINEAR where the last is left out. Raises Problem 400."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 2:
        parts.append("linear")
    if len(parts) != 3:
        raise bad_request(_WINDOW)
    name = parts[2].lower().replace("_", "-")
    if name not in _FUNCTIONS:
        raise bad_request(f"the function of a window is one of {', '.join(_FUNCTIONS)}")
    return window_with(number_of(parts[0], _WINDOW), number_of(parts[1], _WINDOW), _FUNCTIONS[name])


def window_with(center: float, width: float, function: str = LINEAR) -> Window:
    """The window of these values (PS3.3 C.11.2.1.2). Raises Problem 400."""
    if width < 1 and not (width > 0 and function != LINEAR):
        raise bad_request("the width of a window is at least 1, or above 0 with linear-exact and sigmoid")
    return Window(center, width, function)


def viewport_of(text: str) -> tuple[int, int, Source | None]:
    """`viewport`: the size to fit the picture into, and which part of the image is shown. Raises Problem 400."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 6:
        raise bad_request(_VIEWPORT)
    width, height = size_of(parts[0], "viewport"), size_of(parts[1], "viewport")
    if not any(parts[2:]):
        return width, height, None
    x, y, w, h = (number_of(part, _VIEWPORT) if part else None for part in (*parts[2:], "", "", "", "")[:4])
    if w == 0 or h == 0:
        raise bad_request("the region of a viewport has no extent")
    return width, height, Source(x or 0.0, y or 0.0, w or 0.0, h or 0.0)


def thumbnail_viewport_of(text: str) -> tuple[int, int]:
    """`viewport` of a thumbnail: a size alone. Raises Problem 400."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2:
        raise bad_request(_OF_A_THUMBNAIL)
    return size_of(parts[0], "viewport"), size_of(parts[1], "viewport")


def profile_of(text: str) -> str:
    """`iccprofile`: one of its keywords. Raises Problem 400."""
    name = text.strip().lower()
    if name not in PROFILES:
        raise bad_request(f"iccprofile is one of {', '.join(PROFILES)}")
    return name


def number_of(text: str, form: str) -> float:
    """A decimal number; `form` says what it is part of. Raises Problem 400."""
    if not _DECIMAL.match(text):
        raise bad_request(f"{form}; its numbers are decimal")
    return float(text)


def size_of(text: str, name: str) -> int:
    """A side of a viewport. Raises Problem 400."""
    if not _WHOLE.match(text) or not 1 <= int(text) <= _LARGEST:
        raise bad_request(f"{name}: sizes are whole numbers of pixels from 1 to {_LARGEST}")
    return int(text)


def _viewport(text: str) -> dict[str, Any]:
    width, height, source = viewport_of(text)
    return {"width": width, "height": height, "source": source}


def _thumbnail(text: str) -> dict[str, Any]:
    width, height = thumbnail_viewport_of(text)
    return {"width": width, "height": height}


Reading = Callable[[str], dict[str, Any]]
_RENDERING: Final[Mapping[str, Reading]] = {
    "annotation": lambda text: {"annotations": annotations_of(text)},
    "quality": lambda text: {"quality": quality_of(text)},
    "viewport": _viewport,
    "window": lambda text: {"window": window_of(text)},
    "iccprofile": lambda text: {"profile": profile_of(text)},
}
RENDERING: Final = tuple(_RENDERING)
"""Names of the parameters of rendered resources."""
_THUMBNAIL: Final[Mapping[str, Reading]] = {"viewport": _thumbnail}
THUMBNAIL: Final = tuple(_THUMBNAIL)
"""Names of the parameters of thumbnails."""
_EVERYWHERE: Final = frozenset({"accept", "charset"})


def _read(call: Call, known: Mapping[str, Reading]) -> tuple[Picture, list[str]]:
    values: dict[str, Any] = {}
    seen: set[str] = set()
    unknown = []
    for name, text in call.query:
        reading = known.get(name)
        if reading is None:
            if name not in _EVERYWHERE:
                unknown.append(name)
        elif name in seen:
            raise bad_request(f"{name} is given twice")
        else:
            seen.add(name)
            values.update(reading(text))
    return Picture(**values), unknown
