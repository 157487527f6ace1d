"""The stored file's header: written with room for the digest, which is known once the data set is through."""

from isocenter.archive.arriving import Origin
from isocenter.archive.coercing import Identity
from isocenter.dicom import part10
from isocenter.dicom.part10 import Receipt, Received
from isocenter.index.records import DuplicatePolicy

_NO_DIGEST = "?" * 64
_UNTOLD = frozenset({DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.NEW_UID})
"""Policies that leave no trace in the receipt, since a rebuilt index needs none to come to the same verdicts."""


def blank(origin: Origin, identity: Identity, syntax: str, received_at: int, received: Received | None) -> bytes:
    """The header but for the digest. `received`: what the sender's bytes were, where they are not what is kept."""
    policy = "" if origin.policy in _UNTOLD else str(origin.policy)
    receipt = Receipt(origin.calling, origin.called, origin.address, received_at, _NO_DIGEST, policy, received)
    return part10.stored_header(*identity, syntax, receipt)


def filled(header: bytes, digest: str) -> bytes:
    """`blank` with the digest of the data set, as long as before."""
    # the last ones: a UID may hold as many zeros, what follows the digest is shorter
    before, _, after = header.rpartition(_NO_DIGEST.encode())
    return before + digest.encode() + after
