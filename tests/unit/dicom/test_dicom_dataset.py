"""Small data sets: round trips in every native syntax, against pydicom both ways, and the helpers."""

import io
import struct

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import dataset, uids
from isocenter.dicom.convert import native_syntaxes
from isocenter.dicom.dataset import DataSet, Element, decode, encode, encode_element, encode_item, items
from isocenter.dicom.elements import EXPLICIT_LITTLE
from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.part10 import outgoing_header, read_header
from isocenter.dicom.scan import scan
from unit.dicom.dicom_data_sets import data_sets
from unit.dicom.dicom_files import quiet, samples


@settings(max_examples=60, deadline=None)
@given(data_sets(), st.sampled_from(native_syntaxes))
def test_round_trip(data_set: DataSet, syntax: str) -> None:
    assert decode(encode(data_set, syntax), syntax) == data_set


def plain(ds: pydicom.Dataset) -> dict[int, object]:
    """pydicom's data set as values that can be compared; binary strings (whose words it leaves alone) left out."""
    return {
        int(element.tag): [plain(item) for item in element.value] if element.VR == "SQ" else element.value
        for element in ds
        if element.VR not in ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
    }


@settings(max_examples=30, deadline=None)
@given(data_sets(), st.sampled_from([uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE]))
def test_pydicom_reads_what_we_write(data_set: DataSet, syntax: str) -> None:
    def read(target: str) -> dict[int, object]:
        with quiet():
            content = outgoing_header("1.2", "1.2.3", target) + encode(data_set, target)
            return plain(pydicom.dcmread(io.BytesIO(content)))

    theirs = read(syntax)
    assert theirs == read(uids.EXPLICIT_LE)
    assert theirs.keys() == {t for t, e in data_set.items() if e.vr not in ("OB", "OW", "OD", "OF", "OL", "OV", "UN")}


@settings(max_examples=30, deadline=None)
@given(data_sets(), st.sampled_from([uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE]), st.booleans())
def test_we_read_what_pydicom_writes(data_set: DataSet, syntax: str, undefined: bool) -> None:
    # without what pydicom would encode in its own way: words in O* values, text with a decimal form
    kept = {tag: e for tag, e in data_set.items() if e.vr not in ("OB", "OW", "OD", "OF", "OL", "OV", "UN", "SQ")}
    data_set = kept | {0x00081140: Element("SQ", (kept, {}))}
    encoded = encode(data_set, uids.EXPLICIT_LE)
    with quiet():
        read = pydicom.dcmread(io.BytesIO(outgoing_header("1.2", "1.2.3", uids.EXPLICIT_LE) + encoded))
        read.file_meta.TransferSyntaxUID = syntax
        read[0x00081140].is_undefined_length = undefined
        for item in read[0x00081140].value:
            item.is_undefined_length_sequence_item = undefined
        out = io.BytesIO()
        pydicom.dcmwrite(out, read)
    ours = decode(out.getvalue()[read_header(out.getvalue()).offset :], syntax)
    assert {tag: value_of(e) for tag, e in ours.items()} == {tag: value_of(e) for tag, e in data_set.items()}


def value_of(element: Element) -> object:
    if isinstance(element.value, tuple):
        return [{tag: value_of(e) for tag, e in item.items()} for item in element.value]
    return element.value.rstrip(b" \0")


def test_every_small_native_file_survives() -> None:
    checked = 0
    for sample in samples(40_000):
        if sample.syntax not in native_syntaxes:
            continue
        try:
            first = decode(sample.data, sample.syntax)
        except MalformedDataSet:
            continue  # damaged: there is nothing to come back to
        for syntax in (sample.syntax, uids.EXPLICIT_LE, uids.EXPLICIT_BE):
            assert decode(encode(first, syntax), syntax) == {
                tag: e if isinstance(e.value, tuple) else padded(e) for tag, e in first.items()
            } or any(isinstance(e.value, tuple) or len(e.value) > 0xFFFF for e in first.values())
        checked += 1
    assert checked >= 5


def padded(element: Element) -> Element:
    assert isinstance(element.value, bytes)
    odd = len(element.value) % 2
    return element._replace(value=element.value + (b"\0" if element.vr in ("UI", "OB", "UN") else b" ") * odd)


def test_encoding_is_sorted_padded_and_exact() -> None:
    data_set: DataSet = {
        0x00200013: Element("IS", b"7"),
        0x00080018: Element("UI", b"1.2.3"),
        0x00100020: Element("LO", b""),
    }
    assert encode(data_set, uids.EXPLICIT_LE) == (
        b"\x08\0\x18\0UI\x06\x001.2.3\0" + b"\x10\0\x20\0LO\0\0" + b"\x20\0\x13\0IS\x02\x007 "
    )
    assert encode(data_set, uids.IMPLICIT_LE) == (
        b"\x08\0\x18\0\x06\0\0\x001.2.3\0" + b"\x10\0\x20\0\0\0\0\0" + b"\x20\0\x13\0\x02\0\0\x007 "
    )
    assert encode({0x00280010: Element("US", b"\1\2")}, uids.EXPLICIT_BE) == b"\0\x28\0\x10US\0\2\2\1"
    assert encode({}, uids.EXPLICIT_LE) == b""


