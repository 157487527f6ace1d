"""Studies that wait while HL7 messages merge their patients and move their orders: seen and released by the present
number, and taken back with the merge."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import held_archives
from archives import made, study_uid
from held_archives import WHO, Bench, value
from hospital import Hospital
from isocenter.workflow.reconciling.overview import Overview
from isocenter.workflow.reconciling.states import Finding, State

ROE = "PID|||B||Roe^Richard||19700102|M"
MERGE = ("A40", ROE, "MRG|P1")


@pytest.fixture
def bench(tmp_path: Path, sqlite_url: str) -> Iterator[Bench]:
    with held_archives.running(tmp_path, sqlite_url, review=True) as made_one:
        yield made_one


def held(bench: Bench, *objects: Any) -> None:
    """Send them to the AE that holds, and let the jobs run."""
    bench.archive.send(*objects or (made(1),))
    bench.settle()


def followed(bench: Bench, house: Hospital) -> dict[str, tuple[str, str]]:
    """Patient and name of the archived studies, once all jobs have run."""
    bench.settle()
    while house.parts.late.step():
        pass
    return house.studies()


def shown(bench: Bench) -> dict[str, Any]:
    """The only study as a person sees it, with its candidates."""
    return Overview(bench.archive.database).detailed(bench.study().id)


@pytest.mark.req("I-ACT-32", "I-TWF-06")
def test_a_match_that_waits_is_the_survivors_until_the_merge_is_undone(tmp_path: Path, any_url: str) -> None:
    with held_archives.running(tmp_path, any_url, review=True) as bench:
        house = Hospital(bench.archive)
        bench.order()
        held(bench)
        before = shown(bench)
        assert (before["state"], before["patient_id"]) == (State.REVIEW, "P1")
        house.adt(*MERGE)
        bench.settle()
        told = shown(bench)
        assert (told["state"], told["patient_id"], told["patient_name"]) == (State.REVIEW, "B", "Roe^Richard")
        (candidate,) = told["candidates"]
        assert [value(candidate["model"], each) for each in ("PatientID", "PatientName")] == ["B", "Roe^Richard"]
        listed = Overview(bench.archive.database).listed(patient_id="B")
        assert [one.study.study_uid for one in listed] == [study_uid()]
        house.undo()
        bench.settle()
        assert shown(bench) == before


@pytest.mark.req("I-ACT-30", "I-ACT-32", "I-TWF-09")
@pytest.mark.parametrize("review", [True, False])
@pytest.mark.parametrize("merged_first", [True, False])
def test_released_it_is_the_survivors_and_the_priors_again_when_that_is_undone(
    tmp_path: Path, sqlite_url: str, review: bool, merged_first: bool
) -> None:
    with held_archives.running(tmp_path, sqlite_url, review=review) as bench:
        house = Hospital(bench.archive)
        bench.order()
        if merged_first:
            house.adt(*MERGE)
            held(bench)
        else:
            bench.archive.send(made(1))
            house.adt(*MERGE)
        bench.settle()
        assert bench.study().finding is Finding.MATCHED
        if review:
            bench.desk.release(bench.study().id, WHO)
        assert followed(bench, house) == {study_uid(): ("\\B", "Roe^Richard")}
        (model,) = bench.archived()
        assert [value(model, each) for each in ("PatientID", "PatientName", "AccessionNumber")] == [
            "P1", "Doe^Janet", "A1",
        ]  # fmt: skip
        assert bench.archive.rows("conflict") == []
        house.undo()
        assert followed(bench, house) == {study_uid(): ("\\P1", "Doe^Janet")}


@pytest.mark.parametrize("how", ["as it is", "typed in", "chosen"])
def test_a_person_releases_what_nothing_fitted(bench: Bench, how: str) -> None:
    house = Hospital(bench.archive)
    if how == "chosen":
        bench.order()
        bench.order("TWO", {"ScheduledProcedureStepID": "S2"}, AccessionNumber="A2")
    held(bench)
    house.adt(*MERGE)
    bench.settle()
    number = bench.study().id
    assert bench.study().state is State.OPEN
    if how == "as it is":
        bench.desk.release(number, WHO)
    elif how == "typed in":
        bench.desk.type_in(number, held_archives.attribute("AccessionNumber", "A9"), WHO)
    else:
        bench.desk.choose(number, 1, WHO)
    assert followed(bench, house) == {study_uid(): ("\\B", "Roe^Richard")}
    house.undo()
    assert followed(bench, house)[study_uid()][0] == "\\P1"


def test_the_survivors_own_order_is_found_once_they_are_one(bench: Bench) -> None:
    house = Hospital(bench.archive)
    bench.order(PatientID="B", PatientName="Roe^Richard", PatientBirthDate="19700102", PatientSex="M")
    held(bench, made(1, PatientBirthDate="19700301"))
    assert bench.study().finding is Finding.NONE
    house.adt(*MERGE)
    bench.settle()
    assert (bench.study().finding, bench.study().state) == (Finding.MATCHED, State.REVIEW)
    bench.desk.release(bench.study().id, WHO)
    assert followed(bench, house) == {study_uid(): ("\\B", "Roe^Richard")}


def test_objects_under_either_number_are_one_patients(bench: Bench) -> None:
    house = Hospital(bench.archive)
    held(bench, made(1))
    house.adt(*MERGE)
    held(bench, made(2, PatientID="B"))
    assert not bench.study().mixed
    house.undo()
    held(bench, made(3, PatientID="B"))
    assert bench.study().mixed


@pytest.mark.parametrize("numbered", ["A1", ""])
def test_a_study_of_an_order_that_moved_with_its_visit(bench: Bench, numbered: str) -> None:
    """By its accession number; what has none is its Patient ID's."""
    house = Hospital(bench.archive)
    bench.order(AdmissionID="V1")
    held(bench, made(1, AccessionNumber=numbered))
    house.adt("A45", ROE, "MRG|P1||||V1", "PV1|||||||||||||||||||V1")
    bench.settle()
    told = shown(bench)
    assert told["patient_id"] == ("B" if numbered else "P1")
    bench.desk.release(bench.study().id, WHO)
    assert followed(bench, house)[study_uid()][0] == "\\B"
    house.undo()
    assert followed(bench, house)[study_uid()][0] == "\\P1"
