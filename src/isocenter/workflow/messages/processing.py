"""Messages on their way through their handlers: each feed's in order, many in one commit.

A message is kept (where its handler does something outside the database, or its sender is told before it is processed),
then handled, and what it did is committed together with the note that it is done. Whoever waits for a message takes
the turn when nobody has it, and commits all that can be committed then; there is no timer and no thread for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from isocenter import telemetry
from isocenter.database.prepared import Prepared
from isocenter.errors import Reason, Refused, Retriable
from isocenter.hl7.acknowledgement import Answered
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.messages.handling import Feed, Handler, Sparing
from isocenter.workflow.messages.keeping import Arrival, Key, Known, Messages, State

log = telemetry.logger("hl7.processing")

MOST: Final = 64
"""Messages of one commit."""
_TRIES: Final = 3
_PAUSE: Final = 1.0
"""Seconds before a message that is kept is tried again, where the database is away."""

_SAVE: Final = Prepared(text("SAVEPOINT message"))
_BACK: Final = Prepared(text("ROLLBACK TO SAVEPOINT message"))
_RELEASE: Final = Prepared(text("RELEASE SAVEPOINT message"))

Acknowledge = Callable[[Connection, Answered], bytes]
"""The acknowledgement of the application, made in the transaction that it becomes part of."""


class Stage(Enum):
    """How far a message is in this process."""

    NEW = 1
    KEPT = 2
    PREPARED = 3
    READY = 4
    DONE = 5


_WAITING: Final = (Stage.KEPT, Stage.PREPARED)
"""Something is to be done, or being done, outside."""


class _Overtaken(Exception):
    """Another process has processed the message meanwhile."""


class Stopped(Retriable):
    """The program ends before the message was processed; where it is kept, the next one processes it."""

    def __init__(self) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, "the server is stopping")


@dataclass(eq=False)
class Work:
    """A message that is being processed. Its fields are the processor's, under its lock."""

    arrival: Arrival
    message: Message | None
    feed: Feed
    handler: Handler | None
    """None where it is refused already: `fault` tells why."""
    acknowledge: Acknowledge
    fault: MessageError | None = None
    told_first: bool = False
    """Its sender is told that it is kept, before it is processed."""
    stage: Stage = Stage.NEW
    known: Known | None = None
    answer: bytes = b""
    failure: Exception | None = None
    repeated: bool = False
    """It had been processed before, and was answered from memory."""

    @property
    def outside(self) -> bool:
        """Something is to be done before the transaction."""
        return self.fault is None and self.handler is not None and self.handler.outside

    @property
    def kept_first(self) -> bool:
        """It needs a commit of its own before it is processed, or may need one."""
        return self.fault is None and (self.told_first or self.outside)

    def spares(self, connection: Connection) -> bool:
        """Whether its handler has nothing to do outside for this very message. Asked when it is the feed's next."""
        if self.told_first or self.message is None or not isinstance(self.handler, Sparing):
            return False
        try:
            return not self.handler.is_outside(connection, self.message, self.feed)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            return False  # what is wrong is found again where it is answered


