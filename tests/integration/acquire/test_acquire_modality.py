"""The modality against a departmental system and an archive of pynetdicom, whose answers a test decides."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind
from typer.testing import CliRunner

import archives
from archives import NETWORK, running, unused_port
from databases import migrated
from isocenter import dimse
from isocenter.acquire import phantoms
from isocenter.acquire.mapping import attribute
from isocenter.acquire.modality import Connect, Device, Failed, Modality, Peers, Step, query
from isocenter.acquire.phantoms import KINDS, images
from isocenter.cli.app import app
from isocenter.cli.asking import Asking
from isocenter.config import HostedAE
from isocenter.config.settings import Commitment
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND, STORAGE_COMMITMENT_PUSH, new_uid
from isocenter.dimse import ProposedContext
from isocenter.workflow.worklist.asking import ask, identifier
from procedure_steps import rows

CLASSES = [kind.sop_class for kind in KINDS.values()]
SENT = [
    row
    for row in rows("ps32_attributes")
    if (row["annex"], row["ae"], row["direction"]) == ("B", "Workflow", "sent") and row["object"].startswith("MPPS")
]


@dataclass
class Department:
    """Worklist, procedure steps and storage in one. `statuses` by kind of request, 0000 for others."""

    items: list[Dataset] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    created: list[Dataset] = field(default_factory=list)
    changed: list[Dataset] = field(default_factory=list)
    stored: list[Dataset] = field(default_factory=list)
    queries: list[Dataset] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    """That the client has gone."""
    port: int = 0
    pending: int = 0xFF00
    then: str = ""
    """What it does after the last item: abort, silence, or answer."""

    def clear(self) -> None:
        for held in (self.items, self.created, self.changed, self.stored, self.queries, self.said):
            held.clear()
        self.statuses.clear()
        self.cancelled.clear()
        self.over.clear()
        self.pending, self.then = 0xFF00, ""

    def _status(self, kind: str) -> int:
        self.said.append(kind)
        waiting = self.statuses.get(kind, [])
        return waiting.pop(0) if waiting else 0

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        self.queries.append(event.identifier)
        for item in self.items:
            if event.is_cancelled:
                self.cancelled.set()
                yield 0xFE00, None
                return
            yield self.pending, item
        if self.then == "abort":
            event.assoc.abort()
            return
        if self.then == "silence":
            assert self.over.wait(60)
        if (last := self._status("C-FIND")) != 0:
            yield last, None

    def create(self, event: Any) -> tuple[int, Dataset | None]:
        status = self._status("N-CREATE")
        told = event.attribute_list
        told.AffectedSOPInstanceUID = event.request.AffectedSOPInstanceUID
        self.created.append(told)
        return status, told

    def set(self, event: Any) -> tuple[int, Dataset | None]:
        status = self._status("N-SET")
        self.changed.append(event.modification_list)
        return status, event.modification_list

    def store(self, event: Any) -> int:
        status = self._status("C-STORE")
        if status in (0, 0xB000):
            self.stored.append(event.dataset)
        return status


@pytest.fixture(scope="module")
def served() -> Iterator[Department]:
    department = Department()
    ae = AE("RIS")
    ae.supported_contexts = [
        build_context(uid) for uid in (ModalityWorklistInformationFind, ModalityPerformedProcedureStep, *CLASSES)
    ]
    handlers = [
        (evt.EVT_C_FIND, department.find),
        (evt.EVT_N_CREATE, department.create),
        (evt.EVT_N_SET, department.set),
        (evt.EVT_C_STORE, department.store),
    ]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    department.port = server.server_address[1]
    yield department
    server.shutdown()


@pytest.fixture
def ris(served: Department) -> Department:
    served.clear()
    return served


def to(port: int, called: str = "RIS", services: Any = None, settings: dimse.Settings = NETWORK) -> Connect:
    def connect(contexts: list[ProposedContext]) -> AbstractContextManager[dimse.ClientAssociation]:
        return dimse.connect(
            ("127.0.0.1", port), calling="CT1", called=called, contexts=contexts, settings=settings, services=services
        )

    return connect


def scheduled(number: int = 1, *, study: str = "") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTH", "99L", "Head"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "CT1"
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = f"S{number}", "CT head"
    step.ScheduledProtocolCodeSequence = [code]
    step.ScheduledPerformingPhysicianName = "Curie^Marie"
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = "Müller^Jörg", "P1", "19700131", "M"
    item.AccessionNumber, item.RequestedProcedureID = f"A{number}", f"R{number}"
    item.RequestedProcedureDescription = "CT of the head"
    item.StudyInstanceUID = study or new_uid()
    item.ReferencedStudySequence = []
    item.ScheduledProcedureStepSequence = [step]
    return item


def perform(ris: Department, *, together: bool = False, patient: Any = None, **device: Any) -> Step:
    peers = Peers(to(ris.port), to(ris.port), to(ris.port))
    items = [] if patient else query(peers, [], 100).items
    modality = Modality(Device("CT1", name="ROOM 1", location="FLOOR 2", archive="ARCHIVE", **device), peers)
    return modality.perform(items if together else items[:1], patient)


def values_at(data: Dataset, path: str) -> bool:
    """Whether there is an element at a path, in the first items of sequences."""
    keyword, _, rest = path.partition(">")
    if keyword not in data:
        return False
    return not rest or not data[keyword].value or values_at(data[keyword].value[0], rest)


@pytest.mark.req("X-MOD-02", "X-MOD-12", "X-MOD-48", "X-MOD-50", "X-MOD-51", "X-MOD-53")
def test_a_scheduled_step_from_the_worklist_to_the_archive(ris: Department) -> None:
    ris.items.append(scheduled())
    done = perform(ris)
    assert ris.said == ["C-FIND", "N-CREATE", "N-SET", "C-STORE", "C-STORE", "C-STORE"]
    (created,), (changed,) = ris.created, ris.changed
    assert (created.PerformedProcedureStepStatus, changed.PerformedProcedureStepStatus) == ("IN PROGRESS", "COMPLETED")
    assert created.AffectedSOPInstanceUID == done.uid
    assert str(created.PatientName) == "Müller^Jörg"
    (series,) = changed.PerformedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedImageSequence] == [
        image.SOPInstanceUID for image in ris.stored
    ]
    for image in ris.stored:
        assert image.StudyInstanceUID == ris.items[0].StudyInstanceUID
        assert (image.AccessionNumber, str(image.PatientName)) == ("A1", "Müller^Jörg")
        (step,) = image.ReferencedPerformedProcedureStepSequence
        assert (step.ReferencedSOPClassUID, step.ReferencedSOPInstanceUID) == (ModalityPerformedProcedureStep, done.uid)
        assert image.PerformedProcedureStepID == created.PerformedProcedureStepID
        assert image.ProtocolName == series.ProtocolName == "CT head"
        assert (series.SeriesInstanceUID, image.StudyID) == (image.SeriesInstanceUID, "R1")


@pytest.fixture(scope="module")
def reported(served: Department) -> dict[str, Dataset]:
    """What was sent for a step that has everything, by the table's name for the message."""
    served.clear()
    served.items.append(scheduled())
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", new_uid()
    served.items[0].ReferencedStudySequence = [study]
    perform(served, reason=("110513", "DCM", "Discontinued for unspecified reason"))
    return {"MPPS N-CREATE": served.created[0], "MPPS N-SET": served.changed[0]}


