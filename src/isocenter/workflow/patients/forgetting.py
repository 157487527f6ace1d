"""Forgetting what messages did to patients: from then on it can't be taken back."""

from typing import Final

from sqlalchemy import delete, select

from isocenter.database import Database
from isocenter.workflow.patients.tables import patient_event

_PAGE: Final = 500


def forget(database: Database, before: int) -> int:
    """Delete the oldest events, of those before `before` (microseconds UTC) at most a page; how many. The patients
    stay as they are. An event never goes before those that it stands on: they are older."""
    c = patient_event.c
    with database.reading(lagging=True) as connection:
        page = connection.execute(select(c.id, c.at).order_by(c.id).limit(_PAGE)).all()
    old = [row.id for row in page if row.at < before]
    if not old:
        return 0
    with database.writing() as connection:
        return connection.execute(delete(patient_event).where(c.id.in_(old))).rowcount
