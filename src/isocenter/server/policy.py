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
from dataclasses import dataclass

from isocenter import telemetry
from isocenter.config import PERMISSIONS, HostedAE, Peer, Settings, may_call_from
from isocenter.config.settings import Permission
from isocenter.declarations import sop_classes
from isocenter.declarations.transfer_syntaxes import CHOICES, NON_STORAGE, acceptable_for_storage, storage_order
from isocenter.dicom import uids
from isocenter.dimse import negotiation
from isocenter.dimse.negotiation import Admission, Offer, Preference, QueryExtras, extras_answer
from isocenter.dimse.pdu import AssociateReject, AssociateRequest
from isocenter.dimse.settings import Settings as NetworkSettings
from isocenter.registry.roster import Directory, Fixed, Roster
from isocenter.server.board import Board
from isocenter.services.find import MODELS as FIND_MODELS
from isocenter.services.find import agreed_extensions

log = telemetry.logger("server.policy")

MOVE_CLASSES = frozenset({uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_MOVE, uids.PATIENT_STUDY_ONLY_MOVE})
GET_CLASSES = frozenset({uids.PATIENT_ROOT_GET, uids.STUDY_ROOT_GET, uids.PATIENT_STUDY_ONLY_GET})
_LOOKUP_AGE = 60.0  # seconds that a looked-up address of a peer's host counts


_NO_SUCH_TITLE = (negotiation.CALLED_TITLE_NOT_RECOGNIZED, negotiation.CALLING_TITLE_NOT_RECOGNIZED)


def network_settings(settings: Settings, ae: HostedAE | None = None) -> NetworkSettings:
    """The limits and time-outs as the network engine wants them: those of the whole server, or of one of its AEs."""
    limits, own = settings.limits, ae or _NOTHING_OF_ITS_OWN
    return NetworkSettings(
        max_pdu=own.max_pdu or limits.max_pdu,
        max_pdu_sent=own.max_pdu_sent or limits.max_pdu_sent,
        window=(own.window.invoked, own.window.performed),
        artim=limits.artim,
        dimse=_first(own.dimse, limits.dimse),
        response=_first(own.response, limits.response),
        idle=_first(own.idle, limits.idle),
        send=limits.send,
        connect=limits.connect,
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
    """The policy of all the hosted AEs, in one worker. Without `directory` AEs and peers are those of `settings`."""

    def __init__(self, settings: Settings, directory: Directory | None = None, *, hosts: Hosts | None = None) -> None:
        self.directory = directory or Fixed(settings)
        self._hosts = hosts or Hosts()

    def negotiate(self, request: AssociateRequest, address: str, port: int) -> Admission | AssociateReject:
        """See `dimse.negotiation.Policy`."""
        roster = self.directory.now()
        decision = self._decide(roster, request, address)
        if decision in _NO_SUCH_TITLE and (newest := self.directory.now(fresh=True)) is not roster:
            decision = self._decide(newest, request, address)
        return decision

    def _decide(self, roster: Roster, request: AssociateRequest, address: str) -> Admission | AssociateReject:
        settings = roster.settings
        ae = settings.ae(request.called)
        refusal = negotiation.check_titles(request, None if ae else frozenset(), None)
        if refusal is not None or ae is None:
            return refusal or negotiation.CALLED_TITLE_NOT_RECOGNIZED
        titled = settings.peers_titled(request.calling)
        peer = self._hosts.caller(titled, address)
        if request.calling in roster.unreadable or (peer is None and _wants_peers(settings, ae)):
            return negotiation.CALLING_TITLE_NOT_RECOGNIZED
        # where it is open the address is not looked at, but what the title may do stands
        allow = (peer or titled[0]).allow if peer or titled else PERMISSIONS
        own = network_settings(settings, ae)
        answer = negotiation.accept(
            request,
            lambda abstract: _offer(ae, allow, abstract, request),
            preference=Preference(ae.syntax_choice or CHOICES[ae.preset]),
            settings=own,
        )
        return Admission(answer, own, Door(ae, peer))


def _wants_peers(settings: Settings, ae: HostedAE) -> bool:
    return ae.known_peers if ae.known_peers is not None else settings.policy == "known-peers"


def _offer(ae: HostedAE, allow: tuple[str, ...], abstract: str, request: AssociateRequest) -> Offer | None:
    """What `ae` offers for an abstract syntax to a peer that may ask for `allow`."""
    if abstract == uids.VERIFICATION:
        return Offer(NON_STORAGE)
    if abstract in FIND_MODELS:
        return _service(ae, allow, "find", lambda asked: agreed_extensions(asked, relational=ae.relational))
    relational = extras_answer(QueryExtras(relational=ae.relational))
    if abstract in MOVE_CLASSES:
        return _service(ae, allow, "move", relational)
    if abstract in GET_CLASSES:
        return _service(ae, allow, "get", relational)
    if accepts_storage(ae, abstract):
        return _storage(ae, abstract, request, allow)
    return None


def _service(
    ae: HostedAE, allow: tuple[str, ...], permission: Permission, extended: Callable[[bytes], bytes | None]
) -> Offer | None:
    if permission not in ae.services:
        return None
    return Offer(NON_STORAGE, scu=permission in allow, extended=extended)


def accepts_storage(ae: HostedAE, abstract: str) -> bool:
    """Whether the AE takes objects of this class, or gives them back (I-ARCH-12)."""
    if not {"store", "get"} & set(ae.services):
        return False
    if abstract in ae.classes:
        return True
    if ae.storage == "any":
        return not sop_classes.is_service(abstract)
    return ae.storage == "declared" and abstract in sop_classes.negotiable_for_storage()


def _storage(ae: HostedAE, abstract: str, request: AssociateRequest, allow: tuple[str, ...]) -> Offer:
    able = set(allow) & set(ae.services)
    order = ae.syntaxes or storage_order(ae.preset)
    if not ae.syntaxes:
        order = (*order, *_unknown_syntaxes(abstract, request, order))
    return Offer(order, scu="store" in able, scp="get" in able)


def _unknown_syntaxes(abstract: str, request: AssociateRequest, order: tuple[str, ...]) -> tuple[str, ...]:
    """Syntaxes proposed for this class that no list knows: an archive that keeps bytes need not understand them."""
    proposed = [s for context in request.contexts if context.abstract == abstract for s in context.syntaxes]
    return tuple(dict.fromkeys(s for s in proposed if s not in order and acceptable_for_storage((s,), order)))


def _number(title: str) -> int:
    """What stands for a title on the board: the same in every process, whatever AEs came and went meanwhile."""
    return zlib.crc32(title.encode()) % ((1 << 24) - 1)


class Places:
    """The associations of one worker, counted against the limits of all workers together (`dimse.Counter`)."""

    def __init__(self, settings: Settings, board: Board, slot: int, directory: Directory | None = None) -> None:
        self._limits = settings.limits
        self._directory = directory or Fixed(settings)
        self._board, self._tally = board, board.tally(slot)

    def enter(self, called: str, calling: str, address: str) -> int | None:
        """Count one in, look whether that was one too many, and count it out again if so (I-ASSOC-32)."""
        ae, number = self._directory.now().settings.ae(called), _number(called)
        address = plain(address)
        place = self._tally.enter(number, address)
        if place is not None and self._beyond(number, ae.associations if ae else 0, address):
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
