"""The conditions of a query: each matching key as SQL on the place where the index keeps it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, and_, exists, false, func, or_, select, union_all

from isocenter.declarations.query_keys import Key, Level, Match, Path, Place, key
from isocenter.dicom.dictionary import entry_of
from isocenter.errors import Refused
from isocenter.index import matching_sql as sql
from isocenter.index import tables
from isocenter.index.matching_computed import counted
from isocenter.index.matching_sql import Column, Condition, Dialect
from isocenter.index.matching_tables import SERIES_BELOW, Frame
from isocenter.index.matching_values import (
    Exact,
    Name,
    Sensitivity,
    Span,
    Tests,
    Wild,
    Words,
    accepts,
    folded,
    item_check,
    literal_prefix,
    read,
)

_LONG = frozenset({"LT", "ST", "UC", "UT"})
_NEARLY_CUT = 200
"""Folded values longer than this may have been cut, so that patterns look at the whole."""
_GROUPS = ("", "_ideographic", "_phonetic")
_BELOW = {
    "ModalitiesInStudy": "modality",
    "Modality": "modality",
    "SOPClassesInStudy": "sop_classes",
    "PerformedStationAETitle": "station_aet",
}
_MOMENTS: dict[Path, Path] = {
    (0x00080020,): (0x00080030,),
    (0x00080021,): (0x00080031,),
    (0x00080023,): (0x00080033,),
    (0x00100030,): (0x00100032,),
    (0x00400244,): (0x00400245,),
}
"""Dates and the times that belong to them."""

_EMPTY = '""'

Accepts = Callable[[str], bool]


class Conditions:
    """Collects the conditions of one query and what must be rechecked afterwards."""

    def __init__(
        self, frame: Frame, dialect: Dialect, sensitivity: Sensitivity, *, combined: bool, fuzzy: bool
    ) -> None:
        self.frame = frame
        self.dialect = dialect
        self.sensitivity = sensitivity
        self.combined = combined
        self.fuzzy = fuzzy
        self.found: list[Condition] = []
        self.tables: set[str] = set()
        self.rechecks: list[tuple[Key, Accepts]] = []
        self.nested: list[tuple[Level, Accepts]] = []
        """Tests of a level's further attributes as a whole."""
        self.empty = False
        """Whether `""` asks for what is empty (PS3.4 C.2.2.2.7)."""

    def add_all(self, keys: Iterable[tuple[Path, str]], more: tuple[Key, ...] = ()) -> None:
        """Add every key that the level supports, `more` among them, and that does not match everything."""
        asked: dict[Path, tuple[Key, Tests]] = {}
        ranges: set[Path] = set()
        for path, value in keys:
            found = key(self.frame.level, path, more)
            if found is None or not found.matching or found.matching is Match.SEQUENCE:
                continue
            if self.empty and value.strip() == _EMPTY:
                self._lacking(found)
                continue
            tests = self._read(found, value)
            if tests is not None:
                asked[path] = (found, tests)
                if "-" in value:
                    ranges.add(path)
        if self.combined:
            self._moments(asked, ranges)
        items: dict[Path, list[tuple[Key, Tests]]] = {}
        for path, (found, tests) in asked.items():
            if len(path) > 1:
                items.setdefault(path[:-1], []).append((found, tests))
            else:
                self._add(found, tests)
        for conditions in items.values():
            self._attribute(conditions)
        for tag in {path[0] for path in items}:
            parents = [path for path in items if path[0] == tag]
            if len(parents) > 1:
                self._nested([condition for path in parents for condition in items[path]])

    def _read(self, found: Key, value: str) -> Tests | None:
        try:
            return read(found.vr, value, fuzzy=self.fuzzy)
        except Refused as failure:
            raise Refused(failure.reason, f"{found.keyword or found.dotted}: {failure.comment}") from failure

    def _add(self, found: Key, tests: Tests) -> None:
        if found.place is Place.ATTRIBUTE:
            self._attribute([(found, tests)])
        elif found.place is Place.COMPUTED:
            self._computed(found, tests)
        else:
            self._column(found, tests)

    def _lacking(self, found: Key) -> None:
        """What is asked for is empty or absent: neither columns nor rows tell these apart."""
        if found.place is Place.COLUMN:
            column, table = self.frame.column(found)
            self.tables.add(table)
            self.found.append(column.is_(None) if column.type.python_type is int else column == "")
            return
        owner, needed = self.frame.owner(Level.STUDY if found.place is Place.COMPUTED else found.level)
        self.tables.add(needed)
        if found.place is Place.ATTRIBUTE:
            row = tables.attribute.c
            held = select(row.owner).where(row.level == found.level.code, row.path == found.dotted)
            self.found.append(owner.not_in(held))
        elif found.keyword in _BELOW:
            any_value = SERIES_BELOW.c[_BELOW[found.keyword]] > ""
            self.found.append(~exists(_one().where(self.frame.below(Level.STUDY), any_value)))
        else:
            self.found.append(false())

    # --- columns

    def _column(self, found: Key, tests: Tests) -> None:
        column, table = self.frame.column(found)
        self.tables.add(table)
        if found.fold:
            condition = self._folded(found, tests)
            self._recheck(found, tests)
        elif found.keyword == "AccessionNumber":
            condition = self._accession(tests)
        elif column.type.python_type is int:
            condition = sql.number(column, tests, self.dialect)
        elif found.vr == "IS":
            value, _ = self.frame.named(found.level, f"{found.column}_value")
            condition = or_(sql.text(column, tests, self.dialect), sql.number(value, tests, self.dialect))
        elif _multiple(found):
            condition = sql.several(column, tests, self.dialect)
        else:
            condition = sql.text(column, tests, self.dialect)
        self.found.append(condition)

    def _folded(self, found: Key, tests: Tests) -> Condition:
        cut = [sql.cut(folded(test)) for test in tests]
        if found.vr == "PN":
            return or_(*(self._name(found, test) for test in cut if isinstance(test, Name | Words)))
        column, _ = self.frame.named(found.level, f"{found.fold}_fold")
        return sql.text(column, cut, self.dialect)

    def _name(self, found: Key, test: Name | Words) -> Condition:
        """A name that begins as given is found through the patients, who have an index for each group; any other is a
        filter on what else is asked for."""
        table = self.frame.column(found)[0].table
        columns = self._groups(table, found)
        if found.level is not Level.PATIENT:
            return self._other_name(found, test, columns)
        if self.frame.level is Level.PATIENT or not _begins(test):
            return sql.name(columns, test, self.dialect)
        owner, needed = self.frame.owner(Level.PATIENT)
        self.tables.add(needed)
        matching = sql.name(self._groups(tables.patient, found), test, self.dialect)
        return owner.in_(select(tables.patient.c.id).where(matching))

    def _groups(self, table: Any, found: Key) -> list[Column]:
        stems = [f"{found.fold}{group}_fold" for group in _GROUPS]
        return [table.c[stem] for stem in stems if stem in table.c]

    def _other_name(self, found: Key, test: Name | Words, columns: Sequence[Column]) -> Condition:
        """A referring physician has an index on the alphabetic group alone: ASCII text is looked for in that one.

        A performing physician has no other group there and may be several: those are left to the recheck."""
        if len(columns) < len(_GROUPS):
            whole, _ = self.frame.column(found)
            more = [self.dialect.like(whole, pattern) for pattern in ("*=*", "*\\*")]
            return or_(sql.name(columns, test, self.dialect), *more)
        if isinstance(test, Name) and test.any_group and _is_ascii(test.any_group):
            columns = columns[:1]
        return sql.name(columns, test, self.dialect)

    def _accession(self, tests: Tests) -> Condition:
        """The study's own number or one of its further ones, each by its index."""
        own = select(tables.study.c.id).where(sql.text(tables.study.c.accession, tests, self.dialect))
        further = tables.study_accession
        others = select(further.c.study).where(sql.text(further.c.accession, tests, self.dialect))
        return self.frame.owner(Level.STUDY)[0].in_(union_all(own.correlate(None), others))

    def _recheck(self, found: Key, tests: Tests) -> None:
        sensitive = self.sensitivity.case or self.sensitivity.accents
        if sensitive or found.fold == "performing" or _may_be_cut(found, tests):
            self.rechecks.append((found, accepts(tests, self.sensitivity)))

    # --- attribute rows

    def _attribute(self, conditions: list[tuple[Key, Tests]]) -> None:
        """Rows of one element, or of elements in the same item of one sequence, belong to the match."""
        first = tables.attribute.alias()
        found = select(first.c.owner).where(*self._row(first, *conditions[0]))
        for each, tests in conditions[1:]:
            other = tables.attribute.alias()
            same = and_(other.c.owner == first.c.owner, other.c.item == first.c.item)
            found = found.join(other, and_(same, *self._row(other, each, tests)))
        owner, needed = self.frame.owner(conditions[0][0].level)
        self.tables.add(needed)
        self.found.append(owner.in_(found))

    def _nested(self, conditions: list[tuple[Key, Tests]]) -> None:
        """Conditions at several depths of one sequence: items are numbered by depth, so the JSON has the last word."""
        exact = Sensitivity(case=True, accents=True)
        checks = [
            (found.path[1:], accepts(tests, self.sensitivity if found.folded else exact)) for found, tests in conditions
        ]
        found = conditions[0][0]
        self.nested.append((found.level, item_check(found.path[0], checks)))

    def _row(self, table: Any, found: Key, tests: Tests) -> list[Condition]:
        conditions: list[Condition] = [table.c.level == found.level.code, table.c.path == found.dotted]
        if found.vr == "PN":
            conditions.append(self._name_row(table, tests))
            self.rechecks.append((found, accepts(tests, self.sensitivity)))
            return conditions
        index = [sql.cut(folded(test)) for test in tests]
        conditions.append(self._fold(table.c.fold, found, index))
        if not found.folded and not all(isinstance(test, Span) for test in tests):
            conditions.append(sql.text(table.c.value, tests, self.dialect))
        elif self.sensitivity.case or self.sensitivity.accents or _may_be_cut(found, tests):
            self.rechecks.append((found, accepts(tests, self.sensitivity)))
        return conditions

    def _fold(self, column: Column, found: Key, tests: Sequence[Any]) -> Condition:
        condition = sql.text(column, tests, self.dialect)
        return or_(condition, func.length(column) > _NEARLY_CUT) if _may_be_cut(found, tuple(tests)) else condition

    def _name_row(self, table: Any, tests: Tests) -> Condition:
        """A row a component group, which row not being told: the recheck looks at the right one."""
        found: list[Condition] = []
        for test in (folded(test) for test in tests):
            if isinstance(test, Words):
                found.append(sql.name([table.c.fold], test, self.dialect))
            elif isinstance(test, Name):
                groups = test.any_group or next((group for group in test.groups if group), ())
                found.append(sql.text(table.c.fold, [sql.cut(each) for each in groups], self.dialect))
        return or_(*found) if found else false()

    # --- computed values

    def _computed(self, found: Key, tests: Tests) -> None:
        column = _BELOW.get(found.keyword)
        if column is None:
            value, needed = counted(self.frame, found)
            self.tables.add(needed)
            self.found.append(sql.number(value, tests, self.dialect))
            return
        below = SERIES_BELOW.c[column]
        passes = sql.several if column == "sop_classes" else sql.text
        self.tables.add(self.frame.owner(Level.STUDY)[1])
        self.found.append(exists(_one().where(self.frame.below(Level.STUDY), passes(below, tests, self.dialect))))

    # --- date and time as one

    def _moments(self, asked: dict[Path, tuple[Key, Tests]], ranges: set[Path]) -> None:
        """Ranges of a date and of its time become one range of moments; the date stays bounded for its index."""
        for date_path, time_path in _MOMENTS.items():
            if {date_path, time_path} <= ranges:
                (date, days), (time, hours) = asked[date_path], asked.pop(time_path)
                if isinstance(days[0], Span) and isinstance(hours[0], Span):
                    self._moment(date, days[0], time, hours[0])

    def _moment(self, date: Key, days: Span, time: Key, hours: Span) -> None:
        day, table = self.frame.column(date)
        hour, _ = self.frame.column(time)
        self.tables.add(table)
        if days.low and hours.low:
            self.found.append(or_(day > days.low, and_(day == days.low, hour >= hours.low)))
        if days.below is not None and hours.below is not None:
            last = _last(days.below)
            self.found.append(or_(day < last, and_(day == last, hour < hours.below)))


