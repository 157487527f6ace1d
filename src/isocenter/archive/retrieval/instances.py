"""What a retrieval finds: the instances in force below some UIDs, in the order in which they should leave.

    Selection -> locate() -> pages of Located -> reader(store, located) -> the data set's bytes

Pages come by key, series after series in the order of their numbers; no connection is held between two of them.
Superseded instances are not found, and rejected ones only by who may see them (`Selection.view`). Every search passes
the access filter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select

from isocenter.archive.ruling import Ruling
from isocenter.database import Database
from isocenter.database.prepared import Prepared
from isocenter.declarations.rejections import IN_FORCE
from isocenter.imaging.stored import Stored
from isocenter.index.tables import instance, series, study
from isocenter.store.api import Store, StoredObject

PAGE = 500
"""Instances a page."""
_BINDS = 500
"""UIDs that one statement binds; a longer list goes through several (SQLite's older limit is 999)."""
_LAST = 1 << 62
"""Where instances without a number sort."""

View = frozenset[int]
Access = frozenset[str] | None
"""Access groups that the asker may see; None: all of them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances: every non-empty list narrows (PS3.4 C.4.2.2.1). At least one must be non-empty to find any."""

    patient_ids: tuple[str, ...] = ()
    study_uids: tuple[str, ...] = ()
    series_uids: tuple[str, ...] = ()
    sop_uids: tuple[str, ...] = ()
    issuer: str | None = None
    """Issuer of the Patient ID, where the asker named one."""
    access: Access = None
    view: View = IN_FORCE
    """What is seen: numbers of `instance.rejected`."""


class Series(NamedTuple):
    """One series that a selection touches. `revision` rises with every change of it."""

    id: int
    study_uid: str
    series_uid: str
    revision: int
    instances: int
    bytes: int
    modality: str
    changed_at: int
    patient_id: str
    overlay: str = ""
    """The edits that cover its objects (`archive.leaving`)."""
    view: View = IN_FORCE
    """Which of its instances are looked at (`declarations.rejections`)."""


class Located(NamedTuple):
    """One instance in force and where it lies. `size` bytes of data set start at `offset` of object `store_key`."""

    id: int
    series: int
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    syntax: str
    store_key: str
    size: int
    offset: int
    instance_number: str
    number: int | None
    rows: int | None
    columns: int | None
    bits_allocated: int | None
    frames: int | None
    character_set: str
    availability: str
    digest: str
    received_at: int
    patient_id: str = ""
    """For error lists and logs' access decisions; never logged."""
    overlay: str = ""
    """The edits that cover it (`archive.leaving`), and what else is to be laid over it; '' for none."""
    ruling: Ruling | None = None
    """The rules on sending that are for it (`web.departing`). `overlay` has a word of them then, so that it tells one
    state of the object from another."""


_FACTS = (
    instance.c.sop_uid,
    instance.c.sop_class,
    instance.c.syntax,
    instance.c.store_key,
    instance.c.size,
    instance.c.offset,
    instance.c.instance_number,
    instance.c.instance_number_value,
    instance.c.rows,
    instance.c.columns,
    instance.c.bits_allocated,
    instance.c.frames,
    instance.c.character_set,
    instance.c.availability,
    instance.c.digest,
    instance.c.received_at,
)


class Totals(NamedTuple):
    """How much a selection holds."""

    instances: int
    bytes: int


def locate(database: Database, selection: Selection, *, page: int = PAGE) -> Iterator[list[Located]]:
    """The selected instances, in pages; ordered by series number, instance number and arrival."""
    for part in _parts(selection):
        if part.sop_uids:
            yield from _by_uid(database, part, page)
            continue
        for one in series_of(database, part):
            yield from locate_series(database, one, page=page)


def locate_one(
    database: Database, study_uid: str, series_uid: str, sop_uid: str, access: Access = None, view: View = IN_FORCE
) -> Located | None:
    """The instance of this full path, or None."""
    found = locate_framed(database, study_uid, series_uid, sop_uid, access, view)
    return found[0] if found else None


def locate_framed(
    database: Database, study_uid: str, series_uid: str, sop_uid: str, access: Access = None, view: View = IN_FORCE
) -> tuple[Located, bytes | None] | None:
    """The same with its frame table (`index.frames`), if it has one."""
    names = {"study_uid": study_uid, "series_uid": series_uid, "sop_uid": sop_uid}
    with database.reading() as connection:
        if access is None and view == IN_FORCE:
            row = _prepared().first(connection, **names)
        else:
            row = connection.execute(_one_framed(view).where(*_allowed(access)), names).first()
    return (Located(*row[:-1]), row[-1]) if row else None


@cache
def _prepared() -> Prepared:
    """What viewers ask for most, an image at a time."""
    return Prepared(_one_framed(IN_FORCE))


@cache
def _one_framed(view: View) -> Select[Any]:
    return (
        _instances(view)
        .add_columns(instance.c.frame_table)
        .where(
            study.c.study_uid == bindparam("study_uid"),
            series.c.series_uid == bindparam("series_uid"),
            instance.c.sop_uid == bindparam("sop_uid"),
        )
    )


def locate_series(database: Database, one: Series, *, page: int = PAGE) -> Iterator[list[Located]]:
    """The instances of a series, in pages; ordered by instance number, those without one last."""
    number = func.coalesce(instance.c.instance_number_value, _LAST)
    query = select(instance.c.id, *_FACTS).where(instance.c.series == one.id, seen(one.view))
    query = query.order_by(number, instance.c.id).limit(page)
    after: ColumnElement[bool] | None = None
    while True:
        with database.reading() as connection:
            rows = connection.execute(query if after is None else query.where(after)).all()
        if rows:
            yield [_located(one, row) for row in rows]
        if len(rows) < page:
            return
        last = _LAST if rows[-1].instance_number_value is None else rows[-1].instance_number_value
        after = or_(number > last, and_(number == last, instance.c.id > rows[-1].id))


def series_of(database: Database, selection: Selection) -> list[Series]:
    """The series that a selection touches (its SOP Instance UIDs aside), study by study, ordered by series number."""
    found: list[Series] = []
    for part in _parts(selection):
        query = _series().where(*_matching(part))
        query = query.order_by(study.c.id, func.coalesce(series.c.series_number_value, _LAST), series.c.id)
        with database.reading() as connection:
            found += [Series._make((*row, part.view)) for row in connection.execute(query)]
    return found


def series_by_id(database: Database, series_id: int) -> Series | None:
    """The series of this primary key, or None."""
    with database.reading() as connection:
        row = connection.execute(_series().where(series.c.id == series_id)).first()
    return Series(*row) if row else None


def totals(database: Database, selection: Selection) -> Totals:
    """Count and bytes of what is selected."""
    count = size = 0
    for part in _parts(selection):
        query = (
            select(func.count(), func.coalesce(func.sum(instance.c.size), 0))
            .select_from(instance)
            .join(series, instance.c.series == series.c.id)
            .join(study, instance.c.study == study.c.id)
            .where(*_matching(part), *_named(part.sop_uids), seen(part.view))
        )
        with database.reading() as connection:
            n, total = connection.execute(query).one()
        count, size = count + n, size + int(total)
    return Totals(count, size)


def totals_in(database: Database, one: Series) -> int:
    """How many instances of a series are seen."""
    counting = select(func.count()).where(instance.c.series == one.id, seen(one.view))
    with database.reading() as connection:
        return int(connection.execute(counting).scalar_one())


def kinds(database: Database, selection: Selection) -> dict[tuple[str, str], int]:
    """How many instances of each (SOP Class UID, Transfer Syntax UID) are selected."""
    found: dict[tuple[str, str], int] = {}
    for part in _parts(selection):
        query = (
            select(instance.c.sop_class, instance.c.syntax, func.count())
            .join(series, instance.c.series == series.c.id)
            .join(study, instance.c.study == study.c.id)
            .where(*_matching(part), *_named(part.sop_uids), seen(part.view))
            .group_by(instance.c.sop_class, instance.c.syntax)
        )
        with database.reading() as connection:
            for sop_class, syntax, n in connection.execute(query):
                found[sop_class, syntax] = found.get((sop_class, syntax), 0) + n
    return found


class Reader:
    """The data set of one stored instance, by position in it. Close it, or use it as a context manager."""

    __slots__ = ("_object", "_offset", "size")

    def __init__(self, opened: StoredObject, offset: int, size: int) -> None:
        self._object, self._offset, self.size = opened, offset, size

    def pread(self, n: int, offset: int) -> bytes:
        """Up to `n` bytes from `offset` of the data set; fewer only at its end."""
        return self._object.pread(min(n, max(self.size - offset, 0)), self._offset + offset)

    def stored(self, pieces: Sequence[tuple[int, int]]) -> Stored | None:
        """These pieces of the data set for another process that reads them; None where it can't."""
        path, start = self._object.path, self._offset
        if not path or not pieces:
            return None
        return Stored(path, tuple([(start + offset, length) for offset, length in pieces]))

    def at(self, offset: int, n: int) -> bytes:
        """The same with the position first, as `dicom.convert` asks."""
        return self.pread(n, offset)

    def close(self) -> None:
        """Let go of the object."""
        self._object.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reader(store: Store, located: Located) -> Reader:
    """Open the instance's data set. Raises Refused(NOT_FOUND) where the object has gone."""
    return Reader(store.open(located.store_key), located.offset, located.size)


def _located(one: Series, row: Sequence[Any]) -> Located:
    return Located(*(row[0], one.id, one.study_uid, one.series_uid, *row[1:], one.patient_id, one.overlay))


def _series() -> Select[Any]:
    return select(
        series.c.id,
        study.c.study_uid,
        series.c.series_uid,
        series.c.revision,
        series.c.instances,
        series.c.bytes,
        series.c.modality,
        series.c.changed_at,
        study.c.patient_id,
        series.c.overlay,
    ).join(study, series.c.study == study.c.id)


def seen(view: View) -> ColumnElement[bool]:
    """The instance belongs to what is seen."""
    return instance.c.rejected == 0 if view == IN_FORCE else instance.c.rejected.in_(sorted(view))


def _instances(view: View) -> Select[Any]:
    above = (study.c.patient_id, series.c.overlay)
    return (
        select(instance.c.id, instance.c.series, study.c.study_uid, series.c.series_uid, *_FACTS, *above)
        .join(series, instance.c.series == series.c.id)
        .join(study, instance.c.study == study.c.id)
        .where(seen(view))
    )


def _by_uid(database: Database, selection: Selection, page: int) -> Iterator[list[Located]]:
    """Instances named one by one: at most `_BINDS` names, so that one sort in memory gives the order."""
    query = _instances(selection.view).where(*_matching(selection), *_named(selection.sop_uids))
    query = query.order_by(
        study.c.id,
        func.coalesce(series.c.series_number_value, _LAST),
        series.c.id,
        func.coalesce(instance.c.instance_number_value, _LAST),
        instance.c.id,
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    for start in range(0, len(rows), page):
        yield [Located(*row) for row in rows[start : start + page]]


def _matching(selection: Selection) -> list[ColumnElement[bool]]:
    found = _allowed(selection.access)
    if selection.patient_ids:
        found.append(study.c.patient_id.in_(selection.patient_ids))
        if selection.issuer is not None:
            found.append(study.c.issuer == selection.issuer)
    if selection.study_uids:
        found.append(study.c.study_uid.in_(selection.study_uids))
    if selection.series_uids:
        found.append(series.c.series_uid.in_(selection.series_uids))
    return found


def _named(sop_uids: Sequence[str]) -> list[ColumnElement[bool]]:
    return [instance.c.sop_uid.in_(sop_uids)] if sop_uids else []


def _allowed(access: Access) -> list[ColumnElement[bool]]:
    return [] if access is None else [study.c.access_group.in_(sorted(access))]


def _parts(selection: Selection) -> Iterator[Selection]:
    """The same selection with its longest lists cut, so that no statement binds too many values."""
    lists = (selection.patient_ids, selection.study_uids, selection.series_uids, selection.sop_uids)
    if any(lists):
        for p in _cut(lists[0]):
            for s in _cut(lists[1]):
                for e in _cut(lists[2]):
                    for i in _cut(lists[3]):
                        yield Selection(p, s, e, i, selection.issuer, selection.access, selection.view)


def _cut(values: tuple[str, ...]) -> list[tuple[str, ...]]:
    distinct = tuple(dict.fromkeys(values))
    return [distinct[i : i + _BINDS] for i in range(0, len(distinct), _BINDS)] or [()]


ReadAt = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""
