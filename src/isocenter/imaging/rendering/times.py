"""Which frame stands for an image, and for how long each is shown (PS3.3 C.7.6.5, C.7.6.6)."""

from collections.abc import Sequence
from typing import Final

from isocenter.dicom.dataset import DataSet
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.values import number, numbers

_USUAL: Final = 100.0
"""Milliseconds a frame where nothing tells them."""
_LEAST, _MOST = 10.0, 60_000.0


def representative(data_set: DataSet) -> int:
    """The number of the frame that stands for the image, from 1: Representative Frame Number, else the first."""
    return max(int(number(data_set, tags.REPRESENTATIVE) or 1), 1)


def times(data_set: DataSet, frames: Sequence[int]) -> tuple[int, ...]:
    """Milliseconds for which each of these frames is shown."""
    vector = numbers(data_set, tags.FRAME_TIMES)
    if vector:
        # increments: what stands at a frame is how long the one before it was shown
        return tuple(_bounded(vector[at] if 0 <= at < len(vector) else vector[-1]) for at in frames)
    return (_bounded(_constant(data_set)),) * len(frames)


def _constant(data_set: DataSet) -> float:
    for tag in (tags.DISPLAY_RATE, tags.CINE_RATE):
        rate = number(data_set, tag)
        if rate is not None and rate > 0:
            return 1000 / rate
    return number(data_set, tags.FRAME_TIME) or _USUAL


def _bounded(time: float) -> int:
    return round(min(max(time, _LEAST), _MOST)) if time > 0 else int(_USUAL)
