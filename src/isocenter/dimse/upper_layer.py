"""The upper layer protocol without input or output (PS3.8 9): bytes in, events out; primitives in, bytes out.

The driver reads from its connection into `receive_buffer()` and passes the number of bytes to `buffer_updated()`, which
returns the events; `output` then holds what has to be sent in answer, `artim` whether the ARTIM timer runs, and
`close_transport` whether the connection has to go. P-DATA is parsed where it lies, in whatever pieces it arrives: its
fragments are handed on as views that hold until the next `receive_buffer()`, so that no PDU has to be there in full and
no byte is copied.
"""

import struct
from typing import Final, NamedTuple

from isocenter.dimse import pdu as pdus
from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    MalformedPdu,
    Pdu,
    ReleaseReply,
    ReleaseRequest,
    encode,
)
from isocenter.dimse.pdu_reading import decode
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.state import NEXT, TRANSITIONS, Action, State, StateError
from isocenter.dimse.state import Event as Ev

IDLE_BUFFER: Final = 16384
_LENIENCE: Final = 6
"""Some senders leave the PDU header out of what they count against the maximum length."""
_HEADER: Final = struct.Struct(">BxI").unpack_from
_PDV: Final = struct.Struct(">IBB").unpack_from
_UNRECOGNIZED, _UNEXPECTED, _INVALID_VALUE = 1, 2, 6


class Fragments(NamedTuple):
    """Consecutive fragments of one message part on one context; `last` ends the command set or the data set."""

    context_id: int
    is_command: bool
    last: bool
    views: list[memoryview]


class Aborted(NamedTuple):
    """The association is over without release: by the peer's A-ABORT, by ours, or by loss of the connection."""

    source: int
    reason: int
    by_peer: bool


Event = Fragments | Aborted | AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseReply

_RECEIVED: Final = {
    pdus.A_ASSOCIATE_RQ: Ev.RQ_RECEIVED,
    pdus.A_ASSOCIATE_AC: Ev.AC_RECEIVED,
    pdus.A_ASSOCIATE_RJ: Ev.RJ_RECEIVED,
    pdus.P_DATA_TF: Ev.DATA_RECEIVED,
    pdus.A_RELEASE_RQ: Ev.RELEASE_RQ_RECEIVED,
    pdus.A_RELEASE_RP: Ev.RELEASE_RP_RECEIVED,
    pdus.A_ABORT: Ev.ABORT_RECEIVED,
}
_PRIMITIVES: Final[dict[type, Ev]] = {
    AssociateRequest: Ev.ASSOCIATE_REQUEST,
    AssociateAccept: Ev.ACCEPT,
    AssociateReject: Ev.REJECT,
    ReleaseRequest: Ev.RELEASE_REQUEST,
    ReleaseReply: Ev.RELEASE_RESPONSE,
    Abort: Ev.ABORT_REQUEST,
}
_SENDS: Final = frozenset((Action.AE_2, Action.AE_7, Action.AE_8, Action.AR_1, Action.AR_4, Action.AR_9, Action.AA_1))
_INDICATES: Final = frozenset(
    (Action.AE_3, Action.AE_4, Action.AE_6, Action.AR_2, Action.AR_3, Action.AR_8, Action.AR_10)
)
_STARTS_ARTIM: Final = frozenset((Action.AE_5, Action.AE_8, Action.AR_4, Action.AA_1, Action.AA_8))
_STOPS_ARTIM: Final = frozenset((Action.AE_6, Action.AR_5, Action.AA_2, Action.AA_5))
_CLOSES: Final = frozenset((Action.AE_4, Action.AR_3, Action.AA_2, Action.AA_3, Action.AA_4, Action.AA_5, Action.AR_5))


