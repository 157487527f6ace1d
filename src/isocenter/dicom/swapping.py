"""Byte order of values (PS3.5 7.3): which VRs are made of words, and how wide."""

from array import array
from typing import Final

WORD_BYTES: Final = {
    "AT": 2,
    "FD": 8,
    "FL": 4,
    "OD": 8,
    "OF": 4,
    "OL": 4,
    "OV": 8,
    "OW": 2,
    "SL": 4,
    "SS": 2,
    "SV": 8,
    "UL": 4,
    "US": 2,
    "UV": 8,
}
"""Bytes a word of each VR that byte order applies to; values of other VRs read the same in both."""

_CODES: Final = {array(code).itemsize: code for code in "HIQ"}


def swapped(vr: str, value: bytes) -> bytes:
    """The value in the other byte order; bytes beyond the last whole word stay as they are."""
    width = WORD_BYTES.get(vr)
    return value if width is None else swapped_words(width, value)


def swapped_words(width: int, value: bytes) -> bytes:
    """`value` with the bytes of each word of `width` bytes (2, 4, 8) in the other order."""
    whole = len(value) - len(value) % width
    words = array(_CODES[width], value[:whole])
    words.byteswap()
    return words.tobytes() + value[whole:]
