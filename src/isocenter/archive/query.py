"""Searching the archive: a query in, pages of rows out. C-FIND, QIDO-RS and retrieval by non-unique keys use it.

    result = search(database, query); for page in result.pages: for row in page: result.layout.value(row, field)

The first page is fetched by itself; only if there is more are the primary keys of all matches fetched at once (eight
bytes each) and the rest read in pages by key. So a page never evaluates the query again, no connection is held while
the caller passes a page on, and what arrives meanwhile disturbs nothing.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from isocenter.database import Database
from isocenter.errors import Reason, Refused
from isocenter.index import tables
from isocenter.index.matching import Access, Model, Plan, Query, Recheck, Sensitivity, plan
from isocenter.index.matching_returns import Field, Kind, Layout

__all__ = [
    "Access",
    "Field",
    "Kind",
    "Layout",
    "Model",
    "Query",
    "Result",
    "Row",
    "Sensitivity",
    "Values",
    "count",
    "find",
    "primary_keys",
    "search",
]

FIRST_PAGE = 100
"""Rows of the first page, which comes before it is known how many there are."""
PAGE = 500
"""Rows of each further page."""
_PASSED_OVER = 10_000
"""Matches that the database may pass over to come to a page; for a later one all primary keys are fetched."""
_CHECKED = 2_000
"""Candidates that are rechecked at a time."""

Values = Sequence[Any]
"""A row as the database gives it; `Layout` tells what is where."""


class Result(NamedTuple):
    """Pages of rows and how to read them."""

    layout: Layout
    pages: Iterator[Sequence[Values]]


class Row(NamedTuple):
    """One match that knows how to read itself."""

    layout: Layout
    values: Values

    @property
    def id(self) -> int:
        """The primary key in the table of the query's level."""
        return int(self.values[0])

    def value(self, tag: int) -> Any:
        """The value of a top-level element that was asked for; see Layout.value. None if it was not."""
        field = self.layout.field(tag)
        return None if field is None else self.layout.value(self.values, field)


def find(database: Database, query: Query) -> Iterator[list[Row]]:
    """The matches of `query` in pages, for callers that take values one by one."""
    result = search(database, query)
    for page in result.pages:
        yield [Row(result.layout, values) for values in page]


def search(database: Database, query: Query) -> Result:
    """The matches of `query`. Raises Refused(IDENTIFIER_MISMATCH) at once for values that can't be read; the pages
    raise Refused(TOO_MANY_MATCHES) before the first one if there are more than `query.refuse_above`."""
    made = plan(query, database.dialect)
    return Result(made.layout, _pages(database, made))


def primary_keys(database: Database, query: Query) -> "array[int]":
    """The primary keys of all matches, in the table of the query's level."""
    return _limited(_all_keys(database, plan(query, database.dialect)), query)


def count(database: Database, query: Query, cap: int = 10_000) -> int:
    """How many match, `offset` and `limit` aside; `cap` + 1 stands for more than `cap`."""
    made = plan(query, database.dialect)
    if made.rechecks:
        return min(len(_all_keys(database, made)), cap + 1)
    with database.reading() as connection:
        return int(connection.execute(made.count(cap + 1)).scalar_one())


def _pages(database: Database, made: Plan) -> Iterator[Sequence[Values]]:
    query = made.query
    seen: frozenset[int] = frozenset()
    if _is_one_page(made):
        if rows := _one_page(database, made):
            yield rows
        return
    if not made.rechecks and not query.offset and (query.limit is None or query.limit <= PAGE):
        first, whole = _first_page(database, made)
        if whole:
            if first:
                yield first
            return
        if not query.refuse_above:
            yield first
            seen = frozenset(row[0] for row in first)
    keys = _limited(_all_keys(database, made), query)
    for part in _parts(keys, seen):
        with database.reading() as connection:
            rows = connection.execute(made.rows_of(part)).all()
        if rows:
            yield rows


def _is_one_page(made: Plan) -> bool:
    """A page that a person turns to: the database passes over what comes before it."""
    query = made.query
    return bool(
        query.offset
        and query.ordered
        and query.limit is not None
        and query.limit <= PAGE
        and query.offset <= _PASSED_OVER
        and not query.refuse_above
        and not made.rechecks
    )


def _one_page(database: Database, made: Plan) -> Sequence[Values]:
    with database.reading() as connection:
        return connection.execute(made.rows().offset(made.query.offset).limit(made.query.limit)).all()


def _first_page(database: Database, made: Plan) -> tuple[Sequence[Values], bool]:
    """The first rows and whether they are all."""
    query = made.query
    wanted = FIRST_PAGE if query.limit is None else query.limit
    with database.reading() as connection:
        rows = connection.execute(made.rows().limit(wanted + 1)).all()
    whole = len(rows) <= wanted or wanted == query.limit
    if query.refuse_above and len(rows) > query.refuse_above:
        raise _too_many(query)
    return rows[:wanted], whole


def _all_keys(database: Database, made: Plan) -> "array[int]":
    """The primary keys of all matches, rechecked; no more than tell that there are too many."""
    query = made.query
    statement = made.keys()
    if query.refuse_above and not made.rechecks:
        statement = statement.limit(query.refuse_above + 1)
    found = array("q")
    with database.reading() as connection:
        result = connection.execute(statement)
        if not made.rechecks:
            for part in result.scalars().partitions(_CHECKED):
                found.extend(part)
        else:
            for rows in result.partitions(_CHECKED):
                found.extend(_rechecked(connection, rows, made.rechecks))
    if query.refuse_above and len(found) > query.refuse_above:
        raise _too_many(query)
    return found


def _rechecked(connection: Connection, rows: Sequence[Values], rechecks: Iterable[Recheck]) -> Iterator[int]:
    for recheck in rechecks:
        if recheck.path:
            owners = _owners(connection, recheck, {row[recheck.column] for row in rows})
            rows = [row for row in rows if row[recheck.column] in owners]
        else:
            rows = [row for row in rows if recheck.accepts(row[recheck.column])]
    return (row[0] for row in rows)


def _owners(connection: Connection, recheck: Recheck, owners: set[int]) -> set[int]:
    """Those of `owners` that have an attribute row whose whole value passes."""
    row = tables.attribute.c
    passed: set[int] = set()
    ordered = sorted(owners)
    for start in range(0, len(ordered), PAGE):
        statement = select(row.owner, row.value).where(
            row.level == recheck.code, row.path == recheck.path, row.owner.in_(ordered[start : start + PAGE])
        )
        passed.update(owner for owner, value in connection.execute(statement) if recheck.accepts(value))
    return passed


def _limited(keys: "array[int]", query: Query) -> "array[int]":
    end = None if query.limit is None else query.offset + query.limit
    return keys[query.offset : end]


def _parts(keys: "array[int]", seen: frozenset[int]) -> Iterator[list[int]]:
    size = FIRST_PAGE if not seen else PAGE
    start = 0
    while start < len(keys):
        part = [key for key in keys[start : start + size] if key not in seen]
        start, size = start + size, PAGE
        if part:
            yield part


def _too_many(query: Query) -> Refused:
    return Refused(Reason.TOO_MANY_MATCHES, f"more than {query.refuse_above} matches at {query.level} level")
