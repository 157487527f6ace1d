"""Notifications between an archive and pynetdicom and DCMTK, in every place of SCU and SCP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt, register_uid
from pynetdicom.service_class import StorageServiceClass

from archives import CT, Running, made, running, sop_uid, study_uid, unused_port
from databases import migrated
from isocenter.config import Peer
from isocenter.workflow.notices.received import Received
from notified_peers import AVAILABILITY, CONTENT, Work, settings_of
from peer_programs import background, listens, needs, run

# retired, so that pynetdicom has to be told what it is
register_uid(CONTENT, "BasicStudyContentNotification", StorageServiceClass)

NOTICES = [
    {"kind": "study-content", "to": ["TOLD"], "when": ["first"]},
    {"kind": "availability", "to": ["TOLD"]},
]
DCMTK_KNOWS = """\
[[TransferSyntaxes]]
[Explicit]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Content]
PresentationContext1 = 1.2.840.10008.1.9\\Explicit
[[Profiles]]
[Default]
PresentationContexts = Content
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An SQLite database with the schema."""
    return migrated(tmp_path)


@contextmanager
def peer_of_pynetdicom(take: Callable[[str, Dataset], int]) -> Iterator[Peer]:
    """An SCP of both kinds; `take` gets the class and the data set, and says the status."""
    ae = AE("TOLD")
    for uid in (AVAILABILITY, CONTENT):
        ae.add_supported_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])

    def create(event: Any) -> tuple[int, Dataset | None]:
        return take(AVAILABILITY, event.attribute_list), None

    def store(event: Any) -> int:
        return take(CONTENT, event.dataset)

    handlers = [(evt.EVT_N_CREATE, create), (evt.EVT_C_STORE, store)]
    port = unused_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield Peer(title="TOLD", host="127.0.0.1", port=port)
    finally:
        server.shutdown()


@pytest.mark.req("I-BSCN-01", "I-BSCN-04")
def test_pynetdicom_is_told(tmp_path: Path, url: str) -> None:
    taken: list[tuple[str, Dataset]] = []
    statuses = iter([0x0000, 0x0110, 0x0000])

    def take(sop_class: str, data: Dataset) -> int:
        taken.append((sop_class, data))
        return next(statuses)

    with peer_of_pynetdicom(take) as peer, running(tmp_path, url, peers=[peer]) as archive:
        work = Work(archive, settings_of(archive, notice=NOTICES))
        archive.send(made(1), made(2))
        work.all()
        work.later(61).all()
        work.later(31).all()
        assert {each.state for each in work.outgoing.latest()} == {"sent"}
    assert [sop_class for sop_class, _ in taken] == [CONTENT, AVAILABILITY, AVAILABILITY]
    content, refused, available = (data for _, data in taken)
    assert refused == available
    assert [item.ReferencedSOPInstanceUID for item in content.ReferencedSeriesSequence[0].ReferencedImageSequence] == [
        sop_uid(1),
        sop_uid(2),
    ]
    (series,) = available.ReferencedSeriesSequence
    assert [item.InstanceAvailability for item in series.ReferencedSOPSequence] == ["ONLINE", "ONLINE"]
    assert (available.StudyInstanceUID, available.ReferencedPerformedProcedureStepSequence) == (study_uid(), [])


def content_of(study: str) -> Dataset:
    image, series, data = Dataset(), Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT, "1.2.3.41"
    series.SeriesInstanceUID, series.RetrieveAETitle, series.ReferencedImageSequence = "1.2.3.50", "THERE", [image]
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID = CONTENT, generate_uid(), study
    data.PatientName, data.PatientID, data.StudyID, data.ReferencedSeriesSequence = "Doe^Jane", "P1", "", [series]
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def available_of(study: str) -> Dataset:
    item, series, data = Dataset(), Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.2.3.41"
    item.InstanceAvailability, item.RetrieveAETitle = "NEARLINE", "THERE"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.3.50", [item]
    data.StudyInstanceUID, data.ReferencedSeriesSequence = study, [series]
    data.ReferencedPerformedProcedureStepSequence = []
    return data


def heard(archive: Running, study: str) -> list[tuple[str, str]]:
    return [(each.kind, each.calling) for each in Received(archive.database).latest(study_uid=study)]


@pytest.mark.req("P-IAN-01", "P-IAN-03", "I-BSCN-05")
def test_pynetdicom_tells(tmp_path: Path, url: str) -> None:
    study = generate_uid()
    with running(tmp_path, url) as archive:
        ae = AE("TELLS")
        ae.add_requested_context(AVAILABILITY, [ImplicitVRLittleEndian])
        ae.add_requested_context(CONTENT, [ExplicitVRLittleEndian])
        association = ae.associate("127.0.0.1", archive.port, ae_title="ISOCENTER")
        assert association.is_established
        status, _ = association.send_n_create(available_of(study), AVAILABILITY, generate_uid())
        assert status.Status == 0
        broken = available_of(study)
        del broken.StudyInstanceUID
        status, _ = association.send_n_create(broken, AVAILABILITY, generate_uid())
        assert (status.Status, status.ErrorComment) == (0x0120, "no Study Instance UID")
        assert association.send_c_store(content_of(study)).Status == 0
        association.release()
        assert heard(archive, study) == [("study-content", "TELLS"), ("availability", "TELLS")]


@needs("storescp")
def test_dcmtk_is_told(tmp_path: Path, url: str) -> None:
    (tmp_path / "takes.cfg").write_text(DCMTK_KNOWS)
    port = unused_port()
    command = [
        "storescp",
        "-xf",
        str(tmp_path / "takes.cfg"),
        "Default",
        "-aet",
        "TOLD",
        "-od",
        str(tmp_path),
        str(port),
    ]
    peer = Peer(title="TOLD", host="127.0.0.1", port=port)
    with background(command, tmp_path / "log"), running(tmp_path, url, peers=[peer]) as archive:
        listens(port)
        work = Work(archive, settings_of(archive, notice=NOTICES[:1]))
        archive.send(made(1))
        work.all()
        assert [each.state for each in work.outgoing.latest()] == ["sent"], (tmp_path / "log").read_text()


@needs("storescu")
def test_dcmtk_tells(tmp_path: Path, url: str) -> None:
    study, file = generate_uid(), tmp_path / "notification.dcm"
    content_of(study).save_as(file, enforce_file_format=True)
    (tmp_path / "sends.cfg").write_text(DCMTK_KNOWS)
    with running(tmp_path, url) as archive:
        proposes = ("-xf", tmp_path / "sends.cfg", "Default")
        run("storescu", *proposes, "-aec", "ISOCENTER", "-aet", "TELLS", "127.0.0.1", archive.port, file)
        assert heard(archive, study) == [("study-content", "TELLS")]
