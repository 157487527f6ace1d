"""dicomweb-client, as its users call it, against our DICOMweb service on a real port."""

import json
from collections.abc import Iterator

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless

from web_archive import Archive, image, opened_archive

PLAIN = [image(n, study="plain", syntax=ImplicitVRLittleEndian if n == 2 else image(1).file_meta.TransferSyntaxUID)
         for n in (1, 2, 3)]  # fmt: skip
FRAMED = image(1, study="framed", NumberOfFrames=3, PixelData=bytes(range(144)))
CODESTREAM = b"\xff\x4f\xff\x51codestream\xff\xd9"


def compressed() -> Dataset:
    made = image(1, study="compressed", syntax=JPEG2000Lossless)
    made.PixelData = encapsulate([CODESTREAM])
    made["PixelData"].VR = "OB"
    return made


COMPRESSED = compressed()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DICOMwebClient, Archive]]:
    with opened_archive(tmp_path_factory.mktemp("archive"), allow_delete=True) as (_, archive), requests.Session() as s:
        client = DICOMwebClient(archive.root, session=s)
        answer = client.store_instances([*PLAIN, FRAMED, COMPRESSED])
        assert len(answer.ReferencedSOPSequence) == 5
        assert "FailedSOPSequence" not in answer
        yield client, archive


@pytest.fixture
def client(served: tuple[DICOMwebClient, Archive]) -> DICOMwebClient:
    return served[0]


def uids(made: Dataset) -> tuple[str, str, str]:
    return made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID


def test_searches(client: DICOMwebClient) -> None:
    assert len(client.search_for_studies()) == 3
    (found,) = client.search_for_studies(
        fuzzymatching=False, fields=["PatientAge"], search_filters={"AccessionNumber": "Aplain", "PatientName": "ode*"}
    )
    assert Dataset.from_json(found).PatientName == PLAIN[0].PatientName
    assert len(client.search_for_series(PLAIN[0].StudyInstanceUID)) == 1
    assert len(client.search_for_instances(*uids(PLAIN[0])[:2], search_filters={"InstanceNumber": "2"})) == 1
    assert len(client.search_for_instances(limit=2, offset=1)) == 2
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_retrieves_objects(client: DICOMwebClient) -> None:
    found = client.retrieve_series(*uids(PLAIN[0])[:2])
    assert [each.InstanceNumber for each in found] == [1, 2, 3]
    assert [each.PixelData for each in found] == [each.PixelData for each in PLAIN]
    assert len(client.retrieve_study(PLAIN[0].StudyInstanceUID)) == 3
    assert len(list(client.iter_study(PLAIN[0].StudyInstanceUID))) == 3
    one = client.retrieve_instance(*uids(COMPRESSED))
    assert one.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert one.PixelData == COMPRESSED.PixelData
    default = client.retrieve_instance(*uids(PLAIN[1]), media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
    assert default.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_retrieves_metadata(client: DICOMwebClient) -> None:
    for found in (
        client.retrieve_study_metadata(PLAIN[0].StudyInstanceUID),
        client.retrieve_series_metadata(*uids(PLAIN[0])[:2]),
    ):
        assert [each["00080018"]["Value"][0] for each in found] == [each.SOPInstanceUID for each in PLAIN]
    one = client.retrieve_instance_metadata(*uids(PLAIN[0]))
    read = Dataset.from_json(json.dumps(one), bulk_data_uri_handler=lambda tag, vr, uri: b"")
    assert read.PatientName == PLAIN[0].PatientName


def test_retrieves_frames(client: DICOMwebClient) -> None:
    assert client.retrieve_instance_frames(*uids(FRAMED), frame_numbers=[3, 1]) == [
        bytes(range(96, 144)),
        bytes(range(48)),
    ]
    found = client.retrieve_instance_frames(
        *uids(FRAMED), frame_numbers=[2], media_types=(("application/octet-stream", "*"),)
    )
    assert found == [bytes(range(48, 96))]
    (frame,) = client.retrieve_instance_frames(
        *uids(COMPRESSED), frame_numbers=[1], media_types=(("image/jp2", str(JPEG2000Lossless)),)
    )
    assert frame.rstrip(b"\0") == CODESTREAM


def test_retrieves_bulk_data(client: DICOMwebClient) -> None:
    one = client.retrieve_instance_metadata(*uids(PLAIN[0]))
    for tag, expected in (("00091010", bytes(range(256)) * 8), ("7FE00010", PLAIN[0].PixelData)):
        assert client.retrieve_bulkdata(one[tag]["BulkDataURI"]) == [expected]


def test_is_told_what_is_wrong(client: DICOMwebClient) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        client.retrieve_study("1.2.3")
    with pytest.raises(requests.HTTPError, match="406"):
        client.retrieve_instance(*uids(COMPRESSED), media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))


def test_deletes(client: DICOMwebClient) -> None:
    client.store_instances([image(1, study="doomed")])
    client.delete_study(image(1, study="doomed").StudyInstanceUID)
    assert client.search_for_studies(search_filters={"AccessionNumber": "Adoomed"}) == []
