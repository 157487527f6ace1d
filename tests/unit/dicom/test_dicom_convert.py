"""Conversion among the native transfer syntaxes, against pydicom's reading of both sides and back to the same bytes."""

import io
import struct
import zlib
from collections.abc import Iterator

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import uids
from isocenter.dicom.convert import Conversion, can_convert, convert, converted_size, native_syntaxes
from isocenter.dicom.dataset import DataSet, Element, decode, encode
from isocenter.dicom.deflate import Bound
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import Kind, walk
from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.swapping import WORD_BYTES, swapped_words
from isocenter.errors import Refused
from unit.dicom.dicom_data_sets import data_sets
from unit.dicom.dicom_files import Sample, quiet, samples

UNREADABLE = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
NATIVE = [s for s in samples(600_000) if s.syntax in native_syntaxes and s.name.split("/")[1] not in UNREADABLE]


def reader(data: bytes):
    return lambda offset, n: data[offset : offset + n]


def converted(data: bytes, source: str, target: str) -> bytes:
    result = b"".join(convert(reader(data), len(data), source, target))
    if target != uids.DEFLATED_LE:
        assert converted_size(reader(data), len(data), source, target) == len(result)
    return result


def inflated(data: bytes, syntax: str) -> bytes:
    return zlib.decompress(data, -15) if syntax == uids.DEFLATED_LE else data


def read(data: bytes, syntax: str) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(outgoing_header("1.2", "1.2.3", syntax) + data))


def flat(ds: pydicom.Dataset, little: bool, path: str = "", bits: int = 8) -> Iterator[tuple[str, bytes]]:
    """Every element as (path, raw value); words in little endian order. Group lengths are left out."""
    raws = {int(tag): ds.get_item(tag) for tag in sorted(ds.keys())}
    if 0x00280100 in raws:
        bits = int.from_bytes(raws[0x00280100].value, "little" if little else "big")
    for tag, raw in raws.items():
        here = f"{path}/{tag:08X}"
        if is_sequence(raw):
            yield here, b"%d items" % len(ds[tag].value)
            for number, item in enumerate(ds[tag].value):
                yield from flat(item, little, f"{here}.{number}", bits)
        elif tag == 0x00080005:
            yield here, str(ds[tag].value).encode("ascii")  # converted as soon as it is read
        elif tag & 0xFFFF:
            width = 1 if little else WORD_BYTES.get(raw.VR, 1)
            if tag == 0x7FE00010 and bits > 8 and not little:
                width = bits // 8
            yield here, swapped_words(width, raw.value or b"") if width > 1 else raw.value or b""


def is_sequence(raw: pydicom.dataelem.RawDataElement | pydicom.DataElement) -> bool:
    """Whether pydicom has read, or will read, a sequence there; where no VR is written, by the dictionary."""
    return raw.VR == "SQ" or (raw.VR is None and vr_of(raw.tag) == "SQ")


@pytest.mark.parametrize("target", native_syntaxes, ids=uids.keyword_of)
@pytest.mark.parametrize("sample", NATIVE, ids=lambda s: s.name)
def test_pydicom_reads_the_same_from_both(sample: Sample, target: str) -> None:
    result = converted(sample.data, sample.syntax, target)
    with quiet():
        ours = dict(flat(read(result, target), target != uids.EXPLICIT_BE))
        theirs = dict(flat(read(sample.data, sample.syntax), sample.syntax != uids.EXPLICIT_BE))
    assert ours.keys() == theirs.keys()
    differing = {path: (ours[path], theirs[path]) for path in ours if ours[path] != theirs[path]}
    assert not differing


def canonical(data: bytes, syntax: str) -> bool:
    """Whether nothing in the data set is dropped or normalised on the way."""
    events = list(walk(data, syntax))
    shown = {event.encoding.implicit for event in events if event.kind == Kind.VALUE}
    return len(shown) == 1 and not any(
        (event.kind == Kind.VALUE and not event.tag & 0xFFFF)
        or event.tag >> 16 == 0xFFFC
        or (event.kind == Kind.SEQUENCE and event.vr == "UN")
        or (event.vr == "OB" and event.tag == 0x7FE00010)
        for event in events
    )


