"""An order that other people's programs write and send is in the first worklist answer after its acknowledgement."""

from collections.abc import Iterator
from pathlib import Path

import hl7
import hl7.client
import pytest
from hl7apy.core import Message as Hl7apyMessage
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]

from peer_programs import needs, run
from servers import Server, isocenter


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("orders") / "data", hl7=True) as running:
        yield running


def found(server: Server, patient_id: str) -> list[Dataset]:
    """What pynetdicom gets for a patient."""
    entity = AE()
    entity.add_requested_context(ModalityWorklistInformationFind)
    association = entity.associate("127.0.0.1", server.dicom_port, ae_title="ISOCENTER")
    assert association.is_established
    query, step = Dataset(), Dataset()
    query.PatientID, query.PatientName, query.AccessionNumber, query.StudyInstanceUID = patient_id, "", "", ""
    step.Modality = step.ScheduledProcedureStepStartDate = step.ScheduledProcedureStepID = ""
    query.ScheduledProcedureStepSequence = [step]
    answers = [data for status, data in association.send_c_find(query, ModalityWorklistInformationFind) if data]
    association.release()
    return answers


@pytest.mark.req("I-ACT-10", "I-ACT-12", "I-ACT-13", "M-MWL-01", "M-HL7-01", "M-HL7-02")
def test_orders_of_python_hl7(server: Server) -> None:
    lines = [
        "MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240102101112||ORM^O01|PY{}|P|2.3.1||||||8859/1",
        "PID|1||PY1^^^HOSP^MR||Müller^Jürgen||19500203|M",
        "PV1|1|I|3W^12^A",
        "ORC|{}|P1^HIS|F1^RIS||SC||^^^20240103083000^^S",
        "OBR|1|P1^HIS|F1^RIS|CTH^CT head^L||||||||||||||ACCPY|RPPY|SPSPY||||CT|||^^^20240103083000^^S",
        "ZDS|1.2.826.0.1.3680043.9.1^RIS^Application^DICOM",
    ]
    text = "\r".join(lines) + "\r"
    with hl7.client.MLLPClient("127.0.0.1", server.hl7_port, encoding="latin-1") as client:
        said = hl7.parse(client.send_message(hl7.parse(text.format(1, "NW"))).decode("latin-1"))
        assert str(said.segment("MSA")[1]) == "AA"
        (item,) = found(server, "PY1")
        step = item.ScheduledProcedureStepSequence[0]
        assert (item.PatientName, item.AccessionNumber) == ("Müller^Jürgen", "ACCPY")
        assert item.StudyInstanceUID == "1.2.826.0.1.3680043.9.1"
        assert (step.Modality, step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepID) == (
            *("CT", "20240103", "SPSPY"),
        )
        said = hl7.parse(client.send_message(hl7.parse(text.format(2, "CA"))).decode("latin-1"))
        assert str(said.segment("MSA")[1]) == "AA"
    assert found(server, "PY1") == []


@needs("findscu")
def test_an_imaging_order_of_hl7apy(server: Server) -> None:
    order = Hl7apyMessage("OMI_O23", version="2.5.1")
    order.msh.msh_3, order.msh.msh_4, order.msh.msh_9 = "RIS", "HOSP", "OMI^O23^OMI_O23"
    order.msh.msh_10, order.msh.msh_11, order.msh.msh_18 = "AP1", "P", "UNICODE UTF-8"
    patient = order.add_group("OMI_O23_PATIENT")
    patient.pid.pid_3, patient.pid.pid_5 = "AP1^^^HOSP^MR", "山田^太郎^^^^^L^I"
    group = order.add_group("OMI_O23_ORDER")
    group.orc.orc_1, group.orc.orc_2, group.orc.orc_3 = "NW", "P7^HIS", "F7^RIS"
    timing = group.add_group("OMI_O23_TIMING")
    timing.tq1.tq1_7 = "20240105101500"
    group.obr.obr_4 = "MRH^MR head^L"
    group.ipc.ipc_1, group.ipc.ipc_2, group.ipc.ipc_3 = "ACCAP^RIS", "RPAP", "1.2.7"
    group.ipc.ipc_4, group.ipc.ipc_5, group.ipc.ipc_9 = "SPSAP", "MR", "MR3T"
    with hl7.client.MLLPClient("127.0.0.1", server.hl7_port, encoding="utf-8") as client:
        said = hl7.parse(client.send(b"\x0b" + order.to_er7().encode() + b"\x1c\r").decode())
    assert str(said.segment("MSA")[1]) == "AA"
    asked = ["-k", "0010,0020=AP1", "-k", "0040,0100[0].0040,0001=MR3T", "-k", "0008,0050"]
    asked += ["-k", "0010,0010"]
    done = run("findscu", "-W", "-aec", "ISOCENTER", "127.0.0.1", server.dicom_port, *asked)
    printed = done.stdout + done.stderr
    assert "[ACCAP ]" in printed
    assert "山田^太郎" in printed


def test_an_order_that_is_wrong_names_its_field(server: Server) -> None:
    text = (
        "MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240102101112||ORM^O01|PY9|P|2.5.1\rPID|1||PY9^^^HOSP\r"
        "ORC|NW|P9\rOBR|1|||CTH|||||||||||||||||||||||^^^next week\r"
    )
    with hl7.client.MLLPClient("127.0.0.1", server.hl7_port) as client:
        said = hl7.parse(client.send_message(text).decode())
    assert str(said.segment("MSA")[1]) == "AE"
    assert str(said.segment("ERR")[2]) == "OBR^1^27^1^4"
    assert found(server, "PY9") == []


def test_a_change_of_an_unknown_order_makes_it_and_warns(server: Server) -> None:
    text = (
        "MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240102101112||ORM^O01|PY8|P|2.5.1\rPID|1||PY8^^^HOSP||Roe^Rick\r"
        "ORC|XO|P8|F8\rOBR|1|||CTH\r"
    )
    with hl7.client.MLLPClient("127.0.0.1", server.hl7_port) as client:
        said = hl7.parse(client.send_message(text).decode())
    assert str(said.segment("MSA")[1]) == "AA"
    assert (str(said.segment("ERR")[2]), str(said.segment("ERR")[4])) == ("ORC^1^2^1", "W")
    (item,) = found(server, "PY8")
    assert item.AccessionNumber == "F8"


@pytest.mark.req("P-MWL-08")
def test_what_a_message_would_make(server: Server, tmp_path: Path) -> None:
    """`isocenter hl7 mapping`, beside the server."""
    exams, message = tmp_path / "exams.csv", tmp_path / "order.hl7"
    exams.write_text("exam,modality,station_ae,location\nCTH,CT,CT1,Room 1\n")
    message.write_text(
        "MSH|^~\\&|RIS|HOSP|||20240102101112||ORM^O01|1|P|2.5.1\rPID|1||TRY1^^^HOSP\rORC|NW|P1\rOBR|1|||CTH\r"
    )
    asked = isocenter("hl7", "mapping", "try", message, "--exams", exams, "--known", "--data", server.data)
    done = run(*asked)
    assert "ScheduledStationAETitle: CT1" in done.stdout
    assert "ScheduledProcedureStepLocation: Room 1" in done.stdout
    assert found(server, "TRY1") == []
