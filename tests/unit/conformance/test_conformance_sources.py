"""For each source's preset: every row of its tables is in the generated statement, or its difference is listed."""

from functools import cache

import pytest

from unit.conformance.source_rows import (
    SOURCES,
    Difference,
    Facts,
    Row,
    contained,
    differences,
    facts_of,
    rows,
    statement_of,
    tables,
)


@cache
def facts(source: str) -> Facts:
    return facts_of(statement_of(SOURCES[source]))


def told(row: Row) -> str:
    return "; ".join(f"{name}={value}" for name, value in row.items() if value and name not in ("note", "behaviour"))


@pytest.mark.req("C-GEN-03", "C-GEN-07", "C-GEN-08", "C-GEN-09")
@pytest.mark.parametrize(("source", "table"), tables())
def test_every_row_is_contained_or_its_difference_listed(source: str, table: str) -> None:
    listed = [each for each in differences() if each.table == f"{source}_{table}"]
    found = rows(f"{source}_{table}")
    assert found
    unlisted = [
        told(row)
        for row in found
        if not contained(table, row, facts(source)) and not any(each.covers(row) for each in listed)
    ]
    assert not unlisted


@pytest.mark.parametrize(
    "difference",
    [each for each in differences() if "template" not in each.table],
    ids=lambda each: f"{each.table}-{each.wanted[-1][1][0]}",
)
def test_a_listed_difference_is_one(difference: Difference) -> None:
    source, _, table = difference.table.partition("_")
    covered = [row for row in rows(f"{source}_{table}") if difference.covers(row)]
    assert covered, "no row is covered"
    contained_after_all = [told(row) for row in covered if contained(table, row, facts(source))]
    assert not contained_after_all
    assert difference.settled_by
    assert difference.reason
