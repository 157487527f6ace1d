"""Pictures, as users of dicomweb-client get them from our DICOMweb service."""

import io
from collections.abc import Iterator

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.dataset import Dataset

from picture_objects import DOCUMENT, MP4, kinds, picture
from web_archive import opened_archive

KINDS = {name: kinds()[name] for name in ("grey", "frames", "pdf", "mp4")}
SERIES = [picture("series", number=n) for n in (1, 2)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebClient]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (_, archive), requests.Session() as session:
        client = DICOMwebClient(archive.root, session=session)
        client.store_instances([*KINDS.values(), *SERIES])
        yield client


def uids(made: Dataset) -> tuple[str, str, str]:
    return made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID


def opened(data: bytes) -> tuple[str | None, tuple[int, int]]:
    found = Image.open(io.BytesIO(data))
    return found.format, found.size


@pytest.mark.parametrize(("kind", "form"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/gif", "GIF")])
def test_an_instance_is_rendered(client: DICOMwebClient, kind: str, form: str) -> None:
    assert opened(client.retrieve_instance_rendered(*uids(KINDS["grey"]), media_types=(kind,))) == (form, (16, 12))


def test_an_instance_is_rendered_as_its_parameters_say(client: DICOMwebClient) -> None:
    asked = {"viewport": "8,8", "quality": 50, "window": "40,400,linear"}
    data = client.retrieve_instance_rendered(*uids(KINDS["grey"]), media_types=("image/jpeg",), params=asked)
    assert opened(data) == ("JPEG", (8, 6))


def test_frames_are_rendered(client: DICOMwebClient) -> None:
    data = client.retrieve_instance_frames_rendered(
        *uids(KINDS["frames"]), frame_numbers=[2], media_types=("image/png",)
    )
    assert opened(data) == ("PNG", (16, 12))


def test_documents_and_videos_are_rendered(client: DICOMwebClient) -> None:
    assert client.retrieve_instance_rendered(*uids(KINDS["pdf"]), media_types=("application/pdf",)) == DOCUMENT
    assert client.retrieve_instance_rendered(*uids(KINDS["mp4"]), media_types=("video/mp4",)) == MP4


def test_a_series_is_rendered(client: DICOMwebClient) -> None:
    data = client.retrieve_series_rendered(*uids(SERIES[0])[:2], media_types=("image/jpeg",))
    assert data.count(b"\xff\xd8\xff") == 2
