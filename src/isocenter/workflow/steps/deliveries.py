"""What is to be delivered of performed procedure steps: messages passed on (I-MPPS-02) and events (PS3.4 F.9).

    waiting -> delivered | failed -> (a person) -> waiting | discarded

A row comes about in the transaction of the message itself. Of one step and one peer messages leave in order, and so do
events: what has failed holds back what follows, until it is tried again or discarded.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, update

from isocenter import telemetry
from isocenter.database import Database
from isocenter.jobs.queue import Queue, now
from isocenter.workflow.steps.tables import step_delivery as delivery

KIND: Final = "mpps-delivery"
"""The kind of the jobs that deliver, one for each destination."""
CREATE, SET, EVENT = "create", "set", "event"
_OPEN: Final = ("waiting", "failed")
_OVERDUE: Final = 5 * 60 * 1_000_000
_HELD: Final = 60 * 1_000_000
"""Microseconds for which one that is leaving belongs to the runner that sends it."""
_LONGEST: Final = 3600.0
_LONGEST_COMMENT: Final = 256
_BINDS: Final = 500


class Destination(NamedTuple):
    """Who sends to whom."""

    ae: str
    """The AE of ours."""
    peer: str

    @property
    def key(self) -> str:
        """Distinguishes it from all others."""
        return json.dumps(self)


class Delivery(NamedTuple):
    """One message for one peer; times in microseconds UTC."""

    id: int
    step: int
    ae: str
    peer: str
    operation: str
    event: int
    sop_uid: str
    syntax: str
    data: bytes | None
    state: str
    comment: str
    status: int | None
    attempts: int
    refusals: int
    due_at: int
    created_at: int
    changed_at: int

    @property
    def destination(self) -> Destination:
        """Whom it is for."""
        return Destination(self.ae, self.peer)


_COLUMNS: Final = [delivery.c[name] for name in Delivery._fields]


class Deliveries:
    """The rows of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self.database, self._clock = database, clock
        self._queue = Queue(database, clock)

    def add(
        self, connection: Connection, step: int, ae: str, peers: Iterable[str], operation: str, **values: Any
    ) -> None:
        """Have something delivered to each of `peers`, in the caller's transaction. `values`: `sop_uid`, `syntax` and
        `data`, or `event`."""
        at = self._clock()
        for peer in dict.fromkeys(peers):
            row = {"step": step, "ae": ae, "peer": peer, "operation": operation, "state": "waiting", **values}
            connection.execute(insert(delivery).values(**row, due_at=at, created_at=at, changed_at=at))
            self._wake(connection, Destination(ae, peer))

    def due(self, destination: Destination, *, limit: int = 50) -> list[Delivery]:
        """What may leave now: of each step the first that has not been delivered, oldest first."""
        wanted = and_(_heads(destination), delivery.c.due_at <= self._clock())
        query = select(*_COLUMNS).where(wanted).order_by(delivery.c.id).limit(limit)
        with self.database.reading() as connection:
            return [Delivery(*row) for row in connection.execute(query)]

    def wait(self, destination: Destination) -> float | None:
        """Seconds until the next is due; None where nothing waits."""
        with self.database.reading() as connection:
            next_due = connection.execute(select(func.min(delivery.c.due_at)).where(_heads(destination))).scalar()
        return None if next_due is None else max(0.0, (next_due - self._clock()) / 1e6)

    def begin(self, one: Delivery) -> bool:
        """It is about to leave: from now on nobody knows whether the peer has it, until there is an answer. False where
        another runner was faster."""
        at = self._clock()
        mine = and_(delivery.c.id == one.id, delivery.c.state == "waiting", delivery.c.attempts == one.attempts)
        # with SQLite all runners are threads of one process, which takes care itself
        due_at = at + _HELD if self.database.dialect == "postgresql" else delivery.c.due_at
        claiming = update(delivery).where(mine).values(attempts=one.attempts + 1, due_at=due_at, changed_at=at)
        with self.database.writing() as connection:
            return connection.execute(claiming).rowcount == 1

    def delivered(self, one: Delivery, status: int, comment: str = "") -> None:
        """The peer has it."""
        self._end(one, "delivered", status, comment)

    def failed(self, one: Delivery, status: int | None, comment: str) -> None:
        """It won't be tried again unless a person says so."""
        self._end(one, "failed", status, comment)

    def postpone(self, one: Delivery, delay: float, comment: str, status: int | None = None) -> None:
        """The peer refused it; the next try is in `delay` seconds, doubled for each try before, at most an hour."""
        at = self._clock()
        values = {"attempts": one.attempts + 1, "refusals": one.refusals + 1, "due_at": at + _pause(delay, one)}
        said = {"comment": comment[:_LONGEST_COMMENT], "status": status, "changed_at": at}
        waiting = and_(delivery.c.id == one.id, delivery.c.state == "waiting")
        with self.database.writing() as connection:
            connection.execute(update(delivery).where(waiting).values(**values, **said))
        telemetry.count("isocenter_mpps_deliveries_total", outcome="postponed")

    def unreached(self, one: Delivery, delay: float, comment: str) -> int:
        """The peer of `one` can't be reached, or went away: all that is due for it is tried again as that is; how
        many."""
        at = self._clock()
        values = {"attempts": delivery.c.attempts + 1, "due_at": at + _pause(delay, one), "changed_at": at}
        due = and_(_heads(one.destination), delivery.c.due_at <= at)
        # one that was leaving belongs to the runner that sent it
        mine = or_(delivery.c.id == one.id, due)
        with self.database.writing() as connection:
            numbers = list(
                connection.execute(select(delivery.c.id).where(mine, delivery.c.state == "waiting")).scalars()
            )
            for start in range(0, len(numbers), _BINDS):
                wanted = delivery.c.id.in_(numbers[start : start + _BINDS])
                connection.execute(
                    update(delivery).where(wanted).values(**values, comment=comment[:_LONGEST_COMMENT], status=None)
                )
        telemetry.count("isocenter_mpps_deliveries_total", outcome="postponed")
        return len(numbers)

    def restart(self, numbers: Iterable[int] = ()) -> int:
        """Try again at once what has failed, or waits for its next try: these, or without numbers all that failed."""
        chosen = list(numbers)
        wanted = and_(delivery.c.id.in_(chosen), delivery.c.state.in_(_OPEN)) if chosen else _failed()
        return self._release(wanted, state="waiting", attempts=0, refusals=0)

    def discard(self, numbers: Iterable[int]) -> int:
        """Give these up for good; what they held back goes on."""
        return self._release(and_(delivery.c.id.in_(list(numbers)), delivery.c.state.in_(_OPEN)), state="discarded")

    def listed(self, *, state: str = "", peer: str = "", step: int = 0, limit: int = 100) -> list[Delivery]:
        """The newest that fit, without their data sets."""
        wanted = [column == value for column, value in ((delivery.c.state, state), (delivery.c.peer, peer)) if value]
        if step:
            wanted.append(delivery.c.step == step)
        query = select(*_COLUMNS).where(*wanted).order_by(delivery.c.id.desc()).limit(limit)
        with self.database.reading() as connection:
            return [Delivery(*row)._replace(data=None) for row in connection.execute(query)]

    def revive(self) -> int:
        """A job for each destination with something overdue, in case its own was cancelled or given up; how many."""
        late = and_(delivery.c.state == "waiting", delivery.c.due_at < self._clock() - _OVERDUE)
        with self.database.reading() as connection:
            found = connection.execute(select(delivery.c.ae, delivery.c.peer).where(late).distinct())
            destinations = [Destination(*row) for row in found]
        if destinations:
            with self.database.writing() as connection:
                for each in destinations:
                    self._wake(connection, each)
        return len(destinations)

    def _release(self, wanted: ColumnElement[bool], **values: Any) -> int:
        at = self._clock()
        touched = update(delivery).where(wanted).values(**values, due_at=at, changed_at=at)
        with self.database.writing() as connection:
            rows = connection.execute(touched.returning(delivery.c.ae, delivery.c.peer)).all()
            for each in {Destination(*row) for row in rows}:
                self._wake(connection, each)
        return len(rows)

    def _wake(self, connection: Connection, destination: Destination) -> None:
        self._queue.add(connection, KIND, destination._asdict(), unique_key=destination.key, sooner=True)

    def _end(self, one: Delivery, state: str, status: int | None, comment: str) -> None:
        values = {"state": state, "status": status, "comment": comment[:_LONGEST_COMMENT], "changed_at": self._clock()}
        with self.database.writing() as connection:
            connection.execute(
                update(delivery)
                .where(delivery.c.id == one.id, delivery.c.state == "waiting")
                .values(**values, attempts=one.attempts + 1)
            )
        telemetry.count("isocenter_mpps_deliveries_total", outcome=state)


def _pause(delay: float, one: Delivery) -> int:
    """Microseconds until the next try."""
    return int(min(delay * 2.0 ** min(one.attempts, 30), max(_LONGEST, delay)) * 1e6)


def _failed() -> ColumnElement[bool]:
    return and_(delivery.c.state == "failed")


def _heads(destination: Destination) -> ColumnElement[bool]:
    """What waits for a destination and has nothing of its own step before it."""
    earlier = delivery.alias("earlier")
    held = exists().where(
        earlier.c.step == delivery.c.step,
        earlier.c.ae == delivery.c.ae,
        earlier.c.peer == delivery.c.peer,
        earlier.c.id < delivery.c.id,
        (earlier.c.operation == EVENT) == (delivery.c.operation == EVENT),
        or_(*(earlier.c.state == state for state in _OPEN)),
    )
    mine = and_(delivery.c.ae == destination.ae, delivery.c.peer == destination.peer)
    return and_(mine, delivery.c.state == "waiting", ~held)
