"""Character sets: every term of the catalogue, the standard's examples, code extensions, what the field writes."""
# ruff: noqa: RUF001

import csv
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.multival import MultiValue

from isocenter.dicom import charset
from isocenter.dicom.charset import decode, decode_flagged, encode, fits
from material import REQUIREMENTS

ROWS = list(csv.DictReader((REQUIREMENTS / "iconnect_character_sets.csv").read_text("utf-8").splitlines()))

# one text a term, with a letter that only its repertoire has
SAMPLES = {
    "6": "Smith^John",
    "13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "58": "张^小东",
    "87": "山田^太郎",
    "100": "Buc^Jérôme",
    "101": "Wałęsa^Żółć",
    "109": "Ĉapelo^Ħaż",
    "110": "Bērziņš^Ģirts",
    "126": "Διονυσιος",
    "127": "قباني^لنزار",
    "138": "שרון^דבורה",
    "144": "Люкceмбypг",
    "148": "Çavuşoğlu^Işıl",
    "149": "홍^길동",
    "159": "丂丄",
    "166": "สมชาย^ใจดี",
    "192": "王^小東 é ψ",
    "203": "Œuvre^Žofie€",
    "GBK": "王^小东",
    "GB18030": "王^小东㐀",
}


def _sample(term: str) -> str:
    return SAMPLES[term.rpartition(" ")[2]]


@pytest.mark.req("I-CHAR-01", "M-CHAR-01")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["defined_term"])
def test_term_of_the_catalogue_round_trips(row: dict[str, str]) -> None:
    term = row["defined_term"]
    assert charset.canonical_term(term) == term
    declared = term if term.startswith(("ISO_IR", "GB")) else f"ISO 2022 IR 6\\{term}"
    text = _sample(term)
    raw = encode(text, declared)
    assert decode_flagged(raw, "PN", declared) == (text, True)


@pytest.mark.parametrize("term", charset.TERMS)
def test_every_known_term_decodes_alone(term: str) -> None:
    text = _sample(term)
    assert decode_flagged(encode(text, term), "PN", term) == (text, True)


EXAMPLES = [
    # PS3.5 H.3.1, H.3.2, I.2, J.3, J.4, K.2
    (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
    (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
        "Zhang^XiaoDong=张^小东",
    ),
]


@pytest.mark.req("M-CHAR-02", "I-CHAR-10")
@pytest.mark.parametrize(("declared", "raw", "text"), EXAMPLES, ids=lambda v: v if isinstance(v, str) else "")
def test_examples_of_the_standard(declared: str, raw: bytes, text: str) -> None:
    assert decode_flagged(raw, "PN", declared) == (text, True)
    assert encode(text, declared) == raw


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ISO-IR-100", "ISO_IR 100"),
        ("ISO_IR100", "ISO_IR 100"),
        ("ISO_IR_100 ", "ISO_IR 100"),
        ("iso-ir 192", "ISO_IR 192"),
        ("ISO 2022 IR-87", "ISO 2022 IR 87"),
        ("ISO_2022_IR_87", "ISO 2022 IR 87"),
        ("ISO 2022 58", "ISO 2022 IR 58"),
        ("ISO_IR 149", "ISO 2022 IR 149"),
        ("ISO 2022 IR 192", "ISO_IR 192"),
        ("ISO 2022 GBK", "GBK"),
        ("ISO8859-1", "ISO_IR 100"),
        ("ISO-8859-15", "ISO_IR 203"),
        ("UTF-8", "ISO_IR 192"),
        ("", "ISO_IR 6"),
        ("EBCDIC", None),
        ("ISO_IR 999", None),
    ],
)
@pytest.mark.req("I-CHAR-06")
def test_misspelt_terms(written: str, meant: str | None) -> None:
    assert charset.canonical_term(written) == meant
    assert charset.unknown_terms(written) == (() if meant else (written.strip(),))


def test_empty_first_term_is_the_default_repertoire() -> None:
    raw = b"Yamada=\x1b$B;3ED\x1b(B"
    for declared in ("\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 87", ("", "ISO 2022 IR 87")):
        assert decode(raw, "PN", declared) == "Yamada=山田"


def test_delimiters_return_to_the_initial_state() -> None:
    raw = b"\x1b-F\xc4\xe9\\\xc4\xe9"
    assert decode(raw, "LO", "ISO_IR 100\\ISO 2022 IR 126") == "Δι\\Äé"
    assert decode(b"\x1b-F\xc4^\xc4", "LO", "ISO_IR 100\\ISO 2022 IR 126") == "Δ^Δ"
    assert decode(b"\x1b-F\xc4^\xc4", "PN", "ISO_IR 100\\ISO 2022 IR 126") == "Δ^Ä"
    assert decode(b"\x1b-F\xc4\\\xc4\r\n\xc4", "LT", "ISO_IR 100\\ISO 2022 IR 126") == "Δ\\Δ\r\nÄ"


