"""The index writer: whoever has something to file does so for all who wait with it; no thread is woken for one.

A thread that comes while nobody files has the turn: it files its record, and everything that queued up with it, in one
transaction, and passes the turn on to the first of those who came meanwhile. With one submitter each record is a commit
of its own, made by the submitter's own thread; with many, a commit carries many. There is no timer.

While the rows are being written the objects behind them may still be on their way to the disk: what makes each durable
runs beside, and the transaction is committed only when all of them are (docs/decisions/0006).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from isocenter import telemetry
from isocenter.database import Database
from isocenter.index.batches import MOST, Answer, Awaited, Batches, Item, Posted, already_durable, retriable
from isocenter.index.records import Outcome, Record

log = telemetry.logger("index.writer")

DEADLINE = 30.0
"""Seconds after which a record that can't be filed, since the database is away, is given back as Retriable."""
IDLE = 1.0
"""Seconds without work after which the writer looks after its database."""

_CLOSING = "the index is closing"


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Writer(Protocol):
    """Where arrivals, deletions, choices and notes go to become part of the index."""

    def submit(self, record: Record) -> Future[Outcome]:
        """File `record`. The future is done when that is durable; its exception is Refused or Retriable.

        Submitting the same record again is harmless and gives the same answer."""
        ...

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """`submit` and wait, with as few threads between as there can be: what every C-STORE does.

        `before_commit` makes durable what the record speaks of. It has been called once, by this thread, when `file`
        ends; what it raises is raised, and then nothing was filed."""
        ...

    def close(self) -> None:
        """Finish what was submitted, and stop."""
        ...


class _Futures:
    """The sink of those who wait for a future."""

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


class _Gathered:
    """The sink of one who waits for many answers."""

    def __init__(self, count: int) -> None:
        self._answers: dict[int, Answer] = {}
        self._count = count
        self._complete = threading.Event()

    def deliver(self, answers: Sequence[tuple[int, Answer]]) -> None:
        self._answers.update(answers)
        if len(self._answers) == self._count:
            self._complete.set()

    def wait(self) -> list[Answer]:
        self._complete.wait()
        return [self._answers[number] for number in range(self._count)]


class Intake(Protocol):
    """Where the writer's own thread finds work that no thread of this process waits with."""

    def take(self, seconds: float) -> list[Item]:
        """What came; waits up to `seconds` for it or for `wake`."""
        ...

    def wake(self) -> None:
        """End a `take`, now or the next; from any thread."""
        ...

    def close(self) -> None:
        """The writer has ended: nothing is taken any more."""
        ...


class Quiet:
    """An intake where nothing arrives."""

    def __init__(self) -> None:
        self._called = threading.Event()

    def take(self, seconds: float) -> list[Item]:
        """See `Intake`."""
        if self._called.wait(seconds):
            self._called.clear()
        return []

    def wake(self) -> None:
        """See `Intake`."""
        self._called.set()

    def close(self) -> None:
        """Nothing to let go of."""


class LocalWriter:
    """The writer in this process. On SQLite there must be only one for a database, in all processes.

    Its own thread, the keeper, has the turn for what nobody waits with: `submit`, `intake` (`index.serving`), and the
    housekeeping of the database.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], int] = now,
        deadline: float = DEADLINE,
        intake: Intake | None = None,
    ) -> None:
        self._intake = intake or Quiet()
        self._futures = _Futures()
        self._closing = threading.Event()
        self._batches = Batches(database, clock, deadline, self._closing)
        self._lock = threading.Lock()
        self._queue: deque[Item] = deque()
        self._taken = False
        """Whether a thread has the turn: only that one may use `_batches`."""
        self._keeper_called = False
        self._idle = True
        """Whether nothing was filed since the keeper last had the turn."""
        self._keeper = threading.Thread(target=self._keep, name="index-keeper", daemon=True)
        self._keeper.start()

    def submit(self, record: Record) -> Future[Outcome]:
        """See `Writer`."""
        number, future = self._futures.expect()
        item = Posted(record, self._futures, number)
        with self._lock:
            refused = self._closing.is_set()
            if not refused:
                self._queue.append(item)
        if refused:
            item.answered(retriable(_CLOSING))
        else:
            self._intake.wake()
        return future

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `Writer`."""
        item = Awaited(record, before_commit)
        with self._lock:
            refused = self._closing.is_set()
            if not refused:
                self._queue.append(item)
                item.leads = not self._taken
                self._taken = True
        if refused:
            item.answer = retriable(_CLOSING)
            return item.outcome()
        if not item.leads:
            item.make_durable()
            item.wait()
        if item.leads:
            self._lead(item)
        return item.outcome()

    def file_all(self, records: Sequence[Record]) -> list[Answer]:
        """File `records` together; the answer of each."""
        gathered = _Gathered(len(records))
        with self._lock:
            refused = self._closing.is_set()
            if not refused:
                self._queue.extend([Posted(record, gathered, number) for number, record in enumerate(records)])
        if refused or not records:
            return [retriable(_CLOSING)] * len(records)
        self._intake.wake()
        return gathered.wait()

    def close(self) -> None:
        """See `Writer`."""
        with self._lock:
            self._closing.set()
        self._intake.wake()
        self._keeper.join()

    # --- having the turn

    def _lead(self, own: Item) -> None:
        """File until `own` is answered, and pass the turn on."""
        try:
            while own.answer is None:
                self._round()
        finally:
            self._pass_on()

    def _round(self) -> None:
        self._idle = False
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MOST))]
        left = self._batches.commit(batch) if batch else []
        if left:
            with self._lock:
                self._queue.extendleft(reversed(left))

    def _pass_on(self) -> None:
        with self._lock:
            first = self._queue[0] if self._queue else None
            for_keeper = self._batches.untidy or isinstance(first, Posted)
            if for_keeper:
                self._keeper_called = True
            elif isinstance(first, Awaited):
                first.leads = True
            else:
                self._taken = False
        if for_keeper or self._closing.is_set():
            self._intake.wake()
        if not for_keeper and isinstance(first, Awaited):
            first.call()

    # --- the keeper

    def _keep(self) -> None:
        while not self._ended():
            try:
                if self._my_turn(self._intake.take(IDLE)):
                    self._keep_house()
            except Exception as fault:  # those who wait must not be left without a keeper
                log.error("keeper.failed", exc_info=True, fault=type(fault).__name__)
                self._closing.wait(IDLE)
        self._batches.close()
        self._intake.close()

    def _ended(self) -> bool:
        """Whether all is filed and the end was asked for; the turn is kept then."""
        with self._lock:
            ended = self._closing.is_set() and not self._taken and not self._queue
            self._taken = self._taken or ended
        return ended

    def _my_turn(self, items: list[Item]) -> bool:
        """Queue `items`; whether the keeper has the turn."""
        with self._lock:
            self._queue.extend(items)
            mine = self._keeper_called or not self._taken
            self._keeper_called = False
            self._taken = True
        return mine

    def _keep_house(self) -> None:
        """File what nobody waits with, and look after the database."""
        try:
            while self._queue and isinstance(self._queue[0], Posted):
                self._round()
            idle, self._idle = self._idle, True
            self._batches.tidy(idle=idle)
        finally:
            self._pass_on()
