"""From fragments to messages: command sets are put together and read, data sets pass through (PS3.8 E, PS3.7 6.3)."""

from typing import NamedTuple

from isocenter.dimse.commands import Command, MalformedCommand, decode, has_data
from isocenter.dimse.pdu import MalformedPdu
from isocenter.dimse.upper_layer import Fragments


class Head(NamedTuple):
    """A message has begun: its command set. Parts follow if it announces a data set."""

    context_id: int
    command: Command


class Part(NamedTuple):
    """A piece of the data set of the last head."""

    views: list[memoryview]
    last: bool

    def copied(self) -> "Part":
        """The same with bytes of its own."""
        return Part([memoryview(b"".join(self.views))], self.last)


class Assembler:
    """Follows one association. What a peer may not send raises `MalformedPdu`."""

    def __init__(self, context_ids: frozenset[int], limit: int) -> None:
        self._known = context_ids
        self._limit = limit
        self._command = bytearray()
        self._command_context = 0
        self._data_context = 0

    @property
    def busy(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._command or self._data_context)

    def feed(self, fragments: Fragments) -> Head | Part | None:
        """The head or part that the fragments complete, if any."""
        if fragments.is_command:
            return self._head(fragments)
        if fragments.context_id != self._data_context:
            raise MalformedPdu("data set without a command set")
        if fragments.last:
            self._data_context = 0
        return Part(fragments.views, fragments.last)

    def _head(self, fragments: Fragments) -> Head | None:
        context_id, _, last, views = fragments
        if context_id not in self._known:
            raise MalformedPdu("unknown presentation context")
        if self._data_context or (self._command and context_id != self._command_context):
            raise MalformedPdu("command set within another message")
        self._command_context = context_id
        for view in views:
            self._command += view
        if len(self._command) > self._limit:
            raise MalformedPdu("command set too long")
        if not last:
            return None
        data, self._command = bytes(self._command), bytearray()
        try:
            command = decode(data)
        except MalformedCommand as error:
            raise MalformedPdu(str(error), reason=0) from error
        if has_data(command):
            self._data_context = context_id
        return Head(context_id, command)
