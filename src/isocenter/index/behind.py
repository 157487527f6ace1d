"""Filing behind the answer: an object is acknowledged once its file is durable, its rows follow in batches.

A complete file under a reserved name is all that recovery needs, so the answer need not wait for the index. Rows that
are written many at a time take a sixth of the processor time that they take one by one. What was acknowledged and not
filed yet is counted in shared memory, and who reads the index waits for it (docs/decisions/0011).
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from isocenter import telemetry
from isocenter.database import Database
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index.batches import Answer
from isocenter.index.records import Arrival, DuplicatePolicy
from isocenter.index.writer import DEADLINE

log = telemetry.logger("index.behind")

MOST = 512
"""Objects that may be acknowledged and not filed: about half a second's. The next one waits for the filing."""
BATCH = 128
PAUSE, _STEP = 0.01, 0.002
"""Seconds in which rows gather, and after which it is seen that somebody waits for them."""
_DOUBT = 10.0
"""Seconds after a failure in which every object waits for its rows again."""
_LONGEST_PAUSE = 1.0

_FOLLOWS = frozenset({DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.KEEP_FIRST_SUPPLEMENT, DuplicatePolicy.REPLACE})
"""Policies under which a sender is told the same whatever was there before."""
_KNOWN = "SELECT 1 FROM instance WHERE sop_uid = ?1 UNION ALL SELECT 1 FROM rejection WHERE sop_uid = ?1 LIMIT 1"


class Account(Protocol):
    """Where it is noted for all processes how far the index lags."""

    def acknowledged(self) -> None:
        """One more object will be acknowledged before it is filed."""
        ...

    def filed(self, count: int) -> None:
        """So many more of them are filed."""
        ...

    def hurried(self) -> bool:
        """Whether somebody has begun to wait for them since the last call."""
        ...


class Files(Protocol):
    """What files many records at once."""

    def file_all(self, records: Sequence[Arrival]) -> list[Answer]:
        """File `records`; the answer of each, in order."""
        ...


Then: TypeAlias = Callable[[Answer], None]
"""What is done once the index has answered. Raises Retriable where the record is to be filed again."""


class _Filed(NamedTuple):
    arrival: Arrival
    then: Then


