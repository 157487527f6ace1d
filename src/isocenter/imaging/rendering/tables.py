"""Lookup tables as arrays: palettes, and stored values to grey in one step. Heavy: for the worker processes.

What turns stored values into grey (modality, VOI and presentation transformation, inversion) is made one table for
all values that the stored bits can have; a picture is then a single pass over its pixels. Values of more than 16 bits
and floating point ones go through the same functions one by one.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isocenter.errors import Reason, Refused
from isocenter.imaging.picture import LINEAR, LINEAR_EXACT, SIGMOID, Window
from isocenter.imaging.rendering.presentation import Lookup, Modality, Palette

Values: TypeAlias = NDArray[Any]
Bytes: TypeAlias = NDArray[np.uint8]
Pair: TypeAlias = tuple[int, int]

_DISCRETE, _LINEAR_SEGMENT, _INDIRECT = 0, 1, 2
_MOST_ENTRIES: Final = 1 << 16


class Greys(NamedTuple):
    """From stored values to grey: a window or a VOI LUT over the modality values, or `low` to `high` without both."""

    modality: Modality
    window: Window | None
    table: Lookup | None
    low: float
    high: float
    inverse: bool
    output: Lookup | None


def entries(lookup: Lookup) -> NDArray[np.uint16]:
    """The entries of a table. A table that is too short is continued with its last one."""
    found = np.frombuffer(lookup.data, np.uint8 if lookup.packed else "<u2").astype(np.uint16)
    missing = lookup.entries - len(found)
    return np.pad(found, (0, missing), "edge") if missing > 0 else found


@lru_cache(maxsize=16)
def grey_table(greys: Greys, bits: int, signed: bool, padding: Pair | None) -> Bytes:
    """Grey by the bits of a stored value, taken as a number from 0; padding is black."""
    stored = np.arange(1 << bits, dtype=np.int64)
    if signed:
        stored = (stored ^ (1 << bits - 1)) - (1 << bits - 1)
    shown = grey(stored, greys)
    if padding is not None:
        shown[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return shown


def grey(stored: Values, greys: Greys) -> Bytes:
    """Grey from 0 to 255 of stored values."""
    values = modality_values(stored, greys.modality)
    if greys.table is not None:
        part = _by_table(values, greys.table)
    elif greys.window is not None:
        part = _by_window(values, greys.window)
    else:
        part = (values - greys.low) / (greys.high - greys.low) if greys.high > greys.low else np.zeros_like(values)
    part = np.clip(np.nan_to_num(part, nan=0.0), 0.0, 1.0)
    if greys.output is not None:
        part = _by_presentation_table(part, greys.output)
    if greys.inverse:
        part = 1.0 - part
    grey: Bytes = (part * 255.0 + 0.5).astype(np.uint8)
    return grey


def modality_values(stored: Values, modality: Modality) -> NDArray[np.float64]:
    """What stored values mean (PS3.3 C.11.1)."""
    if modality.table is not None:
        held = entries(modality.table)
        index = np.clip(stored.astype(np.int64) - modality.table.first, 0, len(held) - 1)
        return held[index].astype(np.float64)
    return stored.astype(np.float64) * modality.slope + modality.intercept


def _by_window(values: Values, window: Window) -> Values:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3; from 0 to 1 where it is not clipped."""
    center, width, function = window
    if function == SIGMOID:
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if function == LINEAR_EXACT:
        return (values - center) / width + 0.5
    assert function == LINEAR
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _by_table(values: Values, table: Lookup) -> Values:
    """PS3.3 C.11.2.1.1."""
    held = entries(table)
    index = np.clip(np.rint(np.nan_to_num(values)).astype(np.int64) - table.first, 0, len(held) - 1)
    found: Values = held[index] / _full(held, table.bits)
    return found


def _by_presentation_table(part: Values, table: Lookup) -> Values:
    """PS3.3 C.11.4: the table covers the whole range of what the VOI transformation gives."""
    held = entries(table)
    found: Values = held[np.rint(part * (len(held) - 1)).astype(np.int64)] / _full(held, table.bits)
    return found


def _full(held: NDArray[np.uint16], bits: int) -> float:
    """What is white; some tables have more bits than they say."""
    return float(max((1 << bits) - 1, int(held.max())))


# --- palettes


@lru_cache(maxsize=16)
def palette_table(palette: Palette, bits: int, signed: bool) -> Bytes:
    """Red, green and blue by the bits of a stored value, taken as a number from 0 (PS3.3 C.7.6.3.1.5)."""
    stored = np.arange(1 << bits, dtype=np.int64)
    if signed:
        stored = (stored ^ (1 << bits - 1)) - (1 << bits - 1)
    colours = _eights(palette)
    return np.stack(
        [
            held[np.clip(stored - lookup.first, 0, len(held) - 1)]
            for held, lookup in zip(colours, (palette.red, palette.green, palette.blue), strict=True)
        ],
        axis=-1,
    )


def _eights(palette: Palette) -> list[Bytes]:
    """The three tables with 8 bits an entry."""
    tables = (palette.red, palette.green, palette.blue)
    held = [_expanded(table) if palette.segmented else entries(table) for table in tables]
    deep = max(int(each.max()) for each in held) > 0xFF
    if not deep:
        return [each.astype(np.uint8) for each in held]
    # with 8 bits said and more used, the upper ones are meant, as some ultrasound scanners write it
    return [
        (each >> (table.bits - 8 if table.bits > 8 else 8)).clip(0, 255).astype(np.uint8)
        for each, table in zip(held, tables, strict=True)
    ]


def _expanded(table: Lookup) -> NDArray[np.uint16]:
    """The entries that segments stand for (PS3.3 C.7.9.2). Raises Refused where they make none or too many."""
    words = np.frombuffer(table.data, np.uint8 if table.packed else "<u2").astype(np.int64).tolist()
    found: list[int] = []
    try:
        _segments(words, 0, len(words), found, table.packed, nested=False)
    except IndexError as error:
        raise _wrong() from error
    if not found:
        raise _wrong()
    return np.array(found[: table.entries or _MOST_ENTRIES], np.uint16)


def _segments(words: list[int], at: int, count: int, found: list[int], packed: bool, *, nested: bool) -> int:
    """Append what up to `count` segments from word `at` on stand for; the word behind them."""
    while count > 0 and at + 1 < len(words) and len(found) <= _MOST_ENTRIES:
        code, length = words[at], words[at + 1]
        if code == _DISCRETE:
            if at + 2 + length > len(words):
                raise _wrong()
            found += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif code == _LINEAR_SEGMENT:
            last, target = (found[-1] if found else words[at + 2]), words[at + 2]
            found += [last + round((target - last) * step / length) for step in range(1, length + 1)]
            at += 3
        elif code == _INDIRECT and not nested:
            parts = words[at + 2 : at + (6 if packed else 4)]
            width = 8 if packed else 16
            place = sum(part << width * number for number, part in enumerate(parts))
            _segments(words, place if packed else place // 2, length, found, packed, nested=True)
            at += 6 if packed else 4
        else:
            raise _wrong()
        count -= 1
    return at


def _wrong() -> Refused:
    return Refused(Reason.CANNOT_UNDERSTAND, "the segments of the palette are wrong")
