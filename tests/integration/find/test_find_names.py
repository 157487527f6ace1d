"""Person names with three component groups: each group is matched and all of them returned, whosever name it is."""

import pytest

from find_samples import Archive, instance, wanted
from isocenter.archive.query import Model

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
NAMES = (
    *(("STUDY", "PatientName"), ("STUDY", "OtherPatientNames"), ("STUDY", "ReferringPhysicianName")),
    *(("STUDY", "PhysiciansOfRecord"), ("STUDY", "NameOfPhysiciansReadingStudy"), ("STUDY", "RequestingPhysician")),
    *(("SERIES", "PerformingPhysicianName"), ("SERIES", "OperatorsName"), ("IMAGE", "ContentCreatorName")),
)


@pytest.mark.req("I-CHAR-10")
@pytest.mark.parametrize(("level", "keyword"), NAMES)
@pytest.mark.parametrize(
    "asked",
    [
        *("yamada^tarou", "Yamada*", "Yamada^*", "*tarou", "山田^太郎", "山田*", "*太郎", "やまだ*", "*たろう"),
        *("=山田^太郎", "=山田*", "==やまだ*", "==*たろう", "Yamada*=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_any_group_is_found(archive: Archive, level: str, keyword: str, asked: str) -> None:
    one, other = instance(SpecificCharacterSet="ISO_IR 192"), instance(PatientID="P2", **{keyword: "Yamamoto^Jirou"})
    setattr(one, keyword, NAME)
    archive.add(one, other, instance(PatientID="P3"))
    identifier = wanted(level, SpecificCharacterSet="ISO_IR 192", **{keyword: asked})
    found = archive.find(identifier, Model.STUDY_ROOT)
    assert [str(answer[keyword].value) for answer in found] == [NAME]


@pytest.mark.req("I-CHAR-10")
@pytest.mark.parametrize(("level", "keyword"), NAMES)
@pytest.mark.parametrize("asked", ["山本*", "=やまだ*", "==山田*", "Yamada*=山本*", "==Yamada*"])
def test_another_name_or_group_is_not(archive: Archive, level: str, keyword: str, asked: str) -> None:
    one = instance(SpecificCharacterSet="ISO_IR 192")
    setattr(one, keyword, NAME)
    archive.add(one)
    assert archive.find(wanted(level, SpecificCharacterSet="ISO_IR 192", **{keyword: asked})) == []
