"""Identifiers, updates, and whose order it is."""

import pytest

from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.workflow.patients.events import ACTIVE
from isocenter.workflow.patients.registered import Register as Patients
from isocenter.workflow.patients.registered import Visit
from isocenter.workflow.worklist.states import State
from order_desk import RAD_4, Desk, steps
from order_messages import PID, message, obr, orc, order, segment, value

# --- identifiers


@pytest.mark.req("X-RIS-11")
def test_identifiers_are_made_once_and_stay(desk: Desk) -> None:
    desk.take(message(PID, orc("NW", "P1^HIS", ""), obr()))
    first = desk.only
    made = ("AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID", "StudyInstanceUID")
    assert all(steps([first], *made)[0])
    assert all(len(text) <= 16 for text in steps([first], *made[:3])[0])
    desk.take(
        message(PID, orc("NW", "P1^HIS", ""), obr()),
        message(PID, orc("XO", "P1^HIS", ""), obr("MRH^MR head")),
        message(PID, orc("SC", "P1^HIS", ""), obr()),
    )
    assert steps(desk.entries, *made) == steps([first], *made)
    with desk.database.writing() as connection:
        desk.worklist.remove(connection, [first.id])
    desk.take(message(PID, orc("NW", "P1^HIS", ""), obr()))
    assert steps(desk.entries, *made) == steps([first], *made), "the order has them again after it was purged"


def test_two_orders_have_different_ones(desk: Desk) -> None:
    desk.take(message(PID, orc("NW", "P1^HIS", ""), obr()), message(PID, orc("NW", "P2^HIS", ""), obr()))
    one, two = steps(desk.entries, "AccessionNumber", "RequestedProcedureID", "StudyInstanceUID")
    assert not {*one} & {*two}


def test_the_senders_identifiers_take_the_place_of_ours(desk: Desk) -> None:
    """A placer's order comes first, the department's plan for it later (RAD-2, then RAD-4)."""
    desk.take(message(PID, orc("NW", "P1^HIS", ""), obr()))
    desk.take(message(PID, orc("NW"), obr(more=RAD_4), segment("ZDS", {1: "1.2.3^RIS^Application^DICOM"})))
    assert (desk.only.step_id, desk.only.study_uid) == ("SPS1", "1.2.3")
    assert value(desk.only.model, "AccessionNumber") == "ACC1"
    assert desk.take(message(PID, orc("CA", "", "F1^RIS"), obr(more=RAD_4))) == []
    assert desk.only.state is State.CANCELLED


@pytest.mark.parametrize(
    ("numbers", "expected"), [(("P1^HIS", "F1^RIS"), "F1"), (("P1^HIS", ""), "A")], ids=["filler", "generated"]
)
def test_an_accession_number_where_obr_18_is_empty(desk: Desk, numbers: tuple[str, str], expected: str) -> None:
    desk.take(message(PID, orc("NW", *numbers), obr()))
    assert value(desk.only.model, "AccessionNumber").startswith(expected)


def test_an_identifier_that_is_too_long_is_kept_and_told(desk: Desk) -> None:
    warnings = desk.take(order(more={**RAD_4, 18: "A" * 20, 30: "x" * 70}))
    assert value(desk.only.model, "AccessionNumber") == "A" * 20
    assert value(desk.only.model, "PatientTransportArrangements") == "x" * 64
    assert [each.location for each in warnings] == [Location("OBR", 1, 18), Location("OBR", 1, 30)]
    assert all("x" * 8 not in each.comment for each in warnings)


# --- updates


@pytest.mark.req("I-ACT-13")
def test_an_empty_field_changes_nothing_and_quotes_delete(desk: Desk) -> None:
    desk.take(order(more={**RAD_4, 30: "WHLC", 31: "Headache"}))
    desk.take(order("XO", "", {20: "SPS1", 30: '""'}))
    found = steps(desk.entries, "PatientTransportArrangements", "ReasonForTheRequestedProcedure", "Modality")
    assert found == [("", "Headache", "CT")]


