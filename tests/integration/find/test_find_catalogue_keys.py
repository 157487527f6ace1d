"""Every row of the catalogue's query key tables: each matching key matches, each return key returns."""

import csv
from collections.abc import Iterator
from pathlib import Path as File

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from find_samples import Archive, archive_on, complete, level_of, path_of, put, rows_of, sample_value, taken
from isocenter.archive.query import Model
from isocenter.declarations.query_keys import Key, Level, Place, key, resolve

DATA = File(__file__).parents[3] / "docs" / "requirements" / "data"
SEED, OTHER = 11, 12


def rows() -> list[tuple[str, str, str, bool]]:
    """(model, level, tag, matched) of all rows, those of QIDO-RS included."""
    found = []
    for name, ae in (("marie", "MARIE_PACS"), ("iconnect", "ARCHIVE")):
        with (DATA / f"{name}_query_keys.csv").open(encoding="utf-8", newline="") as lines:
            for row in rows_of(list(csv.DictReader(lines)), ae):
                if "(ILM" not in row["service"]:  # the private key of lossy conversion comes with that feature
                    model = "patient" if "patient" in row["service"].lower() else "study"
                    found.append((model, row["level"], row["tag"], "matching" in row["matching_types"]))
    with (DATA / "iconnect_query_keys.csv").open(encoding="utf-8", newline="") as lines:
        searches = [row for row in csv.DictReader(lines) if row["service"].startswith("Search for")]
    kept = [row for row in searches if row["level"] != "COMMON" and "1190" not in row["tag"]]
    found += [("study", row["level"], row["tag"], True) for row in kept]
    return sorted(set(found))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Two patients with a value for every key: the first with one object, the second with two of everything."""
    with archive_on(request.param, tmp_path_factory.mktemp("find")) as archive:
        archive.add(complete(SEED), *others())
        yield archive


def others() -> list[Dataset]:
    """Two studies of two series of two instances."""
    made = []
    for _ in range(2):
        study = generate_uid()
        for _ in range(2):
            series = generate_uid()
            for _ in range(2):
                one = complete(OTHER)
                one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID = study, series, generate_uid()
                made.append(one)
    return made


def value_of(found: Key) -> str | int:
    """What the first patient's object says."""
    if found.keyword.startswith("NumberOf"):
        return 1 if found.place is Place.COMPUTED else str(sample_value(found, SEED))
    if found.keyword in ("ModalitiesInStudy", "Modality"):
        return f"M{SEED}"
    value = taken(complete(SEED), found.path)
    assert value is not None
    return str(value) if found.vr != "US" else int(value)


@pytest.mark.req("M-FIND-02", "M-FIND-03", "M-FIND-07", "M-FIND-08", "M-FIND-09")
@pytest.mark.req("I-FIND-01", "I-FIND-02", "I-FIND-04", "I-FIND-06", "I-QIDO-05")
@pytest.mark.parametrize(("model", "level", "tag", "matched"), rows())
def test_key_matches_and_returns(filled: Archive, model: str, level: str, tag: str, matched: bool) -> None:
    root = Model.PATIENT_ROOT if model == "patient" else Model.STUDY_ROOT
    where, path = level_of(level), path_of(tag)
    found = key(where, path)
    assert found is not None
    identifier = Dataset()
    identifier.QueryRetrieveLevel = where.value
    if matched and found.vr != "SQ":
        put(identifier, path, value_of(found))
        answers = filled.find(identifier, root)
        assert len(answers) == 1
        assert str(taken(answers[0], path)) == str(value_of(found))
    else:
        put(identifier, path, None if found.vr != "SQ" else [])
        answers = filled.find(identifier, root)
        assert len(answers) == {Level.PATIENT: 2, Level.STUDY: 3, Level.SERIES: 5, Level.IMAGE: 9}[where]
        given = [taken(answer, path) for answer in answers]
        if found.vr == "SQ":
            assert [list(item[0]) for item in given].count(list(complete(SEED)[path[0]].value[0])) >= 1 or len(path) > 1
        else:
            assert str(value_of(found)) in [str(value) for value in given]


def test_every_key_has_a_sample() -> None:
    assert resolve("PatientName") == (0x00100010,)
    assert taken(complete(SEED), (0x0040A370, 0x00321064, 0x00080100)) is not None
