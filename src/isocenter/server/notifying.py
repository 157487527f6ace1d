"""Notifications, wired: what is told and who tells it, as jobs of the process that works in the background."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from isocenter.config import HostedAE, Settings
from isocenter.dicom import uids
from isocenter.dimse import Service, commands
from isocenter.exchange.peers import Peers
from isocenter.jobs import Queue, Runner
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.registry.roster import Directory
from isocenter.server.archive import Archive
from isocenter.services.notification import AvailabilityService, StudyContentService
from isocenter.workflow.completeness import Judge
from isocenter.workflow.messages.outbox import Outbox
from isocenter.workflow.notices import following, outgoing, performed, received, requests
from isocenter.workflow.notices.delivering import Deliverer, Way
from isocenter.workflow.notices.following import Following
from isocenter.workflow.notices.hooks import Hooks
from isocenter.workflow.notices.messaging import messenger
from isocenter.workflow.notices.outgoing import Outgoing
from isocenter.workflow.notices.plan import HOOK, Plan
from isocenter.workflow.notices.received import Received
from isocenter.workflow.notices.removals import classes_in
from isocenter.workflow.notices.telling import KINDS, Told
from isocenter.workflow.steps.steps import Steps
from isocenter.workflow.worklist.entries import Worklist

UPKEEP: Final = "notices-upkeep"
_INTERVAL: Final = 600.0
"""Seconds between looks for what is too old."""


def services(
    archive: Archive, settings: Settings, by_door: Callable[[Callable[[HostedAE], Service]], Service]
) -> dict[tuple[int, str], Service]:
    """The services that take notifications; `by_door` makes one of all AEs of one for each."""
    heard, largest = Received(archive.database), settings.limits.identifier
    status = settings.notices.study_content_status
    return {
        (commands.C_STORE_RQ, uids.BASIC_STUDY_CONTENT_NOTIFICATION): by_door(
            lambda ae: StudyContentService(heard, ae, largest=largest, answer_status=status)
        ),
        (commands.N_CREATE_RQ, uids.INSTANCE_AVAILABILITY_NOTIFICATION): by_door(
            lambda ae: AvailabilityService(heard, ae, largest=largest)
        ),
    }


def runner(archive: Archive, settings: Settings, queue: Queue, directory: Directory, peers: Peers) -> Runner:
    """What carries out the jobs that tell destinations, in threads of its own; none where nobody is to be told."""
    threads = settings.notices.connections if Plan(settings).active else 0
    return Runner(queue, handlers(archive, settings, directory, peers), threads=threads)


def handlers(archive: Archive, settings: Settings, directory: Directory, peers: Peers) -> Mapping[str, Handler]:
    """The handler of the jobs that tell a destination."""
    plan = Plan(settings)
    told = Told(archive.database, peers, directory, performed.views(Steps(archive.database)))
    ways: dict[str, Way] = {**dict.fromkeys(KINDS, told), HOOK: Hooks(archive.database, plan)}
    return {outgoing.KIND: Deliverer(Outgoing(archive.database), plan, ways).handle}


def follower(archive: Archive, settings: Settings) -> Mapping[str, Handler]:
    """The handlers of the jobs that follow the change feed and forget what is old; nobody follows where nobody is to be
    told of anything."""
    plan = Plan(settings)
    found: dict[str, Handler] = {UPKEEP: _upkeep(archive, settings)}
    if plan.active:
        steps = Steps(archive.database)
        judge = Judge(plan.rule, performed.views(steps), received.expected)
        outbox = Outbox(archive.database, settings.hl7)
        also = [messenger(settings.hl7, Worklist(archive.database), steps, outbox)] if settings.hl7.destinations else []
        classes = classes_in(archive.store)
        found[following.KIND] = Following(archive.database, plan, judge, also=also, classes=classes).handle
    else:
        following.forget(archive.database)
    return found


def stored_whole(archive: Archive, settings: Settings) -> Callable[[frozenset[str]], None] | None:
    """What is told of the studies of STOW-RS requests; nothing where that makes no study complete."""
    plan = Plan(settings)
    return partial(requests.ended, archive.database) if plan.looks and plan.rule.request else None


def _upkeep(archive: Archive, settings: Settings) -> Handler:
    told, heard, keep = Outgoing(archive.database), Received(archive.database), int(settings.notices.keep * 1e6)

    def handle(running: Running) -> Again:
        told.prune(outgoing.now() - keep)
        heard.prune(outgoing.now() - keep)
        told.revive()
        return Again(_INTERVAL)

    return handle
