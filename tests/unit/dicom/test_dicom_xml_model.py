"""The Native DICOM Model: structure, names, private creators, what XML can't carry."""

import struct
import subprocess
from pathlib import Path
from shutil import which
from xml.etree import ElementTree

import pydicom
import pytest

from isocenter.dicom import json_model, xml_model
from isocenter.dicom.uids import EXPLICIT_LE

NS = {"n": xml_model.NAMESPACE}


def _el(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _attribute(data: bytes, tag: str) -> ElementTree.Element:
    root = ElementTree.fromstring(xml_model.write(data, EXPLICIT_LE, bulk_uri="http://here/b"))
    assert root.tag == f"{{{xml_model.NAMESPACE}}}NativeDicomModel"
    found = root.find(f"n:DicomAttribute[@tag='{tag}']", NS)
    assert found is not None
    return found


def test_values_and_keyword() -> None:
    attribute = _attribute(_el(0x00080008, b"CS", b"ORIGINAL\\PRIMARY "), "00080008")
    assert attribute.attrib == {"tag": "00080008", "keyword": "ImageType", "vr": "CS"}
    assert [(v.get("number"), v.text) for v in attribute] == [("1", "ORIGINAL"), ("2", "PRIMARY")]


def test_decimal_strings_keep_their_digits() -> None:
    attribute = _attribute(_el(0x00101030, b"DS", b"70.500 "), "00101030")
    assert [v.text for v in attribute] == ["70.500"]


def test_person_names() -> None:
    data = _el(0x00080005, b"CS", b"ISO_IR 192") + _el(0x00100010, b"PN", "Yamada^Tarou^^Dr=山田^太郎".encode())
    alphabetic, ideographic = _attribute(data, "00100010")[0]
    assert [(part.tag.partition("}")[2], part.text) for part in alphabetic] == [
        ("FamilyName", "Yamada"),
        ("GivenName", "Tarou"),
        ("NamePrefix", "Dr"),
    ]
    assert [part.text for part in ideographic] == ["山田", "太郎"]


def test_private_elements_name_their_creator() -> None:
    data = _el(0x00290010, b"LO", b'MAKER "1" & ') + _el(0x00291001, b"LO", b"x ")
    assert _attribute(data, "00290001").attrib == {"tag": "00290001", "privateCreator": 'MAKER "1" &', "vr": "LO"}
    assert _attribute(_el(0x00291001, b"LO", b"x "), "00291001").attrib == {"tag": "00291001", "vr": "LO"}


def test_forbidden_characters() -> None:
    attribute = _attribute(_el(0x00104000, b"LT", b"a<b>&\x01\x0b\r\n]]>c"), "00104000")
    assert attribute[0].text == "a<b>&\r\n]]>c"


def test_bulk_data_inline_binary_and_items() -> None:
    long = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 4) + b"\0\1\2\3"
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 2) + b"\0\0"
    inner = _el(0x00081150, b"UI", b"1.2\0")
    sequence = struct.pack("<HH2sHIHHI", 0x0008, 0x1140, b"SQ", 0, len(inner) + 8, 0xFFFE, 0xE000, len(inner)) + inner
    data = sequence + long + pixels
    assert _attribute(data, "00091001")[0].text == "AAECAw=="
    assert _attribute(data, "7FE00010")[0].get("uri") == "http://here/b/7FE00010"
    item = _attribute(data, "00081140")[0]
    assert item.get("number") == "1"
    assert item[0].attrib == {"tag": "00081150", "keyword": "ReferencedSOPClassUID", "vr": "UI"}


def test_rows_of_a_query() -> None:
    row = json_model.data_set([json_model.element(0x0020000D, "UI", "1.2"), json_model.element(0x00100020, "LO", "")])
    root = ElementTree.fromstring(xml_model.of_json(row))
    assert [(a.get("tag"), len(a)) for a in root] == [("0020000D", 1), ("00100020", 0)]


@pytest.mark.skipif(which("dcm2xml") is None, reason="dcm2xml of DCMTK is not installed")
@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "reportsi.dcm", "MR_small.dcm"])
def test_says_what_dcmtk_says(name: str) -> None:
    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    theirs = subprocess.run(["dcm2xml", "-nat", "-q", "+Xn", str(path)], capture_output=True, check=True).stdout
    raw = path.read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    syntax = str(pydicom.dcmread(path).file_meta.TransferSyntaxUID)
    mine = ElementTree.fromstring(xml_model.write(raw[start:], syntax, bulk_uri="x"))
    assert _summary(mine) == _summary(ElementTree.fromstring(theirs))


def _summary(root: ElementTree.Element) -> list[tuple[str | None, str | None, list[str]]]:
    """Tag, VR and values of all attributes in order; numbers, padding and bulk data aside."""
    found = []
    for attribute in root.iter():
        if attribute.tag.rpartition("}")[2] == "DicomAttribute" and attribute.get("tag") not in (
            "00080005",
            "FFFCFFFC",
        ):
            values = [v.text or "" for v in attribute if v.tag.rpartition("}")[2] == "Value"]
            plain = attribute.get("vr") not in ("DS", "IS", "FL", "FD", "AT")
            found.append((attribute.get("tag"), attribute.get("vr"), [v.strip() for v in values] if plain else []))
    return found
