"""The DICOM JSON model, element by element, and bulk data found again by its path."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom import json_model
from isocenter.dicom.bulk_data import bulk_value, locate_bytes, parse_path
from isocenter.dicom.deflate import deflate
from isocenter.dicom.elements import LONG_VRS, MalformedDataSet
from isocenter.dicom.uids import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG_BASELINE
from isocenter.errors import Refused

URI = "https://here/studies/1/bulkdata"


def el(tag: int, vr: str, value: bytes, *, length: int | None = None, order: str = "<") -> bytes:
    """One element in Explicit VR."""
    n = len(value) if length is None else length
    head = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    long = vr in LONG_VRS
    return head + (struct.pack(f"{order}HI", 0, n) if long else struct.pack(f"{order}H", n)) + value


def implicit(tag: int, value: bytes) -> bytes:
    """One element in Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def item(value: bytes, *, defined: bool = True) -> bytes:
    """One item of a sequence."""
    if defined:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + value + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def read(data: bytes, syntax: str = EXPLICIT_LE, **options: Any) -> dict[str, Any]:
    options.setdefault("bulk_uri", URI)
    return dict(json.loads(json_model.write(data, syntax, **options)))


def one(vr: str, value: bytes, **options: Any) -> dict[str, Any]:
    """The element (0009,1001) of `vr` as JSON, without its VR."""
    element = read(el(0x00091001, vr, value), **options)["00091001"]
    assert element.pop("vr") == vr
    return dict(element)


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("LO", b'quote " and \ttab', ['quote " and \ttab']),
        ("LO", b"a\\\\b ", ["a", None, "b"]),
        ("LT", b"a\\b  ", ["a\\b"]),
        ("UI", b"1.2.3\0", ["1.2.3"]),
        ("UR", b"http://x/y?a\\b ", ["http://x/y?a\\b"]),
        ("US", struct.pack("<3H", 1, 2, 65535), [1, 2, 65535]),
        ("SS", struct.pack("<h", -1), [-1]),
        ("UL", struct.pack("<I", 2**32 - 1), [2**32 - 1]),
        ("SL", struct.pack("<2i", -(2**31), 7), [-(2**31), 7]),
        ("SV", struct.pack("<q", -(2**63)), [-(2**63)]),
        ("UV", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
        ("FD", struct.pack("<2d", 1.5, 1e300), [1.5, 1e300]),
        ("FL", struct.pack("<f", 0.25), [0.25]),
        ("AT", struct.pack("<4H", 0x0020, 0x000D, 0x7FE0, 0x0010), ["0020000D", "7FE00010"]),
        ("PN", b"Doe^John ", [{"Alphabetic": "Doe^John"}]),
        ("PN", b"A^B=C=D\\=E", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}, {"Ideographic": "E"}]),
        ("PN", b"A\\\\B", [{"Alphabetic": "A"}, None, {"Alphabetic": "B"}]),
        ("IS", b" 12\\-7\\+5\\007\\ ", [12, -7, 5, 7, None]),
        ("IS", b"12.0\\1.5\\1E2\\x ", [12, "1.5", "1E2", "x"]),
        ("DS", b"1.5\\-.5\\+2.\\1e3\\007.50\\1,5 ", [1.5, -0.5, 2, 1000.0, 7.5, "1,5"]),
        ("DS", b"1_000\\NaN\\1e999\\. ", ["1_000", "NaN", "1e999", "."]),
    ],
)
def test_values(vr: str, value: bytes, expected: list[Any]) -> None:
    assert one(vr, value) == {"Value": expected}


@pytest.mark.parametrize("vr", ["LO", "PN", "DS", "IS", "US", "OB", "SQ", "UT", "UN", "AT", "FD"])
def test_empty_values(vr: str) -> None:
    assert one(vr, b"") == {}
    assert vr not in ("LO", "PN", "DS", "IS", "UT") or one(vr, b"  ") == {}


