"""Reconciliation over HTTP, wired."""

from functools import partial

from isocenter.config import Settings
from isocenter.exchange.peers import Peers
from isocenter.exchange.turns import Turns
from isocenter.registry.roster import Directory
from isocenter.server import reconciling
from isocenter.server.archive import Archive
from isocenter.web.lanes import Lane
from isocenter.web.workflow_api.reconciliation import MOUNT, Reconciliation
from isocenter.web.workflow_api.service import WorkflowApi

_THREADS, _WAITING = 2, 32
"""Requests at once, and how many more may wait: people ask them."""


def api(archive: Archive, settings: Settings, directory: Directory) -> WorkflowApi:
    """`/api/reconciliation`."""
    peers = Peers(settings, directory, Turns(settings.run_folder))
    archive.when_closing(peers.close)
    resources = Reconciliation(
        archive.database,
        reconciling.desk(archive, directory),
        reconciling.worklists(archive, settings, peers),
        partial(reconciling.ae_of, directory),
    )
    lane = Lane("reconciliation", _THREADS, _WAITING)
    archive.when_closing(lane.close)
    return WorkflowApi(lane, MOUNT, resources.resources)
