"""Reconciliation over HTTP, wired."""

from functools import partial

from isocenter.config import Settings
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.registry.roster import Directory
from isocenter.server import reconciling
from isocenter.server.archive import Archive
from isocenter.web.lanes import Lanes
from isocenter.web.workflow_api.reconciliation import MOUNT, Reconciliation
from isocenter.web.workflow_api.service import WorkflowApi


def api(archive: Archive, settings: Settings, directory: Directory, lanes: Lanes) -> WorkflowApi:
    """`/api/reconciliation`."""
    peers = Peers(settings, directory, Turns(settings.run_folder))
    archive.when_closing(peers.close)
    resources = Reconciliation(
        archive.database,
        reconciling.desk(archive, directory),
        reconciling.worklists(archive, peers),
        partial(reconciling.ae_of, directory),
    )
    return WorkflowApi(lanes, MOUNT, resources.resources)
