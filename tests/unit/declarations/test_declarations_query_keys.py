"""The declared keys against the catalogue, the tables and the extract."""

import csv
from pathlib import Path as File

import pytest

from find_samples import level_of, path_of, rows_of
from isocenter.declarations.query_keys import (
    Key,
    Level,
    Match,
    Path,
    Place,
    key,
    keys,
    keys_for,
    matching_of,
    resolve,
    unique_key,
)
from isocenter.index import tables

DATA = File(__file__).parents[3] / "docs" / "requirements" / "data"
TABLES = {
    Level.PATIENT: tables.patient,
    Level.STUDY: tables.study,
    Level.SERIES: tables.series,
    Level.IMAGE: tables.instance,
}


@pytest.mark.parametrize(("name", "ae"), [("marie", "MARIE_PACS"), ("iconnect", "ARCHIVE")])
@pytest.mark.req("M-FIND-07", "M-FIND-08", "M-FIND-09", "I-FIND-04", "I-FIND-06")
def test_every_row_is_declared(name: str, ae: str) -> None:
    with (DATA / f"{name}_query_keys.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in rows_of(list(csv.DictReader(lines)), ae) if "(ILM" not in row["service"]]
    assert len(rows) > 50
    for row in rows:
        found = key(level_of(row["level"]), path_of(row["tag"]))
        assert found is not None, row
        assert found.returned
        assert not row["matching_types"].startswith("matching") or found.matching


@pytest.mark.parametrize(
    "found", [k for k in keys() if k.place is Place.COLUMN], ids=lambda k: f"{k.level}-{k.keyword}"
)
def test_columns_exist(found: Key) -> None:
    table = TABLES[found.level]
    assert found.column in table.c
    assert not found.fold or f"{found.fold}_fold" in table.c
    assert found.vr != "IS" or found.column == "frames" or f"{found.column}_value" in table.c


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("PatientName", (0x00100010,)),
        ("00100010", (0x00100010,)),
        ("0020000d", (0x0020000D,)),
        ("00400275.00400009", (0x00400275, 0x00400009)),
        ("RequestAttributesSequence.ScheduledProcedureStepID", (0x00400275, 0x00400009)),
        ("00400275.RequestedProcedureID", (0x00400275, 0x00401001)),
        ("patientname", None),
        ("", None),
        ("PatientName.", None),
        ("0010001", None),
    ],
)
def test_resolve(name: str, path: Path | None) -> None:
    assert resolve(name) == path


@pytest.mark.parametrize(
    ("level", "keyword"),
    [
        (Level.PATIENT, "PatientID"),
        (Level.STUDY, "StudyInstanceUID"),
        (Level.SERIES, "SeriesInstanceUID"),
        (Level.IMAGE, "SOPInstanceUID"),
    ],
)
def test_unique_keys(level: Level, keyword: str) -> None:
    assert unique_key(level).keyword == keyword


def test_the_nearest_level_wins() -> None:
    path = resolve("InstitutionName")
    assert path is not None
    assert keys_for(Level.STUDY)[path].level is Level.STUDY
    assert keys_for(Level.SERIES)[path].level is Level.SERIES
    assert keys_for(Level.IMAGE)[path].level is Level.SERIES
    assert key(Level.PATIENT, path) is None


@pytest.mark.parametrize(
    ("vr", "kinds"),
    [
        ("PN", Match.SINGLE | Match.WILDCARD),
        ("UI", Match.SINGLE | Match.LIST),
        ("DA", Match.SINGLE | Match.RANGE),
        ("IS", Match.SINGLE),
        ("SQ", Match.SEQUENCE),
    ],
)
def test_kinds_by_vr(vr: str, kinds: Match) -> None:
    assert matching_of(vr) == kinds
