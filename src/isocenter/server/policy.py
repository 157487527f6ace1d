"""Which associations are accepted, and what on them: the configuration put to the network engine.

Each request is looked at with the AEs and peers that hold at that moment, and an association keeps what it began with.
In this order (PS3.8 9.3.4, `ps32_association_rejects.csv`): application context, called title, calling title and
address; then each presentation context by what the AE offers and the peer is allowed; then the limits.
"""

import ipaddress
import socket
import threading
import time
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cache

from isocenter import telemetry
from isocenter.config import PERMISSIONS, HostedAE, Peer, Settings, may_call_from
from isocenter.config.offered import (
    accepts_storage,
    extras_of,
    offers,
    roles_left,
    roles_of,
    services_of,
    storage_syntaxes,
    syntaxes_of,
)
from isocenter.config.settings import Policy
from isocenter.declarations.offers import OFFERINGS, Offering
from isocenter.declarations.transfer_syntaxes import CHOICES
from isocenter.dicom import uids
from isocenter.dimse import negotiation
from isocenter.dimse.negotiation import Admission, Offer, Preference, extras_answer
from isocenter.dimse.pdu import AssociateReject, AssociateRequest
from isocenter.dimse.settings import Settings as NetworkSettings
from isocenter.dimse.transport import Session
from isocenter.registry.roster import Directory, Fixed, Roster
from isocenter.security.identity import Caller, Identities
from isocenter.security.tls import plain_fingerprint
from isocenter.server.board import Board
from isocenter.server.ports import NO_OWN_PORTS, OwnPorts

log = telemetry.logger("server.policy")

_LOOKUP_AGE = 60.0  # seconds that a looked-up address of a peer's host counts


_NO_SUCH_TITLE = (negotiation.CALLED_TITLE_NOT_RECOGNIZED, negotiation.CALLING_TITLE_NOT_RECOGNIZED)


def network_settings(settings: Settings, ae: HostedAE | None = None) -> NetworkSettings:
    """The limits and time-outs as the network engine wants them: those of the whole server, or of one of its AEs."""
    limits, own = settings.limits, ae or _NOTHING_OF_ITS_OWN
    return NetworkSettings(
        max_pdu=own.max_pdu or limits.max_pdu,
        max_pdu_sent=own.max_pdu_sent or limits.max_pdu_sent,
        window=(own.window.invoked, own.window.performed),
        artim=_first(own.artim, limits.artim),
        dimse=_first(own.dimse, limits.dimse),
        response=_first(own.response, limits.response),
        idle=_first(own.idle, limits.idle),
        send=_first(own.send, limits.send),
        connect=_first(own.connect, limits.connect),
        max_connections=2 * limits.associations + 64,
    )


_NOTHING_OF_ITS_OWN = HostedAE()


def _first(own: float | None, general: float) -> float:
    return general if own is None else own


@dataclass(frozen=True, slots=True)
class Door:
    """What an accepted association goes by until its end: the AE that was called, the known peer that calls."""

    ae: HostedAE
    peer: Peer | None


class Hosts:
    """Where the peers may call from, names looked up and remembered for a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, frozenset[str]]] = {}
        self._lock = threading.Lock()

    def caller(self, peers: tuple[Peer, ...], address: str) -> Peer | None:
        """The peer among those of one title that calls from `address` (M-SEC-05); one without any address may call
        from anywhere."""
        own = plain(address)
        for peer in peers:
            if may_call_from(peer, own) or (peer.host and own in self.addresses(peer.host)):
                return peer
        return next((peer for peer in peers if not peer.host and not peer.addresses), None)

    def addresses(self, host: str) -> frozenset[str]:
        """The addresses of `host`; while it can't be looked up those that it had last, since a name service that fails
        is no reason to lock a modality out. None where it never had any."""
        with self._lock:
            at, found = self._known.get(host, (0.0, None))
        if found is None or self._clock() - at > _LOOKUP_AGE:
            found = _look_up(host) or found or frozenset()
            with self._lock:
                self._known[host] = (self._clock(), found)
        return found


def plain(address: str) -> str:
    """An IPv4 address that came over an IPv6 socket as itself; without a zone."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def _look_up(host: str) -> frozenset[str]:
    try:
        return frozenset(plain(str(row[4][0])) for row in socket.getaddrinfo(host, None))
    except (OSError, ValueError):
        log.warning("peer.host-unknown", host=host)
        return frozenset()


