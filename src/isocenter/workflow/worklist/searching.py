"""Searching the worklist: columns narrow in SQL, and what they can't decide is matched on the whole entry.

Entries come by their start, in pages by key; no connection is held between two of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Select, and_, or_, select, tuple_, union_all

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import START_DATE, START_TIME, STATUS
from isocenter.dicom.dictionary import vr_of
from isocenter.errors import Reason, Refused
from isocenter.index import matching_sql as sql
from isocenter.index.matching_items import AS_USUAL, Accept, Asked, How, is_empty, matcher, tests_of
from isocenter.index.matching_sql import Dialect
from isocenter.index.matching_values import Exact, Name, Span, Test, Tests, Wild, folded, literal_prefix
from isocenter.workflow.worklist.attributes import plain
from isocenter.workflow.worklist.rows import COLUMNS
from isocenter.workflow.worklist.states import OVER, State
from isocenter.workflow.worklist.tables import worklist_item as item
from isocenter.workflow.worklist.tables import worklist_station as station

PAGE: Final = 200
LARGEST: Final = 1600
"""Rows of the first page and of the largest: who asks for many gets more at a time."""
MOMENTS: Final = ((START_DATE, START_TIME),)
"""The date and the time that may match as one."""
_STATION: Final[Path] = (0x00400100, 0x00400001)
_NAME: Final[Path] = (0x00100010,)
_PATIENT_ID: Final[Path] = (0x00100020,)
_LONG: Final = 200
_NAME_COLUMNS: Final = (item.c.name_fold, item.c.name_ideographic_fold, item.c.name_phonetic_fold)
_PLAIN: Final[Mapping[Path, ColumnElement[str]]] = MappingProxyType(
    {
        (0x00080050,): item.c.accession,
        (0x0020000D,): item.c.study_uid,
        (0x00401001,): item.c.procedure_id,
        (0x00400100, 0x00400009): item.c.step_id,
        (0x00400100, 0x00080060): item.c.modality,
        START_DATE: item.c.start_date,
        START_TIME: item.c.start_time,
        STATUS: item.c.state,
    }
)
Condition: TypeAlias = ColumnElement[bool]


class View(NamedTuple):
    """What somebody may see: entries of these modalities and for these stations, with wildcards; () for any."""

    modalities: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    title: str = ""
    """The very station of this AE title, in which a wildcard is a plain character; '' for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked of the worklist."""

    keys: tuple[Asked, ...] = ()
    how: How = AS_USUAL
    views: tuple[View, ...] = ()
    """All of them hold."""
    hidden: frozenset[State] = OVER
    """States that are not found, unless the keys name a state."""
    refuse_above: int = 0
    """The most matches; 0: any number."""


def asked(path: Path, text: str, *, single: bool = False) -> Asked:
    """A key of a query, with the VR that the dictionary gives it."""
    return Asked(path, vr_of(path[-1]), text, single)


def search(database: Database, query: Query) -> Iterator[Sequence[Any]]:
    """The rows (`rows.COLUMNS`) of the entries that match. Raises Refused(IDENTIFIER_MISMATCH) at once for values that
    can't be read; Refused(TOO_MANY_MATCHES) comes in the place of the first page."""
    narrowed = _Narrowed(query, Dialect(database.dialect))
    pages = _pages(database, narrowed)
    return _limited(pages, query.refuse_above) if query.refuse_above else pages


def _limited(pages: Iterator[Sequence[Any]], most: int) -> Iterator[Sequence[Any]]:
    """All of the pages, or none."""
    found: list[Any] = []
    for page in pages:
        found += page
        if len(found) > most:
            raise Refused(Reason.TOO_MANY_MATCHES, f"more than {most} matches")
    for start in range(0, len(found), PAGE):
        yield found[start : start + PAGE]


def _pages(database: Database, narrowed: "_Narrowed") -> Iterator[Sequence[Any]]:
    start = (item.c.start_date, item.c.start_time, item.c.id)
    query: Select[Any] = select(*COLUMNS, *start[:2]).where(*narrowed.conditions).order_by(*start)
    after: Condition | None = None
    accept, size = narrowed.accept, PAGE
    while True:
        with database.reading(lagging=True) as connection:
            rows = connection.execute((query if after is None else query.where(after)).limit(size)).all()
        page = rows if accept is None else [row for row in rows if accept(msgspec.json.decode(row.attributes))]
        if page:
            yield page
        if len(rows) < size:
            return
        last, size = rows[-1], min(2 * size, LARGEST)
        after = tuple_(*start) > tuple_(last.start_date, last.start_time, last.id)


