"""What the services of higher rooms look like to the network engine.

For each request the `ServiceMap` names the service. Its `sink` takes the data set as it arrives, then `perform` answers
with `association.respond(...)`. A service that wants small data sets whole derives from `BufferedService`. All of it
runs in the association's thread; but where a peer may have several operations in flight, `perform` of a service whose
attribute `overlaps` is True runs in other threads (see `overlapping`), where it may do nothing with the association but
`respond`. An exception of a service, in any of these calls, becomes a failure response.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from isocenter.dimse.commands import Command
from isocenter.errors import Reason, Refused

if TYPE_CHECKING:
    from isocenter.dimse.association import Association

BUFFER_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context, seen from us."""

    id: int
    abstract: str
    transfer_syntax: str
    as_scu: bool
    """We may invoke its operations."""
    as_scp: bool
    """The peer may."""
    extended: bytes = b""
    """The service class application information that was agreed on; b"" where none was."""


class Sink(Protocol):
    """Takes one data set."""

    def write(self, views: Sequence[memoryview]) -> None:
        """The next bytes, in order. The views hold only during the call."""

    def close(self) -> None:
        """The data set is complete."""

    def abandon(self) -> None:
        """The rest won't come: the association ended, or the service failed. Called at most once, never after a
        `close` that returned."""


class Service(Protocol):
    """Performs the operations of one command field or SOP class."""

    def sink(self, association: "Association", context: Context, command: Command) -> Sink:
        """Where the data set of this request goes. Not called where none follows."""

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """The request is complete; `sink` is the one from above, closed, or None without a data set."""


ServiceMap = Callable[[Context, Command], Service | None]
"""The service for a request, or None: it is answered with 0122 (SOP class not supported)."""


class BufferSink:
    """Collects a data set in memory up to `limit` bytes; beyond them it drops all and notes it."""

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self._data = bytearray()
        self._limit = limit
        self.overflowed = False

    def write(self, views: Sequence[memoryview]) -> None:
        """Keep the bytes."""
        if self.overflowed:
            return
        for view in views:
            self._data += view
        if len(self._data) > self._limit:
            self.overflowed = True
            self._data = bytearray()

    def close(self) -> None:
        """Nothing to do."""

    def abandon(self) -> None:
        """Drop the bytes."""
        self._data = bytearray()

    def value(self) -> bytes:
        """The data set."""
        return bytes(self._data)


class NullSink:
    """Drops a data set."""

    def write(self, views: Sequence[memoryview]) -> None:
        """Drop the bytes."""

    def close(self) -> None:
        """Nothing to do."""

    def abandon(self) -> None:
        """Nothing to do."""


class BufferedService(ABC):
    """A service that wants the data set as bytes."""

    limit: int = BUFFER_LIMIT
    """Longest data set in bytes; a longer one is refused as too large."""

    def sink(self, association: "Association", context: Context, command: Command) -> Sink:
        """A buffer of at most `limit`."""
        return BufferSink(self.limit)

    def perform(self, association: "Association", context: Context, command: Command, sink: Sink | None) -> None:
        """Pass the whole data set to `answer`."""
        data = None
        if isinstance(sink, BufferSink):
            if sink.overflowed:
                raise Refused(Reason.TOO_LARGE, "data set too long")
            data = sink.value()
        self.answer(association, context, command, data)

    @abstractmethod
    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Perform the request with its data set, encoded in the context's transfer syntax, or None without one."""
