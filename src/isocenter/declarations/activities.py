"""The real-world activities of the Application Entities: who begins them, what happens in which order.

Descriptive data for the conformance statement (C-GEN-02, C-GEN-06): which of them an AE has follows from its services.
Participants of the steps are `LOCAL` (this AE) and the names of others.
"""

from enum import StrEnum
from typing import Final, NamedTuple

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


_OPEN: Final = "Open association"
_CLOSE: Final = "Release association"


def _asked(peer: str, *steps: tuple[str, str, str]) -> tuple[Step, ...]:
    """Steps between the peer's opening and its release of the association."""
    return (Step(peer, LOCAL, _OPEN), *(Step(*step) for step in steps), Step(peer, LOCAL, _CLOSE))


def _asking(peer: str, *steps: tuple[str, str, str]) -> tuple[Step, ...]:
    return (Step(LOCAL, peer, _OPEN), *(Step(*step) for step in steps), Step(LOCAL, peer, _CLOSE))


_SENDER: Final = "Storage SCU"
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
HOSTED: Final = (VERIFY, RECEIVE, QUERY, MOVE, GET, COMMIT, TOLD, DELIVER, REPORT, ASK)
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
