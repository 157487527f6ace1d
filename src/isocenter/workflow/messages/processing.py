"""Messages on their way through their handlers: each feed's in order, many in one commit.

A message is kept (where its handler does something outside the database, or its sender is told before it is processed),
then handled, and what it did is committed together with the note that it is done. Whoever waits for a message takes
the turn when nobody has it, and commits all that can be committed then; there is no timer and no thread for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError

from isocenter import telemetry
from isocenter.errors import Reason, Retriable
from isocenter.hl7.errors import MessageError
from isocenter.workflow.messages.committing import NotAllGood, as_fault, written
from isocenter.workflow.messages.keeping import Key, Messages
from isocenter.workflow.messages.under_way import WAITING, Stage, Work

log = telemetry.logger("hl7.processing")

MOST: Final = 64
"""Messages of one commit."""
_TRIES: Final = 3
_PAUSE: Final = 1.0
"""Seconds before a message that is kept is tried again, where the database is away."""
_CARE: Final = 16
"""Commits that are made with care after one in which a message was refused: more may be."""


class Stopped(Retriable):
    """The program ends before the message was processed; where it is kept, the next one processes it."""

    def __init__(self) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, "the server is stopping")


class Processor:
    """Processes messages for the threads that bring them. Made once in a process."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._lanes: dict[str, deque[Work]] = {}
        self._known: dict[Key, Work] = {}
        self._turn = threading.Lock()
        self._care = 0
        """Commits that are to be made with care; whoever has the turn counts."""
        self._moved = threading.Condition()
        self._stopping = False

    def stop(self) -> None:
        """Give up what can't be brought to its end at once."""
        with self._moved:
            self._stopping = True
            self._moved.notify_all()

    def under_way(self, feed: str) -> int:
        """How many messages of a feed have come and are not at their end."""
        with self._moved:
            return len(self._lanes.get(feed, ()))

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
            fault = as_fault(wrong)
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
                if to_keep or (work.stage not in WAITING and not blocked):
                    found[work] = not blocked
                blocked = blocked or to_keep or work.stage in WAITING
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
        if not self._care:
            try:
                return written(self._messages, works, careful=False)
            except NotAllGood:
                self._care = _CARE
        self._care -= 1
        return written(self._messages, works, careful=True)

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
