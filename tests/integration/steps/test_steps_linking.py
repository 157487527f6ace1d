"""Steps and the worklist: which entries a step is, what becomes of both, what a person decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import archives
from archives import ROOT, Running, made, study_uid
from databases import migrated
from hospital import Hospital
from isocenter.config import HostedAE
from isocenter.config.steps import ProcedureSteps
from isocenter.database import changes
from isocenter.dicom import dataset, uids
from isocenter.errors import Refused
from isocenter.workflow.patients.registered import Register
from isocenter.workflow.steps.arrivals import arrived
from isocenter.workflow.steps.exceptions import StepExceptions
from isocenter.workflow.steps.steps import Step, Steps
from isocenter.workflow.worklist.attributes import text, written
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State
from procedure_steps import Delivering, Ris, ae_of, begun, ended, message, of_order, report, rows, taking, text_at
from steps_worklist import scheduled


def _step(archive: Running, uid: str) -> Step:
    steps = Steps(archive.database)
    with archive.database.reading() as connection:
        found = steps.of_uid(connection, uid)
    assert found is not None
    return found


def _states(archive: Running, *entries: Entry) -> list[str]:
    with archive.database.reading() as connection:
        found = Worklist(archive.database).of_ids(connection, [entry.id for entry in entries])
    return [entry.state.value for entry in found]


def _entries(archive: Running, uid: str) -> list[int]:
    with archive.database.reading() as connection:
        return Steps(archive.database).entries_of(connection, _step(archive, uid).id)


def _kinds(archive: Running, uid: str) -> list[tuple[str, str]]:
    with archive.database.reading() as connection:
        return [(each.kind, each.study_uid) for each in changes.read(connection) if each.sop_uid == uid]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One archive with the default settings; each test has orders, studies and steps of its own."""
    folder = tmp_path_factory.mktemp("linking")
    with archives.running(folder, migrated(folder)) as running:
        yield running


@pytest.mark.req("X-RIS-31", "X-RIS-33", "X-RIS-40")
@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
def test_the_simple_case(archive: Running, end: str) -> None:
    """One step for one scheduled step: started, then over; each told in the change feed."""
    uid = uids.new_uid()
    entry = scheduled(archive, f"A{end}", "S1")
    other = scheduled(archive, f"B{end}", "S1")
    assert report(archive, uid, begun(**of_order(f"A{end}", "S1"))) == [0]
    assert _step(archive, uid).matching == "matched"
    assert _entries(archive, uid) == [entry.id]
    assert _states(archive, entry, other) == ["STARTED", "SCHEDULED"]
    assert report(archive, uid, begun(), ended(end)) == [0x0111, 0]
    assert _states(archive, entry, other) == [end, "SCHEDULED"]
    assert _kinds(archive, uid) == [("step-created", study_uid()), (f"step-{end.lower()}", study_uid())]


@pytest.mark.req("X-RIS-31")
@pytest.mark.parametrize(
    ("named", "matching"),
    [
        ({"accession": "M1"}, "matched"),
        ({"accession": "M1", "step_id": "S2"}, "matched"),
        ({"accession": "M1", "procedure": "RM1"}, "matched"),
        ({"step_id": "S2", "procedure": "RM1", "study": f"{ROOT}.999"}, "matched"),
        ({"study": study_uid(61)}, "matched"),
        ({"accession": "M2"}, "unmatched"),
        ({"step_id": "S9", "study": f"{ROOT}.999"}, "unmatched"),
        ({"study": f"{ROOT}.999"}, "unscheduled"),
    ],
)
def test_by_what_a_step_finds_its_entry(archive: Running, named: dict[str, str], matching: str) -> None:
    uid = uids.new_uid()
    entry = scheduled(archive, "M1", "S2", procedure="RM1", study=61)
    assert report(archive, uid, begun(**of_order(**{"study": f"{ROOT}.998", **named}))) == [0]
    assert _step(archive, uid).matching == matching
    assert _entries(archive, uid) == ([entry.id] if matching == "matched" else [])


@pytest.mark.req("X-RIS-31", "X-RIS-32")
@pytest.mark.parametrize(
    ("patient", "issuer", "matching"),
    [("P1", "", "matched"), ("P1", "ISS", "matched"), ("P2", "", "unmatched"), ("P1 ", "", "matched")],
)
def test_the_patient_has_to_be_the_orders(archive: Running, patient: str, issuer: str, matching: str) -> None:
    uid, accession = uids.new_uid(), f"PAT{patient}{issuer}"
    scheduled(archive, accession, "S1", issuer=issuer)
    assert report(archive, uid, begun(PatientID=patient, **of_order(accession, "S1"))) == [0]
    step = _step(archive, uid)
    assert step.matching == matching
    assert step.comment == ("the worklist item is another patient's" if matching == "unmatched" else "")


