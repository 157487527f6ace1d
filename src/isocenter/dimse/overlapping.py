"""An association whose peer may have several operations in flight (PS3.7 D.3.3.3, asynchronous operations window).

What a service says may overlap (`overlaps = True`, as storage does) is performed by a few threads of the association,
while its own thread reads on; each is answered when it is done, so in order of completion. Everything else is performed
one after the other as on any association. The connection stays the own thread's alone: the others hand it what they
have to say, and wake it.
"""

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from isocenter.dimse import commands
from isocenter.dimse.association import Association, Refusal, Terms
from isocenter.dimse.commands import Command
from isocenter.dimse.driver import Control, Driver, Item
from isocenter.dimse.pdu import ReleaseRequest
from isocenter.dimse.service import Context, Service, Sink

MOST_AT_ONCE: Final = 8
"""Operations of one association that are performed at once, whatever was agreed on; the next one waits, unread."""


class _Said(NamedTuple):
    """A response that another thread has for the peer."""

    context_id: int
    command: Command
    data: bytes | None


class _Ended(NamedTuple):
    """An operation is over. `failure`: what its service raised."""

    context: Context
    request: Command
    failure: Exception | None


class OverlappingAssociation(Association):
    """See the module."""

    def __init__(self, driver: Driver, terms: Terms, **named: Any) -> None:
        super().__init__(driver, terms, **named)
        self._thread = threading.get_ident()
        self._most = min(terms.performed or MOST_AT_ONCE, MOST_AT_ONCE)
        self._pool: ThreadPoolExecutor | None = None
        self._told: queue.SimpleQueue[_Said | _Ended] = queue.SimpleQueue()
        self._unanswered: dict[int, bool] = {}
        """Message ids of the operations that the pool performs, and whether each still owes its final response."""
        self._wakes, self._waker = os.pipe()
        for end in (self._wakes, self._waker):
            os.set_blocking(end, False)

    @property
    def quiet_since(self) -> float | None:
        """See `Association`."""
        return None if self._unanswered else super().quiet_since

    def respond(self, context_id: int, command: Command, data: bytes | None = None) -> None:
        """See `Association`; from any thread."""
        if threading.get_ident() == self._thread:
            super().respond(context_id, command, data)
        else:
            self._tell(_Said(context_id, command, data))

    def respond_many(self, context_id: int, responses: Iterable[tuple[Command, bytes | None]]) -> None:
        """See `Association`; from any thread."""
        if threading.get_ident() == self._thread:
            super().respond_many(context_id, responses)
        else:
            for command, data in responses:
                self._tell(_Said(context_id, command, data))

    def silent(self, seconds: float) -> bool:
        """See `Association`. What is under way is answered first: the peer may be waiting for that."""
        self._settle()
        return super().silent(seconds)

    def close(self) -> None:
        """Wait for the operations under way, then as `Association.close`. They end what they do; nobody hears of it."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        super().close()
        wakes, waker, self._wakes, self._waker = self._wakes, self._waker, -1, -1
        for end in (wakes, waker):
            if end >= 0:
                os.close(end)

    # ---- the association's own thread

    def _taker(self) -> Callable[[], Item]:
        return self._take

    def _take(self) -> Item:
        """The next thing that arrived; until then operations that end are answered."""
        driver = self._driver
        while self._unanswered:
            self._hear()
            if not self._unanswered:
                break
            if driver.stopping:
                self._settle()
            elif driver.wait_readable(None, waker=self._wakes) and not driver.stopping:
                break
        return driver.take()

    def _control(self, event: Control) -> None:
        if isinstance(event, ReleaseRequest):
            self._settle()  # a peer that releases too early gets its answers all the same
        super()._control(event)

    def _settle(self, most: int = 0) -> None:
        """Wait until at most so many operations are under way, answering those that end."""
        while len(self._unanswered) > most:
            self._hear(self._told.get())

    def _hear(self, first: _Said | _Ended | None = None) -> None:
        """Send what the other threads have said."""
        if first is None and self._told.empty():
            return
        with contextlib.suppress(BlockingIOError):  # it was heard before it woke us
            os.read(self._wakes, 4096)
        told = first
        with contextlib.suppress(queue.Empty):  # all is heard
            while True:
                told = told or self._told.get_nowait()
                if isinstance(told, _Said):
                    self._say(told)
                else:
                    self._end(told)
                told = None

    def _say(self, said: _Said) -> None:
        self._driver.may_send_data()
        self._driver.send((self._message(*said),))
        message_id = commands.number(said.command, commands.MESSAGE_ID_RESPONDED)
        if message_id in self._unanswered and not commands.is_pending(commands.status_of(said.command)):
            self._unanswered[message_id] = False

    def _end(self, ended: _Ended) -> None:
        owed = self._unanswered.pop(commands.number(ended.request, commands.MESSAGE_ID))
        failure = ended.failure or (RuntimeError("service without a final response") if owed else None)
        if failure is not None:
            self._answer_failure(ended.context, ended.request, failure, answered=not owed)

    def _perform(self, sink: Sink | None) -> None:
        assert self._current is not None
        context, command, service = self._current
        if self._failure is not None or not getattr(service, "overlaps", False):
            super()._perform(sink)
            return
        self._current = None
        try:
            self._settle(self._most - 1)
        finally:
            # whoever has a whole object gets it, also where the association just ended
            self._unanswered[commands.number(command, commands.MESSAGE_ID)] = True
            self._pool = self._pool or ThreadPoolExecutor(self._most, "operation")
            self._pool.submit(self._apart, context, command, service, sink)

    def _service(self, context: Context, command: Command) -> Service:
        if commands.number(command, commands.MESSAGE_ID) in self._unanswered:
            return Refusal(commands.DUPLICATE_INVOCATION)
        return super()._service(context, command)

    # ---- the other threads

    def _apart(self, context: Context, command: Command, service: Service, sink: Sink | None) -> None:
        failure: Exception | None = None
        try:
            service.perform(self, context, command, sink)
        except Exception as error:
            failure = error
        self._tell(_Ended(context, command, failure))

    def _tell(self, what: _Said | _Ended) -> None:
        self._told.put(what)
        with contextlib.suppress(BlockingIOError):  # so many wakes lie there that one more says nothing
            os.write(self._waker, b"\0")
