"""Performed procedure steps, wired: their service for the processes that accept associations, their jobs."""

from collections.abc import Callable, Mapping

from isocenter.config import HostedAE, Settings
from isocenter.dicom import uids
from isocenter.dimse import Association, Service, commands
from isocenter.exchange.peers import Peers
from isocenter.jobs import Queue
from isocenter.jobs.runner import Handler
from isocenter.registry.roster import Directory
from isocenter.server.archive import Archive
from isocenter.server.policy import Door
from isocenter.services.procedure_step import ProcedureStepService
from isocenter.workflow.steps import deliveries, upkeep
from isocenter.workflow.steps.deliveries import Deliveries
from isocenter.workflow.steps.delivering import Deliverer
from isocenter.workflow.steps.performing import Performing, Sender
from isocenter.workflow.steps.steps import now


def whence(association: Association) -> tuple[Sender, str]:
    """Who reports, and the character set assumed of what they send."""
    door = association.basis
    assert isinstance(door, Door)
    peer = door.peer
    sender = Sender(association.calling, association.address, peer.issuer if peer else "")
    return sender, (peer.character_set if peer else "") or door.ae.character_set


def services(
    archive: Archive, settings: Settings, by_door: Callable[[Callable[[HostedAE], Service]], Service]
) -> dict[tuple[int, str], Service]:
    """The service of each request about steps; `by_door` makes one of all AEs of one for each."""
    performing = Performing(archive.database)
    service = by_door(
        lambda ae: ProcedureStepService(performing, ae, whence, largest=settings.limits.identifier),
    )
    return {
        (commands.N_CREATE_RQ, uids.MODALITY_PERFORMED_PROCEDURE_STEP): service,
        (commands.N_SET_RQ, uids.MODALITY_PERFORMED_PROCEDURE_STEP): service,
        (commands.N_GET_RQ, uids.MODALITY_PERFORMED_PROCEDURE_STEP): service,
        (commands.N_GET_RQ, uids.MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE): service,
    }


def handlers(archive: Archive, directory: Directory, peers: Peers) -> Mapping[str, Handler]:
    """The handlers of what is to be delivered, and of what is done from time to time."""
    open_ones = Deliveries(archive.database)
    return {
        deliveries.KIND: Deliverer(open_ones, peers, directory).handle,
        upkeep.KIND: upkeep.handler(open_ones, directory, now),
    }


def begin(queue: Queue) -> None:
    """Have done what is done from time to time."""
    queue.enqueue(upkeep.KIND, unique_key=upkeep.KIND)