def test_elements_to_join() -> None:
    parts = [encode_element(0x00080060, "CS", b"CT", s) for s in (uids.EXPLICIT_LE, uids.DEFLATED_LE, uids.IMPLICIT_LE)]
    assert parts == [b"\x08\0\x60\0CS\2\0CT", b"\x08\0\x60\0CS\2\0CT", b"\x08\0\x60\0\2\0\0\0CT"]
    inner: DataSet = {0x00081150: dataset.uid("1.2")}
    assert encode_element(0x00081140, "SQ", (inner,), uids.IMPLICIT_LE) == (
        struct.pack("<HHI", 8, 0x1140, 20) + encode_item(inner, uids.IMPLICIT_LE)
    )


def test_values_that_no_short_vr_holds_become_unknown() -> None:
    encoded = encode({0x00104000: Element("LT", bytes(0x10000))}, uids.EXPLICIT_LE)
    assert encoded[:12] == struct.pack("<HH2sHI", 0x10, 0x4000, b"UN", 0, 0x10000)
    assert encode({0x00280010: Element("", b"\1\0")}, uids.EXPLICIT_LE)[4:6] == b"US"
    assert encode({0x00280010: Element("ZZ", b"\1\0")}, uids.EXPLICIT_LE)[4:6] == b"UN"


def test_what_lies_behind_unknown_vrs() -> None:
    inner: DataSet = {0x00080100: Element("SH", b"121327")}
    hidden = encode_item(inner, uids.IMPLICIT_LE)
    for syntax in (uids.EXPLICIT_LE, uids.EXPLICIT_BE):
        parts = ((0x00080060, b"CT"), (0x00280010, b"\2\1"), (0x00189346, hidden), (0x00091001, b"ab"))
        data = b"".join(encode_element(tag, "UN", value, syntax) for tag, value in parts)
        assert decode(data, syntax) == {
            0x00080060: Element("CS", b"CT"),
            0x00280010: Element("US", b"\2\1"),
            0x00189346: Element("SQ", (inner,)),
            0x00091001: Element("UN", b"ab"),
        }
        found = scan(data, syntax, frozenset([0x00080060, 0x00189346])).elements
        assert found == {0x00080060: ("CS", b"CT"), 0x00189346: ("SQ", hidden)}
        assert items(found[0x00189346].value, syntax) == (inner,)


def test_items_of_a_scanned_sequence() -> None:
    wanted = frozenset([0x00400275])
    inner: DataSet = {0x00080050: Element("SH", b"A1"), 0x00280010: Element("US", b"\1\0")}
    for syntax in (uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE):
        data = encode({0x00400275: Element("SQ", (inner, {}, inner))}, syntax)
        assert items(scan(data, syntax, wanted).elements[0x00400275].value, syntax) == (inner, {}, inner)
    assert items(b"", uids.EXPLICIT_LE) == ()
    assert items(b"", EXPLICIT_LITTLE) == ()


@pytest.mark.parametrize("data", [b"\x08\0\x60\0CS\x0a\0CT", b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"])
def test_damage(data: bytes) -> None:
    with pytest.raises(MalformedDataSet):
        decode(data, uids.EXPLICIT_LE)


def test_no_pixel_fragments_here() -> None:
    fragments = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    with pytest.raises(MalformedDataSet):
        decode(fragments, uids.EXPLICIT_LE)


def test_depth_is_limited_both_ways() -> None:
    deep: DataSet = {}
    for _ in range(64):
        deep = {0x00081140: Element("SQ", (deep,))}
    assert decode(encode(deep, uids.EXPLICIT_LE), uids.EXPLICIT_LE) == deep
    with pytest.raises(MalformedDataSet):
        encode({0x00081140: Element("SQ", (deep,))}, uids.EXPLICIT_LE)


def test_helpers() -> None:
    data_set: DataSet = {
        0x00100010: dataset.text("PN", "Müller^Jürgen", "ISO_IR 100"),
        0x00080018: dataset.uid("1.2.3"),
        0x00080061: dataset.text("CS", "CT\\MR"),
        0x00280010: dataset.us(512),
        0x00000000: dataset.ul(70000),
        0x00280009: dataset.at(0x00181063),
        0x00200013: dataset.text("IS", " 12"),
        0x00081140: dataset.sequence({0x00081150: dataset.uid("1.2")}),
        0x00200011: Element("IS", b"x"),
        0x00280011: Element("US", b""),
    }
    assert data_set[0x00100010].value == "Müller^Jürgen".encode("latin-1")
    assert data_set[0x00280009].value == b"\x18\0\x63\x10"
    assert dataset.string_of(data_set, 0x00080018) == "1.2.3"
    assert dataset.strings_of(data_set, 0x00080061) == ["CT", "MR"]
    assert dataset.strings_of(data_set, 0x00080062) == []
    assert [dataset.int_of(data_set, tag) for tag in (0x00280010, 0, 0x00200013)] == [512, 70000, 12]
    assert [dataset.int_of(data_set, tag) for tag in (0x00200011, 0x00280011, 0x00200012, 0x00081140)] == [None] * 4
    assert dataset.items_of(data_set, 0x00081140)[0][0x00081150].value == b"1.2"
    assert (dataset.items_of(data_set, 0x00081155), dataset.string_of(data_set, 0x00081140)) == ((), "")
    assert dataset.text("LO", "名", "ISO_IR 100").value == b"?"
