"""Empty value matching (PS3.4 C.2.2.2.7) on both databases."""

import pytest

from find_samples import Archive, instance
from isocenter.archive.query import Query, find
from isocenter.declarations.query_keys import Level, resolve

PATIENT_ID = (0x00100020,)


@pytest.mark.parametrize(
    ("level", "name", "expected"),
    [
        (Level.STUDY, "StudyDescription", ["B"]), (Level.STUDY, "PatientComments", ["B"]),
        (Level.STUDY, "ModalitiesInStudy", ["B"]), (Level.IMAGE, "NumberOfFrames", ["B"]),
        (Level.STUDY, "PatientID", []), (Level.STUDY, "NumberOfStudyRelatedSeries", []),
        (Level.SERIES, "RequestAttributesSequence.RequestedProcedureID", ["A", "B"]),
        (Level.PATIENT, "PatientComments", ["B"]),
    ],
)  # fmt: skip
def test_what_has_no_value_is_found(archive: Archive, level: Level, name: str, expected: list[str]) -> None:
    full = instance(PatientID="A", StudyDescription="x", PatientComments="y", Modality="CT", NumberOfFrames=3)
    archive.add(full, instance(PatientID="B", StudyDescription="", Modality=""))
    path = resolve(name)
    assert path is not None

    def found(*, empty: bool) -> list[str]:
        query = Query(level=level, access=None, keys=((path, '""'),), returns=(PATIENT_ID,), empty=empty)
        return sorted(str(row.value(PATIENT_ID[0])) for page in find(archive.database, query) for row in page)

    assert found(empty=True) == expected
    assert found(empty=False) == []
