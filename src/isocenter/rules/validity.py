"""Elements that no reader can make sense of: values that their VR does not allow, groups that no data set has.

PS3.5 6.2, 7.1 and 7.8; for AEs that discard what offends (I-STORE-04). Only the top level is looked at. What
identifies the object stays, whatever it looks like.
"""

import re
from collections.abc import Iterator
from typing import Final

from isocenter.dicom import charset
from isocenter.dicom.elements import PIXEL_TAGS, Encoding, Window, read_header
from isocenter.dicom.jumping import RawElement, skip_undefined
from isocenter.dicom.swapping import WORD_BYTES
from isocenter.rules.values import MOST, is_text

_KEPT: Final = frozenset([0x00080005, 0x00080016, 0x00080018, 0x00100020, 0x0020000D, 0x0020000E])
"""Never discarded: character set, the UIDs of class, instance, study and series, Patient ID."""
_BAD_GROUPS: Final = frozenset([0x0000, 0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0xFFFF])
_LONGEST: Final = 1 << 16
_SINGLE: Final = frozenset(["LT", "ST"])
_FORMS: Final = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "DA": re.compile(r"\d{8}|\d{4}\.\d{2}\.\d{2}"),
    "DS": re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *"),
    "DT": re.compile(r"\d{4}(\d{2}){0,5}(\.\d{1,6})?([+-]\d{4})?"),
    "IS": re.compile(r" *[+-]?\d+ *"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?|\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"),
    "UI": re.compile(r"[0-9.]+"),
}


def top_level(window: Window, encoding: Encoding) -> Iterator[tuple[int, RawElement]]:
    """The elements of the top level up to the pixel data, without sequences and long values."""
    pos = 0
    while not window.ended(pos):
        tag, vr, length, offset, implicit = read_header(window, pos, encoding)
        if tag in PIXEL_TAGS:
            return
        pos = offset + length
        if length < 0:
            pos = skip_undefined(window, offset, vr, tag, Encoding(implicit, encoding.little))[1]
        elif vr != "SQ" and tag >> 16 != 0xFFFE and length <= _LONGEST:
            yield tag, RawElement(vr, window.bytes_at(offset, length))


def is_invalid(tag: int, element: RawElement, declared: bytes) -> bool:
    """Whether an element is to be discarded. `declared` is the value of (0008,0005) that holds."""
    if tag in _KEPT:
        return False
    if tag >> 16 in _BAD_GROUPS:
        return True
    vr, value = element
    if not is_text(vr):
        return len(value) % WORD_BYTES.get(vr, 1) != 0
    decoded = charset.decode_flagged(value, vr, declared)
    if not decoded.intact:
        return True
    values = [decoded.text] if vr in _SINGLE else decoded.text.split("\\")
    return any(_is_bad(vr, one.strip(" \0")) for one in values)


def _is_bad(vr: str, value: str) -> bool:
    form = _FORMS.get(vr)
    return len(value) > MOST.get(vr, _LONGEST) or bool(value and form and not form.fullmatch(value))
