"""Text in another character set: at every level, in every encoding, against pydicom and back."""

import io
import warnings
from contextlib import suppress
from functools import partial

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from isocenter.dicom import charset, uids
from isocenter.dicom.convert import convert
from isocenter.dicom.dataset import DataSet, Element, decode, encode, text, uid
from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.overlay import Edited, Overlay
from isocenter.dicom.recoding import Recode, recoding
from isocenter.dicom.uids import transfer_syntax

NATIVE = [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE]
SETS = [*charset.TERMS, "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159", "\\ISO 2022 IR 149"]
NAME, COMMENTS, DESCRIPTION = 0x00100010, 0x00204000, 0x00081030
CHARSET, SEQUENCE, INNER = 0x00080005, 0x00400275, 0x00321060


def recoded(data: bytes, syntax: str, wanted: Recode) -> bytes:
    def read(at: int, n: int) -> bytes:
        return data[at : at + n]

    edited = Edited(read, len(data), syntax, partial(recoding, syntax=syntax, wanted=wanted))
    made = b"".join(edited.pieces())
    if not transfer_syntax(syntax).deflated:
        assert edited.size() == len(made)
    return made


def sample(declared: str, name: str, comments: str = "plain", *, inner: str | None = None) -> DataSet:
    """Text at the top level and in an item, which may name a set of its own."""
    inside = declared if inner is None else inner
    item: DataSet = {INNER: text("LO", name.replace("^", " "), inside), 0x00400007: text("LO", "x")}
    if inner is not None:
        item[CHARSET] = text("CS", inner)
    found: DataSet = {
        0x00080016: uid("1.2.840.10008.5.1.4.1.1.2"), DESCRIPTION: text("LO", f"{name}\\{name}", declared),
        NAME: text("PN", name, declared), COMMENTS: text("LT", comments, declared),
        SEQUENCE: Element("SQ", (item, {SEQUENCE: Element("SQ", (item,))})),
        0x00191001: Element("UN", b"\xff\xe9\x1b$B"), 0x7FE00010: Element("OW", b"\xe9\x1b" * 8),
    }  # fmt: skip
    if declared:
        found[CHARSET] = text("CS", declared)
    return found


def texts(elements: DataSet) -> list[str]:
    """All texts that `sample` made, decoded as the data set says."""
    declared = elements[CHARSET].value if CHARSET in elements else b""
    assert isinstance(declared, bytes)
    found = []
    for tag, (vr, value) in sorted(elements.items()):
        if isinstance(value, tuple):
            for item in value:
                within = item.get(CHARSET, Element("CS", declared))
                found += texts({**item, CHARSET: within})
        elif vr in charset.TEXT_VRS and not tag >> 16 & 1:
            found.append(charset.decode(value, vr, declared.strip(b" ")).strip())
    return found


WORDS = {
    "ISO_IR 100": "Buc^Jérôme", "ISO_IR 101": "Wałęsa^Ż", "ISO_IR 144": "Люкс^Б", "ISO_IR 192": "Jérôme^é",
    "GB18030": "é^è", "\\ISO 2022 IR 87": "山田^太郎", "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ", "\\ISO 2022 IR 149": "홍^길동",
    "GBK": "王^小东", "\\ISO 2022 IR 58": "张^小东", "ISO_IR 127": "قباني^ل",
    "ISO 2022 IR 100\\ISO 2022 IR 126": "é^Δι",
}  # fmt: skip


@pytest.mark.req("I-CHAR-07", "I-SEND-07", "S-CS-05")
@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("declared", WORDS)
def test_there_and_back(declared: str, syntax: str) -> None:
    before = encode(sample(declared, WORDS[declared]), syntax)
    utf8 = recoded(before, syntax, Recode("ISO_IR 192"))
    there = decode(utf8, syntax)
    assert there[CHARSET].value == b"ISO_IR 192"
    assert texts(there) == texts(decode(before, syntax))
    assert "�" not in "".join(texts(there))
    assert there[0x00191001] == decode(before, syntax)[0x00191001]
    assert there[0x7FE00010] == decode(before, syntax)[0x7FE00010]
    back = recoded(utf8, syntax, Recode(declared))
    assert decode(back, syntax) == decode(before, syntax)
    if syntax != uids.DEFLATED_LE:
        assert back == before


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE])
@pytest.mark.parametrize("declared", ["ISO_IR 100", "ISO_IR 144", "\\ISO 2022 IR 87", "\\ISO 2022 IR 149"])
def test_pydicom_reads_the_same(declared: str, syntax: str) -> None:
    before = encode(sample(declared, WORDS[declared]), syntax)
    after = recoded(before, syntax, Recode("ISO_IR 192"))
    one, other = (_by_pydicom(data, syntax) for data in (before, after))
    assert str(other.PatientName) == str(one.PatientName) == WORDS[declared]
    assert other.StudyDescription == one.StudyDescription
    inside = [each.RequestAttributesSequence[0].RequestedProcedureDescription for each in (one, other)]
    assert inside[0] == inside[1]


