"""The byte walker: order and place of events, what it bears and what it refuses."""

import io
import struct

import pydicom
import pytest

from isocenter.dicom import uids
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Event,
    Kind,
    MalformedDataSet,
    Window,
    encoding_of,
    walk,
    walk_sequence,
    walk_window,
)
from unit.dicom.dicom_files import Sample, quiet, samples

UNDEFINED = 0xFFFFFFFF


def short(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, count) + value


def bare(tag: int, value: bytes, length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, count) + value


ITEM_END = bare(0xFFFEE00D, b"")
SEQUENCE_END = bare(0xFFFEE0DD, b"")
NAME = short(0x00100010, b"PN", b"Doe^")


def told(data: bytes, syntax: str = uids.EXPLICIT_LE) -> list[tuple[str, int, int]]:
    return [(e.kind.name, e.tag, e.depth) for e in walk(data, syntax)]


def test_places() -> None:
    data = NAME + long(0x00081140, b"SQ", bare(0xFFFEE000, NAME) + SEQUENCE_END, UNDEFINED)
    assert list(walk(data, uids.EXPLICIT_LE)) == [
        Event(Kind.VALUE, 0x00100010, "PN", 0, 8, 4, 0, EXPLICIT_LITTLE),
        Event(Kind.SEQUENCE, 0x00081140, "SQ", 12, 24, -1, 0, EXPLICIT_LITTLE),
        Event(Kind.ITEM, 0x00081140, "SQ", 24, 32, 12, 1, EXPLICIT_LITTLE),
        Event(Kind.VALUE, 0x00100010, "PN", 32, 40, 4, 1, EXPLICIT_LITTLE),
        Event(Kind.ITEM_END, 0x00081140, "SQ", 44, 44, 0, 1, EXPLICIT_LITTLE),
        Event(Kind.SEQUENCE_END, 0x00081140, "SQ", 44, 44, 0, 0, EXPLICIT_LITTLE),
    ]


def test_start_and_stop() -> None:
    assert [e.start for e in walk(b"junk" + NAME + NAME + b"junk", uids.EXPLICIT_LE, start=4, stop=28)] == [4, 16]


def test_a_sequences_value_alone() -> None:
    value = bare(0xFFFEE000, NAME + ITEM_END, UNDEFINED) + bare(0xFFFEE000, b"")
    kinds = [(e.kind.name, e.depth) for e in walk_sequence(value, uids.EXPLICIT_LE)]
    assert kinds == [("ITEM", 1), ("VALUE", 1), ("ITEM_END", 1), ("ITEM", 1), ("ITEM_END", 1)]
    assert [e.kind.name for e in walk_sequence(value + SEQUENCE_END, uids.EXPLICIT_LE)] == [k for k, _ in kinds]
    assert list(walk_sequence(b"", IMPLICIT_LITTLE)) == []


def test_fragments() -> None:
    data = long(0x7FE00010, b"OB", bare(0xFFFEE000, b"") + bare(0xFFFEE000, b"abcd") + SEQUENCE_END, UNDEFINED)
    events = list(walk(data + long(0xFFFCFFFC, b"OB", b""), uids.JPEG_BASELINE))
    assert [(e.kind.name, e.offset, e.length) for e in events[:4]] == [
        ("FRAGMENTS", 12, -1),
        ("FRAGMENT", 20, 0),
        ("FRAGMENT", 28, 4),
        ("FRAGMENTS_END", 32, 0),
    ]


def test_unknown_sequences_are_implicit_inside() -> None:
    inside = bare(0xFFFEE000, bare(0x00280010, b"\1\0"))
    events = list(walk(long(0x00091001, b"UN", inside + SEQUENCE_END, UNDEFINED), uids.EXPLICIT_LE))
    assert [(e.kind.name, e.vr, e.encoding.implicit) for e in events[:3]] == [
        ("SEQUENCE", "UN", True),
        ("ITEM", "UN", True),
        ("VALUE", "US", True),
    ]
    # some write them explicit nevertheless
    inside = bare(0xFFFEE000, short(0x00280010, b"US", b"\1\0"))
    events = list(walk(long(0x00091001, b"UN", inside + SEQUENCE_END, UNDEFINED), uids.EXPLICIT_LE))
    assert not events[2].encoding.implicit
    assert events[2].vr == "US"


def test_unknown_sequences_in_big_endian() -> None:
    def data(order: str) -> bytes:
        item = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, 10) + struct.pack(f"{order}HHIH", 0x28, 0x10, 2, 1)
        end = struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0)
        return struct.pack(">HH2sHI", 9, 0x1001, b"UN", 0, UNDEFINED) + item + end

    for order in "<>":
        events = list(walk(data(order), uids.EXPLICIT_BE))
        assert (events[2].tag, events[2].encoding) == (0x00280010, (True, order == "<"))


def test_private_sequences_without_vr() -> None:
    data = bare(0x00091001, bare(0xFFFEE000, bare(0x00100010, b"Doe^")) + SEQUENCE_END, UNDEFINED)
    assert [k for k, _, _ in told(data, uids.IMPLICIT_LE)] == ["SEQUENCE", "ITEM", "VALUE", "ITEM_END", "SEQUENCE_END"]


