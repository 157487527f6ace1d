"""Values as text of the DICOM JSON model (PS3.18 F.2): what stands between the brackets of a Value array.

Functions take an element's value as little endian bytes and return JSON text, '' for a value that is empty.
"""

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final

from isocenter.dicom.person_name import GROUPS

quote: Final[Callable[[str], str]] = encode_basestring
"""A JSON string; characters beyond ASCII stay as they are."""

SPLIT_VRS: Final = frozenset(["AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI"])
"""Text of several values with backslashes between them."""
WHOLE_VRS: Final = frozenset(["LT", "ST", "UT", "UR"])
"""Text of one value, in which a backslash is a character."""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_NUMBERS = re.compile(rf"{_NUMBER.pattern}(?:\\{_NUMBER.pattern})*", re.ASCII)
_INTEGERS = re.compile(r"-?(?:0|[1-9]\d*)(?:\\-?(?:0|[1-9]\d*))*", re.ASCII)
_LOOSE_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eE][+-]?\d{1,2})?", re.ASCII)
_SPECIAL: Final = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


@lru_cache(maxsize=16384)
def opening(tag: int, vr: str) -> str:
    """An element's beginning, up to its first value."""
    return f'"{tag:08X}":{{"vr":"{vr}","Value":['


@lru_cache(maxsize=16384)
def empty(tag: int, vr: str) -> str:
    """An element without a value."""
    return f'"{tag:08X}":{{"vr":"{vr}"}}'


def text_values(text: str) -> str:
    """Text of one or more values, padding removed; a value that is empty among others is null."""
    text = text.rstrip(" \0")
    if "\\" not in text:
        return quote(text) if text else ""
    return ",".join([quote(value.rstrip(" \0")) if value.strip(" \0") else "null" for value in text.split("\\")])


def whole_text(text: str) -> str:
    """Text of one value."""
    text = text.rstrip(" \0")
    return quote(text) if text else ""


def name_values(text: str) -> str:
    """Person names as objects with a member a component group."""
    text = text.rstrip(" \0")
    if "=" not in text and "\\" not in text:
        return f'{{"Alphabetic":{quote(text)}}}' if text else ""
    return ",".join([_name(value) for value in text.split("\\")])


def _name(text: str) -> str:
    groups = zip(GROUPS, text.split("=", 2), strict=False)
    members = [f'"{group}":{quote(part.rstrip(" "))}' for group, part in groups if part.strip()]
    return f"{{{','.join(members)}}}" if members else "null"


def number_strings(text: str, *, integer: bool) -> str:
    """IS and DS: numbers with all their digits where the text is one, else strings."""
    text = text.strip(" \0")
    if (_INTEGERS if integer else _NUMBERS).fullmatch(text):
        return text.replace("\\", ",")
    if "\\" not in text:
        return _number_string(text, integer) if text else ""
    return ",".join([_number_string(value.strip(" \0"), integer) for value in text.split("\\")])


def _number_string(text: str, integer: bool) -> str:
    if not text:
        return "null"
    if _NUMBER.fullmatch(text) and not (integer and not text.lstrip("-").isdigit()):
        return text
    loose = _LOOSE_NUMBER.fullmatch(text)
    if loose is None or not (loose[2] or loose[3]):
        return quote(text)
    sign, whole, fraction, exponent = loose.groups()
    if integer:
        if exponent or (fraction or "").strip("0"):
            return quote(text)
        fraction = ""
    sign = "-" if sign == "-" else ""
    return f"{sign}{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}{exponent or ''}"


def _numbers(code: str) -> Callable[[bytes], str]:
    single = struct.Struct(f"<{code}")
    width, unpack = single.size, single.unpack

    def render(value: bytes) -> str:
        if len(value) == width:
            return repr(unpack(value)[0])
        return ",".join(map(repr, struct.unpack_from(f"<{len(value) // width}{code}", value)))

    return render


def _floats(code: str) -> Callable[[bytes], str]:
    plain = _numbers(code)

    def render(value: bytes) -> str:
        text = plain(value)
        return ",".join([_SPECIAL.get(n, n) for n in text.split(",")]) if "n" in text else text

    return render


def _tags(value: bytes) -> str:
    pairs = struct.iter_unpack("<HH", value[: len(value) // 4 * 4])
    return ",".join([f'"{group:04X}{element:04X}"' for group, element in pairs])


def _integer_strings(value: bytes) -> str:
    return number_strings(value.decode("latin_1"), integer=True)


def _decimal_strings(value: bytes) -> str:
    return number_strings(value.decode("latin_1"), integer=False)


NUMBER_FORMS: Final[dict[str, Callable[[bytes], str]]] = {
    "AT": _tags,
    "DS": _decimal_strings,
    "FD": _floats("d"),
    "FL": _floats("f"),
    "IS": _integer_strings,
    "SL": _numbers("i"),
    "SS": _numbers("h"),
    "SV": _numbers("q"),
    "UL": _numbers("I"),
    "US": _numbers("H"),
    "UV": _numbers("Q"),
}
"""The form of each VR whose values are numbers or tags; no character set has a part in them."""
