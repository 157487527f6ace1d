"""Which associations are accepted, and what on them: the configuration put to the network engine.

In this order (PS3.8 9.3.4, `ps32_association_rejects.csv`): application context, called title, calling title and
address; then each presentation context by what the AE offers and the peer is allowed; then the limits.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Hashable

from isocenter import telemetry
from isocenter.config import HostedAE, Peer, Settings, may_call_from
from isocenter.declarations import sop_classes
from isocenter.declarations.transfer_syntaxes import CHOICES, NON_STORAGE, acceptable_for_storage, storage_order
from isocenter.dicom import uids
from isocenter.dimse import negotiation
from isocenter.dimse.negotiation import Offer, Preference, QueryExtras, extras_answer
from isocenter.dimse.pdu import AssociateAccept, AssociateReject, AssociateRequest
from isocenter.dimse.settings import Settings as NetworkSettings
from isocenter.server.board import Board
from isocenter.services.find import MODELS as FIND_MODELS
from isocenter.services.find import agreed_extensions

log = telemetry.logger("server.policy")

MOVE_CLASSES = frozenset({uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_MOVE, uids.PATIENT_STUDY_ONLY_MOVE})
GET_CLASSES = frozenset({uids.PATIENT_ROOT_GET, uids.STUDY_ROOT_GET, uids.PATIENT_STUDY_ONLY_GET})
_LOOKUP_AGE = 60.0  # seconds that a looked-up address of a peer's host counts


def network_settings(settings: Settings) -> NetworkSettings:
    """The limits and time-outs as the network engine wants them."""
    limits = settings.limits
    return NetworkSettings(
        max_pdu=limits.max_pdu,
        max_pdu_sent=limits.max_pdu_sent,
        artim=limits.artim,
        dimse=limits.dimse,
        idle=limits.idle,
        send=limits.send,
        connect=limits.connect,
        max_connections=2 * limits.associations + 64,
    )


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
        """The addresses of `host`; none where it can't be looked up."""
        with self._lock:
            at, found = self._known.get(host, (0.0, None))
        if found is None or self._clock() - at > _LOOKUP_AGE:
            found = _look_up(host)
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
    """The policy of all the hosted AEs, in one worker."""

    def __init__(self, settings: Settings, hosts: Hosts | None = None) -> None:
        self._settings = settings
        self._network = network_settings(settings)
        self._hosts = hosts or Hosts()
        self._aes = {ae.title: ae for ae in settings.aes}

    def negotiate(self, request: AssociateRequest, address: str, port: int) -> AssociateAccept | AssociateReject:
        """See `dimse.negotiation.Policy`."""
        refusal = negotiation.check_titles(request, frozenset(self._aes), None)
        if refusal is not None:
            return refusal
        ae = self._aes[request.called]
        titled = self._settings.peers_titled(request.calling)
        peer = self._hosts.caller(titled, address)
        if peer is None:
            if self._wants_peers(ae):
                return negotiation.CALLING_TITLE_NOT_RECOGNIZED
            # open: the address is not looked at, but what the title may do stands
            peer = titled[0] if titled else None
        return negotiation.accept(
            request,
            lambda abstract: self._offer(ae, peer, abstract, request),
            preference=Preference(ae.syntax_choice or CHOICES[ae.preset]),
            settings=self._network,
        )

    def peer_of(self, calling: str, address: str) -> Peer | None:
        """The registered peer behind a calling title and an address."""
        return self._hosts.caller(self._settings.peers_titled(calling), address)

    def _wants_peers(self, ae: HostedAE) -> bool:
        return ae.known_peers if ae.known_peers is not None else self._settings.policy == "known-peers"

    def _offer(self, ae: HostedAE, peer: Peer | None, abstract: str, request: AssociateRequest) -> Offer | None:
        allow = peer.allow if peer is not None else None
        if abstract == uids.VERIFICATION:
            return Offer(NON_STORAGE)
        if abstract in FIND_MODELS:
            return _service(allow, "find", lambda asked: agreed_extensions(asked, relational=ae.relational))
        relational = extras_answer(QueryExtras(relational=ae.relational))
        if abstract in MOVE_CLASSES:
            return _service(allow, "move", relational)
        if abstract in GET_CLASSES:
            return _service(allow, "get", relational)
        if accepts_storage(ae, abstract):
            return _storage(ae, abstract, request, allow)
        return None


def _service(allow: tuple[str, ...] | None, permission: str, extended: Callable[[bytes], bytes | None]) -> Offer:
    permitted = allow is None or permission in allow
    return Offer(NON_STORAGE, scu=permitted, extended=extended)


def accepts_storage(ae: HostedAE, abstract: str) -> bool:
    """Whether the AE takes objects of this class (I-ARCH-12)."""
    if abstract in ae.classes:
        return True
    if ae.storage == "any":
        return not sop_classes.is_service(abstract)
    return ae.storage == "declared" and abstract in sop_classes.negotiable_for_storage()


def _storage(ae: HostedAE, abstract: str, request: AssociateRequest, allow: tuple[str, ...] | None) -> Offer:
    order = ae.syntaxes or storage_order(ae.preset)
    if not ae.syntaxes:
        order = (*order, *_unknown_syntaxes(abstract, request, order))
    return Offer(order, scu=allow is None or "store" in allow, scp=allow is None or "get" in allow)


def _unknown_syntaxes(abstract: str, request: AssociateRequest, order: tuple[str, ...]) -> tuple[str, ...]:
    """Syntaxes proposed for this class that no list knows: an archive that keeps bytes need not understand them."""
    proposed = [s for context in request.contexts if context.abstract == abstract for s in context.syntaxes]
    return tuple(dict.fromkeys(s for s in proposed if s not in order and acceptable_for_storage((s,), order)))


class Places:
    """The associations of one worker, counted against the limits of all workers together (`dimse.Counter`)."""

    def __init__(self, settings: Settings, board: Board, slot: int) -> None:
        self._limits = settings.limits
        self._aes = {ae.title: (number, ae.associations) for number, ae in enumerate(settings.aes)}
        self._board, self._tally = board, board.tally(slot)

    def enter(self, called: str, calling: str, address: str) -> int | None:
        """Count one in, look whether that was one too many, and count it out again if so (I-ASSOC-32)."""
        number, own_limit = self._aes[called]
        address = plain(address)
        place = self._tally.enter(number, address)
        if place is not None and self._beyond(number, own_limit, address):
            self._tally.leave(place)
            return None
        return place

    def leave(self, place: Hashable) -> None:
        """Count it out."""
        assert isinstance(place, int)
        self._tally.leave(place)

    def _beyond(self, number: int, own_limit: int, address: str) -> bool:
        board, limits = self._board, self._limits
        return (
            board.total() > limits.associations
            or (own_limit > 0 and board.matching(ae=number) > own_limit)
            or (
                limits.associations_per_address > 0
                and board.matching(address=address) > limits.associations_per_address
            )
        )