def test_decimal_strings_keep_their_digits() -> None:
    assert b"[1.500000,-0.10,1E-05]" in json_model.write(
        el(0x00091001, "DS", b"1.500000\\-0.10\\1E-05 "), EXPLICIT_LE, bulk_uri=None
    )


def test_numbers_that_json_lacks() -> None:
    assert one("FD", struct.pack("<4d", math.nan, math.inf, -math.inf, 1)) == {
        "Value": ["NaN", "Infinity", "-Infinity", 1.0]
    }


def test_binary_inline_and_by_reference() -> None:
    assert one("OB", b"\0\1\2\3") == {"InlineBinary": base64.b64encode(b"\0\1\2\3").decode()}
    assert one("OW", bytes(1026)) == {"BulkDataURI": f"{URI}/00091001"}
    assert one("OW", bytes(1026), threshold=2000) == {"InlineBinary": base64.b64encode(bytes(1026)).decode()}
    assert "InlineBinary" in one("UN", bytes(5000), bulk_uri=None)
    assert one("UT", b"x" * 600, text_threshold=500) == {"BulkDataURI": f"{URI}/00091001"}
    assert one("UT", b"x" * 600) == {"Value": ["x" * 600]}


def test_pixel_data_is_never_inline() -> None:
    data = el(0x00080060, "CS", b"CT") + el(0x7FE00010, "OW", b"\0\0")
    assert read(data)["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{URI}/7FE00010"}
    assert "7FE00010" not in read(data, bulk_uri=None)
    assert "7FE00010" not in read(data, skip=frozenset([0x7FE00010]))
    cut = el(0x00080060, "CS", b"CT")
    assert read(cut, pixel=(0x7FE00010, "OW")) == read(data)


def test_encapsulated_pixel_data() -> None:
    fragments = item(b"") + item(b"\xff\xd8\xff\xd9")
    data = el(0x7FE00010, "OB", fragments + SEQUENCE_END, length=0xFFFFFFFF)
    assert read(data, JPEG_BASELINE) == {"7FE00010": {"vr": "OB", "BulkDataURI": f"{URI}/7FE00010"}}
    assert bulk_value(data, JPEG_BASELINE, "7FE00010") == ("OB", memoryview(fragments))
    assert locate_bytes(data, JPEG_BASELINE, "7FE00010") == ("OB", 12, len(fragments), True, 1)


def test_what_is_left_out() -> None:
    data = (
        el(0x00020010, "UI", b"1.2\0")
        + el(0x00080000, "UL", struct.pack("<I", 4))
        + el(0x00080060, "CS", b"CT")
        + el(0xFFFCFFFC, "OB", bytes(4))
    )
    assert list(read(data)) == ["00080060"]
    assert read(el(0x00080060, "CS", b"CT"), skip=frozenset([0x00080060])) == {}


@pytest.mark.parametrize("defined", [True, False])
def test_sequences(defined: bool) -> None:
    inner = el(0x00081150, "UI", b"1.2\0") + el(0x00091001, "OB", bytes(2000))
    items = item(inner, defined=defined) + item(b"", defined=defined)
    value = items if defined else items + SEQUENCE_END
    data = el(0x00081140, "SQ", value, length=None if defined else 0xFFFFFFFF) + el(0x00200011, "IS", b"4 ")
    assert read(data) == {
        "00081140": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2"]},
                    "00091001": {"vr": "OB", "BulkDataURI": f"{URI}/00081140/1/00091001"},
                },
                {},
            ],
        },
        "00200011": {"vr": "IS", "Value": [4]},
    }
    assert bulk_value(data, EXPLICIT_LE, "00081140/1/00091001") == ("OB", memoryview(bytes(2000)))
    assert bulk_value(data, EXPLICIT_LE, "00081140/1/00081150")[0] == "UI"


@pytest.mark.req("I-CHAR-05")
def test_character_sets() -> None:
    name = "山田^太郎".encode("gb18030")
    data = el(0x00080005, "CS", b"GB18030 ") + el(0x00100010, "PN", name)
    assert read(data) == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "山田^太郎"}]},
    }


