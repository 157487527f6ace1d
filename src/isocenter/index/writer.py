"""The index writer: one thread that commits whatever queued up while the last commit ran; no timer.

With one submitter each record is a commit of its own; with many, a commit carries many. A record that can't be filed
fails alone: after a fault each record of the batch is tried by itself.
"""

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeAlias

from isocenter import telemetry
from isocenter.database import Database
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index.deletion import choose, delete
from isocenter.index.filing import Filing
from isocenter.index.places import Places
from isocenter.index.records import Arrival, Choice, Deletion, ExceptionNote, Outcome, Record, Verdict
from isocenter.index.sessions import Session, is_lost, is_short_of_space, session

log = telemetry.logger("index.writer")

MOST = 512
"""Records in one commit."""
DEADLINE = 30.0
"""Seconds after which a record that can't be filed, since the database is away, is given back as Retriable."""
IDLE = 1.0
"""Seconds that a writer without work waits before it looks after its database."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MOST_TRIES = 8

Answer: TypeAlias = Outcome | IsocenterError


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Writer(Protocol):
    """Where arrivals, deletions, choices and notes go to become part of the index."""

    def submit(self, record: Record) -> Future[Outcome]:
        """File `record`. The future is done when that is durable; its exception is Refused or Retriable.

        Submitting the same record again is harmless and gives the same answer."""
        ...

    def file(self, record: Record) -> Outcome:
        """`submit` and wait, with as few threads between as there can be: what every C-STORE does."""
        ...

    def close(self) -> None:
        """Finish what was submitted, and stop."""
        ...


class Sink(Protocol):
    """Takes one submitter's answers, those of a commit together. Called by the writer's thread: must not wait."""

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Each with the number that `LocalWriter.enqueue` was given."""
        ...


class _Futures:
    """The sink of those who wait in this process."""

    def __init__(self) -> None:
        self._waiting: dict[int, Future[Outcome]] = {}

    def expect(self) -> tuple[int, Future[Outcome]]:
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        self._waiting[id(future)] = future
        return id(future), future

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        for number, answer in answers:
            future = self._waiting.pop(number)
            if isinstance(answer, Outcome):
                future.set_result(answer)
            else:
                future.set_exception(answer)


class Item(NamedTuple):
    """A record to be filed; `sink` gets the answer under `number`."""

    record: Record
    sink: Sink
    number: int
    since: float
    tries: int = 0


class Intake(Protocol):
    """Where a writer's thread finds its work."""

    def put(self, item: Item | None) -> None:
        """Leave work, from any thread; None asks the writer to end."""
        ...

    def take(self, most: int, *, block: bool) -> tuple[list[Item], bool]:
        """Up to about `most` items, waiting a second for the first if `block`; and whether the end was asked for."""
        ...

    def close(self) -> None:
        """The writer has ended: nothing is taken any more."""
        ...


