"""Changes laid over encoded data sets: what was to change has changed, and not a byte else."""

import io
import zlib

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dicom import uids
from isocenter.dicom.convert import convert, native_syntaxes
from isocenter.dicom.dataset import DataSet, Element, decode, encode, encode_element
from isocenter.dicom.headers import MalformedDataSet, Window
from isocenter.dicom.overlay import Changes, Overlay, edits, merged, overlaid
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.scan import placed, scan
from isocenter.dicom.uids import transfer_syntax
from unit.dicom.dicom_data_sets import data_sets
from unit.dicom.dicom_files import Sample, quiet, samples

UNREADABLE = {"MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}
"""Files that are cut, of which pydicom reads nothing."""
SAMPLES = [s for s in samples(300_000) if s.name.split("/")[-1] not in UNREADABLE]
CHANGES: Changes = {
    0x00080050: Element("SH", b"A-17"),
    0x00100010: Element("PN", b"Ny^Navn"),
    0x00100020: None,
    0x00102160: Element("SH", b"odd"),
    0x00280010: Element("US", b"\x01\x02"),
    0x04000561: Element("SQ", ({0x04000565: Element("CS", b"COERCE")}, {})),
}


def reader(data: bytes):
    return lambda offset, n: data[offset : offset + n]


def over(data: bytes, syntax: str, changes: Changes) -> bytes:
    return b"".join(overlaid(reader(data), len(data), syntax, changes))


def inflated(data: bytes, syntax: str) -> bytes:
    return zlib.decompressobj(-15).decompress(data) if transfer_syntax(syntax).deflated else data


def applied(before: DataSet, changes: Changes) -> DataSet:
    return {t: e for t, e in {**before, **changes}.items() if e is not None}


@given(
    data_sets(),
    st.dictionaries(st.sampled_from([0x00080018, 0x00081030, 0x00091010, 0x0040A730, 0x00080001]), st.none()),
    data_sets(),
    st.sampled_from(native_syntaxes),
)
@settings(max_examples=80, deadline=None)
def test_what_is_laid_over_is_there_and_nothing_else_changed(
    before: DataSet, removed: dict[int, None], put: DataSet, syntax: str
) -> None:
    data, changes = encode(before, syntax), merged(put, removed)
    result = over(data, syntax, changes)
    expected = encode(applied(before, changes), syntax)
    assert inflated(result, syntax) == inflated(expected, syntax)
    laid = Overlay(reader(data), len(data), syntax, changes)
    assert laid.size() == len(result)


@given(data_sets(), data_sets(), st.sampled_from(native_syntaxes), st.sampled_from(native_syntaxes))
@settings(max_examples=40, deadline=None)
def test_conversion_takes_the_changes_along(before: DataSet, put: DataSet, source: str, target: str) -> None:
    data = encode(before, source)
    result = b"".join(Overlay(reader(data), len(data), source, put).converted(target))
    made = encode(applied(before, put), source)
    expected = b"".join(convert(reader(made), len(made), source, target))
    assert inflated(result, target) == inflated(expected, target)


@given(data_sets(), data_sets(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_stretch_can_be_read(before: DataSet, put: DataSet, draw: st.DataObject) -> None:
    data = encode(before, uids.EXPLICIT_LE)
    laid = Overlay(reader(data), len(data), uids.EXPLICIT_LE, put)
    whole = b"".join(laid.pieces())
    offset = draw.draw(st.integers(0, len(whole) + 2))
    n = draw.draw(st.integers(0, len(whole) + 2))
    assert laid.read(offset, n) == whole[offset : offset + n]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_pydicom_reads_the_changes_and_all_else_as_before(sample: Sample) -> None:
    result = over(sample.data, sample.syntax, CHANGES)
    with quiet():
        ours, theirs = read(result, sample.syntax), read(sample.data, sample.syntax)
        groups = {tag >> 16 for tag in CHANGES}
        for tag in {*ours.keys(), *theirs.keys()} - set(CHANGES):
            if tag.element or tag.group not in groups:
                assert ours.get_item(tag).value == theirs.get_item(tag).value
        for tag, element in CHANGES.items():
            assert (tag in ours) == (element is not None)
        assert ours.PatientName == "Ny^Navn"
        assert ours.Rows == 0x0201
        assert [len(item) for item in ours.OriginalAttributesSequence] == [1, 0]


@pytest.mark.parametrize("sample", [s for s in SAMPLES if not transfer_syntax(s.syntax).deflated], ids=lambda s: s.name)
def test_bytes_outside_the_changed_elements_are_the_same(sample: Sample) -> None:
    result = over(sample.data, sample.syntax, CHANGES)
    rest, at = [], 0
    kept, where = [], 0
    for start, end, put in edits(Window.over(sample.data), sample.syntax, CHANGES):
        kept.append(sample.data[at:start])
        where += start - at
        rest.append(result[where - (start - at) : where])
        assert result[where : where + len(put)] == put
        where += len(put)
        at = end
    assert rest == kept
    assert result[where:] == sample.data[at:]


WANTED = frozenset(
    [0x00080005, 0x00080018, 0x00080060, 0x00100010, 0x00100020, 0x00102160, 0x0020000D, 0x00280010, 0x00400275]
)
"""Some of what changes, and some that does not."""


@pytest.mark.parametrize("sample", [s for s in SAMPLES if not transfer_syntax(s.syntax).deflated], ids=lambda s: s.name)
def test_known_places_lead_to_the_same_edits(sample: Sample) -> None:
    found, places = placed(sample.data, sample.syntax, WANTED)
    assert found == scan(sample.data, sample.syntax, WANTED)
    assert places.keys() <= found.elements.keys()
    for changes in (
        CHANGES,
        {0x00100020: None},
        {0x00080001: Element("LO", b"x")},
        {0x00102160: None, 0x00080060: None},
    ):
        near = list(edits(Window.over(sample.data), sample.syntax, changes, places))
        assert [e for e in near if e.put or e.start < e.end] == [
            e for e in edits(Window.over(sample.data), sample.syntax, changes) if e.put or e.start < e.end
        ]


@given(data_sets(), data_sets(), st.frozensets(st.sampled_from([0x00080018, 0x00100010, 0x0040A730, 0x00091010])))
@settings(max_examples=60, deadline=None)
def test_places_of_any_elements_do(before: DataSet, put: DataSet, wanted: frozenset[int]) -> None:
    for syntax in (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE):
        data = encode(before, syntax)
        wanted |= {0x00080005}
        found, places = placed(data, syntax, wanted)
        assert found == scan(data, syntax, wanted)
        assert {tag: data[start:end] for tag, (start, end) in places.items()} == {
            tag: encode({tag: before[tag]}, syntax) for tag in found.elements
        }
        assert list(edits(Window.over(data), syntax, put, places)) == list(edits(Window.over(data), syntax, put))


def test_a_change_behind_the_last_known_place() -> None:
    data = encode({0x00100020: Element("LO", b"17")}, uids.EXPLICIT_LE)
    _, places = placed(data, uids.EXPLICIT_LE, WANTED)
    new = encode({0x00102160: Element("SH", b"x ")}, uids.EXPLICIT_LE)
    found = list(edits(Window.over(data), uids.EXPLICIT_LE, {0x00102160: Element("SH", b"x")}, places))
    assert found == [(len(data), len(data), new)]


def test_elements_out_of_order_have_no_places() -> None:
    first, second = (encode_element(tag, "LO", b"x ", uids.EXPLICIT_LE) for tag in (0x00100020, 0x00102160))
    for data in (second + first, first + first, first + second + first):
        assert not placed(data, uids.EXPLICIT_LE, WANTED)[1]
    assert placed(first + second, uids.EXPLICIT_LE, WANTED)[1]


def test_a_deflated_data_set_is_deflated_again() -> None:
    whole = {0x00080018: Element("UI", b"1.2\0"), 0x00100010: Element("PN", b"Old^One "), 0x00420011: pixels()}
    data = encode(whole, uids.DEFLATED_LE)
    found = decode(over(data, uids.DEFLATED_LE, CHANGES), uids.DEFLATED_LE)
    assert found == applied(whole, padded(CHANGES))


def pixels() -> Element:
    return Element("OB", bytes(range(256)) * 12_000)


def padded(changes: Changes) -> Changes:
    return decode(encode(applied({}, changes), uids.EXPLICIT_LE), uids.EXPLICIT_LE) | {
        tag: None for tag, element in changes.items() if element is None
    }


def test_a_long_value_passes_in_pieces() -> None:
    data = encode({0x00100010: Element("PN", b"Old"), 0x00420011: pixels()}, uids.EXPLICIT_LE)
    asked: list[int] = []

    def counted(offset: int, n: int) -> bytes:
        asked.append(n)
        return data[offset : offset + n]

    pieces = list(overlaid(counted, len(data), uids.EXPLICIT_LE, CHANGES))
    assert max(asked) <= 1 << 20
    assert max(map(len, pieces)) < (1 << 20) + 1000
    changed = {0x00420011: Element("OB", b"new!")}
    assert decode(over(data, uids.EXPLICIT_LE, changed), uids.EXPLICIT_LE)[0x00420011].value == b"new!"


def test_fragments_pass_through() -> None:
    fragments = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0\xff\xd8\xff\xd9\xfe\xff\xdd\xe0\0\0\0\0"
    pixel = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + fragments
    head = encode({0x00100010: Element("PN", b"Old^"), 0x00280010: Element("US", b"\1\0")}, uids.EXPLICIT_LE)
    result = over(head + pixel, uids.JPEG_BASELINE, CHANGES)
    assert result.endswith(pixel)
    padding = encode_element(0xFFFCFFFC, "OB", b"\0\0", uids.EXPLICIT_LE)
    after = over(head + pixel, uids.JPEG_BASELINE, {0xFFFCFFFC: Element("OB", b"\0\0")})
    assert after == head + pixel + padding
    assert over(head + pixel, uids.JPEG_BASELINE, {0x7FE00010: None}) == head


def test_an_element_behind_its_place_does_not_survive() -> None:
    parts = [
        encode_element(tag, "LO", value, uids.EXPLICIT_LE)
        for tag, value in ((0x00100020, b"old1"), (0x00181030, b"kept"), (0x00100020, b"old2"), (0x00200010, b"last"))
    ]
    data = b"".join(parts)
    new = encode_element(0x00100020, "LO", b"new!", uids.EXPLICIT_LE)
    result = over(data, uids.EXPLICIT_LE, {0x00100020: Element("LO", b"new!")})
    assert result == new + parts[1] + parts[3]
    assert over(data, uids.EXPLICIT_LE, {0x00100020: None}) == parts[1] + parts[3]


def test_group_lengths_of_changed_groups_go() -> None:
    length = encode_element(0x00100000, "UL", b"\x0c\0\0\0", uids.EXPLICIT_LE)
    other = encode_element(0x00080000, "UL", b"\0\0\0\0", uids.EXPLICIT_LE)
    name = encode_element(0x00100010, "PN", b"Old^", uids.EXPLICIT_LE)
    assert over(other + length + name, uids.EXPLICIT_LE, {0x00100010: None}) == other


def test_the_encoding_is_the_one_that_the_data_set_shows() -> None:
    implicit = encode({0x00100010: Element("PN", b"Old^")}, uids.IMPLICIT_LE)
    result = over(implicit, uids.EXPLICIT_LE, {0x00100020: Element("LO", b"17")})
    assert result == implicit + encode_element(0x00100020, "LO", b"17", uids.IMPLICIT_LE)


def test_what_cannot_be_read_says_so_before_the_first_piece() -> None:
    cut = encode_element(0x00080050, "SH", b"A" * 40, uids.EXPLICIT_LE)[:20]
    with pytest.raises(MalformedDataSet):
        overlaid(reader(cut), len(cut), uids.EXPLICIT_LE, CHANGES)
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    with pytest.raises(MalformedDataSet):
        overlaid(reader(item), len(item), uids.EXPLICIT_LE, CHANGES)


def test_no_changes_no_edits() -> None:
    data = b"whatever this is"
    assert over(data, uids.EXPLICIT_LE, {}) == data
    assert over(b"", uids.EXPLICIT_LE, CHANGES) == encode(applied({}, CHANGES), uids.EXPLICIT_LE)


def read(data: bytes, syntax: str) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(outgoing_header("1.2", "1.2.3", syntax) + data), force=True)
