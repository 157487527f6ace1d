"""Attributes that are edited after receipt: every way out says the same, at once and of late objects; and it can be
taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import archives
from archives import Destination, Running, listening, made, running, series_uid, study_uid
from edited_archives import (
    BIRTH_DATE,
    NAME,
    PATIENT_ID,
    WHO,
    account,
    agreed,
    attributes,
    editor,
    found,
    read,
    value,
)
from isocenter.archive.edits.checks import Target, identity
from isocenter.archive.edits.history import history
from isocenter.errors import Reason, Refused

DESCRIPTION, SERIES_DESCRIPTION, ACCESSION = 0x00081030, 0x0008103E, 0x00080050
OTHER_IDS = 0x00101000
COMMENTS = 0x00104000


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    with listening(found):
        yield found


@pytest.fixture
def archive(tmp_path: Path, any_url: str, destination: Destination) -> Iterator[Running]:
    with running(tmp_path, any_url, peers=[destination.peer]) as started:
        yield started


@pytest.mark.req("M-STORE-05")
def test_an_edited_study_answers_the_same_on_every_way(archive: Running, destination: Destination) -> None:
    archive.send(made(1), made(2), made(1, study=2))
    change = attributes(StudyDescription="Abdomen", AccessionNumber="ACC-9", ReferringPhysicianName="Ødegård^Åse")
    edited = editor(archive).attributes(Target.study(study_uid()), change, WHO)
    told = [one for one in agreed(archive, destination) if one[0x0020000D] == study_uid()]
    assert edited.objects == 2
    assert [(one[DESCRIPTION], one[ACCESSION]) for one in told] == [("Abdomen", "ACC-9")] * 2
    assert {one[DESCRIPTION] for one in found(archive.database)} == {"Abdomen", "Thorax"}
    assert len(archives.keys("STUDY")) == 1


@pytest.mark.req("M-STORE-15")
def test_the_stored_object_stays_and_the_leaving_one_tells_what_was_changed(archive: Running) -> None:
    sent = made(1, AccessionNumber="ACC-1")
    archive.send(sent)
    editor(archive).attributes(
        Target.study(study_uid()), attributes(StudyDescription="Abdomen", AccessionNumber="ACC-1"), WHO
    )
    [row] = archive.rows("instance")
    assert archive.data_of(row.store_key) == sent.data
    [data_set] = read(archive.database, archive.store)
    [former] = account(data_set)
    # what the edit says and the object said already is no modification
    assert {tag: value(former, tag) for tag in former} == {DESCRIPTION: "Thorax"}


@pytest.mark.req("I-PID-01", "X-QR-83")
def test_a_patient_is_edited_in_all_studies_and_found_by_the_new_values(
    archive: Running, destination: Destination
) -> None:
    archive.send(made(1, PatientID="P"), made(1, study=2, PatientID="P"), made(1, study=3, PatientID="Q"))
    change = attributes(PatientName="Roe^Richard", PatientBirthDate="19610203", PatientSex="M")
    assert editor(archive).attributes(Target.patient(identity("P")), change, WHO).objects == 2
    told = agreed(archive, destination)
    assert [(one[NAME], one[BIRTH_DATE]) for one in told if one[PATIENT_ID] == "P"] == [("Roe^Richard", "19610203")] * 2
    assert [one[NAME] for one in told if one[PATIENT_ID] == "Q"] == ["Doe^Jane"]
    destination.received.clear()
    archive.move("DEST", archives.keys("STUDY", PatientName="ROE^RICH*"))
    assert len(destination.received) == 2


def test_late_objects_follow_an_edit_and_do_not_undo_it(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID="P"))
    edits = editor(archive)
    edits.attributes(Target.study(study_uid()), attributes(StudyDescription="Abdomen", StudyID=""), WHO)
    edits.attributes(Target.patient(identity("P")), attributes(PatientName="Roe^Richard", PatientBirthDate=None), WHO)
    late = [
        made(2, PatientID="P", StudyID="S7", PatientBirthDate="19700101"),
        made(1, series=2, PatientID="P", StudyID="S7"),
        made(1, study=2, PatientID="P", PatientBirthDate="19700101"),
    ]
    archive.send(*late)
    told = agreed(archive, destination)
    assert len(told) == 4
    assert {one[NAME] for one in told} == {"Roe^Richard"}
    assert {one[BIRTH_DATE] for one in told} == {""}
    assert {row.study_id for row in archive.rows("study") if row.study_uid == study_uid()} == {""}
    assert archive.rows("conflict") == []


def test_a_new_patient_id_takes_the_objects_of_the_former_one_along(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID="WRONG"))
    edits = editor(archive)
    edits.attributes(Target.patient(identity("WRONG")), attributes(PatientID="RIGHT", IssuerOfPatientID="HOSP"), WHO)
    archive.send(made(2, PatientID="WRONG"), made(1, study=2, PatientID="WRONG", PatientName="Old^Name"))
    told = agreed(archive, destination)
    assert {(one[PATIENT_ID], one[0x00100021]) for one in told} == {("RIGHT", "HOSP")}
    assert {one[NAME] for one in told} == {"Doe^Jane"}
    assert len(archive.rows("patient")) == 1
    assert archive.rows("conflict") == []
    with pytest.raises(Refused, match="no such patient"):
        edits.attributes(Target.patient(identity("WRONG")), attributes(PatientSex="F"), WHO)


def test_a_series_is_edited_with_what_the_index_does_not_keep(archive: Running, destination: Destination) -> None:
    archive.send(made(1), made(1, series=2))
    target = Target.series(study_uid(), series_uid())
    change = attributes(SeriesDescription="AXIAL", ClinicalTrialSeriesDescription="arm 1", BodyPartExamined="CHEST")
    editor(archive).attributes(target, change, WHO)
    told = agreed(archive, destination)
    assert sorted(one[SERIES_DESCRIPTION] for one in told) == ["", "AXIAL"]
    [edited] = [each for each in read(archive.database, archive.store) if 0x04000561 in each]
    assert value(edited, 0x00120072) == "arm 1"


def test_sequences_and_further_attributes_are_edited(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientComments="secret"))
    edits = editor(archive)
    code = {"00080100": {"vr": "SH", "Value": ["CTABD"]}, "00080102": {"vr": "SH", "Value": ["L"]}}
    edits.attributes(Target.study(study_uid()), {"00081032": {"vr": "SQ", "Value": [code]}}, WHO)
    edits.attributes(Target.patient(identity("P1")), attributes(PatientComments=None, OtherPatientIDs="X7"), WHO)
    agreed(archive, destination)
    [data_set] = read(archive.database, archive.store)
    assert value(data_set[0x00081032].value[0], 0x00080100) == "CTABD"  # type: ignore[arg-type]
    assert COMMENTS not in data_set
    assert value(data_set, OTHER_IDS) == "X7"
    values = {(row.path, row.value) for row in archive.rows("attribute")}
    assert ("00081032.00080100", "CTABD") in values
    assert not any(path.startswith("00104000") for path, _ in values)


def test_text_that_the_object_could_not_hold_leaves_in_a_set_that_can(archive: Running) -> None:
    latin = made(1, SpecificCharacterSet="ISO_IR 100", StudyDescription="Rontgen")
    archive.send(latin, made(2))
    editor(archive).attributes(Target.patient(identity("P1")), attributes(PatientName="Дмитрий^Иван"), WHO)
    sets = {value(each, 0x00080005) for each in read(archive.database, archive.store)}
    assert sets == {"ISO 2022 IR 100\\ISO 2022 IR 144", "ISO_IR 192"}


def test_an_edit_is_taken_back_and_late_objects_supplement_again(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID="P"))
    before = agreed(archive, destination)
    edits = editor(archive)
    first = edits.attributes(Target.study(study_uid()), attributes(StudyDescription="A", AccessionNumber="ACC"), WHO)
    second = edits.attributes(Target.study(study_uid()), attributes(StudyDescription="B"), WHO)
    renamed = edits.attributes(Target.patient(identity("P")), attributes(PatientID="R"), WHO)
    with pytest.raises(Refused, match="came later"):
        edits.revert(first.uid, WHO)
    edits.revert(second.uid, WHO)
    assert {one[DESCRIPTION] for one in agreed(archive)} == {"A"}
    edits.revert(renamed.uid, WHO)
    edits.revert(first.uid, WHO)
    assert agreed(archive, destination) == before
    assert all(0x04000561 not in each for each in read(archive.database, archive.store))
    with pytest.raises(Refused, match="taken back already"):
        edits.revert(first.uid, WHO)
    archive.send(made(2, PatientID="P", AccessionNumber="ACC-2"))
    assert {one[ACCESSION] for one in found(archive.database)} == {"ACC-2"}


def test_the_audit_tells_who_when_what_and_the_old_value(archive: Running) -> None:
    archive.send(made(1))
    edited = editor(archive, clock=lambda: 1_700_000_000_000_000).attributes(
        Target.study(study_uid()), attributes(StudyDescription="Abdomen"), WHO
    )
    [entry] = history(archive.database)
    assert (entry.event, entry.actor, entry.at) == ("edit.attributes", "tester", 1_700_000_000_000_000)
    assert entry.detail["uid"] == edited.uid
    assert entry.detail["reason"] == WHO.reason
    assert entry.detail["new"]["changes"]["00081030"]["Value"] == ["Abdomen"]
    assert entry.detail["old"]["values"]["00081030"]["value"]["Value"] == ["Thorax"]


def test_a_dry_run_changes_nothing(archive: Running) -> None:
    archive.send(made(1))
    told = editor(archive, dry_run=True).attributes(
        Target.study(study_uid()), attributes(StudyDescription="Abdomen"), WHO
    )
    assert (told.uid, told.objects, told.old) == ("", 1, {"00081030": "Thorax"})
    assert archive.rows("edit") == archive.rows("audit") == []
    assert list(archive.store.journal()) == []


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        (Target.study(study_uid()), {}),
        (Target.study(study_uid()), attributes(PatientName="X")),
        (Target.study(study_uid()), attributes(StudyInstanceUID="1.2")),
        (Target.study(study_uid()), attributes(SOPClassUID="1.2")),
        (Target.study(study_uid()), attributes(SpecificCharacterSet="GBK")),
        (Target.study(study_uid()), attributes(AccessionNumber="12345678901234567")),
        (Target.study(study_uid()), attributes(StudyDescription="a\nb")),
        (Target.study(study_uid()), {"00081030": {"vr": "US", "Value": [1]}}),
        (Target.study(study_uid()), {"00280010": {"vr": "US", "Value": [1]}}),
        (Target.study(study_uid()), {"7FE00010": {"vr": "OW"}}),
        (Target.study(study_uid()), {"nonsense": {"vr": "LO"}}),
        (Target.series(study_uid(), series_uid()), attributes(ContentDate="20240101")),
        (Target.patient(identity("P1")), attributes(PatientID=None)),
        (Target.patient(identity("P1")), attributes(PatientID="P2")),
    ],
)  # fmt: skip
def test_what_may_not_be_edited_is_refused_before_anything_is_written(
    archive: Running, target: Target, changes: dict[str, object]
) -> None:
    archive.send(made(1), made(1, study=2))
    with pytest.raises(Refused) as refusal:
        editor(archive).attributes(target, changes, WHO)  # type: ignore[arg-type]
    assert refusal.value.reason == Reason.BAD_REQUEST
    assert archive.rows("edit") == []
    assert {one[PATIENT_ID] for one in agreed(archive)} == {"P1", "P2"}


def test_what_is_not_there_can_not_be_edited(archive: Running) -> None:
    for target in (Target.study("1.9"), Target.series(study_uid(), "1.9"), Target.patient(identity("NOBODY"))):
        with pytest.raises(Refused) as refusal:
            editor(archive).attributes(target, attributes(InstitutionalDepartmentName="X") if target.level == "E"
                                       else attributes(PatientSex="F") if target.level == "P"
                                       else attributes(StudyID="1"), WHO)  # fmt: skip
        assert refusal.value.reason == Reason.NOT_FOUND
