"""Order controls and statuses: what each does to the worklist."""

from collections.abc import Mapping

import pytest

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.workflow.orders.controls import actions
from isocenter.workflow.worklist.states import State
from order_desk import CONTROLS, EXPECTED, FIRST_STATE, RAD_4, Desk
from order_messages import PID, message, obr, orc, order, value

# --- order controls


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
