"""Follows the change feed: starts the timers of studies, and has those told who want to know.

One job does both, a page at a time. What it writes for a page is committed together with its place in the feed, and
what it does for a timer together with the timer's end: a kill at any point neither loses nor doubles anything.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from isocenter import telemetry
from isocenter.config.notices import HookEvent
from isocenter.database import Database, changes, facts
from isocenter.database.changes import Change
from isocenter.index.tables import commitment, commitment_instance, consumer, study
from isocenter.jobs.runner import Again, Running
from isocenter.workflow import completeness
from isocenter.workflow.completeness import Judge
from isocenter.workflow.notices import removals, requests, timers
from isocenter.workflow.notices.contents import studies_of
from isocenter.workflow.notices.outgoing import Destination, Outgoing, Wanted, now
from isocenter.workflow.notices.plan import Plan
from isocenter.workflow.notices.removals import ClassesOf, none_known
from isocenter.workflow.notices.tables import completeness as completeness_table
from isocenter.workflow.notices.tables import study_timer
from isocenter.workflow.notices.timers import Timer

log = telemetry.logger("workflow.notices")

KIND: Final = "notices-follow"
NAME: Final = "notices"
"""As a consumer of the change feed."""
INTERVAL: Final = 1.0
"""Seconds between looks at the change feed."""
_BEGUN: Final = "notices_begun"
"""The fact that says since when: what was there before is no new study."""
_NEWS: Final = frozenset({"stored", "replaced", "restored"})
_REMOVALS: Final = frozenset({"deleted", "rejected", "restored"})
_ENDED: Final = frozenset({"step-completed", "step-discontinued"})
_EVENTS: Final[dict[str, HookEvent]] = {
    "complete": "complete",
    "step-created": "step-created",
    "step-completed": "step-completed",
    "step-discontinued": "step-discontinued",
    "scheduled": "scheduled",
    "unscheduled": "unscheduled",
    "notified": "notified",
    "edited": "edited",
    "rejected": "rejected",
    "restored": "restored",
    "deleted": "deleted",
}
"""The web hooks' events, by kind of change."""
_MOST: Final = 500

Also = Callable[[Connection, Sequence[Change]], None]
"""What else is to be done for changes, in the transaction that takes them."""


def forget(database: Database) -> None:
    """Nobody is told of anything: whoever is one day is not told of what came meanwhile. Costs a look."""
    with database.reading() as connection:
        if connection.execute(consumer.select().where(consumer.c.name == NAME)).first() is None:
            return
    with database.writing() as connection:
        connection.execute(delete(consumer).where(consumer.c.name == NAME))
        connection.execute(delete(study_timer))


