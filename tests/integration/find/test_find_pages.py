"""Pages, limits, the access filter, and what is left out."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from find_samples import Archive, archive_on, instance, wanted
from isocenter.archive import query as archive_query
from isocenter.archive.query import Model, Query, count, find, primary_keys, search
from isocenter.declarations.query_keys import Level, Path, resolve
from isocenter.errors import Reason, Refused
from isocenter.index import tables

PATIENT_ID: Path = (0x00100020,)


def query(**changes: object) -> Query:
    given = {"level": Level.STUDY, "access": None, "returns": (PATIENT_ID,), **changes}
    return Query(**given)  # type: ignore[arg-type]


def ids(archive: Archive, asked: Query) -> list[list[str]]:
    return [[row[1] for row in page] for page in search(archive.database, asked).pages]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """730 studies P0000, P0001, ..., every second one with a description."""
    texts = ("even", "")
    with archive_on(request.param, tmp_path_factory.mktemp("pages")) as made:
        made.add(*(instance(PatientID=f"P{i:04d}", StudyDescription=texts[i % 2], Modality="CT") for i in range(730)))
        yield made


def test_pages(many: Archive) -> None:
    pages = ids(many, query())
    assert len(pages[0]) == archive_query.FIRST_PAGE
    assert max(map(len, pages)) <= archive_query.PAGE
    assert sorted(one for page in pages for one in page) == [f"P{i:04d}" for i in range(730)]
    prefix = ((PATIENT_ID, "P00*"),)
    assert [len(page) for page in ids(many, query(keys=prefix))] == [100]
    assert len(primary_keys(many.database, query(keys=prefix))) == 100
    assert count(many.database, query()) == 730
    assert count(many.database, query(), cap=500) == 501
    rows = [row for page in find(many.database, query(keys=((PATIENT_ID, "P0007"),))) for row in page]
    assert [row.value(PATIENT_ID[0]) for row in rows] == ["P0007"]
    assert rows[0].value(0x00100010) is None


def test_no_connection_is_held_between_pages(many: Archive) -> None:
    pages = search(many.database, query()).pages
    pool = many.database.engine.pool
    for _ in pages:
        assert pool.checkedout() == 0  # type: ignore[attr-defined]


def test_offset_and_limit_in_a_stable_order(many: Archive) -> None:
    def flat(**changes: object) -> list[str]:
        return [one for page in ids(many, query(ordered=True, **changes)) for one in page]

    ordered, total = flat(), 730
    assert sorted(ordered) == [f"P{i:04d}" for i in range(total)]
    assert flat(limit=50) == ordered[:50]
    assert flat(limit=50, offset=700) == ordered[700:]
    assert flat(limit=600, offset=20) == ordered[20:620]
    assert flat(offset=725) == ordered[725:]
    assert flat() == ordered
    assert [one for page in ids(many, query(ordered=True, limit=600)) for one in page] == ordered[:600]
    thirds = [one for one in ordered if int(one[1:]) % 2 == 0][1:4]
    even = ((resolve("StudyDescription"), "*ve*"),)
    assert flat(keys=even, limit=3, offset=1) == thirds
    sensitive = archive_query.Sensitivity(case=True)
    assert flat(keys=even, limit=3, offset=1, sensitivity=sensitive) == thirds
    assert flat(keys=((resolve("StudyDescription"), "EVEN"),), sensitivity=sensitive) == []


@pytest.mark.req("M-FIND-06", "M-FIND-13")
@pytest.mark.parametrize(("limit", "refused"), [(729, True), (50, True), (730, False), (0, False)])
def test_too_many_matches_are_refused_before_the_first(many: Archive, limit: int, refused: bool) -> None:
    result = search(many.database, query(refuse_above=limit))
    if refused:
        with pytest.raises(Refused) as failure:
            next(result.pages)
        assert failure.value.reason is Reason.TOO_MANY_MATCHES
    else:
        assert sum(map(len, result.pages)) == 730


def test_limits_are_of_the_level(many: Archive) -> None:
    assert len(many.find(wanted("STUDY", PatientID="P0001"), limits={Level.STUDY: 1, Level.SERIES: 0})) == 1


def test_access_groups(archive: Archive) -> None:
    archive.add(instance(PatientID="A"), instance(PatientID="B"))
    with archive.database.writing() as connection:
        connection.execute(update(tables.study).where(tables.study.c.patient_id == "B").values(access_group="closed"))
    for level in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        identifier = wanted(level, ["PatientID", "NumberOfPatientRelatedStudies"])
        for access, expected in ((None, ["A", "B"]), (frozenset({""}), ["A"]), (frozenset(), [])):
            found = archive.find(identifier, Model.PATIENT_ROOT, access=access)
            assert sorted(one.PatientID for one in found) == expected


def test_rejected_and_empty_are_left_out(archive: Archive) -> None:
    archive.add(instance(PatientID="A", Modality="KO"), instance(PatientID="B"))
    with archive.database.writing() as connection:
        series, instances = tables.series, tables.instance
        connection.execute(update(series).where(series.c.modality == "KO").values(instances=0))
        rejected = instances.c.series.in_(
            series.select().with_only_columns(series.c.id).where(series.c.modality == "KO")
        )
        connection.execute(update(instances).where(rejected).values(rejected=1))
    for level in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        found = archive.find(wanted(level, ["PatientID"]), Model.PATIENT_ROOT)
        assert [one.PatientID for one in found] == ["B"]
    assert archive.values("STUDY", "PatientID", ModalitiesInStudy="KO") == []
