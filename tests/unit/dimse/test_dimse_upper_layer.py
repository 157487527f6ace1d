"""P-DATA in place: any cutting of the stream gives the same fragments; limits come before memory."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.dimse.pdu import Abort, Data, encode
from isocenter.dimse.pdu_reading import decode_all
from isocenter.dimse.slabs import SLAB, Slabs
from isocenter.dimse.state import State
from isocenter.dimse.upper_layer import IDLE_BUFFER, Aborted, Fragments
from unit.dimse.dimse_layers import established, feed

fragments = st.tuples(st.sampled_from([1, 3]), st.integers(0, 3), st.binary(max_size=300))
streams = st.lists(st.lists(fragments, min_size=1, max_size=4).map(tuple).map(Data), max_size=8)


def flat(events: list[object]) -> list[tuple[int, bool, bytes, bool]]:
    """The messages' parts, joined: (context, is command, bytes, complete)."""
    parts: list[tuple[int, bool, bytes, bool]] = []
    for event in events:
        assert isinstance(event, Fragments)
        value = b"".join(event.views)
        if parts and not parts[-1][3] and parts[-1][:2] == event[:2]:
            value = parts.pop()[2] + value
        if value or event.last:
            parts.append((event.context_id, event.is_command, value, event.last))
    return parts


def expected(pdus: list[Data]) -> list[tuple[int, bool, bytes, bool]]:
    events: list[object] = []
    for pdu in pdus:
        for context_id, control, value in pdu.values:
            events.append(Fragments(context_id, bool(control & 1), bool(control & 2), [memoryview(value)]))
    return flat(events)


@given(streams, st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_cutting_the_stream_changes_nothing(pdus: list[Data], cuts: list[int]) -> None:
    layer = established()
    stream = b"".join(map(encode, pdus))
    events: list[object] = []
    at = i = 0
    while at < len(stream):
        piece = stream[at : at + cuts[i % len(cuts)]]
        for event in feed(layer, piece):
            assert isinstance(event, Fragments)
            events.append(event._replace(views=[memoryview(bytes(view)) for view in event.views]))
        at, i = at + len(piece), i + 1
    assert flat(events) == expected(pdus)


@given(st.binary(max_size=400), st.lists(st.integers(1, 100), min_size=1, max_size=10))
def test_no_bytes_break_the_layer(data: bytes, cuts: list[int]) -> None:
    for make in (established, lambda: established(requestor=True)):
        layer = make()
        at = i = 0
        while at < len(data) and not layer.close_transport:
            piece = data[at : at + cuts[i % len(cuts)]]
            feed(layer, piece)
            at, i = at + len(piece), i + 1
        assert layer.state in (State.ESTABLISHED, State.AWAITING_CLOSE, State.IDLE, State.AWAITING_LOCAL_RELEASE)


def pdata(body: bytes) -> bytes:
    return b"\x04\0" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", 1, id="HTTP"),
        pytest.param(b"\x09", 1, id="unknown type, from its first byte"),
        pytest.param(b"\x04\0\xff\xff\xff\xff", 6, id="P-DATA of 4 GiB"),
        pytest.param(b"\x04\0" + struct.pack(">I", 65536 + 7), 6, id="P-DATA over the maximum"),
        pytest.param(b"\x05\0\xff\xff\xff\xff", 6, id="A-RELEASE-RQ of 4 GiB"),
        pytest.param(b"\x01\0" + struct.pack(">I", (1 << 20) + 1), 6, id="A-ASSOCIATE-RQ over 1 MiB"),
        pytest.param(pdata(b""), 6, id="P-DATA without a value"),
        pytest.param(pdata(b"\0\0\0\0\1\3"), 6, id="PDV length 0"),
        pytest.param(pdata(b"\0\0\0\1\1\3"), 6, id="PDV length 1"),
        pytest.param(pdata(b"\0\0\0\x09\1\3ab"), 6, id="PDV longer than its PDU"),
        pytest.param(pdata(b"\0\0\0\4\1\3ab\0\0\0"), 6, id="rest too short for a PDV"),
        pytest.param(b"\x07\0\0\0\0\2\0\0", 6, id="A-ABORT too short"),
    ],
)
def test_strange_bytes_abort_and_nothing_more_is_read(stream: bytes, reason: int) -> None:
    layer = established()
    before = layer.receive_buffer()
    events = feed(layer, stream + b"\x05\0\0\0\0\4\0\0\0\0")
    assert events[-1] == Aborted(2, reason, False)
    assert list(decode_all(b"".join(layer.output))) == [Abort(2, reason)]
    assert layer.state is State.AWAITING_CLOSE
    assert len(layer.receive_buffer()) == len(before) == IDLE_BUFFER


def test_an_empty_last_fragment_ends_a_part() -> None:
    layer = established()
    assert feed(layer, pdata(b"\0\0\0\4\1\0ab\0\0\0\2\1\2")) == [Fragments(1, False, True, [memoryview(b"ab")])]
    assert feed(layer, pdata(b"\0\0\0\2\1\2")) == [Fragments(1, False, True, [])]


def test_fragments_of_several_pdus_come_as_one_event() -> None:
    layer = established()
    events = feed(layer, 3 * pdata(b"\0\0\0\4\1\0ab") + pdata(b"\0\0\0\4\1\2cd"))
    assert len(events) == 1
    assert b"".join(events[0].views) == b"abababcd"  # type: ignore[attr-defined]


def test_a_slab_is_borrowed_while_data_flows_and_given_back() -> None:
    slabs = Slabs()
    layer = established(slabs=slabs)
    assert (len(layer.receive_buffer()), slabs.lent) == (IDLE_BUFFER, 0)
    feed(layer, pdata(b"\0\0\x80\2\1\0" + bytes(32768))[: IDLE_BUFFER + 100])
    assert (len(layer.receive_buffer()), slabs.lent) == (SLAB, 1)
    layer.idle()
    assert (len(layer.receive_buffer()), slabs.lent) == (IDLE_BUFFER, 0)
    rest = pdata(b"\0\0\x80\2\1\0" + bytes(32768))[IDLE_BUFFER + 100 :]
    total = sum(len(view) for event in feed(layer, rest) for view in event.views)  # type: ignore[attr-defined]
    assert total == len(rest)


def test_a_slab_that_nobody_uses_is_reused_and_few_are_kept() -> None:
    slabs = Slabs(spare=1)
    one, two = slabs.borrow(), slabs.borrow()
    slabs.give_back(one)
    slabs.give_back(two)
    assert slabs.borrow() is one
    assert slabs.lent == 1
