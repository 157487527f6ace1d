"""Matching as PS3.4 C.2.2.2 has it, on SQLite and PostgreSQL."""

import pytest
from pydicom.dataset import Dataset

from find_samples import Archive, instance, wanted
from isocenter.archive.query import Model, Query, Sensitivity, count, primary_keys, search
from isocenter.declarations.query_keys import Level, resolve
from isocenter.errors import Reason, Refused

YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"
NAMES = ["DOE^JOHN", "DOE", "Doe^Jane^Q", "MÜLLER^ÄNNE", "ŁUKASZ^Ø", YAMADA, "O'BRIEN^[X]%_"]


def named(archive: Archive, sought: str, **terms: object) -> list[str]:
    return archive.values("STUDY", "PatientName", PatientName=sought, **terms)


@pytest.fixture
def names(archive: Archive) -> Archive:
    """One study for each of NAMES."""
    for number, name in enumerate(NAMES):
        one = instance(PatientName=name, PatientID=f"P{number}", ReferringPhysicianName=name)
        one.PerformingPhysicianName = ["FIRST^A", name]
        one.SpecificCharacterSet = "ISO_IR 192"
        archive.add(one)
    return archive


@pytest.mark.req("M-FIND-04", "M-FIND-05", "I-FIND-07", "I-FIND-08", "I-CHAR-09", "I-CHAR-10", "I-QIDO-09")
def test_person_names(names: Archive) -> None:
    expected = {
        "DOE^JOHN": ["DOE^JOHN"],
        "doe^john^^": ["DOE^JOHN"],
        "doe": ["DOE"],
        "Doe^*": ["DOE", "DOE^JOHN", "Doe^Jane^Q"],
        "doe*^j*": ["DOE^JOHN", "Doe^Jane^Q"],
        "doe*^*": ["DOE", "DOE^JOHN", "Doe^Jane^Q"],
        "d?e": ["DOE"],
        "*jane*": ["Doe^Jane^Q"],
        "muller*": ["MÜLLER^ÄNNE"],
        "lukasz^o": ["ŁUKASZ^Ø"],
        "yamada*": [YAMADA],
        "山田*": [YAMADA],
        "山田^太郎": [YAMADA],
        "やまだ*": [YAMADA],
        "=山田*": [YAMADA],
        "=yamada*": [],
        "yamada*=山*=や*": [YAMADA],
        "yamada*=川*": [],
        "o'brien^[x]%_": ["O'BRIEN^[X]%_"],
        "o'brien^[x]%*": ["O'BRIEN^[X]%_"],
        "*[x]%_": ["O'BRIEN^[X]%_"],
        "*[x]%?": ["O'BRIEN^[X]%_"],
        "nobody": [],
        "*": sorted(NAMES),
        "": sorted(NAMES),
    }
    identifier_set = {"SpecificCharacterSet": "ISO_IR 192"}
    for sought, found in expected.items():
        for keyword in ("PatientName", "ReferringPhysicianName"):
            assert archive_values(names, keyword, sought, identifier_set) == sorted(found), (keyword, sought)
        if sought not in ("", "*"):
            assert archive_values(names, "PerformingPhysicianName", sought, identifier_set) == sorted(
                f"[FIRST^A, {name}]" for name in found
            ), sought


def archive_values(archive: Archive, keyword: str, sought: str, more: dict[str, str]) -> list[str]:
    level = "SERIES" if keyword.startswith("Performing") else "STUDY"
    return archive.values(level, keyword, **{**more, keyword: sought})


@pytest.mark.req("M-FIND-04", "M-FIND-05")
def test_names_at_patient_level_and_sensitive(names: Archive) -> None:
    cs = {"SpecificCharacterSet": "ISO_IR 192"}
    root = Model.PATIENT_ROOT
    assert names.values("PATIENT", "PatientName", root, PatientName="山田*", **cs) == [YAMADA]
    case, accents = Sensitivity(case=True), Sensitivity(accents=True)
    assert named(names, "doe*", sensitivity=case) == []
    assert named(names, "Doe*", sensitivity=case) == ["Doe^Jane^Q"]
    assert named(names, "MULLER*", sensitivity=accents) == []
    assert named(names, "müller*", sensitivity=accents, **cs) == ["MÜLLER^ÄNNE"]
    assert named(names, "jane doe", fuzzy=True) == ["Doe^Jane^Q"]
    assert named(names, "jo do", fuzzy=True) == ["DOE^JOHN"]


