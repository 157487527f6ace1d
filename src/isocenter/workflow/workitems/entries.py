"""Workitems in the database: made, changed, claimed, ended and removed (PS3.4 CC.2.1, CC.2.2, CC.2.5, CC.2.6).

Each method is part of a writing transaction of the caller's, in which the row is locked: of two performers who claim a
workitem at once one wins. What subscribers are to be told is written in the same transaction.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database import Database
from isocenter.declarations.workitem import CANCEL_REQUESTS, FILTERED, GLOBAL, Event, State, Status, transition
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.uids import is_regular
from isocenter.jobs.queue import now
from isocenter.workflow.workitems import events, keying, models
from isocenter.workflow.workitems.events import Events, Kept
from isocenter.workflow.workitems.models import Model, Rejected
from isocenter.workflow.workitems.subscriptions import Subscriptions
from isocenter.workflow.workitems.tables import workitem, workitem_subscription

_UNSPECIFIED: Final[Model] = {
    "00080100": {"vr": "SH", "Value": ["110513"]},
    "00080102": {"vr": "SH", "Value": ["DCM"]},
    "00080104": {"vr": "LO", "Value": ["Discontinued for unspecified reason"]},
}
_PURGED: Final = 200
"""Workitems that are removed in one transaction."""


class Workitem(NamedTuple):
    """One unified procedure step. `model` is the whole of it but the Transaction UID."""

    id: int
    uid: str
    state: State
    transaction_uid: str
    model: Model
    changed_at: int


class Terms(NamedTuple):
    """What an installation decides (`config.workitems`)."""

    missing: Literal["refuse", "supplement"] = "refuse"
    label: str = "DEFAULT"
    locks: bool = True


STANDARD: Final = Terms()
KEPT: Final = Kept()
Notify = tuple[tuple[str, str], ...]
"""AEs that are told how the server is though they have no subscription: title, and title of ours."""


class Gone(Rejected):
    """The workitem was there, and was removed."""


class Workitems:
    """The worklist of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, terms: Terms = STANDARD, clock: Callable[[], int] = now) -> None:
        self.database, self._clock, self._terms = database, clock, terms
        self._insert = (sqlite if database.dialect == "sqlite" else postgresql).insert
        self.events = Events(database, clock)
        self.subscriptions = Subscriptions(database, self.events, clock, locks=terms.locks)

    def get(self, connection: Connection, uid: str, *, lock: bool = False) -> Workitem:
        """The workitem; with `lock` nobody else changes it before the transaction ends. Raises Rejected."""
        query = _columns().where(workitem.c.uid == uid)
        row = connection.execute(query.with_for_update() if lock else query).first()
        if row is None:
            raise Rejected(Status.NO_SUCH_WORKITEM, "no such workitem")
        if row.removed_at is not None:
            raise Gone(Status.NO_SUCH_WORKITEM, "the workitem was removed")
        return Workitem(
            row.id,
            row.uid,
            State(row.state),
            row.transaction_uid,
            msgspec.json.decode(row.attributes),
            row.changed_at,
        )

    def create(self, connection: Connection, uid: str, model: Mapping[str, Any]) -> Status:
        """Make the workitem `uid` (N-CREATE). `model` is canonical (`models.canonical`). Raises Rejected."""
        if not is_regular(uid) or uid in (GLOBAL, FILTERED):
            raise Rejected(Status.INVALID_INSTANCE, "no SOP Instance UID for a workitem")
        if models.value(model, models.TRANSACTION_UID):
            raise Rejected(Status.INVALID_VALUE, "TransactionUID must be empty")
        made = models.pruned(model)
        missing = models.check_creation(made)
        if missing and self._terms.missing == "refuse":
            raise Rejected(Status.MISSING_ATTRIBUTE, f"no {keyword_of(missing[0][0])}")
        made |= {f"{path[0]:08X}": {"vr": vr_of(path[0])} for path in missing}
        if not models.value(made, models.LABEL):
            made[models.LABEL] = models.text_attribute("LO", self._terms.label)
        at = self._clock()
        whole = models.completed(made, uid, State.SCHEDULED, moment(at))
        self.subscriptions.hold(connection)
        row = {**_row(whole, State.SCHEDULED), "uid": uid, "created_at": at, "changed_at": at}
        adding = self._insert(workitem).values(**row).on_conflict_do_nothing().returning(workitem.c.id)
        number = connection.execute(adding).scalar()
        if number is None:
            raise Rejected(Status.DUPLICATE_INSTANCE, "there is a workitem of this UID")
        keying.put(connection, number, keying.rows_of(whole))
        self.subscriptions.created(connection, number, whole)
        self._tell(connection, number, whole, events.state_report(whole))
        if assigned := events.assigned(whole):
            self._tell(connection, number, whole, assigned)
        return Status.CREATED_WITH_MODIFICATIONS if missing else Status.SUCCESS

    def update(self, connection: Connection, uid: str, changes: Mapping[str, Any], transaction_uid: str = "") -> Status:
        """Change attributes (N-SET). The Transaction UID may also stand in `changes`. Raises Rejected."""
        found = self.get(connection, uid, lock=True)
        given = transaction_uid or models.value(changes, models.TRANSACTION_UID)
        if found.state.final:
            raise Rejected(Status.NO_LONGER_UPDATED, f"the workitem is {found.state}")
        if found.state is State.SCHEDULED and given:
            raise Rejected(Status.NOT_IN_PROGRESS, "the workitem is not claimed yet")
        if found.state is State.IN_PROGRESS and given != found.transaction_uid:
            raise Rejected(Status.WRONG_TRANSACTION, "not the Transaction UID of the performer")
        wanted = models.pruned(changes)
        models.check_change(wanted)
        self._write(connection, found, {**found.model, **wanted}, found.state)
        return Status.SUCCESS

    def change_state(self, connection: Connection, uid: str, wanted: State, transaction_uid: str) -> Status:
        """Claim, complete or cancel (N-ACTION 1). Raises Rejected."""
        found = self.get(connection, uid, lock=True)
        outcome = transition(found.state, wanted, transaction_uid, found.transaction_uid)
        if outcome.follows is None:
            return _told(outcome.status, f"the workitem is {found.state}")
        if outcome.follows.final and (unmet := models.unmet(found.model, outcome.follows)):
            raise Rejected(Status.FINAL_STATE_NOT_MET, f"no value of {unmet[0].rpartition('.')[2]}")
        self._write(connection, found, found.model, outcome.follows, transaction_uid)
        return outcome.status

    def request_cancel(
        self, connection: Connection, uid: str, requesting: str, information: Mapping[str, Any]
    ) -> Status:
        """Ask that it be cancelled (N-ACTION 2): done where nobody performs it, else its subscribers are told.
        `requesting`: the AE that asks. Raises Rejected."""
        found = self.get(connection, uid, lock=True)
        outcome = CANCEL_REQUESTS[found.state]
        if outcome.status is not Status.SUCCESS:
            return _told(outcome.status, f"the workitem is {found.state}")
        if outcome.follows is not None:
            self._cancel(connection, found, information)
        elif not self._tell(connection, found.id, found.model, events.cancel_requested(requesting, information)):
            raise Rejected(Status.PERFORMER_OUT_OF_REACH, "nobody is subscribed to the workitem")
        return Status.SUCCESS

    def restarted(self, connection: Connection, notify: Notify = (), kept: Kept = KEPT) -> int:
        """Tell every subscriber, and the AEs of `notify`, that the server began again (SCP Status Change); how many.
        Whoever has not heard that it went down need not any more."""
        self.events.withdraw(connection, events.going_down(), "the server was started again before")
        return len(self._tell_everyone(connection, notify, events.restarted(kept)))

    def going_down(self, connection: Connection, notify: Notify = ()) -> frozenset[str]:
        """Tell them that the server stops; the AEs among them that are told over DIMSE."""
        told = self._tell_everyone(connection, notify, events.going_down())
        return frozenset(each.aet for each in told if each.way == "dimse")

    def _tell_everyone(self, connection: Connection, notify: Notify, told: events.Told) -> list[events.Receiver]:
        receivers = self.subscriptions.everyone(connection)
        known = {each.aet for each in receivers}
        receivers += [events.Receiver(aet, ae, "127.0.0.1", "dimse") for aet, ae in notify if aet not in known]
        self.events.add(connection, receivers, GLOBAL, told)
        return receivers

    def purge(self, connection: Connection, before: int) -> int:
        """Remove workitems that ended before `before` and on which nobody holds a deletion lock, at most `_PURGED`;
        what was removed before that time is forgotten. How many were removed."""
        locked = exists().where(workitem_subscription.c.workitem == workitem.c.id, workitem_subscription.c.locked == 1)
        ended = select(workitem.c.id).where(workitem.c.ended_at < before, workitem.c.removed_at.is_(None), ~locked)
        numbers = list(connection.execute(ended.order_by(workitem.c.id).limit(_PURGED)).scalars())
        connection.execute(delete(workitem).where(workitem.c.removed_at < before))
        if numbers:
            emptied = {"attributes": "", "transaction_uid": ""}
            removing = update(workitem).where(workitem.c.id.in_(numbers))
            connection.execute(removing.values(**emptied, removed_at=self._clock()))
            self.subscriptions.forget(connection, numbers)
            keying.forget(connection, numbers)
        return len(numbers)

    def _cancel(self, connection: Connection, found: Workitem, information: Mapping[str, Any]) -> None:
        """Through IN PROGRESS to CANCELED, as the state table has it, with what the final state needs."""
        self._write(connection, found, found.model, State.IN_PROGRESS)
        said = {tag: information[tag] for tag in (models.REASON, models.REASON_CODE) if information.get(tag)}
        if not models.items(said, models.REASON_CODE):
            said[models.REASON_CODE] = {"vr": "SQ", "Value": [_UNSPECIFIED]}
        progress = {models.CANCELLED_AT: models.text_attribute("DT", moment(self._clock())), **said}
        ordered = {tag: progress[tag] for tag in sorted(progress)}
        model = {**found.model, models.PROGRESS: {"vr": "SQ", "Value": [ordered]}}
        self._write(connection, found._replace(state=State.IN_PROGRESS), model, State.CANCELED)

    def _write(
        self, connection: Connection, found: Workitem, model: Model, state: State, transaction_uid: str | None = None
    ) -> None:
        """The workitem as it is now, and what follows of the difference."""
        at = self._clock()
        whole = models.completed(model, found.uid, state, moment(at))
        values: dict[str, Any] = {**_row(whole, state), "changed_at": at}
        if transaction_uid is not None:
            values["transaction_uid"] = transaction_uid
        if state.final:
            values["ended_at"] = at
        connection.execute(update(workitem).where(workitem.c.id == found.id).values(**values))
        keying.change(connection, found.id, found.model, whole)
        for told in events.of_change(found.model if found.state == state else {**found.model, models.STATE: {}}, whole):
            self._tell(connection, found.id, whole, told)

    def _tell(self, connection: Connection, number: int, model: Model, told: tuple[Event, Model]) -> int:
        receivers = self.subscriptions.of(connection, number)
        self.events.add(connection, receivers, models.value(model, models.SOP_INSTANCE), told)
        return len(receivers)


def moment(at: int) -> str:
    """Microseconds UTC as a DT value, in the time of this place."""
    return f"{datetime.fromtimestamp(at / 1e6):%Y%m%d%H%M%S.%f}"


def _told(status: Status, comment: str) -> Status:
    if not status.warning:
        raise Rejected(status, comment)
    return status


def _columns() -> Select[Any]:
    names = ("id", "uid", "state", "transaction_uid", "attributes", "changed_at", "removed_at")
    return select(*(workitem.c[name] for name in names))


def _row(model: Model, state: State) -> dict[str, Any]:
    return {
        "state": str(state),
        "attributes": models.dumped(model),
    }
