"""The statuses of each DIMSE service with their meaning, for the conformance statement: what we answer as SCP, and what
we make of an answer as SCU. Which code a failure gets is `statuses`' affair; here it is only put into words.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations import statuses
from isocenter.declarations.presets import Preset
from isocenter.declarations.statuses import Cause, Frames, Partial, Service, pending_status
from isocenter.errors import Reason


class Answer(NamedTuple):
    """One status that an SCP of ours answers with."""

    status: str
    """Success, Warning, Failure, Refused, Cancel, Pending."""
    meaning: str
    codes: tuple[int, ...]
    reason: str


WORDS: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Reason.OUT_OF_RESOURCES: "the index, the network or a worker can't serve the request at the moment",
        Reason.OUT_OF_STORAGE: "less space is free than the configured floor",
        Reason.CANNOT_UNDERSTAND: "the data set or identifier can't be parsed, or is missing",
        Reason.UNABLE_TO_PROCESS: "the request is understood but can't be carried out",
        Reason.PROCESSING_FAILURE: "an error of the archive itself",
        Reason.SOP_CLASS_MISMATCH: "the SOP class of request, data set and presentation context differ",
        Reason.SOP_INSTANCE_MISMATCH: "the SOP Instance UID of request and data set differ, or one is missing",
        Reason.SOP_CLASS_NOT_SUPPORTED: "the SOP class is not supported by this AE",
        Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: "the transfer syntax is not supported",
        Reason.IDENTIFIER_MISMATCH: "the identifier does not fit the information model: level, unique keys or a value",
        Reason.DUPLICATE_SOP_INSTANCE: "the SOP instance is known already and the AE refuses duplicates",
        Reason.TOO_MANY_MATCHES: "more matches than the limit of the AE at this level",
        Reason.CANNOT_COUNT_MATCHES: "the index can't tell the number of matches at the moment",
        Reason.CANNOT_PERFORM_SUBOPERATIONS: "none of the instances could be sent",
        Reason.DESTINATION_UNKNOWN: "the move destination is unknown or can't be reached",
        Reason.STUDY_MISMATCH: "the instance belongs to another study",
        Reason.NOT_AUTHORIZED: "the peer may not use this service",
        Reason.NOT_FOUND: "what the request names is not in the archive",
        Reason.NOT_ACCEPTABLE: "what is asked for can't be given in an acceptable form",
        Reason.BAD_REQUEST: "the request itself is malformed",
        Reason.TOO_LARGE: "the data set is larger than the configured limit",
        Reason.CANCELLED: "the peer cancelled the request",
        Partial.ARCHIVE_UNAVAILABLE: "an archive that the query was passed on to is not available",
        Partial.ARCHIVE_LIMIT_EXCEEDED: "an archive that the query was passed on to has more matches than its limit",
        Partial.ARCHIVE_ERROR: "an archive that the query was passed on to answered with an error",
        Frames.NONE_FOUND: "none of the frames that the request names is there",
        Frames.NO_NEW_INSTANCE: "no instance of frames can be made of this SOP class",
        Frames.NOT_EXTRACTED: "the frames can't be taken out of the instance",
        Frames.NOT_TIMED: "a time range is asked for of frames that have no times",
        Frames.INVALID: "the frame keys contradict each other or name no frames",
    }
)
"""Why a request fails, in a sentence for each."""

_ANY: Final = (Reason.OUT_OF_RESOURCES, Reason.NOT_AUTHORIZED, Reason.SOP_CLASS_NOT_SUPPORTED)
_READ: Final = (*_ANY, Reason.CANNOT_UNDERSTAND, Reason.IDENTIFIER_MISMATCH, Reason.TOO_MANY_MATCHES)
_SENT: Final = (Reason.CANNOT_COUNT_MATCHES, Reason.CANNOT_PERFORM_SUBOPERATIONS, Reason.DESTINATION_UNKNOWN)
CAUSES: Final[Mapping[Service, tuple[Cause, ...]]] = MappingProxyType(
    {
        Service.ECHO: (Reason.BAD_REQUEST,),
        Service.STORE: (
            *_ANY,
            Reason.OUT_OF_STORAGE,
            Reason.TOO_LARGE,
            Reason.SOP_CLASS_MISMATCH,
            Reason.SOP_INSTANCE_MISMATCH,
            Reason.CANNOT_UNDERSTAND,
            Reason.UNABLE_TO_PROCESS,
            Reason.DUPLICATE_SOP_INSTANCE,
        ),
        Service.FIND: (*_READ, Reason.UNABLE_TO_PROCESS),
        Service.WORKLIST: (*_READ, Reason.UNABLE_TO_PROCESS),
        Service.MOVE: (*_READ, Reason.UNABLE_TO_PROCESS, *_SENT, *Frames),
        Service.GET: (*_READ, Reason.UNABLE_TO_PROCESS, *_SENT[:2], *Frames),
    }
)
"""What may go wrong in each service; anything else is a processing failure."""

_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0110: "Processing failure",
        0x0111: "Duplicate SOP instance",
        0x0112: "No such SOP instance",
        0x0122: "SOP class not supported",
        0x0124: "Not authorized",
        0xA700: "Out of resources",
        0xA701: "Out of resources - unable to calculate number of matches",
        0xA702: "Out of resources - unable to perform sub-operations",
        0xA801: "Move destination unknown",
        0xA900: "Data set or identifier does not match SOP class",
        0xAA00: "None of the frames requested were found",
        0xAA01: "Unable to create new object for this SOP class",
        0xAA02: "Unable to extract frames",
        0xAA03: "Time-based request received for a non-time-based original SOP instance",
        0xAA04: "Invalid request",
        0xC000: "Cannot understand",
        0xC001: "Unable to process",
        0xC002: "Unable to process",
        0xC122: "Transfer syntax not supported",
    }
)
_SUCCESS: Final[Mapping[Service, str]] = MappingProxyType(
    {
        Service.ECHO: "always, once the association is established, to a request without a data set",
        Service.STORE: "the instance, its name and its entry in the index are durable",
        Service.FIND: "all matches were sent; this response has no identifier",
        Service.WORKLIST: "all matches were sent; this response has no identifier",
        Service.MOVE: "all sub-operations succeeded, or nothing matched",
        Service.GET: "all sub-operations succeeded, or nothing matched",
    }
)
_CANCELLED: Final = Answer("Cancel", "Terminated due to cancel request", (statuses.CANCELLED,), "C-CANCEL was received")
_STORE_WARNINGS: Final = (
    Answer("Warning", "Coercion of data elements", (statuses.COERCED,), "stored with values other than those received"),
    Answer(
        "Warning", "Elements discarded", (statuses.ELEMENTS_DISCARDED,), "stored without some of the elements received"
    ),
    Answer(
        "Warning", "Data set does not match SOP class", (statuses.DOES_NOT_MATCH_SOP_CLASS,),
        "stored, although validation, where the AE has it on, found faults",
    ),
)  # fmt: skip
_PENDING: Final = (
    Answer("Pending", "Matches are continuing", (statuses.PENDING,), "a match, all optional keys supported"),
    Answer(
        "Pending", "Matches are continuing - warning", (statuses.PENDING_UNSUPPORTED_KEYS,),
        "a match, though an optional key was not supported for matching",
    ),
    _CANCELLED,
)  # fmt: skip
_SUBOPERATIONS: Final = (
    Answer("Pending", "Sub-operations are continuing", (statuses.PENDING,), "after each sub-operation, with counts"),
    Answer(
        "Warning", "Sub-operations complete - one or more failures", (statuses.SOME_SUBOPERATIONS_FAILED,),
        "some instances were not sent or drew a warning; Failed SOP Instance UID List tells which failed",
    ),
    _CANCELLED,
)  # fmt: skip
_BESIDE: Final[Mapping[Service, tuple[Answer, ...]]] = MappingProxyType(
    {
        Service.ECHO: (),
        Service.STORE: _STORE_WARNINGS,
        Service.FIND: _PENDING,
        Service.WORKLIST: _PENDING,
        Service.MOVE: _SUBOPERATIONS,
        Service.GET: _SUBOPERATIONS,
    }
)


def answers(service: Service, preset: Preset = "default") -> list[Answer]:
    """What an SCP of ours may answer, success first; the last row stands for whatever is not named before."""
    by_code: dict[int, list[str]] = {}
    for cause in CAUSES[service]:
        by_code.setdefault(statuses.dimse_status(service, cause, preset), []).append(WORDS[cause])
    other = statuses.dimse_status(service, Reason.PROCESSING_FAILURE, preset)
    words = by_code.pop(other, [])
    failures = [_failure(code, reasons) for code, reasons in sorted(by_code.items())]
    last = _failure(other, [*words, "anything else"])
    pending = _SUPPORTED if pending_status(service, preset, unsupported=True) == _UNSUPPORTED_KEYS else ()
    beside = (*(pending if service in (Service.MOVE, Service.GET) else ()), *_BESIDE[service])
    return [Answer("Success", "Success", (statuses.SUCCESS,), _SUCCESS[service]), *beside, *failures, last]


_UNSUPPORTED_KEYS: Final = statuses.PENDING_UNSUPPORTED_KEYS
_SUPPORTED: Final = (
    Answer(
        "Pending", "Sub-operations are continuing - warning", (_UNSUPPORTED_KEYS,),
        "as FF00, where an optional key of the identifier was not supported for matching",
    ),
)  # fmt: skip


def _failure(code: int, reasons: list[str]) -> Answer:
    status = "Refused" if code >> 8 in (0xA7, 0xA8) or code in (0x0122, 0x0124) else "Failure"
    return Answer(status, _MEANINGS.get(code, "Failure"), (code,), "; ".join(reasons))


class Reaction(NamedTuple):
    """What an SCU of ours does about a status."""

    status: str
    meaning: str
    codes: str
    behavior: str


_FAILED: Final = "{} as failed, with status and Error Comment"
_OTHER: Final = Reaction("*", "Any other status", "any other", "")


def _failures(what: str, *rows: tuple[str, str, str]) -> tuple[Reaction, ...]:
    """The statuses that make `what` fail, and all others."""
    behavior = _FAILED.format(what)
    return (*(Reaction(*row, behavior) for row in rows), _OTHER._replace(behavior=behavior))


_NOT_SUPPORTED: Final = ("Refused", "SOP class not supported", "0122")
_NOT_AUTHORIZED: Final = ("Refused", "Not authorized", "0124")
_IDENTIFIER: Final = ("Failure", "Identifier does not match SOP class", "A900-A9FF")
_UNABLE: Final = ("Failure", "Unable to process", "C000-CFFF")
_QUERIED: Final = (
    Reaction("Success", "Matching is complete", "0000", "the query is complete"),
    Reaction("Pending", "Matches are continuing", "FF00", "the match is passed on"),
    Reaction("Pending", "Matches are continuing, optional keys not supported", "FF01", "the match is passed on"),
    Reaction("Cancel", "Matching terminated due to cancel request", "FE00", "complete as far as it was wanted"),
    *_failures(
        "the query counts",
        ("Refused", "Out of resources", "A700-A7FF"),
        _IDENTIFIER,
        _NOT_SUPPORTED,
        _NOT_AUTHORIZED,
        _UNABLE,
    ),
)
_RETRIEVED: Final = (
    Reaction("Success", "Sub-operations are complete", "0000", "the retrieval is complete"),
    Reaction("Pending", "Sub-operations are continuing", "FF00", "progress is shown"),
    Reaction("Pending", "Sub-operations are continuing, optional keys not supported", "FF01", "progress is shown"),
    Reaction("Warning", "Sub-operations are complete, one or more failures", "B000", "the failures are told"),
    Reaction("Cancel", "Sub-operations terminated due to cancel request", "FE00", "the retrieval ended early"),
    *_failures(
        "the retrieval counts",
        ("Refused", "Out of resources - unable to calculate number of matches", "A701"),
        ("Refused", "Out of resources - unable to perform sub-operations", "A702"),
        ("Refused", "Out of resources", "A700-A7FF"),
        ("Refused", "Move destination unknown", "A801"),
        _IDENTIFIER,
        _NOT_SUPPORTED,
        _NOT_AUTHORIZED,
        _UNABLE,
    ),
)
REACTIONS: Final[Mapping[Service, tuple[Reaction, ...]]] = MappingProxyType(
    {
        Service.ECHO: (
            Reaction("Success", "Success", "0000", "the peer is told to be verified"),
            *_failures("the verification counts", _NOT_SUPPORTED),
        ),
        Service.STORE: (
            Reaction("Success", "Success", "0000", "the instance counts as stored"),
            Reaction("Warning", "Coercion of data elements", "B000", "the instance counts as stored, with a warning"),
            Reaction("Warning", "Elements discarded", "B006", "the instance counts as stored, with a warning"),
            Reaction(
                "Warning", "Data set does not match SOP class", "B007", "the instance counts as stored, with a warning"
            ),
            Reaction(
                "Warning", "Other warnings", "B001-BFFF, 0001, 0107, 0116",
                "the instance counts as stored, with a warning",
            ),
            Reaction(
                "Refused", "Out of resources", "A700-A7FF",
                "the instance counts as failed for now; where tries are left it is sent again",
            ),
            *_failures(
                "the others are sent, the instance counts",
                ("Failure", "Data set does not match SOP class", "A900-A9FF"),
                _NOT_SUPPORTED,
                _NOT_AUTHORIZED,
                ("Failure", "Duplicate SOP instance", "0111"),
                ("Failure", "Invalid SOP instance", "0117"),
                ("Failure", "Duplicate invocation", "0210"),
                ("Failure", "Mistyped argument", "0212"),
                ("Failure", "Cannot understand", "C000-CFFF"),
            ),
        ),
        Service.FIND: _QUERIED,
        Service.WORKLIST: _QUERIED,
        Service.MOVE: _RETRIEVED,
        Service.GET: _RETRIEVED,
    }
)  # fmt: skip
"""What an SCU of ours makes of the statuses that it is answered with; the last row of each is for all others."""