class Behind:
    """The rows of one process that are filed behind the answers. Made after the fork; SQLite only.

    An arrival that it takes (`take`) has to be `put`.
    """

    def __init__(self, database: Database, writer: Files, account: Account, *, most: int = MOST) -> None:
        self._database = database
        self._writer = writer
        self._account = account
        self._most = most
        self._queue: deque[_Filed] = deque()
        self._pending: set[str] = set()
        """SOP Instance UIDs that were taken and are not filed."""
        self._put = self._done = 0
        self._moved = threading.Condition()
        self._called = threading.Event()
        self._closing = threading.Event()
        self._doubted_until = 0.0
        self._failure: Retriable | None = None
        """Why the last try left something that was acknowledged unfiled."""
        self._idle = deque([database.sqlite_reader()])
        self._thread = threading.Thread(target=self._work, name="index-behind", daemon=True)
        self._thread.start()

    def take(self, arrival: Arrival) -> bool:
        """Whether `arrival` may be acknowledged before it is filed: it is new, and the index keeps up."""
        if arrival.rejection or not arrival.study_uid or arrival.policy not in _FOLLOWS:
            return False
        uid = arrival.sop_uid
        with self._moved:
            if uid in self._pending or len(self._pending) >= self._most or self._doubted():
                return False
            self._pending.add(uid)
        known = self._known(uid)
        if known:
            self._drop(arrival)
        return not known

    def put(self, arrival: Arrival, commit: Callable[[], None], then: Then) -> None:
        """Make the object of an arrival that was taken durable by `commit`, and file it soon. It may be acknowledged on
        return. Raises what `commit` raises; then nothing is filed."""
        try:
            commit()
        except BaseException:
            self._drop(arrival)
            raise
        with self._moved:
            self._account.acknowledged()
            self._put += 1
            self._queue.append(_Filed(arrival, then))
        if not self._called.is_set():
            self._called.set()

    def precede(self, arrival: Arrival) -> None:
        """Wait for what has to be filed before an arrival that can't be taken: what came before it under its UID, and
        before a rejection note everything. Raises Retriable as `drain` does."""
        with self._moved:
            free = not arrival.rejection and arrival.sop_uid not in self._pending
        if not free:
            self.drain()

    def drain(self) -> None:
        """Wait until all is filed that was `put` so far. Raises Retriable where the index doesn't take it now."""
        with self._moved:
            until = self._put
            self._moved.wait_for(lambda: self._done >= until or self._failure is not None, DEADLINE)
            if self._done < until:
                failure = self._failure or Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer")
                raise Retriable(failure.reason, failure.comment)

    def close(self) -> None:
        """File what was put, and stop. What the index does not take now is found by the next recovery."""
        self._closing.set()
        self._called.set()
        self._thread.join()
        while self._idle:
            self._idle.pop().close()

    def _drop(self, arrival: Arrival) -> None:
        with self._moved:
            self._pending.discard(arrival.sop_uid)

    def _known(self, sop_uid: str) -> bool:
        """Whether the index has, or a rejection note names, an instance of this UID. So it is where that can't be
        asked: the writer will say why."""
        try:
            reader = self._idle.pop() if self._idle else self._database.sqlite_reader()
            found = reader.execute(_KNOWN, (sop_uid,)).fetchone() is not None
        except (sqlite3.Error, IndexError):  # as the docstring says
            return True
        self._idle.append(reader)
        return found

    def _doubted(self) -> bool:
        return self._closing.is_set() or (self._doubted_until > 0 and time.monotonic() < self._doubted_until)

    # --- the filing thread

    def _work(self) -> None:
        while not (self._closing.is_set() and not self._queue):
            self._called.wait()
            self._gather()
            self._called.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
                self._file(batch)

    def _gather(self) -> None:
        until = time.monotonic() + PAUSE
        while not self._account.hurried() and time.monotonic() < until:
            if self._closing.wait(_STEP):
                return

    def _file(self, batch: list[_Filed]) -> None:
        """Until all are filed; an error of the index is no longer their senders'."""
        pause = PAUSE
        while batch:
            left = self._tried(batch)
            if left:
                log.warning("filing.delayed", objects=len(left))
                if self._closing.is_set():
                    log.error("filing.left", objects=len(left))
                    return
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            batch = left

    def _tried(self, batch: list[_Filed]) -> list[_Filed]:
        """Gives what has to be filed again."""
        answers = self._answers(batch)
        left: list[_Filed] = []
        done: list[str] = []
        last: Retriable | None = None
        for each, answer in zip(batch, answers, strict=True):
            failure = self._settled(each, answer)
            if failure is None:
                done.append(each.arrival.sop_uid)
            else:
                left.append(each)
                last = failure
        with self._moved:
            self._failure = last
            if last is not None:
                self._doubted_until = time.monotonic() + _DOUBT
            self._pending.difference_update(done)
            self._done += len(done)
            self._account.filed(len(done))
            self._moved.notify_all()
        return left

    def _answers(self, batch: Sequence[_Filed]) -> list[Answer]:
        """One that can't even be asked for keeps no other back."""
        try:
            return self._writer.file_all([each.arrival for each in batch])
        except Exception as fault:
            log.error("filing.failed", exc_info=True, fault=type(fault).__name__)
            if len(batch) == 1:
                return [Refused(Reason.PROCESSING_FAILURE, "the index can't take this object")]
            return [answer for each in batch for answer in self._answers([each])]

    def _settled(self, each: _Filed, answer: Answer) -> Retriable | None:
        """Do what follows; why it is to be filed again, or None."""
        if isinstance(answer, Retriable):
            return answer
        try:
            each.then(answer)
        except Retriable as failure:
            return failure
        except IsocenterError as failure:
            log.warning("filing.refused", reason=failure.reason, sop_uid=each.arrival.sop_uid)
        except Exception as fault:  # the object stays offered to recovery; the others go on
            log.error("filing.failed", exc_info=True, fault=type(fault).__name__)
            self._doubted_until = time.monotonic() + _DOUBT
        return None
