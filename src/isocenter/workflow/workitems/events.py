"""What subscribers are told (PS3.4 CC.2.4): made of changes, and written for each of them.

    waiting -> delivered | undelivered

An event for an AE that is told over DIMSE comes with the job that delivers it; one for a WebSocket client is read from
where the client came to last.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Connection, and_, delete, func, insert, literal_column, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database import Database
from isocenter.declarations.workitem import Event
from isocenter.jobs.queue import Queue
from isocenter.workflow.workitems import models
from isocenter.workflow.workitems.models import Model
from isocenter.workflow.workitems.tables import workitem_channel, workitem_event

KIND: Final = "workitem-event"
"""The kind of the jobs that deliver over DIMSE, one for each receiver."""
_REPORTED: Final = (models.STATE, models.READINESS)
_PROGRESSED: Final = frozenset({"00741004", "00741006", "00741007", "00741008"})
"""Progress, its description, parameters and communications URIs."""
SCP_STATUS: Final = "00741242"
GOING_DOWN: Final = "GOING DOWN"
_PERFORMER: Final = ("00404009", "00404036")
_OWN_TRANSACTION = literal_column("pg_current_xact_id()::text::bigint", BigInteger)
_OLDEST_IN_FLIGHT = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", BigInteger)

Told = tuple[Event, Model]


class Receiver(NamedTuple):
    """Whom events go to: the AE, the AE of ours that it subscribed with, where from, and how (`dimse`, `web`)."""

    aet: str
    ae: str
    address: str
    way: str


class Position(NamedTuple):
    """A place among the events, as in the change feed."""

    transaction: int = 0
    sequence: int = 0


class Report(NamedTuple):
    """One event for one receiver."""

    id: int
    transaction: int
    uid: str
    type: int
    attributes: str
    attempts: int

    @property
    def position(self) -> Position:
        """Where it stands."""
        return Position(self.transaction, self.id)

    @property
    def of_the_scp(self) -> bool:
        """Whether it says how the server is."""
        return self.type == Event.SCP_STATUS_CHANGE

    @property
    def ends(self) -> bool:
        """Whether it says that the server goes down."""
        return self.of_the_scp and models.value(self.model, SCP_STATUS) == GOING_DOWN

    @property
    def model(self) -> Model:
        """Its attributes."""
        found: Model = json.loads(self.attributes)
        return found


_REPORT: Final = (
    *(workitem_event.c.id, workitem_event.c.transaction, workitem_event.c.uid, workitem_event.c.type),
    *(workitem_event.c.attributes, workitem_event.c.attempts),
)


class Events:
    """The events of one database."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._dialect, self._clock = database.dialect, clock
        self._insert = (sqlite if database.dialect == "sqlite" else postgresql).insert
        self._queue = Queue(database, clock)

    def add(self, connection: Connection, receivers: Sequence[Receiver], uid: str, told: Told) -> None:
        """Have `receivers` told of the workitem `uid`, inside the transaction of the change."""
        # in one order everywhere: two transactions that add jobs in different ones would wait for each other
        self._write(connection, [(each, uid, told) for each in sorted(receivers)])

    def add_all(self, connection: Connection, receiver: Receiver, told: Sequence[tuple[str, Told]]) -> None:
        """Have one receiver told of many workitems."""
        self._write(connection, [(receiver, uid, each) for uid, each in told])

    def _write(self, connection: Connection, told: Sequence[tuple[Receiver, str, Told]]) -> None:
        if not told:
            return
        at = self._clock()
        common = {"state": "waiting", "created_at": at}
        rows = [
            {**receiver._asdict(), "uid": uid, "type": int(kind), "attributes": models.dumped(model), **common}
            for receiver, uid, (kind, model) in told
        ]
        adding = insert(workitem_event)
        if self._dialect != "sqlite":
            adding = adding.values(transaction=_OWN_TRANSACTION)
        connection.execute(adding, rows)
        for each in dict.fromkeys(receiver for receiver, _, _ in told if receiver.way == "dimse"):
            self._work(connection, each)

    def _work(self, connection: Connection, receiver: Receiver) -> None:
        payload = {"aet": receiver.aet, "ae": receiver.ae, "address": receiver.address}
        self._queue.add(connection, KIND, payload, unique_key=receiver.aet)

    # --- over DIMSE

    def waiting(self, connection: Connection, aet: str, limit: int = 50) -> list[Report]:
        """What an AE is to be told next, oldest first."""
        query = select(*_REPORT).where(
            workitem_event.c.way == "dimse", workitem_event.c.state == "waiting", workitem_event.c.aet == aet
        )
        return [Report(*row) for row in connection.execute(query.order_by(workitem_event.c.id).limit(limit))]

    def settle(self, connection: Connection, number: int, state: str, comment: str = "") -> None:
        """`delivered`, or `undelivered`: it won't be tried again."""
        done = update(workitem_event).where(workitem_event.c.id == number, workitem_event.c.state == "waiting")
        connection.execute(done.values(state=state, comment=comment))

    def tried(self, connection: Connection, number: int, comment: str) -> None:
        """A try failed."""
        trying = update(workitem_event).where(workitem_event.c.id == number)
        connection.execute(trying.values(attempts=workitem_event.c.attempts + 1, comment=comment))

    def hopeful(self, connection: Connection, aets: Collection[str]) -> bool:
        """Whether any of these is still to be told over DIMSE what no try has failed to tell it yet."""
        queue = and_(workitem_event.c.way == "dimse", workitem_event.c.state == "waiting")
        query = select(workitem_event.c.aet).where(queue, workitem_event.c.aet.in_(aets))
        untried = query.group_by(workitem_event.c.aet).having(func.max(workitem_event.c.attempts) == 0)
        return connection.execute(untried.limit(1)).first() is not None

    def withdraw(self, connection: Connection, told: Told, comment: str) -> int:
        """What waits to be told over DIMSE is true no more; how many."""
        kind, model = told
        gone = update(workitem_event).where(
            *(workitem_event.c.way == "dimse", workitem_event.c.state == "waiting", workitem_event.c.type == int(kind)),
            workitem_event.c.attributes == models.dumped(model),
        )
        return connection.execute(gone.values(state="undelivered", comment=comment)).rowcount

    def behind(self, connection: Connection, before: int) -> list[Receiver]:
        """The receivers of events that wait since `before`."""
        columns = (workitem_event.c.aet, func.max(workitem_event.c.ae), func.max(workitem_event.c.address))
        query = select(*columns).where(
            workitem_event.c.way == "dimse", workitem_event.c.state == "waiting", workitem_event.c.created_at < before
        )
        return [Receiver(*row, "dimse") for row in connection.execute(query.group_by(workitem_event.c.aet))]

    def revive(self, connection: Connection, before: int) -> int:
        """A job for each of them, in case theirs was given up; how many."""
        late = self.behind(connection, before)
        for each in late:
            self._work(connection, each)
        return len(late)

    # --- over WebSocket

    def read(self, connection: Connection, aet: str, after: Position, limit: int = 100) -> list[Report]:
        """The events for `aet` that follow `after`."""
        query = select(*_REPORT).where(workitem_event.c.aet == aet).limit(limit)
        if self._dialect == "sqlite":
            query = query.where(workitem_event.c.id > after.sequence).order_by(workitem_event.c.id)
        else:
            place = tuple_(workitem_event.c.transaction, workitem_event.c.id)
            query = query.where(place > tuple_(*after), workitem_event.c.transaction < _OLDEST_IN_FLIGHT)
            query = query.order_by(workitem_event.c.transaction, workitem_event.c.id)
        return [Report(*row) for row in connection.execute(query)]

    def newest(self, connection: Connection) -> int:
        """The number of the newest event that anybody can see; it only ever tells that there is something new."""
        return connection.execute(select(func.max(workitem_event.c.id))).scalar() or 0

    def reached(self, connection: Connection, aet: str) -> Position:
        """How far `aet` has read."""
        query = select(workitem_channel.c.transaction, workitem_channel.c.position).where(workitem_channel.c.aet == aet)
        row = connection.execute(query).first()
        return Position(*row) if row else Position()

    def acknowledge(self, connection: Connection, aet: str, upto: Position) -> None:
        """`aet` was sent everything up to `upto`; another channel of it may be further."""
        if self.reached(connection, aet) >= upto:
            return
        values = {"transaction": upto.transaction, "position": upto.sequence}
        put = self._insert(workitem_channel).values(aet=aet, **values)
        connection.execute(put.on_conflict_do_update(index_elements=["aet"], set_=values))
        sent = update(workitem_event).where(
            workitem_event.c.aet == aet,
            workitem_event.c.way == "web",
            workitem_event.c.state == "waiting",
            workitem_event.c.id <= upto.sequence,
        )
        connection.execute(sent.values(state="delivered"))

    def prune(self, connection: Connection, before: int) -> int:
        """Forget the events of before `before`; how many. The newest stays, so that no number is given twice."""
        newest = select(func.max(workitem_event.c.id)).scalar_subquery()
        old = delete(workitem_event).where(workitem_event.c.created_at < before, workitem_event.c.id < newest)
        return connection.execute(old).rowcount


