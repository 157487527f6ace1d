"""Values of elements as texts and back: what rules compare and write.

Numbers are written in decimals, attribute tags as eight hexadecimal digits; values are trimmed. What is no text and no
number (OB, UN, sequences) has no values here, though it exists.
"""

import struct
from typing import Final

from isocenter.dicom import charset
from isocenter.dicom.dataset import Element

_NUMBERS: Final = dict(US="H", SS="h", UL="I", SL="i", UV="Q", SV="q", FL="f", FD="d")  # noqa: C408 - a table
_TEXTS: Final = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
)
_SINGLE: Final = frozenset(["LT", "ST", "UT", "UR"])
_LONGEST: Final = 1 << 16
"""Bytes of a value that are looked at."""
MOST: Final[dict[str, int]] = {
    "AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "PN": 64 * 3 + 2,
    "SH": 16, "ST": 1024, "TM": 14, "UI": 64,
}  # fmt: skip
"""Characters of one value (PS3.5 6.2); of a person name those of its three groups together."""


def texts_of(element: Element, declared: bytes) -> tuple[str, ...]:
    """The values of an element, () if it is empty or has none. `declared` is the value of (0008,0005) that holds."""
    vr, value = element
    if not isinstance(value, bytes) or not value:
        return ()
    if vr in _TEXTS:
        text = charset.decode(value[:_LONGEST], vr, declared)
        if vr in _SINGLE:
            text = text.rstrip(" \0")
            return (text,) if text else ()
        values = tuple(one.strip(" \0") for one in text.split("\\"))
        return values if any(values) else ()
    if vr == "AT":
        pairs = struct.iter_unpack("<HH", value[: len(value) - len(value) % 4])
        return tuple(f"{group:04X}{number:04X}" for group, number in pairs)
    form = _NUMBERS.get(vr)
    if form is None:
        return ()
    whole = value[: len(value) - len(value) % struct.calcsize(form)]
    numbers = (number for (number,) in struct.iter_unpack("<" + form, whole))
    return tuple(f"{number:.10g}" if vr in ("FL", "FD") else str(number) for number in numbers)


def element_of(vr: str, values: tuple[str, ...], declared: bytes) -> Element:
    """The element of these values. Characters that the character set lacks become question marks.

    Raises ValueError where they can't be values of this VR.
    """
    if vr in _TEXTS:
        text = "\\".join(values)
        raw = text.encode("ascii") if text.isascii() else charset.encode(text, declared, vr=vr, unknown="?")
        return Element(vr, raw)
    kept = [value for value in values if value]
    try:
        if vr == "AT":
            return Element(vr, b"".join(struct.pack("<HH", int(v[:4], 16), int(v[4:], 16)) for v in kept))
        form = _NUMBERS[vr]
        number = float if vr in ("FL", "FD") else int
        return Element(vr, b"".join(struct.pack("<" + form, number(value)) for value in kept))
    except KeyError:
        raise ValueError(f"a value of VR {vr} can't be written as text") from None
    except (ValueError, struct.error, OverflowError) as error:
        raise ValueError(f"not a value of VR {vr}") from error


def writable(vr: str) -> bool:
    """Whether `element_of` knows the VR."""
    return vr in _TEXTS or vr in _NUMBERS or vr == "AT"


def is_text(vr: str) -> bool:
    """Whether values of the VR are characters."""
    return vr in _TEXTS


def too_long(vr: str, value: str) -> bool:
    """Whether one value has more characters than its VR takes."""
    return len(value) > MOST.get(vr, _LONGEST)
