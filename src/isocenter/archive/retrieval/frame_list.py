"""Which frames of an instance a retrieval at FRAME level names: PS3.4 Y.3.2.

The order of the frames is always the instance's own; no frame comes twice.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations.statuses import Frames
from isocenter.dicom.dataset import DataSet, Element, bytes_of, items_of, string_of, strings_of
from isocenter.errors import Reason, Refused

SIMPLE, CALCULATED, TIMES = 0x00081161, 0x00081162, 0x00081163
"""Simple Frame List, Calculated Frame List, Time Range."""
FRAME_TIME, FRAME_TIME_VECTOR, FRAME_DELAY, INCREMENT_POINTER = 0x00181063, 0x00181065, 0x00181066, 0x00280009
PER_FRAME, FRAME_CONTENT = 0x52009230, 0x00209111
_FRAME_MOMENTS = (0x00189151, 0x00189074)
"""Frame Reference DateTime, Frame Acquisition DateTime."""
_CONTENT_DATE, _CONTENT_TIME = 0x00080023, 0x00080033
_TO_THE_END: Final = 0xFFFFFFFF


class FramesFailure(Refused):
    """No instance can be made of these frames; `cause` tells the status (AA00 to AA04)."""

    def __init__(self, cause: Frames, comment: str) -> None:
        super().__init__(Reason.UNABLE_TO_PROCESS, comment)
        self.cause = cause


class FrameKeys(NamedTuple):
    """The one Frame Range Key of an identifier."""

    tag: int
    element: Element
    numbers: tuple[float, ...]


def frame_keys(identifier: DataSet) -> FrameKeys:
    """The Frame Range Key of `identifier`. Raises FramesFailure(INVALID) unless there is exactly one that is well
    formed."""
    present = [tag for tag in (SIMPLE, CALCULATED, TIMES) if bytes_of(identifier, tag)]
    if len(present) != 1:
        raise FramesFailure(Frames.INVALID, "exactly one Frame Range Key has to be given")
    tag = present[0]
    form, size = ("<d", 8) if tag == TIMES else ("<I", 4)
    raw = bytes_of(identifier, tag)
    numbers = tuple(number for (number,) in struct.iter_unpack(form, raw[: len(raw) // size * size]))
    if len(raw) % size or not _WELL_FORMED[tag](numbers):
        raise FramesFailure(Frames.INVALID, "the Frame Range Key is malformed")
    return FrameKeys(tag, identifier[tag], numbers)


def _rises(numbers: Sequence[float]) -> bool:
    return numbers[0] >= 1 and all(a < b for a, b in pairwise(numbers))


def _ranges(numbers: Sequence[float]) -> bool:
    """Triples of first frame, last and step, which neither overlap nor go back."""
    triples = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False))
    whole = len(numbers) % 3 == 0 and all(1 <= first <= last and step >= 1 for first, last, step in triples)
    return whole and all(a[1] < b[0] for a, b in pairwise(triples))


def _span(numbers: Sequence[float]) -> bool:
    return len(numbers) == 2 and numbers[0] <= numbers[1]


_WELL_FORMED: Mapping[int, Callable[[Sequence[float]], bool]] = MappingProxyType(
    {SIMPLE: _rises, CALCULATED: _ranges, TIMES: _span}
)


def frame_list(keys: FrameKeys, header: DataSet, count: int) -> list[int]:
    """The numbers, from 1, of the frames that `keys` names in an instance of `count` frames with this `header`.

    Raises FramesFailure where there is none of them, or the frames' times can't be told.
    """
    if keys.tag == TIMES:
        start, end = keys.numbers
        times = frame_times(header, count)
        if times is None:
            raise FramesFailure(Frames.NOT_TIMED, "the instance does not tell the times of its frames")
        found = [number for number, time in enumerate(times, 1) if start <= time <= end]
    elif keys.tag == SIMPLE:
        found = [int(number) for number in keys.numbers if number <= count]
    else:
        found = []
        for first, last, step in zip(keys.numbers[::3], keys.numbers[1::3], keys.numbers[2::3], strict=True):
            found += range(int(first), min(int(last), count) + 1, int(step))
    if not found:
        raise FramesFailure(Frames.NONE_FOUND, "the instance has none of these frames")
    return found


def frame_times(header: DataSet, count: int) -> list[float] | None:
    """Seconds from Content Time to each frame (PS3.3 C.7.6.5, C.7.6.16.2.2), or None."""
    vector = _numbers(header, FRAME_TIME_VECTOR)
    delay = (_numbers(header, FRAME_DELAY) or [0.0])[0]
    if len(vector) == count:
        return [(delay + time) / 1000 for time in accumulate(vector)]
    step = _numbers(header, FRAME_TIME)
    if step and step[0] > 0:
        return [(delay + number * step[0]) / 1000 for number in range(count)]
    return _moments(header, count)


def _moments(header: DataSet, count: int) -> list[float] | None:
    groups = items_of(header, PER_FRAME)
    start = _moment(string_of(header, _CONTENT_DATE) + string_of(header, _CONTENT_TIME))
    if len(groups) != count or start is None:
        return None
    found: list[float] = []
    for group in groups:
        content = next(iter(items_of(group, FRAME_CONTENT)), {})
        moment = next((made for tag in _FRAME_MOMENTS if (made := _moment(string_of(content, tag)))), None)
        if moment is None:
            return None
        found.append((moment - start).total_seconds())
    return found


def _moment(text: str) -> datetime | None:
    """A DT, or a DA and TM put together, of at least a minute's precision; offsets from UTC as such."""
    text, sign, offset = text.replace("-", "+-").partition("+")
    digits, _, fraction = text.partition(".")
    if len(digits) < 12 or not digits.isdigit():
        return None
    try:
        moment = datetime.strptime(digits[:14].ljust(14, "0"), "%Y%m%d%H%M%S")
        moment += timedelta(microseconds=int(fraction.ljust(6, "0")[:6])) if fraction else timedelta()
        if sign:
            hours, minutes = int(offset[:-2]), int(offset[-2:])
            return moment.replace(tzinfo=timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes)))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC)


def _numbers(data_set: DataSet, tag: int) -> list[float]:
    """The values of a DS, [] where one of them is none."""
    try:
        return [float(text) for text in strings_of(data_set, tag) if text]
    except ValueError:
        return []