@pytest.mark.req("I-FIND-01")
def test_dates_and_times(archive: Archive) -> None:
    moments = [("20190101", "10"), ("20190102", "103015.5"), ("20190103", "1200"), ("", ""), ("20180630", "235959")]
    for date, time in moments:
        archive.add(instance(StudyDate=date, StudyTime=time, PatientID=date or "none"))

    def dates(**keys: object) -> list[str]:
        return archive.values("STUDY", "PatientID", **keys)

    assert dates(StudyDate="20190102") == ["20190102"]
    assert dates(StudyDate="20190101-20190102") == ["20190101", "20190102"]
    assert dates(StudyDate="-20190101") == ["20180630", "20190101"]
    assert dates(StudyDate="20190103-") == ["20190103"]
    assert dates(StudyTime="1030") == ["20190102"]
    assert dates(StudyTime="103015") == ["20190102"]
    assert dates(StudyTime="1000-1200") == ["20190101", "20190102", "20190103"]
    assert dates(StudyTime="1001-1159") == ["20190102"]
    assert dates(StudyTime="-1030") == ["20190101", "20190102"]
    both = {"StudyDate": "20190101-20190103", "StudyTime": "1100-1000"}
    assert dates(**both) == []
    assert dates(**both, combined=True) == ["20190102"]
    assert dates(StudyDate="20190101-20190103", StudyTime="1030-1200") == ["20190102", "20190103"]
    assert dates(StudyDate="20190101-20190103", StudyTime="1030-1200", combined=True) == ["20190102", "20190103"]
    with pytest.raises(Refused) as refused:
        dates(StudyDate="someday")
    assert refused.value.reason is Reason.IDENTIFIER_MISMATCH
    assert refused.value.comment == "StudyDate: key of VR DA: not a value of this kind"


@pytest.mark.req("I-FIND-01")
def test_text_wildcards_and_case(archive: Archive) -> None:
    texts = [("A_1", "CT Thorax"), ("AB1", "ct  schädel"), ("a_1", "MR [x]")]
    for number, (accession, description) in enumerate(texts):
        one = instance(AccessionNumber=accession, StudyDescription=description, PatientID=f"P{number}")
        one.SpecificCharacterSet = "ISO_IR 100"
        archive.add(one)

    def ids(**keys: object) -> list[str]:
        return archive.values("STUDY", "PatientID", **keys)

    assert ids(AccessionNumber="A_1") == ["P0"]
    assert ids(AccessionNumber="A?1") == ["P0", "P1"]
    assert ids(AccessionNumber="*_1") == ["P0", "P2"]
    assert ids(AccessionNumber="A*") == ["P0", "P1"]
    assert ids(StudyDescription="ct *") == ["P0", "P1"]
    assert ids(StudyDescription="*SCHADEL") == ["P1"]
    assert ids(StudyDescription="*[x]") == ["P2"]
    assert ids(StudyDescription="ct thorax") == ["P0"]
    assert ids(StudyDescription="ct thorax", sensitivity=Sensitivity(case=True)) == []
    assert ids(PatientID="p0") == []


def test_numbers(archive: Archive) -> None:
    archive.add(instance(InstanceNumber="007", NumberOfFrames="3", PatientID="A"), instance(PatientID="B"))
    assert archive.values("IMAGE", "PatientID", InstanceNumber="7") == ["A"]
    assert archive.values("IMAGE", "PatientID", NumberOfFrames="3") == ["A"]
    assert archive.values("IMAGE", "PatientID", NumberOfFrames="4") == []


@pytest.mark.req("I-FIND-04")
def test_further_attributes(archive: Archive) -> None:
    long_text = "x" * 300 + "needle" + "y" * 300
    one = instance(PatientID="A", PatientComments=long_text, OtherPatientIDs=["K1", "K2"])
    one.OtherPatientNames = [YAMADA, "Smith^Al"]
    one.SpecificCharacterSet = "ISO_IR 192"
    two = instance(PatientID="B", PatientComments="x" * 300 + "other", OtherPatientIDs="k1")
    archive.add(one, two)
    cs = {"SpecificCharacterSet": "ISO_IR 192"}

    def ids(**keys: object) -> list[str]:
        return archive.values("STUDY", "PatientID", **keys)

    assert ids(PatientComments="*needle*") == ["A"]
    assert ids(PatientComments="*OTHER") == ["B"]
    assert ids(PatientComments=long_text.upper()) == ["A"]
    assert ids(PatientComments="xxx*") == ["A", "B"]
    assert ids(OtherPatientIDs="K2") == ["A"]
    assert ids(OtherPatientIDs="k1") == ["B"]
    assert ids(OtherPatientNames="山田*", **cs) == ["A"]
    assert ids(OtherPatientNames="smith*") == ["A"]
    assert ids(OtherPatientNames="=smith*") == []
    assert ids(OtherPatientNames="SMITH*", sensitivity=Sensitivity(case=True)) == []


def coded(*codes: tuple[str, str]) -> list[Dataset]:
    items = []
    for value, scheme in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, f"meaning of {value}"
        items.append(item)
    return items


