"""Storage commitment that we ask of others (SCU), from the request to what the peer said (X-MOD-30 to -36).

    asking -> requested -> committed | failed | expired
       '----> refused | unreachable

`asking`: the request has not been answered yet. `failed`: the peer reported, and not every instance is committed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, and_, select, update

from isocenter import telemetry
from isocenter.archive.commitment import rows
from isocenter.archive.commitment.data import Reference, Reported, Result, digest
from isocenter.archive.commitment.rows import Instance, Transaction
from isocenter.database import Database
from isocenter.declarations.commitment import Failure, in_words
from isocenter.dicom.uids import new_uid
from isocenter.index.tables import commitment, commitment_instance
from isocenter.jobs.queue import Queue, now

log = telemetry.logger("archive.commitment")

KIND: Final = "commitment-request"
"""The kind of the jobs that ask, one for each transaction."""
OPEN: Final = ("asking", "requested")
ENDED: Final = ("committed", "failed", "refused", "unreachable", "expired")
_OVERDUE: Final = 5 * 60 * 1_000_000


class Outcome(Enum):
    """What became of a report."""

    RECORDED = auto()
    UNKNOWN = auto()
    EXPIRED = auto()
    FOREIGN_INSTANCES = auto()


class Recorded(NamedTuple):
    """What became of a report; `foreign`: the instances that the request did not name."""

    outcome: Outcome
    foreign: tuple[Result, ...] = ()


class Asked:
    """The rows of one database. `clock` gives microseconds UTC."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self.database, self._clock = database, clock
        self._queue = Queue(database, clock)

    def ask(self, ae: str, peer: str, references: Sequence[Reference], delay: float = 0.0) -> int:
        """Have our AE `ae` ask the AE `peer` for commitment, `delay` seconds from now; the number of the transaction.
        The job is there with it."""
        at = self._clock()
        with self.database.writing() as connection:
            number = rows.add(
                connection,
                references,
                role="scu",
                state="asking",
                ae=ae,
                peer=peer,
                transaction_uid=new_uid(),
                digest=digest(references),
                due_at=at + int(delay * 1e6),
                created_at=at,
                changed_at=at,
            )
            self._queue.add(connection, KIND, {"commitment": number}, unique_key=str(number), delay=delay)
        return number

    def get(self, number: int) -> Transaction | None:
        """The transaction."""
        with self.database.reading() as connection:
            found = rows.get(connection, number)
        return found if found is not None and found.role == "scu" else None

    def instances(self, number: int) -> list[Instance]:
        """What it names, with what is known."""
        with self.database.reading() as connection:
            return rows.instances(connection, number)

    def requested(self, number: int, timeout: float) -> None:
        """The peer has the request: the report must come within `timeout` seconds. It may be here already."""
        at = self._clock()
        values = {"state": "requested", "due_at": at + int(timeout * 1e6), "comment": "", "changed_at": at}
        with self.database.writing() as connection:
            connection.execute(update(commitment).where(_is(number, "asking")).values(status=0, **values))

    def postpone(self, number: int, delay: float, comment: str) -> None:
        """A try to ask failed; the next is due in `delay` seconds."""
        at = self._clock()
        values = {"attempts": commitment.c.attempts + 1, "due_at": at + int(delay * 1e6), "changed_at": at}
        with self.database.writing() as connection:
            connection.execute(update(commitment).where(_is(number, "asking")).values(comment=comment, **values))

    def give_up(self, number: int, state: str, comment: str, status: int | None = None) -> None:
        """The request was refused, or can't be brought to the peer. Nothing is tried again by itself."""
        values = {"state": state, "comment": comment, "status": status, "changed_at": self._clock()}
        with self.database.writing() as connection:
            done = connection.execute(update(commitment).where(_is(number, "asking")).values(**values))
        if done.rowcount:
            _ended(state)

    def report(self, reporter: str, said: Reported) -> Recorded:
        """Take a report from the AE `reporter`. A repeated one changes nothing but what it calls failed: a promise can
        be taken back, not made better."""
        mine = and_(commitment.c.transaction_uid == said.transaction_uid, commitment.c.role == "scu")
        with self.database.writing() as connection:
            row = connection.execute(select(*rows.COLUMNS).where(mine).with_for_update()).first()
            if row is None:
                return Recorded(Outcome.UNKNOWN)
            asked = Transaction(*row)
            if asked.state == "expired":
                return Recorded(Outcome.EXPIRED)
            named = {each.sop_uid: each for each in rows.instances(connection, asked.id)}
            foreign = tuple(each for each in said.results if each.sop_uid not in named)
            if foreign:
                return Recorded(Outcome.FOREIGN_INSTANCES, foreign)
            again = asked.state in ("committed", "failed")
            rows.note(connection, asked.id, [each for each in said.results if each.failure or not again])
            found = rows.instances(connection, asked.id)
            state = "failed" if rows.failed(found) else "committed"
            values = {"state": state, "comment": _summary(found), "changed_at": self._clock()}
            connection.execute(update(commitment).where(commitment.c.id == asked.id).values(**values))
        if state != asked.state:
            _told(asked, reporter, state, found)
        return Recorded(Outcome.RECORDED)

    def expire(self) -> int:
        """End the requests whose report did not come in time; how many."""
        at = self._clock()
        late = and_(commitment.c.role == "scu", commitment.c.state == "requested", commitment.c.due_at <= at)
        values = {"state": "expired", "comment": "no report came in time", "changed_at": at}
        with self.database.writing() as connection:
            columns = (commitment.c.peer, commitment.c.transaction_uid)
            ended = connection.execute(update(commitment).where(late).values(**values).returning(*columns)).all()
        for peer, transaction in ended:
            log.error("commitment.expired", peer=peer, transaction=transaction)
            _ended("expired")
        return len(ended)

    def overdue(self) -> bool:
        """Whether there is anything to expire."""
        late = and_(commitment.c.role == "scu", commitment.c.state == "requested", commitment.c.due_at <= self._clock())
        with self.database.reading() as connection:
            return connection.execute(select(commitment.c.id).where(late).limit(1)).scalar() is not None

    def revive(self) -> int:
        """A job for each request that should have been made long ago, in case its own was lost; how many."""
        late = and_(
            commitment.c.role == "scu", commitment.c.state == "asking", commitment.c.due_at < self._clock() - _OVERDUE
        )
        with self.database.reading() as connection:
            found = list(connection.execute(select(commitment.c.id).where(late)).scalars())
        for number in found:
            self._queue.enqueue(KIND, {"commitment": number}, unique_key=str(number))
        return len(found)

    def committed_by(self, sop_uids: Iterable[str]) -> Mapping[str, frozenset[tuple[str, str]]]:
        """Who committed to each of some instances: the peer's AE title and the Retrieve AE Title it named (X-MOD-35).
        What a peer said last counts."""
        wanted = list(sop_uids)
        latest: dict[tuple[str, str], tuple[int | None, str]] = {}
        columns = (commitment_instance.c.sop_uid, commitment.c.peer, commitment_instance.c.failure)
        query = (
            select(*columns, commitment_instance.c.retrieve_aet)
            .join(commitment, commitment_instance.c.commitment == commitment.c.id)
            .where(commitment.c.role == "scu", commitment_instance.c.failure.is_not(None))
            .order_by(commitment.c.changed_at, commitment.c.id)
        )
        with self.database.reading() as connection:
            for start in range(0, len(wanted), _PAGE):
                page = commitment_instance.c.sop_uid.in_(wanted[start : start + _PAGE])
                for sop_uid, peer, failure, where in connection.execute(query.where(page)):
                    latest[sop_uid, peer] = (failure, where)
        found: dict[str, set[tuple[str, str]]] = {}
        for (sop_uid, peer), (failure, where) in latest.items():
            if failure == Failure.NONE:
                found.setdefault(sop_uid, set()).add((peer, where))
        return {sop_uid: frozenset(peers) for sop_uid, peers in found.items()}


_PAGE: Final = 500


def _is(number: int, state: str) -> ColumnElement[bool]:
    return and_(commitment.c.id == number, commitment.c.role == "scu", commitment.c.state == state)


def _summary(found: Sequence[Instance]) -> str:
    """Why instances are not committed, with how many of each."""
    reasons: dict[str, int] = {}
    for each in found:
        if each.failure != Failure.NONE:
            words = "not mentioned in the report" if each.failure is None else in_words(each.failure)
            reasons[words] = reasons.get(words, 0) + 1
    return ", ".join(f"{n} {words}" for words, n in sorted(reasons.items()))


def _told(asked: Transaction, reporter: str, state: str, found: Sequence[Instance]) -> None:
    said = log.bind(peer=asked.peer, reporter=reporter, transaction=asked.transaction_uid, instances=len(found))
    if state == "committed":
        said.info("commitment.committed")
    else:
        said.error("commitment.failed", failed=rows.failed(found), reasons=_summary(found))
    _ended(state)


def _ended(state: str) -> None:
    telemetry.count("isocenter_commitments_asked_total", outcome=state)
