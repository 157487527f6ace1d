"""What is assumed of an object that doesn't say it, by who sent it and which AE received it: the character set (its
sender's, else that of the AE, else the first one's: I-CHAR-03, I-CHAR-04), the issuer of its Patient ID.
"""

from collections.abc import Callable
from functools import cache

from isocenter.archive.packs.build import Assumed
from isocenter.config import Settings, may_call_from
from isocenter.database import Database
from isocenter.dicom.part10 import Receipt
from isocenter.index import rebuild
from isocenter.index.keys import wanted
from isocenter.registry import stored
from isocenter.registry.roster import Directory, merged


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


def with_stored(settings: Settings, index: Database) -> Settings:
    """The settings with the AEs and peers that the database has."""
    with index.reading(snapshot=True) as connection:
        return merged(settings, stored.read(connection)).settings


def assumptions(settings: Settings, index: Database) -> rebuild.Assume:
    """What is configured for the sender of an object that is adopted, in the settings or in `index`.

    That is looked up with the first object: what makes the index anew brings back its AEs and peers before.
    """

    configured = cache(lambda: with_stored(settings, index))
    indexed = wanted(settings.index.attributes)

    def assume(receipt: Receipt) -> rebuild.Assumed:
        titled = configured().peers_titled(receipt.sending_aet)
        ae = configured().ae(receipt.receiving_aet) or configured().aes[0]
        if not titled:
            return rebuild.Assumed("", ae.character_set, indexed)
        here = [peer for peer in titled if receipt.address in (peer.host, *peer.addresses)]
        peer = (here or titled)[0]
        return rebuild.Assumed(peer.issuer, peer.character_set or ae.character_set, indexed)

    return assume
