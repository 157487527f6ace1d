"""The header scan against pydicom over every real file, over prefixes, and on bytes made to be difficult."""

import io
import struct
import zlib
from contextlib import suppress

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import uids
from isocenter.dicom.headers import MalformedDataSet, NeedMore
from isocenter.dicom.scan import PixelData, RawElement, scan, scan_file
from unit.dicom.dicom_files import Sample, quiet, samples

TAGS = """00080005 00080008 00080012 00080016 00080018 00080020 00080021 00080022 00080023 00080030 00080031
    00080033 00080050 00080060 00080061 00080070 00080080 00080090 00081010 00081030 00081032 0008103E 00081040
    00081050 00081090 00081110 00081111 00081115 00081140 00082218 00100010 00100020 00100021 00100030 00100032
    00100040 00101000 00101001 00101002 00101010 00101030 00102160 00180015 00181030 00185100 0020000D 0020000E
    00200010 00200011 00200012 00200013 00200052 00200060 00280002 00280004 00280008 00280010 00280011 00280100
    00280101 00280103 00400241 00400244 00400253 00400260 00400275 0040A043 0040A491 0040A493 52009229"""
WANTED = frozenset(int(tag, 16) for tag in TAGS.split())
SAMPLES = samples(40 << 20)
CUT = {
    f"{folder}/{name}.dcm"
    for name in ("MR_truncated", "rtplan_truncated", "emri_small_jpeg_2k_lossless_too_short")
    for folder in ("pydicom", "test_files")
}


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, count) + value


def short(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def bare(tag: int, value: bytes, length: int | None = None) -> bytes:
    count = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, count) + value


UNDEFINED = 0xFFFFFFFF
ITEM_END = bare(0xFFFEE00D, b"")
SEQUENCE_END = bare(0xFFFEE0DD, b"")
NAME = short(0x00100010, b"PN", b"Doe^Jane")
ROWS = short(0x00280010, b"US", b"\x02\x00")
PIXELS = long(0x7FE00010, b"OW", b"\1\2\3\4")


