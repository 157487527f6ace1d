"""The worklist's entries on both databases: made, changed, given to other patients, ended, and told in the feed."""

from typing import Any

import pytest
from sqlalchemy import Connection

from isocenter import database
from isocenter.config.worklist import WorklistUpkeep
from isocenter.database import changes
from isocenter.errors import Refused
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist import searching
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.purging import purge
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.searching import Query, asked
from isocenter.workflow.worklist.states import State
from worklist_items import attribute, model, put

DAY = 86_400_000_000
TODAY = 1_767_607_200_000_000
"""2026-01-05 10:00 UTC."""


class Clock:
    """Microseconds that a test sets."""

    def __init__(self) -> None:
        self.at = TODAY

    def __call__(self) -> int:
        return self.at


class Scene:
    """A worklist, its clock, and one call a transaction."""

    def __init__(self, opened: database.Database) -> None:
        self.clock = Clock()
        self.database = opened
        self.worklist = Worklist(opened, self.clock)

    def put(self, order: str, entry: dict[str, Any], **how: Any) -> Entry:
        return self.do("put", order, entry, **how)

    def do(self, method: str, *arguments: Any, **named: Any) -> Any:
        with self.database.writing() as connection:
            return getattr(self.worklist, method)(connection, *arguments, **named)

    def told(self) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            return [(each.kind, each.study_uid) for each in changes.read(connection)]

    def found(self, *keys: Any, **query: Any) -> list[Entry]:
        return [entry for page in self.worklist.matching(Query(keys=keys, **query)) for entry in page]


@pytest.fixture
def scene(emptied: database.Database) -> Scene:
    return Scene(emptied)


@pytest.mark.req("I-WLM-05", "X-RIS-12")
def test_an_entry_gets_the_identifiers_that_it_lacks_and_keeps_them(scene: Scene) -> None:
    bare = model(1, ScheduledProcedureStepID="", RequestedProcedureID="", AccessionNumber="")
    first = scene.put("o1", bare)
    step = of.step_of(first.model)
    assert first.study_uid == of.text(first.model, of.STUDY) != ""
    assert first.step_id == of.text(step, of.STEP_ID) != ""
    assert 0 < len(of.text(first.model, of.PROCEDURE)) <= 16
    assert of.text(step, of.STATUS) == "SCHEDULED"
    assert of.text(first.model, of.SOP_INSTANCE) == first.uid
    again = scene.put("o1", {**bare, **of.written(of.ACCESSION, "A9")})
    names = ("id", "uid", "step_id", "study_uid")
    assert [getattr(again, name) for name in names] == [getattr(first, name) for name in names]
    assert of.text(again.model, of.PROCEDURE) == of.text(first.model, of.PROCEDURE)
    assert of.text(again.model, of.ACCESSION) == "A9"


@pytest.mark.req("X-RIS-10", "X-RIS-11")
def test_steps_of_one_procedure_share_its_study_and_others_do_not(scene: Scene) -> None:
    first = scene.put("o1", model(1, ScheduledProcedureStepID="S1"))
    same = scene.put("o1", model(1, ScheduledProcedureStepID="S2"))
    other = scene.put("o1", model(1, ScheduledProcedureStepID="S3", RequestedProcedureID="R2"))
    assert same.study_uid == first.study_uid != other.study_uid
    assert len({first.id, same.id, other.id}) == 3
    assert [entry.step_id for entry in scene.do("of_order", "o1")] == ["S1", "S2", "S3"]
    assert scene.do("of_study", first.study_uid) == [first, same]
    assert scene.do("of_study", "") == []


def test_a_new_entry_is_in_the_state_that_it_tells_and_an_update_leaves_it(scene: Scene) -> None:
    made = scene.put("o1", model(1, ScheduledProcedureStepStatus="ARRIVED"))
    assert made.state is State.ARRIVED
    assert scene.put("o1", model(1, PatientSex="M")).state is State.ARRIVED
    assert scene.put("o1", model(1), state=State.READY).state is State.READY
    assert scene.put("o2", model(2, ScheduledProcedureStepStatus="PENCILLED IN")).state is State.SCHEDULED


def test_what_changes_is_told_and_what_stays_is_not(scene: Scene) -> None:
    made = scene.put("o1", model(1))
    scene.put("o1", model(1))
    assert scene.told() == [("scheduled", made.study_uid)]
    scene.do("set_state", [made.id], State.STARTED)
    scene.do("set_state", [made.id], State.STARTED)
    scene.do("set_state", [made.id], State.CANCELLED)
    scene.do("remove", [made.id])
    assert scene.told() == [(kind, made.study_uid) for kind in ("scheduled", "scheduled", "unscheduled")]
    second = scene.put("o2", model(2))
    scene.do("remove", [second.id])
    assert scene.told()[3:] == [("scheduled", second.study_uid), ("unscheduled", second.study_uid)]
    assert scene.do("of_order", "o2") == []


def test_another_study_takes_the_place_of_the_former(scene: Scene) -> None:
    made = scene.put("o1", model(1))
    moved = scene.put("o1", model(1, StudyInstanceUID="1.2.3"))
    assert moved.id == made.id
    assert moved.study_uid == "1.2.3"
    assert scene.told()[1:] == [("unscheduled", made.study_uid), ("scheduled", "1.2.3")]


