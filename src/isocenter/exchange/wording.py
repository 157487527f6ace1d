"""The character set that objects leave in for a peer that has one configured (I-CHAR-07, I-CHAR-08, I-SEND-07)."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeAlias

from isocenter.config.settings import Peer
from isocenter.dicom import part10
from isocenter.dicom.recoding import Recode
from isocenter.errors import IsocenterError
from isocenter.exchange.sending import Opened, Opener, Sendable

Assumed: TypeAlias = Callable[[str, str], str]
"""(sending AE title, address) -> the Specific Character Set assumed of its objects; '' where none is configured."""


def nothing_assumed(_title: str, _address: str) -> str:
    """No sender is known."""
    return ""


def worded(opened: Opener, peer: Peer | None, otherwise: str, assumed: Assumed = nothing_assumed) -> Opener:
    """`opened`, with the character set that `peer` gets; as it is where the peer has none configured.

    `otherwise`: what an object is in that names no character set and whose sender has none configured (`assumed`).
    """
    if peer is None or not peer.character_set_sent:
        return opened
    return _Worded(opened, peer, otherwise, assumed)


class _Worded:
    """See `exchange.sending.Opener`."""

    def __init__(self, opened: Opener, peer: Peer, otherwise: str, assumed: Assumed) -> None:
        self._opened, self._otherwise, self._assumed = opened, otherwise, assumed
        self._wanted = Recode(peer.character_set_sent, peer.unknown_character)

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """Opens it; what it is in is looked at only where it doesn't say."""
        found = self._opened(item, stack)
        if getattr(item, "character_set", ""):
            return found._replace(text=self._wanted)
        return found._replace(text=self._wanted._replace(assumed=self._of_sender(found) or self._otherwise))

    def _of_sender(self, found: Opened) -> str:
        """By the receipt in the stored file's header."""
        try:
            receipt = part10.read_receipt(part10.read_header(os.pread(found.fd, found.offset, 0)))
        except (IsocenterError, OSError):
            return ""
        return self._assumed(receipt.sending_aet, receipt.address) if receipt else ""
