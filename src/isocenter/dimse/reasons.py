"""What the numbers of A-ASSOCIATE-RJ and A-ABORT say, in the standard's words (PS3.8 tables 9-21 and 9-26)."""

from types import MappingProxyType
from typing import Final

_RESULTS: Final = MappingProxyType({1: "permanently", 2: "transiently"})
_NO_REASON: Final = "no reason given"
_REJECTIONS: Final = MappingProxyType(
    {
        (1, 1): _NO_REASON,
        (1, 2): "application context name not supported",
        (1, 3): "calling AE title not recognized",
        (1, 7): "called AE title not recognized",
        (2, 1): _NO_REASON,
        (2, 2): "protocol version not supported",
        (3, 1): "temporary congestion",
        (3, 2): "local limit exceeded",
    }
)
_SOURCES: Final = MappingProxyType({1: "the user", 2: "the provider (ACSE)", 3: "the provider (presentation)"})
_ABORTS: Final = MappingProxyType(
    {
        0: "reason not specified",
        1: "unrecognized PDU",
        2: "unexpected PDU",
        4: "unrecognized PDU parameter",
        5: "unexpected PDU parameter",
        6: "invalid PDU parameter value",
    }
)


def rejection(result: int, source: int, reason: int) -> str:
    """A rejection for a person: `permanently, by the user: calling AE title not recognized`."""
    who = _SOURCES.get(source, "an unknown source")
    return f"{_RESULTS.get(result, 'rejected')}, by {who}: {_REJECTIONS.get((source, reason), 'reserved')}"


def abort(source: int, reason: int) -> str:
    """An abort for a person: `by the provider: unexpected PDU`. A user's abort has no reason (PS3.8 9.3.8)."""
    if source == 0:
        return f"by the user: {_ABORTS[0]}"
    return f"by {'the provider' if source == 2 else 'an unknown source'}: {_ABORTS.get(reason, 'reserved')}"
