"""A short run of the fuzz targets."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.fuzz_dimse import TARGETS
from isocenter.dimse.pdu import AssociateRequest, ContextProposal, Data, ReleaseRequest, encode

REQUEST = encode(AssociateRequest("A", "B", (ContextProposal(1, "1.2", ("1.3",)),)))
DATA = encode(Data(((1, 3, b"\0\0\0\x01\x02\0\0\0\x30\0"),)))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_short_run(target: Callable[[bytes], None]) -> None:
    @settings(max_examples=200, deadline=None)
    @example(b"\0\x10" + REQUEST)
    @example(b"\2\x10" + DATA + encode(ReleaseRequest()))
    @example(b"\0" + REQUEST[6:])
    @given(st.binary(max_size=600))
    def run(data: bytes) -> None:
        target(data)

    run()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([REQUEST, DATA, encode(ReleaseRequest()), b"\4\0\0\0", b"\0"]), max_size=6), st.data())
def test_streams_of_damaged_pdus(pieces: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(0, 3))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    TARGETS["stream"](bytes([data.draw(st.integers(0, 3)), data.draw(st.integers(0, 255))]) + bytes(whole))