def _last(below: str) -> str:
    """The last date of a range whose end was given in full: the inverse of `after_prefix`."""
    return below[:-1] + chr(ord(below[-1]) - 1)


def _one() -> Select[Any]:
    return select(SERIES_BELOW.c.id).correlate_except(SERIES_BELOW)


def _multiple(found: Key) -> bool:
    entry = entry_of(found.path[-1])
    return entry is not None and entry.vm != "1"


def _begins(test: Name | Words) -> bool:
    """Every alternative begins with characters that are told."""
    if isinstance(test, Words):
        return False
    texts = [each for tests in (test.any_group, *test.groups) for each in tests]
    return all(isinstance(each, Exact) or (isinstance(each, Wild) and literal_prefix(each.text)) for each in texts)


def _is_ascii(tests: Iterable[Any]) -> bool:
    """No group is named and no character lies beyond ASCII."""
    for test in tests:
        if isinstance(test, Name) and (any(test.groups) or not _is_ascii(test.any_group)):
            return False
        if isinstance(test, Exact | Wild) and not test.text.isascii():
            return False
    return True


def _may_be_cut(found: Key, tests: Iterable[Any]) -> bool:
    """Whether the cut fold column can't decide: a long value is asked for, or a pattern's middle in long text."""
    for test in tests:
        if isinstance(test, Exact | Wild) and len(test.text) > _NEARLY_CUT:
            return True
        if isinstance(test, Wild) and found.vr in _LONG and test.text != f"{literal_prefix(test.text)}*":
            return True
    return False