@pytest.mark.req("X-MOD-53")
@pytest.mark.parametrize("row", SENT, ids=lambda row: f"{row['object']}-{row['parent_path']}>{row['keyword']}")
def test_every_attribute_of_the_table_is_sent(reported: dict[str, Dataset], row: dict[str, str]) -> None:
    path = f"{row['parent_path']}>{row['keyword']}".strip(">")
    assert values_at(reported[row["object"]], path), path


@pytest.mark.req("X-MOD-54")
def test_what_the_step_is_answered(ris: Department) -> None:
    ris.items.append(scheduled())
    ris.statuses["N-CREATE"], ris.statuses["N-SET"] = [0x0116], [0x0116]
    done = perform(ris)
    assert (len(done.warnings), done.stored) == (2, 3)
    for status in (0x0110, 0x0112, 0xC000):
        ris.statuses["N-CREATE"] = [status]
        with pytest.raises(Failed, match=f"MPPS update failed: status {status:04X}"):
            perform(ris)
    assert len(ris.stored) == 3, "nothing is acquired for a step that was refused"


@pytest.mark.req("X-MOD-13", "X-MOD-17")
def test_what_the_images_are_answered(ris: Department) -> None:
    ris.items.append(scheduled())
    ris.statuses["C-STORE"] = [0xB000, 0, 0]
    done = perform(ris)
    assert (done.stored, done.warnings) == (3, ("C-STORE: status B000",))
    ris.statuses["C-STORE"] = [0, 0xA700]
    with pytest.raises(Failed, match="after 1 of 3 images: status A700"):
        perform(ris)
    assert ris.said[-2:] == ["C-STORE", "C-STORE"]


