"""Storage commitment, wired: its services for the processes that accept associations, its jobs for the one that works
in the background."""

import contextlib
import os
import socket
from collections.abc import Mapping

from isocenter import telemetry
from isocenter.archive.commitment.accepted import KIND as REPORT
from isocenter.archive.commitment.accepted import Accepted, Way
from isocenter.archive.commitment.asked import KIND as REQUEST
from isocenter.archive.commitment.asked import Asked
from isocenter.archive.commitment.holding import Checker
from isocenter.archive.commitment.polled import KIND as LOOK
from isocenter.archive.commitment.polled import Polled
from isocenter.config import Settings
from isocenter.dimse import Association
from isocenter.exchange import commitment_upkeep
from isocenter.exchange.committing import Asker
from isocenter.exchange.peers import Peers
from isocenter.exchange.reporting import Reporter, Reports
from isocenter.jobs import Queue
from isocenter.jobs.runner import Handler
from isocenter.registry.roster import Directory
from isocenter.server.archive import Archive
from isocenter.server.policy import Door

log = telemetry.logger("server.committing")


def reports(archive: Archive, settings: Settings, directory: Directory) -> Reports:
    """What looks after instances and reports on them."""
    checker = Checker.of(archive.database, archive.store, settings.durability)
    return Reports(Accepted(archive.database), checker, directory)


def polled(archive: Archive, settings: Settings) -> Polled:
    """What answers those who ask over HTTP."""
    return Polled(archive.database, Checker.of(archive.database, archive.store, settings.durability))


def way(peers: Peers, association: Association) -> Way:
    """Which association the report goes over: as the peer is set, or the AE; over the request's own where no other can
    be made."""
    door = association.basis
    assert isinstance(door, Door)
    wanted: Way = (door.peer.commitment_report if door.peer else "") or door.ae.commitment.report
    if wanted == "new" and peers.destination(association.calling, door.ae, association.address) is None:
        return "same"
    return wanted


def handlers(archive: Archive, settings: Settings, directory: Directory, peers: Peers) -> Mapping[str, Handler]:
    """The handlers of the jobs that talk to peers."""
    asked, over_http = Asked(archive.database), polled(archive, settings)
    return {
        LOOK: lambda running: over_http.handle(running, directory.now().settings.ae),
        REPORT: Reporter(reports(archive, settings, directory), peers, directory).handle,
        REQUEST: Asker(asked, peers, directory).handle,
    }


def upkeep(archive: Archive) -> Handler:
    """The handler of `commitment_upkeep.KIND`."""
    return commitment_upkeep.handler(Accepted(archive.database), Asked(archive.database))


def release_dead(queue: Queue) -> None:
    """Take over at once what processes of this machine held that have ended; without it the leases have to run out.
    Only where all runners are known to be processes of this machine, so with SQLite."""
    here = socket.gethostname()
    dead = {owner for owner in queue.owners() if owner.rpartition(":")[0] == here and not _alive(owner)}
    if released := queue.release(dead):
        log.warning("jobs.released", jobs=released)


def _alive(owner: str) -> bool:
    with contextlib.suppress(ValueError, PermissionError):  # no number, or another user's process: taken to be alive
        try:
            os.kill(int(owner.rpartition(":")[2]), 0)
        except ProcessLookupError:
            return False
    return True
