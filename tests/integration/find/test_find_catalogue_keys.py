"""Every row of the catalogue's query key tables: each matching key matches, each return key returns."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path as File

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from find_samples import Archive, archive_on, complete, level_of, path_in, path_of, put, sample_value, taken
from isocenter.archive.query import Model
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.declarations.query_keys import Key, Level, Path, Place, key, keys_for, resolve

DATA = File(__file__).parents[3] / "docs" / "requirements" / "data"
SEED, OTHER = 11, 12
KINDS = re.compile(r"PS3\.4 C\.2\.2\.2 by VR \w\w: (.*)")
VIEWER_ASKS = (
    *(f"image:{name}" for name in ("ImageComments", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime")),
    *(f"image:{name}" for name in ("AcquisitionDateTime", "DerivationDescription", "ContrastBolusAgent")),
    *(f"image:{name}" for name in ("QualityControlImage", "BurnedInAnnotation", "LossyImageCompression")),
    "image:LossyImageCompressionRatio",
)
"""What the viewer of PS3.2 D asks for that an archive need not have: indexed where its settings say so."""
MORE = configured_keys(VIEWER_ASKS)
SIGNS = {"S": "single value", "*": "wildcard", "R": "range", "L": "list of UID", "U": "universal", "NONE": "universal"}
SPELLED = ("single value", "wildcard", "universal")
LATER = ("Worklist", "MWL", "Hanging Protocol", "Substance", "Product", "ILM")
"""Services of other rooms, each with an issue of its own; the last is a private key of lossy conversion."""
MATCHES = {Level.PATIENT: 2, Level.STUDY: 3, Level.SERIES: 5, Level.IMAGE: 9}
"""Of a query that matches everything."""
Row = tuple[str, str, str, str]
CATALOGUES = ("marie", "iconnect", "intellibridge", "ps32", "sendtopacs")


def rows() -> list[Row]:
    """(model, level, tag, kind of matching) of all rows, those of QIDO-RS included."""
    lines = [row for name in CATALOGUES for row in catalogue(name) if is_asked(row)]
    return sorted({(model_of(row), row["level"], row["tag"], kind) for row in lines for kind in kinds_of(row)})


def catalogue(name: str) -> list[dict[str, str]]:
    """The rows of one table."""
    with (DATA / f"{name}_query_keys.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def is_asked(row: dict[str, str]) -> bool:
    """Whether a row is of the archive's own searches; what the service itself answers (COMMON, Retrieve URL) and the
    private key of lossy conversion are tested elsewhere."""
    if row["ae"] == "QIDO_RS":
        return row["level"] != "COMMON" and "1190" not in row["tag"]
    if row["ae"] in ("MARIE_PACS", "ARCHIVE") and row["role"] == "SCP":
        return row["service"].startswith(("C-FIND", "C-MOVE")) and "(ILM" not in row["service"]
    return is_of_a_client_or_server(row)


def is_of_a_client_or_server(row: dict[str, str]) -> bool:
    """A key that another product asks us for, or answers as a server such as we are."""
    named = row["level"].split(" ")[0] in [level.value for level in Level]
    return named and not any(word in row["service"] for word in LATER)


def model_of(row: dict[str, str]) -> str:
    """The information model; either, where a row is for all of them."""
    above = row["level"].startswith("PATIENT") or "patient" in row["service"].lower()
    return "patient" if above else "study"


def kinds_of(row: dict[str, str]) -> list[str]:
    """The kinds of matching that a row names; every key is returned, which universal matching shows."""
    found = KINDS.search(row["note"])
    if found is None and row["matching_types"] != "return only":
        return spelled_kinds(row)
    if found is None:
        assert row["matching_types"] == "return only", row
        return ["universal"]
    known = ("single value", "wildcard", "range", "list of UID", "sequence", "universal")
    return [kind for kind in (part.strip() for part in found[1].split(";")) if kind in known]


def spelled_kinds(row: dict[str, str]) -> list[str]:
    """The kinds where the row has letters for them, or names them. A wildcard counts where PS3.4 C.2.2.2.4 has one;
    what a client sends without saying how must match by its value."""
    types = row["matching_types"]
    kinds = [SIGNS[sign] for sign in types.split(",") if sign in SIGNS]
    kinds = kinds or [kind for kind in SPELLED if kind in types] or ["single value", "universal"]
    found = key(level_of(row["level"]), path_of(row["tag"]), MORE)
    assert found is not None, row
    if found.vr == "SQ":
        return ["universal"]
    wild = found.vr in ("LO", "SH", "PN", "CS", "LT", "AE", "ST", "UT")
    return [kind for kind in kinds if found.matching or kind == "universal" if kind != "wildcard" or wild]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Two patients with a value for every key: the first with one object, the second with two of everything."""
    with archive_on(request.param, tmp_path_factory.mktemp("find"), VIEWER_ASKS) as archive:
        archive.add(complete(SEED, MORE), *others())
        yield archive


def others() -> list[Dataset]:
    """Two studies of two series of two instances."""
    made = []
    for _ in range(2):
        study = generate_uid()
        for _ in range(2):
            series = generate_uid()
            for _ in range(2):
                one = complete(OTHER, MORE)
                one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID = study, series, generate_uid()
                made.append(one)
    return made


