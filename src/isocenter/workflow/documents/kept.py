"""The documents that were kept, by feed, number and version."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from isocenter.index.tables import instance, series, study
from isocenter.workflow.documents.objects import Former
from isocenter.workflow.documents.results import MORE, Document
from isocenter.workflow.documents.tables import document as table

STORED, CANCELLED = "stored", "cancelled"


class Kept(NamedTuple):
    """One version of one document."""

    id: int
    number: str
    kind: str
    version: str
    state: str
    study_uid: str
    series_uid: str
    sop_class: str
    sop_uid: str
    instance: int

    @property
    def former(self) -> Former:
        """As a later one names it."""
        return Former(self.study_uid, self.series_uid, self.sop_class, self.sop_uid)


_COLUMNS: Final = tuple(table.c[name] for name in Kept._fields)


def versions(connection: Connection, feed: str, number: str, kind: str) -> list[Kept]:
    """All versions of a document, the latest first."""
    query = select(*_COLUMNS).where(table.c.feed == feed, table.c.number == number, table.c.kind == kind)
    return [Kept._make(row) for row in connection.execute(query.order_by(table.c.id.desc()))]


def all_of(connection: Connection, feed: str, number: str) -> list[Kept]:
    """All that was kept under a number: texts and PDFs, and their versions."""
    more = (table.c.number >= f"{number}{MORE}") & (table.c.number < f"{number}{chr(ord(MORE) + 1)}")
    query = select(*_COLUMNS).where(table.c.feed == feed, (table.c.number == number) | more)
    return [Kept._make(row) for row in connection.execute(query.order_by(table.c.id))]


def stored_at(connection: Connection, sop_uid: str) -> tuple[str, str] | None:
    """Study and series of an archived instance; None where there is none."""
    joined = select(study.c.study_uid, series.c.series_uid).join(series, series.c.study == study.c.id)
    query = joined.join(instance, instance.c.series == series.c.id).where(instance.c.sop_uid == sop_uid)
    row = connection.execute(query.order_by(instance.c.id)).first()
    return (row[0], row[1]) if row is not None else None


class Keeping:
    """Notes documents, in the transaction of its caller."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def note(self, connection: Connection, feed: str, document: Document, where: Former, number: int) -> None:
        """Note that a version is archived; `number`: its Instance Number."""
        row = {"feed": feed, "number": document.number, "kind": document.kind, "version": document.version}
        values = {**where._asdict(), "instance": number, "state": STORED, "at": self._clock()}
        connection.execute(insert(table).values(**row, **values))

    def cancel(self, connection: Connection, kept: Iterable[Kept]) -> None:
        """Note that these are cancelled."""
        ids = [each.id for each in kept]
        if ids:
            connection.execute(update(table).where(table.c.id.in_(ids)).values(state=CANCELLED))
