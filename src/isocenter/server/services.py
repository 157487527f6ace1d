"""Which service answers which DIMSE request: the hosted AEs' services, found by SOP class, command and called title."""

from collections.abc import Callable
from functools import lru_cache, partial

from isocenter.archive.commitment.asked import Asked
from isocenter.archive.ingest import Origin
from isocenter.config import HostedAE, Settings
from isocenter.declarations import non_patient, sop_classes, workitem
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.dicom import uids
from isocenter.dimse import Association, Command, Context, Service, ServiceMap, Sink, commands
from isocenter.exchange.committing import ReportService
from isocenter.exchange.departing import Departures
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.imaging.engine import engine_of
from isocenter.rules import Ruleset, compiled
from isocenter.server import committing, notifying, reconciling, stepping, workitems
from isocenter.server.archive import Archive
from isocenter.server.origins import origin_of
from isocenter.server.policy import ArchivePolicy, Door
from isocenter.services import composite
from isocenter.services.commitment import CommitmentService
from isocenter.services.find import MODELS as FIND_MODELS
from isocenter.services.find import FindService
from isocenter.services.get import GetService
from isocenter.services.move import MoveService
from isocenter.services.non_patient import NonPatientFindService
from isocenter.services.retrieving import GET_MODELS, MOVE_MODELS
from isocenter.services.store import StoreService
from isocenter.services.verification import VerificationService
from isocenter.services.workitem import FIELDS as WORKITEM_FIELDS
from isocenter.services.workitem import WorkitemFindService, WorkitemService
from isocenter.services.worklist import WorklistService

_KEPT = 64


class ByDoor:
    """One service of all the AEs; the association tells for which one, as it was when the association began."""

    def __init__(self, make: Callable[[HostedAE], Service], *, overlaps: bool = False) -> None:
        self._made = lru_cache(_KEPT)(make)
        self.overlaps = overlaps
        """Whether several operations of one association may be performed at once (`dimse.overlapping`)."""

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
    archive.when_closing(peers.close)
    more = configured_keys(settings.index.attributes)
    rules = compiled(settings)
    departures = Departures(archive.database, rules, peers.character_set_of, engine_of(settings.imaging))
    source = partial(origin, standard=settings.standard, rules=rules)
    echo = VerificationService()
    doors = reconciling.Doors(archive, settings)
    storing = ByDoor(lambda ae: StoreService(doors.of(ae), ae, source, largest=largest(settings, ae)), overlaps=True)
    finding = ByDoor(lambda ae: FindService(archive.database, ae, more=more))
    moving = ByDoor(
        lambda ae: MoveService(archive.database, archive.store, ae, peers, more=more, departures=departures)
    )
    getting = ByDoor(lambda ae: GetService(archive.database, archive.store, ae, more=more, departures=departures))
    by_class: dict[tuple[int, str], Service] = {(commands.C_ECHO_RQ, uids.VERIFICATION): echo}
    by_class |= {(commands.C_FIND_RQ, uid): finding for uid in FIND_MODELS}
    apart = ByDoor(lambda ae: NonPatientFindService(archive.database, ae))
    by_class |= {(commands.C_FIND_RQ, uid): apart for uid in non_patient.FIND_MODELS}
    by_class[commands.C_FIND_RQ, uids.MODALITY_WORKLIST_FIND] = ByDoor(lambda ae: WorklistService(archive.database, ae))
    by_class |= {(commands.C_MOVE_RQ, uid): moving for uid in MOVE_MODELS.keys() | composite.MOVE_CLASSES}
    by_class |= {(commands.C_GET_RQ, uid): getting for uid in GET_MODELS.keys() | composite.GET_CLASSES}
    # classes of an AE's own, or of none: the services tell which (`HostedAE.query_classes`)
    by_field: dict[int, Service] = {
        commands.C_FIND_RQ: finding,
        commands.C_MOVE_RQ: moving,
        commands.C_GET_RQ: getting,
    }
    reports, way = committing.reports(archive, settings, policy.directory), partial(committing.way, peers)
    acting = ByDoor(lambda ae: CommitmentService(reports, ae, way, largest=settings.limits.identifier))
    by_class[commands.N_ACTION_RQ, uids.STORAGE_COMMITMENT_PUSH] = acting
    by_class |= stepping.services(archive, settings, ByDoor)
    by_class |= _workitems(archive, settings, peers)
    by_class |= notifying.services(archive, settings, ByDoor)
    by_class[commands.N_EVENT_REPORT_RQ, uids.STORAGE_COMMITMENT_PUSH] = ReportService(Asked(archive.database))

    def find(context: Context, command: Command) -> Service | None:
        field = commands.number(command, commands.COMMAND_FIELD)
        if field == commands.C_STORE_RQ and not sop_classes.is_service(context.abstract):
            return storing
        if field == commands.C_STORE_RQ:
            return by_class.get((field, context.abstract))
        return by_class.get((field, context.abstract)) or by_field.get(field)

    return find


def _workitems(archive: Archive, settings: Settings, peers: Peers) -> dict[tuple[int, str], Service]:
    """The unified worklist: which operation a class has, its service knows."""
    worklist, most = workitems.worklist(archive.database, settings), settings.limits.identifier
    asking = ByDoor(lambda ae: WorkitemFindService(worklist, ae))
    other = ByDoor(lambda ae: WorkitemService(worklist, ae, peers, largest=most))
    return {
        (field, uid): asking if field == commands.C_FIND_RQ else other
        for field in WORKITEM_FIELDS
        for uid in workitem.CLASSES
    }


def largest(settings: Settings, ae: HostedAE) -> int:
    """Bytes of the largest object that `ae` takes; 0: any."""
    return settings.limits.object if ae.object is None else ae.object


def origin(association: Association, standard: str = "", rules: Ruleset | None = None) -> Origin:
    """Whom an association's objects come from (`server.origins`)."""
    door = _door(association)
    titles = association.calling, association.called
    return origin_of(door.ae, door.peer, titles, association.address, standard=standard, rules=rules)