@pytest.mark.parametrize(
    "value",
    [
        bare(0xFFFEE000, NAME + ITEM_END),
        bare(0xFFFEE000, NAME + SEQUENCE_END) + ITEM_END,
        bare(0xFFFEE000, NAME) + SEQUENCE_END,
        bare(0xFFFEE000, NAME, UNDEFINED),
        bare(0xFFFEE000, NAME, UNDEFINED) + SEQUENCE_END,
    ],
)
def test_stray_and_missing_delimiters_within_defined_length(value: bytes) -> None:
    kinds = [k for k, _, _ in told(long(0x00081140, b"SQ", value) + NAME)]
    assert kinds == ["SEQUENCE", "ITEM", "VALUE", "ITEM_END", "SEQUENCE_END", "VALUE"]


@pytest.mark.parametrize(
    "data",
    [
        long(0x00081140, b"SQ", bare(0xFFFEE000, NAME, 13)),
        long(0x00081140, b"SQ", bare(0xFFFEE000, NAME, 11)),
        long(0x00081140, b"SQ", bare(0xFFFEE000, NAME), 30) + NAME,
        long(0x00081140, b"SQ", bare(0xFFFEE000, short(0x00100010, b"PN", b"Doe^")[:-1], 12)) + NAME,
        long(0x00081140, b"SQ", NAME),
        long(0x00081140, b"SQ", b"", UNDEFINED),
        bare(0xFFFEE000, NAME),
        NAME[:-1],
        long(0x7FE00010, b"OB", bare(0xFFFEE000, NAME, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        long(0x7FE00010, b"OB", bare(0xFFFEE000, b"abcd", 5), UNDEFINED),
    ],
)
def test_damage(data: bytes) -> None:
    with pytest.raises(MalformedDataSet):
        told(data)


def test_depth_is_limited() -> None:
    def nested(depth: int) -> bytes:
        opened = (struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, UNDEFINED) + bare(0xFFFEE000, b"", UNDEFINED)) * depth
        return opened + (ITEM_END + SEQUENCE_END) * depth

    assert max(depth for _, _, depth in told(nested(64))) == 64
    for depth in (65, 100_000):
        with pytest.raises(MalformedDataSet, match="deeper than 64"):
            told(nested(depth))
    assert sum(1 for _ in walk(nested(70), uids.EXPLICIT_LE, depth_limit=70)) == 280


def elements_of(ds: pydicom.Dataset, depth: int = 0) -> list[tuple[int, int]]:
    found = []
    for element in ds:
        found.append((int(element.tag), depth))
        if element.VR == "SQ":
            for item in element.value:
                found += elements_of(item, depth + 1)
    return found


DAMAGED = ("MR_truncated", "rtplan_truncated", "emri_small_jpeg_2k_lossless_too_short")


@pytest.mark.parametrize("sample", samples(1 << 20), ids=lambda s: s.name)
def test_every_file_is_walked_as_pydicom_does(sample: Sample) -> None:
    if sample.syntax == uids.DEFLATED_LE:
        pytest.skip("inflated by others")
    if any(name in sample.name for name in DAMAGED):
        with pytest.raises(MalformedDataSet):
            told(sample.data, sample.syntax)
        return
    with quiet():
        read = pydicom.dcmread(io.BytesIO(sample.content), force=True)
        theirs = elements_of(read)
    events = list(walk(sample.data, sample.syntax))
    if any(event.vr == "UN" and vr_of(event.tag) == "SQ" for event in events):
        pytest.skip("pydicom opens sequences behind UN, the walker leaves that to its callers")
    ours = [(e.tag, e.depth) for e in events if e.kind in (Kind.VALUE, Kind.SEQUENCE, Kind.FRAGMENTS)]
    public = [(tag, depth) for tag, depth in ours if depth == 0 or tag >> 16 & 1 == 0]
    # pydicom opens private sequences of defined length by its private dictionary
    assert sorted(public) == sorted((tag, depth) for tag, depth in theirs if depth == 0 or tag >> 16 & 1 == 0)


def test_a_window_of_any_size_gives_the_same() -> None:
    for sample in samples(30_000)[::5]:
        data = sample.data
        if sample.syntax == uids.DEFLATED_LE or any(name in sample.name for name in DAMAGED):
            continue
        expected = list(walk(data, sample.syntax))
        for chunk in (16, 100):
            window = Window(lambda at, n, d=data: d[at : at + n], len(data), chunk)
            assert list(walk_window(window, encoding_of(sample.syntax))) == expected


def test_a_window_learns_where_the_data_ends() -> None:
    data = NAME * 5
    window = Window(lambda at, n: data[at : at + n], chunk=20)
    assert len(list(walk_window(window, EXPLICIT_LITTLE))) == 5
    assert window.size == len(data)
    with pytest.raises(MalformedDataSet):
        window.at(len(data) - 4, 8)