def value_of(found: Key) -> str | int:
    """What the first patient's object says."""
    if found.keyword.startswith("NumberOf"):
        return 1 if found.place is Place.COMPUTED else str(sample_value(found, SEED))
    if found.keyword in ("ModalitiesInStudy", "Modality"):
        return f"M{SEED}"
    value = taken(complete(SEED, MORE), found.path)
    assert value is not None
    return str(value) if found.vr != "US" else int(value)


def asked(found: Key, kind: str) -> list[str | int]:
    """Values of the key that match the first patient's object alone, by this kind of matching."""
    value = value_of(found)
    match kind:
        case "single value":
            return [value]
        case "wildcard":
            return [f"?{str(value)[1:]}", f"{value}*", f"*{str(value)[2:]}"]
        case "range":
            return [f"{value}-{value}", f"-{value}"]
        case "list of UID":
            assert found.vr == "UI"
            return [f"1.2.3.4\\{value}"]
        case other:
            raise AssertionError(other)


@pytest.mark.req("M-FIND-02", "M-FIND-03", "M-FIND-07", "M-FIND-08", "M-FIND-09")
@pytest.mark.req("I-FIND-01", "I-FIND-02", "I-FIND-04", "I-FIND-06", "I-QIDO-05")
@pytest.mark.req("P-FIND-06", "M-DWFIND-04", "M-DWFIND-05", "M-DWFIND-06", "X-QR-22", "X-VIEW-24")
@pytest.mark.parametrize(("model", "level", "tag", "kind"), rows())
def test_key_matches_and_returns(filled: Archive, model: str, level: str, tag: str, kind: str) -> None:
    root = Model.PATIENT_ROOT if model == "patient" else Model.STUDY_ROOT
    found = key(level_of(level), path_of(tag), MORE)
    assert found is not None
    check = {"universal": everything_matches, "sequence": an_item_matches}.get(kind)
    if check:
        check(filled, level_of(level), found, root)
        return
    for value in asked(found, kind):
        answers = filled.find(with_key(level_of(level), found.path, value), root)
        assert [str(taken(answer, found.path)) for answer in answers] == [str(value_of(found))], value


def with_key(level: Level, path: Path, value: object) -> Dataset:
    """An identifier with one key."""
    made = Dataset()
    made.QueryRetrieveLevel = level.value
    put(made, path, value)
    return made


def everything_matches(filled: Archive, level: Level, found: Key, root: Model) -> None:
    """Each answer has the key, and one of them the value of the first patient's object."""
    answers = filled.find(with_key(level, found.path, [] if found.vr == "SQ" else None), root)
    assert len(answers) == MATCHES[level]
    given = [taken(answer, found.path) for answer in answers]
    if found.vr != "SQ":
        assert str(value_of(found)) in [str(value) for value in given]
    elif len(found.path) == 1:
        assert [list(items[0]) for items in given].count(list(complete(SEED)[found.path[0]].value[0])) >= 1


def an_item_matches(filled: Archive, level: Level, found: Key, root: Model) -> None:
    """Each key inside the sequence matches alone, and all that lie in one item together (PS3.4 C.2.2.2.6)."""
    inside = [key for key in keys_for(level).values() if key.path[:-1] == found.path and key.vr != "SQ"]
    together = Dataset()
    together.QueryRetrieveLevel = level.value
    for inner in inside:
        assert len(filled.find(with_key(level, inner.path, value_of(inner)), root)) == 1
        put(together, inner.path, value_of(inner))
    assert len(filled.find(together, root)) == 1
    if len(inside) > 1:
        mixed = with_key(level, inside[0].path, value_of(inside[0]))
        put(mixed, inside[-1].path, str(taken(complete(OTHER), inside[-1].path)))
        assert filled.find(mixed, root) == []


@pytest.mark.parametrize(
    ("level", "keyword"),
    [
        (Level.PATIENT, "OtherPatientIDsSequence.PatientID"),
        (Level.PATIENT, "OtherPatientIDsSequence.IssuerOfPatientID"),
        (Level.STUDY, "IssuerOfPatientID"),
        (Level.STUDY, "IssuerOfAccessionNumberSequence.LocalNamespaceEntityID"),
        (Level.STUDY, "IssuerOfAccessionNumberSequence.UniversalEntityID"),
        (Level.STUDY, "RequestingPhysician"),
        (Level.STUDY, "RequestedProcedureDescription"),
        (Level.SERIES, "RequestAttributesSequence.RequestedProcedureDescription"),
        (Level.SERIES, "OperatorsName"),
    ],
)
def test_keys_that_clients_ask_for_beside_the_catalogue(filled: Archive, level: Level, keyword: str) -> None:
    found = key(level, path_in(keyword))
    assert found is not None
    root = Model.PATIENT_ROOT if level is Level.PATIENT else Model.STUDY_ROOT
    for value in [*asked(found, "single value"), *asked(found, "wildcard")]:
        answers = filled.find(with_key(level, found.path, value), root)
        assert [str(taken(answer, found.path)) for answer in answers] == [str(value_of(found))], value
    everything_matches(filled, level, found, root)


def test_every_key_has_a_sample() -> None:
    assert resolve("PatientName") == (0x00100010,)
    assert taken(complete(SEED), (0x0040A370, 0x00321064, 0x00080100)) is not None
