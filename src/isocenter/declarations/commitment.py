"""Storage Commitment (PS3.4 J) as data: the statuses and reasons that we send, and what those of a peer mean.

The negotiator, both services and the conformance statement read it.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

REQUEST: Final = 1
"""Action Type ID of N-ACTION: Request Storage Commitment."""
SUCCESSFUL: Final = 1
"""Event Type ID: Storage Commitment Request Successful."""
FAILURES_EXIST: Final = 2
"""Event Type ID: Storage Commitment Request Complete, Failures Exist."""
EVENTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        SUCCESSFUL: "Storage Commitment Request Successful",
        FAILURES_EXIST: "Storage Commitment Request Complete - Failures Exist",
    }
)


class Failure(IntEnum):
    """Failure Reason (0008,1197) of one instance (PS3.3 C.14.1.1). `NONE`: it is committed."""

    NONE = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


FAILURES: Final[Mapping[int, str]] = MappingProxyType(
    {
        Failure.PROCESSING_FAILURE: "processing failure",
        Failure.NO_SUCH_OBJECT: "no such object instance",
        Failure.CLASS_INSTANCE_CONFLICT: "class-instance conflict",
        Failure.CLASS_NOT_SUPPORTED: "referenced SOP class not supported",
        Failure.DUPLICATE_TRANSACTION: "duplicate transaction UID",
        Failure.RESOURCE_LIMITATION: "resource limitation",
    }
)
"""The reasons in words."""


class Action(IntEnum):
    """Status of our N-ACTION response (PS3.7 10.1.4.1.10, I-COMMIT-ST, X-QR-66)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_VALUE = 0x0121
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


ACTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        Action.SUCCESS: "the request is durable; the report follows",
        Action.PROCESSING_FAILURE: "the data set can't be read, or the database can't be reached",
        Action.INVALID_ARGUMENT: "a UID is malformed",
        Action.NO_SUCH_CLASS: "the requested SOP class is not the push model",
        Action.CLASS_INSTANCE_CONFLICT: "the requested SOP instance is not the well-known one",
        Action.MISSING_ATTRIBUTE: "a required attribute is absent",
        Action.MISSING_VALUE: "a required attribute has no value",
        Action.NO_SUCH_ACTION: "the action type is not 1",
        Action.RESOURCE_LIMITATION: "the request is longer than `limits.identifier`",
    }
)
"""When each is sent."""


class Answer(IntEnum):
    """Status of our N-EVENT-REPORT response (X-MOD-36)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT = 0x0113
    INVALID_ARGUMENT = 0x0115
    UNKNOWN_TRANSACTION = 0x0211
    EXPIRED_TRANSACTION = 0x0213


ANSWERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        Answer.SUCCESS: "the result is recorded",
        Answer.PROCESSING_FAILURE: "the report can't be read or recorded",
        Answer.NO_SUCH_EVENT: "the event type is neither 1 nor 2",
        Answer.INVALID_ARGUMENT: "it names instances that the request did not; they are named in the event reply",
        Answer.UNKNOWN_TRANSACTION: "this AE never issued the transaction UID",
        Answer.EXPIRED_TRANSACTION: "the report came later than `commitment.timeout` after the request",
    }
)
"""When each is sent."""

_WARNINGS: Final = frozenset((0x0001, 0x0107, 0x0116))


def delivered(status: int) -> bool:
    """Whether a peer's answer to our report counts as success: 0000, or a warning such as 0107 (X-QR-66)."""
    return status == Answer.SUCCESS or status in _WARNINGS or 0xB000 <= status <= 0xBFFF


def in_words(failure: int) -> str:
    """A Failure Reason for a person."""
    return FAILURES.get(failure, f"failure {failure:04X}")
