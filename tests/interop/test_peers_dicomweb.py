"""The whole server with dicomweb-client, beside DIMSE: what came in by one door leaves by the other."""

import hashlib
import io
from collections.abc import Iterator

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import FileDataset

from archives import CT, NETWORK, Destination, answered, keys, listening, made, series_uid, sop_uid, study_uid
from isocenter import dimse
from isocenter.dicom import part10, uids
from isocenter.dicom.dataset import encode
from isocenter.dimse import ProposedContext
from material import packaged_files
from peer_programs import configured
from servers import Server

NAMES = ("CT_small.dcm", "JPEG2000.dcm")


class Doors:
    """The server by HTTP and by DIMSE."""

    def __init__(self, server: Server, client: DICOMwebClient, destination: Destination) -> None:
        self.server, self.client, self.destination = server, client, destination

    def associated(self, *contexts: ProposedContext) -> dimse.ClientAssociation:
        """An association with it."""
        address = ("127.0.0.1", self.server.dicom_port)
        return dimse.connect(address, calling="TESTER", called="ISOCENTER", contexts=contexts, settings=NETWORK)

    def moved(self, study: str) -> dict[str, bytes]:
        """The data sets of a study by C-MOVE."""
        self.destination.received.clear()
        model = uids.STUDY_ROOT_MOVE
        with self.associated(ProposedContext(model, (uids.EXPLICIT_LE,))) as association:
            identifier = encode(keys("STUDY", StudyInstanceUID=study), uids.EXPLICIT_LE)
            *_, last = association.move(model, identifier, "DEST")
        assert last.status == 0
        return {each.sop_uid: each.data for each in self.destination.received}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    destination = Destination()
    folder = tmp_path_factory.mktemp("dicomweb")
    with (
        listening(destination),
        Server(configured(folder / "data", destination.peer)) as server,
        requests.Session() as session,
    ):
        yield Doors(server, DICOMwebClient(f"{server.url}/dicom-web", session=session), destination)


def original(name: str) -> FileDataset:
    """A real file."""
    return dcmread(next(path for path in packaged_files() if path.name == name))


@pytest.mark.parametrize("name", NAMES)
def test_stored_over_http_leaves_by_c_move(doors: Doors, name: str) -> None:
    content = original(name)
    answer = doors.client.store_instances([content])
    assert len(answer.ReferencedSOPSequence) == 1
    data = doors.moved(str(content.StudyInstanceUID))[str(content.SOPInstanceUID)]
    whole = io.BytesIO()
    content.save_as(whole)
    assert whole.getvalue().endswith(data)
    assert len(data) > len(content.PixelData)


def test_stored_by_c_store_leaves_over_http(doors: Doors) -> None:
    objects = [made(n, study=9) for n in (1, 2, 3)]
    with doors.associated(ProposedContext(CT, (uids.EXPLICIT_LE,))) as association:
        assert [answered(association, each).status for each in objects] == [0, 0, 0]
    client, path = doors.client, (study_uid(9), series_uid(9))
    (study,) = client.search_for_studies(search_filters={"PatientID": "P9"})
    assert study["0020000D"]["Value"] == [study_uid(9)]
    assert len(client.search_for_instances(*path)) == 3
    retrieved = client.retrieve_study(study_uid(9))
    assert {str(each.SOPInstanceUID) for each in retrieved} == {each.sop_uid for each in objects}
    one = client.retrieve_instance(*path, sop_uid(2, 9))
    assert one.PixelData == dcmread(io.BytesIO(_file(objects[1].data))).PixelData
    metadata = client.retrieve_series_metadata(*path)
    assert {each["00080018"]["Value"][0] for each in metadata} == {each.sop_uid for each in objects}


def _file(data: bytes) -> bytes:
    return part10.file_header(CT, sop_uid(2, 9), uids.EXPLICIT_LE) + data


def test_the_same_object_by_both_doors_is_one(doors: Doors) -> None:
    content = original("MR_small.dcm")
    whole = io.BytesIO()
    content.save_as(whole)
    doors.client.store_instances([content])
    before = doors.moved(str(content.StudyInstanceUID))
    (data,) = before.values()
    kind = str(content.SOPClassUID)
    with doors.associated(ProposedContext(kind, (uids.EXPLICIT_LE,))) as association:
        command = dimse.commands.store_rq(kind, str(content.SOPInstanceUID))
        assert association.invoke(association.context_for(kind).id, command, data).status == 0
    after = doors.moved(str(content.StudyInstanceUID))
    assert {uid: hashlib.sha256(each).digest() for uid, each in after.items()} == {
        uid: hashlib.sha256(each).digest() for uid, each in before.items()
    }