@pytest.mark.req("I-FIND-04", "I-FIND-06")
def test_sequences_match_within_one_item(archive: Archive) -> None:
    archive.add(instance(PatientID="A", ProcedureCodeSequence=coded(("C1", "S1"), ("C2", "S2"))))
    archive.add(instance(PatientID="B", ProcedureCodeSequence=coded(("C1", "S2"))))

    def ids(**code: str) -> list[str]:
        item = Dataset()
        for keyword, value in code.items():
            setattr(item, keyword, value)
        return archive.values("STUDY", "PatientID", ProcedureCodeSequence=[item])

    assert ids(CodeValue="C1", CodingSchemeDesignator="S2") == ["B"]
    assert ids(CodeValue="C1") == ["A", "B"]
    assert ids(CodeMeaning="MEANING*C2") == ["A"]
    assert ids(CodeValue="c1") == []
    assert ids() == ["A", "B"]
    with pytest.raises(Refused):
        archive.values("STUDY", "PatientID", ProcedureCodeSequence=[Dataset(), Dataset()])


def test_sequences_match_across_depths(archive: Archive) -> None:
    for patient, accessions in (("A", ("N1", "N2")), ("B", ("N2", "N1"))):
        requests = []
        for accession, code in zip(accessions, ("C1", "C2"), strict=True):
            item = Dataset()
            item.AccessionNumber, item.RequestedProcedureCodeSequence = accession, coded((code, "S"))
            requests.append(item)
        archive.add(instance(PatientID=patient, ReferencedRequestSequence=requests))
    sought = Dataset()
    sought.AccessionNumber, code = "N1", Dataset()
    code.CodeValue = "C1"
    sought.RequestedProcedureCodeSequence = [code]
    assert archive.values("IMAGE", "PatientID", ReferencedRequestSequence=[sought]) == ["A"]


@pytest.mark.req("M-FIND-07", "M-FIND-08", "I-FIND-04")
def test_modalities_and_counts(archive: Archive) -> None:
    first = instance(PatientID="A", Modality="CT")
    second = instance(PatientID="A", Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    second.StudyInstanceUID = first.StudyInstanceUID
    archive.add(first, second, instance(PatientID="B", Modality="MR"))
    assert archive.values("STUDY", "PatientID", ModalitiesInStudy="SR") == ["A"]
    assert archive.values("STUDY", "PatientID", ModalitiesInStudy="MR\\SR") == ["A", "B"]
    assert archive.values("STUDY", "PatientID", ModalitiesInStudy="C*") == ["A"]
    assert archive.values("STUDY", "PatientID", Modality="MR") == ["B"]
    assert archive.values("STUDY", "PatientID", SOPClassesInStudy="1.2.840.10008.5.1.4.1.1.88.11") == ["A"]
    assert archive.values("STUDY", "PatientID", NumberOfStudyRelatedSeries="2") == ["A"]
    identifier = wanted("STUDY", ["ModalitiesInStudy", "SOPClassesInStudy"], PatientID="A")
    answer = archive.find(identifier)[0]
    assert list(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert len(answer.SOPClassesInStudy) == 2
    series = archive.find(wanted("IMAGE", ["NumberOfStudyRelatedSeries", "NumberOfSeriesRelatedInstances"]))
    assert sorted(int(one.NumberOfStudyRelatedSeries) for one in series) == [1, 2, 2]
    assert {int(one.NumberOfSeriesRelatedInstances) for one in series} == {1}


def test_further_accession_numbers(archive: Archive) -> None:
    item = Dataset()
    item.AccessionNumber = "A2"
    archive.add(instance(PatientID="A", AccessionNumber="A1", RequestAttributesSequence=[item]))
    archive.add(instance(PatientID="B", AccessionNumber="B1"))
    for number in ("A1", "A2", "A?"):
        assert archive.values("STUDY", "PatientID", AccessionNumber=number) == ["A"]


@pytest.mark.req("I-FIND-01")
def test_lists_of_uids_of_any_length(archive: Archive) -> None:
    made = [instance(PatientID=f"P{i}") for i in range(3)]
    archive.add(*made)
    uids = [str(one.StudyInstanceUID) for one in made]
    assert archive.values("STUDY", "PatientID", StudyInstanceUID=uids[:2]) == ["P0", "P1"]
    many = [f"1.2.3.{i}" for i in range(40_000)] + uids[1:]
    query = Query(
        level=Level.STUDY,
        access=None,
        keys=(((0x0020000D,), "\\".join(many)),),
        returns=((0x00100020,),),
    )
    found = [row[1] for page in search(archive.database, query).pages for row in page]
    assert sorted(found) == ["P1", "P2"]
    assert count(archive.database, query) == 2
    assert len(primary_keys(archive.database, query)) == 2


def test_paths_resolve_as_qido_writes_them() -> None:
    assert resolve("00081032.CodeValue") == (0x00081032, 0x00080100)
