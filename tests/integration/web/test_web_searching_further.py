"""QIDO-RS of the current standard: empty and multiple value matching, what a search must name."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from web_archive import Archive, image, opened_archive, send

Web = tuple[httpx.Client, Archive]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        full = image(1, study="full", BodyPartExamined="CHEST", InstitutionName="North")
        bare = image(1, study="bare", StudyDate="", PatientName="", Modality="", PatientID="P2", InstanceNumber=None)
        bare.StudyDescription = ""
        other = image(1, study="other", PatientID="P3", Modality="MR", InstitutionName="South")
        send(client, full, bare, other)
        yield client, archive


def found(client: httpx.Client, level: str, **query: str) -> set[str]:
    answer = client.get(f"/{level}", params=query)
    assert answer.status_code == 200, answer.text
    return {row["0020000D"]["Value"][0] for row in answer.json()}


def uids(*names: str) -> set[str]:
    return {str(image(1, study=name).StudyInstanceUID) for name in names}


@pytest.mark.parametrize(
    ("level", "name", "expected"),
    [
        ("studies", "StudyDate", ["bare"]), ("studies", "PatientName", ["bare"]), ("studies", "PatientID", []),
        ("studies", "StudyDescription", ["bare"]), ("studies", "ModalitiesInStudy", ["bare"]),
        ("studies", "InstitutionName", ["bare"]), ("series", "BodyPartExamined", ["bare", "other"]),
        ("series", "Modality", ["bare"]), ("instances", "InstanceNumber", ["bare"]), ("instances", "Rows", []),
        ("studies", "NumberOfStudyRelatedSeries", []), ("series", "SeriesDate", ["full", "bare", "other"]),
        ("series", "RequestAttributesSequence.ScheduledProcedureStepID", ["full", "bare", "other"]),
    ],
)  # fmt: skip
def test_two_quotation_marks_stand_for_nothing(loaded: Web, level: str, name: str, expected: list[str]) -> None:
    client, _ = loaded
    assert found(client, level, **{name: '""', "emptyvaluematching": "true"}) == uids(*expected)


def test_without_the_parameter_they_are_text(loaded: Web) -> None:
    assert found(loaded[0], "studies", PatientName='""') == set()


def test_several_values_of_one_attribute(loaded: Web) -> None:
    client, _ = loaded
    several = [("PatientID", "P1"), ("PatientID", "P3")]
    assert client.get("/studies", params=several).status_code == 400
    answer = client.get("/studies", params=[*several, ("multiplevaluematching", "true")])
    assert {row["00100020"]["Value"][0] for row in answer.json()} == {"P1", "P3"}
    assert found(client, "studies", PatientID="P2\\P3", multiplevaluematching="true") == uids("bare", "other")
    assert client.get("/studies?multiplevaluematching=perhaps").status_code == 400


@pytest.mark.req("I-QIDO-10", "I-QIDO-ST-05")
@pytest.mark.parametrize(
    ("policy", "query", "status"),
    [
        ("patient", "/studies", 413), ("patient", "/studies?StudyDate=20240131", 413),
        ("patient", "/studies?PatientID=*", 413), ("patient", "/studies?PatientID=P1", 200),
        ("patient", "/studies/1.2/series", 200), ("patient", "/instances?StudyInstanceUID=1.2", 200),
        ("filtered", "/series", 413), ("filtered", "/series?Modality=CT", 200), ("filtered", "/patients", 413),
        ("open", "/studies", 200),
    ],
)  # fmt: skip
def test_what_a_search_must_name(opened: Callable[..., Web], policy: str, query: str, status: int) -> None:
    client, _ = opened(search=policy)
    assert client.get(query).status_code == status