@pytest.mark.req("X-RIS-40", "X-MOD-52")
def test_the_group_case(archive: Running) -> None:
    """One performed step for two scheduled ones: both are it, both studies are told of."""
    uid = uids.new_uid()
    one, other = scheduled(archive, "G1", "S1", study=62), scheduled(archive, "G2", "S1", study=63)
    first, second = (
        dataset.items_of(begun(**of_order(accession, "S1", study=study_uid(n))), 0x00400270)[0]
        for accession, n in (("G1", 62), ("G2", 63))
    )
    grouped = {**begun(), 0x00400270: dataset.sequence(first, second)}
    assert report(archive, uid, grouped, ended()) == [0, 0]
    assert _entries(archive, uid) == [one.id, other.id]
    assert _states(archive, one, other) == ["COMPLETED", "COMPLETED"]
    assert _kinds(archive, uid) == [
        ("step-created", study_uid(62)), ("step-created", study_uid(63)),
        ("step-completed", study_uid(62)), ("step-completed", study_uid(63)),
    ]  # fmt: skip
    assert _step(archive, uid).study_uids == (study_uid(62), study_uid(63))


@pytest.mark.req("X-RIS-40")
def test_the_append_case(archive: Running) -> None:
    """A second performed step for a scheduled one that is over: it stays completed, whatever becomes of the second."""
    first, second = uids.new_uid(), uids.new_uid()
    entry = scheduled(archive, "AP1", "S1", study=64)
    named = of_order("AP1", "S1", study=study_uid(64))
    assert report(archive, first, begun(**named), ended()) == [0, 0]
    assert report(archive, second, begun(**named), ended("DISCONTINUED")) == [0, 0]
    assert _states(archive, entry) == ["COMPLETED"]
    with archive.database.reading() as connection:
        steps = Steps(archive.database)
        assert [step.sop_uid for step in steps.of_entry(connection, entry.id)] == [first, second]
        assert [step.sop_uid for step in steps.of_study(connection, study_uid(64))] == [first, second]


@pytest.mark.req("X-RIS-40")
def test_a_step_that_was_discontinued_is_taken_up_again(archive: Running) -> None:
    entry = scheduled(archive, "RE1", "S1", study=65)
    named = of_order("RE1", "S1", study=study_uid(65))
    assert report(archive, uids.new_uid(), begun(**named), ended("DISCONTINUED")) == [0, 0]
    assert _states(archive, entry) == ["DISCONTINUED"]
    assert report(archive, uids.new_uid(), begun(**named)) == [0]
    assert _states(archive, entry) == ["STARTED"]


@pytest.mark.req("X-RIS-40", "X-MOD-52")
def test_the_unscheduled_case(archive: Running) -> None:
    """Nothing was scheduled, so nothing is amiss."""
    uid = uids.new_uid()
    assert report(archive, uid, begun(**of_order(study=f"{ROOT}.997")), ended()) == [0, 0]
    step = _step(archive, uid)
    assert (step.matching, step.state, step.comment) == ("unscheduled", "COMPLETED", "")


# --- exceptions


@pytest.mark.req("X-RIS-32", "X-RIS-37")
def test_an_exception_is_seen_and_settled(archive: Running) -> None:
    """It lists what may be meant; resolved, it takes the order's values, Patient ID and Accession Number too."""
    uid = uids.new_uid()
    entry = scheduled(archive, "EX1", "S1", patient="P71", issuer="ISS", study=66)
    assert report(archive, uid, begun(PatientID="P71", **of_order("TYPO", "S1", study=f"{ROOT}.996")), ended()) == [
        0,
        0,
    ]
    steps = Steps(archive.database)
    waiting = StepExceptions(steps)
    (step,) = [each for each in waiting.listed() if each.sop_uid == uid]
    with archive.database.writing() as connection:
        assert [each.id for each in waiting.candidates(connection, step)] == [entry.id]
        waiting.resolve(connection, step.id, [entry.id], actor="tester")
    after = _step(archive, uid)
    assert (after.matching, after.identity, after.comment) == ("resolved", "ISS\\P71", "by tester")
    assert text(after.model["00400270"]["Value"][0], "00080050") == "EX1"
    assert text(after.model, "00100010") == "Doe^Jane^Registered"
    assert _states(archive, entry) == ["COMPLETED"]
    assert [kind for kind, _ in _kinds(archive, uid)] == ["step-created", "step-completed", "step-completed"]
    assert uid not in [each.sop_uid for each in waiting.listed()]
    with archive.database.writing() as connection, pytest.raises(Refused, match="no exception"):
        waiting.resolve(connection, step.id, [entry.id], actor="tester")


