"""Which instance stands for a series or a study where one picture is to do: the middle image of the first series that
has any (PS3.18 10.4.1.1.4 leaves the choice to the server)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select

from isocenter.archive.retrieval.instances import Located, Selection, Series, locate_one, seen, series_of
from isocenter.database import Database
from isocenter.index.tables import instance

_LAST = 1 << 62
_DERIVED = frozenset({"SEG", "PR", "KO", "SR", "RTSTRUCT", "RTDOSE", "REG", "DOC"})
"""Modalities of series that say something about others: they come behind."""


def representative(database: Database, selection: Selection) -> Located | None:
    """The instance that stands for the selected series or study; None where nothing is there."""
    found = sorted(series_of(database, selection), key=lambda one: one.modality in _DERIVED)
    uid = _middle(database, found, images=True) or _middle(database, found, images=False)
    if uid is None:
        return None
    one, sop_uid = uid
    return locate_one(database, one.study_uid, one.series_uid, sop_uid, selection.access, selection.view)


def _middle(database: Database, found: Sequence[Series], *, images: bool) -> tuple[Series, str] | None:
    """The UID of the middle one of the first series that has any."""
    for one in found:
        matching = [instance.c.series == one.id, seen(one.view)]
        if images:
            matching += [instance.c.rows > 0, instance.c.columns > 0]
        with database.reading() as connection:
            count = connection.execute(select(func.count()).where(*matching)).scalar_one()
            if count:
                return one, str(connection.execute(_nth(matching, count // 2)).scalar_one())
    return None


def _nth(matching: Sequence[Any], place: int) -> Select[Any]:
    number = func.coalesce(instance.c.instance_number_value, _LAST)
    return select(instance.c.sop_uid).where(*matching).order_by(number, instance.c.id).limit(1).offset(place)