# --- what is said


def state_report(model: Mapping[str, Any]) -> Told:
    """UPS State Report."""
    said = {tag: model.get(tag) or {"vr": "CS"} for tag in _REPORTED}
    for item in models.items(model, models.PROGRESS):
        said |= {tag: item[tag] for tag in (models.REASON, models.REASON_CODE) if tag in item}
    return Event.STATE_REPORT, _ordered(said)


def cancel_requested(requesting: str, information: Mapping[str, Any]) -> Told:
    """UPS Cancel Requested, with what the request says."""
    said = {"00741236": models.text_attribute("AE", requesting)}
    names = (models.REASON, models.REASON_CODE, "0074100A", "0074100C")
    return Event.CANCEL_REQUESTED, _ordered({**said, **{tag: information[tag] for tag in names if tag in information}})


def assigned(model: Mapping[str, Any]) -> Told | None:
    """UPS Assigned; None where nobody is."""
    said: Model = {}
    if models.items(model, models.STATION):
        said[models.STATION] = model[models.STATION]
    for item in models.items(model, models.PERFORMERS):
        for tag in _PERFORMER:
            if tag in item:
                said.setdefault(tag, item[tag])
    return (Event.ASSIGNED, _ordered(said)) if said else None


class Kept(NamedTuple):
    """Whether the lists are those of before a restart, as far as could be."""

    subscriptions: bool = True
    workitems: bool = True


