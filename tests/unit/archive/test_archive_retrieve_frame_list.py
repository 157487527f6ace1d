"""Frame Range Keys: which frames they name (PS3.4 Y.3.2)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.archive.retrieval.frame_list import (
    CALCULATED,
    SIMPLE,
    TIMES,
    FrameKeys,
    FramesFailure,
    frame_keys,
    frame_list,
    frame_times,
)
from isocenter.declarations.statuses import Frames
from isocenter.dicom.dataset import DataSet, Element, sequence, text

COUNT = 10


def ul(*numbers: int) -> Element:
    return Element("UL", struct.pack(f"<{len(numbers)}I", *numbers))


def named(identifier: DataSet, header: DataSet | None = None) -> list[int]:
    return frame_list(frame_keys(identifier), header or {}, COUNT)


@given(st.sets(st.integers(1, 20), min_size=1))
def test_a_simple_list_is_what_there_is_of_it(numbers: set[int]) -> None:
    expected = sorted(number for number in numbers if number <= COUNT)
    if expected:
        assert named({SIMPLE: ul(*sorted(numbers))}) == expected
    else:
        with pytest.raises(FramesFailure) as failure:
            named({SIMPLE: ul(*sorted(numbers))})
        assert failure.value.cause is Frames.NONE_FOUND


@given(st.integers(1, 30), st.integers(0, 0xFFFFFFFF), st.integers(1, 5))
def test_a_calculated_list_is_a_range(first: int, more: int, step: int) -> None:
    last = min(first + more, 0xFFFFFFFF)
    expected = [number for number in range(1, COUNT + 1) if first <= number <= last and (number - first) % step == 0]
    if expected:
        assert named({CALCULATED: ul(first, last, step)}) == expected


@given(st.binary(max_size=40), st.sampled_from([SIMPLE, CALCULATED, TIMES]))
def test_whatever_bytes_come_they_are_refused_or_name_frames_in_order(value: bytes, tag: int) -> None:
    header: DataSet = {0x00181063: text("DS", "100")}
    causes = set()
    found: list[int] = []
    try:
        found = named({tag: Element("UN", value)}, header)
    except FramesFailure as failure:
        causes = {failure.cause}
    assert causes <= {Frames.INVALID, Frames.NONE_FOUND}
    assert bool(found) is not bool(causes)
    assert found == sorted(set(found) & set(range(1, COUNT + 1)))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({0x00181063: text("DS", "500")}, [0.0, 0.5, 1.0]),
        ({0x00181063: text("DS", "500"), 0x00181066: text("DS", "250")}, [0.25, 0.75, 1.25]),
        ({0x00181065: text("DS", "0\\100\\400")}, [0.0, 0.1, 0.5]),
        ({0x00181065: text("DS", "0\\100"), 0x00181063: text("DS", "1000")}, [0.0, 1.0, 2.0]),
        ({0x00181065: text("DS", "0\\x\\100")}, None),
        ({0x00181063: text("DS", "0")}, None),
        ({}, None),
    ],
)
def test_times(header: DataSet, expected: list[float] | None) -> None:
    assert frame_times(header, 3) == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        (("20240131100000", "20240131100001.5", "20240131100100"), [0.0, 1.5, 60.0]),
        (("20240131100000.25", "20240131100000.5", "202401311001"), [0.25, 0.5, 60.0]),
        (("20240131100000", "", "20240131100100"), None),
        (("20240131100000", "tomorrow", "20240131100100"), None),
        (("20240131100000", "20240231100000", "20240131100100"), None),
    ],
)
def test_times_of_functional_groups(moments: tuple[str, ...], expected: list[float] | None) -> None:
    def group(moment: str) -> DataSet:
        content: DataSet = {0x00189151: text("DT", moment)}
        return {0x00209111: sequence(content)}

    header: DataSet = {
        0x00080023: text("DA", "20240131"),
        0x00080033: text("TM", "100000"),
        0x52009230: sequence(*map(group, moments)),
    }
    assert frame_times(header, 3) == expected


def test_a_time_zone_counts() -> None:
    header: DataSet = {0x00080023: text("DA", "20240131"), 0x00080033: text("TM", "100000")}
    content: DataSet = {0x00189074: text("DT", "20240131120001+0200")}
    header[0x52009230] = sequence({0x00209111: sequence(content)})
    assert frame_times(header, 1) == [1.0]
    keys = FrameKeys(TIMES, Element("FD", b""), (0.5, 1.5))
    assert frame_list(keys, header, 1) == [1]
