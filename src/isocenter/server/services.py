"""Which service answers which DIMSE request: the hosted AEs' services, found by SOP class, command and called title."""

from collections.abc import Callable
from functools import lru_cache

from isocenter.archive.ingest import Origin
from isocenter.config import HostedAE, Settings
from isocenter.declarations import sop_classes
from isocenter.dicom import uids
from isocenter.dimse import Association, Command, Context, Service, ServiceMap, Sink, commands
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.index.records import DuplicatePolicy
from isocenter.server.archive import Archive
from isocenter.server.policy import ArchivePolicy, Door
from isocenter.services.find import MODELS as FIND_MODELS
from isocenter.services.find import FindService
from isocenter.services.get import GetService
from isocenter.services.move import MoveService
from isocenter.services.retrieving import GET_MODELS, MOVE_MODELS
from isocenter.services.store import StoreService
from isocenter.services.verification import VerificationService

_KEPT = 64


class ByDoor:
    """One service of all the AEs; the association tells for which one, as it was when the association began."""

    def __init__(self, make: Callable[[HostedAE], Service]) -> None:
        self._made = lru_cache(_KEPT)(make)

    def sink(self, association: Association, context: Context, command: Command) -> Sink:
        """See `dimse.Service`."""
        return self._made(_door(association).ae).sink(association, context, command)

    def perform(self, association: Association, context: Context, command: Command, sink: Sink | None) -> None:
        """See `dimse.Service`."""
        self._made(_door(association).ae).perform(association, context, command, sink)


def _door(association: Association) -> Door:
    assert isinstance(association.basis, Door)
    return association.basis


def service_map(archive: Archive, policy: ArchivePolicy, settings: Settings) -> ServiceMap:
    """The services of every hosted AE, also of those to come."""
    peers = Peers(settings, policy.directory, Turns(settings.run_folder))
    echo = VerificationService()
    storing = ByDoor(lambda ae: StoreService(archive.ingest, ae, origin, largest=settings.limits.object))
    finding = ByDoor(lambda ae: FindService(archive.database, ae))
    moving = ByDoor(lambda ae: MoveService(archive.database, archive.store, ae, peers))
    getting = ByDoor(lambda ae: GetService(archive.database, archive.store, ae))
    by_class: dict[tuple[int, str], Service] = {(commands.C_ECHO_RQ, uids.VERIFICATION): echo}
    by_class |= {(commands.C_FIND_RQ, uid): finding for uid in FIND_MODELS}
    by_class |= {(commands.C_MOVE_RQ, uid): moving for uid in MOVE_MODELS}
    by_class |= {(commands.C_GET_RQ, uid): getting for uid in GET_MODELS}

    def find(context: Context, command: Command) -> Service | None:
        field = commands.number(command, commands.COMMAND_FIELD)
        if field == commands.C_STORE_RQ:
            return None if sop_classes.is_service(context.abstract) else storing
        return by_class.get((field, context.abstract))

    return find


def origin(association: Association) -> Origin:
    """Whom an association's objects come from, with what is configured for the AE and for the peer."""
    door = _door(association)
    ae, peer = door.ae, door.peer
    return Origin(
        association.calling,
        association.called,
        association.address,
        issuer=peer.issuer if peer else "",
        character_set=(peer.character_set if peer else "") or ae.character_set,
        policy=DuplicatePolicy(ae.duplicates),
    )