@pytest.mark.parametrize(
    ("text", "declared"), [("乗^乘", "GBK"), ("誠\\乗", "GB18030"), ("ソ表", "ISO_IR 13"), ("㐀\\㐁", "GB18030")]
)
def test_trail_bytes_are_no_delimiters(text: str, declared: str) -> None:
    codec = {"GBK": "gbk", "GB18030": "gb18030", "ISO_IR 13": "shift_jis"}[declared]
    assert decode(text.encode(codec), "LO", declared) == text


def test_kanji_bytes_are_no_delimiters() -> None:
    text = "\u5cb1"  # in JIS X 0208 its first byte is a caret's code
    coded = encode(text, "\\ISO 2022 IR 87")
    assert decode(coded, "PN", "\\ISO 2022 IR 87") == text
    for lead in (0x5C, 0x5E, 0x3D):
        character = bytes((0x1B, 0x24, 0x42, lead, 0x21)).decode("iso2022_jp")
        assert decode(encode(character, "\\ISO 2022 IR 87"), "PN", "\\ISO 2022 IR 87") == character


def test_undecodable_bytes_are_replaced_and_told() -> None:
    assert decode_flagged(b"a\xff\xfeb", "LO", "ISO_IR 192") == ("a\ufffd\ufffdb", False)
    assert decode_flagged(b"\x1b%Gx", "LO", "ISO_IR 100").intact is False
    assert decode_flagged(b"M\xc3\xbcller", "LO", "") == ("Müller", False)
    assert decode_flagged(b"M\xfcller", "LO", "") == ("Müller", False)
    assert decode_flagged(b"\xfc", "CS", "ISO_IR 192") == ("ü", False)


def test_data_that_forgets_its_escape_sequence() -> None:
    raw = "홍길동".encode("euc_kr")
    assert decode_flagged(raw, "LO", "\\ISO 2022 IR 149") == ("홍길동", False)
    assert decode(b"\x1b$)C\xc8\xab^\xb1\xe6", "PN", "\\ISO 2022 IR 149") == "홍^길"


@pytest.mark.req("I-CHAR-08")
def test_characters_without_equivalent() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("山", "ISO_IR 100")
    assert encode("a山é", "ISO_IR 100", unknown="?") == b"a?\xe9"
    assert encode("a\ud800", "ISO_IR 192", unknown="?") == b"a?"
    assert not fits("山", "ISO_IR 100")
    assert fits("é", "ISO_IR 100")


@pytest.mark.req("I-CHAR-11")
def test_yen_sign_survives() -> None:
    assert decode(b"\x5c100", "LT", "ISO_IR 13") == "¥100"
    assert encode("¥100", "ISO_IR 13", vr="LT") == b"\x5c100"
    assert decode(b"a\x5cb", "LO", "ISO_IR 13") == "a\\b"


@given(raw=st.binary(max_size=60), term=st.sampled_from(charset.TERMS), vr=st.sampled_from(["PN", "LO", "LT", "CS"]))
def test_decoding_never_fails(raw: bytes, term: str, vr: str) -> None:
    for declared in (term, f"\\{term}", f"ISO 2022 IR 13\\{term}\\ISO 2022 IR 87"):
        text = decode(raw, vr, declared)
        text.encode("utf-8")


@given(st.lists(st.sampled_from("山田太郎やまだ홍길동张小东Δέ Äé^=\\abc"), max_size=30).map("".join))
def test_extended_text_round_trips(text: str) -> None:
    declared = "ISO 2022 IR 100\\ISO 2022 IR 126\\ISO 2022 IR 87\\ISO 2022 IR 149\\ISO 2022 IR 58"
    if fits(text, declared):
        assert decode_flagged(encode(text, declared), "PN", declared) == (text, True)


CHARSET_FILES = sorted((Path(pydicom.__file__).parent / "data" / "charset_files").glob("*.dcm"))


@pytest.mark.parametrize("path", CHARSET_FILES, ids=lambda p: p.name)
def test_files_decode_as_pydicom_does(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _compare(pydicom.dcmread(path), "")


def _compare(ds: pydicom.Dataset, declared: str) -> None:
    found = ds.get("SpecificCharacterSet", declared)
    declared = "\\".join(found) if isinstance(found, MultiValue) else found or ""
    for tag in list(ds.keys()):
        raw = ds.get_item(tag)
        if isinstance(raw.value, bytes) and raw.VR in charset.TEXT_VRS:
            mine = decode_flagged(raw.value, raw.VR, declared)
            assert mine.intact
            assert mine.text.rstrip(" =\0") == _joined(ds[tag].value).rstrip(" =\0")
        elif ds[tag].VR == "SQ":
            for item in ds[tag].value:
                _compare(item, declared)


def _joined(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
