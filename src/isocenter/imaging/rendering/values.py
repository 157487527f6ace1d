"""Values of a header's elements as numbers and text, leniently: what is malformed is absent."""

import math
import struct
from collections.abc import Mapping
from typing import Final

from isocenter.dicom import charset
from isocenter.dicom.dataset import DataSet, bytes_of, items_of, string_of
from isocenter.dicom.dataset import strings_of as strings

__all__ = ["first", "item_of", "number", "numbers", "reals", "strings", "text_of"]

_FORMATS: Final[Mapping[str, str]] = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "HH", "OW": "H", "UV": "Q", "SV": "q",
}  # fmt: skip
_CHARACTER_SET: Final = 0x00080005


def numbers(data_set: DataSet, tag: int) -> tuple[float, ...]:
    """All values of a numeric element, text (DS, IS) or binary; () if absent, or one of them is no finite number."""
    element = data_set.get(tag)
    if element is None or not isinstance(element.value, bytes):
        return ()
    form = _FORMATS.get(element.vr)
    if form is not None:
        size = struct.calcsize(f"<{form}")
        found = struct.unpack(
            f"<{len(element.value) // size}{form}", element.value[: len(element.value) // size * size]
        )
    else:
        try:
            found = tuple(float(value) for value in strings(data_set, tag))
        except ValueError:  # numbers that are none are not there
            return ()
    return found if all(map(math.isfinite, found)) else ()


def number(data_set: DataSet, tag: int) -> float | None:
    """The first of them."""
    found = numbers(data_set, tag)
    return found[0] if found else None


def reals(data_set: DataSet, tag: int, count: int) -> tuple[float, ...]:
    """The first `count` of them, () where there are fewer."""
    found = numbers(data_set, tag)
    return found[:count] if len(found) >= count else ()


def first(data_set: DataSet, tag: int) -> str:
    """The first value of a code string or the like."""
    return string_of(data_set, tag).split("\\")[0].strip(" \0")


def item_of(data_set: DataSet, *path: int) -> DataSet:
    """The first item of a sequence, of a sequence in that, and so on; {} where there is none."""
    for tag in path:
        found = items_of(data_set, tag)
        if not found:
            return {}
        data_set = found[0]
    return data_set


def text_of(data_set: DataSet, tag: int) -> str:
    """The text of an element in the data set's character set; several values stay joined by backslashes."""
    raw = bytes_of(data_set, tag)
    if not raw:
        return ""
    return charset.decode(raw, data_set[tag].vr, bytes_of(data_set, _CHARACTER_SET)).strip(" \0")