class Following:
    """The follower. `also`: others who are to see the same changes, each exactly once."""

    def __init__(
        self,
        database: Database,
        plan: Plan,
        judge: Judge,
        *,
        also: Iterable[Also] = (),
        classes: ClassesOf = none_known,
        clock: Callable[[], int] = now,
    ) -> None:
        self._database, self._plan, self._judge = database, plan, judge
        self._also, self._clock, self._classes = tuple(also), clock, classes
        self._outgoing = Outgoing(database, clock)
        self._seconds = plan.timers()
        self._begin()

    def handle(self, running: Running) -> Again:
        """A handler of `jobs.Runner`; enqueue one job, with a unique key, at each start."""
        while not (running.cancelled() or running.stopping) and self.step():
            pass
        while not (running.cancelled() or running.stopping) and self.fire():
            pass
        return Again(INTERVAL)

    def step(self) -> bool:
        """Take the next changes; False if that was all."""
        with self._database.reading(lagging=True) as connection:
            place = changes.position(connection, NAME)
            found = changes.read(connection, place, _MOST)
        if not found:
            return False
        removed = list(self._removed(found))  # objects are looked at for it: before anything is locked
        with self._database.writing() as connection:
            # another node may have come to it first
            connection.execute(consumer.select().where(consumer.c.name == NAME).with_for_update())
            if changes.position(connection, NAME) != place:
                return True
            self._take(connection, found)
            self._outgoing.add(connection, removed)
            for each in self._also:
                each(connection, found)
            changes.acknowledge(connection, NAME, found[-1].position)
        return len(found) == _MOST

    def fire(self) -> bool:
        """Deal with the timers that have run out; False if that was all."""
        with self._database.reading(lagging=True) as connection:
            found = timers.due(connection, self._clock())
        for timer in found:
            if timer.timer == completeness.TIMER:
                self._judged(timer)
            elif timer.timer in (requests.TIMER, requests.AGAIN):
                with self._database.writing() as connection:
                    requests.noted(connection, timer)
            else:
                self._quiet(timer)
        return len(found) == timers.PAGE

    def _take(self, connection: Connection, found: Sequence[Change]) -> None:
        news: dict[str, int] = {}
        for one in found:
            if one.kind in _NEWS and one.study_uid:
                news[one.study_uid] = max(one.at, news.get(one.study_uid, 0))
        wanted: list[Wanted] = []
        if news:
            self._arm(connection, news)
            wanted += self._new(connection, news, found)
        if self._plan.looks:
            ended = {one.study_uid for one in found if one.kind in _ENDED and one.study_uid}
            timers.hasten(connection, (Timer(uid, completeness.TIMER, self._clock()) for uid in ended))
        for uid in {one.study_uid for one in found if one.kind == "deleted" and one.study_uid}:
            _forget_gone(connection, uid)
        wanted += self._told(connection, found)
        self._outgoing.add(connection, wanted)

    def _arm(self, connection: Connection, news: dict[str, int]) -> None:
        seconds = self._seconds.items()
        started = (Timer(uid, name, at + int(each * 1e6)) for uid, at in news.items() for name, each in seconds)
        timers.arm(connection, started)

    def _new(self, connection: Connection, news: dict[str, int], found: Sequence[Change]) -> Iterator[Wanted]:
        """The studies that nobody has seen before: the first object, told at once (I-BSCN-03)."""
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(completeness_table)
        adding = insert.on_conflict_do_nothing(index_elements=["study_uid"]).returning(completeness_table.c.study_uid)
        rows = [{"study_uid": uid} for uid in sorted(news)]
        unseen = [uid for row in rows for uid in connection.execute(adding.values(**row)).scalars()]
        told = [("first", each) for each in self._plan.told("first")]
        told += [("new-study", each) for each in self._plan.hooked("new-study")]
        if not unseen or not told:
            return
        since = int(facts.read(connection, _BEGUN) or 0)
        query = select(study.c.study_uid).where(study.c.study_uid.in_(unseen), study.c.received_at >= since)
        recent = set(connection.execute(query).scalars())
        first = {one.study_uid: one for one in reversed(found) if one.kind in _NEWS}
        for uid in sorted(recent):
            yield from (_wanted(destination, event, first[uid], uid) for event, destination in told)

    def _told(self, connection: Connection, found: Sequence[Change]) -> Iterator[Wanted]:
        seen = set[tuple[str, str, str]]()
        for one in found:
            if one.kind == "committed":
                yield from self._committed(connection, one)
            event = _EVENTS.get(one.kind)
            # of many objects of one study there is one word
            same = (one.kind, one.study_uid, one.sop_uid if one.kind.startswith("step-") else "")
            if event is None or same in seen:
                continue
            seen.add(same)
            if one.kind == "complete":
                yield from (_wanted(each, "complete", one, one.study_uid) for each in self._plan.told("complete"))
            yield from (_wanted(each, event, one, one.study_uid) for each in self._plan.hooked(event))

    def _committed(self, connection: Connection, one: Change) -> Iterator[Wanted]:
        """Storage commitment was reported: the studies of the instances that are committed."""
        destinations = (*self._plan.told("committed"), *self._plan.hooked("committed"))
        if destinations:
            for uid in studies_of(connection, committed(connection, one.sop_uid)):
                for each in destinations:
                    yield _wanted(each, "committed", one, uid, transaction=one.sop_uid)

    def _removed(self, found: Sequence[Change]) -> Iterator[Wanted]:
        """Instances were deleted or rejected, or came back."""
        destinations = self._plan.told("removed")
        if not destinations or not any(one.kind in _REMOVALS for one in found):
            return
        last = {one.study_uid: one for one in found if one.kind in _REMOVALS}
        went = removals.gone(self._database, found, self._classes)
        told: list[tuple[str, str, dict[str, Any]]] = [("removed", uid, {"gone": each}) for uid, each in went.items()]
        told += [("restored", uid, {"back": each}) for uid, each in removals.restored(found).items()]
        for destination in destinations:
            for event, uid, payload in told:
                yield Wanted(destination, event, _occasion(event, last[uid], uid), uid, payload)

    def _judged(self, timer: Timer) -> None:
        """Whether a study is complete, or when to look again."""
        at = self._clock()
        with self._database.reading() as connection:
            wait, state = self._judge.look(connection, timer.study_uid, at)
            before = completeness.state_of(connection, timer.study_uid)
        with self._database.writing() as connection:
            if wait:
                timers.postpone(connection, timer, at + wait)
            elif timers.take(connection, timer) and state.times > (before.times if before else 0):
                completeness.settle(connection, timer.study_uid, state)
                telemetry.count("isocenter_studies_complete_total")
                log.info("study.complete", study=timer.study_uid, instances=state.instances, times=state.times)

    def _quiet(self, timer: Timer) -> None:
        """Nothing came for the time of a notice (I-BSCN-02)."""
        told = self._plan.told_when(timer.timer)
        occasion = f"quiet {timer.study_uid} {timer.due_at}"
        with self._database.writing() as connection:
            if timers.take(connection, timer):
                self._outgoing.add(connection, [Wanted(each, "quiet", occasion, timer.study_uid) for each in told])

    def _begin(self) -> None:
        """The first time it begins with what comes."""
        with self._database.writing() as connection:
            new = connection.execute(consumer.select().where(consumer.c.name == NAME)).first() is None
            if new:
                changes.acknowledge(connection, NAME, changes.end(connection))
            if new or not facts.read(connection, _BEGUN):  # a rebuild of the index forgets the facts
                facts.write(connection, _BEGUN, str(self._clock()))


