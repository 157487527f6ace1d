"""Where other Application Entities are, and associations to them."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isocenter.config import Settings, may_call_from
from isocenter.config.settings import HostedAE, Limits, Peer
from isocenter.dimse import ClientAssociation, ProposedContext, connect
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
        response=limits.dimse,
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
        if known:
            return next((peer for peer in known if _is_at(peer, requestor)), known[0])
        if ae.unknown_destination == "requestor" and 0 < len(title) <= 16:
            return Peer(title=title, host=_plain(requestor), port=ae.unknown_destination_port)
        return None

    def connect(self, peer: Peer, calling: str, proposals: Sequence[Proposal]) -> ClientAssociation:
        """An association to `peer` with the proposed storage contexts. Raises what `dimse.connect` raises."""
        contexts = [ProposedContext(proposal.sop_class, proposal.syntaxes) for proposal in proposals]
        return self.open(peer, calling, contexts)

    def open(self, peer: Peer, calling: str, contexts: Iterable[ProposedContext]) -> ClientAssociation:
        """An association to `peer` with these contexts."""
        return connect(
            (peer.host, peer.port),
            calling=peer.called_as or calling,
            called=peer.title,
            contexts=list(contexts),
            settings=association_settings(self.settings.limits, peer),
        )


def _is_at(peer: Peer, address: str) -> bool:
    """Whether `address` is the peer's, as far as that can be told without looking up a name."""
    plain = _plain(address)
    return peer.host == plain or may_call_from(peer, plain)


def _plain(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket as itself."""
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or address)
