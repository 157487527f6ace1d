"""Performed procedure steps over HTTP, wired."""

from isocenter.registry.roster import Directory
from isocenter.server.archive import Archive
from isocenter.web.lanes import Lane
from isocenter.web.workflow_api.service import WorkflowApi
from isocenter.web.workflow_api.steps import MOUNT, PerformedSteps

_THREADS, _WAITING = 2, 32
"""Requests at once, and how many more may wait: people ask them."""


def api(archive: Archive, directory: Directory) -> WorkflowApi:
    """`/api/steps`."""
    resources = PerformedSteps(archive.database, lambda title: directory.now().settings.ae(title))
    lane = Lane("steps", _THREADS, _WAITING)
    archive.when_closing(lane.close)
    return WorkflowApi(lane, MOUNT, resources.resources)
