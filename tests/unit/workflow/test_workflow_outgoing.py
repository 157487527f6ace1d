"""The messages that tell of orders and studies, read by hl7apy, which knows their structures."""

import warnings
from typing import Any

import pytest

from isocenter.hl7.message import Message, parsed
from isocenter.workflow.outgoing import Status, Study, order_status, status_of, study_available
from isocenter.workflow.worklist.attributes import written
from isocenter.workflow.worklist.states import State

STUDY = "1.2.826.0.1.3680043.10.999.1"
MODEL: dict[str, Any] = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou^^Dr^MD", "Ideographic": "山田^太郎"}]},
    **written("00100020", "A&1"),
    **written("00100021", "HOSP"),
    **written("00100030", "19700102"),
    **written("00100040", "M"),
    **written("00102154", "+1 555", "+1 556"),
    **written("00380010", "V77"),
    **written("00380300", "W1/R2/B3"),
    **written("00402016", "PL1"),
    "00400026": {"vr": "SQ", "Value": [written("00400031", "HIS")]},
    **written("00402017", "FI1"),
    **written("00080050", "ACC1"),
    **written("00401001", "RP1"),
    **written("0020000D", STUDY),
    "00321064": {
        "vr": "SQ",
        "Value": [{**written("00080100", "CT1"), **written("00080102", "99L"), **written("00080104", "CT head")}],
    },
    "00400100": {
        "vr": "SQ",
        "Value": [{**written("00080060", "CT"), **written("00400009", "SPS1"), **written("00400001", "CT1", "CT2")}],
    },
}
PATIENT = {
    "PID-3.1": "A&1", "PID-3.4": "HOSP", "PID-5.1": "Yamada", "PID-5.2": "Tarou", "PID-5.5": "Dr",
    "PID-5.4": "MD", "PID-5(2).1": "山田", "PID-5(2).8": "I", "PID-7": "19700102", "PID-8": "M", "PID-13(2)": "+1 556",
    "PV1-2": "U", "PV1-3.9": "W1/R2/B3", "PV1-19": "V77",
}  # fmt: skip
ORDER = {
    "ORC-1": "SC", "ORC-2.1": "PL1", "ORC-2.2": "HIS", "ORC-3.1": "FI1", "ORC-9": "20260301120000",
    "OBR-2.1": "PL1", "OBR-4.1": "CT1", "OBR-4.2": "CT head", "OBR-4.3": "99L", "OBR-18": "ACC1", "OBR-19": "RP1",
    "OBR-20": "SPS1", "OBR-22": "20260301120000", "OBR-24": "CT",
}  # fmt: skip


def through(message: Message) -> Message:
    """As the receiver reads it."""
    return parsed(message.written().encode(), "UNICODE UTF-8")


def holds(message: Message, expected: dict[str, str]) -> None:
    assert {path: message.value(path) for path in expected} == expected


@pytest.mark.parametrize(("form", "kind"), [("ORM", "ORM^O01^ORM_O01"), ("OMG", "OMG^O19^OMG_O19")])
@pytest.mark.parametrize(
    ("state", "order", "result"),
    [
        (State.SCHEDULED, "SC", "S"),
        (State.READY, "SC", "S"),
        (State.STARTED, "IP", "I"),
        (State.COMPLETED, "CM", "R"),
        (State.DISCONTINUED, "DC", "X"),
        (State.CANCELLED, "CA", "X"),
    ],
)
def test_order_status(form: Any, kind: str, state: State, order: str, result: str) -> None:
    made = through(order_status(MODEL, status_of(state), "20260301120000", form=form))
    told = {"ORC-5": order, "OBR-25": result, "ZDS-1.1": STUDY, "ZDS-1.3": "Application", "ZDS-1.4": "DICOM"}
    holds(made, {**PATIENT, **ORDER, **told})
    assert made.segments[0].raw(9) == kind


def test_study_available_as_a_result() -> None:
    made = through(study_available(MODEL, "20260301120000", Study(STUDY, 2, 30)))
    told = {"ORC-5": "A", "OBX-2": "HD", "OBX-3.1": "113014", "OBX-5.2": STUDY, "OBX-5.3": "ISO"}
    counts = {"OBX[2]-5": "2", "OBX[3]-5": "30", "OBX[3]-2": "NM", "OBX[3]-11": "F"}
    holds(made, {**PATIENT, **ORDER, **told, **counts})


def test_study_available_as_an_order() -> None:
    made = through(study_available(MODEL, "20260301120000", Study(STUDY), form="OMI"))
    ipc = {"IPC-1.1": "ACC1", "IPC-2.1": "RP1", "IPC-3.1": STUDY, "IPC-4.1": "SPS1", "IPC-5.1": "CT", "IPC-9": "CT1"}
    holds(made, {**PATIENT, **ORDER, **ipc})


@pytest.mark.parametrize("form", ["ORU", "OMI"])
def test_of_a_study_that_nobody_ordered(form: Any) -> None:
    """Nothing is invented."""
    sparse = {**written("00100020", "A1"), **written("00080061", "MR", "PR"), **written("00081030", "Knee")}
    made = through(study_available(sparse, "20260301", Study(STUDY), form=form))
    holds(
        made, {"PID-3.1": "A1", "PID-5": "", "PID-8": "", "OBR-4.2": "Knee", "OBR-24": "MR", "OBR-18": "", "ORC-3": ""}
    )


@pytest.mark.parametrize("version", ["2.3.1", "2.5.1"])
@pytest.mark.parametrize(
    "made",
    [
        order_status(MODEL, Status.COMPLETED, "20260301120000"),
        study_available(MODEL, "20260301120000", Study(STUDY, 2, 30)),
    ],
    ids=["ORM", "ORU"],
)
def test_the_structure_is_one_that_hl7apy_knows(made: Message, version: str) -> None:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_message

    text = made.written().replace("MSH|^~\\&|||||||", "MSH|^~\\&|A|B|C|D|20260301||", 1)
    header, _, rest = text.partition("\r")
    if version == "2.3.1":
        header = header.rpartition("^")[0]
    whole = f"{header}|M1|P|{version}\r{rest}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = parse_message(whole, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    names = [child.name for child in read.children]
    assert names[:5] == ["MSH", "PID", "PV1", "ORC", "OBR"]
    assert read.obr.obr_20.to_er7() == "SPS1"
    assert read.pid.pid_3.to_er7().startswith("A\\T\\1^^^HOSP")
