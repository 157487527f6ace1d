"""The seam between messages and their meaning.

A handler is found by a message's type and event (MSH-9): `ADT^A08`, else `ADT^*`. What it does in `apply` is committed
together with the note that the message is processed, or not at all.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from sqlalchemy import Connection

from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Header, Message

__all__ = ["Feed", "Handler", "Handlers", "Sparing", "handler_of"]


class Handler(Protocol):
    """Does what messages of a kind ask for."""

    outside: bool
    """Whether `before` does anything. Where it doesn't, a message costs one commit, not two."""

    def before(self, message: Message, feed: Feed) -> None:
        """Effects outside the workflow's tables: edits of the archive, objects stored. Called with no transaction open,
        after the message is kept and before `apply`; again, if the program ended in between, so it has to bear that.
        Raises MessageError for a message that is wrong, with nothing done."""

    def apply(self, connection: Connection, message: Message, feed: Feed) -> Iterable[MessageError] | None:
        """Effects in the workflow's tables, in the transaction that marks the message as processed. What is odd but was
        done all the same is returned, to be told beside success. Raises MessageError for a message that is wrong;
        what it has written until then is undone."""


@runtime_checkable
class Sparing(Protocol):
    """A handler that knows of a message whether there is anything to be done outside."""

    def is_outside(self, connection: Connection, message: Message, feed: Feed) -> bool:
        """Whether `before` would do anything for this message, which is the next of its feed; where it would not, it is
        not called, and the message costs one commit. In the transaction that the message is processed in."""


Handlers = Mapping[str, Handler]
"""By `TYPE^EVENT`, or `TYPE^*` for the events of a type that have none of their own."""


def handler_of(handlers: Handlers, header: Header) -> Handler:
    """Who knows what a message means. Raises MessageError where nobody does: of its type, or of its event."""
    found = handlers.get(f"{header.message}^{header.event}") or handlers.get(f"{header.message}^*")
    if found is not None:
        return found
    if any(kind.startswith(f"{header.message}^") for kind in handlers):
        raise MessageError(Condition.UNSUPPORTED_EVENT, "this event is not supported", Location("MSH", 1, 9, 1, 2))
    raise MessageError(
        Condition.UNSUPPORTED_MESSAGE, "this type of message is not supported", Location("MSH", 1, 9, 1, 1)
    )
