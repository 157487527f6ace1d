"""Where other Application Entities are, and associations to them."""

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from isocenter.config import Settings, may_call_from
from isocenter.config.settings import HostedAE, Limits, Peer
from isocenter.dimse import ClientAssociation, ProposedContext, connect
from isocenter.dimse import Settings as AssociationSettings
from isocenter.exchange.contexts import Proposal
from isocenter.exchange.turns import Turns
from isocenter.registry.roster import Directory, Fixed


def association_settings(limits: Limits, peer: Peer | None = None, ae: HostedAE | None = None) -> AssociationSettings:
    """The network engine's settings, by the configured limits, what is known of the peer, and the AE that calls."""
    own = ae or _NO_AE
    announced = peer.max_pdu if peer is not None else 0
    return AssociationSettings(
        max_pdu=announced or own.max_pdu or limits.max_pdu,
        max_pdu_sent=own.max_pdu_sent or limits.max_pdu_sent,
        window=(own.window.invoked, 1),  # a storage SCP invokes nothing
        artim=limits.artim,
        dimse=limits.dimse if own.dimse is None else own.dimse,
        response=limits.response if own.response is None else own.response,
        idle=limits.idle,
        send=limits.send,
        connect=limits.connect,
        response_limit=max(limits.identifier, 1 << 16),
    )


_NO_AE = HostedAE()


class Peers:
    """The peers that an installation knows: those of `settings`, or with `directory` those that hold at each moment.

    With `turns` none of them gets more associations at once than it may have.
    """

    def __init__(self, settings: Settings, directory: Directory | None = None, turns: Turns | None = None) -> None:
        self._directory, self._turns = directory or Fixed(settings), turns

    def destination(self, title: str, ae: HostedAE, requestor: str) -> Peer | None:
        """The peer that a C-MOVE names. Of several with one title that at the requestor's own address comes first.

        An unknown title is None, or where the AE is set so (I-ASSOC-02) that title at the requestor's address.
        """
        known = self._with_address(title, fresh=False) or self._with_address(title, fresh=True)
        if known:
            return next((peer for peer in known if _is_at(peer, requestor)), known[0])
        if ae.unknown_destination == "requestor" and 0 < len(title) <= 16:
            return Peer(title=title, host=_plain(requestor), port=ae.unknown_destination_port)
        return None

    def _with_address(self, title: str, *, fresh: bool) -> list[Peer]:
        settings = self._directory.now(fresh=fresh).settings
        return [peer for peer in settings.peers_titled(title) if peer.host]

    @contextmanager
    def connect(self, peer: Peer, calling: str, proposals: Sequence[Proposal]) -> Iterator[ClientAssociation]:
        """An association of our AE `calling` to `peer` with the proposed storage contexts, until the end of the block.

        Raises Retriable where the peer has all its associations already for `limits.turn` seconds, and what
        `dimse.connect` raises.
        """
        settings = self._directory.now().settings
        turn = self._turns.taken(peer, settings.limits.turn) if self._turns else nullcontext()
        with turn:
            association = connect(
                (peer.host, peer.port),
                calling=peer.called_as or calling,
                called=peer.title,
                contexts=[ProposedContext(proposal.sop_class, proposal.syntaxes) for proposal in proposals],
                settings=association_settings(settings.limits, peer, settings.ae(calling)),
            )
            with association:
                yield association


def _is_at(peer: Peer, address: str) -> bool:
    """Whether `address` is the peer's, as far as that can be told without looking up a name."""
    plain = _plain(address)
    return peer.host == plain or may_call_from(peer, plain)


def _plain(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket as itself."""
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or address)