@pytest.mark.req("X-RIS-32")
def test_what_can_not_settle_an_exception(archive: Running) -> None:
    uid = uids.new_uid()
    one, other = scheduled(archive, "EX2", "S1", patient="P72"), scheduled(archive, "EX3", "S1", patient="P73")
    assert report(archive, uid, begun(**of_order("NONE", "S1"))) == [0]
    waiting, number = StepExceptions(Steps(archive.database)), _step(archive, uid).id
    for entries in ([], [10**9], [one.id, other.id]):
        with archive.database.writing() as connection, pytest.raises(Refused):
            waiting.resolve(connection, number, entries, actor="tester")
    assert _step(archive, uid).matching == "unmatched"
    with archive.database.writing() as connection:
        waiting.accept(connection, number, actor="tester")
    assert _step(archive, uid).matching == "accepted"


def test_a_step_without_its_order_may_be_accepted_as_it_is(tmp_path: Path, sqlite_url: str) -> None:
    ae = HostedAE(mpps=ProcedureSteps(unmatched="accept"))
    with archives.running(tmp_path, sqlite_url, ae=ae) as archive:
        assert report(archive, f"{ROOT}.1", begun(**of_order("NONE"))) == [0]
        assert _step(archive, f"{ROOT}.1").matching == "accepted"


# --- patients


@pytest.mark.req("X-RIS-37")
def test_updates_and_merges_of_patients(archive: Running) -> None:
    """A step follows its patient, and back again; what is no attribute of a step is passed over."""
    uid = uids.new_uid()
    assert report(archive, uid, begun(PatientID="P81")) == [0]
    steps = Steps(archive.database)
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Roe^Mary"}]}}
    location = {"00380300": {"vr": "LO", "Value": ["Ward"]}, "00081030": {"vr": "LO", "Value": ["no"]}}
    with archive.database.writing() as connection:
        assert steps.update_patient(connection, "\\P81", {**name, **location, "00100040": None}) == 1
        assert steps.update_patient(connection, "\\P82", name) == 0
        assert steps.update_patient(connection, "", name) == 0
    step = _step(archive, uid)
    assert text(step.model, "00100010") == "Roe^Mary"
    assert "00100040" not in step.model
    assert "00081030" not in step.model
    with archive.database.writing() as connection:
        assert steps.merge_patients(connection, "\\P81", "ISS\\P83", {"00100010": written("00100010", "A^B")}) == [
            step.id
        ]
    moved = _step(archive, uid)
    assert (moved.identity, text(moved.model, "00100020"), text(moved.model, "00100021")) == ("ISS\\P83", "P83", "ISS")
    with archive.database.writing() as connection:
        steps.give(connection, [step.id], "\\P81", name)
        assert [each.id for each in steps.of_patient(connection, "\\P81")] == [step.id]


def test_a_number_that_was_merged_away_is_followed(archive: Running) -> None:
    """The step is the patient's who has taken its place, and so is the order that it is for."""
    uid = uids.new_uid()
    entry = scheduled(archive, "MG1", "S1", patient="P86", issuer="ISS")
    with archive.database.writing() as connection:
        Register(lambda: 1).merge(connection, "\\P85", "ISS\\P86", "test")
    assert report(archive, uid, begun(PatientID="P85", **of_order("MG1", "S1"))) == [0]
    step = _step(archive, uid)
    assert (step.matching, step.identity, text(step.model, "00100020")) == ("matched", "ISS\\P86", "P86")
    assert _states(archive, entry) == ["STARTED"]


def test_a_step_takes_the_issuer_of_its_order(archive: Running) -> None:
    """A modality that names none is followed by later merges of the patient too."""
    uid = uids.new_uid()
    scheduled(archive, "IS1", "S1", patient="P87", issuer="ISS")
    assert report(archive, uid, begun(PatientID="P87", **of_order("IS1", "S1"))) == [0]
    assert _step(archive, uid).identity == "ISS\\P87"


