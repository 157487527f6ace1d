"""The unified worklist (PS3.4 CC) as data: SOP classes, states and their transitions, actions, events, statuses, and
the attributes with what each needs at creation, in a change and before a final state (CC.2.5.1.3).

The services of both kinds, the negotiator, the matcher and the conformance statement read it. The attributes lie beside
this module, a line each: path, N-CREATE, N-SET, final state, matching key, return key. Types are those of the SCU; `N`
is what it must not send, `-` what is the SCP's own affair.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations.query_keys import Path, resolve
from isocenter.dicom import dictionary

PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
"""UPS Push: also the SOP class of every workitem, whichever class an association is about (CC.3.1)."""
WATCH: Final = "1.2.840.10008.5.1.4.34.6.2"
PULL: Final = "1.2.840.10008.5.1.4.34.6.3"
EVENT: Final = "1.2.840.10008.5.1.4.34.6.4"
QUERY: Final = "1.2.840.10008.5.1.4.34.6.5"
CLASSES: Final = (PUSH, WATCH, PULL, EVENT, QUERY)
GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
"""The well-known instance that stands for all workitems."""
FILTERED: Final = "1.2.840.10008.5.1.4.34.5.1"
"""The one that stands for those that match."""


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        """Whether nothing may change any more."""
        return self in (State.COMPLETED, State.CANCELED)


class Action(IntEnum):
    """Action Type ID of N-ACTION."""

    CHANGE_STATE = 1
    REQUEST_CANCEL = 2
    SUBSCRIBE = 3
    UNSUBSCRIBE = 4
    SUSPEND = 5


PERFORMED: Final[Mapping[str, frozenset[Action]]] = MappingProxyType(
    {
        PUSH: frozenset({Action.REQUEST_CANCEL}),
        PULL: frozenset({Action.CHANGE_STATE}),
        WATCH: frozenset({Action.REQUEST_CANCEL, Action.SUBSCRIBE, Action.UNSUBSCRIBE, Action.SUSPEND}),
    }
)
"""The actions of each class (CC.2)."""


class Event(IntEnum):
    """Event Type ID of N-EVENT-REPORT (CC.2.4)."""

    STATE_REPORT = 1
    CANCEL_REQUESTED = 2
    PROGRESS_REPORT = 3
    SCP_STATUS_CHANGE = 4
    ASSIGNED = 5


EVENTS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        Event.STATE_REPORT: (
            "UPS State Report",
            "the state or Input Readiness State changed, or a subscription began",
        ),
        Event.CANCEL_REQUESTED: (
            "UPS Cancel Requested",
            "someone who does not perform the workitem asks that it be cancelled",
        ),
        Event.PROGRESS_REPORT: ("UPS Progress Report", "the performer told of its progress"),
        Event.SCP_STATUS_CHANGE: ("SCP Status Change", "the server stops, or was started again"),
        Event.ASSIGNED: ("UPS Assigned", "the station or the human performers were set or changed"),
    }
)
"""What each is called, and when it is sent."""


class Status(IntEnum):
    """What requests are answered with (CC.2.1.4, CC.2.2.4, CC.2.3.4, CC.2.5.4, CC.2.6.4, CC.2.7.4; PS3.7 C)."""

    SUCCESS = 0x0000
    OPTIONAL_NOT_SUPPORTED = 0x0001
    INVALID_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    INVALID_ARGUMENT = 0x0115
    INVALID_INSTANCE = 0x0117
    NO_SUCH_CLASS = 0x0118
    MISSING_ATTRIBUTE = 0x0120
    MISSING_VALUE = 0x0121
    NO_SUCH_ACTION = 0x0123
    UNRECOGNIZED_OPERATION = 0x0211
    RESOURCE_LIMITATION = 0x0213
    CREATED_WITH_MODIFICATIONS = 0xB300
    LOCK_NOT_GRANTED = 0xB301
    ALREADY_CANCELED = 0xB304
    ALREADY_COMPLETED = 0xB306
    NO_LONGER_UPDATED = 0xC300
    WRONG_TRANSACTION = 0xC301
    ALREADY_IN_PROGRESS = 0xC302
    ONLY_CREATED_SCHEDULED = 0xC303
    FINAL_STATE_NOT_MET = 0xC304
    NO_SUCH_WORKITEM = 0xC307
    UNKNOWN_RECEIVER = 0xC308
    NOT_SCHEDULED = 0xC309
    NOT_IN_PROGRESS = 0xC310
    COMPLETED = 0xC311
    PERFORMER_OUT_OF_REACH = 0xC312
    PERFORMER_REFUSES = 0xC313
    ACTION_NOT_APPROPRIATE = 0xC314
    NO_EVENTS = 0xC315

    @property
    def warning(self) -> bool:
        """Whether it was done all the same."""
        return self == Status.OPTIONAL_NOT_SUPPORTED or 0xB000 <= self <= 0xBFFF


MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        Status.SUCCESS: "done, and durable",
        Status.OPTIONAL_NOT_SUPPORTED: "an attribute that N-GET names is none of a workitem, or the Transaction UID",
        Status.INVALID_VALUE: "a value that its attribute can't have, or an attribute that must not be sent",
        Status.PROCESSING_FAILURE: "the data set can't be read, or the database can't be reached",
        Status.DUPLICATE_INSTANCE: "there is a workitem of this UID, or was",
        Status.INVALID_ARGUMENT: "the action information is not what the action needs",
        Status.INVALID_INSTANCE: "the SOP Instance UID is none",
        Status.NO_SUCH_CLASS: "the SOP class is none of the unified worklist",
        Status.MISSING_ATTRIBUTE: "an attribute of type 1 or 2 is absent",
        Status.MISSING_VALUE: "an attribute of type 1 has no value",
        Status.NO_SUCH_ACTION: "the action is none of the negotiated SOP class",
        Status.UNRECOGNIZED_OPERATION: "the operation is none of the negotiated SOP class",
        Status.RESOURCE_LIMITATION: "the data set is longer than `limits.identifier`",
        Status.CREATED_WITH_MODIFICATIONS: "created, with attributes that were missing added empty",
        Status.LOCK_NOT_GRANTED: "subscribed without deletion lock: `workitem.locks` is off",
        Status.ALREADY_CANCELED: "the workitem is CANCELED already",
        Status.ALREADY_COMPLETED: "the workitem is COMPLETED already",
        Status.NO_LONGER_UPDATED: "the workitem is COMPLETED or CANCELED",
        Status.WRONG_TRANSACTION: "the Transaction UID is missing, or not that of the performer",
        Status.ALREADY_IN_PROGRESS: "the workitem is IN PROGRESS already",
        Status.ONLY_CREATED_SCHEDULED: "a workitem becomes SCHEDULED by its creation alone",
        Status.FINAL_STATE_NOT_MET: "an attribute that the final state needs has no value",
        Status.NO_SUCH_WORKITEM: "there is no such workitem",
        Status.UNKNOWN_RECEIVER: "no address of the receiving AE is known",
        Status.NOT_SCHEDULED: "a workitem is created with the state SCHEDULED",
        Status.NOT_IN_PROGRESS: "the workitem is not IN PROGRESS yet",
        Status.COMPLETED: "the workitem is COMPLETED, so that it can't be cancelled",
        Status.PERFORMER_OUT_OF_REACH: "nobody is subscribed to the workitem, so that nobody would be told",
        Status.ACTION_NOT_APPROPRIATE: "the action is not for this instance, such as suspending one workitem",
    }
)
"""When each is sent. PERFORMER_REFUSES and NO_EVENTS are not: we perform nothing ourselves, and do report events."""


ANSWERED: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {code: (Status(code).name.replace("_", " ").capitalize(), text) for code, text in MEANINGS.items()}
)
"""Name and occasion of each."""
REPORTED: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        Status.SUCCESS: ("Success", "the report is delivered"),
        0x0107: ("Attribute list error", "the report is delivered, as with any other warning"),
        Status.PROCESSING_FAILURE: ("Processing failure", "the report is sent again later, as often as is set"),
    }
)
"""What is done about an answer to an event report."""


# --- the state table (CC.1.1)


class Outcome(NamedTuple):
    """A cell: what is answered, and the state that follows; None where it stays."""

    status: Status
    follows: State | None = None


_NOT_YET: Final = Outcome(Status.NOT_IN_PROGRESS)
_ENDED: Final = Outcome(Status.NO_LONGER_UPDATED)
TRANSITIONS: Final[Mapping[tuple[State, State], Outcome]] = MappingProxyType(
    {
        (State.SCHEDULED, State.IN_PROGRESS): Outcome(Status.SUCCESS, State.IN_PROGRESS),
        (State.SCHEDULED, State.COMPLETED): _NOT_YET,
        (State.SCHEDULED, State.CANCELED): _NOT_YET,
        (State.IN_PROGRESS, State.IN_PROGRESS): Outcome(Status.ALREADY_IN_PROGRESS),
        (State.IN_PROGRESS, State.COMPLETED): Outcome(Status.SUCCESS, State.COMPLETED),
        (State.IN_PROGRESS, State.CANCELED): Outcome(Status.SUCCESS, State.CANCELED),
        (State.COMPLETED, State.IN_PROGRESS): _ENDED,
        (State.COMPLETED, State.COMPLETED): Outcome(Status.ALREADY_COMPLETED),
        (State.COMPLETED, State.CANCELED): _ENDED,
        (State.CANCELED, State.IN_PROGRESS): _ENDED,
        (State.CANCELED, State.COMPLETED): _ENDED,
        (State.CANCELED, State.CANCELED): Outcome(Status.ALREADY_CANCELED),
    }
)
"""Change UPS State with the right Transaction UID, by (state, wanted state)."""
CANCEL_REQUESTS: Final[Mapping[State, Outcome]] = MappingProxyType(
    {
        State.SCHEDULED: Outcome(Status.SUCCESS, State.CANCELED),
        State.IN_PROGRESS: Outcome(Status.SUCCESS),
        State.COMPLETED: Outcome(Status.COMPLETED),
        State.CANCELED: Outcome(Status.ALREADY_CANCELED),
    }
)
"""Request UPS Cancel, by state."""


def transition(state: State, wanted: State, given: str, held: str) -> Outcome:
    """What comes of a wish to change from `state`; `given` and `held` are the Transaction UIDs. A SCHEDULED workitem is
    claimed by any."""
    if wanted is State.SCHEDULED:
        return Outcome(Status.ONLY_CREATED_SCHEDULED)
    if not given or (state is not State.SCHEDULED and given != held):
        return Outcome(Status.WRONG_TRANSACTION)
    return TRANSITIONS[state, wanted]


# --- the attributes (CC.2.5.1.3)


class Attribute(NamedTuple):
    """One row."""

    path: Path
    create: str
    change: str
    final: str
    matching: str
    returned: str

    @property
    def vr(self) -> str:
        """Its value representation."""
        return dictionary.vr_of(self.path[-1])

    @property
    def keyword(self) -> str:
        """Keywords of the path joined by dots."""
        return ".".join(dictionary.keyword_of(tag) for tag in self.path)


@cache
def attributes() -> Mapping[Path, Attribute]:
    """The rows by path."""
    text = files("isocenter.declarations").joinpath("data/workitem_attributes.tsv").read_text("ascii")
    found: dict[Path, Attribute] = {}
    for line in text.splitlines():
        name, *types = line.split("\t")
        path = resolve(name)
        if path is None:
            raise ValueError(f"workitem_attributes.tsv: {name} is no element")
        found[path] = Attribute(path, *types)
    return MappingProxyType(found)


@cache
def returned() -> frozenset[int]:
    """The attributes that an answer to a search has in any case: return keys of type 1 and 2 (PS3.18 11.9.2)."""
    return frozenset(path[0] for path, row in attributes().items() if len(path) == 1 and row.returned in ("1", "2"))


KEYED: Final[tuple[Path, ...]] = (
    *((tag,) for tag in (0x00741200, 0x00741202, 0x00741204)),  # priority, labels of worklist and step
    *((tag,) for tag in (0x00404005, 0x00404008, 0x00404011, 0x00404041)),  # start, expiration, end, readiness
    *((tag,) for tag in (0x00100010, 0x00100020, 0x00100030, 0x0020000D, 0x00380010)),  # patient, study, admission
    *((tag, 0x00080100) for tag in (0x00404018, 0x00404025, 0x00404026, 0x00404027)),  # workitem code, stations
    (0x00404034, 0x00404009, 0x00080100),  # human performers
    *((0x0040A370, tag) for tag in (0x00080050, 0x00401001, 0x0020000D)),  # requests
)
"""The attributes that workitems are looked for by: a search that names one looks at few."""
ENUMERATED: Final[Mapping[int, frozenset[str]]] = MappingProxyType(
    {
        0x00741000: frozenset(State),
        0x00741200: frozenset({"HIGH", "MEDIUM", "LOW"}),
        0x00404041: frozenset({"INCOMPLETE", "UNAVAILABLE", "READY"}),
    }
)
"""Values of Procedure Step State, Scheduled Procedure Step Priority and Input Readiness State (PS3.3 C.30)."""
MAY_BE_EMPTY: Final[Path] = (0x00741216, 0x00404033)
"""Output Information Sequence: a step may have no output, so that no item is value enough for the final state."""
