"""Why associations are rejected, and what happens where communication fails: rows of the conformance statement.

The rejections are those of `dimse.negotiation` and of the upper layer itself (PS3.8 9.3.4, C-GEN-10).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.dimse import negotiation
from isocenter.dimse.pdu import AssociateReject


class Rejection(NamedTuple):
    """An A-ASSOCIATE-RJ that is sent, and when."""

    answer: AssociateReject
    when: str


REJECTIONS: Final = (
    Rejection(
        negotiation.LOCAL_LIMIT_EXCEEDED,
        "As many associations as are allowed at once are open: to all AEs together, to this AE, or from the peer's "
        "address. Later it may succeed.",
    ),
    Rejection(
        negotiation.TEMPORARY_CONGESTION,
        "The process that took the connection can't take another one, or is about to end. Later it may succeed.",
    ),
    Rejection(
        negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED, "The application context is another than that of the Standard."
    ),
    Rejection(
        negotiation.CALLED_TITLE_NOT_RECOGNIZED, "No AE with the called title is hosted, or not at the port called."
    ),
    Rejection(
        negotiation.CALLING_TITLE_NOT_RECOGNIZED,
        "The calling title, or the address that it calls from, is not one that may call this AE.",
    ),
    Rejection(
        negotiation.NO_REASON,
        "No proposed presentation context is acceptable, where the AE is set to reject such associations; or the user "
        "identity that the AE demands is missing or wrong.",
    ),
    Rejection(negotiation.UNREADABLE, "The request can't be parsed."),
    Rejection(negotiation.VERSION_NOT_SUPPORTED, "The protocol version is not supported."),
)

RESULTS: Final[Mapping[int, str]] = MappingProxyType({1: "rejected-permanent", 2: "rejected-transient"})
SOURCES: Final[Mapping[int, str]] = MappingProxyType(
    {1: "DICOM UL service-user", 2: "DICOM UL service-provider (ACSE)", 3: "DICOM UL service-provider (Presentation)"}
)
REASONS: Final[Mapping[tuple[int, int], str]] = MappingProxyType(
    {
        (1, 1): "no-reason-given",
        (1, 2): "application-context-name-not-supported",
        (1, 3): "calling-AE-title-not-recognized",
        (1, 7): "called-AE-title-not-recognized",
        (2, 1): "no-reason-given",
        (2, 2): "protocol-version-not-supported",
        (3, 1): "temporary-congestion",
        (3, 2): "local-limit-exceeded",
    }
)
"""By source and diagnostic number (PS3.8 table 9-21)."""


class Failure(NamedTuple):
    """An exception in communication and what the AE does about it."""

    exception: str
    behavior: str


AS_SCU: Final = (
    Failure(
        "No connection, or no answer to the association request in time",
        "The operation fails with that reason; it is logged. Where further tries are set for the peer, it is tried "
        "again after a while.",
    ),
    Failure("The association is rejected", "As above; a permanent rejection is not tried again."),
    Failure(
        "No response in time (DIMSE)",
        "The association is aborted; what was not acknowledged counts as failed. The reason is logged, and the "
        "requestor of a C-MOVE is told by counts and status.",
    ),
    Failure("Nothing is taken or sent within a message in time (PDU, TCP)", "As above."),
    Failure(
        "The peer aborts the association or the connection is lost",
        "What was not acknowledged counts as failed; logged and told as above.",
    ),
)
AS_SCP: Final = (
    Failure(
        "No request in time (idle association)",
        "The association is aborted and that is logged. What was acknowledged stays stored.",
    ),
    Failure(
        "The rest of a message does not arrive in time (PDU, TCP)",
        "The association is aborted and that is logged. The incomplete data set is discarded; what was acknowledged, "
        "and what was complete though its response did not get through, stays stored.",
    ),
    Failure(
        "The peer aborts the association or the connection is lost",
        "As above. Sub-operations under way are ended; requests that were taken on as jobs are carried out all the "
        "same.",
    ),
)
