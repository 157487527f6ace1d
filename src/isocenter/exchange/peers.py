"""Where other Application Entities are, and associations to them."""

import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from isocenter import telemetry
from isocenter.config import Settings, may_call_from
from isocenter.config.settings import HostedAE, Limits, Peer
from isocenter.dimse import (
    ClientAssociation,
    PeerUnreachable,
    ProposedContext,
    RejectedTransiently,
    ServiceMap,
    connect,
)
from isocenter.dimse import Settings as AssociationSettings
from isocenter.errors import Reason, Refused, Retriable
from isocenter.exchange.contexts import Proposal
from isocenter.exchange.kept import Keeping, Kept
from isocenter.exchange.turns import Turns
from isocenter.registry.roster import Directory, Fixed
from isocenter.security.tls import Callers

log = telemetry.logger("exchange.peers")

_TICK = 0.25
"""Seconds between two looks whether an association that is waited for is still wanted."""
Wanted: TypeAlias = Callable[[], bool]


def association_settings(limits: Limits, peer: Peer | None = None, ae: HostedAE | None = None) -> AssociationSettings:
    """The network engine's settings, by the configured limits, what is known of the peer, and the AE that calls."""
    own = ae or _NO_AE
    announced = peer.max_pdu if peer is not None else 0
    return AssociationSettings(
        max_pdu=announced or own.max_pdu or limits.max_pdu,
        max_pdu_sent=own.max_pdu_sent or limits.max_pdu_sent,
        window=(own.window.invoked, 1),  # a storage SCP invokes nothing
        artim=limits.artim if own.artim is None else own.artim,
        dimse=limits.dimse if own.dimse is None else own.dimse,
        response=limits.response if own.response is None else own.response,
        idle=limits.idle,
        send=limits.send if own.send is None else own.send,
        connect=limits.connect if own.connect is None else own.connect,
        response_limit=max(limits.identifier, 1 << 16),
    )


_NO_AE = HostedAE()


class Peers:
    """The peers that an installation knows: those of `settings`, or with `directory` those that hold at each moment.

    With `turns` none of them gets more associations at once than it may have.
    """

    def __init__(self, settings: Settings, directory: Directory | None = None, turns: Turns | None = None) -> None:
        self._directory, self._turns = directory or Fixed(settings), turns
        self._callers = Callers(settings.tls)
        self._kept = Keeping()

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

    def character_set_of(self, title: str, address: str) -> str:
        """Specific Character Set assumed of a known peer's objects; of several with one title that at `address`."""
        known = self._directory.now().settings.peers_titled(title)
        peer = next((peer for peer in known if address and _is_at(peer, address)), next(iter(known), None))
        return peer.character_set if peer else ""

    def _with_address(self, title: str, *, fresh: bool) -> list[Peer]:
        settings = self._directory.now(fresh=fresh).settings
        return [peer for peer in settings.peers_titled(title) if peer.host]

    @contextmanager
    def connect(
        self,
        peer: Peer,
        calling: str,
        proposals: Sequence[Proposal | ProposedContext],
        *,
        services: ServiceMap | None = None,
        wanted: Wanted = lambda: True,
    ) -> Iterator[ClientAssociation]:
        """An association of our AE `calling` to `peer` with the proposed contexts, until the end of the block; for
        storage as `Proposal`. `services` performs what the peer invokes. `wanted` is asked while it is waited for.

        One that is kept open to the peer serves if it was opened for storage with these contexts (`Peer.keep_open`).
        Raises Retriable where the peer has all its associations already for `limits.turn` seconds, Refused(CANCELLED)
        where it is not `wanted` any more, and what `dimse.connect` raises, after `Peer.retries`.
        """
        storage = tuple(each for each in proposals if isinstance(each, Proposal))
        keeps = peer.keep_open > 0 and services is None and len(storage) == len(proposals)
        used = self._kept.take(peer, calling, storage) if keeps else None
        if used is None:
            used = self._opened(peer, calling, proposals, storage, services, wanted)
        with ExitStack() as ending:
            ending.push(used.stack)
            with _until_failure(used.association):
                yield used.association
            if keeps and used.association.open:
                ending.pop_all()
                self._kept.keep(used)
            else:
                used.association.release()

    def close(self) -> None:
        """Release the associations that are kept open."""
        self._kept.close()

    def _opened(
        self,
        peer: Peer,
        calling: str,
        proposals: Sequence[Proposal | ProposedContext],
        storage: Sequence[Proposal],
        services: ServiceMap | None,
        wanted: Wanted,
    ) -> Kept:
        """A new association, with a place of its own."""
        settings = self._directory.now().settings
        with ExitStack() as stack:
            self._take_turn(stack, peer, settings.limits.turn, wanted)
            association = _persistent(
                lambda: connect(
                    (peer.host, peer.port),
                    calling=peer.called_as or calling,
                    called=peer.title,
                    contexts=[one if isinstance(one, ProposedContext) else ProposedContext(*one) for one in proposals],
                    services=services,
                    settings=association_settings(settings.limits, peer, settings.ae(calling)),
                    ssl=self._callers.secure(peer),
                ),
                peer,
                wanted,
            )
            return Kept(peer, calling, frozenset(storage), association, stack.pop_all())

    def _take_turn(self, stack: ExitStack, peer: Peer, patience: float, wanted: Wanted) -> None:
        if self._turns is None:
            return
        try:
            stack.enter_context(self._turns.taken(peer, 0, wanted))
        except Retriable:
            self._kept.make_room(peer)
            stack.enter_context(self._turns.taken(peer, patience, wanted))


@contextmanager
def _until_failure(association: ClientAssociation) -> Iterator[None]:
    """Abort the association where the block fails."""
    try:
        yield
    except BaseException:
        association.abort()
        raise


def _persistent(opening: Callable[[], ClientAssociation], peer: Peer, wanted: Wanted) -> ClientAssociation:
    """The association, after as many further tries as the peer's settings allow (X-QR-03)."""
    for left in range(peer.retries, -1, -1):
        try:
            return opening()
        except (PeerUnreachable, RejectedTransiently) as failure:
            if not left:
                raise
            log.info("association.retried", called=peer.title, left=left, comment=failure.comment)
        _pause(peer.retry_delay, wanted)
    raise AssertionError("the last try returns or raises")


def _pause(seconds: float, wanted: Wanted) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not wanted():
            raise Refused(Reason.CANCELLED, "cancelled before the peer could be reached")
        time.sleep(min(left, _TICK))


def _is_at(peer: Peer, address: str) -> bool:
    """Whether `address` is the peer's, as far as that can be told without looking up a name."""
    plain = _plain(address)
    return peer.host == plain or may_call_from(peer, plain)


def _plain(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket as itself."""
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or address)
