"""Messages about steps as strangers may send them: understood, or refused in the protocol's own terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.declarations.procedure_step import ATTRIBUTES, MEANINGS, NOT_SETTABLE, STATES, Cause, accepted, status_of
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import Element
from isocenter.workflow.steps import attributes as of
from isocenter.workflow.steps import checking
from isocenter.workflow.steps.checking import StepRefused, read
from procedure_steps import begun, ended, message, of_order, tag, text_at

SYNTAX = uids.EXPLICIT_LE
WHOLE = dataset.encode({**begun(PatientName="Doe^Jane", **of_order("A1", "S1")), **ended()}, SYNTAX)


@given(st.data())
def test_whatever_comes_is_read_or_refused(data: st.DataObject) -> None:
    """Bytes changed, taken out and put in at random."""
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                raw[at] = data.draw(st.integers(0, 255))
            case 1:
                del raw[at : at + data.draw(st.integers(1, 40))]
            case _:
                raw[at:at] = data.draw(st.binary(max_size=40))
    received = _read(bytes(raw))
    if isinstance(received, Cause):
        assert received in (Cause.INVALID_VALUE, Cause.MISSING)
        return
    model = received.model
    faults = [*checking.lacking(model, "create"), *checking.lacking(model, "final"), *checking.out_of_range(received)]
    assert all(fault.name for fault in faults)
    assert isinstance(checking.dumped(faults), str)
    assert len(of.scheduled(model)) == len(of.items(model, of.ITEMS))
    assert isinstance(of.status(model) + of.identity_of(model), str)
    assert of.performed(model) is not None
    dataset.encode(of.data_set(model, received.character_set), SYNTAX)


def _read(raw: bytes) -> checking.Received | Cause:
    try:
        return read(raw, SYNTAX)
    except StepRefused as refusal:
        return refusal.cause


@pytest.mark.parametrize(
    ("keyword", "element"),
    [
        ("PatientID", dataset.sequence(message({"PatientID": "1"}))),
        ("ScheduledStepAttributesSequence", Element("LO", b"no sequence ")),
        ("PerformedSeriesSequence", dataset.sequence({tag("ReferencedImageSequence"): Element("SH", b"no")})),
    ],
)
def test_a_value_in_place_of_a_sequence_is_invalid(keyword: str, element: Element) -> None:
    with pytest.raises(StepRefused) as refused:
        read(dataset.encode({**begun(), tag(keyword): element}, SYNTAX), SYNTAX)
    assert refused.value.cause is Cause.INVALID_VALUE
    assert refused.value.tags


def test_a_whole_step_lacks_nothing() -> None:
    first, last = (read(dataset.encode(each, SYNTAX), SYNTAX).model for each in (begun(), ended()))
    assert checking.lacking(first, "create") == []
    assert checking.lacking(last, "set") == []
    assert checking.lacking({**first, **last}, "final") == []
    assert checking.not_settable(last) == []


@pytest.mark.parametrize("rule", [rule for rule in ATTRIBUTES if rule.create in ("1", "2") and len(rule.path) == 1])
def test_each_required_attribute_is_missed(rule: object) -> None:
    """Table F.7.2-1, at creation."""
    path, wanted = rule.path, rule.create  # type: ignore[attr-defined]
    without = {each: element for each, element in begun().items() if each != path[0]}
    model = read(dataset.encode(without, SYNTAX), SYNTAX).model
    assert (Cause.MISSING, path) in checking.lacking(model, "create")
    empty = read(dataset.encode({**begun(), path[0]: Element(_vr(path[0]), _nothing(path[0]))}, SYNTAX), SYNTAX).model
    assert ((Cause.MISSING_VALUE, path) in checking.lacking(empty, "create")) is (wanted == "1")


def _vr(number: int) -> str:
    from isocenter.dicom.dictionary import vr_of

    return vr_of(number)


def _nothing(number: int) -> "bytes | tuple[()]":
    return () if _vr(number) == "SQ" else b""


@pytest.mark.parametrize(
    ("written", "status"),
    [("IN PROGRESS", "IN PROGRESS"), ("in  progress", "IN PROGRESS"), ("IN_PROGRESS", "IN PROGRESS"),
     ("completed ", "COMPLETED"), ("DISCONTINUED", "DISCONTINUED"), ("", ""), ("DONE", "DONE")],
)  # fmt: skip
def test_the_status_as_modalities_write_it(written: str, status: str) -> None:
    model = {"00400252": {"vr": "CS", "Value": [written]} if written else {"vr": "CS"}}
    assert of.status(model) == status


@pytest.mark.parametrize(
    ("sent", "asked", "answered"),
    [("ISO_IR 100", (), "ISO_IR 100"), ("ISO_IR 100", ("PatientID",), None), ("", (), "ISO_IR 192"),
     ("ISO_IR 144", (), "ISO_IR 192"), ("ISO_IR 192", ("PatientName",), "ISO_IR 192")],
)  # fmt: skip
def test_an_answer_is_in_a_character_set_that_holds_it(sent: str, asked: tuple[str, ...], answered: str | None) -> None:
    model = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
        "00100020": {"vr": "LO", "Value": ["1"]},
    }
    made = of.data_set(model, sent, [tag(each) for each in asked])
    assert text_at(made, "SpecificCharacterSet") == answered
    if not asked:
        name = made[0x00100010].value
        assert isinstance(name, bytes)
        assert name.decode({"ISO_IR 100": "latin-1"}.get(answered or "", "utf-8")) == "Müller^Jörg"


def test_the_table_and_the_statuses_hang_together() -> None:
    assert {status_of(cause, preset) for cause in Cause for preset in ("default", "pacs", "bridge", "ris")} <= set(
        MEANINGS
    )
    assert [accepted(code) for code in (0, 0x0107, 0x0116, 0xB000, 0x0110, 0xA700)] == [True] * 4 + [False] * 2
    assert tag("PerformedProcedureStepStatus") not in NOT_SETTABLE
    assert tag("PatientID") in NOT_SETTABLE
    assert STATES[0] == "IN PROGRESS"
