"""Orders of several steps, imaging orders and appointments."""

from pathlib import Path

import pytest
from sqlalchemy import select

from isocenter import database
from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.orders.controls import actions
from isocenter.workflow.orders.handler import EVENTS, Orders, handlers
from isocenter.workflow.orders.tables import order_number
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.states import State
from order_desk import EXPECTED, FIRST_STATE, RAD_4, SIU, Desk, steps
from order_messages import FEED, PID, message, obr, orc, order, segment, value

# --- several steps


def test_several_orders_in_one_message(desk: Desk) -> None:
    desk.take(message(PID, orc(), obr(more=RAD_4), orc("NW", "P2^HIS", "F2^RIS"), obr("MRH", {18: "ACC2", 24: "MR"})))
    assert steps(desk.entries, "AccessionNumber", "Modality") == [("ACC1", "CT"), ("ACC2", "MR")]


def test_one_that_is_wrong_leaves_all_undone(desk: Desk) -> None:
    with pytest.raises(MessageError) as wrong:
        desk.take(message(PID, orc(), obr(more=RAD_4), orc("NW", "P2^HIS", "F2^RIS"), obr("MRH", {27: "^^^tomorrow"})))
    assert wrong.value.location == Location("OBR", 2, 27, 0, 4)
    assert desk.entries == []
    with desk.database.reading() as connection:
        assert connection.execute(select(order_number)).all() == []


def test_protocols_of_one_step(desk: Desk) -> None:
    """RAD-4: an order group for each protocol code of a step, the study's UID once at the end."""
    desk.take(
        message(
            PID,
            *(orc(), obr("CTA^CT abdomen^L^P1^Native^99P", RAD_4)),
            *(orc(), obr("CTA^CT abdomen^L^P2^Contrast^99P", RAD_4)),
            *(orc(), obr("CTA^CT abdomen^L^P3^Late^99P", {**RAD_4, 20: "SPS2"})),
            segment("ZDS", {1: "1.2.3"}),
        )
    )
    found = steps(desk.entries, "ScheduledProcedureStepID", "ScheduledProtocolCodeSequence", "StudyInstanceUID")
    assert found == [
        ("SPS1", "P1^Native^99P~P2^Contrast^99P", "1.2.3"),
        ("SPS2", "P3^Late^99P", "1.2.3"),
    ]


def test_steps_that_come_one_by_one(desk: Desk) -> None:
    desk.take(order(more=RAD_4), order(more={**RAD_4, 20: "SPS2", 24: "MR"}))
    desk.take(order("CA", more={20: "SPS2"}))
    assert [(entry.step_id, entry.state) for entry in desk.entries] == [
        ("SPS1", State.SCHEDULED),
        ("SPS2", State.CANCELLED),
    ]
    desk.take(message(PID, orc("CA")))
    assert {entry.state for entry in desk.entries} == {State.CANCELLED}, "without a step, the order"
    desk.take(order("XO", more={27: "^^^20240201"}))
    assert {value(entry.model, "ScheduledProcedureStepStartDate") for entry in desk.entries} == {"20240201"}


@pytest.mark.req("X-RIS-10", "P-MWL-08")
def test_an_exam_of_several_procedures(desk: Desk, exams: Feed) -> None:
    made = order(exam="PETCT^PET CT^L", more={**RAD_4, 24: ""})
    desk.take(made, feed=exams)
    paths = ("Modality", "ScheduledStationAETitle", "ScheduledProtocolCodeSequence", "RequestedProcedureDescription")
    assert steps(desk.entries, *paths) == [
        ("PT", "PET1", "PETP^PETP^99P", "PET whole body"),
        ("CT", "PET1", "CTLOW^CTLOW^99P", "CT whole body"),
        ("CT", "CT2", "CTDIAG^CTDIAG^99P", "CT whole body"),
    ]
    pet, low, diagnostic = desk.entries
    assert (pet.step_id, value(pet.model, "RequestedProcedureID")) == ("SPS1", "RP1")
    assert low.study_uid == diagnostic.study_uid != pet.study_uid
    assert len({entry.step_id for entry in desk.entries}) == 3
    assert {value(entry.model, "AccessionNumber") for entry in desk.entries} == {"ACC1"}
    desk.take(made, order("XO", "PETCT", {20: "SPS1", 31: "Staging"}), feed=exams)
    again = desk.entries
    assert [entry.step_id for entry in again] == [pet.step_id, low.step_id, diagnostic.step_id]
    assert {value(entry.model, "ReasonForTheRequestedProcedure") for entry in again} == {"Staging"}
    desk.take(message(PID, orc("CA")), feed=exams)
    assert {entry.state for entry in desk.entries} == {State.CANCELLED}


