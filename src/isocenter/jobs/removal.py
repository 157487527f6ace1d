"""The only way out of the store: carries out the rows of `removal` that are due.

A redundant copy goes only while the object that makes it redundant is there, or was itself deleted; and nothing goes
that the index still serves.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, exists, select, update

from isocenter import telemetry
from isocenter.database import Database
from isocenter.errors import IsocenterError
from isocenter.index.tables import instance, instance_version, non_patient_instance, removal
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.store.api import Store
from isocenter.store.verify import examine

log = telemetry.logger("jobs.removal")

KIND = "removal"
PAGE = 200
INTERVAL = 60.0
"""Seconds between looks for removals that are due."""
POSTPONED = 24 * 3600 * 1_000_000
KEPT = 30 * 24 * 3600 * 1_000_000
"""Microseconds that a removal is remembered after it was carried out, so that a late resubmission is told."""


class _Due(NamedTuple):
    id: int
    store_key: str
    reason: str
    kept_key: str


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def handler(database: Database, store: Store, clock: Callable[[], int] = now) -> Handler:
    """The handler of jobs of kind `removal`; enqueue one, with a unique key, at each start: it comes back by itself."""

    def carry_out_all(running: Running) -> Again:
        while not running.cancelled() and carry_out(database, store, clock()) == PAGE:
            pass
        with database.writing() as connection:
            connection.execute(delete(removal).where(removal.c.removed_at < clock() - KEPT))
        return Again(INTERVAL)

    return carry_out_all


def carry_out(database: Database, store: Store, at: int) -> int:
    """Carry out a page of the removals due at `at`; how many there were."""
    query = (
        select(removal.c.id, removal.c.store_key, removal.c.reason, removal.c.kept_key)
        .where(removal.c.removed_at.is_(None), removal.c.not_before <= at)
        .order_by(removal.c.not_before, removal.c.id)
        .limit(PAGE)
    )
    with database.reading() as connection:
        due = [_Due(*row) for row in connection.execute(query)]
        served = [one for one in due if _served(connection, one.store_key)]
        spare = [one for one in due if one not in served and _superfluous(connection, store, one)]
    removed = [one.id for one in spare if _remove(store, one)]
    left = [one.id for one in due if one not in served and one.id not in removed]
    if due:
        _record(database, removed, [one.id for one in served], left, at)
    return len(due)


def _served(connection: Connection, key: str) -> bool:
    """Whether an object in force or a version of one has this key."""
    holding = (instance, instance_version, non_patient_instance)
    queries = (exists().where(table.c.store_key == key) for table in holding)
    return any(connection.execute(select(query)).scalar() for query in queries)


def _superfluous(connection: Connection, store: Store, one: _Due) -> bool:
    if one.reason not in ("equal-duplicate", "compressed"):
        return True
    if one.kept_key == one.store_key or not one.kept_key:
        return False
    if _served(connection, one.kept_key):
        return _sound(store, one.kept_key)
    gone = select(exists().where(removal.c.store_key == one.kept_key, removal.c.reason == "deleted"))
    return bool(connection.execute(gone).scalar())


def _sound(store: Store, key: str) -> bool:
    """Whether an object is there, and not known to have rotted: then its copy is worth more than it is."""
    try:
        with store.open(key) as stored:
            return examine(stored).verdict != "altered"
    except (IsocenterError, OSError):
        return False


def _remove(store: Store, one: _Due) -> bool:
    try:
        store.remove(one.store_key)
    except OSError as fault:
        log.warning("removal.failed", key=one.store_key, fault=type(fault).__name__)
        return False
    telemetry.count("isocenter_removed_total", reason=one.reason)
    return True


def _record(database: Database, removed: Sequence[int], served: Sequence[int], left: Sequence[int], at: int) -> None:
    """Note what was done. What the index serves is no removal; what could not be done is tried again another day."""
    with database.writing() as connection:
        connection.execute(update(removal).where(removal.c.id.in_(removed)).values(removed_at=at))
        connection.execute(delete(removal).where(removal.c.id.in_(served)))
        connection.execute(update(removal).where(removal.c.id.in_(left)).values(not_before=at + POSTPONED))
    if left:
        log.warning("removal.postponed", count=len(left))
