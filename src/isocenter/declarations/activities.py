"""The real-world activities of the Application Entities: who begins them, what happens in which order.

Descriptive data for the conformance statement (C-GEN-02, C-GEN-06): which of them an AE has follows from its services.
Participants of the steps are `LOCAL` (this AE) and the names of others.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations import notification, procedure_step, workitem
from isocenter.declarations.statuses import Service

LOCAL: Final = "this AE"


class Commitment(StrEnum):
    """The four parts in storage commitment, which has no DIMSE-C service (PS3.4 J.3)."""

    ANSWER = "answer"
    """N-ACTION as SCP."""
    REPORT = "report"
    """N-EVENT-REPORT as SCP."""
    ASK = "ask"
    """N-ACTION as SCU."""
    TOLD = "told"
    """N-EVENT-REPORT as SCU, on an association that the SCP opened."""


class Step(NamedTuple):
    """One message, or with the same participant twice something done by itself."""

    sender: str
    receiver: str
    text: str


class Normalized(NamedTuple):
    """What is particular to a service of DIMSE-N: its statuses and events, as its own declarations have them."""

    operations: str
    """The operations whose responses have the statuses."""
    statuses: Mapping[int, tuple[str, str]]
    """Name and occasion by code: what we answer, or where we initiate what we do about an answer; success first."""
    events: Mapping[int, tuple[str, str]] = MappingProxyType({})
    """Name and occasion by Event Type ID: the events that we report."""
    classes: tuple[str, ...] = ()
    """The SOP classes that are proposed, where the AE initiates."""
    scp: bool = False
    """Where the AE initiates: it proposes itself as SCP."""
    by_preset: Mapping[str, Mapping[int, tuple[str, str]]] = MappingProxyType({})
    """Instead of `statuses`, for AEs of these presets."""
    syntaxes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """What those of `classes` are proposed in that are not proposed in all that other contexts than storage take."""


class Activity(NamedTuple):
    """One real-world activity of an AE."""

    name: str
    service: str
    """The permission that opens it; '' for one that is always there."""
    initiates: bool
    """The AE opens the association."""
    local: str
    """What happens on our side, as the data flow shows it."""
    remote: str
    """Its counterpart at the peer."""
    summary: str
    """What it is for."""
    steps: tuple[Step, ...]
    dimse: Service | None = None
    """Whose statuses are answered, or are reacted to where the AE initiates. None: those of `commitment`."""
    storage: bool = False
    """Its contexts are of the storage classes."""
    commitment: Commitment | None = None
    """The part in storage commitment."""
    normalized: Normalized | None = None
    """Instead of `dimse` for a service of DIMSE-N."""


_OPEN: Final = "Open association"
_CLOSE: Final = "Release association"


def _asked(peer: str, *steps: tuple[str, str, str]) -> tuple[Step, ...]:
    """Steps between the peer's opening and its release of the association."""
    return (Step(peer, LOCAL, _OPEN), *(Step(*step) for step in steps), Step(peer, LOCAL, _CLOSE))


def _asking(peer: str, *steps: tuple[str, str, str]) -> tuple[Step, ...]:
    return (Step(LOCAL, peer, _OPEN), *(Step(*step) for step in steps), Step(LOCAL, peer, _CLOSE))


_SENDER: Final = "Storage SCU"
_SCHEDULED: Final = "Modality Worklist SCU"
_QUERYING: Final = "Query SCU"
_RETRIEVING: Final = "Retrieve SCU"
_DESTINATION: Final = "Storage SCP (move destination)"
_COMMITTED: Final = "Storage Commitment SCU"
_COMMITTING: Final = "Storage Commitment SCP"

