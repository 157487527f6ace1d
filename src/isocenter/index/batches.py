"""Filing what queued up: records as one transaction, each answered, whatever becomes of the others.

A record that can't be filed fails alone: after a fault each record of the batch is tried by itself. While the database
is away a batch is tried again until its records are overdue.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from isocenter import telemetry
from isocenter.database import Database
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index.deletion import choose, delete
from isocenter.index.editing import carry_out
from isocenter.index.filing import Filing
from isocenter.index.places import Places
from isocenter.index.records import Arrival, Choice, Deletion, Edit, ExceptionNote, Outcome, Record, Verdict
from isocenter.index.sessions import Session, is_lost, is_short_of_space, session

log = telemetry.logger("index.batches")

MOST = 512
"""Records in one commit."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_MOST_TRIES = 8

Answer: TypeAlias = Outcome | IsocenterError


def already_durable() -> None:
    """What is to be done before the commit where nothing is."""


def retriable(comment: str) -> Retriable:
    """The error of a record that may be filed later."""
    return Retriable(Reason.OUT_OF_RESOURCES, comment)


class Sink(Protocol):
    """Takes one submitter's answers, those of a commit together. Must not wait."""

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Each with the number that it was asked under."""
        ...


class Item:
    """A record to be filed."""

    __slots__ = ("answer", "record", "since", "tries")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.answer: Answer | None = None
        self.since = time.monotonic()
        self.tries = 0

    def is_durable(self) -> bool:
        """Whether what the record speaks of is on the disk; waits for that. Asked by the thread that has the turn."""
        return True


class Posted(Item):
    """A record whose answer goes to `sink`, under `number`."""

    __slots__ = ("number", "sink")

    def __init__(self, record: Record, sink: Sink, number: int) -> None:
        super().__init__(record)
        self.sink = sink
        self.number = number

    def answered(self, answer: Answer) -> None:
        """Deliver this one alone."""
        self.answer = answer
        self.sink.deliver([(self.number, answer)])


class Awaited(Item):
    """A record with a thread that waits for the answer, and that may be called to have the turn."""

    __slots__ = ("_before_commit", "_called", "_durable", "_fault", "leads")

    def __init__(self, record: Record, before_commit: Callable[[], None]) -> None:
        super().__init__(record)
        self.leads = False
        self._before_commit: Callable[[], None] | None = before_commit
        self._fault: BaseException | None = None
        self._durable, self._called = threading.Lock(), threading.Lock()
        self._durable.acquire()
        self._called.acquire()

    def make_durable(self) -> None:
        """Done once, by the thread that waits; what fails is raised by `outcome`."""
        before_commit, self._before_commit = self._before_commit, None
        if before_commit is None:
            return
        try:
            before_commit()
        except BaseException as fault:
            self._fault = fault
        finally:
            self._durable.release()

    def is_durable(self) -> bool:
        """See `Item`."""
        if self.leads:
            self.make_durable()
        with self._durable:
            return self._fault is None

    def wait(self) -> None:
        """Until it is answered or called to lead."""
        self._called.acquire()

    def call(self) -> None:
        """End `wait`."""
        self._called.release()

    def outcome(self) -> Outcome:
        """The answer. Raises it where it is an error."""
        self.make_durable()
        if self._fault is not None:
            raise self._fault
        if isinstance(self.answer, Outcome):
            return self.answer
        raise self.answer or retriable("the index gave no answer")


class _NotDurable(Exception):
    """Some record's object did not reach the disk."""