def _by_pydicom(data: bytes, syntax: str) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_dataset(io.BytesIO(data), syntax == uids.IMPLICIT_LE, is_little_endian=True)


@pytest.mark.parametrize("syntax", NATIVE)
def test_undefined_lengths_and_conversion(syntax: str) -> None:
    """Sequences of undefined length keep it; the result can be converted on."""
    raw = b"".join(convert(*_source(encode(sample("ISO_IR 100", "é^è"), uids.EXPLICIT_LE)), uids.EXPLICIT_LE, syntax))
    data = raw if syntax == uids.DEFLATED_LE else _undefined(raw, syntax)
    read, size = _source(data)
    edited = Edited(read, size, syntax, partial(recoding, syntax=syntax, wanted=Recode("ISO_IR 192")))
    assert texts(decode(b"".join(edited.pieces()), syntax)) == texts(decode(data, syntax))
    for target in NATIVE:
        assert texts(decode(b"".join(edited.converted(target)), target)) == texts(decode(data, syntax))


def _source(data: bytes):  # type: ignore[no-untyped-def]
    return (lambda at, n: data[at : at + n]), len(data)


def _undefined(data: bytes, syntax: str) -> bytes:
    """The same with the last sequence of undefined length."""
    little = transfer_syntax(syntax).little
    order = "little" if little else "big"
    tag = (0x0040).to_bytes(2, order) + (0x0275).to_bytes(2, order)
    at = data.index(tag)
    width = 8 if transfer_syntax(syntax).implicit else 12
    length = int.from_bytes(data[at + width - 4 : at + width], order)
    end = at + width + length
    delimiter = (0xFFFE).to_bytes(2, order) + (0xE0DD).to_bytes(2, order) + bytes(4)
    return data[: at + width - 4] + b"\xff" * 4 + data[at + width : end] + delimiter + data[end:]


def test_items_with_sets_of_their_own_lose_them() -> None:
    before = sample("ISO_IR 100", "é", inner="ISO_IR 144")
    before[SEQUENCE] = Element("SQ", ({CHARSET: text("CS", "ISO_IR 144"), INNER: text("LO", "Люкс", "ISO_IR 144")},))
    after = decode(recoded(encode(before, uids.EXPLICIT_LE), uids.EXPLICIT_LE, Recode("ISO_IR 192")), uids.EXPLICIT_LE)
    (item,) = after[SEQUENCE].value
    assert isinstance(item, dict)
    assert item == {INNER: text("LO", "Люкс", "ISO_IR 192")}


@pytest.mark.req("I-CHAR-08")
@pytest.mark.parametrize(("unknown", "wanted"), [("?", b"?" * 2 + b"^" + b"?" * 2), ("_", b"__^__")])
def test_what_the_set_lacks(unknown: str, wanted: bytes) -> None:
    before = encode(sample("ISO_IR 192", "山田^太郎"), uids.EXPLICIT_LE)
    after = decode(recoded(before, uids.EXPLICIT_LE, Recode("ISO_IR 100", unknown)), uids.EXPLICIT_LE)
    value = after[NAME].value
    assert isinstance(value, bytes)
    assert value.rstrip() == wanted
    assert after[CHARSET].value == b"ISO_IR 100"


@pytest.mark.req("S-CS-05")
def test_the_default_repertoire_is_not_named() -> None:
    before = encode(sample("ISO_IR 100", "Jérôme"), uids.EXPLICIT_LE)
    for terms in ("", "ISO_IR 6"):
        after = decode(recoded(before, uids.EXPLICIT_LE, Recode(terms)), uids.EXPLICIT_LE)
        assert CHARSET not in after
        assert after[NAME].value == b"J?r?me"


@pytest.mark.req("I-CHAR-04", "I-CHAR-07")
def test_an_undeclared_set_is_assumed() -> None:
    elements = sample("", "x")
    elements[NAME] = text("PN", "Wałęsa", "ISO_IR 101")
    elements[0x00080000] = Element("UL", b"\x10\0\0\0")
    data = encode(elements, uids.EXPLICIT_LE)
    after = decode(recoded(data, uids.EXPLICIT_LE, Recode("ISO_IR 192", assumed="ISO_IR 101")), uids.EXPLICIT_LE)
    assert after[CHARSET].value == b"ISO_IR 192"
    assert after[NAME] == text("PN", "Wałęsa", "ISO_IR 192")
    assert list(after) == sorted(after)


