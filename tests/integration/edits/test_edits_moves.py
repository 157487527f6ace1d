"""Studies that move to another patient, patients that are merged, series that are split off: all ways out agree, late
objects follow, and each is taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from archives import Destination, Running, listening, made, running, series_uid, sop_uid, study_uid
from edited_archives import (
    BIRTH_DATE,
    NAME,
    PATIENT_ID,
    SERIES,
    STUDY,
    WHO,
    account,
    agreed,
    attributes,
    editor,
    read,
    value,
)
from isocenter.archive.deletion import Deletions
from isocenter.archive.edits.checks import Target, identity
from isocenter.errors import Reason, Refused
from isocenter.index import tables

OTHER_IDS, COMMENTS, ACCESSION = 0x00101000, 0x00104000, 0x00080050
NEW_STUDY = "1.2.826.0.1.3680043.10.999.7.77"


@pytest.fixture
def destination() -> Iterator[Destination]:
    found = Destination()
    with listening(found):
        yield found


@pytest.fixture
def archive(tmp_path: Path, any_url: str, destination: Destination) -> Iterator[Running]:
    with running(tmp_path, any_url, peers=[destination.peer]) as started:
        yield started


def patients(archive: Running) -> dict[str, str]:
    """Patient ID by Study Instance UID, as the index has it."""
    return {row.study_uid: row.patient_id for row in archive.rows("study")}


# --- studies to another patient


def test_a_study_moves_to_another_patient_and_leaves_nothing_of_the_former_one(
    archive: Running, destination: Destination
) -> None:
    archive.send(
        made(1, PatientID="P", PatientName="Wrong^Person", OtherPatientIDs="P-OLD", PatientBirthDate="19500101"),
        made(1, study=2, PatientID="Q", PatientName="Right^Person", PatientSex="F"),
    )
    editor(archive).move_study(study_uid(), attributes(PatientID="Q"), WHO)
    told = agreed(archive, destination)
    assert {(one[PATIENT_ID], one[NAME], one[BIRTH_DATE]) for one in told} == {("Q", "Right^Person", "")}
    [moved] = [each for each in read(archive.database, archive.store) if value(each, STUDY) == study_uid()]
    assert OTHER_IDS not in moved
    assert value(account(moved)[0], OTHER_IDS) == "P-OLD"
    assert [row.identity for row in archive.rows("patient")] == ["\\Q"]


def test_late_objects_of_a_moved_study_follow_and_others_do_not(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID="P"), made(1, study=2, PatientID="Q", PatientName="Right^Person"))
    editor(archive).move_study(study_uid(), attributes(PatientID="Q"), WHO)
    archive.send(made(2, PatientID="P"), made(1, series=2, PatientID="P"), made(1, study=3, PatientID="P"))
    told = agreed(archive, destination)
    assert patients(archive) == {study_uid(): "Q", study_uid(2): "Q", study_uid(3): "P"}
    assert sum(one[PATIENT_ID] == "Q" for one in told) == 4
    assert archive.rows("conflict") == []


def test_a_study_moves_to_a_patient_who_is_made_for_it(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID="P"))
    patient = attributes(PatientID="N", IssuerOfPatientID="HOSP", PatientName="New^One", PatientBirthDate="20010203")
    moved = editor(archive).move_study(study_uid(), patient, WHO)
    [told] = agreed(archive, destination)
    assert (told[PATIENT_ID], told[NAME], told[BIRTH_DATE]) == ("N", "New^One", "20010203")
    editor(archive).revert(moved.uid, WHO)
    [told] = agreed(archive, destination)
    assert (told[PATIENT_ID], told[NAME], told[BIRTH_DATE]) == ("P", "Doe^Jane", "")
    assert [row.identity for row in archive.rows("patient")] == ["\\P"]
    assert all(account(each) == [] for each in read(archive.database, archive.store))


def test_what_was_said_of_a_patient_who_was_made_holds_for_objects_of_its_own(
    archive: Running, destination: Destination
) -> None:
    archive.send(made(1, PatientID="P"))
    edits = editor(archive)
    moved = edits.move_study(study_uid(), attributes(PatientID="N", PatientName="New^One", PatientSex=""), WHO)
    archive.send(made(1, study=2, PatientID="N", PatientName="Typed^Wrong", PatientBirthDate="19700101"))
    archive.send(made(1, study=2, series=2, PatientID="N", PatientName="Typed^Wrong", PatientBirthDate="19700101"))
    told = agreed(archive, destination)
    assert {(one[PATIENT_ID], one[NAME], one[BIRTH_DATE]) for one in told} == {("N", "New^One", "19700101")}
    edits.revert(moved.uid, WHO)
    told = agreed(archive, destination)
    assert sorted({(one[STUDY], one[PATIENT_ID], one[NAME], one[BIRTH_DATE]) for one in told}) == [
        (study_uid(), "P", "Doe^Jane", ""),
        (study_uid(2), "N", "New^One", "19700101"),
    ]
    assert len(told) == 3


def test_what_a_patient_or_a_study_gains_later_holds_for_what_was_moved_to_it(
    archive: Running, destination: Destination
) -> None:
    archive.send(made(1, PatientID="P"), made(1, study=2, PatientID="Q", AccessionNumber=""))
    editor(archive).move_study(study_uid(), attributes(PatientID="N", PatientName="New^One"), WHO)
    editor(archive).split_series(study_uid(2), series_uid(2), "1.2.3.4.5", WHO)
    more = {"PatientName": "New^One", "PatientBirthDate": "19700101", "PatientComments": "Twin"}
    archive.send(made(1, study=3, PatientID="N", **more))
    archive.send(made(1, study=4, PatientID="Q", StudyInstanceUID="1.2.3.4.5", AccessionNumber="A1"))
    told = agreed(archive, destination)
    assert {one[BIRTH_DATE] for one in told if one[PATIENT_ID] == "N"} == {"19700101"}
    assert {one[ACCESSION] for one in told if one[STUDY] == "1.2.3.4.5"} == {"A1"}
    [moved] = [each for each in read(archive.database, archive.store) if value(each, STUDY) == study_uid()]
    assert value(moved, COMMENTS) == "Twin"


def test_an_unnamed_patient_gets_its_id(archive: Running, destination: Destination) -> None:
    archive.send(made(1, PatientID=""), made(1, study=2, PatientID="Q", PatientName="Right^Person"))
    editor(archive).move_study(study_uid(), attributes(PatientID="Q"), WHO)
    archive.send(made(2, PatientID=""))
    told = agreed(archive, destination)
    assert {(one[PATIENT_ID], one[NAME]) for one in told} == {("Q", "Right^Person")}
    assert archive.rows("conflict") == []


# --- merges


def test_merged_patients_are_one_and_late_objects_follow(archive: Running, destination: Destination) -> None:
    archive.send(
        made(1, PatientID="OLD", PatientName="Doe^J"),
        made(1, study=2, PatientID="GOOD", PatientName="Doe^Jane^Maria", PatientBirthDate="19700101"),
    )
    merged = editor(archive).merge_patients(identity("OLD"), identity("GOOD"), WHO)
    archive.send(
        made(2, PatientID="OLD", PatientName="Doe^J"),
        made(1, study=3, PatientID="OLD", PatientName="Doe^J"),
    )
    told = agreed(archive, destination)
    assert merged.objects == 2
    assert {(one[PATIENT_ID], one[NAME], one[BIRTH_DATE]) for one in told} == {("GOOD", "Doe^Jane^Maria", "19700101")}
    assert len(told) == 4
    assert [(row.value, row.kind) for row in archive.rows("patient_id")] == [("GOOD", "primary"), ("OLD", "prior")]
    assert archive.rows("conflict") == []


def test_a_chain_of_merges_ends_at_the_last_and_is_taken_back_in_turn(
    archive: Running, destination: Destination
) -> None:
    archive.send(made(1, PatientID="A"), made(1, study=2, PatientID="B"), made(1, study=3, PatientID="C"))
    before = agreed(archive)
    edits = editor(archive)
    first = edits.merge_patients(identity("A"), identity("B"), WHO)
    second = edits.merge_patients(identity("B"), identity("C"), WHO)
    archive.send(made(1, study=4, PatientID="A"))
    assert set(patients(archive).values()) == {"C"}
    agreed(archive, destination)
    with pytest.raises(Refused, match="no such patient"):
        edits.merge_patients(identity("A"), identity("C"), WHO)
    edits.revert(second.uid, WHO)
    assert patients(archive) == {study_uid(): "B", study_uid(2): "B", study_uid(3): "C", study_uid(4): "B"}
    edits.revert(first.uid, WHO)
    assert patients(archive) == {study_uid(): "A", study_uid(2): "B", study_uid(3): "C", study_uid(4): "A"}
    told = agreed(archive, destination)
    assert [one for one in told if one[STUDY] != study_uid(4)] == before


def test_merged_ids_outlive_the_last_study(archive: Running) -> None:
    archive.send(made(1, PatientID="OLD"), made(1, study=2, PatientID="GOOD"))
    editor(archive).merge_patients(identity("OLD"), identity("GOOD"), WHO)
    for study in (1, 2):
        Deletions(archive.database, archive.store, archive.ingest.writer).delete(study_uid(study))
    archive.send(made(1, study=3, PatientID="OLD"))
    assert patients(archive) == {study_uid(3): "GOOD"}


# --- splits


def test_a_series_is_split_off_into_a_new_study(archive: Running, destination: Destination) -> None:
    archive.send(made(1), made(1, series=2), made(2, series=2))
    editor(archive).split_series(study_uid(), series_uid(1, 2), NEW_STUDY, WHO)
    told = agreed(archive, destination)
    assert sorted((one[STUDY], one[SERIES]) for one in told) == sorted(
        [(study_uid(), series_uid()), (NEW_STUDY, series_uid(1, 2)), (NEW_STUDY, series_uid(1, 2))]
    )
    assert {row.study_uid: row.description for row in archive.rows("study")} == {
        study_uid(): "Thorax",
        NEW_STUDY: "Thorax",
    }


def test_late_objects_of_a_split_series_follow_and_are_no_conflict(archive: Running, destination: Destination) -> None:
    archive.send(made(1), made(1, series=2))
    editor(archive).split_series(study_uid(), series_uid(1, 2), NEW_STUDY, WHO)
    archive.send(made(2, series=2), made(2), made(1, series=3))
    # sent back by someone who retrieved it from its new study
    archive.send(made(1, series=2, StudyInstanceUID=NEW_STUDY))
    told = agreed(archive, destination)
    assert sorted(one[STUDY] for one in told) == sorted([study_uid()] * 3 + [NEW_STUDY] * 2)
    assert archive.rows("conflict") == []
    assert {row.series_uid: row.instances for row in archive.rows("series")} == {
        series_uid(1, 1): 2,
        series_uid(1, 2): 2,
        series_uid(1, 3): 1,
    }


def test_a_series_is_split_into_a_study_of_another_patient(archive: Running, destination: Destination) -> None:
    archive.send(
        made(1, PatientID="P", StudyID="7"),
        made(1, series=2, PatientID="P", StudyID="7"),
        made(1, study=2, PatientID="Q", PatientName="Right^Person", StudyDescription="Abdomen"),
    )
    edits = editor(archive)
    edits.split_series(study_uid(), series_uid(1, 2), study_uid(2), WHO)
    told = agreed(archive, destination)
    assert sorted((one[PATIENT_ID], one[0x00081030]) for one in told) == [
        ("P", "Thorax"), ("Q", "Abdomen"), ("Q", "Abdomen"),
    ]  # fmt: skip
    edits.attributes(Target.study(study_uid(2)), attributes(StudyDescription="Pelvis"), WHO)
    assert sum(one[0x00081030] == "Pelvis" for one in agreed(archive, destination)) == 2


def test_a_split_is_taken_back_even_if_the_former_study_went(archive: Running, destination: Destination) -> None:
    archive.send(made(1, AccessionNumber="A1"))
    before = agreed(archive)
    edits = editor(archive)
    split = edits.split_series(study_uid(), series_uid(), NEW_STUDY, WHO)
    assert [row.study_uid for row in archive.rows("study")] == [NEW_STUDY]
    edits.revert(split.uid, WHO)
    assert agreed(archive, destination) == before
    assert [row.accession for row in archive.rows("study_accession")] == ["A1"]
    archive.send(made(2))
    assert [row.study_uid for row in archive.rows("study")] == [study_uid()]
    assert archive.rows("conflict") == []


def test_a_series_can_not_be_split_where_its_uid_is_taken(archive: Running) -> None:
    other = made(9, study=2, SeriesInstanceUID=series_uid())
    archive.send(made(1), other)
    with pytest.raises(Refused) as refusal:
        editor(archive).split_series(study_uid(), series_uid(), study_uid(2), WHO)
    assert refusal.value.reason == Reason.BAD_REQUEST
    assert sorted(row.study_uid for row in archive.rows("study")) == [study_uid(), study_uid(2)]


def test_the_access_group_of_a_study_goes_with_its_series(archive: Running) -> None:
    archive.send(made(1))
    with archive.database.writing() as connection:
        connection.execute(update(tables.study).values(access_group="cardio"))
    editor(archive).split_series(study_uid(), series_uid(), NEW_STUDY, WHO)
    assert [row.access_group for row in archive.rows("study")] == ["cardio"]


def test_the_same_edit_told_twice_is_made_once(archive: Running) -> None:
    from isocenter.index.journal import edit_of

    archive.send(made(1, PatientID="A"), made(1, study=2, PatientID="B"))
    editor(archive).merge_patients(identity("A"), identity("B"), WHO)
    [record] = archive.store.journal()
    assert archive.ingest.writer.submit(edit_of(record)).result(20).verdict == "edited"
    assert len(archive.rows("edit")) == len(archive.rows("audit")) == 1
    assert {row.sop_uid for row in archive.rows("instance")} == {sop_uid(), sop_uid(1, 2)}


# --- taken back after the one who stayed was called otherwise


def test_a_merge_is_taken_back_whatever_the_survivor_is_called_by_then(
    archive: Running, destination: Destination
) -> None:
    archive.send(made(1, PatientID="A", PatientName="Doe^A"), made(1, study=2, PatientID="B", PatientName="Roe^B"))
    edits = editor(archive)
    merged = edits.merge_patients(identity("A"), identity("B"), WHO)
    renamed = edits.attributes(Target.patient(identity("B")), attributes(PatientID="R"), WHO)
    archive.send(made(1, study=3, PatientID="A", PatientName="Doe^A"))
    back = edits.revert(merged.uid, WHO)
    told = agreed(archive, destination)
    assert patients(archive) == {study_uid(): "A", study_uid(2): "R", study_uid(3): "A"}
    assert {(one[PATIENT_ID], one[NAME]) for one in told} == {("A", "Doe^A"), ("R", "Roe^B")}
    edits.revert(back.uid, WHO)
    assert set(patients(archive).values()) == {"R"}  # merged again, into who has another number since
    edits.revert(renamed.uid, WHO)
    assert set(patients(archive).values()) == {"B"}


def test_a_merge_is_taken_back_though_the_survivor_was_merged_away_since(
    archive: Running, destination: Destination
) -> None:
    archive.send(*(made(1, study=number, PatientID=each) for number, each in enumerate("ABC", 1)))
    edits = editor(archive)
    first = edits.merge_patients(identity("A"), identity("B"), WHO)
    second = edits.merge_patients(identity("B"), identity("C"), WHO)
    edits.revert(first.uid, WHO)
    assert patients(archive) == {study_uid(1): "A", study_uid(2): "C", study_uid(3): "C"}
    edits.revert(second.uid, WHO)
    archive.send(made(2, study=1, PatientID="A"), made(1, study=4, PatientID="A"))
    agreed(archive, destination)
    assert patients(archive) == {study_uid(1): "A", study_uid(2): "B", study_uid(3): "C", study_uid(4): "A"}
    assert archive.rows("conflict") == []


def test_a_survivor_who_was_given_the_number_of_the_other_keeps_it(archive: Running) -> None:
    archive.send(made(1, PatientID="A"), made(1, study=2, PatientID="B"))
    edits = editor(archive)
    merged = edits.merge_patients(identity("A"), identity("B"), WHO)
    edits.attributes(Target.patient(identity("B")), attributes(PatientID="A"), WHO)
    with pytest.raises(Refused, match="by now") as refused:
        edits.revert(merged.uid, WHO)
    assert refused.value.reason == Reason.BAD_REQUEST
    assert set(patients(archive).values()) == {"A"}


def test_a_study_goes_back_to_a_patient_who_was_called_otherwise_since(
    archive: Running, destination: Destination
) -> None:
    archive.send(*(made(1, study=number, PatientID=each) for number, each in enumerate("PPQ", 1)))
    edits = editor(archive)
    moved = edits.move_study(study_uid(1), attributes(PatientID="Q"), WHO)
    edits.attributes(Target.patient(identity("P")), attributes(PatientID="R"), WHO)
    edits.revert(moved.uid, WHO)
    agreed(archive, destination)
    assert patients(archive) == {study_uid(1): "R", study_uid(2): "R", study_uid(3): "Q"}
