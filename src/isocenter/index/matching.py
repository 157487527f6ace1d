"""Queries as SQL: PS3.4 C.2.2.2 matching and C.4.1.2 hierarchical and relational search over the archive's tables.

    plan(query, dialect) -> Plan: statements that find primary keys and rows, and how to read a row

A query at a level reads that level's table; a study repeats its patient's columns, so that a study level search reads
one table. Rejected and superseded instances, and what holds nothing else, are left out; the access filter is part of
every statement. What the index can't decide alone (sensitivity to case or accents, long text) is rechecked on the
unfolded values.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select

from isocenter.declarations.query_keys import Key, Level, Path
from isocenter.declarations.rejections import IN_FORCE
from isocenter.index.matching_conditions import Conditions
from isocenter.index.matching_returns import Layout, Selection, layout_of
from isocenter.index.matching_sql import Dialect
from isocenter.index.matching_tables import Access, Frame, View
from isocenter.index.matching_values import FOLDED, Sensitivity

__all__ = ["FOLDED", "Access", "Frame", "Level", "Model", "Path", "Plan", "Query", "Recheck", "Sensitivity", "plan"]


_BOUNDS: frozenset[Path] = frozenset({(0x0020000D,), (0x0020000E,)})
"""Study and Series Instance UID: whoever names one asks for a part of a study."""


class Model(Enum):
    """The information model of a query (PS3.4 C.6)."""

    PATIENT_ROOT = "patient-root"
    STUDY_ROOT = "study-root"
    PATIENT_STUDY_ONLY = "patient-study-only"

    @property
    def levels(self) -> tuple[Level, ...]:
        """Its levels from the top; Study Root has the patient's keys at study level."""
        return {
            Model.PATIENT_ROOT: tuple(Level),
            Model.STUDY_ROOT: (Level.STUDY, Level.SERIES, Level.IMAGE),
            Model.PATIENT_STUDY_ONLY: (Level.PATIENT, Level.STUDY),
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for. Keys that the level does not support match everything and come back empty."""

    level: Level
    access: Access
    """Access groups that the asker may see; None: all of them."""
    keys: tuple[tuple[Path, str], ...] = ()
    """Matching keys: path and value as decoded text, several values joined by backslashes."""
    returns: tuple[Path, ...] = ()
    """Paths to return; that of a sequence stands for all it holds."""
    sensitivity: Sensitivity = FOLDED
    combined: bool = False
    """A date and its time match as one moment (PS3.4 C.2.2.2.5.4; negotiated)."""
    fuzzy: bool = False
    """Fuzzy semantic matching of person names (PS3.18 8.3.4.2)."""
    empty: bool = False
    """A value of two quotation marks matches what is empty or absent (PS3.4 C.2.2.2.7; asked for)."""
    ordered: bool = False
    """The same order every time, by arrival; needed where pages are asked for by offset."""
    offset: int = 0
    limit: int | None = None
    """At most so many rows."""
    view: View = IN_FORCE
    """What is seen beside or instead of what is in force: numbers of `instance.rejected`."""
    more: tuple[Key, ...] = ()
    """Keys that this installation supports besides its own (`declarations.indexed_attributes`)."""
    refuse_above: int = 0
    """More matches than this are refused (M-FIND-13); 0: no limit."""


class Recheck(NamedTuple):
    """A test of the unfolded value: of column `column` of the key statement, or of attribute rows at `path`."""

    column: int
    """Position of the value, or of the owner's primary key where `path` is given."""
    path: str
    code: str
    accepts: Callable[[str], bool]


class _Shape(NamedTuple):
    """What queries of the same level, access and return keys have in common."""

    frame: Frame
    dialect: Dialect
    layout: Layout
    columns: tuple[Any, ...]
    tables: frozenset[str]
    standing: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One query, ready to run: statements are made when they are asked for."""

    query: Query
    layout: Layout
    rechecks: tuple[Recheck, ...]
    """To be applied to the rows of `keys`, whose first column is the primary key."""
    _shape: _Shape
    _conditions: Conditions
    _checked: "_Checked"

    def rows(self) -> Select[Any]:
        """The matches with what is to be returned; not rechecked."""
        return self._select(self._shape.columns, self._shape.tables)

    def keys(self) -> Select[Any]:
        """The primary keys of the matches and what the rechecks look at."""
        return self._select(self._checked.columns, self._checked.tables)

    def rows_of(self, ids: list[int]) -> Select[Any]:
        """The rows of these primary keys, which `keys` has just given, as far as they are there and may be seen."""
        shape = self._shape
        found = (
            select(shape.frame.id, *shape.columns)
            .select_from(shape.frame.joined(shape.tables))
            .where(*shape.frame.seen(), shape.dialect.among(shape.frame.id, ids))
        )
        return found.order_by(*self._order()) if self.query.ordered else found

    def count(self, cap: int) -> Select[Any]:
        """How many match, counting no further than `cap`."""
        return select(func.count()).select_from(self.keys().order_by(None).limit(cap).subquery())

    def _select(self, columns: Iterable[Any], tables: Set[str]) -> Select[Any]:
        shape, conditions = self._shape, self._conditions
        found = (
            select(shape.frame.id, *columns)
            .select_from(shape.frame.joined(tables | conditions.tables))
            .where(*shape.standing, *conditions.found)
        )
        return found.order_by(*self._order()) if self.query.ordered else found

    def _order(self) -> tuple[Any, ...]:
        """By arrival. Primary keys tell it as the index met the objects, which another index may have done otherwise;
        below a study, where there is little to sort, it is what the objects themselves say."""
        base = self._shape.frame.base
        told = {path for path, value in self.query.keys if value and not set("*?") & set(value)}
        if self.query.level is Level.SERIES and told & _BOUNDS:
            return base.c.received_at, base.c.series_uid, base.c.id
        if self.query.level is Level.IMAGE and told & _BOUNDS:
            return base.c.received_at, base.c.sop_uid, base.c.id
        return (base.c.id,)


def plan(query: Query, dialect: str) -> Plan:
    """The statements of `query`. Raises Refused(IDENTIFIER_MISMATCH) for values that can't be read."""
    shape = _shape(query.level, query.access, query.returns, dialect, query.more, query.view)
    conditions = Conditions(shape.frame, shape.dialect, query.sensitivity, combined=query.combined, fuzzy=query.fuzzy)
    conditions.empty = query.empty
    conditions.add_all(query.keys, query.more)
    checked = _Checked(shape.frame)
    rechecks = [checked.value(key, accepts) for key, accepts in conditions.rechecks]
    rechecks += [checked.attributes(level, accepts) for level, accepts in conditions.nested]
    return Plan(query, shape.layout, tuple(rechecks), shape, conditions, checked)


@lru_cache(maxsize=256)
def _shape(
    level: Level, access: Access, returns: tuple[Path, ...], dialect_name: str, more: tuple[Key, ...], view: View
) -> _Shape:
    dialect, frame = Dialect(dialect_name), Frame(level, access, view)
    selection = Selection(frame, dialect)
    layout = layout_of(level, returns, selection, more)
    columns, tables = tuple(selection.columns), frozenset(selection.tables)
    return _Shape(frame, dialect, layout, columns, tables, tuple(frame.standing()))


class _Checked:
    """The columns that rechecks need beside the primary key."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.columns: list[Any] = []
        self.tables: set[str] = set()

    def value(self, key: Key, accepts: Callable[[str], bool]) -> Recheck:
        """A recheck of a column, or of rows whose owner is told."""
        if key.column:
            return Recheck(self._add(*self.frame.column(key)), "", "", accepts)
        return Recheck(self._add(*self.frame.owner(key.level)), key.dotted, key.level.code, accepts)

    def attributes(self, level: Level, accepts: Callable[[str], bool]) -> Recheck:
        """A recheck of a level's further attributes."""
        return Recheck(self._add(*self.frame.attributes(level)), "", "", accepts)

    def _add(self, column: Any, table: str) -> int:
        self.columns.append(column.label(f"c{len(self.columns)}"))
        self.tables.add(table)
        return len(self.columns)
