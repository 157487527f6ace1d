"""How many match: remembered until something changes, and then what it is."""

from typing import Any

import pytest

from find_samples import Archive, instance
from isocenter.archive import counting
from isocenter.archive.counting import Counts
from isocenter.archive.query import Query, count
from isocenter.database import changes
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.declarations.query_keys import Level

PATIENT = (0x00100020,)


def query(**given: Any) -> Query:
    return Query(level=Level.STUDY, access=None, returns=(PATIENT,), **given)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the database was really asked."""
    asked: list[Any] = []

    def seen(*arguments: Any) -> int:
        asked.append(arguments)
        return count(*arguments)

    monkeypatch.setattr(counting.archive_query, "count", seen)
    return asked


def test_it_is_counted_again_only_after_a_change(archive: Archive, counted: list[Any]) -> None:
    counts = Counts()
    archive.add(instance(PatientID="A"), instance(PatientID="B"))
    of_a = query(keys=((PATIENT, "A"),))
    for offset in range(3):
        assert counts.count(archive.database, query(offset=offset, limit=1, ordered=True), 100) == 2
        assert counts.count(archive.database, of_a, 100) == 1
    assert len(counted) == (2 if archive.database.dialect == "sqlite" else 6)
    archive.add(instance(PatientID="A"))
    assert counts.count(archive.database, query(), 100) == 3
    assert counts.count(archive.database, of_a, 100) == 2
    with archive.database.writing() as connection:
        changes.append(connection, "edited", 1)
    before = len(counted)
    assert counts.count(archive.database, query(), 100) == 3
    assert len(counted) == before + 1


def test_an_attribute_that_is_filled_in_by_and_by_is_always_counted(archive: Archive, counted: list[Any]) -> None:
    counts, more = Counts(), configured_keys(("study:ImageComments",))
    asked = query(keys=((more[0].path, "HEAD"),), more=more)
    for _ in range(2):
        assert counts.count(archive.database, asked, 100) == 0
    assert len(counted) == 2