# --- what arrives


def test_what_a_step_made_is_linked_to_what_is_stored(archive: Running) -> None:
    """Series and instances by the step's Performed Series Sequence."""
    uid, stored = uids.new_uid(), [made(n, study=67) for n in (1, 2)]
    references = [
        message({"ReferencedSOPClassUID": each.sop_class, "ReferencedSOPInstanceUID": each.sop_uid}) for each in stored
    ]
    series = message({"SeriesInstanceUID": stored[0].series, "ProtocolName": "Thorax"})
    series[0x00081140] = dataset.sequence(*references)
    last = {**ended(), 0x00400340: dataset.sequence(series)}
    assert report(archive, uid, begun(**of_order(study=study_uid(67))), last) == [0, 0]
    with archive.database.reading() as connection:
        (step,) = Steps(archive.database).of_series(connection, stored[0].series)
        assert step.performed == [(stored[0].series, tuple(each.sop_uid for each in stored))]
        assert arrived(connection, [step]) == (2, tuple(each.sop_uid for each in stored))
    archive.send(stored[0])
    with archive.database.reading() as connection:
        assert arrived(connection, [step]).missing == (stored[1].sop_uid,)
    archive.send(stored[1])
    with archive.database.reading() as connection:
        assert arrived(connection, [step]).complete


# --- coercion


_COERCED = {
    "ScheduledStepAttributesSequence>PlacerOrderNumberImagingServiceRequest": "PLC1",
    "ScheduledStepAttributesSequence>FillerOrderNumberImagingServiceRequest": "FIC1",
    "ScheduledStepAttributesSequence>PlacerOrderNumberImagingServiceRequestRetired": "PLC1",
    "ScheduledStepAttributesSequence>FillerOrderNumberImagingServiceRequestRetired": "FIC1",
    "ScheduledStepAttributesSequence>RequestedProcedureID": "RC1",
    "ScheduledStepAttributesSequence>RequestedProcedureDescription": "CT of the thorax",
    "ScheduledStepAttributesSequence>ScheduledProcedureStepID": "S1",
    "ScheduledStepAttributesSequence>ScheduledProcedureStepDescription": "Thorax as scheduled",
    "ScheduledStepAttributesSequence>ScheduledProtocolCodeSequence>CodeValue": "T1",
    "PatientName": "Doe^Jane^Registered",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
}


class Coerced:
    """A step that was coerced as it was begun: what N-GET gives, what was passed on."""

    def __init__(self, kept: dataset.DataSet, forwarded: dataset.DataSet) -> None:
        self.kept, self.forwarded = kept, forwarded


@pytest.fixture(scope="module")
def coerced(tmp_path_factory: pytest.TempPathFactory) -> Coerced:
    folder, peer, uid = tmp_path_factory.mktemp("coerced"), Ris(), f"{ROOT}.5"
    ae = ae_of("ris", mpps={"forward": ["RIS"], "checks": "flag"})
    sent = begun(
        PatientName="Doe^J",
        PatientBirthDate="19700101",
        PatientSex="O",
        **of_order("C1", ""),
        ScheduledStepAttributesSequence__PlacerOrderNumberImagingServiceRequestRetired="old",
        ScheduledStepAttributesSequence__FillerOrderNumberImagingServiceRequestRetired="old",
        PerformedLocation="Room 1",
    )
    with taking(peer), archives.running(folder, migrated(folder), ae=ae, peers=[peer.peer]) as archive:
        scheduled(archive, "C1", "S1", procedure="RC1")
        assert report(archive, uid, sent) == [0]
        assert Delivering(archive).all() == ["delivered"]
        kept = _step(archive, uid).model
    from isocenter.workflow.steps.attributes import data_set

    (got,) = peer.received
    return Coerced(data_set(kept, ""), dataset.decode(got.data or b"", got.syntax))


def _coerced_rows() -> list[str]:
    found = [row for row in rows("ps32_attributes") if row["annex"] == "C" and row["object"].startswith("MPPS")]
    return [
        ">".join(filter(None, (row["parent_path"], row["keyword"])))
        for row in found
        if row["note"].startswith("coerced to the database value") and row["tag"] not in ("(0008,0102)", "(0008,0104)")
    ]