def commanded(ris: Department, *words: str) -> Dataset:
    """What `isocenter modality` asks the worklist for, of what it asks for nothing."""
    done = CliRunner().invoke(app, ["modality", f"RIS@127.0.0.1:{ris.port}", "--commit", "none", *words])
    assert done.exit_code == 0, done.output
    asked = ris.queries[-1]
    return Dataset({element.tag: element for element in asked.ScheduledProcedureStepSequence[0] if element.value})


@pytest.mark.req("X-MOD-41")
def test_a_query_is_for_today_unless_it_is_said_what_for(ris: Department) -> None:
    ris.items.append(scheduled())
    days = {f"{datetime.now():%Y%m%d}"}
    of_today = commanded(ris)
    days.add(f"{datetime.now():%Y%m%d}")  # it may be midnight
    assert of_today.pop("ScheduledProcedureStepStartDate").value in days
    assert not of_today
    typed = commanded(ris, "--modality", "CT", "--station", "CT1")
    assert (typed.pop("Modality").value, typed.pop("ScheduledStationAETitle").value) == ("CT", "CT1")
    assert not typed


@pytest.mark.req("X-MOD-93")
def test_dates_and_times_are_those_of_the_place(ris: Department) -> None:
    moments = iter([datetime(2026, 3, 29, 1, 59, 30), datetime(2026, 3, 29, 3, 0, 10)])
    peers = Peers(None, to(ris.port), to(ris.port))
    Modality(Device("CT1"), peers, clock=lambda: next(moments)).perform([], attribute("PatientID", "P1"))
    (created,), (changed,), image = ris.created, ris.changed, ris.stored[0]
    assert (created.PerformedProcedureStepStartDate, created.PerformedProcedureStepStartTime) == ("20260329", "015930")
    assert (changed.PerformedProcedureStepEndDate, changed.PerformedProcedureStepEndTime) == ("20260329", "030010")
    assert {image.StudyDate, image.SeriesDate, image.ContentDate} == {"20260329"}
    assert {image.StudyTime, image.SeriesTime, image.ContentTime} == {"015930"}
    assert "TimezoneOffsetFromUTC" not in image


@pytest.mark.req("X-MOD-42")
def test_at_the_limit_the_query_is_cancelled(ris: Department) -> None:
    ris.items += [scheduled(number) for number in range(1, 200)]
    answers = query(Peers(to(ris.port), None, to(ris.port)), [], 5)
    assert len(answers.items) == 5
    assert ris.cancelled.wait(60)


ANSWERED = [
    row
    for row in rows("ps32_status_codes")
    if (row["annex"], row["ae"], row["service"]) == ("B", "Workflow", "Modality Worklist C-FIND")
]


