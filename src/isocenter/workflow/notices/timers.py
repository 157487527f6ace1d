"""What is to be looked at for a study when nothing more has come for a while: rows, never timers of a process."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.workflow.notices.tables import study_timer

PAGE = 200


class Timer(NamedTuple):
    """One timer; `due_at` in microseconds UTC."""

    study_uid: str
    timer: str
    due_at: int


def arm(connection: Connection, timers: Iterable[Timer]) -> None:
    """Start timers, those that run already anew."""
    _upsert(connection, timers, anew=True)


def hasten(connection: Connection, timers: Iterable[Timer]) -> None:
    """Start timers; one that runs already runs until the earlier of both times."""
    _upsert(connection, timers, anew=False)


def due(connection: Connection, at: int, limit: int = PAGE) -> list[Timer]:
    """Those that have run out, in their order."""
    columns = (study_timer.c[name] for name in Timer._fields)
    query = select(*columns).where(study_timer.c.due_at <= at).order_by(study_timer.c.due_at, study_timer.c.id)
    return [Timer(*row) for row in connection.execute(query.limit(limit))]


def take(connection: Connection, timer: Timer) -> bool:
    """Take away one that ran out. False if it was started anew meanwhile: then nothing may be done."""
    return connection.execute(delete(study_timer).where(_is(timer))).rowcount == 1


def postpone(connection: Connection, timer: Timer, due_at: int) -> bool:
    """Look again later. False as with `take`."""
    return connection.execute(update(study_timer).where(_is(timer)).values(due_at=due_at)).rowcount == 1


def forget(connection: Connection, study_uid: str) -> None:
    """The study is gone."""
    connection.execute(delete(study_timer).where(study_timer.c.study_uid == study_uid))


def _is(timer: Timer) -> Any:
    return and_(*(study_timer.c[name] == value for name, value in timer._asdict().items()))


def _upsert(connection: Connection, timers: Iterable[Timer], *, anew: bool) -> None:
    # in one order everywhere, or two nodes wait for each other
    rows = [each._asdict() for each in sorted(timers)]
    if not rows:
        return
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(study_timer)
    new, held = insert.excluded.due_at, study_timer.c.due_at
    chosen = new if anew else case((new < held, new), else_=held)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["study_uid", "timer"], set_={"due_at": chosen}), rows
    )