@pytest.mark.req("I-ACT-14")
def test_what_is_said_of_a_patient_changes_in_all_entries(scene: Scene) -> None:
    for number in (1, 2):
        scene.put(f"o{number}", model(number, PatientID="P1", PatientSize="1.80"))
    other = scene.put("o3", model(3))
    name = attribute(0x00100010, "New^Name")
    changed = scene.do(
        "update_patient", "\\P1", {"00100010": name, "00101020": None, "00100020": attribute(0x00100020, "X")}
    )
    assert changed == 2
    entries = scene.do("of_patient", "\\P1")
    assert [entry.model["00100010"] for entry in entries] == [name, name]
    assert not any("00101020" in entry.model for entry in entries)
    assert scene.do("of_order", "o3") == [other]
    assert [entry.order_key for entry in scene.found(asked((0x00100010,), "new*"))] == ["o1", "o2"]


def test_a_merge_gives_entries_to_the_other_patient_and_back(scene: Scene) -> None:
    before = scene.put("o1", model(1, PatientID="OLD", IssuerOfPatientID="HIS"))
    scene.put("o2", model(2, PatientID="OLD", IssuerOfPatientID="LAB"))
    ids = scene.do("merge_patients", "HIS\\OLD", "HIS\\NEW", {"00100010": attribute(0x00100010, "Kept^Name")})
    assert ids == [before.id]
    (moved,) = scene.do("of_patient", "HIS\\NEW")
    assert of.text(moved.model, of.PATIENT_ID) == "NEW"
    assert of.text(moved.model, of.PATIENT_NAME) == "Kept^Name"
    assert moved.study_uid == before.study_uid
    scene.do("give", ids, "HIS\\OLD", {"00100010": before.model["00100010"]})
    assert scene.do("of_patient", "HIS\\OLD")[0].model == before.model
    assert scene.do("merge_patients", "HIS\\NEW", "HIS\\X", {}) == []


def test_what_an_object_refers_to(scene: Scene) -> None:
    one = scene.put("o1", model(1, AccessionNumber="A", ScheduledProcedureStepID="S"))
    two = scene.put("o2", model(2, AccessionNumber="A", ScheduledProcedureStepID="S2"))
    assert scene.do("referenced", accession="A") == [one, two]
    assert scene.do("referenced", accession="A", step_id="S2") == [two]
    assert scene.do("referenced", study_uid=one.study_uid) == [one]
    assert scene.do("referenced", requested_procedure_id="R2") == [two]
    assert scene.do("referenced", accession="A", patient_id="P1") == [one]
    assert scene.do("referenced", accession="A", patient_id="p1") == []
    assert scene.do("referenced") == []


def _without_patient() -> dict[str, Any]:
    return {tag: value for tag, value in model(1).items() if tag != of.PATIENT_ID}


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (_without_patient(), "PatientID"),
        ({**model(1), "00400100": {"vr": "SQ"}}, "exactly one"),
        ({**model(1), "00400100": {"vr": "SQ", "Value": [{}, {}]}}, "exactly one"),
        ({**model(1), "00100010": {"vr": "LO", "Value": ["x"]}}, "PatientName"),
        ({**model(1), "nonsense": {"vr": "LO"}}, "no tag"),
        ({**model(1), "00020010": {"vr": "UI"}}, "no tag"),
        ({**model(1), "001021C0": {"vr": "US", "Value": ["many"]}}, "PregnancyStatus"),
        ({**model(1), "00081110": {"vr": "SQ", "Value": ["x"]}}, "ReferencedStudySequence"),
        ({**model(1), "00100020": {"vr": "LO", "Value": ["P\ud800"]}}, "no text can hold"),
    ],
)
def test_what_is_no_entry_is_refused_and_nothing_changes(scene: Scene, entry: dict[str, Any], word: str) -> None:
    with pytest.raises(Refused, match=word):
        scene.put("o1", entry)
    assert scene.do("of_order", "o1") == []
    assert scene.told() == []


def test_a_failure_later_in_the_transaction_leaves_no_entry(scene: Scene) -> None:
    def half_way(connection: Connection) -> None:
        scene.worklist.put(connection, "o1", model(1))
        raise KeyError

    with pytest.raises(KeyError), scene.database.writing() as connection:
        half_way(connection)
    assert scene.do("of_order", "o1") == []


@pytest.mark.req("X-RIS-13")
def test_old_entries_are_taken_out(scene: Scene) -> None:
    keep = WorklistUpkeep(keep_over=5 * 86400.0, keep_due=2880 * 60.0)
    for number, (day, state) in enumerate(
        [("20260101", State.SCHEDULED), ("20260104", State.STARTED), ("20260101", State.COMPLETED)]
    ):
        scene.put(f"o{number}", model(number, ScheduledProcedureStepStartDate=day), state=state)
    scene.put("o3", model(3, ScheduledProcedureStepStartDate=""))
    assert purge(scene.worklist, keep, TODAY) == 1
    assert [len(scene.do("of_order", f"o{number}")) for number in range(4)] == [0, 1, 1, 1]
    assert purge(scene.worklist, keep, TODAY) == 0
    assert purge(scene.worklist, keep, TODAY + 6 * DAY) == 2
    assert [entry.order_key for entry in scene.found()] == ["o3"]
    assert purge(scene.worklist, WorklistUpkeep(keep_over=0.0), TODAY + 1000 * DAY) == 0


def test_a_long_list_is_read_in_pages_by_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PAGE", 10)
    times = [f"{(number * 7) % 24:02d}{(number * 11) % 60:02d}" for number in range(45)]
    put(scene.database, *(model(n, ScheduledProcedureStepStartTime=time) for n, time in enumerate(times)))
    pages = list(scene.worklist.matching(Query()))
    assert [len(page) for page in pages] == [10, 20, 15]
    found = [of.text(of.step_of(entry.model), of.START_TIME) for page in pages for entry in page]
    assert found == sorted(times)