def test_character_set_of_an_item() -> None:
    inner = el(0x00080005, "CS", b"ISO_IR 192") + el(0x00081080, "LO", "é ".encode() + b" ")
    data = (
        el(0x00080005, "CS", b"ISO_IR 100")
        + el(0x00081140, "SQ", item(inner) + item(el(0x00081080, "LO", b"\xe9 ")))
        + el(0x00100010, "PN", b"\xe9 ")
    )
    found = read(data)
    first, second = found["00081140"]["Value"]
    assert first["00081080"]["Value"] == second["00081080"]["Value"] == ["é"]
    assert first["00080005"]["Value"] == ["ISO_IR 192"]
    assert found["00100010"]["Value"] == [{"Alphabetic": "é"}]


@pytest.mark.req("I-CHAR-04")
def test_character_set_that_is_missing() -> None:
    data = el(0x00080001, "UL", bytes(4)) + el(0x00080060, "CS", b"CT") + el(0x00100010, "PN", b"\xc4 ")
    assert list(read(data, default_charset="ISO_IR 126")) == ["00080001", "00080005", "00080060", "00100010"]
    assert read(data, default_charset="ISO_IR 126")["00100010"]["Value"] == [{"Alphabetic": "Δ"}]
    assert "00080005" not in read(el(0x00080060, "CS", b"CT"))


def test_implicit_vr_takes_signs_from_pixel_representation() -> None:
    padding, representation = implicit(0x00280120, b"\xff\xff"), implicit(0x00280103, b"\1\0")
    assert read(padding, IMPLICIT_LE)["00280120"] == {"vr": "US", "Value": [65535]}
    assert read(representation + padding, IMPLICIT_LE)["00280120"] == {"vr": "SS", "Value": [-1]}
    nested = representation + implicit(0x00283010, item(implicit(0x00283002, struct.pack("<3h", 4, -5, 16))))
    assert read(nested, IMPLICIT_LE)["00283010"]["Value"][0]["00283002"] == {"vr": "SS", "Value": [4, -5, 16]}


def test_unknown_vr_of_known_elements() -> None:
    sequence = item(implicit(0x00081150, b"1.2\0"))
    data = el(0x00081140, "UN", sequence) + el(0x00100010, "UN", b"A^B ") + el(0x00290010, "UN", b"MAKER ")
    assert read(data) == {
        "00081140": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00290010": {"vr": "LO", "Value": ["MAKER"]},
    }
    assert bulk_value(data, EXPLICIT_LE, "00081140/1/00081150") == ("UI", memoryview(b"1.2\0"))
    broken = el(0x00081140, "UN", b"\1\2\3\4\5\6\7\x08")
    assert read(broken)["00081140"] == {"vr": "UN", "InlineBinary": "AQIDBAUGBwg="}


def test_big_endian_words_are_swapped() -> None:
    data = el(0x00091001, "OW", b"\1\2\3\4", order=">") + el(0x00280010, "US", b"\2\0", order=">")
    assert read(data, EXPLICIT_BE) == {
        "00091001": {"vr": "OW", "InlineBinary": base64.b64encode(b"\2\1\4\3").decode()},
        "00280010": {"vr": "US", "Value": [512]},
    }
    assert bulk_value(data, EXPLICIT_BE, "00091001") == ("OW", memoryview(b"\2\1\4\3"))


def test_deflated() -> None:
    data = el(0x00080060, "CS", b"CT") + el(0x00091001, "OB", bytes(2000))
    assert read(deflate(data), DEFLATED_LE) == read(data)
    assert bulk_value(deflate(data), DEFLATED_LE, "00091001") == ("OB", memoryview(bytes(2000)))


def test_members_come_in_the_order_of_tags_once_each() -> None:
    data = el(0x00080060, "CS", b"CT") + el(0x00080016, "UI", b"1.2\0") + el(0x00080060, "CS", b"MR")
    written = json_model.write(data, EXPLICIT_LE, bulk_uri=None)
    assert written == b'{"00080016":{"vr":"UI","Value":["1.2"]},"00080060":{"vr":"CS","Value":["MR"]}}'