VERIFY: Final = Activity(
    "Verify Communication",
    "",
    False,
    "",
    "Verify",
    "A remote AE asks whether it can communicate; every AE answers, whatever else it offers.",
    _asked("Verification SCU", ("Verification SCU", LOCAL, "C-ECHO-RQ"), (LOCAL, "Verification SCU", "C-ECHO-RSP")),
    Service.ECHO,
)
RECEIVE: Final = Activity(
    "Receive Instances",
    "store",
    False,
    "Keep instances",
    "Send instances",
    "A remote AE sends composite instances. Each is written to the object store as it arrives, checked, entered in the "
    "index, and acknowledged once all of that is durable.",
    _asked(
        _SENDER,
        (_SENDER, LOCAL, "C-STORE-RQ with the data set"),
        (LOCAL, LOCAL, "Write, check, index"),
        (LOCAL, _SENDER, "C-STORE-RSP"),
    ),
    Service.STORE,
    True,
)
QUERY: Final = Activity(
    "Answer Queries",
    "find",
    False,
    "Search the index",
    "Query",
    "A remote AE asks which patients, studies, series or instances match its keys.",
    _asked(
        _QUERYING,
        (_QUERYING, LOCAL, "C-FIND-RQ with the identifier"),
        (LOCAL, LOCAL, "Search the index"),
        (LOCAL, _QUERYING, "C-FIND-RSP (pending), one for each match"),
        (LOCAL, _QUERYING, "C-FIND-RSP (final)"),
    ),
    Service.FIND,
)
MOVE: Final = Activity(
    "Answer Move Requests",
    "move",
    False,
    "Find what to send",
    "Retrieve to a destination",
    "A remote AE asks that instances be sent to a move destination, which may be itself or a third AE. The title of "
    "the destination is looked up among the known peers.",
    (
        Step(_RETRIEVING, LOCAL, _OPEN),
        Step(_RETRIEVING, LOCAL, "C-MOVE-RQ"),
        Step(LOCAL, LOCAL, "Find the instances"),
        Step(LOCAL, _DESTINATION, _OPEN),
        Step(LOCAL, _DESTINATION, "C-STORE-RQ, one for each instance"),
        Step(_DESTINATION, LOCAL, "C-STORE-RSP"),
        Step(LOCAL, _RETRIEVING, "C-MOVE-RSP (pending) with counts"),
        Step(LOCAL, _DESTINATION, _CLOSE),
        Step(LOCAL, _RETRIEVING, "C-MOVE-RSP (final)"),
        Step(_RETRIEVING, LOCAL, _CLOSE),
    ),
    Service.MOVE,
)
GET: Final = Activity(
    "Answer Get Requests",
    "get",
    False,
    "Find what to send",
    "Retrieve on the same association",
    "A remote AE retrieves instances over the association of its own request, on which it takes the role of storage "
    "SCP by role selection.",
    _asked(
        _RETRIEVING,
        (_RETRIEVING, LOCAL, "C-GET-RQ"),
        (LOCAL, LOCAL, "Find the instances"),
        (LOCAL, _RETRIEVING, "C-STORE-RQ, one for each instance"),
        (_RETRIEVING, LOCAL, "C-STORE-RSP"),
        (LOCAL, _RETRIEVING, "C-GET-RSP (pending) with counts"),
        (LOCAL, _RETRIEVING, "C-GET-RSP (final)"),
    ),
    Service.GET,
)
COMMIT: Final = Activity(
    "Answer Storage Commitment Requests",
    "commit",
    False,
    "Check what is kept",
    "Request commitment",
    "A remote AE asks that the archive take responsibility for instances. The request is answered at once, and a "
    "report follows on the same or another association.",
    _asked(
        _COMMITTED,
        (_COMMITTED, LOCAL, "N-ACTION-RQ with the references"),
        (LOCAL, LOCAL, "Record the request"),
        (LOCAL, _COMMITTED, "N-ACTION-RSP"),
        (LOCAL, LOCAL, "Look for each instance"),
        (LOCAL, _COMMITTED, "N-EVENT-REPORT-RQ (here or on a new association)"),
        (_COMMITTED, LOCAL, "N-EVENT-REPORT-RSP"),
    ),
    commitment=Commitment.ANSWER,
)
TOLD: Final = Activity(
    "Receive Storage Commitment Reports",
    "commit",
    False,
    "Note what is committed",
    "Report on a request",
    "A remote AE that was asked to commit to instances reports on an association of its own.",
    _asked(
        _COMMITTING,
        (_COMMITTING, LOCAL, "N-EVENT-REPORT-RQ"),
        (LOCAL, LOCAL, "Record the result"),
        (LOCAL, _COMMITTING, "N-EVENT-REPORT-RSP"),
    ),
    commitment=Commitment.TOLD,
)
DELIVER: Final = Activity(
    "Send Instances",
    "",
    True,
    "Carry out a move request or a job of isocenter push",
    "Receive instances",
    "The instances that a move request names are sent to the move destination, those that an operator has sent on to a "
    "peer: a job for each peer, tried again as its settings say.",
    _asking(
        _DESTINATION,
        (LOCAL, _DESTINATION, "C-STORE-RQ, one for each instance"),
        (_DESTINATION, LOCAL, "C-STORE-RSP"),
    ),
    Service.STORE,
    True,
)
REPORT: Final = Activity(
    "Report Storage Commitment",
    "commit",
    True,
    "Finish a commitment request",
    "Receive the report",
    "The outcome of a storage commitment request is reported on an association of our own, where it could not be "
    "reported on that of the request.",
    _asking(
        _COMMITTED,
        (LOCAL, _COMMITTED, "N-EVENT-REPORT-RQ"),
        (_COMMITTED, LOCAL, "N-EVENT-REPORT-RSP"),
    ),
    commitment=Commitment.REPORT,
)
ASK: Final = Activity(
    "Request Storage Commitment",
    "commit",
    True,
    "isocenter commit",
    "Commit to instances",
    "An operator has a peer asked to take responsibility for instances. The request is a job, which waits a while for "
    "the report on the same association; it may come later on another.",
    _asking(
        _COMMITTING,
        (LOCAL, _COMMITTING, "N-ACTION-RQ with the references"),
        (_COMMITTING, LOCAL, "N-ACTION-RSP"),
        (_COMMITTING, LOCAL, "N-EVENT-REPORT-RQ (here or later)"),
        (LOCAL, _COMMITTING, "N-EVENT-REPORT-RSP"),
    ),
    commitment=Commitment.ASK,
)
WORKLIST: Final = Activity(
    "Answer Worklist Queries",
    "worklist",
    False,
    "Search the worklist",
    "Query the worklist",
    "A modality asks which procedure steps are scheduled.",
    _asked(
        _SCHEDULED,
        (_SCHEDULED, LOCAL, "C-FIND-RQ with the identifier"),
        (LOCAL, LOCAL, "Search the worklist"),
        (LOCAL, _SCHEDULED, "C-FIND-RSP (pending), one for each match"),
        (LOCAL, _SCHEDULED, "C-FIND-RSP (final)"),
    ),
    Service.WORKLIST,
)
_WORKITEM_SCU: Final = "Unified Worklist SCU"
_SUBSCRIBER: Final = "Subscriber (UPS Event SCU)"
WORKITEMS: Final = Activity(
    "Manage Workitems",
    "workitem",
    False,
    "Keep the unified worklist",
    "Push, pull or watch workitems",
    "A remote AE creates workitems, finds and performs them, or watches what becomes of them. Queries answer the "
    "statuses of C-FIND; every attribute of a workitem can be matched and returned, but the Transaction UID.",
    _asked(
        _WORKITEM_SCU,
        (_WORKITEM_SCU, LOCAL, "N-CREATE-RQ, C-FIND-RQ, N-GET-RQ, N-SET-RQ or N-ACTION-RQ"),
        (LOCAL, LOCAL, "Search or change the worklist"),
        (LOCAL, _WORKITEM_SCU, "the response"),
    ),
    normalized=Normalized("N-CREATE, N-GET, N-SET and N-ACTION", workitem.ANSWERED),
)
WATCHED: Final = Activity(
    "Report Workitem Events",
    "workitem",
    True,
    "A workitem changes",
    "Receive event reports",
    "Subscribers are told of what happens to workitems, in the order in which it happened, over associations of our "
    "own. What can't be delivered is tried again, as `workitem.retries` says.",
    _asking(
        _SUBSCRIBER,
        (LOCAL, _SUBSCRIBER, "N-EVENT-REPORT-RQ, one for each event"),
        (_SUBSCRIBER, LOCAL, "N-EVENT-REPORT-RSP"),
    ),
    normalized=Normalized("N-EVENT-REPORT", workitem.REPORTED, workitem.EVENTS, (workitem.EVENT,), scp=True),
)
_MODALITY: Final = "MPPS SCU"
_TOLD_OF_STEPS: Final = "MPPS SCP"
_NOTIFIED: Final = "MPPS Notification SCU"
STEPS: Final = Activity(
    "Receive Performed Procedure Steps",
    "procedure-step",
    False,
    "Keep performed procedure steps",
    "Report or read a step",
    "A modality reports that a procedure step has begun, what it made, and that it is over; others read what is known "
    "of a step.",
    _asked(
        _MODALITY,
        (_MODALITY, LOCAL, "N-CREATE-RQ, N-SET-RQ or N-GET-RQ"),
        (LOCAL, LOCAL, "Keep the message, find the worklist items, change their state"),
        (LOCAL, _MODALITY, "the response"),
    ),
    normalized=Normalized(
        "N-CREATE, N-SET and N-GET", procedure_step.answered(), by_preset=procedure_step.ANSWERED_BY_PRESET
    ),
)
FORWARD_STEPS: Final = Activity(
    "Pass On Performed Procedure Steps",
    "procedure-step",
    True,
    "A step was reported",
    "Receive performed procedure steps",
    "The messages of modalities are passed on to the peers that `mpps.forward` names, in order and as they came, each "
    "until the peer accepts it.",
    _asking(
        _TOLD_OF_STEPS,
        (LOCAL, _TOLD_OF_STEPS, "N-CREATE-RQ or N-SET-RQ, one for each message"),
        (_TOLD_OF_STEPS, LOCAL, "N-CREATE-RSP or N-SET-RSP"),
    ),
    normalized=Normalized("N-CREATE and N-SET", procedure_step.FORWARDED, classes=(procedure_step.MPPS,)),
)
TELL_OF_STEPS: Final = Activity(
    "Report Events of Performed Procedure Steps",
    "procedure-step",
    True,
    "A step changes",
    "Receive event reports",
    "The peers that `mpps.notify` names are told of what becomes of steps, over associations of our own.",
    _asking(
        _NOTIFIED,
        (LOCAL, _NOTIFIED, "N-EVENT-REPORT-RQ, one for each event"),
        (_NOTIFIED, LOCAL, "N-EVENT-REPORT-RSP"),
    ),
    normalized=Normalized(
        "N-EVENT-REPORT", procedure_step.REPORTED, procedure_step.OCCASIONS, (procedure_step.NOTIFICATION,), scp=True
    ),
)
_TELLER: Final = "Notification SCU"
_TOLD_OF_STUDIES: Final = "Notification SCP"
NOTIFICATIONS: Final = Activity(
    "Receive Notifications",
    "notification",
    False,
    "Keep what others tell",
    "Tell of a study",
    "A remote AE tells which instances a study has and where they can be retrieved from, by Instance Availability or "
    "(retired) Basic Study Content Notification.",
    _asked(
        _TELLER,
        (_TELLER, LOCAL, "N-CREATE-RQ, or C-STORE-RQ of study content"),
        (LOCAL, LOCAL, "Keep the notification"),
        (LOCAL, _TELLER, "N-CREATE-RSP or C-STORE-RSP"),
    ),
    normalized=Normalized("N-CREATE and C-STORE", notification.ANSWERED, by_preset=notification.ANSWERED_BY_PRESET),
)
NOTIFY: Final = Activity(
    "Notify of Studies",
    "notification",
    True,
    "A study came, is complete or is committed to, or some of it went",
    "Receive notifications",
    "The peers that the settings name (`notice`) are told which instances a study has: at its first object, when it "
    "has received nothing for a while, when it is complete, or when storage commitment was reported; and which were "
    "deleted or rejected, or brought back.",
    _asking(
        _TOLD_OF_STUDIES,
        (LOCAL, _TOLD_OF_STUDIES, "N-CREATE-RQ, or C-STORE-RQ of study content"),
        (_TOLD_OF_STUDIES, LOCAL, "N-CREATE-RSP or C-STORE-RSP"),
    ),
    normalized=Normalized(
        "N-CREATE and C-STORE",
        notification.SENT,
        classes=tuple(notification.PROPOSED),
        syntaxes=notification.PROPOSED,
    ),
)
RECONCILE: Final = Activity(
    "Reconcile Studies",
    "reconcile",
    True,
    "A study is looked for",
    "Answer worklist queries",
    "A study that was received is looked for in the worklist of a peer. One item that fits, and contradicts nothing, "
    "gives the study its patient and order; otherwise the study is left to a person, who may ask the worklist too.",
    _asking(
        "Modality Worklist SCP",
        (LOCAL, "Modality Worklist SCP", "C-FIND-RQ with the identifier"),
        ("Modality Worklist SCP", LOCAL, "C-FIND-RSP (pending), one for each match"),
        ("Modality Worklist SCP", LOCAL, "C-FIND-RSP (final)"),
    ),
    Service.WORKLIST,
)
"""Not opened by a permission: an AE does it, after all else, where its settings name a peer's worklist."""
HOSTED: Final = (
    *(VERIFY, RECEIVE, QUERY, MOVE, GET, COMMIT, TOLD, DELIVER, REPORT, ASK),
    *(WORKLIST, WORKITEMS, WATCHED, STEPS, FORWARD_STEPS, TELL_OF_STEPS),
    *(NOTIFICATIONS, NOTIFY),
)
"""What an AE that is hosted may do, in the order of the statement."""


