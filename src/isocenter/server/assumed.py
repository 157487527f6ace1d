"""The character set that an object is in where it names none: its sender's, else that of the AE that received it, else
the first one's (I-CHAR-03, I-CHAR-04)."""

from collections.abc import Callable

from isocenter.archive.packs.build import Assumed
from isocenter.config import Settings, may_call_from
from isocenter.dicom.part10 import Receipt
from isocenter.registry.roster import Directory


def assumed_by(directory: Directory) -> Assumed:
    """What `archive.packs` asks, by the AEs and peers that hold at that moment. The receipt is only read where senders
    or AEs differ in this."""

    def assumed(receipt: Callable[[], Receipt | None]) -> str:
        settings = directory.now().settings
        first = settings.aes[0].character_set
        alike = all(ae.character_set == first for ae in settings.aes)
        if alike and not any(peer.character_set for peer in settings.peers):
            return first
        found = receipt()
        return _of(settings, found) if found else first

    return assumed


def _of(settings: Settings, receipt: Receipt) -> str:
    titled = settings.peers_titled(receipt.sending_aet) if receipt.sending_aet else ()
    at = receipt.address
    here = [peer for peer in titled if at and (peer.host == at or may_call_from(peer, at))]
    peer = next(iter((*here, *titled)), None)
    ae = settings.ae(receipt.receiving_aet) or settings.aes[0]
    return (peer.character_set if peer else "") or ae.character_set