class ArchivePolicy:
    """The policy of all the hosted AEs, in one worker. Without `directory` AEs and peers are those of `settings`."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory | None = None,
        *,
        hosts: Hosts | None = None,
        ports: OwnPorts = NO_OWN_PORTS,
    ) -> None:
        self.directory = directory or Fixed(settings)
        self._hosts, self._ports = hosts or Hosts(), ports
        self._identities = Identities(settings.identity, settings.users)

    def negotiate(
        self, request: AssociateRequest, address: str, port: int, session: Session | None = None
    ) -> Admission | AssociateReject:
        """See `dimse.negotiation.Policy`."""
        roster = self.directory.now()
        decision = self._decide(roster, request, address, port, session)
        if decision in _NO_SUCH_TITLE and (newest := self.directory.now(fresh=True)) is not roster:
            decision = self._decide(newest, request, address, port, session)
        return decision

    def _decide(
        self, roster: Roster, request: AssociateRequest, address: str, port: int, session: Session | None
    ) -> Admission | AssociateReject:
        settings = roster.settings
        ae = _called(settings, self._ports, request.called, port)
        refusal = negotiation.check_titles(request, None if ae else frozenset(), None)
        if refusal is not None or ae is None:
            return refusal or negotiation.CALLED_TITLE_NOT_RECOGNIZED
        level, titled = settings.policy_of(ae), settings.peers_titled(request.calling)
        peer = self._hosts.caller(titled, address)
        if request.calling in roster.unreadable or not _may_call(level, titled, peer):
            return negotiation.CALLING_TITLE_NOT_RECOGNIZED
        if level == "known-titles":
            peer = peer or titled[0]
        # where it is open the address is not looked at, but what the title may do stands
        known = peer or (titled[0] if titled else None)
        allowed = Allowed(known.allow, known.sop_classes, level == "named-classes") if known else ANYTHING
        if (unsafe := _unsafe(ae, known, session)) is not None:
            return unsafe
        who = self._identities.decide(
            ae.identity, request.user.user_identity, Caller(request.calling, request.called, address)
        )
        if who is None:
            return negotiation.NO_REASON
        own = network_settings(settings, ae)
        answer = negotiation.accept(
            request,
            cache(lambda abstract: _offer(ae, allowed, abstract, request)),
            preference=Preference(ae.syntax_choice or CHOICES[ae.preset]),
            settings=own,
            identity_response=who.response,
        )
        if ae.reject_empty and all(context.result for context in answer.contexts):
            return negotiation.NO_REASON
        return Admission(answer, own, Door(ae, peer), who.user)


def _called(settings: Settings, ports: OwnPorts, title: str, port: int) -> HostedAE | None:
    """The AE of this title that answers at `port`, else one there that answers whatever is called."""
    ae = settings.ae(title)
    if ae is not None and ports.answers(title, port):
        return ae
    return next((ae for ae in settings.aes if ae.any_title and ports.answers(ae.title, port)), None)


def _unsafe(ae: HostedAE, peer: Peer | None, session: Session | None) -> AssociateReject | None:
    """The rejection of an association that is not as secure as the AE or the peer wants it, or None."""
    if session is None:
        wanted = ae.tls_only or (peer is not None and peer.tls_only)
        return negotiation.NO_REASON if wanted else None
    if peer is not None and peer.tls_fingerprint and session.fingerprint != plain_fingerprint(peer.tls_fingerprint):
        return negotiation.CALLING_TITLE_NOT_RECOGNIZED
    return None


def _may_call(level: Policy, titled: tuple[Peer, ...], peer: Peer | None) -> bool:
    """Whether a caller may come in, of whom `titled` have the title and `peer` the address too."""
    if level == "open":
        return True
    return bool(titled) if level == "known-titles" else peer is not None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a peer may ask for: `services`, of these `classes` (`UID`, `UID:scu`, `UID:scp`; none listed: all, unless
    only what is `named` counts)."""

    services: tuple[str, ...] = PERMISSIONS
    classes: tuple[str, ...] = ()
    named: bool = False

    def of(self, abstract: str, offer: Offer) -> Offer:
        """What is left of an offer; without a role where nothing is, so that the context is refused."""
        if not (self.classes or self.named) or abstract == uids.VERIFICATION:
            return offer
        scu, scp = roles_of(self.classes, abstract)
        return replace(offer, scu=offer.scu and scu, scp=offer.scp and scp)