class _Narrowed:
    """A query as conditions on columns, and a test of what these leave open."""

    def __init__(self, query: Query, dialect: Dialect) -> None:
        self._dialect, self._how = dialect, query.how
        self.conditions: list[Condition] = [self._visible(view) for view in query.views if any(view)]
        open_keys = [key for key in query.keys if not self._narrow(key)]
        self.accept: Accept | None = matcher(open_keys, query.how)
        if not self._names_a_state(query):
            # not "in": for most entries it holds, and SQLite would take an index for it and sort what it finds
            self.conditions.append(item.c.state.not_in(sorted(query.hidden)))

    def _visible(self, view: View) -> Condition:
        conditions: list[Condition] = []
        if view.modalities:
            conditions.append(sql.text(item.c.modality, _patterns(view.modalities), self._dialect))
        if view.stations:
            conditions.append(item.c.id.in_(self._at(_patterns(view.stations))))
        if view.title:
            conditions.append(item.c.id.in_(self._at((Exact(plain(view.title)),))))
        return and_(*conditions)

    def _at(self, tests: Tests) -> Select[Any]:
        return select(station.c.item).where(sql.text(station.c.station, tests, self._dialect))

    def _names_a_state(self, query: Query) -> bool:
        return any(
            key.path == STATUS and (is_empty(key, self._how) or tests_of(key, self._how) is not None)
            for key in query.keys
        )

    def _narrow(self, key: Asked) -> bool:
        """Add what columns can say of a key; whether that decides it."""
        if is_empty(key, self._how):
            return False
        tests = tests_of(key, self._how)
        if tests is None:
            return True
        if key.path == _NAME:
            self._add(*(self._name(test) for test in tests if isinstance(test, Name)), all_of=tests)
        elif key.path == _PATIENT_ID:
            wanted = [sql.cut(folded(test)) for test in tests]
            self._add(*self._columns(item.c.patient_fold, wanted), all_of=tests)
        elif key.path == _STATION:
            found = _composed(tests)
            stations = [item.c.id.in_(select(station.c.item).where(c)) for c in self._columns(station.c.station, found)]
            self._add(*stations, all_of=tests)
            return all(isinstance(test, Exact) and len(test.text) < _LONG for test in found)
        elif key.path in _PLAIN and not (self._how.combined and key.path == START_TIME):
            found = _composed(tests)
            self._add(*self._columns(_PLAIN[key.path], found), all_of=tests)
            return self._decides(key, found)
        return False

    def _decides(self, key: Asked, tests: Tests) -> bool:
        """The column says it all, unless the date may be part of a moment."""
        if self._how.combined and key.path == START_DATE:
            return False
        return all(isinstance(test, Span) or (isinstance(test, Exact) and len(test.text) < _LONG) for test in tests)

    def _add(self, *conditions: Condition | None, all_of: Tests) -> None:
        """One of them has to hold, if each of the tests is there."""
        found = [condition for condition in conditions if condition is not None]
        if found and len(found) == len(all_of):
            self.conditions.append(or_(*found))

    def _columns(self, column: ColumnElement[str], tests: Sequence[Test]) -> list[Condition]:
        found = (self._column(column, test) for test in tests)
        return [condition for condition in found if condition is not None]

    def _column(self, column: ColumnElement[str], test: Test) -> Condition | None:
        """What can be said of a column by its index; None for a pattern that begins with a wildcard."""
        match test:
            case Exact() | Span():
                return sql.text(column, (test,), self._dialect)
            case Wild(pattern):
                prefix = literal_prefix(pattern)
                return sql.prefixed(column, prefix) if prefix else None
            case _:
                return None

    def _name(self, test: Name) -> Condition | None:
        wanted = folded(test)
        assert isinstance(wanted, Name)
        if wanted.any_group:
            found = [self._group(column, wanted.any_group) for column in _NAME_COLUMNS]
            each = [select(item.c.id).where(condition) for condition in found if condition is not None]
            return item.c.id.in_(union_all(*each)) if len(each) == len(found) else None
        groups = zip(_NAME_COLUMNS, wanted.groups, strict=True)
        told = [c for column, tests in groups if tests and (c := self._group(column, tests)) is not None]
        return and_(*told) if told else None

    def _group(self, column: ColumnElement[str], tests: tuple[Test, ...]) -> Condition | None:
        cut = [sql.cut(test) for test in tests]
        found = self._columns(column, cut)
        return or_(*found) if len(found) == len(cut) else None


def _patterns(values: Sequence[str]) -> Tests:
    return tuple(Wild(value) if "*" in value or "?" in value else Exact(value) for value in values)


def _composed(tests: Tests) -> Tests:
    """`tests` as columns that are not folded hold text."""
    return tuple(test._replace(text=plain(test.text)) if isinstance(test, Exact | Wild) else test for test in tests)
