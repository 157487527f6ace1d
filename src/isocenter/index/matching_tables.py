"""Which tables a search at a level reads, how they are joined, and what no search may see."""

from collections.abc import Set
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, exists, false, func, select

from isocenter.declarations.query_keys import Key, Level
from isocenter.declarations.rejections import IN_FORCE
from isocenter.index import tables

Access = frozenset[str] | None
"""Access groups that the asker may see; None: all of them."""
View = frozenset[int]
"""What is seen: numbers of `instance.rejected` (`declarations.rejections`)."""

_TABLES: dict[Level, Table] = {
    Level.PATIENT: tables.patient,
    Level.STUDY: tables.study,
    Level.SERIES: tables.series,
    Level.IMAGE: tables.instance,
}
STUDY, SERIES, PATIENT = "study", "series", "patient"
SERIES_BELOW = tables.series.alias("series_below")
STUDY_BELOW = tables.study.alias("study_below")
_WITHIN = tables.instance.alias("within")


class Frame:
    """The tables of a search at `level`, the columns in them, and the conditions that always hold."""

    def __init__(self, level: Level, access: Access, view: View = IN_FORCE) -> None:
        self.level = level
        self.access = access
        self.view = view
        self.base = _TABLES[level]

    @property
    def id(self) -> ColumnElement[int]:
        """The primary key of what is searched for."""
        return self.base.c.id

    def column(self, key: Key) -> tuple[ColumnElement[Any], str]:
        """The column of a key and the table that it needs. A patient's stand in the study below patient level."""
        return self.named(key.level, key.column)

    def named(self, level: Level, name: str) -> tuple[ColumnElement[Any], str]:
        """The column `name` of `level` as this search reads it, and its table."""
        table = self._table(level)
        return table.c[name], table.name

    def attributes(self, level: Level) -> tuple[ColumnElement[str], str]:
        """The further attributes of `level`; those of a patient stand in its own table only."""
        return _TABLES[level].c.attributes, _TABLES[level].name

    def owner(self, level: Level) -> tuple[ColumnElement[int], str]:
        """The primary key of the patient, study, series or instance that a match belongs to, and the table it needs."""
        if level is self.level:
            return self.base.c.id, self.base.name
        if level is Level.PATIENT:
            return tables.study.c.patient, STUDY
        if level is Level.STUDY:
            return self.base.c.study, self.base.name
        return self.base.c.series, self.base.name

    def _table(self, level: Level) -> Table:
        return tables.study if level is Level.PATIENT and self.level is not Level.PATIENT else _TABLES[level]

    def joined(self, needed: Set[str]) -> FromClause:
        """The searched table joined with those of `needed` above it."""
        source: FromClause = self.base
        needed = needed | ({STUDY} if self.access is not None or PATIENT in needed else set())
        if SERIES in needed and self.level is Level.IMAGE:
            source = source.join(tables.series, tables.series.c.id == tables.instance.c.series)
        if STUDY in needed and self.level in (Level.SERIES, Level.IMAGE):
            source = source.join(tables.study, tables.study.c.id == self.base.c.study)
        if PATIENT in needed and self.level is not Level.PATIENT:
            source = source.join(tables.patient, tables.patient.c.id == tables.study.c.patient)
        return source

    def standing(self) -> list[ColumnElement[bool]]:
        """Something in force is there, and the asker may see it."""
        if self.level is Level.PATIENT:
            return [self._patient_standing()]
        return [self._in_force(), *self.seen()]

    def seen(self) -> list[ColumnElement[bool]]:
        """The asker may see it."""
        if self.level is Level.PATIENT and self.access is not None:
            return [self._patient_standing()]
        return self._granted()

    def _in_force(self) -> ColumnElement[bool]:
        if self.level is Level.IMAGE:
            return tables.instance.c.rejected == 0 if self.view == IN_FORCE else self._viewed(tables.instance)
        if self.level is Level.SERIES:
            return self._holds(tables.series)
        return exists().where(tables.series.c.study == tables.study.c.id, self._holds(tables.series))

    def _patient_standing(self) -> ColumnElement[bool]:
        return exists(
            select(tables.study.c.id)
            .join(tables.series, tables.series.c.study == tables.study.c.id)
            .where(tables.study.c.patient == tables.patient.c.id, self._holds(tables.series), *self._granted())
            .correlate(tables.patient)
        )

    def _viewed(self, instances: FromClause) -> ColumnElement[bool]:
        return instances.c.rejected.in_(sorted(self.view))

    def _holds(self, series: FromClause) -> ColumnElement[bool]:
        """Something that is seen is in the series: the count says it, where nothing rejected is asked for."""
        if self.view == IN_FORCE:
            return series.c.instances > 0
        return exists(
            select(_WITHIN.c.id).where(_WITHIN.c.series == series.c.id, self._viewed(_WITHIN)).correlate(series)
        )

    def held(self, series: FromClause) -> ColumnElement[int]:
        """How many instances of the series are seen."""
        if self.view == IN_FORCE:
            count: ColumnElement[int] = series.c.instances
            return count
        counting = select(func.count(_WITHIN.c.id)).where(_WITHIN.c.series == series.c.id, self._viewed(_WITHIN))
        return counting.correlate(series).scalar_subquery()

    def _granted(self) -> list[ColumnElement[bool]]:
        if self.access is None:
            return []
        return [tables.study.c.access_group.in_(sorted(self.access)) if self.access else false()]

    def below(self, level: Level) -> ColumnElement[bool]:
        """Which rows of SERIES_BELOW (joined with STUDY_BELOW for a patient) are in force and belong to the study or
        patient of a match; for correlated subqueries."""
        owner = self.owner(level)[0]
        in_force = self._holds(SERIES_BELOW)
        if level is Level.STUDY:
            return and_(SERIES_BELOW.c.study == owner, in_force)
        seen = [] if self.access is None else [STUDY_BELOW.c.access_group.in_(sorted(self.access))]
        return and_(SERIES_BELOW.c.study == STUDY_BELOW.c.id, STUDY_BELOW.c.patient == owner, in_force, *seen)
