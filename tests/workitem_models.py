"""Workitems for tests: what creates one, what a performer says before it ends, and a worklist in a database.

worklist = Worklist(url); worklist.create("2.25.1"); worklist.claim("2.25.1"); worklist.events("WATCHER")
"""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from isocenter import database
from isocenter.declarations.workitem import Event, State, Status
from isocenter.workflow.workitems import models
from isocenter.workflow.workitems.entries import Terms, Workitem, Workitems
from isocenter.workflow.workitems.events import Receiver
from isocenter.workflow.workitems.models import Model, Rejected
from isocenter.workflow.workitems.tables import workitem_event, workitem_subscription

TRANSACTION = "2.25.777"
EMPTY = {"vr": "SQ"}
_TYPE_2: dict[str, str] = {
    **dict.fromkeys(("00401003", "00400400", "00102000"), "LT"),
    **dict.fromkeys(("00404025", "00404026", "00404027", "00404018", "00404021", "00741210", "0040A370"), "SQ"),
    **dict.fromkeys(("00101002", "00100024", "00380014", "00081084", "00741002", "00741216"), "SQ"),
    "00380010": "LO",
    "00081080": "LO",
    "00741202": "LO",
    "00400400": "LT",
    "00081195": "UI",
    "00100010": "PN",
    "00100030": "DA",
    "00100040": "CS",
}
del _TYPE_2["00401003"], _TYPE_2["00102000"]


def code(value: str, scheme: str = "99TEST", meaning: str = "something") -> Model:
    """An item of a code sequence."""
    return {
        "00080100": {"vr": "SH", "Value": [value]},
        "00080102": {"vr": "SH", "Value": [scheme]},
        "00080104": {"vr": "LO", "Value": [meaning]},
    }


def sequence(*items: Model) -> Model:
    """An attribute of VR SQ."""
    return {"vr": "SQ", "Value": list(items)} if items else {"vr": "SQ"}


def asked(**more: Any) -> Model:
    """What creates a workitem. `more`: attributes by their tag, `t00100020=...`; None leaves one out."""
    made: Model = {tag: {"vr": vr} for tag, vr in _TYPE_2.items()}
    made |= {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
        "00741204": {"vr": "LO", "Value": ["Segment the liver"]},
        "00404005": {"vr": "DT", "Value": ["20261121120000"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Ødegård^Åse"}]},
    }
    return _with(made, more)


def done(**more: Any) -> Model:
    """What a performer sets before it completes a workitem."""
    performed = {
        "00404028": sequence(code("ST1")),
        "00404050": {"vr": "DT", "Value": ["20261121120100"]},
        "00404019": sequence(code("W1")),
        "00404051": {"vr": "DT", "Value": ["20261121120200"]},
        "00404033": sequence(),
    }
    return _with({models.PERFORMED: sequence(_with(performed, more))}, {})


def stopped(**more: Any) -> Model:
    """What a performer sets before it cancels a workitem."""
    progress = {
        "00404052": {"vr": "DT", "Value": ["20261121120200"]},
        "00741238": {"vr": "LT", "Value": ["the scanner is down"]},
        "0074100E": sequence(code("110501", "DCM", "Equipment failure")),
    }
    return {models.PROGRESS: sequence(_with(progress, more))}


def _with(model: Model, more: dict[str, Any]) -> Model:
    changed = {**model, **{name.removeprefix("t"): each for name, each in more.items()}}
    return {tag: changed[tag] for tag in sorted(changed) if changed[tag] is not None}


class Worklist:
    """The worklist of one database. `at` is its clock, in microseconds."""

    def __init__(self, url: str, **terms: Any) -> None:
        self.at = 1_780_000_000_000_000
        self.database = database.open(url)
        self.items = Workitems(self.database, Terms(**terms), lambda: self.at)

    def do(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a method in a transaction of its own; the status of a Rejected is given as what came of it."""
        try:
            with self.database.writing() as connection:
                return work(connection, *arguments, **named)
        except Rejected as refusal:
            return refusal.status

    def create(self, uid: str, **more: Any) -> Status:
        """N-CREATE."""
        return Status(self.do(self.items.create, uid, models.canonical(asked(**more))))

    def put(self, uid: str, state: State, *, transaction: str = TRANSACTION) -> None:
        """A workitem in any state."""
        assert self.create(uid) == Status.SUCCESS
        if state is State.SCHEDULED:
            return
        assert self.change(uid, State.IN_PROGRESS, transaction) == Status.SUCCESS
        if state is not State.IN_PROGRESS:
            said = {**done(), **stopped()}
            assert self.do(self.items.update, uid, models.canonical(said), transaction) == Status.SUCCESS
            assert self.change(uid, state, transaction) == Status.SUCCESS

    def change(self, uid: str, wanted: State, transaction: str = TRANSACTION) -> Status:
        """N-ACTION 1."""
        return Status(self.do(self.items.change_state, uid, wanted, transaction))

    def subscribe(self, uid: str, aet: str = "WATCHER", *, lock: bool = False, **named: Any) -> Status:
        """N-ACTION 3, for a WebSocket client."""
        receiver = Receiver(aet, "ISOCENTER", "127.0.0.1", named.pop("way", "web"))
        return Status(self.do(self.items.subscriptions.subscribe, uid, receiver, lock=lock, **named))

    def get(self, uid: str) -> Workitem:
        """The workitem."""
        with self.database.reading() as connection:
            return self.items.get(connection, uid)

    def subscribed(self, uid: str, aet: str = "WATCHER") -> str:
        """The subscription state of an AE: `none`, `unlocked` or `locked`."""
        query = select(workitem_subscription.c.locked).where(
            workitem_subscription.c.workitem == self.get(uid).id, workitem_subscription.c.aet == aet
        )
        with self.database.reading() as connection:
            found = connection.execute(query).scalar()
        return "none" if found is None else "locked" if found else "unlocked"

    def events(self, aet: str = "WATCHER", about: str = "") -> list[tuple[Event, Model]]:
        """What an AE was told, or is to be; `about` one workitem alone."""
        query = select(workitem_event.c.type, workitem_event.c.attributes).where(workitem_event.c.aet == aet)
        if about:
            query = query.where(workitem_event.c.uid == about)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(workitem_event.c.id)).all()
        return [(Event(row.type), json.loads(row.attributes)) for row in rows]
