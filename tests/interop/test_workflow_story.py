"""From the order to "study available", and a merge afterwards: a hospital's systems around one server.

The order is sent by python-hl7, the worklist asked by DCMTK and pynetdicom, the modality is `isocenter modality`;
availability goes to an SCP of pynetdicom, procedure steps are passed on to another, and the images to DCMTK's storescp.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hl7.client import MLLPClient
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    ModalityWorklistInformationFind,
    PatientRootQueryRetrieveInformationModelFind,
)

from archives import unused_port
from command_forks import Commands
from databases import cluster
from peer_programs import needs, run, storescp
from servers import Server, environment, until

STUDY = "1.2.826.0.1.3680043.8.498.4711"
ORDER = (
    "MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240131120000||ORM^O01|1|P|2.5\r"
    "PID|||OLD^^^HOSP||Doe^Jane||19700101|F\r"
    "PV1||O\r"
    "ORC|NW|P1^HIS|F1^RIS||SC||^^^20240131130000\r"
    "OBR|1|P1^HIS|F1^RIS|CTH^CT head^L||||||||||||||ACC1|RP1|SPS1||||CT|||^^^20240131130000\r"
    f"ZDS|{STUDY}^ISOCENTER^Application^DICOM\r"
)
MERGE = (
    "MSH|^~\\&|HIS|HOSP|ISOCENTER|RAD|20240131140000||ADT^A40|2|P|2.5\r"
    "EVN|A40|20240131140000\r"
    "PID|||NEW^^^HOSP||Doe^Jane||19700101|F\r"
    "MRG|OLD^^^HOSP\r"
)


@dataclass
class Ris:
    """Hears of procedure steps and of what is available. pynetdicom."""

    port: int = 0
    created: list[Dataset] = field(default_factory=list)
    changed: list[Dataset] = field(default_factory=list)
    available: list[Dataset] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)

    def create(self, event: Any) -> tuple[int, Dataset]:
        told = event.attribute_list
        held = self.available if event.request.AffectedSOPClassUID == InstanceAvailabilityNotification else self.created
        with self.heard:
            held.append(told)
            self.heard.notify_all()
        return 0, told

    def set(self, event: Any) -> tuple[int, Dataset]:
        with self.heard:
            self.changed.append(event.modification_list)
            self.heard.notify_all()
        return 0, event.modification_list

    def wait_for(self, held: list[Dataset]) -> Dataset:
        with self.heard:
            assert self.heard.wait_for(lambda: bool(held), 60)
            return held[0]


@contextmanager
def ris() -> Iterator[Ris]:
    told = Ris()
    ae = AE("RIS")
    ae.add_supported_context(ModalityPerformedProcedureStep)
    ae.add_supported_context(InstanceAvailabilityNotification)
    handlers = [(evt.EVT_N_CREATE, told.create), (evt.EVT_N_SET, told.set)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    told.port = server.server_address[1]
    yield told
    server.shutdown()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return cluster().create() if request.param == "postgresql" else ""


def sent(message: str, port: int) -> str:
    with MLLPClient("127.0.0.1", port) as client:
        return str(client.send_message(message.encode()).decode())


def asked(port: int, model: Any, identifier: Dataset) -> list[Dataset]:
    """What pynetdicom finds."""
    ae = AE("STATION")
    ae.add_requested_context(model)
    association = ae.associate("127.0.0.1", port, ae_title="ISOCENTER")
    assert association.is_established
    found = [one for _, one in association.send_c_find(identifier, model) if one is not None]
    association.release()
    return found


def scheduled(port: int) -> list[Dataset]:
    step, wanted = Dataset(), Dataset()
    step.Modality, step.ScheduledProcedureStepStatus = "CT", ""
    wanted.AccessionNumber, wanted.PatientID, wanted.PatientName, wanted.StudyInstanceUID = "ACC1", "", "", ""
    wanted.ScheduledProcedureStepSequence = [step]
    return asked(port, ModalityWorklistInformationFind, wanted)


def step_of(port: int, uid: str) -> Dataset:
    ae = AE("STATION")
    ae.add_requested_context(ModalityPerformedProcedureStepRetrieve)
    association = ae.associate("127.0.0.1", port, ae_title="ISOCENTER")
    status, found = association.send_n_get([], ModalityPerformedProcedureStepRetrieve, uid)
    association.release()
    assert (status.Status, found is not None) == (0, True)
    return found


@needs("findscu", "storescp")
@pytest.mark.req(
    "I-ACT-10", "I-ACT-11", "I-ACT-14", "I-ACT-15", "I-MPPS-02", "M-HL7-01", "M-HL7-02", "X-MOD-02", "X-MOD-30"
)
def test_from_the_order_to_the_merge(tmp_path: Path, database: str) -> None:
    port = unused_port()
    with ris() as told, storescp(tmp_path / "received") as viewer:
        config = tmp_path / "isocenter.toml"
        config.write_text(
            f"""
            [[ae]]
            title = "ISOCENTER"
            mpps.forward = ["RIS"]

            [[peer]]
            title = "RIS"
            host = "127.0.0.1"
            port = {told.port}

            [[peer]]
            title = "CT1"
            host = "127.0.0.1"
            port = {port}

            [[peer]]
            title = "{viewer.title}"
            host = "127.0.0.1"
            port = {viewer.port}

            [completeness]
            quiet = 1

            [[notice]]
            kind = "availability"
            to = ["RIS"]
            """
        )
        settings = {"config": config, **({"database": database} if database else {})}
        with Server(tmp_path / "data", settings=settings, hl7=True) as server:
            _story(server, told, viewer.title, tmp_path, settings, port)


def _story(server: Server, told: Ris, viewer: str, folder: Path, settings: dict[str, Any], port: int) -> None:
    dicom, hl7 = server.dicom_port, server.hl7_port
    assert "MSA|AA|1" in sent(ORDER, hl7)

    # the first answer after the acknowledgement has it
    query = ("-W", "-k", "0008,0050=ACC1", "-k", "0010,0020", "-k", "0020,000d", "-k", "(0040,0100)[0].0008,0060=CT")
    answer = run("findscu", *query, "127.0.0.1", dicom, "-aec", "ISOCENTER")
    assert f"[{STUDY}" in answer.stdout + answer.stderr
    (item,) = scheduled(dicom)
    assert (str(item.PatientName), item.StudyInstanceUID) == ("Doe^Jane", STUDY)

    commands = Commands()
    performed = commands.run(
        *("modality", f"ISOCENTER@127.0.0.1:{dicom}", "--accession", "ACC1", "--images", "3", "--wait", "60"),
        *("--calling", "CT1", "--listen", str(port), "--json"),
        environment=environment(settings),
    )
    assert performed.returncode == 0, performed.stderr
    (step,) = json.loads(performed.stdout)["steps"]
    assert (step["study_uid"], step["stored"], step["committed"], step["scheduled"]) == (STUDY, 3, True, ["SPS1"])

    # the worklist is done with it, the step went on to the RIS, and all that it names is there
    assert scheduled(dicom) == []
    assert told.wait_for(told.created).PerformedProcedureStepStatus == "IN PROGRESS"
    assert told.wait_for(told.changed).PerformedProcedureStepStatus == "COMPLETED"
    available = told.wait_for(told.available)
    assert available.StudyInstanceUID == STUDY
    (series,) = available.ReferencedSeriesSequence
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence} == set(step["instances"])
    assert available.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID == step["mpps"]

    # a merge is seen everywhere at once
    assert "MSA|AA|2" in sent(MERGE, hl7)
    found = httpx.get(f"{server.url}/dicom-web/studies", params={"PatientID": "NEW"}).json()
    assert [study["0020000D"]["Value"] for study in found] == [[STUDY]]
    assert httpx.get(f"{server.url}/dicom-web/studies", params={"PatientID": "OLD"}).json() == []
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.PatientID, wanted.StudyInstanceUID = "STUDY", "NEW", ""
    assert [one.StudyInstanceUID for one in asked(dicom, PatientRootQueryRetrieveInformationModelFind, wanted)] == [
        STUDY
    ]
    assert step_of(dicom, step["mpps"]).PatientID == "NEW"
    listed = commands.run(
        "worklist", "list", "--state", "all", "--json", "--data", str(server.data), environment=environment(settings)
    )
    assert [one["00100020"]["Value"] for one in json.loads(listed.stdout)] == [["NEW"]]

    # and leaves with the images
    key = ("-S", "-k", "0008,0052=STUDY", "-k", f"0020,000d={STUDY}")
    run("movescu", *key, "-aec", "ISOCENTER", "-aem", viewer, "127.0.0.1", dicom)
    files = until(lambda: len(found := list((folder / "received").glob("*"))) == 3 and found, told="three images")
    assert isinstance(files, list)
    for file in files:
        dumped = subprocess.run(["dcmdump", "+P", "0010,0020", file], capture_output=True, text=True, check=True)
        assert "[NEW" in dumped.stdout
    commands.close()
