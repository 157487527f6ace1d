"""Compression as durable work: a job for a study, which comes back until all that the rules are for is done."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import delete, insert

from isocenter import telemetry
from isocenter.archive.deletion import Deletions
from isocenter.database import Database, changes
from isocenter.errors import Reason, Refused
from isocenter.index.tables import compression_left, consumer
from isocenter.jobs.queue import Queue
from isocenter.jobs.runner import Again, Running
from isocenter.lifecycle.choosing import Rules, rules_to
from isocenter.lifecycle.compressing import COPIED, Compressor, now
from isocenter.lifecycle.studies import Planned, Studies
from isocenter.store.api import Store

log = telemetry.logger("lifecycle.working")

KIND: Final = "compress"
FOLLOWING: Final = "compress-follow"
INTERVAL: Final = 2.0
"""Seconds between looks at the change feed."""
_NEWS: Final = frozenset({"stored", "replaced", "restored"})
_TOLD: Final = 0.5
"""Seconds between two words of progress."""
_MOST: Final = 500


class Tally(NamedTuple):
    """How far a study has come; bytes of data sets."""

    done: int = 0
    left: int = 0
    waiting: int = 0
    saved: int = 0

    def __str__(self) -> str:
        return f"{self.done} compressed, {self.left} left, {self.waiting} waiting, {self.saved} bytes saved"


def enqueue(queue: Queue, study_uid: str, *, to: str = "", delay: float = 0.0, at_once: bool = False) -> int:
    """Have a study compressed: by the rules, or all that is uncompressed to one transfer syntax. The job's number."""
    payload = {"study": study_uid, **({"to": to} if to else {}), **({"at_once": True} if at_once else {})}
    key = " ".join(each for each in (study_uid, to, "now" if at_once else "") if each)
    return queue.enqueue(KIND, payload, unique_key=key, delay=delay)


class Work:
    """Carries out the jobs. `deletions` keeps what is deleted as long as `Compressor` keeps what it compresses."""

    def __init__(
        self,
        database: Database,
        store: Store,
        rules: Rules,
        compressor: Compressor,
        deletions: Deletions,
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        self._database, self._store, self._rules = database, store, rules
        self._compressor, self._deletions, self._clock = compressor, deletions, clock

    def handle(self, running: Running) -> Again | None:
        """A handler of `jobs.Runner`."""
        payload = running.payload
        rules = rules_to(str(payload["to"])) if payload.get("to") else self._rules
        if not rules:
            return None
        studies = Studies(self._database, self._store, rules, at_once=bool(payload.get("at_once")))
        progress = _Progress(running)
        later: list[int] = []
        for one in studies.planned(str(payload["study"])):
            if running.cancelled():
                return None
            if running.stopping:
                return Again(0.0)
            if one.due > self._clock():
                later.append(one.due)
                progress.add(waiting=1)
            else:
                self._compress(one, progress)
        progress.finish()
        if progress.tally.done or progress.tally.left:
            log.info("study.compressed", study=payload["study"], **progress.tally._asdict())
        return Again((min(later) - self._clock()) / 1e6) if later else None

    def _compress(self, one: Planned, progress: "_Progress") -> None:
        subject, way = one.subject, one.way
        try:
            done = self._compressor.compress(subject, way)
        except Refused as gone:
            if gone.reason != Reason.NOT_FOUND:
                raise
            return
        if done.left == Reason.NOT_FOUND:
            return
        if done.left:
            self._note(one, done.left)
            progress.add(left=1)
            return
        if way.delete:
            self._deletions.delete(subject.study_uid, subject.series_uid, subject.sop_uid)
        elif way.lossy is not None:
            self._note(one, COPIED)
        progress.add(done=1, saved=0 if way.lossy and not way.delete else subject.size - done.size)

    def _note(self, one: Planned, reason: str) -> None:
        """So that it is not tried again."""
        left, subject = compression_left.c, one.subject
        row = {"store_key": subject.store_key, "target": one.way.target, "reason": reason}
        with self._database.writing() as connection:
            same = (left.store_key == subject.store_key) & (left.target == one.way.target)
            connection.execute(delete(compression_left).where(same))
            connection.execute(insert(compression_left).values(**row, study_uid=subject.study_uid, at=self._clock()))


class _Progress:
    """Tells now and then how far it has come."""

    def __init__(self, running: Running) -> None:
        self._running, self.tally, self._told = running, Tally(), time.monotonic()

    def add(self, *, done: int = 0, left: int = 0, waiting: int = 0, saved: int = 0) -> None:
        """So many more."""
        before = self.tally
        self.tally = Tally(before.done + done, before.left + left, before.waiting + waiting, before.saved + saved)
        if time.monotonic() - self._told >= _TOLD:
            self.finish()

    def finish(self) -> None:
        """Tell it now."""
        self._running.progress(str(self.tally))
        self._told = time.monotonic()


class Following:
    """Follows the change feed: a study that received something gets a job."""

    def __init__(self, database: Database, queue: Queue, *, delay: float) -> None:
        """`delay`: seconds before anything can be due."""
        self._database, self._queue, self._delay = database, queue, delay
        self._begin()

    def handle(self, running: Running) -> Again:
        """A handler of `jobs.Runner`; enqueue one job, with a unique key, at each start."""
        while not running.cancelled() and self.step():
            pass
        return Again(INTERVAL)

    def step(self) -> bool:
        """Take the next changes; False if that was all. Jobs and place in the feed are written together."""
        with self._database.reading() as connection:
            found = changes.read(connection, changes.position(connection, KIND), _MOST)
        if not found:
            return False
        studies = dict.fromkeys(one.study_uid for one in found if one.kind in _NEWS and one.study_uid)
        with self._database.writing() as connection:
            for uid in studies:
                self._queue.add(connection, KIND, {"study": uid}, unique_key=uid, delay=self._delay)
            changes.acknowledge(connection, KIND, found[-1].position)
        return len(found) == _MOST

    def _begin(self) -> None:
        """The first time it begins with what comes: what is there already is for `isocenter compress run`."""
        with self._database.writing() as connection:
            if connection.execute(consumer.select().where(consumer.c.name == KIND)).first() is None:
                changes.acknowledge(connection, KIND, changes.end(connection))
