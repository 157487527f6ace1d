"""Everything that can go wrong, as a tree.

    IsocenterError                reason (what) and comment (for the peer, without patient data)
      Refused                     the request can't be served as it is; the same again gives the same answer
      Retriable                   the same request may succeed later
      ConfigurationError          a setting is wrong; the comment names it

`declarations.statuses` maps (preset, service, reason) to the DIMSE status, the HTTP status or the STOW reason, since
these differ by AE.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something failed, in words of ours."""

    OUT_OF_RESOURCES = "out-of-resources"
    OUT_OF_STORAGE = "out-of-storage"
    CANNOT_UNDERSTAND = "cannot-understand"
    UNABLE_TO_PROCESS = "unable-to-process"
    PROCESSING_FAILURE = "processing-failure"
    SOP_CLASS_MISMATCH = "sop-class-mismatch"
    SOP_INSTANCE_MISMATCH = "sop-instance-mismatch"
    SOP_CLASS_NOT_SUPPORTED = "sop-class-not-supported"
    TRANSFER_SYNTAX_NOT_SUPPORTED = "transfer-syntax-not-supported"
    IDENTIFIER_MISMATCH = "identifier-mismatch"
    DUPLICATE_SOP_INSTANCE = "duplicate-sop-instance"
    TOO_MANY_MATCHES = "too-many-matches"
    CANNOT_COUNT_MATCHES = "cannot-count-matches"
    CANNOT_PERFORM_SUBOPERATIONS = "cannot-perform-suboperations"
    DESTINATION_UNKNOWN = "destination-unknown"
    STUDY_MISMATCH = "study-mismatch"
    NOT_AUTHORIZED = "not-authorized"
    NOT_FOUND = "not-found"
    NOT_ACCEPTABLE = "not-acceptable"
    BAD_REQUEST = "bad-request"
    TOO_LARGE = "too-large"
    CANCELLED = "cancelled"


class IsocenterError(Exception):
    """The root: a `reason` for the program and a `comment` (at most 64 characters reach a DIMSE peer) for a person."""

    def __init__(self, reason: Reason, comment: str = "") -> None:
        super().__init__(f"{reason}: {comment}" if comment else str(reason))
        self.reason = reason
        self.comment = comment


class Refused(IsocenterError):
    """The request can't be served as it stands; sending it again changes nothing."""


class Retriable(IsocenterError):
    """A lack of something that may be there later: space, a database, a peer."""


class ConfigurationError(IsocenterError):
    """A setting is unknown, malformed or contradicts another; the comment names it."""

    def __init__(self, comment: str) -> None:
        super().__init__(Reason.BAD_REQUEST, comment)
