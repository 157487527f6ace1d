"""Orders and appointments carried out: what each order control and each event does to the worklist."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select

from databases import migrated
from isocenter import database
from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.orders.controls import Action, actions
from isocenter.workflow.orders.handler import EVENTS, Orders, handlers
from isocenter.workflow.orders.tables import order_number
from isocenter.workflow.patients.registered import Register as Patients
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State
from order_messages import FEED, PID, message, obr, orc, order, segment, value

EXAMS = """exam,procedure,procedure_meaning,procedure_scheme,protocol,protocol_scheme,modality,station_ae,location
CTH,,,,HEAD,99P,CT,CT1,Room 1
PETCT,PET,PET whole body,99X,PETP,99P,PT,PET1,Room 7
PETCT,CTW,CT whole body,99X,CTLOW,99P,CT,PET1,Room 7
PETCT,CTW,CT whole body,99X,CTDIAG,99P,CT,CT2,Room 2
"""


class Desk:
    """A worklist, and orders that come to it."""

    def __init__(self, folder: Path) -> None:
        self.database = database.open(migrated(folder))
        self.worklist = Worklist(self.database)
        self.orders = Orders(self.worklist)

    def take(self, *messages: Message, feed: Feed = FEED) -> list[MessageError]:
        """Carry messages out, each in its transaction; the warnings of the last."""
        warnings: list[MessageError] = []
        for each in messages:
            with self.database.writing() as connection:
                warnings = list(self.orders.apply(connection, each, feed))
        return warnings

    @property
    def entries(self) -> list[Entry]:
        with self.database.reading() as connection:
            return self.worklist.of_patient(connection, "HOSP\\4711")

    @property
    def only(self) -> Entry:
        (entry,) = self.entries
        return entry

    def set(self, state: State) -> None:
        with self.database.writing() as connection:
            self.worklist.set_state(connection, [entry.id for entry in self.entries], state)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def exams(tmp_path: Path) -> Feed:
    """A feed with a table of exams."""
    path = tmp_path / "exams.csv"
    path.write_text(EXAMS)
    return Feed(name="ris", exams=str(path))


def steps(entries: list[Entry], *paths: str) -> list[tuple[str, ...]]:
    return [tuple(value(entry.model, path) for path in paths) for entry in entries]


# --- order controls

RAD_4 = {
    18: "ACC1",
    19: "RP1",
    20: "SPS1",
    24: "CT",
    27: "^^^20240103083000^^S",
}
FIRST_STATE = State.READY
EXPECTED = {
    # what the action makes of a step that is READY, and of one that is not known
    Action.NEW: (State.READY, State.SCHEDULED),
    Action.CHANGE: (State.READY, State.SCHEDULED),
    Action.STATUS: (State.READY, None),
    Action.CANCEL: (State.CANCELLED, None),
    Action.DISCONTINUE: (State.DISCONTINUED, None),
    Action.DELETE: (None, None),
    Action.HOLD: (State.CANCELLED, None),
    Action.RELEASE: (State.READY, None),
    Action.NUMBER: (State.READY, None),
    Action.NONE: (State.READY, None),
}
CONTROLS = [code for code in actions() if len(code) == 2]
SIU = [code for code in actions() if len(code) == 3]


@pytest.mark.req("I-ACT-10", "I-ACT-11", "I-ACT-12", "I-ACT-13", "X-RIS-12", "X-RIS-13")
@pytest.mark.parametrize("control", CONTROLS)
def test_every_order_control(desk: Desk, control: str) -> None:
    known, unknown = EXPECTED[actions()[control]]
    asked = order(control, more=RAD_4)
    desk.take(asked)
    assert [entry.state for entry in desk.entries] == ([unknown] if unknown else [])
    desk.take(order(more=RAD_4))
    desk.set(FIRST_STATE)
    before = desk.only
    desk.take(asked)
    assert desk.only.state is known
    desk.take(asked)
    assert desk.only.state is known, "the same message again changes nothing"
    assert desk.only.uid == before.uid


@pytest.mark.parametrize("control", ["", "nw", "xx"])
def test_order_controls_as_they_are_written(desk: Desk, control: str) -> None:
    desk.take(order(control, more=RAD_4))
    assert desk.only.state is State.SCHEDULED


def test_an_unknown_order_control(desk: Desk) -> None:
    with pytest.raises(MessageError, match="order control") as wrong:
        desk.take(order("ZZ"))
    assert (wrong.value.condition, wrong.value.location) == (Condition.TABLE_VALUE, Location("ORC", 1, 1, 1))


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({5: "SC"}, State.SCHEDULED),
        ({5: "IP"}, State.STARTED),
        ({5: "A"}, State.STARTED),
        ({5: "CM"}, State.COMPLETED),
        ({5: "CA"}, State.CANCELLED),
        ({5: "DC"}, State.DISCONTINUED),
        ({5: "RP"}, State.CANCELLED),
        ({5: "HD"}, State.CANCELLED),
        ({5: "ER"}, State.READY),
        ({5: "arrived"}, State.ARRIVED),
        ({5: "unheard of"}, State.READY),
        ({}, State.READY),
    ],
)
@pytest.mark.parametrize("control", ["SC", "XO"])
def test_every_order_status(desk: Desk, control: str, more: Mapping[int, str], state: State) -> None:
    desk.take(order(more=RAD_4))
    desk.set(State.READY)
    desk.take(message(PID, orc(control, more=more), obr(more=RAD_4)))
    assert desk.only.state is state


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *((code, State.SCHEDULED) for code in "OS"),
        *((code, State.STARTED) for code in "IA"),
        *((code, State.COMPLETED) for code in "PRFC"),
        ("X", State.CANCELLED),
        ("Y", State.READY),
    ],
)
def test_every_result_status(desk: Desk, status: str, state: State) -> None:
    desk.take(order(more=RAD_4))
    desk.set(State.READY)
    desk.take(message(PID, orc("SC"), obr(more={**RAD_4, 25: status})))
    assert desk.only.state is state


@pytest.mark.parametrize("state", [State.STARTED, State.COMPLETED, State.DISCONTINUED])
def test_what_was_performed_stays_performed(desk: Desk, state: State) -> None:
    desk.take(order(more=RAD_4))
    desk.set(state)
    before = desk.only
    warnings = desk.take(
        message(PID, orc("XO", more={5: "SC"}), obr(more={**RAD_4, 18: "ACC2", 24: "MR", 27: "^^^20240105"}))
    )
    assert desk.only.state is state
    assert value(desk.only.model, "AccessionNumber") == "ACC1"
    assert desk.only.study_uid == before.study_uid
    assert value(desk.only.model, "Modality") == "MR", "the rest follows the order"
    assert ["identifiers" in each.comment for each in warnings] == [True]
    if state is not State.STARTED:
        warnings = desk.take(order("CA", more=RAD_4))
        assert (desk.only.state, len(warnings)) == (state, 1)


@pytest.mark.parametrize("control", ["CA", "DC"])
def test_what_was_begun_is_discontinued(desk: Desk, control: str) -> None:
    desk.take(order(more=RAD_4))
    desk.set(State.STARTED)
    desk.take(order("HD"))
    assert desk.only.state is State.STARTED
    desk.take(order(control))
    assert desk.only.state is State.DISCONTINUED
    desk.take(order("NW"))
    assert desk.only.state is State.DISCONTINUED


def test_hold_and_release(desk: Desk) -> None:
    desk.take(order(more=RAD_4))
    desk.set(State.ARRIVED)
    desk.take(order("HD"), order("XO", more={24: "MR"}))
    assert (desk.only.state, value(desk.only.model, "Modality")) == (State.CANCELLED, "MR")
    desk.take(order("RL"))
    assert desk.only.state is State.ARRIVED
    desk.take(order("CA"), order("RL"))
    assert desk.only.state is State.CANCELLED, "what was cancelled is not what was held"
    desk.take(order("NW"))
    assert desk.only.state is State.SCHEDULED


def test_replace(desk: Desk) -> None:
    desk.take(order(more=RAD_4))
    desk.take(
        message(
            PID,
            orc("RP"),
            obr(more=RAD_4),
            orc("RO", "P2^HIS", "F2^RIS", {8: "P1^HIS"}),
            obr("MRH^MR head^L", {**RAD_4, 18: "ACC2", 19: "RP2", 20: "SPS2", 24: "MR"}),
        )
    )
    found = [(entry.state, value(entry.model, "Modality")) for entry in desk.entries]
    assert found == [(State.CANCELLED, "CT"), (State.SCHEDULED, "MR")]


def test_children_take_their_parents_place(desk: Desk) -> None:
    desk.take(order())
    desk.take(
        message(
            PID,
            orc("PA"),
            orc("CH", "P1.1^HIS", "F1.1^RIS", {8: "P1^HIS"}),
            obr(more={24: "CT"}),
            orc("CH", "P1.2^HIS", "F1.2^RIS", {8: "P1^HIS"}),
            obr(more={24: "CT"}),
        )
    )
    assert [entry.state for entry in desk.entries] == [State.CANCELLED, State.SCHEDULED, State.SCHEDULED]
    assert len({entry.study_uid for entry in desk.entries}) == 3


def test_a_number_that_is_assigned_later(desk: Desk) -> None:
    """SN and NA: placer and filler tell each other their numbers; either is enough from then on."""
    desk.take(message(PID, orc("SN", "", "F1^RIS"), obr()))
    warnings = desk.take(message(PID, orc("NA", "P1^HIS", "F1^RIS"), obr()))
    assert warnings == []
    assert value(desk.only.model, "PlacerOrderNumberImagingServiceRequest") == "P1"
    desk.take(message(PID, orc("CA", "P1^HIS", ""), obr()))
    assert desk.only.state is State.CANCELLED


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
