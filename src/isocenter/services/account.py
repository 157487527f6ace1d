"""The account of a retrieval's sub-operations: PS3.4 C.4.2.1, C.4.3.1."""

from collections.abc import Iterable

from isocenter.declarations import statuses
from isocenter.dicom.dataset import Element, encode
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.exchange.sending import Sendable, Sent

_FAILED_LIST = 0x00080058
_LONGEST_LIST = 65_000
"""Bytes of the list of failed UIDs; a value of VR UI ends at 65,534 in the explicit transfer syntaxes."""
_MOST = 0xFFFF
"""The largest count that a response can carry (VR US)."""


class Account:
    """The sub-operations of one request: counts for every response, the failed UIDs for the last."""

    def __init__(self, total: int) -> None:
        self.remaining, self.completed, self.failed, self.warned = total, 0, 0, 0
        self._failed_uids: list[str] = []
        self._listed = 0

    def note(self, sent: Sent) -> None:
        """One sub-operation ended."""
        self.remaining = max(0, self.remaining - 1)
        if sent.failed:
            self._fail(sent.item.sop_uid)
        elif sent.warned:
            self.warned += 1
        else:
            self.completed += 1

    def give_up(self, items: Iterable[Sendable]) -> None:
        """These sub-operations can't be performed any more."""
        for item in items:
            self.remaining = max(0, self.remaining - 1)
            self._fail(item.sop_uid)

    def lose_rest(self) -> None:
        """Nor can any other; it isn't even known what they would have been of."""
        self.failed += self.remaining
        self.remaining = 0

    def _fail(self, uid: str) -> None:
        self.failed += 1
        if self._listed + len(uid) < _LONGEST_LIST:
            self._listed += len(uid) + 1
            self._failed_uids.append(uid)

    def pending(self, request: Command, status: int = statuses.PENDING) -> Command:
        """A response for the sub-operations so far."""
        return commands.response(request, status, "", remaining=min(self.remaining, _MOST), **self._counts())

    def final(self, request: Command, status: int, comment: str = "") -> Command:
        """The last response. Only a cancelled one tells how many remain (PS3.4 C.4.2.1.6, C.4.3.1.6)."""
        counts = self._counts()
        if status == statuses.CANCELLED:
            counts["remaining"] = min(self.remaining, _MOST)
        return commands.response(request, status, comment, **counts)

    @property
    def moved(self) -> bool:
        """Whether any object arrived."""
        return self.completed + self.warned > 0

    def identifier(self, syntax: str) -> bytes | None:
        """The data set of a final response: Failed SOP Instance UID List, where there is any."""
        if not self._failed_uids:
            return None
        value = "\\".join(self._failed_uids).encode("ascii", "replace")
        return encode({_FAILED_LIST: Element("UI", value + b"\0" * (len(value) % 2))}, syntax)

    def _counts(self) -> dict[str, int]:
        counts = {"completed": self.completed, "failed": self.failed, "warning": self.warned}
        return {name: min(n, _MOST) for name, n in counts.items()}