class Processor:
    """Processes messages for the threads that bring them. Made once in a process."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._lanes: dict[str, deque[Work]] = {}
        self._known: dict[Key, Work] = {}
        self._turn = threading.Lock()
        self._moved = threading.Condition()
        self._stopping = False

    def stop(self) -> None:
        """Give up what can't be brought to its end at once."""
        with self._moved:
            self._stopping = True
            self._moved.notify_all()

    def enter(self, work: Work) -> Work:
        """Queue a message up behind those of its feed; the one that is the same and under way already, if there is."""
        with self._moved:
            twin = self._known.get(work.arrival.key)
            if twin is not None:
                return twin
            self._known[work.arrival.key] = work
            self._lanes.setdefault(work.arrival.feed, deque()).append(work)
        return work

    def keep(self, work: Work) -> None:
        """Come to where the message is durable. Raises what kept it from that."""
        self._drive(work, lambda: work.stage is not Stage.NEW)

    def finish(self, work: Work) -> bytes:
        """Come to the end; the acknowledgement of the application. Raises what kept it from being processed."""
        self._drive(work, lambda: work.stage is Stage.DONE)
        return work.answer

    def _drive(self, work: Work, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._prepares(work):
                self._prepare(work)
            with self._turn:
                moved = not reached() and self._commit()
            if not moved and not reached():
                with self._moved:
                    # whoever is at the head of the feed, with something to do outside, tells when that is done
                    self._moved.wait_for(lambda: reached() or self._stopping or self._may_move(work), _PAUSE)
                    if self._stopping and not reached():
                        raise Stopped
        if work.failure is not None:
            raise work.failure

    # --- what is done outside, by the thread that brought the message

    def _prepares(self, work: Work) -> bool:
        """Whether it is the caller's turn to do so; nobody else's then."""
        with self._moved:
            mine = work.stage is Stage.KEPT and self._first(work)
            if mine:
                work.stage = Stage.PREPARED
            return mine

    def _first(self, work: Work) -> bool:
        lane = self._lanes.get(work.arrival.feed)
        return lane is not None and lane[0] is work

    def _may_move(self, work: Work) -> bool:
        return (work.stage is Stage.KEPT and self._first(work)) or bool(self._movable())

    def _prepare(self, work: Work) -> None:
        assert work.handler is not None
        assert work.message is not None
        fault: MessageError | None = None
        try:
            work.handler.before(work.message, work.feed)
        except Retriable:
            with self._moved:
                work.stage = Stage.KEPT
                if self._stopping:
                    raise
                self._moved.wait(_PAUSE)
            return
        except Exception as wrong:
            fault = _as_fault(wrong)
        with self._moved:
            work.fault, work.stage = fault, Stage.READY

    # --- commits, by whoever has the turn

    def _movable(self) -> dict[Work, bool]:
        """What the next commit can bring on, in the order of each feed, and whether nothing of its feed is before it
        any more once what the same commit does is done."""
        found: dict[Work, bool] = {}
        for lane in self._lanes.values():
            blocked = False
            for work in lane:
                to_keep = work.stage is Stage.NEW and work.kept_first
                if to_keep or (work.stage not in _WAITING and not blocked):
                    found[work] = not blocked
                blocked = blocked or to_keep or work.stage in _WAITING
                if len(found) >= MOST:
                    return found
        return found

    def _commit(self) -> bool:
        """Bring on what can be; whether there was anything."""
        with self._moved:
            works = self._movable()
        return bool(works) and self._commit_these(works)

    def _commit_these(self, works: Mapping[Work, bool]) -> bool:
        for tries in range(1, _TRIES + 1):
            try:
                self._settle(self._written(works))
                return True
            except (OperationalError, InterfaceError, Retriable) as fault:
                log.error("hl7.commit-failed", fault=type(fault).__name__, messages=len(works), tries=tries)
                failure: Exception = fault
            except Exception as fault:
                log.error("hl7.commit-failed", exc_info=True, fault=type(fault).__name__, messages=len(works))
                if len(works) > 1:  # it may be the fault of one of them
                    return self._commit_each(works)
                self._give_up(works, fault, kept_too=True)
                return False
        self._give_up(works, failure)
        return False

    def _commit_each(self, works: Mapping[Work, bool]) -> bool:
        """One after the other; what follows a message that could not be brought on waits for another turn."""
        moved, stuck = False, set[str]()
        for work, free in works.items():
            if work.arrival.feed in stuck:
                continue
            if self._commit_these({work: free}):
                moved = True
            else:
                stuck.add(work.arrival.feed)
        return moved

    def _written(self, works: Mapping[Work, bool]) -> dict[Work, Stage]:
        """What one commit has done, and where that has brought each."""
        with self._messages.database.writing() as connection:
            return {work: self._bring(connection, work, free=free) for work, free in works.items()}

    def _bring(self, connection: Connection, work: Work, *, free: bool) -> Stage:
        if work.known is None or work.stage is Stage.NEW:
            work.known = self._messages.known(connection, work.arrival.key)
            if work.known.state is State.PROCESSED:
                work.answer, work.repeated = work.known.answer, True
                return Stage.DONE
        if work.stage is Stage.NEW and work.kept_first and not (free and work.spares(connection)):
            row = self._messages.keep(connection, work.arrival, work.known)
            work.known = work.known._replace(id=row, state=State.RECEIVED)
            return Stage.KEPT if work.outside else Stage.READY
        self._end(connection, work)
        return Stage.DONE

    def _end(self, connection: Connection, work: Work) -> None:
        for last in (False, True):
            try:
                with _undone_by_a_fault(connection):
                    self._apply(connection, work)
                return
            except (IntegrityError, _Overtaken) as taken:
                # another node may have been faster with the same message: the second look tells
                work.known = self._messages.known(connection, work.arrival.key)
                if work.known.state is State.PROCESSED:
                    work.answer, work.repeated = work.known.answer, True
                    return
                if last:
                    work.fault = _as_fault(taken)
            except (OperationalError, InterfaceError, Retriable):
                raise
            except Exception as wrong:
                work.fault = _as_fault(wrong)
                break
        self._note(connection, work, Answered(work.fault))

    def _apply(self, connection: Connection, work: Work) -> None:
        if work.fault is None and work.handler is not None and work.message is not None:
            warnings = tuple(work.handler.apply(connection, work.message, work.feed) or ())
            self._note(connection, work, Answered(None, warnings))
        else:
            self._note(connection, work, Answered(work.fault))

    def _note(self, connection: Connection, work: Work, answered: Answered) -> None:
        assert work.known is not None
        answer = work.acknowledge(connection, answered)
        state = State.PROCESSED if answered.fault is None else State.REFUSED
        told = "; ".join(map(_told, (*([answered.fault] if answered.fault else ()), *answered.warnings)))
        row = self._messages.finish(connection, work.arrival, work.known, state, answer, told)
        if not row:
            raise _Overtaken
        work.answer = answer

    def _settle(self, after: Mapping[Work, Stage]) -> None:
        with self._moved:
            for work, stage in after.items():
                work.stage = stage
                if stage is Stage.DONE:
                    self._leave(work)
            self._moved.notify_all()

    def _give_up(self, works: Iterable[Work], failure: Exception, *, kept_too: bool = False) -> None:
        """Those that are kept are tried again, after a pause (`kept_too`: at the next start); the others were never
        here: their senders get no answer, and are to send them again."""
        unavailable = Retriable(Reason.OUT_OF_RESOURCES, "nothing can be stored now")
        unavailable.__cause__ = failure
        with self._moved:
            for work in works:
                if kept_too or work.stage is Stage.NEW:
                    work.failure, work.stage = unavailable, Stage.DONE
                    self._leave(work)
            self._moved.notify_all()
            if not self._stopping and any(work.stage is not Stage.DONE for work in works):
                self._moved.wait(_PAUSE)

    def _leave(self, work: Work) -> None:
        lane = self._lanes[work.arrival.feed]
        lane.remove(work)
        if not lane:
            del self._lanes[work.arrival.feed]
        if self._known.get(work.arrival.key) is work:
            del self._known[work.arrival.key]


@contextmanager
def _undone_by_a_fault(connection: Connection) -> Iterator[None]:
    """A savepoint, by plain statements: the library's own bookkeeping costs more than a message's."""
    _SAVE.run(connection, [{}])
    try:
        yield
    except BaseException:
        _BACK.run(connection, [{}])
        _RELEASE.run(connection, [{}])
        raise
    _RELEASE.run(connection, [{}])


def _as_fault(wrong: Exception) -> MessageError:
    """What a handler raised, as it is told. A fault of ours is logged without its text, which may hold data."""
    if isinstance(wrong, MessageError):
        return wrong
    if isinstance(wrong, Refused):
        return MessageError(Condition.INTERNAL, wrong.comment or str(wrong.reason))
    log.error("hl7.handler-failed", exc_info=True, fault=type(wrong).__name__)
    return MessageError(Condition.INTERNAL, "the message could not be processed")


def _told(fault: MessageError) -> str:
    """What was wrong, for lists: no value of the message stands in it."""
    place = fault.location
    where = f"{place.segment}[{place.sequence}]" + (f"-{place.field}" if place.field else "") if place else ""
    return f"{int(fault.condition)} {where} {fault.comment}".replace("  ", " ")