class UpperLayer:
    """One association's protocol machine. `max_pdu` is what we announce; `slabs` lends the large buffers."""

    def __init__(self, *, requestor: bool, max_pdu: int, slabs: Slabs) -> None:
        self.state = State.IDLE
        self.output: list[bytes] = []
        self.artim = False
        self.close_transport = False
        self._requestor = requestor
        self._limit = max_pdu + _LENIENCE
        self._slabs = slabs
        self._slab: bytearray | None = None
        self._small = memoryview(bytearray(IDLE_BUFFER))
        self._view = self._small
        self._start = self._end = self._need = 0
        self._offered = IDLE_BUFFER
        self._flowing = self._lost = False
        self._request: AssociateRequest | None = None
        self._pdu_left = self._pdv_left = self._skip = 0
        self._context_id, self._is_command, self._last = 0, False, False

    # ---- the receiving side

    def receive_buffer(self) -> memoryview:
        """Where the next bytes belong, never empty. Views handed out before lose their meaning."""
        kept = self._end - self._start
        if kept == 0 and not self._flowing:
            self._start = self._end = 0
            return self._view
        if self._slab is None and (self._flowing or self._need > len(self._view)):
            self._take_slab()
        elif self._start:
            self._view[:kept] = bytes(self._view[self._start : self._end])
        self._flowing = False
        self._start, self._end = 0, kept
        return self._view[kept:] if kept else self._view

    def _take_slab(self) -> None:
        self._slab = self._slabs.borrow()
        view = memoryview(self._slab)
        kept = self._end - self._start
        view[:kept] = self._view[self._start : self._end]
        self._view = view

    def idle(self) -> None:
        """Give back the large buffer while nothing arrives. Views handed out before lose their meaning."""
        kept = self._end - self._start
        if self._slab is None or kept > IDLE_BUFFER:
            return
        self._small[:kept] = self._view[self._start : self._end]
        self._view, self._start, self._end = self._small, 0, kept
        slab, self._slab = self._slab, None
        self._slabs.give_back(slab)

    def buffer_updated(self, n: int) -> list[Event]:
        """`n` bytes were written to the receive buffer; the events that they complete."""
        self._flowing = self._slab is None and self._end + n == len(self._view)
        self._end += n
        events: list[Event] = []
        if not self._over:
            try:
                while self._parse_data(events) and self._parse_other(events):
                    pass
            except MalformedPdu as error:
                self._invalid(events, error.reason)
        if self._over:  # what follows a rejection, an abort or a release reply belongs to nobody
            self._start = self._end
        return events

    @property
    def _over(self) -> bool:
        return self._lost or self.close_transport

    @property
    def receiving(self) -> bool:
        """Whether a PDU has begun and its end is still to come."""
        return bool(self._pdu_left or self._pdv_left or self._end > self._start)

    def _parse_data(self, events: list[Event]) -> bool:
        """Hand on all P-DATA that is there. True where another kind of PDU follows, or more may."""
        view, at, end = self._view, self._start, self._end
        pdu_left, pdv_left = self._pdu_left, self._pdv_left
        views: list[memoryview] = []
        ready = self.state is State.ESTABLISHED or self.state is State.AWAITING_RELEASE_REPLY
        try:
            while at < end:
                if pdv_left:
                    take = min(pdv_left, end - at)
                    views.append(view[at : at + take])
                    at += take
                    pdv_left -= take
                    if not pdv_left and self._last:
                        events.append(Fragments(self._context_id, self._is_command, True, views))
                        views = []
                elif pdu_left:
                    if pdu_left < 6:
                        raise MalformedPdu("PDV header longer than its PDU")
                    if end - at < 6:
                        return False
                    length, context_id, control = _PDV(view, at)
                    if length < 2 or length + 4 > pdu_left:
                        raise MalformedPdu("PDV length")
                    is_command = bool(control & 1)
                    if views and (context_id != self._context_id or is_command is not self._is_command):
                        events.append(Fragments(self._context_id, self._is_command, False, views))
                        views = []
                    self._context_id, self._is_command, self._last = context_id, is_command, bool(control & 2)
                    at += 6
                    pdu_left -= length + 4
                    pdv_left = length - 2
                    if not pdv_left and self._last:
                        events.append(Fragments(context_id, is_command, True, views))
                        views = []
                elif not ready or view[at] != pdus.P_DATA_TF:
                    return True
                elif end - at < 6:
                    return False
                else:
                    _, pdu_left = _HEADER(view, at)
                    if pdu_left > self._limit:
                        raise MalformedPdu("P-DATA longer than the maximum")
                    if pdu_left < 6:
                        raise MalformedPdu("P-DATA without a value")
                    at += 6
            return False
        finally:
            if views:
                events.append(Fragments(self._context_id, self._is_command, False, views))
            self._start, self._pdu_left, self._pdv_left, self._need = at, pdu_left, pdv_left, 12

    def _parse_other(self, events: list[Event]) -> bool:
        """Take one PDU that carries no data for anybody; False where it isn't complete."""
        if self._skip:
            step = min(self._skip, self._end - self._start)
            self._skip -= step
            self._start += step
            return self._start < self._end
        kind, there = self._view[self._start], self._end - self._start
        limit = pdus.length_limit(kind, self._limit)
        if limit < 0:
            raise MalformedPdu(f"PDU type {kind}", _UNRECOGNIZED)
        if there < 6:
            self._need = 6
            return False
        _, length = _HEADER(self._view, self._start)
        if length > limit:
            raise MalformedPdu("PDU longer than the limit")
        if kind == pdus.P_DATA_TF:
            self._start += 6
            self._skip = length
            self._happen(Ev.DATA_RECEIVED, events, None)
            return True
        if there < 6 + length:
            self._need = 6 + length
            return False
        body = bytes(self._view[self._start + 6 : self._start + 6 + length])
        self._start += 6 + length
        self._received(kind, body, events)
        return not self._over

    def _received(self, kind: int, body: bytes, events: list[Event]) -> None:
        if TRANSITIONS.get((_RECEIVED[kind], self.state)) is Action.AE_6:
            self._requested(body, events)
        else:
            self._happen(_RECEIVED[kind], events, decode(kind, body))

    def _requested(self, body: bytes, events: list[Event]) -> None:
        """AE-6: a request that can't be read or speaks another version is rejected by the provider."""
        refusal: AssociateReject | None = None
        request: Pdu | None = None
        try:
            request = decode(pdus.A_ASSOCIATE_RQ, body)
            if isinstance(request, AssociateRequest) and not request.version & 1:
                refusal = AssociateReject(1, 2, 2)
        except MalformedPdu:
            refusal = AssociateReject(1, 2, 1)
        self._happen(Ev.RQ_RECEIVED, events, None if refusal else request)
        if refusal:
            self.output.append(encode(refusal))
            self.state, self.artim = State.AWAITING_CLOSE, True
            events.append(refusal)

    def _invalid(self, events: list[Event], reason: int) -> None:
        self._lost, self._start, self._skip, self._pdu_left, self._pdv_left = True, self._end, 0, 0, 0
        self._happen(Ev.INVALID_PDU, events, None, reason)

    # ---- what the driver tells

    def accepted(self) -> None:
        """The transport connection came in (acceptor)."""
        self._happen(Ev.CONNECTION_INDICATION, [], None)

    def connected(self) -> list[bytes]:
        """The transport connection that the request asked for is there (requestor): the A-ASSOCIATE-RQ."""
        return self._sent(Ev.CONNECTED, self._request)

    def closed(self) -> list[Event]:
        """The transport connection is gone."""
        events: list[Event] = []
        if self.state is not State.IDLE:
            self._happen(Ev.CLOSED, events, None)
        return events

    def expired(self) -> list[Event]:
        """The ARTIM timer ran out."""
        events: list[Event] = []
        self._happen(Ev.ARTIM_EXPIRED, events, None)
        return events

    def violated(self, reason: int = _INVALID_VALUE) -> list[Event]:
        """The layer above found what no peer may send, such as an unknown context: an abort by the provider."""
        events: list[Event] = []
        self._invalid(events, reason)
        return events

    def send(self, primitive: Pdu) -> list[bytes]:
        """The bytes of a local primitive; `StateError` where the state has no place for it."""
        if isinstance(primitive, AssociateRequest):
            self._request = primitive
        elif isinstance(primitive, AssociateAccept) and primitive.user.max_pdu:
            self._limit = primitive.user.max_pdu + _LENIENCE
        return self._sent(_PRIMITIVES[type(primitive)], primitive)

    def may_send_data(self) -> None:
        """DT-1 and AR-7: raises `StateError` unless P-DATA may go out now. The bytes are made by `outbound`."""
        if self.state is not State.ESTABLISHED and self.state is not State.AWAITING_LOCAL_RELEASE:
            raise StateError(f"P-DATA in state {self.state}")

    def _sent(self, event: Ev, primitive: Pdu | None) -> list[bytes]:
        self._happen(event, [], primitive)
        output, self.output = self.output, []
        return output

    # ---- the machine

    def _happen(self, event: Ev, events: list[Event], what: Pdu | None, reason: int = _UNEXPECTED) -> None:
        """Look up the action for `event`, carry it out, and go to the next state."""
        action = TRANSITIONS.get((event, self.state))
        if action is None:
            raise StateError(f"{event.name} in state {self.state}")
        self.state = NEXT[action]
        if action is Action.AR_8 and not self._requestor:
            self.state = State.COLLISION_ACCEPTOR_REPLY
        self.artim = action in _STARTS_ARTIM or (self.artim and action not in _STOPS_ARTIM)
        self.close_transport = self.close_transport or action in _CLOSES
        if action in _SENDS:
            own_abort = action is Action.AA_1
            self.output.append(encode(Abort(0, 0) if own_abort or what is None else what))
            if own_abort and event is not Ev.ABORT_REQUEST:
                events.append(Aborted(0, 0, False))
        elif action in _INDICATES:
            if what is not None and not isinstance(what, pdus.Data | Abort):
                events.append(what)
        elif action is Action.AA_8 or action is Action.AA_7:
            self.output.append(encode(Abort(2, reason)))
            if action is Action.AA_8:
                events.append(Aborted(2, reason, False))
        elif action is Action.AA_3 and isinstance(what, Abort):
            events.append(Aborted(what.source, what.reason, True))
        elif action is Action.AA_4:
            events.append(Aborted(2, 0, True))
