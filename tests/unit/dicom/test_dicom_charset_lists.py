"""Character sets, list by list: every source's terms, every escape sequence, wrong terms, and pydicom as a witness."""

import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import charset as other

from isocenter.dicom import charset
from isocenter.dicom.charset import canonical_term, character_set, decode, decode_flagged, encode, unknown_terms
from isocenter.dicom.repertoires import BY_ESCAPE, BY_NUMBER, ESC, STAND_ALONE
from material import REQUIREMENTS

IR = (100, 101, 109, 110, 144, 127, 126, 138, 148, 13, 166)
LISTS = {
    "S-CS-06": ["", *(f"ISO_IR {n}" for n in (100, 101, 109, 110, 148, 144, 127, 126, 138, 13, 166, 192)),
                *(f"ISO 2022 IR {n}" for n in (6, *IR, 87, 159, 149, 58)), "GB18030"],
    "M-CHAR-01": ["ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO_IR 192"],
    "P-CHR-01": [f"ISO 2022 IR {n}" for n in (100, 101, 109, 110)],
    "P-CHR-02": ["ISO_IR 100", *(f"ISO-IR {n}" for n in (6, 101, 109, 110, 144, 127, 126, 138, 148, 203, 14, 13, 166))],
    "X-VIEW-43": [*(f"ISO_IR {n}" for n in IR), *(f"ISO 2022 IR {n}" for n in (6, *IR, 87, 159, 149))],
    "X-MOD-84": ["ISO_IR 100", "ISO_IR 144"],
}  # fmt: skip
"""What each source prints, in its spelling."""
ROWS = [(source, term) for source, terms in LISTS.items() for term in terms]


def test_the_lists_are_whole() -> None:
    printed = (Path(REQUIREMENTS).parent / "sendtopacs.md").read_text("utf-8")
    section = printed[printed.index("- **S-CS-06**") : printed.index("## 14. Network")]
    table = re.findall(r"^\| \d+ \| ([^|]*) \|", section, re.MULTILINE)
    assert sorted(term.replace("(empty)", "") for term in table) == sorted(LISTS["S-CS-06"])


@pytest.mark.req("S-CS-06", "M-CHAR-01", "M-CHAR-02", "P-CHR-01", "P-CHR-02", "X-VIEW-43", "X-MOD-84", "X-QR-82")
@pytest.mark.parametrize(("source", "term"), ROWS)
def test_every_term_of_every_list(source: str, term: str) -> None:
    """All the letters that the term stands for are written, read again, and read the same by themselves."""
    assert unknown_terms(term) == ()
    declared = character_set(term if "2022" not in term else f"\\{term}")
    letters = _letters(declared)
    assert letters or declared.terms[0] in ("ISO_IR 6", "ISO 2022 IR 6")
    for vr in ("PN", "LO", "LT"):
        raw = encode(letters, declared, vr=vr)
        assert decode_flagged(raw, vr, declared) == (letters, True)
    assert ESC not in encode(letters, term) or "2022" in term


def _letters(declared: charset.CharacterSet) -> str:
    """Everything of the declared repertoires but ASCII; of the large ones a few hundred characters."""
    if declared.stand_alone:
        return "é王あ" + ("" if declared.codec == "gbk" else "한㐀")
    found = ""
    for repertoire in declared.repertoires:
        if repertoire.double:
            pairs = (bytes([a, b]) for a in (0x22, 0x30, 0x31, 0x4E) for b in range(0x21, 0x7F))
            found += "".join(filter(None, (_read(repertoire.escape + pair, repertoire.codec) for pair in pairs)))
        elif repertoire.codec in ("gb2312", "euc_kr"):
            pairs = (bytes([a, b]) for a in (0xB0, 0xC8) for b in range(0xA1, 0xFF))
            found += "".join(filter(None, (_read(pair, repertoire.codec) for pair in pairs)))
        else:
            found += "".join(filter(None, (_read(bytes([a]), repertoire.codec) for a in range(0xA1, 0x100))))
    return found


