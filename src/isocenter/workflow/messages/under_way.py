"""A message on its way through its handler, and how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from isocenter.hl7.acknowledgement import Answered
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.messages.handling import Feed, Handler, Sparing
from isocenter.workflow.messages.keeping import Arrival, Known

Acknowledge = Callable[[Connection, Answered], bytes]
"""The acknowledgement of the application, made in the transaction that it becomes part of."""


class Stage(Enum):
    """How far a message is in this process."""

    NEW = 1
    KEPT = 2
    PREPARED = 3
    READY = 4
    DONE = 5


WAITING: Final = (Stage.KEPT, Stage.PREPARED)
"""Something is to be done, or being done, outside."""


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
