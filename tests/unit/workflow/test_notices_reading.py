"""Notifications from strangers: whatever comes is read, or refused in the protocol's own terms."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, sequence, text, uid
from isocenter.workflow.notices.received import Kind, Malformed, read

ITEM: DataSet = {
    0x00080054: text("AE", "THERE"),
    0x00080056: text("CS", "ONLINE"),
    0x00081150: uid("1.2.840.10008.5.1.4.1.1.2"),
    0x00081155: uid("1.2.3.4"),
}
SERIES: DataSet = {0x00081140: sequence(ITEM), 0x00081199: sequence(ITEM), 0x0020000E: uid("1.2.3")}
WHOLE: DataSet = {
    0x00080005: text("CS", "ISO_IR 192"),
    0x00081111: sequence(),
    0x00081115: sequence(SERIES),
    0x00100010: text("PN", "Ödegård^Åse", "ISO_IR 192"),
    0x0020000D: uid("1.2"),
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("syntax", NON_STORAGE)
def test_both_kinds_in_each_syntax(kind: Kind, syntax: str) -> None:
    said = read(kind, "1.2.9", encode(WHOLE, syntax), syntax)
    assert (said.study_uid, [each.sop_uid for each in said.references]) == ("1.2", ["1.2.3.4"])
    assert "Ödegård^Åse" in said.content


@given(st.sampled_from(Kind), st.sampled_from(NON_STORAGE), st.binary(max_size=200))
def test_garbage(kind: Kind, syntax: str, data: bytes) -> None:
    with suppress(Malformed):  # nothing else may be raised
        read(kind, "1.2.9", data, syntax)


@given(
    st.sampled_from(Kind),
    st.sampled_from([uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE]),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_spoiled_bytes(kind: Kind, syntax: str, spoiled: list[tuple[int, int]]) -> None:
    data = bytearray(encode(WHOLE, syntax))
    for place, value in spoiled:
        data[place % len(data)] = value
    with suppress(Malformed):  # nothing else may be raised
        read(kind, "1.2.9", bytes(data), syntax)


@given(st.sampled_from(Kind), st.integers(0, 200))
def test_cut_short(kind: Kind, length: int) -> None:
    with suppress(Malformed):  # nothing else may be raised
        read(kind, "1.2.9", encode(WHOLE, uids.EXPLICIT_LE)[:length], uids.EXPLICIT_LE)