@pytest.mark.parametrize("sample", NATIVE, ids=lambda s: s.name)
def test_there_and_back_gives_the_same_bytes(sample: Sample) -> None:
    data, source = inflated(sample.data, sample.syntax), sample.syntax
    source = uids.EXPLICIT_LE if source == uids.DEFLATED_LE else source
    if not canonical(data, source):
        pytest.skip("not canonical: group lengths, sequences of VR UN, or VRs of another syntax")
    for target in (uids.EXPLICIT_BE, uids.EXPLICIT_LE, uids.DEFLATED_LE):
        assert converted(converted(data, source, target), target, source) == data


def test_most_of_the_collection_is_canonical() -> None:
    assert sum(canonical(inflated(s.data, s.syntax), s.syntax) for s in NATIVE) >= len(NATIVE) / 4


@pytest.mark.parametrize("name", ["SC_rgb", "liver", "rtdose", "emri_small", "MR_small"])
def test_equal_pixels(name: str) -> None:
    """DCMTK made the big endian twins of these files."""
    found = {s.name.split("/")[1]: s for s in samples(8 << 20)}
    big = found.get(f"{name}_expb.dcm") or found.get(f"{name}_big_endian.dcm")
    little = found.get(f"{name}.dcm")
    if big is None or little is None or little.syntax not in native_syntaxes:
        pytest.skip("the collection beside the checkout is not here")
    ours = decode(converted(big.data, big.syntax, uids.EXPLICIT_LE), uids.EXPLICIT_LE)
    assert (
        ours[0x7FE00010].value
        == decode(converted(little.data, little.syntax, uids.EXPLICIT_LE), uids.EXPLICIT_LE)[0x7FE00010].value
    )


@settings(max_examples=80, deadline=None)
@given(data_sets(), st.sampled_from(native_syntaxes), st.sampled_from(native_syntaxes))
def test_data_sets_survive(data_set: DataSet, source: str, target: str) -> None:
    encoded = encode(data_set, source)
    there = converted(encoded, source, target)
    assert inflated(there, target) == inflated(encode(data_set, target), target)
    assert inflated(converted(there, target, source), source) == inflated(encoded, source)


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def first_vr(data: bytes, tag: int) -> str:
    return next(event.vr for event in walk(data, uids.EXPLICIT_LE) if event.tag == tag)


@pytest.mark.parametrize(
    ("before", "tag", "value", "vr"),
    [
        (implicit(0x00280103, b"\1\0"), 0x00280106, b"\xff\xff", "SS"),
        (implicit(0x00280103, b"\0\0"), 0x00280106, b"\xff\xff", "US"),
        (b"", 0x00280106, b"\xff\xff", "US"),
        (implicit(0x00283002, b"\1\0\0\0\x10\0"), 0x00283006, b"\1\0", "US"),
        (implicit(0x00283002, b"\0\1\0\0\x10\0"), 0x00283006, bytes(512), "OW"),
        (b"", 0x60003000, bytes(8), "OW"),
        (implicit(0x00280100, b"\x08\0"), 0x7FE00010, bytes(8), "OW"),
        (b"", 0x00091001, b"secret", "UN"),
        (b"", 0x00090010, b"OWNER ", "LO"),
        (b"", 0x00104000, bytes(70000), "UN"),
        (b"", 0x00287777, b"ab", "UN"),
        (b"", 0x00080006, b"", "SQ"),
    ],
)
def test_vrs_where_none_is_written(before: bytes, tag: int, value: bytes, vr: str) -> None:
    data = before + implicit(tag, value)
    assert first_vr(converted(data, uids.IMPLICIT_LE, uids.EXPLICIT_LE), tag) == vr


def test_pixel_representation_that_comes_later_decides_too() -> None:
    data = implicit(0x00189810, b"\xff\xff") + implicit(0x00280103, b"\1\0")
    assert first_vr(converted(data, uids.IMPLICIT_LE, uids.EXPLICIT_LE), 0x00189810) == "SS"


def test_pixel_data_of_sixteen_bits_is_no_byte_string() -> None:
    data = explicit(0x00280100, b"US", b"\x10\0") + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 4) + b"\1\2\3\4"
    big = converted(data, uids.EXPLICIT_LE, uids.EXPLICIT_BE)
    assert big.endswith(b"OW\0\0\0\0\0\4\2\1\4\3")


