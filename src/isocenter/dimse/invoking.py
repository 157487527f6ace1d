"""Operations that we invoke on an association, of either side: requests out, responses in (PS3.7 7)."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from isocenter import telemetry
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.driver import Driver, Item
from isocenter.dimse.failures import AssociationAborted, SourceFailed
from isocenter.dimse.inbox import Part
from isocenter.dimse.outbound import Source, Vectors, command_pdus, data_pdus
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.transport import Buffer

log = telemetry.logger("dimse.association")


class Response(NamedTuple):
    """A response: its status, the whole command set, and its data set in the context's transfer syntax."""

    status: int
    command: Command
    data: bytes | None

    @property
    def comment(self) -> str:
        """Error Comment (0000,0902)."""
        return commands.text(self.command, commands.ERROR_COMMENT)


class Outgoing(NamedTuple):
    """One C-STORE to invoke. `originator`: (AE title, message id) of the C-MOVE behind it; `token` is the caller's."""

    context_id: int
    sop_class: str
    sop_instance: str
    source: Source
    priority: int = 0
    originator: tuple[str, int] | None = None
    token: object = None


class _Loaded(NamedTuple):
    """A C-STORE that can leave at once: its command set and as much of its data set as the buffer holds, in PDUs."""

    item: Outgoing
    message_id: int
    pdus: Sequence[Buffer]
    more: bool


_Flight = deque[tuple[int, Outgoing]]
"""Message id and item of the C-STOREs that aren't answered yet."""


