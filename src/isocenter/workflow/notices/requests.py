"""The end of a STOW-RS request, as the completeness rule may take it (`completeness.request`)."""

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, update
from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.database import Database
from isocenter.workflow.completeness import TIMER as COMPLETE
from isocenter.workflow.notices import timers
from isocenter.workflow.notices.outgoing import now
from isocenter.workflow.notices.tables import completeness
from isocenter.workflow.notices.timers import Timer

log = telemetry.logger("workflow.notices")

TIMER, AGAIN = "request", "request again"
_LATER = 1_000_000
"""Microseconds until it is looked for once more whether the arrivals of the request have been followed."""


def ended(database: Database, studies: Iterable[str], clock: Callable[[], int] = now) -> None:
    """All objects of a request are stored. The answer does not depend on it: what fails is logged, and the studies are
    complete once nothing came for a while."""
    due = clock()
    try:
        with database.writing() as connection:
            timers.arm(connection, (Timer(uid, TIMER, due) for uid in studies))
    except SQLAlchemyError as fault:
        log.warning("request.unnoted", fault=type(fault).__name__)


def noted(connection: Connection, timer: Timer) -> None:
    """The follower has come to it: the study has been whole since then, as far as that request goes."""
    noting = update(completeness).where(completeness.c.study_uid == timer.study_uid).values(request_at=timer.due_at)
    known = connection.execute(noting).rowcount
    if not timers.take(connection, timer):
        return
    if known:
        timers.hasten(connection, [Timer(timer.study_uid, COMPLETE, timer.due_at)])
    elif timer.timer == TIMER:  # its arrivals may be behind the place in the feed, but not for long
        timers.arm(connection, [Timer(timer.study_uid, AGAIN, timer.due_at + _LATER)])
