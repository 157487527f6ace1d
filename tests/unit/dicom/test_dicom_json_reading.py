"""Attributes of the DICOM JSON model as elements."""

import struct
from typing import Any

import pytest

from isocenter.dicom.dataset import Element
from isocenter.dicom.json_reading import element_of, fits, text_of


@pytest.mark.parametrize(
    ("attribute", "element"),
    [
        ({"vr": "LO", "Value": ["a", "b"]}, Element("LO", b"a\\b")),
        ({"vr": "LO", "Value": ["Lübeck"]}, Element("LO", "Lübeck".encode())),
        ({"vr": "LO"}, Element("LO", b"")),
        ({"vr": "PN", "Value": [{"Alphabetic": "Yamada^Taro", "Ideographic": "山田^太郎"}]},
         Element("PN", "Yamada^Taro=山田^太郎".encode())),
        ({"vr": "PN", "Value": [{"Phonetic": "x"}, None]}, Element("PN", b"==x\\")),
        ({"vr": "DS", "Value": ["1.50", 2]}, Element("DS", b"1.50\\2")),
        ({"vr": "US", "Value": [1, 65535]}, Element("US", b"\1\0\xff\xff")),
        ({"vr": "FD", "Value": [0.5, "Infinity"]}, Element("FD", struct.pack("<dd", 0.5, float("inf")))),
        ({"vr": "AT", "Value": ["00100020"]}, Element("AT", b"\x10\0\x20\0")),
        ({"vr": "OB", "InlineBinary": "AAEC"}, Element("OB", b"\0\1\2")),
        ({"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["C"]}}]},
         Element("SQ", ({0x00080100: Element("SH", b"C")},))),
    ],
)  # fmt: skip
def test_an_attribute_becomes_an_element(attribute: dict[str, Any], element: Element) -> None:
    assert element_of(attribute) == element


@pytest.mark.parametrize(
    "attribute",
    [
        {},
        {"vr": 7},
        {"vr": "LO", "Value": "text"},
        {"vr": "US", "Value": [70000]},
        {"vr": "US", "Value": ["x"]},
        {"vr": "FD", "Value": [None]},
        {"vr": "SQ", "Value": ["no item"]},
        {"vr": "SQ", "Value": [{"zz": {"vr": "LO"}}]},
        {"vr": "AT", "Value": ["patient"]},
        {"vr": "OB", "InlineBinary": "%"},
        {"vr": "OW", "BulkDataURI": "http://x"},
    ],
)
def test_what_is_no_attribute_is_refused(attribute: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        element_of(attribute)


def test_sequences_nest_only_so_deep() -> None:
    attribute: dict[str, Any] = {"vr": "LO", "Value": ["x"]}
    for _ in range(200):
        attribute = {"vr": "SQ", "Value": [{"00081032": attribute}]}
    with pytest.raises(ValueError, match="model"):
        element_of(attribute)


def test_whether_text_fits_a_character_set_is_told_at_all_depths() -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "Дмитрий"}]}
    assert fits(name, "ISO_IR 144")
    assert not fits(name, "ISO_IR 100")
    assert not fits({"vr": "SQ", "Value": [{"00100010": name}]}, "ISO_IR 6")
    assert fits({"vr": "US", "Value": [7]}, "ISO_IR 6")


def test_text_is_joined() -> None:
    assert text_of({"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": "C"}, {"Alphabetic": "B"}]}) == "A==C\\B"
    assert text_of(None) == text_of({"vr": "LO"}) == ""
    with pytest.raises(ValueError, match="no text"):
        text_of({"vr": "SQ"})