def test_a_change_of_an_unknown_order_is_made_or_refused(desk: Desk) -> None:
    refusing = Feed(name="ris", unknown_orders="refuse")
    with pytest.raises(MessageError) as wrong:
        desk.take(order("XO"), feed=refusing)
    assert (wrong.value.condition, wrong.value.location) == (Condition.UNKNOWN_KEY, Location("ORC", 1, 2, 1))
    assert desk.entries == []
    (warning,) = desk.take(order("XO"))
    assert warning.condition is Condition.UNKNOWN_KEY
    assert desk.only.state is State.SCHEDULED


def test_a_step_that_the_order_does_not_have(desk: Desk) -> None:
    desk.take(order(more=RAD_4))
    with pytest.raises(MessageError, match="no such step"):
        desk.take(order("CA", more={**RAD_4, 20: "SPS9"}))
    assert desk.only.state is State.SCHEDULED


def test_cancelling_what_is_not_known_is_done_already(desk: Desk) -> None:
    (warning,) = desk.take(order("CA"))
    assert (warning.condition, desk.entries) == (Condition.UNKNOWN_KEY, [])


def test_a_change_that_knows_the_study_alone(desk: Desk) -> None:
    """Another system's numbers for an order that the study says which it is."""
    zds = segment("ZDS", {1: "1.2.3"})
    desk.take(message(PID, orc(), obr(more=RAD_4), zds))
    desk.take(message(PID, orc("SC", "X9^PACS", "", {5: "CM"}), obr(), zds))
    assert desk.only.state is State.COMPLETED


# --- whose order it is


def test_an_order_of_another_patient_is_refused(desk: Desk) -> None:
    desk.take(order(more=RAD_4))
    other = segment("PID", {3: "815^^^HOSP^MR", 5: "Roe^Rick"})
    for control in ("NW", "XO", "CA"):
        with pytest.raises(MessageError) as wrong:
            desk.take(message(other, orc(control), obr(more=RAD_4)))
        assert (wrong.value.condition, wrong.value.location) == (Condition.DUPLICATE_KEY, Location("PID", 1, 3, 1))
    assert desk.only.state is State.SCHEDULED


@pytest.mark.parametrize("pid", ["PID|1", 'PID|1||""', "PID|1||^^^HOSP"])
def test_an_order_needs_a_patient(desk: Desk, pid: str) -> None:
    with pytest.raises(MessageError) as wrong:
        desk.take(message(pid, orc(), obr()))
    assert (wrong.value.condition, wrong.value.location) == (Condition.REQUIRED_FIELD, Location("PID", 1, 3, 1))


def test_a_status_does_not_need_one(desk: Desk) -> None:
    desk.take(order(more=RAD_4), message(orc("SC", more={5: "CM"}), obr()))
    assert desk.only.state is State.COMPLETED


def test_an_order_needs_a_number(desk: Desk) -> None:
    with pytest.raises(MessageError) as wrong:
        desk.take(message(PID, orc("NW", "", ""), obr()))
    assert (wrong.value.condition, wrong.value.location) == (Condition.REQUIRED_FIELD, Location("ORC", 1, 2, 1))


def test_an_order_of_something_else(desk: Desk) -> None:
    with pytest.raises(MessageError, match="no OBR") as wrong:
        desk.take(message(PID, orc(), segment("RXO", {1: "ASA^Aspirin"})))
    assert wrong.value.location == Location("OBR")


@pytest.mark.parametrize(("orders", "notes"), [(501, 0), (1, 10_000)])
def test_too_much_for_one_message(desk: Desk, orders: int, notes: int) -> None:
    made = (each for number in range(orders) for each in (orc(placer=f"P{number}", filler=""), obr()))
    with pytest.raises(MessageError) as wrong:
        desk.take(message(PID, *made, *["NTE|1||x"] * notes))
    assert wrong.value.condition is Condition.INTERNAL


