"""The statements are served by indexes: no search for a key, a prefix or a few days reads a whole table."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from find_samples import archive_on, path_in
from isocenter import database
from isocenter.archive.query import Query
from isocenter.declarations.query_keys import Level
from isocenter.index.matching import plan

STUDIES = 4_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Database]:
    """Enough studies that an index pays, made by SQL."""
    with archive_on(request.param, tmp_path_factory.mktemp("plans")) as archive:
        fill(archive.database)
        yield archive.database


def fill(opened: database.Database) -> None:
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {STUDIES})"
        if opened.dialect == "sqlite"
        else f"WITH n(i) AS (SELECT generate_series(1, {STUDIES}))"
    )
    statements = [
        "INSERT INTO patient (id, identity, patient_id, patient_name, name_fold, changed_at) "
        f"{numbers} SELECT i, '\\P' || i, 'P' || i, 'N' || i || '^A', 'n' || i || '^a', 0 FROM n",
        "INSERT INTO study (id, patient, study_uid, study_date, accession, study_id, description_fold, referring_fold, "
        "patient_id, name_fold, received_at, changed_at) "
        f"{numbers} SELECT i, i, '1.2.' || i, CAST(20000101 + (i % 3000) * 10 AS TEXT), 'A' || i, 'S' || i, "
        "'d' || i, 'r' || i, 'P' || i, 'n' || i || '^a', 0, 0 FROM n",
        "INSERT INTO series (id, study, series_uid, modality, instances, bytes, received_at, changed_at) "
        f"{numbers} SELECT i, i, '1.3.' || i, 'CT', 1, 1, 0, 0 FROM n",
        'INSERT INTO instance (id, series, study, sop_uid, store_key, size, "offset", received_at) '
        f"{numbers} SELECT i, i, i, '1.4.' || i, 'k' || i, 1, 0, 0 FROM n",
        "INSERT INTO attribute (level, owner, path, item, value, fold) "
        f"{numbers} SELECT 'S', i, '00081032.00080100', 0, 'C' || i, 'c' || i FROM n",
    ]
    with opened.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if opened.dialect != "sqlite" else statement)
    with opened.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if opened.dialect == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")


def explained(opened: database.Database, query: Query, which: str) -> str:
    made = plan(query, opened.dialect)
    statement = made.rows().limit(101) if which == "rows" else made.keys()
    with opened.reading() as connection:
        sql = statement.compile(connection.engine, compile_kwargs={"literal_binds": True}).string
        prefix = "EXPLAIN QUERY PLAN" if opened.dialect == "sqlite" else "EXPLAIN"
        escaped = re.sub(r"(?<!:):(?!:)", r"\\:", sql)
        return "\n".join(str(row[-1]) for row in connection.execute(text(f"{prefix} {escaped}")))


SEARCHES = [
    (Level.STUDY, {"PatientID": "P77"}),
    (Level.STUDY, {"PatientName": "n77*"}),
    (Level.STUDY, {"PatientName": "山田*"}),
    (Level.STUDY, {"AccessionNumber": "A77"}),
    (Level.STUDY, {"AccessionNumber": "A77*"}),
    (Level.STUDY, {"StudyInstanceUID": "1.2.77"}),
    (Level.STUDY, {"StudyID": "S77"}),
    (Level.STUDY, {"StudyDate": "20000201-20000207"}),
    (Level.STUDY, {"StudyDescription": "d77*"}),
    (Level.STUDY, {"ReferringPhysicianName": "r77*"}),
    (Level.STUDY, {"ProcedureCodeSequence.CodeValue": "C77"}),
    (Level.STUDY, {"StudyDate": "20000201-20000207", "PatientName": "*7*", "ModalitiesInStudy": "CT"}),
    (Level.PATIENT, {"PatientID": "P77"}),
    (Level.PATIENT, {"PatientName": "n77*"}),
    (Level.SERIES, {"StudyInstanceUID": "1.2.77"}),
    (Level.SERIES, {"SeriesInstanceUID": "1.3.77"}),
    (Level.IMAGE, {"StudyInstanceUID": "1.2.77", "SeriesInstanceUID": "1.3.77"}),
    (Level.IMAGE, {"SOPInstanceUID": "1.4.77"}),
]


@pytest.mark.parametrize("which", ["rows", "keys"])
@pytest.mark.parametrize(("level", "keys"), SEARCHES, ids=lambda value: str(value))
def test_an_index_serves_it(large: database.Database, level: Level, keys: dict[str, str], which: str) -> None:
    query = Query(
        level=level,
        access=None,
        keys=tuple((path_in(name), value) for name, value in keys.items()),
        returns=(path_in("PatientName"), path_in("StudyDate")),
    )
    steps = explained(large, query, which)
    scans = re.findall(r"Seq Scan on (\w+)|^SCAN (\w+)", steps, re.MULTILINE)
    small = {"study_accession", "json_each"}
    assert not {name for pair in scans for name in pair if name} - small, steps


def test_a_patient_of_unknown_id_is_searched_once(large: database.Database) -> None:
    steps = explained(large, Query(level=Level.STUDY, access=None, keys=((path_in("PatientName"), "*7*"),)), "rows")
    assert steps.count("SCAN patient") + steps.count("Seq Scan on patient") <= 1