def test_an_exam_is_known_by_its_procedure_too(desk: Desk, exams: Feed) -> None:
    desk.take(order(exam="HIS77^CT, head", more={44: "CTH^CT head^L"}), feed=exams)
    assert steps(desk.entries, "Modality", "ScheduledProcedureStepLocation") == [("CT", "Room 1")]


@pytest.mark.req("X-RIS-10", "X-RIS-11", "X-RIS-18")
def test_the_mapping_of_the_ris(desk: Desk, exams: Feed) -> None:
    ris = Feed(name="his", mapping="x-ris", exams=exams.exams)
    desk.take(order(exam="PETCT^PET CT^L", more={20: "N"}), feed=ris)
    numbers = steps(desk.entries, "AccessionNumber", "RequestedProcedureID", "StudyInstanceUID")
    assert [accession for accession, _, _ in numbers] == [procedure for _, procedure, _ in numbers]
    assert numbers[1] == numbers[2] != numbers[0]
    assert steps(desk.entries, "ScheduledProcedureStepStatus", "PregnancyStatus") == [("SCHEDULED", "1")] * 3


# --- imaging orders and appointments


def test_an_imaging_order(desk: Desk) -> None:
    ipc = {1: "ACC7^RIS", 2: "RP7", 3: "1.2.7", 4: "S1", 5: "MR", 6: "P1^Native^99P", 7: "MR^Tesla", 9: "MR3T"}
    made = (
        *(PID, orc("NW"), "TQ1|||||||20240105101500|20240105110000|S", obr("MRH^MR head")),
        *(segment("IPC", ipc), segment("IPC", {**ipc, 4: "S2", 6: "P2^Contrast^99P", 8: "R5^Room 5^L"})),
    )
    desk.take(message(*made, kind="OMI^O23^OMI_O23"))
    paths = ("AccessionNumber", "RequestedProcedureID", "StudyInstanceUID", "ScheduledProcedureStepID", "Modality")
    assert steps(desk.entries, *paths) == [("ACC7", "RP7", "1.2.7", "S1", "MR"), ("ACC7", "RP7", "1.2.7", "S2", "MR")]
    paths = ("ScheduledProtocolCodeSequence", "ScheduledStationAETitle", "ScheduledProcedureStepLocation")
    assert steps(desk.entries, *paths) == [("P1^Native^99P", "MR3T", ""), ("P2^Contrast^99P", "MR3T", "Room 5")]
    paths = ("ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "RequestedProcedurePriority")
    assert steps(desk.entries, *paths)[1] == ("20240105", "101500", "STAT")
    desk.take(message(PID, orc("DC"), obr("MRH"), segment("IPC", {4: "S2"}), kind="OMI^O23"))
    assert [entry.state for entry in desk.entries] == [State.SCHEDULED, State.DISCONTINUED]


def test_prior_results_are_not_orders(desk: Desk) -> None:
    desk.take(
        message(
            *(PID, orc(), obr(more=RAD_4), "OBX|1|NM|29463-7^Body weight^LN||80|kg"),
            *(PID, orc("NW", "OLD1"), obr("CXR"), "OBX|1|TX|X||was well"),
            *(orc("NW", "P2^HIS", "F2^RIS"), obr("MRH", {24: "MR"})),
            kind="OMG^O19^OMG_O19",
        )
    )
    assert steps(desk.entries, "Modality", "PatientWeight") == [("CT", "80.0"), ("MR", "")]


SCH = segment("SCH", {1: "A1^CLINIC", 2: "B1^RIS", 7: "^Follow-up", 11: "^^^20240110090000"})


def appointment(event: str, *more: str, sch: str = SCH) -> Message:
    return message(sch, PID, *more, kind=f"SIU^{event}")


@pytest.mark.parametrize("event", SIU)
def test_every_event_of_an_appointment(desk: Desk, event: str) -> None:
    resources = ("RGS|1", segment("AIS", {3: "CTH^CT head", 4: "20240110090000"}))
    desk.take(appointment(event, *resources))
    expected = EXPECTED[actions()[event]]
    assert [entry.state for entry in desk.entries] == ([expected[1]] if expected[1] else [])
    desk.take(appointment("S12", *resources))
    desk.set(FIRST_STATE)
    desk.take(appointment(event, *resources))
    assert [entry.state for entry in desk.entries] == ([expected[0]] if expected[0] else [])
    desk.take(appointment(event, *resources))
    assert [entry.state for entry in desk.entries] == ([expected[0]] if expected[0] else [])
    assert f"SIU^{event}" in EVENTS


def test_an_appointment_with_its_resources(desk: Desk) -> None:
    desk.take(
        appointment(
            "S12",
            "RGS|1",
            segment("AIS", {3: "CTH^CT head", 4: "20240110090000"}),
            "NTE|1||Fasting",
            segment("AIS", {3: "CTA^CT abdomen", 4: "20240110093000"}),
            segment("AIG", {3: "CT1^CT on floor 1"}),
            segment("AIL", {3: "Radiology^Room 1"}),
            segment("AIP", {3: "7^Ray^Tina"}),
        )
    )
    paths = ("RequestedProcedureDescription", "ScheduledProcedureStepStartTime", "CommentsOnTheScheduledProcedureStep")
    assert steps(desk.entries, *paths) == [("CT head", "090000", "Fasting"), ("CT abdomen", "093000", "")]
    paths = (
        *("ScheduledStationAETitle", "ScheduledStationName", "ScheduledProcedureStepLocation"),
        *("ScheduledPerformingPhysicianName", "ReasonForTheRequestedProcedure"),
    )
    told = ("CT1", "CT on floor 1", "Radiology/Room", "Ray^Tina", "Follow-up")
    assert steps(desk.entries, *paths) == [(*told[:2], "Radiology/Room 1"[:16], *told[3:])] * 2


def test_an_appointment_for_an_order(desk: Desk) -> None:
    """It moves the steps of the order that it names, whatever its services are called, and makes none."""
    desk.take(order(more=RAD_4))
    sch = segment("SCH", {2: "B1^RIS", 11: "^^^20240115140000", 26: "P1^HIS", 27: "F1^RIS"})
    desk.take(appointment("S12", "RGS|1", segment("AIS", {3: "CT1H", 4: "20240115140000"}), sch=sch))
    assert steps(desk.entries, "ScheduledProcedureStepID", "ScheduledProcedureStepStartDate") == [("SPS1", "20240115")]
    desk.take(appointment("S13", sch=segment("SCH", {2: "B1^RIS", 11: "^^^20240116140000"})))
    assert value(desk.only.model, "ScheduledProcedureStepStartDate") == "20240116"
    desk.take(appointment("S15", sch=segment("SCH", {2: "B1^RIS"})))
    assert desk.only.state is State.CANCELLED
    desk.take(appointment("S12", sch=sch))
    assert desk.only.state is State.SCHEDULED
    desk.take(order("SC", more=RAD_4), appointment("S14", sch=segment("SCH", {2: "B1^RIS", 25: "Complete"})))
    assert desk.only.state is State.COMPLETED


def test_a_deleted_appointment_that_was_begun(desk: Desk) -> None:
    desk.take(appointment("S12"))
    desk.set(State.COMPLETED)
    (warning,) = desk.take(appointment("S17"))
    assert (desk.only.state, warning.condition) == (State.COMPLETED, Condition.RECORD_LOCKED)


@pytest.mark.parametrize(("kind", "place"), [("ORM^O01", "ORC"), ("SIU^S12", "SCH")])
def test_a_message_without_orders(desk: Desk, kind: str, place: str) -> None:
    with pytest.raises(MessageError) as wrong:
        desk.take(message(PID, kind=kind))
    assert (wrong.value.condition, wrong.value.location) == (Condition.SEGMENT_SEQUENCE, Location(place))


def test_on_both_databases(any_url: str) -> None:
    """The statements that are written for each of them: numbers that come again, and steps that are held."""
    index = database.open(any_url)
    worklist = Worklist(index)
    orders = Orders(worklist)
    for each in (order(more=RAD_4), order("HD"), order("XO", more={24: "MR"}), order("RL"), appointment("S12")):
        with index.writing() as connection:
            orders.apply(connection, each, FEED)
    with index.reading() as connection:
        found = worklist.of_patient(connection, "HOSP\\4711")
    index.close()
    assert [(entry.state, value(entry.model, "Modality")) for entry in found] == [
        (State.SCHEDULED, "MR"),
        (State.SCHEDULED, ""),
    ]


def test_the_handlers_of_an_installation(desk: Desk) -> None:
    made = handlers(desk.worklist)
    assert set(made) == set(EVENTS)
    assert not any(handler.outside for handler in made.values())
    made["SIU^S12"].before(appointment("S12"), FEED)
    assert desk.entries == []


def test_a_mapping_that_went_away(desk: Desk, tmp_path: Path) -> None:
    """The start checks it; what happens to the file after that is the server's trouble, not the sender's."""
    with pytest.raises(MessageError) as wrong:
        desk.take(order(), feed=Feed(mapping=str(tmp_path / "gone.tsv")))
    assert wrong.value.condition is Condition.INTERNAL
    assert str(tmp_path) not in wrong.value.comment