class QueueIntake:
    """Work from threads of this process."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()

    def put(self, item: Item | None) -> None:
        """See `Intake`."""
        self._queue.put(item)

    def take(self, most: int, *, block: bool) -> tuple[list[Item], bool]:
        """See `Intake`."""
        taken: list[Item] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(block=block, timeout=IDLE)
            while item is not None:
                taken.append(item)
                if len(taken) >= most:
                    return taken, False
                item = self._queue.get_nowait()
            return taken, True
        return taken, False

    def close(self) -> None:
        """Nothing to let go of."""


class LocalWriter:
    """The writer in this process. On SQLite there must be only one for a database, in all processes.

    `intake` is where its thread finds work besides what is submitted here (`index.remote.Server`).
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], int] = now,
        deadline: float = DEADLINE,
        intake: Intake | None = None,
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._intake = intake or QueueIntake()
        self._futures = _Futures()
        self._session: Session = session(database)
        self._places = Places(self._session)
        self._filing = Filing(self._session, self._places)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="index-writer", daemon=True)
        self._thread.start()

    def submit(self, record: Record) -> Future[Outcome]:
        """See `Writer`."""
        number, future = self._futures.expect()
        self.enqueue(record, self._futures, number)
        return future

    def file(self, record: Record) -> Outcome:
        """See `Writer`."""
        return self.submit(record).result()

    def enqueue(self, record: Record, sink: Sink, number: int) -> None:
        """File `record`; `sink` gets the answer under `number`."""
        if self._closing.is_set():
            sink.deliver([(number, Retriable(Reason.OUT_OF_RESOURCES, "the index is closing"))])
            return
        self._intake.put(Item(record, sink, number, time.monotonic()))
        if not self._thread.is_alive():
            self._give_back()

    def close(self) -> None:
        """See `Writer`."""
        self._closing.set()
        self._intake.put(None)
        self._thread.join()

    # --- the thread

    def _work(self) -> None:
        try:
            self._loop()
        except Exception as fault:
            log.error("writer.died", exc_info=True, fault=type(fault).__name__)
        self._closing.set()
        self._give_back()
        self._intake.close()

    def _give_back(self) -> None:
        """What came after the end."""
        late = []
        while taken := self._intake.take(MOST, block=False)[0]:
            late += [(item, Retriable(Reason.OUT_OF_RESOURCES, "the index is closing")) for item in taken]
        _answer(late)

    def _loop(self) -> None:
        left: list[Item] = []
        ending = False
        while left or not ending:
            taken, ended = self._intake.take(max(MOST - len(left), 1), block=not left and not ending)
            batch, left = left + taken, []
            ending = ending or ended
            if batch:
                batch, left = _together(batch)
                left = self._settled(batch) + left
            self._housekeeping(idle=not batch)
        self._session.close()

    def _settled(self, batch: list[Item]) -> list[Item]:
        """File a batch and answer. Gives what has to be filed again: what another writer was faster with."""
        started = time.perf_counter()
        pause = _FIRST_PAUSE
        while True:
            try:
                outcomes = self._filed([item.record for item in batch])
                break
            except Exception as fault:
                self._places.forget()
                if not is_lost(fault):
                    return self._one_by_one(batch, fault)
                log.warning("database.away", fault=type(fault).__name__)
                batch = self._overdue(batch)
                if not batch:
                    return []
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._reconnect()
        telemetry.observe("isocenter_index_commit_seconds", time.perf_counter() - started)
        telemetry.count("isocenter_index_records_total", len(batch))
        _answer([(item, outcome) for item, outcome in zip(batch, outcomes, strict=True) if outcome is not None])
        return _again([item for item, outcome in zip(batch, outcomes, strict=True) if outcome is None])

    def _one_by_one(self, batch: list[Item], fault: Exception) -> list[Item]:
        """After a fault that is not the connection's: find whose it is. What was remembered may have been out of date
        (another node deleted a series), so each record has a second try."""
        if len(batch) == 1 and batch[0].tries:
            log.error("record.failed", exc_info=True, record=type(batch[0].record).__name__)
            _answer([(batch[0], _as_error(fault))])
            return []
        left = []
        for item in batch:
            left += self._settled([item._replace(tries=max(item.tries, 1))])
        return left

    def _filed(self, records: Sequence[Record]) -> list[Outcome | None]:
        at = self._clock()
        with self._session.transaction():
            first = records[0]
            if isinstance(first, Deletion):
                self._places.forget()
                return [delete(self._session, first, at)]
            if isinstance(first, Choice):
                self._places.forget()
                return [choose(self._session, self._places, first, at)]
            notes = [record for record in records if isinstance(record, ExceptionNote)]
            self._session.append("exception", ExceptionNote._fields, notes)
            arrivals = [record for record in records if isinstance(record, Arrival)]
            filed = iter(self._filing.file(arrivals, at) if arrivals else ())
            return [next(filed) if isinstance(record, Arrival) else Outcome(Verdict.NOTED) for record in records]

    def _overdue(self, batch: list[Item]) -> list[Item]:
        """Give back what waited too long; the rest is tried again."""
        limit = time.monotonic() - (0 if self._closing.is_set() else self._deadline)
        late = [item for item in batch if item.since <= limit]
        _answer([(item, Retriable(Reason.OUT_OF_RESOURCES, "the index database does not answer")) for item in late])
        return [item for item in batch if item.since > limit]

    def _reconnect(self) -> None:
        try:
            self._session.reconnect()
        except Exception as fault:
            log.warning("database.unreachable", fault=type(fault).__name__)

    def _housekeeping(self, *, idle: bool) -> None:
        try:
            self._session.settle(idle=idle)
        except Exception as fault:
            log.error("checkpoint.failed", exc_info=True, fault=type(fault).__name__)


def _together(batch: list[Item]) -> tuple[list[Item], list[Item]]:
    """The records at the front that one transaction can take, and the others.

    A deletion or a choice goes alone. Of two arrivals with one SOP Instance UID the second must see the first."""
    seen: set[str] = set()
    for place, item in enumerate(batch):
        record = item.record
        if isinstance(record, Deletion | Choice):
            cut = max(place, 1)
            return batch[:cut], batch[cut:]
        if isinstance(record, Arrival):
            if record.sop_uid in seen:
                return batch[:place], batch[place:]
            seen.add(record.sop_uid)
    return batch, []


def _again(items: list[Item]) -> list[Item]:
    """To be filed again; but not for ever."""
    hopeless = [item for item in items if item.tries >= _MOST_TRIES]
    _answer([(item, Refused(Reason.PROCESSING_FAILURE, "its storage key is taken")) for item in hopeless])
    return [item._replace(tries=item.tries + 1) for item in items if item.tries < _MOST_TRIES]


def _answer(answers: Sequence[tuple[Item, Answer]]) -> None:
    by_sink: defaultdict[int, list[tuple[int, Answer]]] = defaultdict(list)
    sinks: dict[int, Sink] = {}
    for item, answer in answers:
        sinks[id(item.sink)] = item.sink
        by_sink[id(item.sink)].append((item.number, answer))
    for key, gathered in by_sink.items():
        sinks[key].deliver(gathered)


def _as_error(fault: Exception) -> IsocenterError:
    if isinstance(fault, IsocenterError):
        return fault
    error: IsocenterError
    if is_short_of_space(fault):
        error = Retriable(Reason.OUT_OF_STORAGE, "no space left for the index")
    elif isinstance(fault, OSError):
        error = Retriable(Reason.OUT_OF_RESOURCES, "the index can't be written")
    else:
        error = Refused(Reason.PROCESSING_FAILURE, "the index can't take this object")
    error.__cause__ = fault
    return error
