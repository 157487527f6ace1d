"""What has to be done about steps from time to time: forgetting old ones (X-RIS-30), waking deliveries."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import and_, delete, exists, select

from isocenter import telemetry
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.registry.roster import Directory
from isocenter.workflow.steps.deliveries import Deliveries
from isocenter.workflow.steps.tables import step, step_delivery, step_item, step_message, step_series

log = telemetry.logger("workflow.steps")

KIND: Final = "mpps-upkeep"
_EVERY: Final = 300.0
"""Seconds between two rounds."""
_DAY: Final = 24 * 3600 * 1_000_000
_AT_ONCE: Final = 200


def handler(deliveries: Deliveries, directory: Directory, clock: Callable[[], int]) -> Handler:
    """The handler of jobs of kind `KIND`."""

    def handle(running: Running) -> Again:
        for ae in directory.now().settings.aes:
            if ae.mpps.kept:
                while not running.stopping and purge(deliveries, ae.title, clock() - ae.mpps.kept * _DAY):
                    pass
        deliveries.revive()
        return Again(_EVERY)

    return handle


def purge(deliveries: Deliveries, ae: str, before: int) -> int:
    """Forget steps that `ae` received and that have not changed since `before`, some at a time; how many. What has
    still to be delivered, and what waits for a person, stays."""
    pending = exists().where(step_delivery.c.step == step.c.id, step_delivery.c.state.in_(("waiting", "failed")))
    old = and_(step.c.ae == ae, step.c.changed_at < before, step.c.matching != "unmatched", ~pending)
    with deliveries.database.reading() as connection:
        numbers = list(connection.execute(select(step.c.id).where(old).limit(_AT_ONCE)).scalars())
    if not numbers:
        return 0
    with deliveries.database.writing() as connection:
        for table in (step_item, step_series, step_message, step_delivery):
            connection.execute(delete(table).where(table.c.step.in_(numbers)))
        connection.execute(delete(step).where(step.c.id.in_(numbers)))
    log.info("mpps.purged", steps=len(numbers))
    return len(numbers)
