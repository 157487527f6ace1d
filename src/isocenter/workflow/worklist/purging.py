"""Taking old entries out of the worklist (X-RIS-13)."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select

from isocenter import telemetry
from isocenter.config.worklist import WorklistUpkeep
from isocenter.database import Database
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.workflow.worklist.entries import Worklist, now
from isocenter.workflow.worklist.states import OVER
from isocenter.workflow.worklist.tables import worklist_item as item

log = telemetry.logger("worklist")

KIND: Final = "worklist-purge"
_PAGE: Final = 200
_DATE: Final = 8
_SECOND: Final = 1_000_000


def handler(database: Database, settings: WorklistUpkeep, clock: Callable[[], int] = now) -> Handler:
    """The handler of jobs of kind `KIND`; enqueue one, with a unique key, at each start: it comes back by itself."""
    worklist = Worklist(database, clock)

    def look(running: Running) -> Again:
        taken = 0
        while not running.cancelled() and (found := purge(worklist, settings, clock())):
            taken += found
        if taken:
            log.info("worklist.purged", entries=taken)
        return Again(settings.purge_every)

    return look


def purge(worklist: Worklist, settings: WorklistUpkeep, at: int) -> int:
    """Take out a page of what is old at `at` (microseconds UTC). Returns how many entries there were."""
    conditions = [*_over(settings, at), *_due(settings, at)]
    if not conditions:
        return 0
    wanted = select(item.c.id).where(or_(*conditions)).limit(_PAGE)
    with worklist.database.reading(lagging=True) as connection:
        if not connection.execute(wanted.limit(1)).first():
            return 0
    with worklist.database.writing() as connection:
        ids = list(connection.execute(wanted).scalars())
        worklist.remove(connection, ids)
    return len(ids)


def _over(settings: WorklistUpkeep, at: int) -> list[ColumnElement[bool]]:
    if not settings.keep_over:
        return []
    before = at - int(settings.keep_over * _SECOND)
    return [and_(item.c.state.in_(sorted(OVER)), item.c.changed_at < before)]


def _due(settings: WorklistUpkeep, at: int) -> list[ColumnElement[bool]]:
    """Dates and times of DICOM are local; one in a form that can't be compared stays."""
    if not settings.keep_due:
        return []
    moment = datetime.fromtimestamp((at - int(settings.keep_due * _SECOND)) / _SECOND).astimezone()
    day, hour = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    earlier = or_(item.c.start_date < day, and_(item.c.start_date == day, item.c.start_time < hour))
    return [and_(item.c.state.not_in(sorted(OVER)), func.length(item.c.start_date) == _DATE, earlier)]
