"""The durable queue: jobs are rows of `job`, leased to one runner at a time.

    waiting -> running -> done | failed | cancelled
       ^----------'  a retry, later each time; or, once the lease has run out, another runner takes it

A runner that dies loses its lease and nothing else. What a runner reports counts only while its lease holds.
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from isocenter.database import Database
from isocenter.index.tables import job

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 3600.0
"""Seconds before the first retry, which double, and the most there are."""


class Job(NamedTuple):
    """A job as its runner holds it. `lease` names this very lease."""

    id: int
    kind: str
    payload: dict[str, Any]
    attempts: int
    lease: str


class State(NamedTuple):
    """A job as anyone may look at it; times in microseconds UTC."""

    id: int
    kind: str
    state: str
    attempts: int
    progress: str
    error: str
    due_at: int
    created_at: int
    changed_at: int


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def pause_after(attempts: int) -> float:
    """Seconds to wait after `attempts` tries."""
    return min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE)


class Queue:
    """The queue of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self._database = database
        self._clock = clock

    def enqueue(
        self, kind: str, payload: Mapping[str, Any] | None = None, *, unique_key: str = "", delay: float = 0.0
    ) -> int:
        """Add a job, due in `delay` seconds; its id. With `unique_key`, a job of the same kind and key that still
        waits is taken for it."""
        with self._database.writing() as connection:
            return self.add(connection, kind, payload, unique_key=unique_key, delay=delay)

    def add(
        self,
        connection: Connection,
        kind: str,
        payload: Mapping[str, Any] | None = None,
        *,
        unique_key: str = "",
        delay: float = 0.0,
        sooner: bool = False,
    ) -> int:
        """As `enqueue`, in a writing transaction of the caller's: the job comes about with what else it writes.
        `sooner`: a twin that waits longer than `delay` seconds from now waits no longer than that."""
        at = self._clock()
        row = {
            "kind": kind,
            "payload": json.dumps(payload or {}, separators=(",", ":")),
            "state": "waiting",
            "due_at": at + int(delay * 1e6),
            "unique_key": unique_key,
            "created_at": at,
            "changed_at": at,
        }
        insert = (sqlite if self._database.dialect == "sqlite" else postgresql).insert(job)
        adding = insert.values(**row).on_conflict_do_nothing().returning(job.c.id)
        waiting = select(job.c.id).where(_waiting(kind, unique_key))
        if sooner:
            late = and_(_waiting(kind, unique_key), job.c.due_at > row["due_at"])
            connection.execute(update(job).where(late).values(due_at=row["due_at"]))
        found = connection.execute(adding).scalar()
        while found is None:  # its twin may be leased between the two statements
            found = connection.execute(waiting).scalar() or connection.execute(adding).scalar()
        return int(found)

    def release(self, owners: Collection[str]) -> int:
        """Give up the leases of runners that are known to have ended; how many there were."""
        if not owners:
            return 0
        theirs = or_(*(job.c.owner.startswith(f"{owner}:", autoescape=True) for owner in owners))
        held = and_(job.c.state == "running", theirs)
        with self._database.writing() as connection:
            return connection.execute(update(job).where(held).values(lease_until=0)).rowcount

    def owners(self) -> set[str]:
        """Who holds leases: machine and process, `host:pid`."""
        with self._database.reading() as connection:
            found = connection.execute(select(job.c.owner).where(job.c.state == "running")).scalars()
            return {owner.rpartition(":")[0] for owner in found}

    def lease(self, kinds: Collection[str], owner: str, seconds: float) -> Job | None:
        """The next job of one of `kinds` that is due, leased for `seconds`; None if there is none."""
        at = self._clock()
        ready = _ready(kinds, at)
        if self._database.dialect == "sqlite":  # don't take the write lock just to look
            with self._database.reading() as connection:
                if not connection.execute(select(exists().where(ready))).scalar():
                    return None
        lease = f"{owner}:{uuid.uuid4().hex[:12]}"
        first = select(job.c.id).where(ready).order_by(job.c.due_at, job.c.id).limit(1)
        taking = (
            update(job)
            .where(job.c.id == first.with_for_update(skip_locked=True).scalar_subquery())
            .values(
                state="running",
                owner=lease,
                attempts=job.c.attempts + 1,
                lease_until=at + int(seconds * 1e6),
                changed_at=at,
            )
            .returning(job.c.id, job.c.kind, job.c.payload, job.c.attempts)
        )
        with self._database.writing() as connection:
            row = connection.execute(taking).one_or_none()
        return Job(row.id, row.kind, json.loads(row.payload), row.attempts, lease) if row else None

    def renew(self, leased: Job, seconds: float) -> bool:
        """Hold on to a job. False if it was cancelled, or its lease ran out and another runner has it."""
        at = self._clock()
        return self._report(leased, lease_until=at + int(seconds * 1e6))

    def progress(self, leased: Job, text: str) -> bool:
        """Tell how far it has come."""
        return self._report(leased, progress=text)

    def done(self, leased: Job) -> bool:
        """It is done."""
        return self._report(leased, state="done", error="")

    def fail(self, leased: Job, error: str) -> bool:
        """It won't be tried again."""
        return self._report(leased, state="failed", error=error)

    def again(self, leased: Job, delay: float, error: str = "", *, afresh: bool = False) -> bool:
        """Try it again in `delay` seconds; `afresh` forgets the attempts. If a twin (same kind and unique key) waits
        already, that one does."""
        due = self._clock() + int(delay * 1e6)
        values: dict[str, Any] = {"state": "waiting", "due_at": due, "error": error}
        if afresh:
            values["attempts"] = 0
        try:
            return self._report(leased, **values)
        except IntegrityError:
            return self._report(leased, state="done", error=error)

    def cancel(self, job_id: int) -> bool:
        """Cancel a job that waits or runs; a running one ends at its next look. False if it had ended."""
        cancelling = (
            update(job)
            .where(job.c.id == job_id, job.c.state.in_(("waiting", "running")))
            .values(state="cancelled", changed_at=self._clock())
        )
        with self._database.writing() as connection:
            return connection.execute(cancelling).rowcount == 1

    def restart(self, job_id: int, progress: str | None = None) -> bool:
        """Have a job carried out now that has ended or waits for another try, as if for the first time; with
        `progress`, as if it had come so far. False if it runs, or a twin waits."""
        told = {} if progress is None else {"progress": progress}
        at = self._clock()
        restarting = (
            update(job)
            .where(job.c.id == job_id, job.c.state != "running")
            .values(state="waiting", due_at=at, attempts=0, error="", changed_at=at, **told)
        )
        try:
            with self._database.writing() as connection:
                return connection.execute(restarting).rowcount == 1
        except IntegrityError:
            return False

    def payload(self, job_id: int) -> dict[str, Any]:
        """What a job was given; empty where there is none."""
        with self._database.reading() as connection:
            found = connection.execute(select(job.c.payload).where(job.c.id == job_id)).scalar()
        return dict(json.loads(found)) if found else {}

    def state(self, job_id: int) -> State | None:
        """What became of a job."""
        return next(iter(self._states(job.c.id == job_id, 1)), None)

    def states(self, *, state: str = "", kind: str = "", limit: int = 100) -> list[State]:
        """The newest jobs."""
        wanted = and_(job.c.state == state if state else job.c.id > 0, job.c.kind == kind if kind else job.c.id > 0)
        return self._states(wanted, limit)

    def prune(self, before: int) -> int:
        """Delete the jobs that ended before `before`; how many."""
        ended = and_(job.c.state.in_(("done", "failed", "cancelled")), job.c.changed_at < before)
        with self._database.writing() as connection:
            return connection.execute(delete(job).where(ended)).rowcount

    def _states(self, wanted: ColumnElement[bool], limit: int) -> list[State]:
        columns = [job.c[name] for name in State._fields]
        query = select(*columns).where(wanted).order_by(job.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [State(*row) for row in connection.execute(query)]

    def _report(self, leased: Job, **values: Any) -> bool:
        held = and_(job.c.id == leased.id, job.c.owner == leased.lease, job.c.state == "running")
        with self._database.writing() as connection:
            return connection.execute(update(job).where(held).values(changed_at=self._clock(), **values)).rowcount == 1


def _waiting(kind: str, unique_key: str) -> ColumnElement[bool]:
    return and_(job.c.kind == kind, job.c.unique_key == unique_key, job.c.state == "waiting")


def _ready(kinds: Collection[str], at: int) -> ColumnElement[bool]:
    due = and_(job.c.state == "waiting", job.c.due_at <= at)
    abandoned = and_(job.c.state == "running", job.c.lease_until <= at)
    return and_(job.c.kind.in_(sorted(kinds)), or_(due, abandoned))
