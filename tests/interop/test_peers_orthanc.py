"""The whole server with Orthanc: as the client that stores, finds and retrieves, and as C-MOVE destination."""

import io
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from archives import NETWORK, keys, unused_port
from isocenter import dimse
from isocenter.config import Peer
from isocenter.dicom import uids
from isocenter.dicom.dataset import encode
from material import packaged_files
from peer_programs import Orthanc, configured, needs, orthanc
from servers import Server

pytestmark = needs("Orthanc")

NAMES = {"CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"}
STUDY = "1.2.826.0.1.3680043.10.999.61"


class Pair:
    """Orthanc and the server, each knowing the other, and the objects that Orthanc got first."""

    def __init__(self, server: Server, peer: Orthanc, objects: dict[str, FileDataset]) -> None:
        self.server, self.peer, self.objects = server, peer, objects

    def empty(self) -> None:
        """Take everything out of Orthanc."""
        for study in self.peer.get("/studies"):
            self.peer.delete(f"/studies/{study}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("orthanc")
    objects = {}
    for number, path in enumerate(sorted(p for p in packaged_files() if p.name in NAMES)):
        made = dcmread(path)
        made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.{number}"
        made.PatientID, made.PatientName = "ORTH1", "Peer^Orthanc"
        objects[str(made.SOPInstanceUID)] = made
    with ExitStack() as stack:
        dicom_port = unused_port()
        server = stack.enter_context(
            Server(configured(folder / "data", Peer(title="ORTHANC", host="127.0.0.1", port=dicom_port)))
        )
        ours = {"isocenter": ["ISOCENTER", "127.0.0.1", server.dicom_port]}
        peer = stack.enter_context(orthanc(folder / "orthanc", ours, dicom_port=dicom_port))
        for made in objects.values():
            content = io.BytesIO()
            made.save_as(content)
            peer.post("/instances", content.getvalue())
        study = peer.get("/studies")[0]
        answer = peer.post("/modalities/isocenter/store", {"Resources": [study], "Synchronous": True})
        assert int(answer["InstancesCount"]) == len(objects)
        assert int(answer["FailedInstancesCount"]) == 0
        yield Pair(server, peer, objects)


def held(pair: Pair) -> dict[str, FileDataset]:
    """What Orthanc holds now."""
    return {uid: dcmread(io.BytesIO(content)) for uid, content in pair.peer.data_sets().items()}


def check(pair: Pair, names: set[str] | None = None) -> None:
    """Orthanc holds these of the objects, pixels and syntax as they were."""
    found = held(pair)
    assert found.keys() == (names or pair.objects.keys())
    for uid, each in found.items():
        original = pair.objects[uid]
        assert each.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert each.PixelData == original.PixelData
        assert each.PatientName == original.PatientName


def test_it_echoes(pair: Pair) -> None:
    assert pair.peer.post("/modalities/isocenter/echo", {}) in ({}, None)


def _query(pair: Pair, level: str, **values: str) -> tuple[str, list[dict[str, str]]]:
    query = pair.peer.post("/modalities/isocenter/query", {"Level": level, "Query": values})["ID"]
    answers = pair.peer.get(f"/queries/{query}/answers?expand&simplify")
    return query, answers


@pytest.mark.req("I-FIND-02")
def test_it_finds(pair: Pair) -> None:
    _, patients = _query(pair, "Patient", PatientID="ORTH1")
    assert [each["PatientID"] for each in patients] == ["ORTH1"]
    _, studies = _query(pair, "Study", PatientName="peer*", StudyInstanceUID="", NumberOfStudyRelatedInstances="")
    assert [each["StudyInstanceUID"] for each in studies] == [STUDY]
    assert studies[0]["NumberOfStudyRelatedInstances"] == str(len(pair.objects))
    _, series = _query(pair, "Series", StudyInstanceUID=STUDY, SeriesInstanceUID="", PatientID="ORTH1")
    assert [each["SeriesInstanceUID"] for each in series] == [f"{STUDY}.1"]
    _, images = _query(
        pair, "Instance", PatientID="ORTH1", StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1", SOPInstanceUID=""
    )
    assert {each["SOPInstanceUID"] for each in images} == pair.objects.keys()


@pytest.mark.req("I-MOVE-01", "M-MOVE-02")
@pytest.mark.parametrize("level", ["Study", "Series", "Instance"])
def test_it_retrieves_what_it_found(pair: Pair, level: str) -> None:
    wanted = f"{STUDY}.1.2"
    values = {"PatientID": "ORTH1", "StudyInstanceUID": STUDY}
    if level != "Study":
        values["SeriesInstanceUID"] = f"{STUDY}.1"
    if level == "Instance":
        values["SOPInstanceUID"] = wanted
    pair.empty()
    query, _ = _query(pair, level, **values)
    pair.peer.post(f"/queries/{query}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    check(pair, {wanted} if level == "Instance" else None)


@pytest.mark.req("I-MOVE-01")
def test_it_is_a_destination(pair: Pair) -> None:
    pair.empty()
    model = uids.STUDY_ROOT_MOVE
    contexts = [dimse.ProposedContext(model, (uids.EXPLICIT_LE,))]
    identifier = encode(keys("STUDY", StudyInstanceUID=STUDY), uids.EXPLICIT_LE)
    with dimse.connect(
        ("127.0.0.1", pair.server.dicom_port), calling="TESTER", called="ISOCENTER", contexts=contexts, settings=NETWORK
    ) as association:
        *_, last = association.move(model, identifier, "ORTHANC")
    assert last[:5] == (0, None, len(pair.objects), 0, 0)
    check(pair)