def test_the_private_syntax_with_big_endian_pixels() -> None:
    data = implicit(0x00280100, b"\x10\0") + implicit(0x00280106, b"\1\0") + implicit(0x7FE00010, b"\1\2\3\4")
    little = converted(data, uids.GE_PRIVATE_IMPLICIT_BE_PIXELS, uids.IMPLICIT_LE)
    assert little == data[:-4] + b"\2\1\4\3"
    assert not can_convert(uids.IMPLICIT_LE, uids.GE_PRIVATE_IMPLICIT_BE_PIXELS)


def test_a_sequence_of_unknown_vr_becomes_one() -> None:
    inside = implicit(0xFFFEE000, implicit(0x00280010, b"\1\0"))
    data = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF) + inside + implicit(0xFFFEE0DD, b"")
    big = converted(data, uids.EXPLICIT_LE, uids.EXPLICIT_BE)
    assert decode(big, uids.EXPLICIT_BE)[0x00091001].value == ({0x00280010: Element("US", b"\1\0")},)


def test_group_lengths_are_dropped() -> None:
    data = explicit(0x00080000, b"UL", b"\x0a\0\0\0") + explicit(0x00080060, b"CS", b"CT")
    assert converted(data, uids.EXPLICIT_LE, uids.IMPLICIT_LE) == implicit(0x00080060, b"CT")


def test_encapsulated_sources_are_refused() -> None:
    assert not can_convert(uids.JPEG_BASELINE, uids.EXPLICIT_LE)
    assert not can_convert(uids.EXPLICIT_LE, uids.RLE_LOSSLESS)
    assert can_convert(uids.JPEG_BASELINE, uids.JPEG_BASELINE)
    with pytest.raises(Refused):
        convert(reader(b""), 0, uids.JPEG_BASELINE, uids.EXPLICIT_LE)
    fragments = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + implicit(0xFFFEE000, b"")
    with pytest.raises(Refused):
        converted(fragments + implicit(0xFFFEE0DD, b""), uids.EXPLICIT_LE, uids.IMPLICIT_LE)


def test_damage_shows_before_the_first_piece() -> None:
    data = explicit(0x00080060, b"CS", b"CT") + explicit(0x00100010, b"PN", b"Doe")[:-1]
    conversion = Conversion(reader(data), len(data), uids.EXPLICIT_LE, uids.IMPLICIT_LE)
    with pytest.raises(MalformedDataSet):
        conversion.size()
    with pytest.raises(MalformedDataSet):
        conversion.pieces()


def test_deflated_values_larger_than_a_window() -> None:
    big = bytes(range(256)) * 1000
    data_set: DataSet = {
        0x00091001: Element("OB", big),
        0x00104000: Element("LT", b"between "),
        0x00420011: Element("OW", big + big),
        0x7FE00010: Element("OW", big),
    }
    encoded = encode(data_set, uids.DEFLATED_LE)
    for target in (uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.IMPLICIT_LE):
        assert converted(encoded, uids.DEFLATED_LE, target) == encode(data_set, target)
    with pytest.raises(MalformedDataSet, match="bound"):
        Conversion(reader(encoded), len(encoded), uids.DEFLATED_LE, uids.EXPLICIT_BE, bound=Bound(1 << 18)).size()
    with pytest.raises(MalformedDataSet):
        converted(encoded[:-20], uids.DEFLATED_LE, uids.IMPLICIT_LE)


class Recording:
    """An object with a large value that is never in memory as a whole."""

    def __init__(self, pixels: int) -> None:
        head = explicit(0x00280100, b"US", b"\x10\0")
        self.head = head + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, pixels)
        self.size = len(self.head) + pixels
        self.largest = self.total = 0

    def __call__(self, offset: int, n: int) -> bytes:
        count = min(n, self.size - offset)
        self.largest, self.total = max(self.largest, count), self.total + count
        return self.head[offset : offset + count].ljust(count, b"\1")


def test_a_large_value_passes_in_slices() -> None:
    source = Recording(100 << 20)
    conversion = Conversion(source, source.size, uids.EXPLICIT_LE, uids.EXPLICIT_BE)
    assert conversion.size() == source.size
    assert source.total < 1 << 18
    assert sum(map(len, conversion.pieces())) == source.size
    assert source.largest <= 1 << 20
    assert max(map(len, convert(source, source.size, uids.EXPLICIT_LE, uids.IMPLICIT_LE))) <= 3 << 20
