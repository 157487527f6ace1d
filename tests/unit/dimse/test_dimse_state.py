"""The state table, every cell of it, against PS3.8 table 9-10 as written down a second time below, by columns."""

import pytest

from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    Data,
    Pdu,
    ReleaseReply,
    ReleaseRequest,
    encode,
)
from isocenter.dimse.pdu_reading import decode_all
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.state import NEXT, TRANSITIONS, Action, Event, State, StateError
from isocenter.dimse.upper_layer import Aborted, Fragments, UpperLayer

_PDUS = (3, 4, 6, 10, 12, 13)


def _column(state: int) -> dict[int, str]:
    """The cells of one state: event number to action."""
    if state == 1:
        return {1: "AE_1", 5: "AE_5"}
    if state == 2:
        return {**dict.fromkeys((3, 4, 10, 12, 13, 19), "AA_1"), 6: "AE_6", 16: "AA_2", 17: "AA_5", 18: "AA_2"}
    if state == 4:
        return {2: "AE_2", 15: "AA_2", 17: "AA_4"}
    if state == 13:
        ignored = dict.fromkeys((3, 4, 10, 12, 13), "AA_6")
        return {**ignored, 6: "AA_7", 16: "AA_2", 17: "AR_5", 18: "AA_2", 19: "AA_7"}
    column = {**dict.fromkeys((*_PDUS, 19), "AA_8"), 15: "AA_1", 16: "AA_3", 17: "AA_4"}
    own = {
        3: {7: "AE_7", 8: "AE_8"},
        5: {3: "AE_3", 4: "AE_4"},
        6: {9: "DT_1", 10: "DT_2", 11: "AR_1", 12: "AR_2"},
        7: {10: "AR_6", 12: "AR_8", 13: "AR_3"},
        8: {9: "AR_7", 14: "AR_4"},
        9: {14: "AR_9"},
        10: {13: "AR_10"},
        11: {13: "AR_3"},
        12: {14: "AR_4"},
    }
    return {**column, **own[state]}


CELLS = [(event, state) for state in State for event in Event]


@pytest.mark.parametrize(("event", "state"), CELLS)
def test_every_cell_of_the_table(event: Event, state: State) -> None:
    expected = _column(state).get(event)
    action = TRANSITIONS.get((event, state))
    assert (action.name if action else None) == expected


def test_the_table_has_as_many_cells_as_the_standard() -> None:
    assert len(TRANSITIONS) == sum(len(_column(state)) for state in State)
    assert set(NEXT) == set(Action)


CONTEXTS = (ContextProposal(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),)
RQ = AssociateRequest("A", "B", CONTEXTS)
AC = AssociateAccept((ContextResult(1, 0, "1.2.840.10008.1.2"),))
RJ = AssociateReject(1, 1, 7)
DATA = Data(((1, 3, b"abcd"),))
ARRIVING: dict[Event, Pdu | bytes] = {
    Event.AC_RECEIVED: AC,
    Event.RJ_RECEIVED: RJ,
    Event.RQ_RECEIVED: RQ,
    Event.DATA_RECEIVED: DATA,
    Event.RELEASE_RQ_RECEIVED: ReleaseRequest(),
    Event.RELEASE_RP_RECEIVED: ReleaseReply(),
    Event.ABORT_RECEIVED: Abort(2, 1),
    Event.INVALID_PDU: b"GET / HTTP/1.1\r\n\r\n",
}
PRIMITIVES: dict[Event, Pdu] = {
    Event.ACCEPT: AC,
    Event.REJECT: RJ,
    Event.RELEASE_REQUEST: ReleaseRequest(),
    Event.RELEASE_RESPONSE: ReleaseReply(),
    Event.ABORT_REQUEST: Abort(0, 0),
}