def pydicoms(sample: Sample) -> dict[int, bytes | None]:
    """Raw values of the wanted elements as pydicom reads them; None for a sequence."""
    with quiet():
        read = pydicom.dcmread(io.BytesIO(sample.content), force=True, stop_before_pixels=True)
    found: dict[int, bytes | None] = {}
    for tag in read.keys():  # noqa: SIM118 - iterating a data set converts its elements
        if int(tag) in WANTED:
            raw = read.get_item(tag)
            sequence = not isinstance(raw, pydicom.dataelem.RawDataElement)
            found[int(tag)] = None if sequence else raw.value or b""
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_agrees_with_pydicom(sample: Sample) -> None:
    try:
        ours = scan(sample.data, sample.syntax, WANTED)
    except MalformedDataSet:
        assert sample.name in CUT
        return
    theirs = pydicoms(sample)
    assert set(ours.elements) == set(theirs)
    assert {tag: ours.elements[tag].value for tag, value in theirs.items() if value is not None} == {
        tag: value for tag, value in theirs.items() if value is not None
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_pixel_data_lies_where_pydicom_finds_it(sample: Sample) -> None:
    if sample.syntax == uids.DEFLATED_LE or sample.name in CUT or len(sample.content) > 4 << 20:
        pytest.skip("offsets of deflated data are those of the inflated one; or too large for a second full read")
    with quiet():
        read = pydicom.dcmread(io.BytesIO(sample.content), force=True, defer_size=64)
        raw = read._dict.get(pydicom.tag.Tag(0x7FE00010))  # get_item would read the deferred value
    pixel = scan(sample.data, sample.syntax, WANTED).pixel
    assert (pixel is None) == (raw is None)
    if pixel is not None and raw is not None:
        assert pixel.offset + sample.offset == raw.value_tell
        assert pixel.length == (-1 if raw.length == UNDEFINED else raw.length)


@pytest.mark.parametrize("chunk", [64, 1000])
def test_reading_in_pieces_finds_the_same(chunk: int) -> None:
    for sample in samples(300_000):
        data = sample.data
        try:
            whole = scan(data, sample.syntax, WANTED)
        except MalformedDataSet:
            continue  # damaged: told elsewhere
        assert scan_file(lambda n, at, d=data: d[at : at + n], len(data), sample.syntax, WANTED, chunk=chunk) == whole


def asked_for(prefix: bytes, syntax: str) -> int | None:
    try:
        scan(prefix, syntax, WANTED, whole=False)
    except NeedMore as more:
        return more.hint
    return None


def test_prefixes_ask_for_more_until_they_reach_the_header_end() -> None:
    for sample in samples(60_000)[::7]:
        data = sample.data
        try:
            whole = scan(data, sample.syntax, WANTED)
        except MalformedDataSet:
            continue  # damaged: told elsewhere
        size = 16
        while size < len(data) and (hint := asked_for(data[:size], sample.syntax)) is not None:
            assert hint > size
            size = hint
        assert size >= len(data) or scan(data[:size], sample.syntax, WANTED, whole=False) == whole


def test_long_values_nobody_wants_are_not_read() -> None:
    asked = []
    data = NAME + long(0x00420011, b"OB", bytes(5 << 20)) + short(0x00420012, b"LO", b"x ") + PIXELS

    def read(n: int, at: int) -> bytes:
        asked.append(n)
        return data[at : at + n]

    found = scan_file(read, len(data), uids.EXPLICIT_LE, frozenset([0x00100010, 0x00420012]))
    assert found.elements[0x00420012] == RawElement("LO", b"x ")
    assert found.pixel == PixelData(0x7FE00010, "OW", len(data) - 4, 4)
    assert sum(asked) < 200_000


def test_pixel_data_longer_than_the_object_is_told() -> None:
    data = NAME + long(0x7FE00010, b"OW", b"\0" * 8, 100)
    assert scan(data, uids.EXPLICIT_LE, WANTED).truncated
    assert not scan(data, uids.EXPLICIT_LE, WANTED, whole=False).truncated
    assert not scan(NAME + PIXELS, uids.EXPLICIT_LE, WANTED).truncated


NESTED_UN = long(0x00091010, b"UN", bare(0xFFFEE000, bare(0x00100020, b"1 ")) + SEQUENCE_END, UNDEFINED)
NESTED = long(
    0x00081140,
    b"SQ",
    bare(0xFFFEE000, long(0x00081199, b"SQ", bare(0xFFFEE000, NAME, UNDEFINED) + ITEM_END + SEQUENCE_END, UNDEFINED))
    + bare(0xFFFEE000, NAME + NESTED_UN + ITEM_END, UNDEFINED)
    + SEQUENCE_END,
    UNDEFINED,
)


def test_undefined_lengths_within_each_other() -> None:
    found = scan(NESTED + ROWS + PIXELS, uids.EXPLICIT_LE, frozenset([0x00280010, 0x00100010, 0x00081140]))
    assert found.elements == {
        0x00081140: RawElement("SQ", NESTED[12:-8]),
        0x00280010: RawElement("US", b"\2\0"),
    }


FRAGMENTS = long(0x7FE00010, b"OB", bare(0xFFFEE000, b"") + bare(0xFFFEE000, NAME[:8]) + SEQUENCE_END, UNDEFINED)


@pytest.mark.parametrize(
    "before",
    [
        short(0x00080001, b"??", b"ab"),
        short(0x00080001, b"us", b"ab"),
        long(0x00080001, b"ob", b"ab"),
        short(0x00080001, b"ZX", b"ab"),
        long(0x00080001, b"ZX", b"ab"),
        bare(0x00080001, b"ab"),
        bare(0x00080000, b"\1\0\0\0"),
        SEQUENCE_END,
        ITEM_END,
        long(0x00090010, b"UN", bare(0xFFFEE000, bare(0x00090010, b"ab")) + SEQUENCE_END, UNDEFINED),
        long(0x00090010, b"UN", bare(0xFFFEE000, NAME + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        long(0x00081140, b"SQ", bare(0xFFFEE000, bare(0x00090010, b"ab")) + SEQUENCE_END, UNDEFINED),
        long(0x00081140, b"SQ", bare(0xFFFEE000, bare(0x90010, b"ab") + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        long(0x00081140, b"SQ", bare(0xFFFEE000, NAME, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        long(0x00081140, b"SQ", ITEM_END + bare(0xFFFEE000, NAME) + ITEM_END + SEQUENCE_END, UNDEFINED),
        long(0x00880200, b"SQ", bare(0xFFFEE000, FRAGMENTS + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
    ],
    ids=range(16),
)
def test_what_the_field_writes(before: bytes) -> None:
    found = scan(short(0x00080000, b"UL", b"\0\0\0\0") + before + NAME + PIXELS, uids.EXPLICIT_LE, WANTED)
    assert found.elements[0x00100010] == RawElement("PN", b"Doe^Jane")
    assert found.pixel is not None


def test_the_other_vr_encoding_than_the_syntax_says() -> None:
    implicit = bare(0x00080060, b"CT") + bare(0x00100010, b"Doe^Jane") + bare(0x7FE00010, b"\0\0")
    found = scan(implicit, uids.EXPLICIT_LE, WANTED)
    assert found.elements[0x00100010] == RawElement("PN", b"Doe^Jane")
    assert found.encoding.implicit
    found = scan(short(0x00080060, b"CS", b"CT") + NAME + PIXELS, uids.IMPLICIT_LE, WANTED)
    assert found.elements[0x00100010] == RawElement("PN", b"Doe^Jane")
    assert not found.encoding.implicit


def test_trailing_padding_is_no_element() -> None:
    for rest in (b"", b"\0" * 7, bare(0xFFFCFFFC, b"\0" * 20), b"\0" * 800):
        assert set(scan(NAME + rest, uids.EXPLICIT_LE, WANTED).elements) == {0x00100010}


@pytest.mark.parametrize(
    "data",
    [
        NAME[:-1],
        long(0x00091001, b"OB", b"ab", 3),
        NESTED[:-8],
        NESTED[:-9],
        bare(0xFFFEE000, NAME),
        long(0x00081140, b"SQ", NAME + SEQUENCE_END, UNDEFINED),
        long(0x00091010, b"OB", NAME + SEQUENCE_END, UNDEFINED),
    ],
)
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(MalformedDataSet):
        scan(short(0x00080060, b"CS", b"CT") + data, uids.EXPLICIT_LE, WANTED)


def nested(depth: int) -> bytes:
    opened = (struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, UNDEFINED) + bare(0xFFFEE000, b"", UNDEFINED)) * depth
    return opened + (ITEM_END + SEQUENCE_END) * depth


def test_nesting_is_limited() -> None:
    assert scan(nested(64) + NAME, uids.EXPLICIT_LE, WANTED).elements[0x00100010].value == b"Doe^Jane"
    with pytest.raises(MalformedDataSet, match="deeper than 64"):
        scan(nested(65) + NAME, uids.EXPLICIT_LE, WANTED)
    with pytest.raises(MalformedDataSet):
        scan(nested(200_000), uids.EXPLICIT_LE, WANTED)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_deflated_prefixes_and_pieces() -> None:
    filler = long(0x00091001, b"OB", bytes(range(256)) * 2000)
    plain = NESTED + filler + NAME + long(0x00420011, b"OB", bytes(200_000)) + ROWS + PIXELS
    data = deflated(plain)
    found = scan(data, uids.DEFLATED_LE, WANTED | {0x00081140})
    assert found.elements[0x00280010].value == b"\2\0"
    assert found.pixel == PixelData(0x7FE00010, "OW", len(plain) - 4, 4)
    assert scan_file(lambda n, at: data[at : at + n], len(data), uids.DEFLATED_LE, WANTED | {0x00081140}) == found
    with pytest.raises(NeedMore):
        scan(data[:200], uids.DEFLATED_LE, WANTED, whole=False)
    for broken in (data[:200], b"\xff" * 50, deflated(NAME[:-2])):
        with pytest.raises(MalformedDataSet):
            scan(broken, uids.DEFLATED_LE, WANTED)


def test_a_deflate_bomb_is_not_inflated() -> None:
    bomb = deflated(long(0x00091001, b"OB", bytes(90 << 20)) + PIXELS)
    assert len(bomb) < 100_000
    with pytest.raises(MalformedDataSet, match="bound"):
        scan(bomb, uids.DEFLATED_LE, WANTED)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(samples(20_000)), st.data())
def test_damaged_files_are_read_or_refused(sample: Sample, data: st.DataObject) -> None:
    damaged = bytearray(sample.data[:5000])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from([0, 1, 0xFE, 0xFF, 0x53]))
    for whole in (True, False):
        with suppress(MalformedDataSet) if whole else suppress(MalformedDataSet, NeedMore):  # no others
            scan(bytes(damaged), sample.syntax, WANTED, whole=whole)
