"""Person names with three component groups: each group is matched and all of them returned, whosever name it is."""

from collections.abc import Iterator

import pytest

from find_samples import Archive, archive_on, instance, wanted
from isocenter.archive.query import Model

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
NAMES = (
    *(("STUDY", "PatientName"), ("STUDY", "OtherPatientNames"), ("STUDY", "ReferringPhysicianName")),
    *(("STUDY", "PhysiciansOfRecord"), ("STUDY", "NameOfPhysiciansReadingStudy"), ("STUDY", "RequestingPhysician")),
    *(("SERIES", "PerformingPhysicianName"), ("SERIES", "OperatorsName"), ("IMAGE", "ContentCreatorName")),
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """For each attribute an object that has the name there, and one with another; and one that names nobody."""
    with archive_on(request.param, tmp_path_factory.mktemp("names")) as archive:
        for number, (_, keyword) in enumerate(NAMES):
            one = instance(PatientID=f"P{number}", SpecificCharacterSet="ISO_IR 192")
            setattr(one, keyword, NAME)
            archive.add(one, instance(PatientID=f"Q{number}", **{keyword: "Yamamoto^Jirou"}))
        archive.add(instance(PatientID="R"))
        yield archive


@pytest.mark.req("I-CHAR-10")
@pytest.mark.parametrize(("level", "keyword"), NAMES)
@pytest.mark.parametrize(
    "asked",
    [
        *("yamada^tarou", "Yamada*", "Yamada^*", "*tarou", "山田^太郎", "山田*", "*太郎", "やまだ*", "*たろう"),
        *("=山田^太郎", "=山田*", "==やまだ*", "==*たろう", "Yamada*=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_any_group_is_found(named: Archive, level: str, keyword: str, asked: str) -> None:
    identifier = wanted(level, SpecificCharacterSet="ISO_IR 192", **{keyword: asked})
    found = named.find(identifier, Model.STUDY_ROOT)
    assert [str(answer[keyword].value) for answer in found] == [NAME]


@pytest.mark.req("I-CHAR-10")
@pytest.mark.parametrize(("level", "keyword"), NAMES)
@pytest.mark.parametrize("asked", ["山本*", "=やまだ*", "==山田*", "Yamada*=山本*", "==Yamada*"])
def test_another_name_or_group_is_not(named: Archive, level: str, keyword: str, asked: str) -> None:
    assert named.find(wanted(level, SpecificCharacterSet="ISO_IR 192", **{keyword: asked})) == []