def feed(layer: UpperLayer, data: bytes) -> list[object]:
    """Let the layer receive, as a driver does."""
    events: list[object] = []
    while data:
        buffer = layer.receive_buffer()
        n = min(len(buffer), len(data))
        buffer[:n] = data[:n]
        data = data[n:]
        events += layer.buffer_updated(n)
    return events


def arrive(layer: UpperLayer, thing: Pdu | bytes) -> list[object]:
    return feed(layer, thing if isinstance(thing, bytes) else encode(thing))


def sent(layer: UpperLayer) -> list[Pdu]:
    output, layer.output = layer.output, []
    return list(decode_all(b"".join(output)))


def in_state(state: State) -> UpperLayer:
    """A layer that was led to `state` the way the standard goes."""
    acceptor_only = (State.AWAITING_REQUEST, State.AWAITING_LOCAL_RESPONSE, State.COLLISION_ACCEPTOR_REPLY)
    acceptor = state in acceptor_only or state in (State.COLLISION_ACCEPTOR_LOCAL, State.AWAITING_CLOSE)
    layer = UpperLayer(requestor=not acceptor, max_pdu=65536, slabs=Slabs())
    steps = _acceptor_steps(state) if acceptor else _requestor_steps(state)
    for step in steps:
        if step == "accepted":
            layer.accepted()
        elif step == "connected":
            layer.connected()
        elif isinstance(step, tuple):
            layer.send(step[0])
        else:
            arrive(layer, step)  # type: ignore[arg-type]
    layer.output.clear()
    assert layer.state is state
    return layer


def _acceptor_steps(state: State) -> list[object]:
    collision: list[object] = ["accepted", RQ, (AC,), (ReleaseRequest(),), ReleaseRequest()]
    return {
        State.AWAITING_REQUEST: ["accepted"],
        State.AWAITING_LOCAL_RESPONSE: ["accepted", RQ],
        State.COLLISION_ACCEPTOR_REPLY: collision,
        State.COLLISION_ACCEPTOR_LOCAL: [*collision, ReleaseReply()],
        State.AWAITING_CLOSE: ["accepted", RQ, (RJ,)],
    }[state]


def _requestor_steps(state: State) -> list[object]:
    established: list[object] = [(RQ,), "connected", AC]
    collision = [*established, (ReleaseRequest(),), ReleaseRequest()]
    return {
        State.IDLE: [],
        State.CONNECTING: [(RQ,)],
        State.AWAITING_ANSWER: [(RQ,), "connected"],
        State.ESTABLISHED: established,
        State.AWAITING_RELEASE_REPLY: [*established, (ReleaseRequest(),)],
        State.AWAITING_LOCAL_RELEASE: [*established, ReleaseRequest()],
        State.COLLISION_REQUESTOR_LOCAL: collision,
        State.COLLISION_REQUESTOR_REPLY: [*collision, (ReleaseReply(),)],
    }[state]


def happen(layer: UpperLayer, event: Event) -> list[object]:
    """Let `event` happen to the layer through its public face."""
    if event in ARRIVING:
        return arrive(layer, ARRIVING[event])
    if event in PRIMITIVES:
        layer.output = layer.send(PRIMITIVES[event])
        return []
    match event:
        case Event.ASSOCIATE_REQUEST:
            layer.output = layer.send(RQ)
        case Event.CONNECTED:
            layer.output = layer.connected()
        case Event.CONNECTION_INDICATION:
            layer.accepted()
        case Event.DATA_REQUEST:
            layer.may_send_data()
        case Event.CLOSED:
            return list(layer.closed())
        case Event.ARTIM_EXPIRED:
            return list(layer.expired())
    return []


UNREACHABLE = {(Event.CLOSED, State.IDLE)}
"""The end of a connection that is already gone is no error."""
REACHABLE = [(e, s) for e, s in CELLS if (e, s) not in UNREACHABLE]


