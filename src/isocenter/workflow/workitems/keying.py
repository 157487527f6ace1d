"""The keys by which workitems are found (`declarations.workitem.KEYED`): a row for each value that an attribute has.

They only narrow what is looked at, whose model decides: every row that a key of a search may match must be among those
that `condition` lets through, others may be too. Text is folded and cut; dates and times stand as they are written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from isocenter import telemetry
from isocenter.database import Database, facts
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import KEYED
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.folding import FOLD_LENGTH, fold, fold_pattern
from isocenter.dicom.person_name import components, parse
from isocenter.index.matching_values import Exact, Name, Span, Test, Wild, after_prefix, literal_prefix, values_at
from isocenter.workflow.workitems.tables import workitem, workitem_key

log = telemetry.logger("workflow.workitems")

FACT: Final = "workitem_keys"
VERSION: Final = "1"
"""Of what is kept: another makes all rows anew at the next start."""
_TEMPORAL: Final = frozenset({"DA", "DT", "TM"})
_PREFIX: Final = FOLD_LENGTH // 2
"""Characters of a prefix that are looked for: fewer than are kept of a value."""
_PAGE: Final = 500
_FEW: Final = 400
"""Rows of a key that are looked at one by one, whatever else is asked for."""

Row = tuple[str, str]
"""Key and value."""


def name_of(path: Path) -> str:
    """What a key is called in its rows."""
    return ".".join(f"{tag:08X}" for tag in path)


# --- rows


def rows_of(model: Mapping[str, Any]) -> frozenset[Row]:
    """The rows of one workitem."""
    whole = dict(model)
    return frozenset((name_of(path), text) for path in KEYED for text in _texts(path, values_at(whole, path)))


def _texts(path: Path, values: Iterable[str]) -> Iterator[str]:
    vr = vr_of(path[-1])
    for value in values:
        for one in {value, *value.split("\\")}:
            if vr == "PN":
                yield from (fold(str(components(group))) for group in parse(one).groups if group)
            elif one:
                yield one.strip(" \0")[:FOLD_LENGTH] if vr in _TEMPORAL else fold(one)


def put(connection: Connection, number: int, rows: Iterable[Row]) -> None:
    """Add rows of a workitem; such as are there are passed over."""
    values = [{"workitem": number, "key": key, "value": value} for key, value in sorted(rows)]
    if values:
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(workitem_key)
        connection.execute(insert.on_conflict_do_nothing(), values)


def change(connection: Connection, number: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A workitem is another one now."""
    old, new = rows_of(before), rows_of(after)
    for key, value in sorted(old - new):
        c = workitem_key.c
        connection.execute(delete(workitem_key).where(c.workitem == number, c.key == key, c.value == value))
    put(connection, number, new - old)


def forget(connection: Connection, numbers: Sequence[int]) -> None:
    """These workitems are gone."""
    connection.execute(delete(workitem_key).where(workitem_key.c.workitem.in_(numbers)))


def complete(connection: Connection) -> bool:
    """Whether every workitem has its rows."""
    return facts.read(connection, FACT) == VERSION


def renew(database: Database, *, anyway: bool = False) -> int:
    """Make the rows of all workitems, unless they are there: those that an earlier version left have none; `anyway`, as
    where workitems were brought in from elsewhere. Before anything else works with them; how many workitems."""
    with database.reading() as connection:
        if complete(connection) and not anyway:
            return 0
    after, count = 0, 0
    columns = select(workitem.c.id, workitem.c.attributes).where(workitem.c.removed_at.is_(None))
    while True:
        with database.writing() as connection:
            found = connection.execute(columns.where(workitem.c.id > after).order_by(workitem.c.id).limit(_PAGE)).all()
            if not found:
                facts.write(connection, FACT, VERSION)
                break
            forget(connection, [row.id for row in found])
            for row in found:
                put(connection, row.id, rows_of(msgspec.json.decode(row.attributes)))
        after, count = found[-1].id, count + len(found)
    if count:
        log.info("workitem.keys.made", workitems=count)
    return count


# --- searching


def few(connection: Connection, tests: Mapping[Path, Sequence[Test]]) -> tuple[int, ...] | None:
    """The workitems that may pass these tests, where one of them alone leaves few; None where none does. Looked for
    here, since PostgreSQL begins with any of them as long as it has gathered no statistics."""
    best: set[int] | None = None
    for path, alternatives in tests.items():
        if path in KEYED and (found := condition(path, alternatives)) is not None:
            rows = connection.execute(select(workitem_key.c.workitem).where(found).limit(_FEW + 1)).scalars().all()
            if len(rows) <= _FEW and (best is None or len(rows) < len(best)):
                best = set(rows)
    return None if best is None else tuple(sorted(best))


def narrowed(query: Select[Any], tests: Mapping[Path, Sequence[Test]], after: int) -> Select[Any]:
    """`query` for the workitems beyond `after` that may pass these tests of their attributes, of each path one."""
    for path, alternatives in tests.items():
        if path in KEYED and (found := condition(path, alternatives)) is not None:
            c = workitem_key.c
            query = query.where(workitem.c.id.in_(select(c.workitem).where(found, c.workitem > after)))
    return query


def condition(path: Path, alternatives: Sequence[Test]) -> ColumnElement[bool] | None:
    """On the rows; None where they can't tell."""
    found = [_allowed(test, vr_of(path[-1]) in _TEMPORAL) for test in alternatives]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    return and_(workitem_key.c.key == name_of(path), or_(*known))


def _allowed(test: Test, as_written: bool) -> ColumnElement[bool] | None:
    value = workitem_key.c.value
    match test:
        case Exact(text):
            return value == (text if as_written else fold(text))
        case Wild(text):
            prefix = literal_prefix(text if as_written else fold_pattern(text))[:_PREFIX]
            return _between(prefix, after_prefix(prefix)) if prefix else None
        case Span(low, below):
            return _between(low, below)
        case Name(any_group, groups):
            return _any_of(any_group or next((group for group in groups if group), ()))
    return None  # words of a name stand anywhere in it


def _any_of(tests: Sequence[Test]) -> ColumnElement[bool] | None:
    found = [_allowed(test, as_written=False) for test in tests]
    known = [each for each in found if each is not None]
    return or_(*known) if known and len(known) == len(found) else None


def _between(low: str, below: str | None) -> ColumnElement[bool]:
    value = workitem_key.c.value
    return value >= low if below is None else and_(value >= low, value < below)