@pytest.mark.req("X-MOD-45")
@pytest.mark.parametrize("row", ANSWERED, ids=lambda row: row["code_hex"])
def test_what_a_query_is_answered(ris: Department, row: dict[str, str]) -> None:
    """Items come with either pending status; any end but success, FE00 too if we didn't ask for it, is a failure."""
    status = 0x0122 if row["code_hex"] == "*" else int(row["code_hex"][:4], 16)
    ris.items.append(scheduled())
    peers = Peers(to(ris.port), None, to(ris.port))
    if row["status_meaning"].startswith(("Success", "Pending")):
        ris.pending = status or ris.pending
        answers = query(peers, [], 100)
        assert (len(answers.items), answers.unsupported) == (1, status == 0xFF01)
    else:
        ris.statuses["C-FIND"] = [status]
        with pytest.raises(Failed, match=f"query failed: status {status:04X}"):
            query(peers, [], 100)


OF_A_CLIENT = [row for row in rows("sendtopacs_status_codes") if row["ae"] == "MWL_CLIENT"]


@pytest.mark.req("S-MWL-17")
@pytest.mark.parametrize("row", OF_A_CLIENT, ids=lambda row: row["status_meaning"][:20])
def test_how_a_query_of_an_import_station_may_end(ris: Department, row: dict[str, str]) -> None:
    """What came before the association was lost is there to be chosen from."""
    ris.items += [scheduled(1), scheduled(2)]
    broken = row["status_meaning"].startswith(("Exception", "No final response"))
    ris.then = {"Exc": "abort", "No ": "silence"}.get(row["status_meaning"][:3], "")
    settings = replace(NETWORK, response=0.3) if ris.then == "silence" else NETWORK
    connect = to(ris.port, settings=settings)
    with connect([ProposedContext(MODALITY_WORKLIST_FIND, (EXPLICIT_LE,))]) as association:
        answers = ask(association, identifier([]))
        ris.over.set()
    assert (len(answers.items), answers.lost, answers.complete) == (2, broken, not broken)


def test_the_statuses_were_read() -> None:
    assert (len(ANSWERED), len(OF_A_CLIENT)) == (8, 4)


@pytest.fixture(scope="module")
def plain(served: Department) -> Iterator[int]:
    """The port of the same archive without procedure steps, as many are."""
    ae = AE("ARCHIVE")
    ae.supported_contexts = [build_context(uid) for uid in CLASSES]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, served.store)])
    yield server.server_address[1]
    server.shutdown()


@pytest.mark.parametrize("asked", [True, False])
def test_a_peer_that_takes_no_steps_gets_the_images(ris: Department, plain: int, asked: bool) -> None:
    """They name no step then, and that it was not reported is told where it should have been."""
    ris.items.append(scheduled())
    peers = Peers(to(ris.port), to(plain) if asked else None, to(plain))
    done = Modality(Device("CT1"), peers).perform(query(peers, [], 100).items)
    assert (done.uid, done.stored, done.status) == ("", 3, "COMPLETED")
    assert not any("ReferencedPerformedProcedureStepSequence" in image for image in ris.stored)
    assert [warning for warning in done.warnings if "MPPS" in warning] == list(done.warnings)
    assert len(done.warnings) == int(asked)


def test_what_becomes_of_the_step_is_told_where_its_peer_is_away(ris: Department) -> None:
    ris.items.append(scheduled())
    peers = Peers(to(ris.port), to(unused_port()), to(ris.port))
    with pytest.raises(Failed, match="MPPS: no connection"):
        Modality(Device("CT1"), peers).perform(query(peers, [], 100).items)
    assert ris.stored == []


@pytest.mark.req("X-MOD-52")
def test_several_scheduled_steps_as_one(ris: Department) -> None:
    study = new_uid()
    ris.items += [scheduled(1, study=study), scheduled(2, study=study)]
    done = perform(ris, together=True)
    assert done.scheduled == ("S1", "S2")
    assert [item.AccessionNumber for item in ris.created[0].ScheduledStepAttributesSequence] == ["A1", "A2"]
    assert [item.ScheduledProcedureStepID for item in ris.stored[0].RequestAttributesSequence] == ["S1", "S2"]