class Invoker:
    """The invoking half of an association."""

    window: int
    """Operations that we may have in flight."""

    def __init__(self, driver: Driver, slabs: Slabs, size: int, response_limit: int) -> None:
        self._driver, self._slabs, self._size, self._response_limit = driver, slabs, size, response_limit
        self._message_ids = itertools.count(1)
        self._responses: dict[int, deque[Response]] = {}
        self._answer: tuple[Command, bytearray] | None = None
        self._slab: bytearray | None = None
        self._vectors: Vectors | None = None

    def _handle(self, item: Item) -> None:
        """Deal with one thing that arrived; raises where the association is over."""
        raise NotImplementedError

    def store(
        self,
        context_id: int,
        sop_class: str,
        sop_instance: str,
        source: Source,
        *,
        priority: int = 0,
        originator: tuple[str, int] | None = None,
    ) -> int:
        """Invoke C-STORE and wait; the status of the response. `SourceFailed` where nothing has left yet."""
        outgoing = Outgoing(context_id, sop_class, sop_instance, source, priority, originator)
        try:
            return self._await(self._leave(self._load(outgoing))).status
        finally:
            self._return_slab()

    def store_many(
        self, items: Iterable[Outgoing], *, wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[Outgoing, Response]]:
        """Invoke a C-STORE for each item, as many at once as the peer agreed to; item and response in order of items.

        The peer is kept at work: while it stores one object the next is asked for and read, and that leaves before the
        response to the one before is yielded. A source is read before the next item is asked for. An item whose source
        fails before its first byte has left yields a response 0110 of our own making. `wanted` is asked just before
        each object leaves, and after each that fails so; after a no, no other leaves.
        """
        flight: _Flight = deque()
        supply, going = iter(items), True
        try:
            while going and (item := (yield from self._drawn(supply, flight))) is not None:
                try:
                    loaded = self._load(item)
                except SourceFailed as error:
                    yield from self._landed(flight, 0)
                    yield item, Response(commands.PROCESSING_FAILURE, {commands.ERROR_COMMENT: error.comment}, None)
                    going = wanted()
                else:
                    going = yield from self._exchanged(loaded, flight, wanted)
            yield from self._landed(flight, 0)
        finally:
            self._return_slab()

    def _drawn(
        self, supply: Iterator[Outgoing], flight: _Flight
    ) -> Generator[tuple[Outgoing, Response], None, Outgoing | None]:
        """The next item, or None. Where the supply fails, what is in flight lands first."""
        try:
            return next(supply, None)
        except Exception:
            yield from self._landed(flight, 0)
            raise

    def _exchanged(
        self, loaded: _Loaded, flight: _Flight, wanted: Callable[[], bool]
    ) -> Generator[tuple[Outgoing, Response], None, bool]:
        """Await the responses that have to be there first, let `loaded` leave if it is still wanted (whether it was is
        returned), and only then yield them. They are yielded also where the association ends meanwhile."""
        answered: list[tuple[Outgoing, Response]] = []
        try:
            for landed in self._landed(flight, self.window - 1):
                answered.append(landed)  # noqa: PERF402  what has come counts if the next one fails
            leaving = wanted()
            if leaving:
                flight.append((self._leave(loaded), loaded.item))
        except Exception:
            yield from answered
            raise
        yield from answered
        return leaving

    def _landed(self, flight: _Flight, most: int) -> Iterator[tuple[Outgoing, Response]]:
        while len(flight) > most:
            message_id, item = flight.popleft()
            yield item, self._await(message_id)

    def invoke(self, context_id: int, command: Command, data: bytes | None = None) -> Response:
        """Send a request that has exactly one response, and wait for it."""
        return self._await(self.request(context_id, command, data))

    def request(self, context_id: int, command: Command, data: bytes | None = None) -> int:
        """Send a request; its message id, for `responses`."""
        self._driver.may_send_data()
        message_id = self._number(command)
        self._responses[message_id] = deque()
        self._driver.send((self._message(context_id, command, data),))
        return message_id

    def responses(self, message_id: int) -> Iterator[Response]:
        """The responses to a request up to the final one."""
        while True:
            response = self._await(message_id)
            yield response
            if not commands.is_pending(response.status):
                return

    def awaits(self, message_id: int) -> bool:
        """Whether the final response to a request of ours is still to come."""
        return message_id in self._responses

    def cancel(self, context_id: int, message_id: int) -> None:
        """Send C-CANCEL for a request of ours; its responses go on until a final one."""
        self._driver.may_send_data()
        self._driver.send((self._message(context_id, commands.cancel_rq(message_id), None),))

    # ---- responses to us

    def _await(self, message_id: int) -> Response:
        waiting = self._responses[message_id]
        self._driver.awaiting = True
        try:
            while not waiting:
                self._handle(self._driver.take())
        finally:
            self._driver.awaiting = False
        response = waiting.popleft()
        if not commands.is_pending(response.status):
            del self._responses[message_id]
        return response

    def _begin_answer(self, command: Command) -> None:
        self._answer = (command, bytearray())
        if not commands.has_data(command):
            self._end_answer(None)

    def _continue_answer(self, part: Part) -> None:
        assert self._answer is not None
        for view in part.views:
            self._answer[1].extend(view)
        if len(self._answer[1]) > self._response_limit:
            self._driver.violated(0)
        elif part.last:
            self._end_answer(bytes(self._answer[1]))

    def _end_answer(self, data: bytes | None) -> None:
        assert self._answer is not None
        command, self._answer = self._answer[0], None
        waiting = self._responses.get(commands.number(command, commands.MESSAGE_ID_RESPONDED))
        if waiting is not None:
            waiting.append(Response(commands.status_of(command), command, data))
        else:
            log.warning("response.unexpected", status=commands.status_of(command))

    # ---- leaving

    def _number(self, command: Command) -> int:
        """Give the request a message id that no other has now."""
        message_id = next(self._message_ids) & 0xFFFF
        while not message_id or message_id in self._responses:
            message_id = next(self._message_ids) & 0xFFFF
        command[commands.MESSAGE_ID] = message_id
        return message_id

    def _message(self, context_id: int, command: Command, data: bytes | None) -> bytes:
        command[commands.DATA_SET_TYPE] = commands.NO_DATA if data is None else commands.DATA_FOLLOWS
        head = command_pdus(context_id, command, self._size)
        return head if data is None else head + data_pdus(context_id, data, self._size)

    def _load(self, item: Outgoing) -> _Loaded:
        """Make a C-STORE ready to leave, in the buffer that the one before has left. Raises `SourceFailed`."""
        vectors = self._outlet(item.context_id)
        n, more = item.source.read_into(vectors.view)
        command = commands.store_rq(
            item.sop_class, item.sop_instance, priority=item.priority, originator=item.originator
        )
        command[commands.DATA_SET_TYPE] = commands.DATA_FOLLOWS
        message_id = self._number(command)
        pdus = [command_pdus(item.context_id, command, self._size), *vectors.pdus(n, more)]
        return _Loaded(item, message_id, pdus, more)

    def _leave(self, loaded: _Loaded) -> int:
        """Send what is loaded and the rest of its data set; the message id."""
        self._driver.may_send_data()
        self._responses[loaded.message_id] = deque()
        self._driver.send(loaded.pdus)
        more, vectors = loaded.more, self._outlet(loaded.item.context_id)
        while more:
            try:
                n, more = loaded.item.source.read_into(vectors.view)
            except SourceFailed as error:
                self._driver.abort()
                raise AssociationAborted(0, 0, by_peer=False) from error
            self._driver.send(vectors.pdus(n, more))
        return loaded.message_id

    def _outlet(self, context_id: int) -> Vectors:
        if self._slab is None:
            self._slab, self._vectors = self._slabs.borrow(), None
        if self._vectors is None or self._vectors.context_id != context_id:
            self._vectors = Vectors(self._slab, context_id, self._size)
        return self._vectors

    def _return_slab(self) -> None:
        self._vectors = None
        if self._slab is not None:
            slab, self._slab = self._slab, None
            self._slabs.give_back(slab)