@pytest.mark.req("X-RIS-37")
@pytest.mark.parametrize("path", _coerced_rows())
def test_a_stored_step_takes_the_orders_values(coerced: Coerced, path: str) -> None:
    """Table C.8.1-3; what is passed on has them too, and the rest as it came."""
    if path == "ScheduledStepAttributesSequence>ScheduledProtocolCodeSequence":
        path = f"{path}>CodeValue"
    assert text_at(coerced.kept, path) == _COERCED[path]
    assert text_at(coerced.forwarded, path) == _COERCED[path]
    assert text_at(coerced.forwarded, "PerformedLocation") == "Room 1"


@pytest.mark.req("X-RIS-37")
def test_accession_number_and_patient_id_stay_until_a_person_has_looked(coerced: Coerced) -> None:
    assert text_at(coerced.forwarded, "PatientID") == "P1"
    assert text_at(coerced.forwarded, "ScheduledStepAttributesSequence>AccessionNumber") == "C1"


def test_without_coercion_a_step_keeps_what_it_said(archive: Running) -> None:
    uid = uids.new_uid()
    scheduled(archive, "NC1", "S1")
    assert report(archive, uid, begun(**of_order("NC1", "S1"))) == [0]
    assert text(_step(archive, uid).model, "00100010") == "Doe^Jane"


@pytest.mark.parametrize("taken", ["keep", "take"])
def test_an_order_may_take_the_study_of_its_step(tmp_path: Path, sqlite_url: str, taken: str) -> None:
    """Table C.4.2-10: the step's Study Instance UID stands in the place of the order's."""
    ae = ae_of(mpps={"study_uid": taken})
    with archives.running(tmp_path, sqlite_url, ae=ae) as archive:
        entry = scheduled(archive, "ST1", "S1", study=68)
        assert report(archive, f"{ROOT}.8", begun(**of_order("ST1", "S1", study=study_uid(69)))) == [0]
        with archive.database.reading() as connection:
            (after,) = Worklist(archive.database).of_ids(connection, [entry.id])
    assert (after.study_uid, after.state.value) == (study_uid(69 if taken == "take" else 68), "STARTED")


# --- by station, trauma


@pytest.fixture(scope="module")
def ris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("ris")
    stations: list[dict[str, Any]] = [
        {"titles": ["CT1"], "started": "ARRIVED", "completed": "DEPARTED"},
        {"titles": ["XR1", "XR2"], "trauma": True},
    ]
    wanted = {
        "stations": stations, "discontinued": "", "trauma_procedure": "TR^99SITE^Trauma series",
        "trauma_patients": ["T0000", "T9999"],
    }  # fmt: skip
    ae = ae_of(mpps=wanted)
    with archives.running(folder, migrated(folder), ae=ae) as running:
        yield running


@pytest.mark.req("X-RIS-34")
@pytest.mark.parametrize(
    ("station", "end", "states"),
    [
        ("CT1", "COMPLETED", ["ARRIVED", "DEPARTED"]),
        ("CT1", "DISCONTINUED", ["ARRIVED", "ARRIVED"]),
        ("MR1", "COMPLETED", ["STARTED", "COMPLETED"]),
        ("XR2", "DISCONTINUED", ["STARTED", "STARTED"]),
    ],
)
def test_the_state_that_is_set_is_the_stations(ris: Running, station: str, end: str, states: list[str]) -> None:
    uid, accession = uids.new_uid(), f"{station}{end}"[:16]
    entry = scheduled(ris, accession, "S1")
    assert report(ris, uid, begun(PerformedStationAETitle=station, **of_order(accession, "S1"))) == [0]
    seen = _states(ris, entry)
    assert report(ris, uid, begun(), ended(end)) == [0x0111, 0]
    assert [*seen, *_states(ris, entry)] == states


_CODE = {
    "ProcedureCodeSequence": None,
    "ProcedureCodeSequence__CodeValue": "XR7",
    "ProcedureCodeSequence__CodingSchemeDesignator": "99SITE",
    "ProcedureCodeSequence__CodeMeaning": "Pelvis",
}


