"""What a query costs in the index alone and with its answers encoded, on a synthetic archive of any size.

    python bench/find.py [--studies 10000] [--database URL] [--repeat 5]

Rows are made by SQL inside the database: two studies a patient, two series a study, spread over eight years, so that
one year holds an eighth of them. Twenty patients, whatever the size, are called ZQX...; the same rows answer at every
size. Without --database an SQLite file in a temporary folder is used. The database is filled only if it is empty.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import text

from isocenter import database
from isocenter.archive.query import Query, count, search
from isocenter.declarations.query_keys import Level, resolve
from isocenter.services.find_encoding import answer_encoder

FIRST_DAY = date(2016, 1, 1)
DAYS = 8 * 365
KEYS = [
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyDescription",
    "ModalitiesInStudy",
]


def _numbers(dialect: str, upto: int) -> str:
    if dialect == "sqlite":
        return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {upto})"
    return f"WITH n(i) AS (SELECT generate_series(1, CAST({upto} AS BIGINT)))"


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXY"
_FAMILY = " || ".join(f"substr('{_LETTERS}', CAST((i * 7919 / {25**k}) % 25 AS INT) + 1, 1)" for k in range(5))
_NAME = f"CASE WHEN i <= 20 THEN 'ZQX' || i ELSE {_FAMILY} || i END || '^GIVEN' || (i % 100)"


def _statements(dialect: str, studies: int) -> list[str]:
    patients = max(studies // 2, 1)
    day = "((i * 12345) % 2920)"
    first = FIRST_DAY.isoformat()
    on_day = (
        f"strftime('%Y%m%d', '{first}', '+' || {day} || ' days')"
        if dialect == "sqlite"
        else f"to_char(date '{first}' + CAST({day} AS INT), 'YYYYMMDD')"
    )
    who = "(SELECT p.id AS patient, p.patient_id, p.patient_name, p.name_fold, p.birth_date, p.sex FROM patient p)"
    return [
        f"""INSERT INTO patient (id, identity, patient_id, patient_name, name_fold, birth_date, sex, changed_at)
        {_numbers(dialect, patients)} SELECT i, '\\P' || i, 'P' || i, {_NAME}, lower({_NAME}),
        CAST(19300000 + (i % 80) * 10000 + (i % 12 + 1) * 100 + i % 28 + 1 AS TEXT),
        substr('MFO', CAST(i % 3 AS INT) + 1, 1), 0 FROM n""",
        f"""INSERT INTO study (id, patient, study_uid, study_date, study_time, study_id, accession, description,
        description_fold, referring_name, referring_fold, patient_id, patient_name, name_fold, birth_date, sex,
        received_at, changed_at)
        {_numbers(dialect, studies)} SELECT n.i, w.patient, '1.2.826.0.1.3680043.10.999.' || n.i, {on_day},
        CAST(100000 + n.i % 80000 AS TEXT), 'S' || n.i, 'A' || n.i,
        'CT CHEST ' || (n.i % 50), 'ct chest ' || (n.i % 50),
        'REF' || (n.i % 200) || '^DOC', 'ref' || (n.i % 200) || '^doc', w.patient_id, w.patient_name, w.name_fold,
        w.birth_date, w.sex, n.i, n.i FROM n JOIN {who} w ON w.patient = (n.i + 1) / 2""",
        f"""INSERT INTO series (id, study, series_uid, modality, series_number, series_number_value, description,
        description_fold, instances, bytes, sop_classes, received_at, changed_at)
        {_numbers(dialect, studies * 2)} SELECT i, (i + 1) / 2, '1.2.826.0.1.3680043.10.998.' || i,
        CASE WHEN i % 2 = 0 THEN 'CT' ELSE 'SR' END, CAST(i % 2 + 1 AS TEXT), i % 2 + 1, 'AXIAL', 'axial',
        100, 50000000, '1.2.840.10008.5.1.4.1.1.2', i, i FROM n""",
    ]


def fill(opened: database.Database, studies: int) -> None:
    """Make the archive, if the database holds no study."""
    with opened.writing() as connection:
        if connection.execute(text("SELECT 1 FROM study LIMIT 1")).first() is None:
            for statement in _statements(opened.dialect, studies):
                connection.exec_driver_sql(statement.replace("%", "%%") if opened.dialect != "sqlite" else statement)
    if opened.dialect == "postgresql":
        with opened.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def queries() -> dict[str, tuple[tuple[str, str], ...]]:
    """The searches that are measured, by name."""
    start = date(2019, 3, 4)
    week = f"{start:%Y%m%d}-{start + timedelta(days=6):%Y%m%d}"
    return {
        "exact patient id": (("PatientID", "P4321"),),
        "exact accession": (("AccessionNumber", "A4321"),),
        "name prefix": (("PatientName", "ZQX*"),),
        "one week": (("StudyDate", week),),
        "one year": (("StudyDate", "20190101-20191231"),),
        "year and modality": (("StudyDate", "20190101-20191231"), ("ModalitiesInStudy", "CT")),
        "name infix": (("PatientName", "*QX1*"),),
    }


def query_of(keys: tuple[tuple[str, str], ...]) -> Query:
    """A study level query by keywords, returning the usual eight keys."""
    paths = [resolve(name) for name in KEYS]
    return Query(
        level=Level.STUDY,
        access=None,
        keys=tuple((path, value) for name, value in keys if (path := resolve(name))),
        returns=tuple(path for path in paths if path),
    )


def timed(work: Callable[[], int], repeat: int) -> tuple[float, int]:
    """Median seconds and what `work` returned."""
    found = work()
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--database", default="")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{Path(folder) / 'index.db'}"
        database.migrate(url)
        opened = database.open(url)
        started = time.perf_counter()
        fill(opened, options.studies)
        print(f"{opened.dialect}, {options.studies} studies, filled in {time.perf_counter() - started:.1f} s")
        for name, keys in queries().items():
            measure(opened, name, query_of(keys), options.repeat)
        opened.close()


def measure(opened: database.Database, name: str, query: Query, repeat: int) -> None:
    """Print one line: rows, milliseconds in the index, with encoding, and a count alone."""

    def rows() -> int:
        return sum(len(page) for page in search(opened, query).pages)

    def encoded() -> int:
        result = search(opened, query)
        encode = answer_encoder(query, result.layout, "1.2.840.10008.1.2.1", retrieve_aet="ISOCENTER")
        return sum(len(encode(page)) for page in result.pages)

    plain, found = timed(rows, repeat)
    full, _ = timed(encoded, repeat)
    counted, _ = timed(lambda: count(opened, query), repeat)
    print(
        f"{name:18} {found:7} rows  index {plain * 1e3:8.2f} ms  encoded {full * 1e3:8.2f} ms"
        f"  {found / full:9.0f} rows/s  count {counted * 1e3:7.2f} ms"
    )


if __name__ == "__main__":
    main()