class Batches:
    """Files batches over one session. Used by one thread at a time, the one that has the turn.

    `deadline`: seconds that a record may wait for the database; none once `closing` is set.
    """

    def __init__(self, database: Database, clock: Callable[[], int], deadline: float, closing: threading.Event) -> None:
        self._clock = clock
        self._deadline = deadline
        self._closing = closing
        self._session: Session = session(database)
        self._places = Places(self._session)
        self._filing = Filing(self._session, self._places)

    @property
    def untidy(self) -> bool:
        """Whether the database wants to be looked after before more is filed."""
        return self._session.untidy

    def commit(self, batch: list[Item]) -> list[Item]:
        """File a batch and answer. Gives what has to be filed again. Never raises but for an interrupt."""
        try:
            now, later = _together(batch)
            return self._settled(now) + later
        except Exception as fault:
            log.error("batch.failed", exc_info=True, fault=type(fault).__name__)
            self._places.forget()
            _answer([(item, _as_error(fault)) for item in batch if item.answer is None])
            return []

    def tidy(self, *, idle: bool) -> None:
        """Housekeeping, when nobody waits for it."""
        try:
            self._session.settle(idle=idle)
        except Exception as fault:
            log.error("checkpoint.failed", exc_info=True, fault=type(fault).__name__)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _settled(self, batch: list[Item]) -> list[Item]:
        """Gives what another writer was faster with, or what the fault of another kept back."""
        started = time.perf_counter()
        pause = _FIRST_PAUSE
        while True:
            try:
                outcomes = self._filed(batch)
                break
            except _NotDurable:
                self._places.forget()
                return _without_lost(batch)
            except Exception as fault:
                self._places.forget()
                if not is_lost(fault):
                    return self._one_by_one(batch, fault)
                log.warning("database.away", fault=type(fault).__name__)
                batch = self._overdue(batch)
                if not batch:
                    return []
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._reconnect()
        telemetry.observe("isocenter_index_commit_seconds", time.perf_counter() - started)
        telemetry.count("isocenter_index_records_total", len(batch))
        _answer([(item, outcome) for item, outcome in zip(batch, outcomes, strict=True) if outcome is not None])
        return _again([item for item, outcome in zip(batch, outcomes, strict=True) if outcome is None])

    def _one_by_one(self, batch: list[Item], fault: Exception) -> list[Item]:
        """After a fault that is not the connection's: find whose it is. What was remembered may have been out of date
        (another node deleted a series), so each record has a second try."""
        if len(batch) == 1 and isinstance(fault, Refused):
            _answer([(batch[0], fault)])  # an edit that can't be
            return []
        if len(batch) == 1 and batch[0].tries:
            log.error("record.failed", exc_info=True, record=type(batch[0].record).__name__)
            _answer([(batch[0], _as_error(fault))])
            return []
        left = []
        for item in batch:
            item.tries = max(item.tries, 1)
            left += self._settled([item])
        return left

    def _filed(self, batch: Sequence[Item]) -> list[Outcome | None]:
        with self._session.transaction():
            outcomes = self._written([item.record for item in batch], self._clock())
            # the objects were being synced meanwhile; each has to be asked, or one might still be at it
            lost = [item for item in batch if not item.is_durable()]
            if lost:
                raise _NotDurable
            return outcomes

    def _written(self, records: Sequence[Record], at: int) -> list[Outcome | None]:
        first = records[0]
        if isinstance(first, Deletion):
            self._places.forget()
            return [delete(self._session, first, at)]
        if isinstance(first, Choice):
            self._places.forget()
            return [choose(self._session, self._places, first, at)]
        if isinstance(first, Edit):
            self._places.forget()
            return [carry_out(self._session, first, at)]
        notes = [record for record in records if isinstance(record, ExceptionNote)]
        self._session.append("exception", ExceptionNote._fields, notes)
        arrivals = [record for record in records if isinstance(record, Arrival)]
        filed = iter(self._filing.file(arrivals, at) if arrivals else ())
        return [next(filed) if isinstance(record, Arrival) else Outcome(Verdict.NOTED) for record in records]

    def _overdue(self, batch: list[Item]) -> list[Item]:
        """Give back what waited too long; the rest is tried again."""
        limit = time.monotonic() - (0 if self._closing.is_set() else self._deadline)
        late = [item for item in batch if item.since <= limit]
        _answer([(item, retriable("the index database does not answer")) for item in late])
        return [item for item in batch if item.since > limit]

    def _reconnect(self) -> None:
        try:
            self._session.reconnect()
        except Exception as fault:
            log.warning("database.unreachable", fault=type(fault).__name__)


def _together(batch: list[Item]) -> tuple[list[Item], list[Item]]:
    """The records at the front that one transaction can take, and the others.

    A deletion, choice or edit goes alone. Of two arrivals with one SOP Instance UID the second must see the first."""
    if len(batch) == 1:
        return batch, []
    seen: set[str] = set()
    for place, item in enumerate(batch):
        record = item.record
        if isinstance(record, Deletion | Choice | Edit):
            cut = max(place, 1)
            return batch[:cut], batch[cut:]
        if isinstance(record, Arrival):
            if record.sop_uid in seen:
                return batch[:place], batch[place:]
            seen.add(record.sop_uid)
    return batch, []


def _without_lost(batch: list[Item]) -> list[Item]:
    """Answer those whose objects did not reach the disk; the others are filed again."""
    lost = [item for item in batch if not item.is_durable()]
    _answer([(item, retriable("the object could not be made durable")) for item in lost])
    return [item for item in batch if item.answer is None]


def _again(items: list[Item]) -> list[Item]:
    """To be filed again; but not for ever."""
    hopeless = [item for item in items if item.tries >= _MOST_TRIES]
    _answer([(item, Refused(Reason.PROCESSING_FAILURE, "its storage key is taken")) for item in hopeless])
    for item in items:
        item.tries += 1
    return [item for item in items if item.answer is None]


def _answer(answers: Sequence[tuple[Item, Answer]]) -> None:
    by_sink: defaultdict[int, list[tuple[int, Answer]]] = defaultdict(list)
    sinks: dict[int, Sink] = {}
    for item, answer in answers:
        item.answer = answer
        if isinstance(item, Posted):
            sinks[id(item.sink)] = item.sink
            by_sink[id(item.sink)].append((item.number, answer))
        elif isinstance(item, Awaited) and not item.leads:
            item.call()
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
