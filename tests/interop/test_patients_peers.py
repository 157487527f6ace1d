"""A merge and a report that other people's programs send are in the next answers, wherever other programs ask."""

from collections.abc import Iterator

import hl7
import hl7.client
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    ModalityWorklistInformationFind,  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,  # type: ignore[attr-defined]
)

from archives import made
from senders import Sample, connect, store
from servers import Server, until

ORDER = """MSH|^~\\&|HIS|WARD|ISO|RAD|20260301080000||ORM^O01|{id}|P|2.3.1
PID|1||{patient}^^^HOSP||Doe^Jane||19700102|F
PV1|1|I|W1^R2^B3||||||||||||||||V77
ORC|NW|PL{id}|FI{id}||||^^^20260301093000^^R
OBR|1|PL{id}|FI{id}|CTHEAD^CT head^99L||||||||||||||ACC{id}|RP{id}|SPS{id}||||CT
ZDS|{study}^^Application^DICOM
"""
MERGE = """MSH|^~\\&|HIS|WARD|ISO|RAD|20260301120000||ADT^A40|{id}|P|2.3.1
EVN|A40|20260301120000
PID|1||{patient}^^^HOSP||Roe^Janet||19700201|F
MRG|{prior}^^^HOSP
"""
REPORT = """MSH|^~\\&|RIS|RAD|ISO|RAD|20260301140000||ORU^R01|{id}|P|2.3.1
PID|1||{patient}^^^HOSP||Doe^Jane||19700102|F
OBR|1|PL1|{filler}|1^Report||||||||||||||{accession}||||20260301133000|||F
OBX|1|TX|1&IMP^Impression||Normal.||||||F
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("patients") / "data", hl7=True) as running:
        yield running


def sent(server: Server, template: str, **values: str) -> str:
    """The acknowledgement's code, to a message of python-hl7."""
    text = template.format(**values).replace("\n", "\r")
    with hl7.client.MLLPClient("127.0.0.1", server.hl7_port) as client:
        return str(hl7.parse(client.send_message(hl7.parse(text)).decode()).segment("MSA")[1])


def stored(server: Server, study: int, **values: str) -> str:
    """An object of a modality; its Study Instance UID."""
    one = made(study=study, **values)
    with connect(server.dicom_port) as association:
        assert store(association, Sample(one.study, one.series, one.sop_uid, one.data)) == 0
    return one.study


def found(server: Server, model: str, query: Dataset) -> list[Dataset]:
    """What pynetdicom is answered."""
    entity = AE()
    entity.add_requested_context(model)
    association = entity.associate("127.0.0.1", server.dicom_port, ae_title="ISOCENTER")
    assert association.is_established
    answers = [data for _, data in association.send_c_find(query, model) if data]
    association.release()
    return answers


def ordered(server: Server, accession: str) -> tuple[str, str, str]:
    query = Dataset()
    query.PatientID, query.PatientName, query.AccessionNumber, query.IssuerOfPatientID = "", "", accession, ""
    query.ScheduledProcedureStepSequence = [Dataset()]
    (one,) = found(server, ModalityWorklistInformationFind, query)
    return str(one.PatientID), str(one.IssuerOfPatientID), str(one.PatientName)


def archived(server: Server, study: str) -> tuple[str, str, str]:
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
    query.PatientID = query.PatientName = query.ModalitiesInStudy = query.IssuerOfPatientID = ""
    (one,) = found(server, StudyRootQueryRetrieveInformationModelFind, query)
    modalities = one.ModalitiesInStudy
    return str(one.PatientID), str(one.PatientName), modalities if isinstance(modalities, str) else "+".join(modalities)


@pytest.mark.req("I-ACT-11", "I-ACT-14", "I-WLM-09", "I-PID-04", "M-HL7-01")
def test_a_merge_and_a_report(server: Server) -> None:
    study = made(study=1).study
    assert sent(server, ORDER, id="1", patient="A", study=study) == "AA"
    stored(server, 1, PatientID="A", IssuerOfPatientID="HOSP", AccessionNumber="ACC1")
    assert sent(server, MERGE, id="2", patient="B", prior="A") == "AA"
    assert ordered(server, "ACC1") == ("B", "HOSP", "Roe^Janet")
    assert archived(server, study) == ("B", "Roe^Janet", "CT")
    assert sent(server, REPORT, id="3", patient="A", filler="FI1", accession="ACC1") == "AA"
    assert archived(server, study) == ("B", "Roe^Janet", "CT+SR")
    assert sent(server, REPORT, id="4", patient="STRANGER", filler="FI1", accession="ACC1") == "AE"


def test_objects_under_a_number_that_was_merged_away_before(server: Server) -> None:
    assert sent(server, MERGE, id="5", patient="D", prior="C") == "AA"
    study = stored(server, 2, PatientID="C", IssuerOfPatientID="HOSP")
    until(lambda: archived(server, study) == ("D", "Roe^Janet", "CT"), told="the late object has not followed")
    assert "Roe" not in server.whole_log()
    assert "Janet" not in server.whole_log()
