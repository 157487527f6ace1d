"""What a retrieval finds and in which order, on both databases."""

from typing import Any

import pytest
from sqlalchemy import update

from arrivals import ROOT, arrival
from databases import any_database, any_url, postgresql_url, sqlite_url  # noqa: F401
from isocenter.archive.packs.build import places
from isocenter.archive.retrieval import instances as retrieve
from isocenter.archive.retrieval.instances import (
    Located,
    Selection,
    locate,
    locate_one,
    series_by_id,
    series_of,
    totals,
)
from isocenter.database import Database
from isocenter.index import frames
from isocenter.index.tables import study
from isocenter.index.writer import LocalWriter


@pytest.fixture
def filled(any_database: Database) -> Database:  # noqa: F811
    """Study 1 with series 2 (arrived first) and 1, study 2 of another patient; numbers are not in order of arrival."""
    writer = LocalWriter(any_database)
    arrivals = [arrival(1, series, n) for series in (2, 1) for n in (3, 1, 10, 2)]
    unnumbered = arrival(1, 1, 99)
    unnumbered.instance.update(instance_number="", instance_number_value=None)
    unnumbered.instance["frame_table"] = frames.pack_native(1234, 100, 1)
    arrivals += [unnumbered, arrival(2, 1, 1, patient="P2")]
    for future in [writer.submit(each) for each in arrivals]:
        future.result(20)
    writer.close()
    with any_database.writing() as connection:
        connection.execute(update(study).where(study.c.study_uid == f"{ROOT}.2").values(access_group="ward"))
    return any_database


def found(database: Database, page: int = 500, **selection: Any) -> list[str]:
    pages = list(locate(database, Selection(**selection), page=page))
    assert all(pages)
    assert all(len(each) <= page for each in pages)
    return [one.sop_uid.removeprefix(ROOT + ".") for each in pages for one in each]


IN_ORDER = [f"1.{series}.{n}" for series in (1, 2) for n in (1, 2, 3, 10, 99) if (series, n) != (2, 99)]


@pytest.mark.parametrize("page", [1, 2, 3, 500])
def test_pages_come_by_series_and_instance_number(filled: Database, page: int) -> None:
    assert found(filled, page, study_uids=(f"{ROOT}.1",)) == IN_ORDER
    assert found(filled, page, series_uids=(f"{ROOT}.1.2",)) == IN_ORDER[5:]
    assert found(filled, page, patient_ids=("P2",)) == ["2.1.1"]


def test_instances_by_name(filled: Database) -> None:
    names = tuple(f"{ROOT}.1.{s}.{n}" for s, n in ((2, 10), (1, 3), (1, 1), (9, 9)))
    assert found(filled, sop_uids=names) == ["1.1.1", "1.1.3", "1.2.10"]
    assert found(filled, study_uids=(f"{ROOT}.2",), sop_uids=names) == []


def test_long_lists_of_uids(filled: Database) -> None:
    many = tuple(f"{ROOT}.7.{n}" for n in range(3000))
    assert found(filled, study_uids=(*many, f"{ROOT}.1", f"{ROOT}.1")) == IN_ORDER
    assert found(filled, sop_uids=(*many, f"{ROOT}.1.1.1")) == ["1.1.1"]
    assert totals(filled, Selection(study_uids=(*many, f"{ROOT}.1"))).instances == 9


def test_nothing_named_is_nothing_found(filled: Database) -> None:
    assert found(filled) == []
    assert series_of(filled, Selection()) == []


def test_the_access_filter(filled: Database) -> None:
    both = (f"{ROOT}.1", f"{ROOT}.2")
    assert len(found(filled, study_uids=both)) == 10
    assert found(filled, study_uids=both, access=frozenset({"ward"})) == ["2.1.1"]
    assert found(filled, study_uids=both, access=frozenset()) == []
    assert found(filled, sop_uids=(f"{ROOT}.1.1.1",), access=frozenset({"ward"})) == []
    assert totals(filled, Selection(study_uids=both, access=frozenset({"ward"}))).instances == 1
    names = (f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1")
    assert locate_one(filled, *names, frozenset({"ward"})) is None
    assert isinstance(locate_one(filled, *names), Located)


def test_one_instance_by_its_path(filled: Database) -> None:
    one = locate_one(filled, f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.3")
    assert one is not None
    (same,) = [each for page in locate(filled, Selection(sop_uids=(one.sop_uid,))) for each in page]
    assert one == same
    assert (one.rows, one.bits_allocated, one.size, one.offset, one.patient_id) == (512, 16, 1000, 400, "P1")
    assert locate_one(filled, f"{ROOT}.2", f"{ROOT}.1.1", f"{ROOT}.1.1.3") is None


def test_series_tell_their_state(filled: Database) -> None:
    first, second = series_of(filled, Selection(study_uids=(f"{ROOT}.1",)))
    assert (first.instances, first.bytes, second.instances) == (5, 5000, 4)
    assert series_by_id(filled, first.id) == first
    assert series_by_id(filled, -1) is None
    revision = first.revision
    writer = LocalWriter(filled)
    writer.submit(arrival(1, 1, 50)).result(20)
    writer.close()
    after = series_by_id(filled, first.id)
    assert after is not None
    assert after.revision > revision


def test_places_of_a_pack_are_in_the_same_order(filled: Database) -> None:
    (first, _) = series_of(filled, Selection(study_uids=(f"{ROOT}.1",)))
    listed = list(places(filled, first))
    assert [place.sop_uid.removeprefix(ROOT + ".") for place in listed] == IN_ORDER[:5]
    assert [place.pixels for place in listed] == [0, 0, 0, 0, 1234]


def test_kinds(filled: Database) -> None:
    assert list(retrieve.kinds(filled, Selection(study_uids=(f"{ROOT}.1",))).values()) == [9]
