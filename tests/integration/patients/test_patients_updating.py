"""Registrations, visits and updates: what an ADT event says reaches worklist, steps and archived studies."""

from typing import Any

import pytest

from archives import study_uid
from hospital import ADMISSION, BIRTH, LOCATION, NAME, SEX, Hospital
from isocenter.workflow.worklist.attributes import text
from isocenter.workflow.worklist.states import State

PID = "PID|||A||Roe^Richard||19700102|M"
PV1 = "PV1||I|W1^R2^B3||||||||||||||||V1"
UPDATES = ["A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "A10", "A12", "A13", "A14", "A28", "A31"]
STATES = {"A03": "ended", "A05": "pending", "A14": "pending"}


def everywhere(house: Hospital, **options: Any) -> None:
    study = house.archived(1, patient="A")
    house.scheduled("O1", patient="A", study=study, **options)
    house.performed("1.2.3", patient="A", study=study)


@pytest.mark.req("X-QR-83")
@pytest.mark.parametrize("event", UPDATES)
def test_an_update_is_seen_everywhere_and_undone_everywhere(house: Hospital, event: str) -> None:
    everywhere(house)
    before = house.state()
    house.adt(event, PID, PV1)
    entry, step = house.entry("O1"), house.step(1)
    for model in (entry.model, step.model):
        assert [text(model, tag) for tag in (NAME, BIRTH, SEX)] == ["Roe^Richard", "19700102", "M"]
        assert text(model, ADMISSION) == "V1"
    assert text(entry.model, LOCATION) == "W1/R2/B3"
    assert house.studies() == {study_uid(1): ("\\A", "Roe^Richard")}
    (visit,) = house.state()["register"]["\\A"][2]
    assert (visit.visit_id, visit.state) == ("V1", STATES.get(event, "active"))
    house.undo()
    assert house.state() == before


def test_an_empty_field_changes_nothing_and_two_quotes_delete(house: Hospital) -> None:
    everywhere(house)
    house.adt("A08", "PID|||A||Roe^Richard||19700102|M|||Main Street", PV1)
    house.adt("A08", "PID|||A||||", "PV1||I||||||||||||||||V1")
    model = house.entry("O1").model
    assert [text(model, tag) for tag in (NAME, BIRTH, "00101040", LOCATION)] == [
        *("Roe^Richard", "19700102", "Main Street", "W1/R2/B3")
    ]
    house.adt("A08", 'PID|||A||||""||||""', 'PV1||I|""||||||||||||||||V1')
    model = house.entry("O1").model
    assert [text(model, tag) for tag in (NAME, BIRTH, "00101040", LOCATION)] == ["Roe^Richard", "", "", ""]
    (patient,) = house.archive.rows("patient")
    assert (patient.patient_name, patient.birth_date, patient.sex) == ("Roe^Richard", "", "M")


def test_a_visit_is_the_business_of_its_own_entries(house: Hospital) -> None:
    house.scheduled("O1", patient="A", visit="V1", location="OLD")
    house.scheduled("O2", patient="A", visit="V2", location="OLD")
    house.scheduled("O3", patient="A")
    house.scheduled("O4", patient="A", state=State.COMPLETED)
    house.adt("A02", PID, PV1)
    places = {order: (text(e.model, ADMISSION), text(e.model, LOCATION)) for order, e in house.entries().items()}
    assert places == {"O1": ("V1", "W1/R2/B3"), "O2": ("V2", "OLD"), "O3": ("V1", "W1/R2/B3"), "O4": ("", "")}
    assert {text(entry.model, NAME) for entry in house.entries().values()} == {"Roe^Richard"}


def test_a_cancelled_admission_is_no_visit_of_any_entry(house: Hospital) -> None:
    house.scheduled("O1", patient="A")
    house.adt("A01", PID, PV1)
    house.adt("A11", PID, PV1)
    entry = house.entry("O1")
    assert (text(entry.model, ADMISSION), text(entry.model, LOCATION)) == ("", "")
    assert entry.state is State.SCHEDULED
    assert house.state()["register"]["\\A"][2][0].state == "cancelled"
    house.undo()
    assert text(house.entry("O1").model, ADMISSION) == "V1"


def test_a_cancelled_transfer_tells_the_former_place(house: Hospital) -> None:
    house.scheduled("O1", patient="A")
    house.adt("A01", PID, PV1)
    house.adt("A02", PID, PV1.replace("W1^R2^B3", "W9"))
    house.adt("A12", PID, PV1)
    assert text(house.entry("O1").model, LOCATION) == "W1/R2/B3"


def test_a_cancelled_discharge(house: Hospital) -> None:
    house.adt("A03", PID, PV1)
    assert house.state()["register"]["\\A"][2][0].state == "ended"
    house.adt("A13", PID, PV1)
    assert house.state()["register"]["\\A"][2][0].state == "active"


def test_a_visit_that_was_a_mistake(house: Hospital) -> None:
    house.scheduled("O1", patient="A")
    house.adt("A01", PID, PV1)
    before = house.state()
    house.adt("A23", "PID|||A", PV1)
    assert text(house.entry("O1").model, ADMISSION) == ""
    assert house.state()["register"]["\\A"][2] == []
    house.undo()
    assert house.state() == before


def test_updates_may_be_kept_from_the_archive(house: Hospital) -> None:
    everywhere(house)
    feed = house.fed(updates_archive=False)
    house.adt("A08", PID, feed=feed)
    assert house.studies() == {study_uid(1): ("\\A", "Doe^Jane")}
    assert text(house.entry("O1").model, NAME) == "Roe^Richard"
    house.adt("A40", "PID|||B||Poe^P", "MRG|A", feed=feed)
    assert house.studies() == {study_uid(1): ("\\B", "Poe^P")}


def test_objects_that_come_after_a_correction_bear_it(house: Hospital) -> None:
    house.archived(1, patient="A")
    house.adt("A08", PID)
    house.archived(2, patient="A")
    assert set(house.studies().values()) == {("\\A", "Roe^Richard")}


def test_what_says_nothing_new_leaves_no_trace(house: Hospital) -> None:
    everywhere(house)
    house.adt("A08", PID, PV1)
    edits, events, entry = house.archive.rows("edit"), house.events(), house.entry("O1")
    house.adt("A08", PID, PV1)
    house.adt("A31", PID)
    assert (house.archive.rows("edit"), house.events(), house.entry("O1")) == (edits, events, entry)


def test_a_patient_of_whom_there_is_nothing_is_registered_without_ado(house: Hospital) -> None:
    house.adt("A04", PID, PV1)
    assert house.events() == []
    assert text(house.state()["register"]["\\A"][0], NAME) == "Roe^Richard"


def test_names_in_several_scripts_and_a_mapping_of_the_feeds_own(house: Hospital) -> None:
    everywhere(house)
    house.adt("A08", "PID|||A||Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I")
    assert text(house.entry("O1").model, NAME) == "Yamada^Tarou=山田^太郎"
    assert house.studies()[study_uid(1)][1] == "Yamada^Tarou=山田^太郎"