@pytest.mark.parametrize("syntax", NATIVE[:3])
def test_what_needs_nothing_leaves_byte_for_byte(syntax: str) -> None:
    plain = encode(sample("", "Smith^John"), syntax)
    assert recoded(plain, syntax, Recode("ISO_IR 192")) == plain
    utf8 = encode(sample("ISO_IR 192", "Jérôme"), syntax)
    assert recoded(utf8, syntax, Recode("ISO_IR 192")) == utf8


@pytest.mark.req("I-CHAR-11")
def test_the_yen_sign() -> None:
    """05/12 of ISO_IR 13 is a yen sign in paragraphs, and the delimiter elsewhere."""
    before = sample("ISO_IR 13", "ﾔﾏﾀﾞ", "x")
    before[COMMENTS] = Element("LT", b"\\1000 \xd4")
    raw = encode(before, uids.EXPLICIT_LE)
    utf8 = recoded(raw, uids.EXPLICIT_LE, Recode("ISO_IR 192"))
    there = decode(utf8, uids.EXPLICIT_LE)
    assert there[COMMENTS] == text("LT", "¥1000 ﾔ", "ISO_IR 192")
    assert texts(there)[0] == "ﾔﾏﾀﾞ\\ﾔﾏﾀﾞ"
    assert recoded(utf8, uids.EXPLICIT_LE, Recode("ISO_IR 13")) == raw
    # a backslash has no place there
    slash = encode(sample("ISO_IR 192", "é", "a\\b"), uids.EXPLICIT_LE)
    after = decode(recoded(slash, uids.EXPLICIT_LE, Recode("ISO_IR 13", "/")), uids.EXPLICIT_LE)
    assert after[COMMENTS].value == b"a/b "


def test_after_other_changes() -> None:
    """What edits and rules lay over an object is in its own set, and is brought into the wanted one with the rest."""
    for syntax in NATIVE:
        data = encode(sample("ISO_IR 100", "Jérôme"), syntax)
        overlay = Overlay(*_source(data), syntax, {NAME: text("PN", "Zoë", "ISO_IR 100"), DESCRIPTION: None})
        edited = overlay.edited(partial(recoding, syntax=uids.EXPLICIT_LE if syntax == uids.DEFLATED_LE else syntax,
                                        wanted=Recode("ISO_IR 192")))  # fmt: skip
        after = decode(b"".join(edited.pieces()), edited.syntax)
        assert after[NAME] == text("PN", "Zoë", "ISO_IR 192")
        assert DESCRIPTION not in after


LETTERS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\^="), max_size=12)


@settings(max_examples=150, deadline=None)
@given(name=LETTERS, comments=st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30),
       source=st.sampled_from(SETS), target=st.sampled_from(SETS), syntax=st.sampled_from(NATIVE))  # fmt: skip
def test_any_text_in_any_set(name: str, comments: str, source: str, target: str, syntax: str) -> None:
    """The result is what is left of the source's texts when each is written in the target's set."""
    before = encode(sample(source, name, comments), syntax)
    after = decode(recoded(before, syntax, Recode(target)), syntax)
    declared = charset.character_set(source)
    expected = [
        charset.encode(each, target, vr="PN", unknown="?") for each in _of(decode(before, syntax), NAME, declared)
    ]
    value = after[NAME].value
    assert isinstance(value, bytes)
    assert value.rstrip(b" ") == expected[0].rstrip(b" ")
    twice = recoded(encode(after, syntax), syntax, Recode(target))
    assert decode(twice, syntax) == after


def _of(elements: DataSet, tag: int, declared: charset.CharacterSet) -> list[str]:
    value = elements[tag].value
    assert isinstance(value, bytes)
    return [charset.decode(value, elements[tag].vr, declared).rstrip(" \0")]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), syntax=st.sampled_from(NATIVE), declared=st.sampled_from(sorted(WORDS)))
def test_damaged_data_sets_are_refused_or_go_through(data: st.DataObject, syntax: str, declared: str) -> None:
    """Whatever the bytes are: nothing but MalformedDataSet, and as many bytes as were announced."""
    raw = bytearray(encode(sample(declared, WORDS[declared]), syntax))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(1, len(raw))) :]
    with suppress(MalformedDataSet):  # nothing else may be raised
        recoded(bytes(raw), syntax, Recode(data.draw(st.sampled_from(SETS))))