@pytest.mark.req("X-RIS-41", "X-RIS-42")
@pytest.mark.parametrize(
    ("patient", "known", "codes", "station", "ordered"),
    [
        ("P901", True, _CODE, "XR1", "Pelvis"),
        ("P902", True, {}, "XR1", "Trauma series"),
        ("P903", False, _CODE, "XR1", ""),
        ("T0042", False, {}, "XR2", "Trauma series"),
        ("T00421", False, {}, "XR2", ""),
        ("P904", True, _CODE, "CT1", ""),
    ],
)
def test_a_procedure_is_ordered_for_trauma(
    ris: Running, patient: str, known: bool, codes: dict[str, str | None], station: str, ordered: str
) -> None:
    """For a patient who is known, or in the range that registration never gives; at stations that are set up so."""
    uid, study = uids.new_uid(), uids.new_uid()
    if known:
        scheduled(ris, f"K{patient}", "S1", patient=patient)
    values = begun(PatientID=patient, PerformedStationAETitle=station, **of_order(study=study), **codes)
    assert report(ris, uid, values, ended()) == [0, 0]
    worklist = Worklist(ris.database)
    with ris.database.reading() as connection:
        found = worklist.of_study(connection, study)
    assert [text(entry.model, "00321060") for entry in found] == ([ordered] if ordered else [])
    assert _step(ris, uid).matching == ("ordered" if ordered else "unscheduled")
    for entry in found:
        assert entry.state is State.COMPLETED
        assert text(entry.model, "00080050") == text(entry.model, "00401001") != ""
        assert _entries(ris, uid) == [entry.id]


# --- supplementing


@pytest.mark.req("M-MPPS-02", "M-MPPS-03")
def test_a_known_step_is_supplemented(tmp_path: Path, sqlite_url: str) -> None:
    """What it lacks is taken from another N-CREATE; what it has stays."""
    with archives.running(tmp_path, sqlite_url, ae=ae_of("pacs")) as archive:
        uid = f"{ROOT}.6"
        more = begun(PatientName="Other^Name", StudyID="7", CommentsOnThePerformedProcedureStep="later")
        assert report(archive, uid, begun(StudyID="")) == [0]
        assert report(archive, uid, more) == [0]
        step = _step(archive, uid)
    assert text(step.model, "00100010") == "Doe^Jane"
    assert text(step.model, "00200010") == "7"
    assert text(step.model, "00400280") == "later"


def test_a_step_of_an_order_that_moved_is_its_present_patients(archive: Running) -> None:
    """The modality has asked the worklist before the visit moved (A45), and reports by the former number."""
    house, uid = Hospital(archive), uids.new_uid()
    house.scheduled("MOVED", patient="P1", visit="V45")
    house.adt("A45", "PID|||P45||Roe^Richard", "MRG|P1||||V45", "PV1|||||||||||||||||||V45")
    entry = house.entry("MOVED")
    assert report(archive, uid, begun(**{"ScheduledStepAttributesSequence>AccessionNumber": "MOVED"})) == [0]
    found = _step(archive, uid)
    assert (found.matching, found.identity) == ("matched", "\\P45")
    assert _entries(archive, uid) == [entry.id]


@pytest.mark.parametrize("event", ["A40", "A45"])
def test_a_step_that_came_by_the_former_number_goes_back_with_it(archive: Running, event: str) -> None:
    """Named as the modality named it, whatever the survivor has been called meanwhile."""
    house, uid, patient = Hospital(archive), uids.new_uid(), f"PRIOR{event}"
    house.scheduled(f"O{event}", patient=patient, visit="V46")
    house.adt(event, f"PID|||NEW{event}||Roe^Richard", f"MRG|{patient}||||V46", "PV1|||||||||||||||||||V46")
    order = {"ScheduledStepAttributesSequence>AccessionNumber": f"O{event}"}
    assert report(archive, uid, begun(PatientID=patient, **order)) == [0]
    house.adt("A08", f"PID|||NEW{event}||Roe^Richard^Quentin")
    assert text(_step(archive, uid).model, "00100010") == "Roe^Richard^Quentin"
    house.undo(next(one.id for one in house.events() if one.kind in ("merge", "move")))
    found = _step(archive, uid)
    assert (found.identity, text(found.model, "00100020")) == (f"\\{patient}", patient)
    assert text(found.model, "00100010") == "Doe^Jane"


def test_a_step_goes_back_along_the_whole_chain(archive: Running) -> None:
    house, uid = Hospital(archive), uids.new_uid()
    house.adt("A40", "PID|||CB||Roe^R", "MRG|CA")
    house.adt("A40", "PID|||CC||Poe^P", "MRG|CB")
    assert report(archive, uid, begun(PatientID="CA")) == [0]
    for owner in ("CC", "CB", "CA"):
        assert _step(archive, uid).identity == f"\\{owner}"
        if owner != "CA":
            house.undo()