def _command(name: str, local: str, remote: str, summary: str, dimse: Service, *exchange: Step) -> Activity:
    peer = exchange[0].receiver
    steps = (Step(LOCAL, peer, _OPEN), *exchange, Step(LOCAL, peer, _CLOSE))
    return Activity(name, "", True, local, remote, summary, steps, dimse, dimse is Service.STORE)


_PEER: Final = "Peer"
COMMANDS: Final = (
    _command(
        "Verify a Peer", "isocenter echo", "Answer verification",
        "An operator or a script verifies a peer.", Service.ECHO,
        Step(LOCAL, _PEER, "C-ECHO-RQ"), Step(_PEER, LOCAL, "C-ECHO-RSP"),
    ),
    _command(
        "Send Files", "isocenter send", "Receive instances",
        "An operator or a script sends DICOM files and folders of them.", Service.STORE,
        Step(LOCAL, _PEER, "C-STORE-RQ, one for each file"), Step(_PEER, LOCAL, "C-STORE-RSP"),
    ),
    _command(
        "Query a Peer", "isocenter find", "Answer queries",
        "An operator or a script queries a peer.", Service.FIND,
        Step(LOCAL, _PEER, "C-FIND-RQ"), Step(_PEER, LOCAL, "C-FIND-RSP, one for each match, and the final one"),
    ),
    _command(
        "Query a Worklist", "isocenter worklist query", "Answer worklist queries",
        "An operator or a script asks a peer which procedure steps are scheduled.", Service.WORKLIST,
        Step(LOCAL, _PEER, "C-FIND-RQ"), Step(_PEER, LOCAL, "C-FIND-RSP, one for each match, and the final one"),
    ),
    Activity(
        "Report a Procedure Step", "", True, "isocenter mpps", "Receive or give performed procedure steps",
        "An operator or a script reports a performed procedure step, or reads one.",
        _asking(
            "Peer", (LOCAL, "Peer", "N-CREATE-RQ, N-SET-RQ or N-GET-RQ"), ("Peer", LOCAL, "the response"),
        ),
        normalized=Normalized(
            "N-CREATE, N-SET and N-GET", procedure_step.ASKED, classes=(procedure_step.MPPS, procedure_step.RETRIEVE),
        ),
    ),
    _command(
        "Have a Peer Send", "isocenter move", "Send to a destination",
        "An operator or a script has a peer send instances elsewhere.", Service.MOVE,
        Step(LOCAL, _PEER, "C-MOVE-RQ"), Step(_PEER, LOCAL, "C-MOVE-RSP with counts, and the final one"),
    ),
    _command(
        "Retrieve from a Peer", "isocenter get", "Send on the same association",
        "An operator or a script retrieves instances into a folder.", Service.GET,
        Step(LOCAL, _PEER, "C-GET-RQ"), Step(_PEER, LOCAL, "C-STORE-RQ, one for each instance"),
        Step(LOCAL, _PEER, "C-STORE-RSP"), Step(_PEER, LOCAL, "C-GET-RSP (final)"),
    ),
)  # fmt: skip
"""What the commands do, as an Application Entity of their own."""