def _read(raw: bytes, codec: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return ""


T88 = [
    (100, "G0", b"\x1b(B", "A", b"A"), (100, "G1", b"\x1b-A", "é", b"\xe9"),
    (101, "G0", b"\x1b(B", "A", b"A"), (101, "G1", b"\x1b-B", "ł", b"\xb3"),
    (109, "G0", b"\x1b(B", "A", b"A"), (109, "G1", b"\x1b-C", "ĥ", b"\xb6"),
    (110, "G0", b"\x1b(B", "A", b"A"), (110, "G1", b"\x1b-D", "ķ", b"\xf3"),
]  # fmt: skip
"""Table T88: registration, code element, escape sequence; a letter of it."""


@pytest.mark.req("P-CHR-01", *(f"P-CHR-T88-{n:02}" for n in range(1, 9)))
@pytest.mark.parametrize(("number", "element", "escape", "letter", "code"), T88)
def test_code_elements_of_table_88(number: int, element: str, escape: bytes, letter: str, code: bytes) -> None:
    declared = f"ISO 2022 IR 144\\ISO 2022 IR {number}"
    assert BY_NUMBER[number][0].slot == 1
    assert decode_flagged(escape + code, "PN", declared) == (letter, True)
    if element == "G1":
        assert encode(letter, declared) == escape + code
        # the delimiter goes back to the first value's set, G0 to ASCII after another
        assert decode(escape + code + b"^" + b"\xb1", "PN", declared) == f"{letter}^Б"
    else:
        assert decode(b"\x1b$B\x3b\x33" + escape + code, "PN", "\\ISO 2022 IR 87") == f"山{letter}"


@pytest.mark.req("M-CHAR-02", "X-VIEW-43")
@pytest.mark.parametrize("escape", sorted(BY_ESCAPE))
def test_every_escape_sequence(escape: bytes) -> None:
    """Each designates its repertoire, at once and until a delimiter or another designation."""
    repertoire = BY_ESCAPE[escape]
    letter, code = _one_of(escape)
    declared = "ISO 2022 IR 100\\ISO 2022 IR 87"
    ascii_again = b"\x1b(B" if repertoire.slot == 0 else b""
    raw = b"x" + escape + code + ascii_again + b"^y\xe9"
    assert decode(raw, "PN", declared) == f"x{letter}^yé"
    assert decode(escape + code + ascii_again + b"\\z", "LO", declared) == f"{letter}\\z"
    assert decode(escape + code + ascii_again + b"\r\nz", "LT", declared) == f"{letter}\r\nz"


def _one_of(escape: bytes) -> tuple[str, bytes]:
    repertoire = BY_ESCAPE[escape]
    if escape in (b"\x1b(B", b"\x1b(J"):
        return "A", b"A"
    if repertoire.double:
        codes = {"euc_kr": ("한", b"\x47\x51"), "gb2312": ("张", b"\x55\x45")}
        return codes.get(repertoire.codec) or (
            ("丂", b"\x30\x21") if repertoire.codec == "iso2022_jp_2" else ("山", b"\x3b\x33")
        )
    if repertoire.codec in ("euc_kr", "gb2312"):
        raw = b"\xb0\xa1"
        return raw.decode(repertoire.codec), raw
    raw = next(bytes([a]) for a in range(0xC1, 0xFF) if _read(bytes([a]), repertoire.codec))
    return raw.decode(repertoire.codec), raw


WRONG = {
    "ISO_IR 192": ["ISO IR 192", "ISO-IR 192", "ISO_IR_192", "iso_ir 192", "UTF-8", "utf8", "UTF_8", "ISO 2022 IR 192",
                   "Unicode", "ISO_IR192", "ISO_IR 192 ", "ISO_IR 192\0"],
    "ISO_IR 100": ["ISO_IR_100", "ISO-IR 100", "ISO-IR-100", "ISO IR 100", "IR 100", "100", "ISOIR100", "ISO_IR100",
                   "LATIN1", "Latin-1", "ISO 8859-1", "ISO_8859_1", "ISO8859-1", "8859-1", "CP1252", "windows-1252"],
    "ISO_IR 101": ["LATIN2", "ISO-8859-2", "ISO_IR-101"], "ISO_IR 109": ["latin-3", "ISO 8859-3"],
    "ISO_IR 110": ["Latin 4", "ISO-8859-4"], "ISO_IR 148": ["LATIN5", "ISO 8859-9"],
    "ISO_IR 144": ["cyrillic", "ISO-8859-5"], "ISO_IR 127": ["ISO-8859-6"], "ISO_IR 126": ["ISO-8859-7"],
    "ISO_IR 138": ["ISO-8859-8"], "ISO_IR 166": ["ISO-8859-11", "TIS-620"], "ISO_IR 203": ["ISO-8859-15", "LATIN-9"],
    "ISO_IR 13": ["ISO-IR 13", "SHIFT_JIS", "SJIS", "JIS X 0201", "ISO-IR 14"],
    "ISO 2022 IR 87": ["ISO 2022 IR87", "ISO_2022_IR_87", "ISO-2022-IR-87", "ISO_IR 87", "ISO-2022-JP", "JIS X 0208"],
    "ISO 2022 IR 100": ["ISO_2022_IR_100", "ISO2022 IR 100", "iso 2022 ir 100"],
    "ISO 2022 IR 149": ["ISO_IR 149", "EUC-KR", "KS X 1001", "KSC5601"], "ISO 2022 IR 58": ["GB2312", "ISO_IR 58"],
    "GB18030": ["gb18030", "GB-18030", "ISO 2022 GB18030"], "GBK": ["gbk", "ISO 2022 GBK"],
    "ISO_IR 6": ["", "ISO-IR 6", "ASCII", "US-ASCII"],
}  # fmt: skip


@pytest.mark.req("I-CHAR-06")
@pytest.mark.parametrize(("right", "wrong"), [(right, each) for right, wrong in WRONG.items() for each in wrong])
def test_wrong_terms_are_understood(right: str, wrong: str) -> None:
    assert canonical_term(wrong) == right


@pytest.mark.parametrize("wrong", ["KLINGON", "ISO_IR 999", "ISO 8859-99", "BIG5", "ISO_IR", "?"])
def test_terms_that_name_nothing(wrong: str) -> None:
    assert canonical_term(wrong) is None
    assert unknown_terms(f"ISO_IR 100\\{wrong}") == (wrong,)


# --- pydicom as a witness

WITNESSED = [
    *(f"ISO_IR {n}" for n in (100, 101, 109, 110, 144, 127, 126, 138, 148, 166)), "ISO_IR 192", "GB18030", "GBK",
    *(f"\\ISO 2022 IR {n}" for n in (100, 101, 109, 110, 144, 127, 126, 138, 148, 166, 87, 159, 149, 58)),
    "ISO 2022 IR 100\\ISO 2022 IR 144", "ISO 2022 IR 13\\ISO 2022 IR 87",
]  # fmt: skip


def _texts(declared: str) -> st.SearchStrategy[str]:
    known = character_set(declared)
    letters = _letters(known) + "ABC xyz019"
    return st.text(st.sampled_from(sorted(set(letters))), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@pytest.mark.req("I-CHAR-01", "X-VIEW-43", "S-CS-06")
@pytest.mark.parametrize("declared", [each for each in WITNESSED if "58" not in each])  # pydicom leaves ESC $)A
@given(data=st.data())
def test_pydicom_reads_what_we_write(declared: str, data: st.DataObject) -> None:
    text = data.draw(_texts(declared))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encodings = other.convert_encodings(declared.split("\\"))
        assert other.decode_bytes(encode(text, declared, vr="LO"), encodings, {0x5C, 0x0A, 0x0C, 0x0D, 0x09}) == text


@settings(max_examples=30, deadline=None)
@pytest.mark.req("I-CHAR-01", "X-VIEW-43", "S-CS-06")
@pytest.mark.parametrize("declared", WITNESSED)
@given(data=st.data())
def test_we_read_what_pydicom_writes(declared: str, data: st.DataObject) -> None:
    text = data.draw(_texts(declared))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = other.encode_string(text, other.convert_encodings(declared.split("\\")))
    latin = declared.startswith("\\") and ESC not in written  # it takes the default repertoire for Latin 1
    if b"?" not in written and (written.isascii() or not latin):
        assert decode(written, "LO", declared) == text
    assert _split_alike(text, declared)


def _split_alike(text: str, declared: str) -> bool:
    """Whether values are told apart after decoding as before, whatever their bytes."""
    joined = f"{text}\\{text}"
    return decode(encode(joined, declared, vr="LO"), "LO", declared).split("\\") == [text, text]


@pytest.mark.req("I-CHAR-01")
def test_nothing_is_declared_twice() -> None:
    assert len(charset.TERMS) == len(set(charset.TERMS))
    assert set(STAND_ALONE) < set(charset.TERMS)
