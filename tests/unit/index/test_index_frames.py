"""Where frames lie: packing is lossless, locating agrees with pydicom's own reading of the fragments."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dicom.scan import PixelData, RawElement, Scan
from isocenter.index import frames
from isocenter.index.frames import Shape
from isocenter.index.keys import EXTENDED_LENGTHS, EXTENDED_OFFSETS

PIXEL = 0x7FE00010
JPEG, NATIVE, DEFLATED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"

pieces = st.tuples(st.integers(0, 1 << 62), st.integers(0, (1 << 32) - 1))


@given(st.lists(st.lists(pieces, max_size=4).map(tuple), max_size=20))
def test_packing_and_unpacking(table: list[frames.Frame]) -> None:
    assert frames.unpack(frames.pack(table)) == table


def test_native_tables_are_small() -> None:
    blob = frames.pack([((100 + 50 * i, 50),) for i in range(1000)])
    assert len(blob) == 21
    assert blob == frames.pack_native(100, 50, 1000)


def _shape(count: int = 1, **changes: object) -> Shape:
    return Shape(4, 4, 1, 16, count, False)._replace(**changes)  # type: ignore[arg-type]


def _scan(syntax: str, offset: int, length: int, **more: object) -> Scan:
    return Scan({}, PixelData(PIXEL, "OW", offset, length), offset, syntax, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "length", "wanted"),
    [
        (_shape(), 32, [((10, 32),)]),
        (_shape(3), 96, [((10, 32),), ((42, 32),), ((74, 32),)]),
        (_shape(3), 95, None),  # too short
        (_shape(2, samples=3, bits=8, subsampled=True), 64, [((10, 32),), ((42, 32),)]),
        (_shape(1, rows=3, columns=3, bits=1), 2, [((10, 2),)]),
        (_shape(2, rows=3, columns=3, bits=1), 4, None),  # frames that begin within a byte
        (_shape(0), 32, None),
        (_shape(rows=0), 32, None),
    ],
)
def test_native(shape: Shape, length: int, wanted: list[frames.Frame] | None) -> None:
    blob = frames.locate(_scan(NATIVE, 10, length), shape, 10 + length, None)
    assert (frames.unpack(blob) if blob else None) == wanted


def test_what_has_no_table() -> None:
    assert frames.locate(Scan({}, None, 5, NATIVE), _shape(), 5, None) is None
    assert frames.locate(_scan(NATIVE, 10, 32, truncated=True), _shape(), 42, None) is None
    assert frames.locate(_scan(DEFLATED, 10, 32), _shape(), 42, None) is None
    assert frames.locate(_scan(NATIVE, 10, 32), _shape(), 41, None) is None


def _item(data: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def _encapsulated(fragments: list[bytes], offsets: list[int] | None, end: bool = True) -> bytes:
    table = struct.pack(f"<{len(offsets)}I", *offsets) if offsets else b""
    data = _item(table) + b"".join(_item(fragment) for fragment in fragments)
    return bytes(20) + data + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if end else b"")


def _located(data: bytes, count: int) -> list[bytes] | None:
    blob = frames.locate(_scan(JPEG, 20, -1), _shape(count), len(data), lambda n, at: data[at : at + n])
    if blob is None:
        return None
    return [b"".join(data[at : at + n] for at, n in frame) for frame in frames.unpack(blob)]


def test_one_fragment_a_frame() -> None:
    parts = [b"aa", b"bbbb", b"cc"]
    assert _located(_encapsulated(parts, None), 3) == parts
    assert _located(_encapsulated(parts, [0, 10, 22]), 3) == parts
    assert _located(_encapsulated(parts, None, end=False), 3) == parts


def test_fragments_of_one_frame() -> None:
    assert _located(_encapsulated([b"aa", b"bb", b"cc"], None), 1) == [b"aabbcc"]


def test_fragments_grouped_by_the_offset_table() -> None:
    data = _encapsulated([b"a1", b"a2", b"b1", b"c1", b"c2"], [0, 20, 30])
    assert _located(data, 3) == [b"a1a2", b"b1", b"c1c2"]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (_encapsulated([b"aa", b"bb", b"cc"], None), 2),  # no table to group by
        (_encapsulated([b"aa", b"bb", b"cc"], [0, 13]), 2),  # a table that is wrong
        (_encapsulated([b"aa", b"bb"], None)[:-12], 2),  # cut off
        (bytes(40), 1),
        (_encapsulated([], None), 1),
        (_encapsulated([b"aa"] * 5000, None), 5000),  # too many to walk
    ],
)
def test_what_can_not_be_located(data: bytes, count: int) -> None:
    assert _located(data, count) is None


def test_extended_offset_table() -> None:
    data = _encapsulated([b"aaaa", b"bb"], None)
    elements = {
        EXTENDED_OFFSETS: RawElement("OV", struct.pack("<2Q", 0, 12)),
        EXTENDED_LENGTHS: RawElement("OV", struct.pack("<2Q", 4, 2)),
    }
    blob = frames.locate(_scan(JPEG, 20, -1)._replace(elements=elements), _shape(2), len(data), None)
    assert blob is not None
    assert [data[at : at + n] for ((at, n),) in frames.unpack(blob)] == [b"aaaa", b"bb"]


@given(st.binary(max_size=200), st.integers(1, 4))
def test_garbage_is_harmless(data: bytes, count: int) -> None:
    found = _located(bytes(20) + data, count)
    assert found is None or len(found) == count
