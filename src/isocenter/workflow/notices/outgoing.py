"""What is to be told to whom: rows that wait until they are told, were given up, or somebody discards them."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter import telemetry
from isocenter.database import Database
from isocenter.dicom.uids import new_uid
from isocenter.jobs.queue import Queue
from isocenter.workflow.notices.tables import notice

KIND = "notify"
"""The jobs: one for each destination."""
STATES = ("waiting", "sent", "failed", "discarded")
_LONGEST_PAUSE = 3600.0
_CLAIM = 600_000_000
"""Microseconds after which a notice is told by another node, where the one that was to tell it has died."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Destination(NamedTuple):
    """Who is told by whom: the title of an AE of ours ('' for a web hook) and of a peer, or the name of a hook."""

    kind: str
    ae: str
    destination: str

    @property
    def key(self) -> str:
        """It as one text."""
        return json.dumps(self)


class Wanted(NamedTuple):
    """Something to be told."""

    destination: Destination
    event: str
    occasion: str
    """Of the same destination and occasion there is one."""
    study_uid: str
    payload: Mapping[str, Any] = {}


class Notice(NamedTuple):
    """Something to be told, as it is kept. Times in microseconds UTC."""

    id: int
    kind: str
    ae: str
    destination: str
    event: str
    occasion: str
    study_uid: str
    sop_uid: str
    payload: dict[str, Any]
    state: str
    attempts: int
    status: int | None
    comment: str
    due_at: int
    created_at: int
    changed_at: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """That of a row."""
        values = dict(zip(cls._fields, row, strict=True))
        return cls(**{**values, "payload": json.loads(values["payload"] or "{}")})

    @property
    def to(self) -> Destination:
        """Who is told."""
        return Destination(self.kind, self.ae, self.destination)


_COLUMNS = tuple(notice.c[name] for name in Notice._fields)