ANYTHING = Allowed()


def _offer(ae: HostedAE, allowed: Allowed, abstract: str, request: AssociateRequest) -> Offer | None:
    """What `ae` offers for an abstract syntax to a peer that may ask for what is `allowed`."""
    if (declared := OFFERINGS.get(ae.works_like(abstract))) is not None:
        offer = _declared(ae, allowed.services, declared)
    else:
        offer = _storage(ae, abstract, request, allowed.services) if accepts_storage(ae, abstract) else None
    if offer is None or abstract == uids.VERIFICATION:
        return offer
    if ae.sop_classes:
        scu, scp = roles_left(ae, abstract)
        offer = replace(offer, scu=offer.scu and scu, scp=offer.scp and scp)
    return allowed.of(abstract, offer)


def _declared(ae: HostedAE, allow: tuple[str, ...], declared: Offering) -> Offer | None:
    """A service class other than storage, as `declarations.offers` has it."""
    if not offers(ae, declared):
        return None
    may = not declared.service or declared.service in allow
    extras = extras_of(ae, declared)
    extended = extras_answer(extras) if extras else None
    syntaxes = syntaxes_of(ae, declared)
    return Offer(syntaxes, scu=declared.scu and may, scp=declared.scp and may, extended=extended)


def _storage(ae: HostedAE, abstract: str, request: AssociateRequest, allow: tuple[str, ...]) -> Offer:
    able = set(allow) & services_of(ae)
    order = storage_syntaxes(ae)
    if not ae.syntaxes:
        order = (*order, *_unknown_syntaxes(abstract, request, order))
    return Offer(order, scu="store" in able, scp="get" in able)


def _unknown_syntaxes(abstract: str, request: AssociateRequest, order: tuple[str, ...]) -> tuple[str, ...]:
    """Syntaxes proposed for this class that no list knows: an archive that keeps bytes need not understand them."""
    proposed = (each for context in request.contexts if context.abstract == abstract for each in context.syntaxes)
    return tuple(each for each in dict.fromkeys(proposed) if each and each not in order)


def _number(title: str) -> int:
    """What stands for a title on the board: the same in every process, whatever AEs came and went meanwhile."""
    return zlib.crc32(title.encode()) % ((1 << 24) - 1)


class Places:
    """The associations of one worker, counted against the limits of all workers together (`dimse.Counter`)."""

    def __init__(
        self,
        settings: Settings,
        board: Board,
        slot: int,
        directory: Directory | None = None,
        ports: OwnPorts = NO_OWN_PORTS,
    ) -> None:
        self._limits = settings.limits
        self._directory, self._ports = directory or Fixed(settings), ports
        self._board, self._tally = board, board.tally(slot)

    def enter(self, called: str, calling: str, address: str, port: int = 0) -> int | None:
        """Count one in, look whether that was one too many, and count it out again if so (I-ASSOC-32)."""
        settings = self._directory.now().settings
        ae = _called(settings, self._ports, called, port)
        own, number = ae or _NOTHING_OF_ITS_OWN, _number(ae.title if ae else called)
        address = plain(address)
        place = self._tally.enter(number, address)
        if place is not None and self._beyond(number, own, address):
            self._tally.leave(place)
            return None
        return place

    def leave(self, place: Hashable) -> None:
        """Count it out."""
        assert isinstance(place, int)
        self._tally.leave(place)

    def _beyond(self, number: int, own: HostedAE, address: str) -> bool:
        board, limits = self._board, self._limits
        return (
            board.total() > limits.associations
            or (own.associations > 0 and board.matching(ae=number) > own.associations)
            or (
                own.associations_per_address > 0
                and board.matching(ae=number, address=address) > own.associations_per_address
            )
            or (
                limits.associations_per_address > 0
                and board.matching(address=address) > limits.associations_per_address
            )
        )
