"""Frames by offset tables, by fragments, by how streams begin; and native ones wherever they begin."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_objects import encapsulated_object, native_object, opened, some_array
from isocenter.dicom import uids
from isocenter.dicom.dataset import Element
from isocenter.errors import Reason, Refused
from isocenter.imaging.frames import FrameBytes
from isocenter.imaging.pixels import Pixels

JPEG = b"\xff\xd8\xff"
THREE = Pixels(4, 4, frames=3)


def frames(data: bytes, syntax: str) -> FrameBytes:
    found = opened(data, syntax)
    assert found is not None
    return found.frames


def of(fragments: list[bytes], count: int, table: bytes = b"", **more: Element) -> list[bytes]:
    return list(frames(encapsulated_object(Pixels(4, 4, frames=count), fragments, table, **more), uids.JPEG_BASELINE))


def test_a_fragment_a_frame() -> None:
    assert of([b"a1", b"b2", b"c3"], 3) == [b"a1", b"b2", b"c3"]


def test_one_frame_of_many_fragments() -> None:
    assert of([b"a1", b"b2", b"c3"], 1) == [b"a1b2c3"]


def test_by_the_basic_offset_table() -> None:
    table = struct.pack("<2I", 0, 20)
    assert of([b"a1", b"b2", b"c3"], 2, table) == [b"a1b2", b"c3"]


@pytest.mark.parametrize("table", [b"", struct.pack("<2I", 0, 7), struct.pack("<I", 0), struct.pack("<2I", 0, 4000)])
def test_by_how_streams_begin_where_the_table_is_none(table: bytes) -> None:
    assert of([JPEG + b"1", b"more", JPEG + b"2", b"more"], 2, table) == [JPEG + b"1more", JPEG + b"2more"]


def test_frames_that_can_not_be_told_apart() -> None:
    with pytest.raises(Refused) as refused:
        of([b"a1", b"b2", b"c3"], 2)
    assert refused.value.reason is Reason.NOT_ACCEPTABLE
    with pytest.raises(Refused):
        of([], 1)


def test_by_the_extended_offset_table() -> None:
    offsets, lengths = struct.pack("<3Q", 0, 10, 20), struct.pack("<3Q", 2, 1, 2)
    tables = {"7FE00001": Element("OV", offsets), "7FE00002": Element("OV", lengths)}
    assert of([b"a1", b"b", b"c3"], 3, **tables) == [b"a1", b"b", b"c3"]
    wrong = {"7FE00001": Element("OV", struct.pack("<3Q", 0, 11, 20)), "7FE00002": Element("OV", lengths)}
    assert of([b"a1", b"b", b"c3"], 3, **wrong) == [b"a1", b"b\0", b"c3"]


def test_fewer_frames_than_told() -> None:
    data = encapsulated_object(THREE, [b"a1", b"b2"])
    found = frames(data, uids.JPEG_BASELINE)
    assert list(found) == [b"a1", b"b2"]
    assert (found.count, found.pixels.frames) == (2, 3)
    with pytest.raises(Refused) as refused:
        found.frame(3)
    assert refused.value.reason is Reason.NOT_FOUND


def test_a_cut_off_object_keeps_its_whole_frames() -> None:
    data = encapsulated_object(THREE, [b"a1", b"b2", b"c3"])
    assert list(frames(data[:-9], uids.JPEG_BASELINE)) == [b"a1", b"b2"]
    assert list(frames(data[:-8], uids.JPEG_BASELINE)) == [b"a1", b"b2", b"c3"]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
def test_single_bits_begin_anywhere(rows: int, columns: int, count: int) -> None:
    pixels = Pixels(rows, columns, 1, "MONOCHROME2", 1, 1, 0, frames=count)
    bits = np.random.default_rng(rows).integers(0, 2, rows * columns * count).astype(np.uint8)
    found = frames(native_object(pixels, np.packbits(bits, bitorder="little").tobytes()), uids.EXPLICIT_LE)
    whole = [np.unpackbits(np.frombuffer(f, np.uint8), count=rows * columns, bitorder="little") for f in found]
    assert np.array_equal(np.concatenate(whole), bits)


@pytest.mark.parametrize("allocated", [8, 16, 32])
@pytest.mark.parametrize("columns", [3, 4])
def test_big_endian_frames_come_little(allocated: int, columns: int) -> None:
    pixels = Pixels(3, columns, 1, "MONOCHROME2", allocated, allocated, allocated - 1, frames=3)
    value = b"".join(some_array(pixels, n, noise=True).tobytes() for n in range(3))
    little, big = native_object(pixels, value), native_object(pixels, value, uids.EXPLICIT_BE)
    assert list(frames(big, uids.EXPLICIT_BE)) == list(frames(little, uids.EXPLICIT_LE))


def test_bytes_in_big_endian_words() -> None:
    """OW of 8 bit samples in Explicit VR Big Endian: of two bytes the second first (PS3.5 A.3), across odd frames."""
    pixels = Pixels(1, 3, frames=2)
    data = native_object(pixels, b"\1\2\3\4\5\6", uids.EXPLICIT_BE).replace(
        b"OB\0\0\0\0\0\6\1\2\3\4\5\6", b"OW\0\0\0\0\0\6\2\1\4\3\6\5"
    )
    assert list(frames(data, uids.EXPLICIT_BE)) == [b"\1\2\3", b"\4\5\6"]


def test_what_says_422_and_is_not() -> None:
    pixels = Pixels(2, 2, 3, "YBR_FULL_422")
    found = frames(native_object(pixels, bytes(range(12))), uids.EXPLICIT_LE)
    assert found.pixels.photometric == "YBR_FULL"
    assert list(found) == [bytes(range(12))]
    assert list(frames(native_object(pixels, bytes(range(8))), uids.EXPLICIT_LE)) == [bytes(range(8))]


def test_descriptions_that_are_wrong() -> None:
    for wrong in (Pixels(0, 4), Pixels(4, 4, 0), Pixels(4, 4, 9), Pixels(4, 4, 1, "MONOCHROME2", 7, 7, 6)):
        with pytest.raises(Refused) as refused:
            frames(native_object(wrong, bytes(16)), uids.EXPLICIT_LE)
        assert refused.value.reason is Reason.CANNOT_UNDERSTAND
    with pytest.raises(Refused, match="shorter than one frame"):
        frames(native_object(Pixels(4, 4), bytes(14)), uids.EXPLICIT_LE)