@pytest.mark.req("X-MOD-48", "X-MOD-52")
def test_an_unscheduled_step(ris: Department) -> None:
    patient = attribute("PatientID", "P9") | attribute("PatientName", "Roe^Jane")
    done = perform(ris, patient=patient)
    assert (done.scheduled, ris.created[0].PatientID, ris.stored[0].PatientID) == ((), "P9", "P9")
    assert ris.created[0].ScheduledStepAttributesSequence[0].StudyInstanceUID == done.study_uid
    assert ris.stored[0].StudyInstanceUID == done.study_uid


@pytest.mark.req("X-MOD-51")
def test_a_step_that_is_discontinued(ris: Department) -> None:
    ris.items.append(scheduled())
    done = perform(ris, reason=("110514", "DCM", "Incorrect worklist entry selected"), stores_first=True)
    assert ris.said == ["C-FIND", "N-CREATE", "C-STORE", "C-STORE", "C-STORE", "N-SET"]
    (reason,) = ris.changed[0].PerformedProcedureStepDiscontinuationReasonCodeSequence
    assert (done.status, reason.CodeValue) == ("DISCONTINUED", "110514")


# --- the objects


def model(modality: str) -> Any:
    named = {"PatientName": "Doe^Jane", "PatientID": "P1", "Modality": modality, "SeriesNumber": 1}
    named |= {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid()}
    return {key: one for keyword, value in named.items() for key, one in attribute(keyword, value).items()}


@pytest.mark.parametrize("modality", KINDS)
def test_pydicom_reads_the_pixels(modality: str) -> None:
    first, second = images(modality, model(modality), 2, seed=7)
    assert first.sop_uid != second.sop_uid
    arrays = []
    for image in (first, second):
        file = DicomBytesIO()
        meta = Dataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.sop_class, image.sop_uid
        meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(file, meta)  # type: ignore[arg-type]
        file.write(image.data)
        file.seek(0)
        read = dcmread(file)
        assert read.SOPClassUID == image.sop_class
        arrays.append(read.pixel_array)
    assert arrays[0].std() > 10
    assert (arrays[0] != arrays[1]).any()
    again, _ = images(modality, model(modality), 2, seed=7)
    assert again.data[-1000:] == first.data[-1000:]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[archives.Running]:
    folder = tmp_path_factory.mktemp("strict")
    with running(folder, migrated(folder), ae=HostedAE(validation="iod", validation_failure="refuse")) as archive:
        yield archive


@pytest.mark.parametrize("modality", KINDS)
def test_a_strict_archive_takes_them(strict: archives.Running, modality: str) -> None:
    made = [phantoms.Image(*image) for image in images(modality, model(modality), 2)]
    with to(strict.port, "ISOCENTER")([ProposedContext(made[0].sop_class, ("1.2.840.10008.1.2.1",))]) as association:
        context = association.context_for(made[0].sop_class)
        statuses = [
            association.store(context.id, image.sop_class, image.sop_uid, dimse.BytesSource(image.data))
            for image in made
        ]
    assert statuses == [0, 0]


@pytest.mark.req("X-MOD-30", "X-MOD-31")
def test_an_archive_commits_over_the_same_association(tmp_path: Any) -> None:
    ae = HostedAE(commitment=Commitment(report="same"))
    with running(tmp_path, migrated(tmp_path), ae=ae) as archive:
        asking = Asking(60.0)
        storage = to(archive.port, "ISOCENTER", asking.services)
        peers = Peers(None, None, storage)
        done = Modality(Device("CT1", images=2), peers, asking).perform([], attribute("PatientID", "P1"))
    assert done.stored == 2
    assert asking.said is not None
    assert not asking.uncommitted
    assert asking.context.abstract == STORAGE_COMMITMENT_PUSH