@pytest.mark.parametrize(("event", "state"), REACHABLE)
def test_the_layer_follows_every_cell(event: Event, state: State) -> None:
    action = TRANSITIONS.get((event, state))
    layer = in_state(state)
    if action is None:
        with pytest.raises(StateError):
            happen(layer, event)
        return
    events = happen(layer, event)
    expected = NEXT[action]
    if action is Action.AR_8 and state is State.AWAITING_RELEASE_REPLY:
        expected = State.COLLISION_REQUESTOR_LOCAL
    assert layer.state is expected
    _check_output(action, event, sent(layer))
    _check_indication(action, events)
    assert layer.close_transport is (action.name in ("AE_4", "AR_3", "AR_5", "AA_2", "AA_3", "AA_4", "AA_5"))
    if action.name in ("AE_5", "AE_8", "AR_4", "AA_1", "AA_8"):
        assert layer.artim
    if action.name in ("AE_6", "AR_5", "AA_2", "AA_5"):
        assert not layer.artim


def _check_output(action: Action, event: Event, pdus: list[Pdu]) -> None:
    reason = 1 if event is Event.INVALID_PDU else 2
    expected: dict[str, list[Pdu]] = {
        "AE_2": [RQ],
        "AE_7": [AC],
        "AE_8": [RJ],
        "AR_1": [ReleaseRequest()],
        "AR_4": [ReleaseReply()],
        "AR_9": [ReleaseReply()],
        "AA_1": [Abort(0, 0)],
        "AA_7": [Abort(2, reason)],
        "AA_8": [Abort(2, reason)],
    }
    assert pdus == expected.get(action.name, [])


def _check_indication(action: Action, events: list[object]) -> None:
    match action.name:
        case "AE_3":
            assert events == [AC]
        case "AE_4":
            assert events == [RJ]
        case "AE_6":
            assert events == [RQ]
        case "DT_2" | "AR_6":
            assert [(type(e), e.views[0].tobytes()) for e in events if isinstance(e, Fragments)] == [
                (Fragments, b"abcd")
            ]
        case "AR_2" | "AR_8":
            assert events == [ReleaseRequest()]
        case "AR_3" | "AR_10":
            assert events == [ReleaseReply()]
        case "AA_3":
            assert events == [Aborted(2, 1, True)]
        case "AA_4":
            assert events == [Aborted(2, 0, True)]
        case "AA_8":
            assert isinstance(events[0], Aborted)
            assert not events[0].by_peer
        case "AA_2" | "AA_5" | "AA_6" | "AA_7" | "AR_5":
            assert events == []
        case _:
            pass


def test_a_release_collision_ends_on_both_sides() -> None:
    """PS3.8 9.2: both ask at once; the requestor answers first, the acceptor after the reply."""
    requestor, acceptor = in_state(State.COLLISION_REQUESTOR_LOCAL), in_state(State.COLLISION_ACCEPTOR_REPLY)
    arrive(acceptor, b"".join(requestor.send(ReleaseReply())))
    assert acceptor.state is State.COLLISION_ACCEPTOR_LOCAL
    arrive(requestor, b"".join(acceptor.send(ReleaseReply())))
    assert (requestor.state, requestor.close_transport) == (State.IDLE, True)
    acceptor.closed()
    assert acceptor.state is State.IDLE


@pytest.mark.req("P-RJ-04")
def test_a_request_that_cannot_be_read_is_rejected() -> None:
    layer = in_state(State.AWAITING_REQUEST)
    broken = bytearray(encode(RQ))
    broken[76:78] = b"\xff\xff"
    assert arrive(layer, bytes(broken)) == [AssociateReject(1, 2, 1)]
    assert sent(layer) == [AssociateReject(1, 2, 1)]
    assert layer.state is State.AWAITING_CLOSE


def test_another_protocol_version_is_rejected() -> None:
    layer = in_state(State.AWAITING_REQUEST)
    arrive(layer, AssociateRequest("A", "B", CONTEXTS, version=2))
    assert sent(layer) == [AssociateReject(1, 2, 2)]
