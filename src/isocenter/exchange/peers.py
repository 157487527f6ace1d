"""Where other Application Entities are, and associations to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isocenter.config import Settings
from isocenter.config.settings import HostedAE, Limits, Peer
from isocenter.dimse import Association, ProposedContext, connect
from isocenter.dimse import Settings as AssociationSettings
from isocenter.exchange.contexts import Proposal


def association_settings(limits: Limits, peer: Peer | None = None) -> AssociationSettings:
    """The network engine's settings, by the configured limits and what is known of the peer."""
    announced = peer.max_pdu if peer is not None and peer.max_pdu else limits.max_pdu
    return AssociationSettings(
        max_pdu=announced,
        max_pdu_sent=limits.max_pdu_sent,
        artim=limits.artim,
        dimse=limits.dimse,
        idle=limits.idle,
        send=limits.send,
        connect=limits.connect,
        response_limit=max(limits.identifier, 1 << 16),
    )


@dataclass(frozen=True, slots=True)
class Peers:
    """The peers that an installation knows."""

    settings: Settings

    def destination(self, title: str, ae: HostedAE, requestor: str) -> Peer | None:
        """The peer that a C-MOVE names. Of several with one title that at the requestor's own address comes first.

        An unknown title is None, or where the AE is set so (I-ASSOC-02) that title at the requestor's address.
        """
        known = [peer for peer in self.settings.peers_titled(title) if peer.host]
        for peer in known:
            if requestor in (peer.host, *peer.addresses):
                return peer
        if known:
            return known[0]
        if ae.unknown_destination == "requestor" and 0 < len(title) <= 16:
            return Peer(title=title, host=requestor, port=ae.unknown_destination_port)
        return None

    def known(self, title: str, address: str) -> Peer | None:
        """What is configured of a caller: the peer of this title and address, or of this title anywhere."""
        titled = self.settings.peers_titled(title)
        here = [peer for peer in titled if address in (peer.host, *peer.addresses)]
        return next(iter(here or titled), None)

    def connect(self, peer: Peer, calling: str, proposals: Sequence[Proposal]) -> Association:
        """An association to `peer` with the proposed storage contexts. Raises what `dimse.connect` raises."""
        contexts = [ProposedContext(proposal.sop_class, proposal.syntaxes) for proposal in proposals]
        return self.open(peer, calling, contexts)

    def open(self, peer: Peer, calling: str, contexts: Iterable[ProposedContext]) -> Association:
        """An association to `peer` with these contexts."""
        return connect(
            (peer.host, peer.port),
            calling=peer.called_as or calling,
            called=peer.title,
            contexts=list(contexts),
            settings=association_settings(self.settings.limits, peer),
        )
