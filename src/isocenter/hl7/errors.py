"""What is wrong with a message, in HL7's own terms (table 0357), and where."""

from enum import IntEnum
from typing import NamedTuple


class Condition(IntEnum):
    """HL7 table 0357: message error conditions."""

    ACCEPTED = 0
    SEGMENT_SEQUENCE = 100
    REQUIRED_FIELD = 101
    DATA_TYPE = 102
    TABLE_VALUE = 103
    UNSUPPORTED_MESSAGE = 200
    UNSUPPORTED_EVENT = 201
    UNSUPPORTED_PROCESSING = 202
    UNSUPPORTED_VERSION = 203
    UNKNOWN_KEY = 204
    DUPLICATE_KEY = 205
    RECORD_LOCKED = 206
    INTERNAL = 207

    @property
    def rejects(self) -> bool:
        """The message as such is not for us (AR, CR), in distinction to one whose content is wrong (AE, CE)."""
        return 200 <= self <= 203

    @property
    def text(self) -> str:
        """The table's words."""
        return _TEXTS[self]


_TEXTS = {
    Condition.ACCEPTED: "Message accepted",
    Condition.SEGMENT_SEQUENCE: "Segment sequence error",
    Condition.REQUIRED_FIELD: "Required field missing",
    Condition.DATA_TYPE: "Data type error",
    Condition.TABLE_VALUE: "Table value not found",
    Condition.UNSUPPORTED_MESSAGE: "Unsupported message type",
    Condition.UNSUPPORTED_EVENT: "Unsupported event code",
    Condition.UNSUPPORTED_PROCESSING: "Unsupported processing id",
    Condition.UNSUPPORTED_VERSION: "Unsupported version id",
    Condition.UNKNOWN_KEY: "Unknown key identifier",
    Condition.DUPLICATE_KEY: "Duplicate key identifier",
    Condition.RECORD_LOCKED: "Application record locked",
    Condition.INTERNAL: "Application internal error",
}


class Location(NamedTuple):
    """A place in a message (ERL, HL7 2.8 2.A.28): numbers from 1, 0 where the place goes no deeper."""

    segment: str = ""
    sequence: int = 1
    """Which of the segments of that name."""
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0


class MessageError(Exception):
    """A message that is not taken. `comment` is for the sender's log: no values of the message stand in it."""

    def __init__(self, condition: Condition, comment: str, location: Location | None = None) -> None:
        super().__init__(f"{condition.text}: {comment}")
        self.condition = condition
        self.comment = comment
        self.location = location
