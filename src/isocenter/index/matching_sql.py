"""Tests of key values as conditions on columns, so that an index can serve them (docs/design.md section 4, data model).

Equality stays equality, a prefix becomes a range (never LIKE on a bound parameter); what remains of a pattern is a
residual filter: GLOB on SQLite, LIKE on PostgreSQL, both by code point and case.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, false, func, literal_column, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from isocenter.dicom.folding import FOLD_LENGTH
from isocenter.index.matching_values import Exact, Name, Span, Test, Tests, Wild, Words, after_prefix, literal_prefix

Column = ColumnElement[Any]
Condition = ColumnElement[bool]

INLINE = 50
"""Values of a list that are bound one by one; a longer one goes as a single parameter, whatever its length."""
_WORD_STARTS = " ^=,-"


class Dialect:
    """The few things that SQLite and PostgreSQL say differently."""

    def __init__(self, name: str) -> None:
        self.sqlite = name == "sqlite"

    def like(self, column: Column, pattern: str) -> Condition:
        """`column` matches the whole of `pattern` (`*`, `?`), case and all."""
        if self.sqlite:
            return column.op("GLOB")(pattern.replace("[", "[[]"))
        escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")

    def among(self, column: Column, values: Sequence[str] | Sequence[int]) -> Condition:
        """`column` is one of `values`, of which there may be any number (PS3.4 C.2.2.2.2)."""
        if len(values) == 1:
            return column == values[0]
        if len(values) <= INLINE:
            return column.in_(values)
        return column.in_(self._listed(column, values))

    def _listed(self, column: Column, values: Sequence[Any]) -> Any:
        if self.sqlite:
            listed: Column = bindparam(None, json.dumps(list(values)))
            return select(literal_column("value")).select_from(func.json_each(listed))
        return select(func.unnest(bindparam(None, list(values), type_=ARRAY(column.type))))

    def distinct(self, column: Column) -> Column:
        """All values of a group, without repeats, joined: by a comma on SQLite, which allows nothing else."""
        if self.sqlite:
            return func.group_concat(column.distinct())
        return func.string_agg(column.distinct(), bindparam(None, "\\"))


def text(column: Column, tests: Iterable[Test], dialect: Dialect) -> Condition:
    """`column` passes one of `tests`."""
    found = list(tests)
    equal = [test.text for test in found if isinstance(test, Exact)]
    conditions = [_text(column, test, dialect) for test in found if not isinstance(test, Exact)]
    if equal:
        conditions.append(dialect.among(column, equal))
    return or_(*conditions) if conditions else false()


def _text(column: Column, test: Test, dialect: Dialect) -> Condition:
    match test:
        case Span(low, below):
            start = column >= low if low else column > ""
            return start if below is None else and_(start, column < below)
        case Wild(pattern):
            return _wild(column, pattern, dialect)
        case Words(words):
            return and_(*(_word(column, word, dialect) for word in words))
        case Exact(value):
            return column == value
        case Name():
            raise TypeError("a person name needs its group columns")


def _wild(column: Column, pattern: str, dialect: Dialect) -> Condition:
    prefix = literal_prefix(pattern)
    conditions = [prefixed(column, prefix)] if prefix else []
    if pattern != f"{prefix}*":
        conditions.append(dialect.like(column, pattern))
    return and_(*conditions) if conditions else column > ""


def prefixed(column: Column, prefix: str) -> Condition:
    """`column` begins with `prefix`, as a range."""
    below = after_prefix(prefix)
    return column >= prefix if below is None else and_(column >= prefix, column < below)


def _word(column: Column, word: str, dialect: Dialect) -> Condition:
    later = [dialect.like(column, f"*{start}{word}*") for start in _WORD_STARTS]
    return or_(prefixed(column, word), *later)


def several(column: Column, tests: Tests, dialect: Dialect) -> Condition:
    """One of the values of `column`, which are joined by backslashes, passes one of `tests`."""
    framed: Column = bindparam(None, "\\") + column + bindparam(None, "\\")
    patterns = [test.text for test in tests if isinstance(test, Exact | Wild)]
    inside = [dialect.like(framed, f"*\\{pattern}\\*") for pattern in patterns]
    return and_(column > "", or_(text(column, tests, dialect), *inside))


def number(column: Column, tests: Tests, dialect: Dialect) -> Condition:
    """An integer column equals one of the values; wildcards look at its digits."""
    values = [value for test in tests if isinstance(test, Exact) if (value := integer(test.text)) is not None]
    patterns = [dialect.like(cast(column, Text), test.text) for test in tests if isinstance(test, Wild)]
    conditions = [column.in_(values), *patterns] if values else patterns
    return or_(*conditions) if conditions else false()


def integer(value: str) -> int | None:
    """`value` of VR IS or US as a number, if it is one that a column can hold."""
    value = value.strip()
    digits = value.removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        return None
    return int(value)


def cut(test: Test) -> Test:
    """`test`, already folded, for a fold column, which holds no more than the first 256 characters."""
    if isinstance(test, Exact) and len(test.text) > FOLD_LENGTH:
        return Exact(test.text[:FOLD_LENGTH].rstrip())
    if isinstance(test, Wild) and len(test.text) > FOLD_LENGTH:
        return Wild(f"{literal_prefix(test.text)[:FOLD_LENGTH].rstrip()}*")
    return test


def name(columns: Sequence[Column], test: Name | Words, dialect: Dialect) -> Condition:
    """A person name over its fold columns (alphabetic, ideographic, phonetic), `test` being folded."""
    if isinstance(test, Words):
        return and_(*(or_(*(_word(column, word, dialect) for column in columns)) for word in test.words))
    if test.any_group:
        return or_(*(text(column, test.any_group, dialect) for column in columns))
    asked = [(column, tests) for column, tests in zip(columns, test.groups, strict=False) if tests]
    return and_(true(), *(text(column, tests, dialect) for column, tests in asked))