def restarted(kept: Kept) -> Told:
    """SCP Status Change: the server began again."""
    begun = {True: models.text_attribute("CS", "WARM START"), False: models.text_attribute("CS", "COLD START")}
    return Event.SCP_STATUS_CHANGE, {
        SCP_STATUS: models.text_attribute("CS", "RESTARTED"),
        "00741244": begun[kept.subscriptions],
        "00741246": begun[kept.workitems],
    }


def going_down() -> Told:
    """SCP Status Change: the server stops."""
    return Event.SCP_STATUS_CHANGE, {SCP_STATUS: models.text_attribute("CS", GOING_DOWN)}


def of_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Told]:
    """What follows of a difference."""
    if any(models.value(before, tag) != models.value(after, tag) for tag in _REPORTED):
        yield state_report(after)
    if _progress(before) != _progress(after):
        yield Event.PROGRESS_REPORT, {models.PROGRESS: {"vr": "SQ", "Value": _progress(after)}}
    changed = any(before.get(tag) != after.get(tag) for tag in (models.STATION, models.PERFORMERS))
    if changed and (told := assigned(after)):
        yield told


def _progress(model: Mapping[str, Any]) -> list[Model]:
    found = [{tag: item[tag] for tag in item if tag in _PROGRESSED} for item in models.items(model, models.PROGRESS)]
    return [item for item in found if item]


def _ordered(model: Mapping[str, Any]) -> Model:
    return {tag: model[tag] for tag in sorted(model)}
