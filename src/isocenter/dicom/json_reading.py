"""Attributes of the DICOM JSON model (PS3.18 F) as elements: what edits are written in becomes bytes again."""

import base64
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from isocenter.dicom import charset
from isocenter.dicom.charset import CharacterSet
from isocenter.dicom.dataset import DataSet, Element, text
from isocenter.dicom.elements import DEPTH_LIMIT
from isocenter.dicom.person_name import GROUPS

Attribute: TypeAlias = Mapping[str, Any]
"""`{"vr": "LO", "Value": ["..."]}`; without Value an element without a value."""
Charset: TypeAlias = str | bytes | CharacterSet

_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_SPECIAL: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def element_of(attribute: Attribute, declared: Charset = "ISO_IR 192") -> Element:
    """The element that `attribute` stands for, its text in `declared`; what that lacks becomes a question mark.

    Raises ValueError for what is no attribute.
    """
    if "BulkDataURI" in attribute:
        raise ValueError("a value by reference")
    known = declared if isinstance(declared, CharacterSet) else charset.character_set(declared)
    return _element(attribute, known, 0)


def text_of(attribute: Attribute | None) -> str:
    """The values of a text attribute joined by backslashes; '' for none. Raises ValueError for a sequence."""
    if attribute is None:
        return ""
    if attribute.get("vr") == "SQ":
        raise ValueError("a sequence has no text")
    return "\\".join(map(_text, attribute.get("Value", ())))


def fits(attribute: Attribute, declared: Charset) -> bool:
    """Whether all text of `attribute` can be written in `declared`."""
    return all(charset.fits(each, declared) for each in _texts(attribute.get("Value", ())))


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, Mapping):
        return [text for each in values.values() for text in _texts(each)]
    return [text for each in values for text in _texts(each)] if isinstance(values, list | tuple) else []


def _element(attribute: Attribute, declared: CharacterSet, depth: int) -> Element:
    vr, values = attribute.get("vr"), attribute.get("Value", [])
    if not isinstance(vr, str) or not isinstance(values, list) or depth > DEPTH_LIMIT:
        raise ValueError("no attribute of the DICOM JSON model")
    if vr == "SQ":
        return Element("SQ", tuple(_data_set(item, declared, depth + 1) for item in values))
    if "InlineBinary" in attribute:
        return Element(vr, base64.b64decode(attribute["InlineBinary"], validate=True))
    packed = _PACKED.get(vr)
    if packed is not None:
        return Element(vr, packed(values))
    return text(vr, "\\".join(map(_text, values)), declared.terms)


def _data_set(item: Any, declared: CharacterSet, depth: int) -> DataSet:
    if not isinstance(item, Mapping):
        raise ValueError("an item is an object")
    return {int(tag, 16): _element(attribute, declared, depth) for tag, attribute in item.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "=".join(str(value.get(group, "")) for group in GROUPS).rstrip("=")
    return str(value)


def _numbers(form: str) -> Callable[[list[Any]], bytes]:
    real = form in "fd"

    def pack(values: list[Any]) -> bytes:
        numbers = [_SPECIAL.get(v, v) if isinstance(v, str) else v for v in values]
        try:
            return struct.pack(f"<{len(values)}{form}", *(float(v) if real else int(v) for v in numbers))
        except (struct.error, TypeError, OverflowError) as fault:
            raise ValueError("a number that its VR can't hold") from fault

    return pack


def _tags(values: list[Any]) -> bytes:
    tags = [int(str(value), 16) for value in values]
    return b"".join(struct.pack("<HH", tag >> 16 & 0xFFFF, tag & 0xFFFF) for tag in tags)


_PACKED: Final[dict[str, Callable[[list[Any]], bytes]]] = {
    **{vr: _numbers(form) for vr, form in _NUMBERS.items()},
    "AT": _tags,
}