def test_numbers_of_two_orders(desk: Desk) -> None:
    desk.take(message(PID, orc("NW", "P1", "F1"), obr()), message(PID, orc("NW", "P2", "F2"), obr()))
    before = desk.entries
    with pytest.raises(MessageError) as wrong:
        desk.take(message(PID, orc("XO", "P1", "F2"), obr()))
    assert (wrong.value.condition, wrong.value.location) == (Condition.DUPLICATE_KEY, Location("ORC", 1, 3, 1))
    assert desk.entries == before


def test_the_same_number_of_two_authorities(desk: Desk) -> None:
    other = segment("PID", {3: "815^^^HOSP^MR"})
    desk.take(message(PID, orc("NW", "1^HIS", ""), obr()), message(other, orc("NW", "1^GP", ""), obr()))
    assert len(desk.entries) == 1
    desk.take(message(other, orc("NW", "2", ""), obr()), feed=Feed(order_authority="A"))
    desk.take(message(PID, orc("NW", "2", ""), obr()), feed=Feed(order_authority="B"))
    assert len(desk.entries) == 2


def test_a_number_of_unknown_authority(desk: Desk) -> None:
    """It is the known order's if the patient is the same, and another order if not."""
    desk.take(message(PID, orc("NW", "1^HIS", ""), obr()), message(PID, orc("CA", "1", ""), obr()))
    assert desk.only.state is State.CANCELLED
    other = segment("PID", {3: "815^^^HOSP^MR"})
    desk.take(message(other, orc("NW", "1", ""), obr()))
    with desk.database.reading() as connection:
        (entry,) = desk.worklist.of_patient(connection, "HOSP\\815")
    assert entry.state is State.SCHEDULED
    assert desk.only.state is State.CANCELLED


def test_a_patient_who_was_merged_and_what_is_registered_of_her(desk: Desk) -> None:
    patients = Patients(lambda: 1)
    said = {"00101030": {"vr": "DS", "Value": [61.5]}, "00100040": {"vr": "CS", "Value": ["O"]}}
    with desk.database.writing() as connection:
        patients.put(connection, "HOSP\\4711", said, "adt")
        patients.merge(connection, "HOSP\\12", "HOSP\\4711", "adt")
    former = segment("PID", {3: "12^^^HOSP^MR", 8: "F"})
    desk.take(message(former, orc(), obr()))
    assert steps(desk.entries, "PatientID", "PatientSex", "PatientWeight") == [("4711", "F", "61.5")]
    desk.take(message(former, orc("CA"), obr()))
    assert desk.only.state is State.CANCELLED


def test_of_the_registered_visits_the_orders_own_or_the_only_one(desk: Desk) -> None:
    patients = Patients(lambda: 1)
    with desk.database.writing() as connection:
        person = patients.put(connection, "HOSP\\4711", {}, "adt").id
        for number in "12":
            visit = Visit(f"V{number}", "", ACTIVE, {})
            patients.put_visit(connection, person, visit, {"00380300": {"vr": "LO", "Value": [f"WARD {number}"]}})
    located = ("PlacerOrderNumberImagingServiceRequest", "CurrentPatientLocation")
    desk.take(order(), message(PID, segment("PV1", {19: "V2"}), orc("NW", "P2^HIS", "F2^RIS"), obr()))
    assert [where for _, where in sorted(steps(desk.entries, *located))] == ["", "WARD 2"]
    with desk.database.writing() as connection:
        patients.drop_visit(connection, person, "V2")
    desk.take(message(PID, orc("NW", "P3^HIS", "F3^RIS"), obr()))
    assert [where for _, where in sorted(steps(desk.entries, *located))] == ["", "WARD 2", "WARD 1"]


@pytest.mark.req("X-RIS-14")
def test_patients_have_to_be_registered_first(desk: Desk) -> None:
    strict = Feed(name="ris", unregistered="refuse")
    with pytest.raises(MessageError, match="not registered") as wrong:
        desk.take(order(), feed=strict)
    assert (wrong.value.condition, wrong.value.location) == (Condition.UNKNOWN_KEY, Location("PID", 1, 3, 1))
    with desk.database.writing() as connection:
        Patients(lambda: 1).put(connection, "HOSP\\4711", {}, "adt")
    desk.take(order(), feed=strict)
    assert desk.only.state is State.SCHEDULED
