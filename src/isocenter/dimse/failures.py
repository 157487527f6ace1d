"""What can go wrong with an association, as types (see `isocenter.errors`)."""

from isocenter.dimse import reasons
from isocenter.errors import IsocenterError, Reason, Refused, Retriable


class AssociationRejected(IsocenterError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        told = reasons.rejection(result, source, reason)
        super().__init__(Reason.NOT_AUTHORIZED, f"association rejected: {result}/{source}/{reason} ({told})")
        self.result, self.source, self.rejection = result, source, reason


class RejectedPermanently(AssociationRejected, Refused):
    """Result 1: the same request would be rejected again."""


class RejectedTransiently(AssociationRejected, Retriable):
    """Result 2: congestion or a limit; it may work later."""


def rejected(result: int, source: int, reason: int) -> AssociationRejected:
    """The exception for a rejection."""
    kind = RejectedTransiently if result == 2 else RejectedPermanently
    return kind(result, source, reason)


class AssociationAborted(Retriable):
    """The association ended without release: A-ABORT from the peer or from us, or the connection was lost."""

    def __init__(self, source: int = 2, reason: int = 0, *, by_peer: bool = True) -> None:
        super().__init__(
            Reason.OUT_OF_RESOURCES, f"association aborted: {source}/{reason} ({reasons.abort(source, reason)})"
        )
        self.source, self.abort_reason, self.by_peer = source, reason, by_peer


class AssociationReleased(Retriable):
    """The peer released the association while something was still expected of it."""

    def __init__(self) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, "association released by the peer")


class PeerTimeout(Retriable):
    """The peer sent nothing, or took nothing, for too long."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, f"timeout: {what}")


class PeerUnreachable(Retriable):
    """No connection, or no TLS session, could be made."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, what)


class ContextNotAccepted(Refused):
    """No accepted presentation context serves the operation."""

    def __init__(self, sop_class: str) -> None:
        super().__init__(Reason.SOP_CLASS_NOT_SUPPORTED, f"no context for {sop_class}")


class SourceFailed(Retriable):
    """The bytes to be sent couldn't be read."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.PROCESSING_FAILURE, what)