def test_cache_changes_nothing_but_the_time() -> None:
    sequence = el(0x00081140, "SQ", item(el(0x00081150, "UI", b"1.2\0")) + item(el(0x00091001, "OB", bytes(2000))))
    latin = el(0x00080005, "CS", b"ISO_IR 100") + el(0x00100010, "PN", b"\xc4 ") + sequence
    greek = el(0x00080005, "CS", b"ISO_IR 126") + el(0x00100010, "PN", b"\xc4 ") + sequence
    known: dict[bytes, str] = {}
    for data in (latin, greek, latin, greek):
        for uri in ("a", "b"):
            assert read(data, cache=known, bulk_uri=uri) == read(data, bulk_uri=uri)


def test_malformed_and_deep_data() -> None:
    with pytest.raises(MalformedDataSet):
        read(el(0x00100010, "PN", b"A", length=400) + bytes(8))
    deep = b""
    for _ in range(80):
        deep = el(0x00081140, "SQ", item(deep))
    with pytest.raises(MalformedDataSet):
        read(deep)
    unknown = b""
    for _ in range(80):
        unknown = implicit(0x00081140, item(unknown))
    assert read(el(0x00081140, "UN", unknown[8:]))["00081140"]["vr"] in ("UN", "SQ")


@pytest.mark.parametrize(
    "path", ["", "0010", "00081140/0/00081150", "00081140/1", "../00081140", "0008114G", "00081140/1/"]
)
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(Refused):
        parse_path(path)


def test_paths_that_lead_nowhere() -> None:
    data = el(0x00081140, "SQ", item(el(0x00081150, "UI", b"1.2\0")))
    for path in (
        "00081150",
        "00081140/2/00081150",
        "00081140/1/00081155",
        "00081140",
        "00081140/1/00081150/1/00081150",
    ):
        with pytest.raises(Refused):
            bulk_value(data, EXPLICIT_LE, path)


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE]))
def test_any_bytes_give_json_or_are_refused(data: bytes, syntax: str) -> None:
    try:
        written = json_model.write(data, syntax, bulk_uri=URI)
    except Refused:
        return
    json.loads(written)


@given(
    st.lists(
        st.tuples(
            st.integers(0x00091000, 0x000910FF),
            st.sampled_from(
                sorted({"LO", "UT", "PN", "DS", "IS", "US", "FD", "FL", "AT", "OB", "UN", "SQ", "SL", "CS", "UI"})
            ),
            st.binary(max_size=24),
        ),
        max_size=6,
    )
)
def test_any_values_give_json(elements: list[tuple[int, str, bytes]]) -> None:
    data = b"".join(el(tag, vr, value if vr != "SQ" else item(b"")) for tag, vr, value in elements)
    found = json.loads(json_model.write(data, EXPLICIT_LE, bulk_uri=URI))
    assert set(found) - {"00080005"} == {f"{tag:08X}" for tag, _, _ in elements}
    assert all(element.get("Value", [0]) for element in found.values())


def test_rows_of_a_query() -> None:
    row = json_model.data_set(
        [
            json_model.CHARACTER_SET_ELEMENT,
            json_model.element(0x00080061, "CS", ["CT", "MR"]),
            json_model.element(0x00080201, "SH", ""),
            json_model.sequence(0x00081110, [json_model.data_set([json_model.element(0x00081150, "UI", "1.2")])]),
            json_model.sequence(0x00081120, []),
            json_model.element(0x00100010, "PN", "Yamada^Tarou=山田^太郎"),
            json_model.element(0x00101010, "AS", None),
            json_model.element(0x00101020, "DS", ["1.80", None]),
            json_model.element(0x00201208, "IS", 12),
        ]
    )
    assert json.loads(row) == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
        "00080201": {"vr": "SH"},
        "00081110": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]},
        "00081120": {"vr": "SQ"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00101010": {"vr": "AS"},
        "00101020": {"vr": "DS", "Value": [1.8, None]},
        "00201208": {"vr": "IS", "Value": [12]},
    }
