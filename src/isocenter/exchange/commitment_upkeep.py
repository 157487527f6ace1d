"""What storage commitment wants done from time to time: time-outs, lost jobs, and what is old."""

from collections.abc import Callable
from typing import Final

from isocenter import telemetry
from isocenter.archive.commitment import rows as commitment_rows
from isocenter.archive.commitment.accepted import KEPT, Accepted
from isocenter.archive.commitment.asked import Asked
from isocenter.jobs.queue import Queue, now
from isocenter.jobs.runner import Again, Handler, Running

log = telemetry.logger("exchange.commitment")

KIND: Final = "commitment-upkeep"
INTERVAL: Final = 30.0
"""Seconds between two looks."""


def handler(accepted: Accepted, asked: Asked, clock: Callable[[], int] = now) -> Handler:
    """The handler of jobs of kind `KIND`; enqueue one, with a unique key, at each start: it comes back by itself.

    What was reported to others is forgotten after `KEPT`, with the jobs of that time; what others committed to stays
    (X-MOD-35).
    """

    queue = Queue(accepted.database, clock)

    def look(running: Running) -> Again:
        if asked.overdue():
            asked.expire()
        if revived := accepted.revive() + asked.revive():
            log.warning("commitment.revived", jobs=revived)
        old = clock() - KEPT
        while not running.cancelled() and commitment_rows.prune(accepted.database, ("reported", "undelivered"), old):
            queue.prune(old)
        return Again(INTERVAL)

    return look