class Outgoing:
    """The notices of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self._database, self._clock = database, clock
        self._queue = Queue(database, clock)

    def add(self, connection: Connection, wanted: Sequence[Wanted]) -> int:
        """Have these told, with a job for each destination, inside a transaction of the caller's; how many were new."""
        at = self._clock()
        insert = (sqlite if self._database.dialect == "sqlite" else postgresql).insert(notice)
        twin = ["kind", "ae", "destination", "occasion"]
        adding = insert.on_conflict_do_nothing(index_elements=twin).returning(notice.c.id)
        told, added = set[Destination](), 0
        for each in wanted:
            values = {
                **each.destination._asdict(),
                "event": each.event,
                "occasion": each.occasion,
                "study_uid": each.study_uid,
                "sop_uid": new_uid(),
                "payload": json.dumps(each.payload, separators=(",", ":")) if each.payload else "",
                "state": "waiting",
                "due_at": at,
                "created_at": at,
                "changed_at": at,
            }
            if connection.execute(adding.values(**values)).scalar() is not None:
                told.add(each.destination)
                added += 1
        for destination in sorted(told):
            self._rouse(connection, destination)
        return added

    def due(self, destination: Destination, *, limit: int = 100) -> list[Notice]:
        """What is to be told to a destination now, oldest first."""
        return self._select(and_(_waiting(destination), notice.c.due_at <= self._clock()), limit)

    def claim(self, one: Notice) -> bool:
        """Whether this node is the one that tells it now. With SQLite there is no other."""
        if self._database.dialect == "sqlite":
            return True
        mine = and_(_open(one.id), notice.c.due_at == one.due_at)
        later = self._clock() + _CLAIM
        with self._database.writing() as connection:
            return connection.execute(update(notice).where(mine).values(due_at=later)).rowcount == 1

    def wait(self, destination: Destination) -> float | None:
        """Seconds until the next of them is due; None where there is none."""
        with self._database.reading() as connection:
            query = select(func.min(notice.c.due_at)).where(_waiting(destination))
            found = connection.execute(query).scalar()
        return None if found is None else max(0.0, (found - self._clock()) / 1e6)

    def sent(self, one: Notice, status: int | None = None, comment: str = "") -> None:
        """It was told."""
        self._end(one, "sent", status, comment)

    def dropped(self, one: Notice, comment: str) -> None:
        """There is nothing to tell any more."""
        self._end(one, "discarded", None, comment)

    def failed(self, one: Notice, comment: str, status: int | None = None) -> None:
        """It won't be tried again by itself."""
        self._end(one, "failed", status, comment)

    def postpone(self, one: Notice, comment: str, status: int | None, *, first: float, retries: int) -> bool:
        """A try failed: the next is due later, `first` seconds after the first failure and then always twice as late.
        False if the tries are used up; then it has failed."""
        if one.attempts >= retries:
            self.failed(one, comment, status)
            return False
        pause = min(first * 2.0 ** min(one.attempts, 30), max(first, _LONGEST_PAUSE))
        at = self._clock()
        values = {"attempts": notice.c.attempts + 1, "due_at": at + int(pause * 1e6), "changed_at": at}
        with self._database.writing() as connection:
            connection.execute(update(notice).where(_open(one.id)).values(**values, status=status, comment=comment))
        telemetry.count("isocenter_notices_total", kind=one.kind, outcome="postponed")
        return True

    def retry(self, number: int) -> bool:
        """Tell it now, again if it has been told, as if for the first time. False where there is none."""
        at = self._clock()
        values = {"state": "waiting", "attempts": 0, "due_at": at, "comment": "", "changed_at": at}
        with self._database.writing() as connection:
            changed = update(notice).where(notice.c.id == number).values(**values)
            row = connection.execute(changed.returning(notice.c.kind, notice.c.ae, notice.c.destination)).first()
            if row is not None:
                self._rouse(connection, Destination(*row))
        return row is not None

    def discard(self, number: int) -> bool:
        """Don't tell it any more. False where it doesn't wait and has not failed."""
        held = and_(notice.c.id == number, notice.c.state.in_(("waiting", "failed")))
        values = {"state": "discarded", "changed_at": self._clock()}
        with self._database.writing() as connection:
            return connection.execute(update(notice).where(held).values(**values)).rowcount == 1

    def get(self, number: int) -> Notice | None:
        """One of them."""
        return next(iter(self._select(notice.c.id == number, 1)), None)

    def latest(self, *, state: str = "", kind: str = "", study_uid: str = "", limit: int = 100) -> list[Notice]:
        """The newest first."""
        asked = {"state": state, "kind": kind, "study_uid": study_uid}
        wanted = and_(notice.c.id > 0, *(notice.c[name] == value for name, value in asked.items() if value))
        return self._select(wanted, limit, newest=True)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many there are by kind and state."""
        query = select(notice.c.kind, notice.c.state, func.count()).group_by(notice.c.kind, notice.c.state)
        with self._database.reading() as connection:
            return {(kind, state): n for kind, state, n in connection.execute(query)}

    def revive(self) -> int:
        """A job for each destination that something waits for, in case its own was cancelled or given up; how many."""
        columns = (notice.c.kind, notice.c.ae, notice.c.destination)
        late = and_(notice.c.state == "waiting", notice.c.due_at <= self._clock())
        with self._database.reading() as connection:
            found = [Destination(*row) for row in connection.execute(select(*columns).where(late).distinct())]
        for destination in found:
            with self._database.writing() as connection:
                self._rouse(connection, destination)
        return len(found)

    def prune(self, before: int) -> int:
        """Forget what ended before `before`; how many."""
        ended = and_(notice.c.state.in_(("sent", "discarded")), notice.c.changed_at < before)
        with self._database.writing() as connection:
            return connection.execute(delete(notice).where(ended)).rowcount

    def _rouse(self, connection: Connection, destination: Destination) -> None:
        payload = destination._asdict()
        self._queue.add(connection, KIND, payload, unique_key=destination.key, sooner=True)

    def _end(self, one: Notice, state: str, status: int | None, comment: str) -> None:
        values = {"state": state, "status": status, "comment": comment, "changed_at": self._clock()}
        with self._database.writing() as connection:
            connection.execute(update(notice).where(_open(one.id)).values(**values))
        telemetry.count("isocenter_notices_total", kind=one.kind, outcome=state)

    def _select(self, wanted: ColumnElement[bool], limit: int, *, newest: bool = False) -> list[Notice]:
        order = notice.c.id.desc() if newest else notice.c.id
        with self._database.reading() as connection:
            rows = connection.execute(select(*_COLUMNS).where(wanted).order_by(order).limit(limit)).all()
        return [Notice.of(tuple(row)) for row in rows]


def _open(number: int) -> ColumnElement[bool]:
    return and_(notice.c.id == number, notice.c.state == "waiting")


def _waiting(destination: Destination) -> ColumnElement[bool]:
    named = (notice.c[name] == value for name, value in destination._asdict().items())
    return and_(notice.c.state == "waiting", *named)
