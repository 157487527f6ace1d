"""Requests for storage commitment that others made of us (SCP), from the acknowledgement to the report.

    accepted -> reported | undelivered

A request and the job that reports on it come about in one transaction, before the peer is answered: from then on
nothing but a delivered report, or tries used up, ends it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select, update

from isocenter import telemetry
from isocenter.archive.commitment import rows
from isocenter.archive.commitment.data import Requested, Result, digest
from isocenter.archive.commitment.rows import Instance, Transaction
from isocenter.database import Database, changes
from isocenter.index.tables import commitment
from isocenter.jobs.queue import Queue, now

log = telemetry.logger("archive.commitment")

Way = Literal["new", "same", "either"]
"""Which association a report goes over: a new one, the request's own, or that one first and a new one then."""
KIND: Final = "commitment-report"
"""The kind of the jobs that report over new associations, one for each destination."""
HELD: Final = 60.0
"""Seconds beyond its delay in which a report belongs to the association that it was asked for on."""
KEPT: Final = 30 * 24 * 3600 * 1_000_000
"""Microseconds for which a request that was reported on is remembered."""
_OVERDUE: Final = 5 * 60 * 1_000_000


class Destination(NamedTuple):
    """Whom a report goes to."""

    ae: str
    """The AE of ours that was asked."""
    peer: str
    """The AE title that asked."""
    address: str
    """Where from."""

    @property
    def key(self) -> str:
        """Distinguishes it from all others."""
        return json.dumps(self)


class Accepted:
    """The rows of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self.database, self._clock = database, clock
        self._queue = Queue(database, clock)

    def accept(self, destination: Destination, way: Way, asked: Requested, delay: float) -> int:
        """Keep a request, durably; its number. It is due to be reported on in `delay` seconds, over a new association
        later where its own comes first."""
        wait = delay + HELD if way != "new" else delay
        at = self._clock()
        with self.database.writing() as connection:
            number = rows.add(
                connection,
                asked.references,
                role="scp",
                state="accepted",
                **destination._asdict(),
                way=way,
                transaction_uid=asked.transaction_uid,
                digest=digest(asked.references),
                due_at=at + int(wait * 1e6),
                created_at=at,
                changed_at=at,
            )
            self._queue.add(
                connection, KIND, destination._asdict(), unique_key=destination.key, delay=wait, sooner=True
            )
        return number

    def due(self, destination: Destination, *, limit: int = 100) -> list[Transaction]:
        """The requests of a destination that are to be reported on now, oldest first."""
        query = select(*rows.COLUMNS).where(_to(destination), commitment.c.due_at <= self._clock())
        with self.database.reading() as connection:
            found = connection.execute(query.order_by(commitment.c.id).limit(limit)).all()
        return [Transaction(*row) for row in found]

    def wait(self, destination: Destination) -> float | None:
        """Seconds until the next of them is due; None where there is none."""
        with self.database.reading() as connection:
            next_due = connection.execute(select(func.min(commitment.c.due_at)).where(_to(destination))).scalar()
        return None if next_due is None else max(0.0, (next_due - self._clock()) / 1e6)

    def pending(self, number: int) -> Transaction | None:
        """The request, if it still is to be reported on."""
        with self.database.reading() as connection:
            found = rows.get(connection, number)
        return found if found is not None and found.state == "accepted" else None

    def instances(self, number: int) -> list[Instance]:
        """What it names, with what was found."""
        with self.database.reading() as connection:
            return rows.instances(connection, number)

    def clashes(self, asked: Transaction) -> bool:
        """Whether its transaction UID was used before for other instances. The same request again is the same
        transaction: its peer may have missed our answer."""
        other = and_(
            commitment.c.transaction_uid == asked.transaction_uid,
            commitment.c.role.in_(("scp", "web")),
            commitment.c.id < asked.id,
            commitment.c.digest != asked.digest,
        )
        with self.database.reading() as connection:
            return connection.execute(select(commitment.c.id).where(other).limit(1)).scalar() is not None

    def checked(self, number: int, results: Sequence[Result]) -> None:
        """What was found."""
        with self.database.writing() as connection:
            rows.note(connection, number, results)

    def reported(self, number: int, status: int) -> None:
        """The peer has the report; the change feed is told."""
        self._end(number, "reported", status=status, comment="", change="committed")
        telemetry.count("isocenter_commitment_reports_total", outcome="delivered")

    def undelivered(self, number: int, comment: str, status: int | None = None) -> None:
        """It won't be tried again."""
        self._end(number, "undelivered", status=status, comment=comment)
        telemetry.count("isocenter_commitment_reports_total", outcome="undelivered")

    def postpone(self, number: int, delay: float, comment: str, status: int | None = None) -> None:
        """A try failed; the next is due in `delay` seconds."""
        at = self._clock()
        with self.database.writing() as connection:
            values = {"attempts": commitment.c.attempts + 1, "due_at": at + int(delay * 1e6)}
            trying = update(commitment).where(_open(number)).values(**values)
            connection.execute(trying.values(comment=comment, status=status, changed_at=at))
        telemetry.count("isocenter_commitment_reports_total", outcome="postponed")

    def hand_over(self, asked: Transaction) -> None:
        """The association that it was asked for on is gone: a new one has its turn at once."""
        destination = Destination(asked.ae, asked.peer, asked.address)
        at = self._clock()
        with self.database.writing() as connection:
            connection.execute(update(commitment).where(_open(asked.id)).values(due_at=at, changed_at=at))
            self._queue.add(connection, KIND, destination._asdict(), unique_key=destination.key, sooner=True)

    def revive(self) -> int:
        """A job for each destination whose reports are overdue, in case theirs was cancelled or given up; how many."""
        late = and_(
            commitment.c.role == "scp", commitment.c.state == "accepted", commitment.c.due_at < self._clock() - _OVERDUE
        )
        columns = (commitment.c.ae, commitment.c.peer, commitment.c.address)
        with self.database.reading() as connection:
            found = [Destination(*row) for row in connection.execute(select(*columns).where(late).distinct())]
        for destination in found:
            self._queue.enqueue(KIND, destination._asdict(), unique_key=destination.key)
        return len(found)

    def _end(self, number: int, state: str, *, status: int | None, comment: str, change: str = "") -> None:
        at = self._clock()
        values = {"state": state, "status": status, "comment": comment, "changed_at": at}
        with self.database.writing() as connection:
            ending = update(commitment).where(_open(number)).values(**values)
            uid = connection.execute(ending.returning(commitment.c.transaction_uid)).scalar()
            if change and uid:
                changes.append(connection, change, at, sop_uid=uid)


def _open(number: int) -> ColumnElement[bool]:
    return and_(commitment.c.id == number, commitment.c.state == "accepted")


def _to(destination: Destination) -> ColumnElement[bool]:
    named = (commitment.c[name] == value for name, value in destination._asdict().items())
    return and_(commitment.c.role == "scp", commitment.c.state == "accepted", *named)