def committed(connection: Connection, transaction_uid: str) -> list[str]:
    """The SOP Instance UIDs that were committed to by a transaction of others."""
    query = (
        select(commitment_instance.c.sop_uid)
        .join(commitment, commitment_instance.c.commitment == commitment.c.id)
        .where(commitment.c.transaction_uid == transaction_uid, commitment.c.role.in_(("scp", "web")))
        .where(commitment_instance.c.failure == 0)
    )
    return list(dict.fromkeys(connection.execute(query).scalars()))


def _wanted(to: Destination, event: str, one: Change, study_uid: str, **payload: str) -> Wanted:
    told = {**payload, **({"sop_uid": one.sop_uid} if one.kind.startswith("step-") else {})}
    return Wanted(to, event, _occasion(event, one, study_uid), study_uid, told)


def _occasion(event: str, one: Change, study_uid: str) -> str:
    return f"{event} {one.transaction}.{one.sequence} {study_uid}"


def _forget_gone(connection: Connection, study_uid: str) -> None:
    """A study that was deleted whole is a new one when it comes again."""
    if connection.execute(select(study.c.id).where(study.c.study_uid == study_uid)).first() is None:
        timers.forget(connection, study_uid)
        connection.execute(delete(completeness_table).where(completeness_table.c.study_uid == study_uid))
