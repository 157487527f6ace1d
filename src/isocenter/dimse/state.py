"""The state machine of the upper layer as a table (PS3.8 9.2): 13 states, 19 events, 28 actions.

`TRANSITIONS[event, state]` names the action; an event that isn't there for a state can't happen (a local primitive out
of place is a `StateError` of the caller). What an action leads to is in `NEXT`; AE-6 and AR-8 choose between two.
"""

from enum import Enum, IntEnum
from typing import Final


class State(IntEnum):
    """PS3.8 9.2.1."""

    IDLE = 1
    AWAITING_REQUEST = 2
    AWAITING_LOCAL_RESPONSE = 3
    CONNECTING = 4
    AWAITING_ANSWER = 5
    ESTABLISHED = 6
    AWAITING_RELEASE_REPLY = 7
    AWAITING_LOCAL_RELEASE = 8
    COLLISION_REQUESTOR_LOCAL = 9
    COLLISION_ACCEPTOR_REPLY = 10
    COLLISION_REQUESTOR_REPLY = 11
    COLLISION_ACCEPTOR_LOCAL = 12
    AWAITING_CLOSE = 13


class Event(IntEnum):
    """PS3.8 9.2.2, numbered as table 9-10."""

    ASSOCIATE_REQUEST = 1
    CONNECTED = 2
    AC_RECEIVED = 3
    RJ_RECEIVED = 4
    CONNECTION_INDICATION = 5
    RQ_RECEIVED = 6
    ACCEPT = 7
    REJECT = 8
    DATA_REQUEST = 9
    DATA_RECEIVED = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_RECEIVED = 12
    RELEASE_RP_RECEIVED = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_RECEIVED = 16
    CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(Enum):
    """PS3.8 tables 9-6 to 9-9."""

    AE_1 = "connect the transport"
    AE_2 = "send A-ASSOCIATE-RQ"
    AE_3 = "confirm acceptance"
    AE_4 = "confirm rejection, close the transport"
    AE_5 = "start ARTIM"
    AE_6 = "stop ARTIM, indicate the request or reject it"
    AE_7 = "send A-ASSOCIATE-AC"
    AE_8 = "send A-ASSOCIATE-RJ, start ARTIM"
    DT_1 = "send P-DATA"
    DT_2 = "indicate P-DATA"
    AR_1 = "send A-RELEASE-RQ"
    AR_2 = "indicate release"
    AR_3 = "confirm release, close the transport"
    AR_4 = "send A-RELEASE-RP, start ARTIM"
    AR_5 = "stop ARTIM"
    AR_6 = "indicate P-DATA while releasing"
    AR_7 = "send P-DATA while the peer releases"
    AR_8 = "indicate release, a collision"
    AR_9 = "send A-RELEASE-RP after a collision"
    AR_10 = "confirm release after a collision"
    AA_1 = "send A-ABORT of the user, start ARTIM"
    AA_2 = "stop ARTIM, close the transport"
    AA_3 = "indicate the peer's abort, close the transport"
    AA_4 = "indicate an abort of the provider"
    AA_5 = "stop ARTIM without more"
    AA_6 = "ignore the PDU"
    AA_7 = "send A-ABORT again"
    AA_8 = "send A-ABORT of the provider, indicate it, start ARTIM"


class StateError(RuntimeError):
    """A primitive was issued in a state that doesn't know it. A fault of the caller, not of the peer."""


NEXT: Final[dict[Action, State]] = {
    Action.AE_1: State.CONNECTING,
    Action.AE_2: State.AWAITING_ANSWER,
    Action.AE_3: State.ESTABLISHED,
    Action.AE_4: State.IDLE,
    Action.AE_5: State.AWAITING_REQUEST,
    Action.AE_6: State.AWAITING_LOCAL_RESPONSE,
    Action.AE_7: State.ESTABLISHED,
    Action.AE_8: State.AWAITING_CLOSE,
    Action.DT_1: State.ESTABLISHED,
    Action.DT_2: State.ESTABLISHED,
    Action.AR_1: State.AWAITING_RELEASE_REPLY,
    Action.AR_2: State.AWAITING_LOCAL_RELEASE,
    Action.AR_3: State.IDLE,
    Action.AR_4: State.AWAITING_CLOSE,
    Action.AR_5: State.IDLE,
    Action.AR_6: State.AWAITING_RELEASE_REPLY,
    Action.AR_7: State.AWAITING_LOCAL_RELEASE,
    Action.AR_8: State.COLLISION_REQUESTOR_LOCAL,
    Action.AR_9: State.COLLISION_REQUESTOR_REPLY,
    Action.AR_10: State.COLLISION_ACCEPTOR_LOCAL,
    Action.AA_1: State.AWAITING_CLOSE,
    Action.AA_2: State.IDLE,
    Action.AA_3: State.IDLE,
    Action.AA_4: State.IDLE,
    Action.AA_5: State.IDLE,
    Action.AA_6: State.AWAITING_CLOSE,
    Action.AA_7: State.AWAITING_CLOSE,
    Action.AA_8: State.AWAITING_CLOSE,
}
"""Where an action leads; AE-6 goes to AWAITING_CLOSE where it rejects, AR-8 to COLLISION_ACCEPTOR_REPLY in the
acceptor."""

# A row an event, a column a state (1 to 13), as table 9-10 is printed; "" where nothing can happen.
_TABLE: Final = """
 1 AE-1 .    .    .    .    .    .    .    .    .     .    .    .
 2 .    .    .    AE-2 .    .    .    .    .    .     .    .    .
 3 .    AA-1 AA-8 .    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
 4 .    AA-1 AA-8 .    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
 5 AE-5 .    .    .    .    .    .    .    .    .     .    .    .
 6 .    AE-6 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
 7 .    .    AE-7 .    .    .    .    .    .    .     .    .    .
 8 .    .    AE-8 .    .    .    .    .    .    .     .    .    .
 9 .    .    .    .    .    DT-1 .    AR-7 .    .     .    .    .
10 .    AA-1 AA-8 .    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
11 .    .    .    .    .    AR-1 .    .    .    .     .    .    .
12 .    AA-1 AA-8 .    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
13 .    AA-1 AA-8 .    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6
14 .    .    .    .    .    .    .    AR-4 AR-9 .     .    AR-4 .
15 .    .    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1 AA-1 .
16 .    AA-2 AA-3 .    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3 AA-3 AA-2
17 .    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4 AA-4 AR-5
18 .    AA-2 .    .    .    .    .    .    .    .     .    .    AA-2
19 .    AA-1 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
"""


def _rows() -> dict[tuple[Event, State], Action]:
    cells: dict[tuple[Event, State], Action] = {}
    for line in _TABLE.split("\n"):
        if line:
            event, *names = line.split()
            for state, name in zip(State, names, strict=True):
                if name != ".":
                    cells[Event(int(event)), state] = Action[name.replace("-", "_")]
    return cells


TRANSITIONS: Final = _rows()
