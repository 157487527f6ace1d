"""Headers that come again: whatever came before, what is found is what a scan finds."""

import struct
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode
from isocenter.dicom.forms import Forms
from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.scan import Scan, scan
from isocenter.index.keys import INDEXED
from unit.dicom.dicom_data_sets import data_sets
from unit.dicom.dicom_files import Sample, samples

SYNTAXES = [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE]
FRAME = Element("OW", bytes(64))
IN_SERIES = [(0x00080018, "UI"), (0x00200013, "IS"), (0x00081030, "LO"), (0x00204000, "LT")]
BASE: DataSet = {
    0x00080005: Element("CS", b"ISO_IR 100"),
    0x00080016: Element("UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    0x00100020: Element("LO", b"17"),
    0x00280010: Element("US", b"\x08\x00"),
    0x7FE00010: FRAME,
}


class Reader:
    """Reads one object after the other of an association, as ingest does."""

    def __init__(self) -> None:
        self.forms = Forms()
        self.known = 0

    def read(self, data: bytes, syntax: str) -> Scan:
        """What is found, having been known or not."""
        found = self.forms.scan(data[: self.forms.reach], len(data), syntax, INDEXED)
        if found is not None:
            self.known += 1
            return found._replace(alike=None)
        found = scan(data, syntax, INDEXED)
        self.forms.learn(lambda n, at: data[at : at + n], found, INDEXED)
        return found


def text(vr: str, value: str) -> Element:
    raw = value.encode("ascii")
    return Element(vr, raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2))


def in_series(number: int) -> dict[int, Element]:
    return {tag: text(vr, "1." + "7" * (number * 3 % 11) + str(number + 1)) for tag, vr in IN_SERIES}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.keyword_of)
def test_a_series_is_known_from_its_third_object_on(syntax: str) -> None:
    reader = Reader()
    for number in range(12):
        data = encode({**BASE, **in_series(number)}, syntax)
        assert reader.read(data, syntax) == scan(data, syntax, INDEXED)
    assert reader.known >= 9


@pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.keyword_of)
@given(
    st.lists(data_sets(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), min_size=3, max_size=14),
)
@settings(max_examples=25, deadline=None)
def test_what_came_before_does_not_matter(syntax: str, bases: list[Any], objects: list[tuple[int, int, bool]]) -> None:
    reader = Reader()
    for which, number, alone in objects:
        own: dict[int, Element] = {} if alone else in_series(number)
        data = encode({**bases[which % len(bases)], **own, 0x7FE00010: FRAME}, syntax)
        assert reader.read(data, syntax) == scan(data, syntax, INDEXED)


def nested(number: int) -> bytes:
    """A sequence of undefined length that is longer in one object than in the next, in front of the pixel data."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sH", 8, 0x1155, b"UI", 2 * number)
    item += b"1" * (2 * number) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def with_sequence(number: int) -> bytes:
    before = encode({tag: BASE[tag] for tag in (0x00080005, 0x00080016)}, uids.EXPLICIT_LE)
    after = encode({**{t: e for t, e in in_series(number).items() if t > 0x0010FFFF}, 0x7FE00010: FRAME},
                   uids.EXPLICIT_LE)  # fmt: skip
    return before + nested(number) + after


def test_sequences_of_undefined_length_may_vary() -> None:
    reader = Reader()
    for number in range(1, 10):
        data = with_sequence(number)
        assert reader.read(data, uids.EXPLICIT_LE) == scan(data, uids.EXPLICIT_LE, INDEXED)
    assert reader.known >= 6


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_header_that_is_damaged_is_not_taken_for_a_known_one(data: st.DataObject) -> None:
    reader = Reader()
    for number in range(4):
        reader.read(with_sequence(number + 1), uids.EXPLICIT_LE)
    assert reader.known
    damaged = bytearray(with_sequence(data.draw(st.integers(1, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[at] = data.draw(st.integers(0, 255))
        else:
            del damaged[at : at + data.draw(st.integers(1, 40))]
    whole = bytes(damaged)
    found = reader.forms.scan(whole, len(whole), uids.EXPLICIT_LE, INDEXED)
    if found is not None:
        assert found._replace(alike=None) == scan(whole, uids.EXPLICIT_LE, INDEXED)


def test_pixel_data_that_is_cut_off_is_left_to_the_scan() -> None:
    reader = Reader()
    whole = encode({**BASE, **in_series(1)}, uids.EXPLICIT_LE)
    for _ in range(3):
        reader.read(whole, uids.EXPLICIT_LE)
    assert reader.known == 2
    assert reader.forms.scan(whole, len(whole) - 1, uids.EXPLICIT_LE, INDEXED) is None
    assert reader.read(whole[:-1], uids.EXPLICIT_LE).truncated


def test_objects_that_have_nothing_in_common_are_soon_not_learned_from() -> None:
    forms, asked = Forms(), 0

    def pread(n: int, at: int) -> bytes:
        nonlocal asked
        asked += 1
        return data[at : at + n]

    for number in range(200):
        data = encode({**BASE, 0x00091000 + number: text("LO", "x")}, uids.EXPLICIT_LE)
        assert forms.scan(data, len(data), uids.EXPLICIT_LE, INDEXED) is None
        forms.learn(pread, scan(data, uids.EXPLICIT_LE, INDEXED), INDEXED)
    assert asked < 20


def test_another_set_of_attributes_is_another_form() -> None:
    reader = Reader()
    data = encode({**BASE, **in_series(1)}, uids.EXPLICIT_LE)
    for _ in range(2):
        reader.read(data, uids.EXPLICIT_LE)
    assert reader.forms.scan(data, sys.maxsize, uids.EXPLICIT_LE, frozenset({0x00100020})) is None


@pytest.mark.parametrize("sample", samples(1 << 20), ids=lambda sample: sample.name)
def test_files_are_known_again(sample: Sample) -> None:
    reader = Reader()
    try:
        whole = scan(sample.data, sample.syntax, INDEXED)
    except MalformedDataSet:
        whole = None
    if whole is not None:
        assert [reader.read(sample.data, sample.syntax) for _ in range(2)] == [whole, whole]
