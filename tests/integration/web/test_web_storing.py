"""STOW-RS over HTTP."""

import gzip
import json
from collections.abc import Callable
from xml.etree import ElementTree

import httpx
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from isocenter.config.settings import HostedAE
from isocenter.dicom.part10 import read_header
from web_archive import STOW, Archive, image, multipart, part10, send

Web = tuple[httpx.Client, Archive]


def stored(archive: Archive) -> int:
    with archive.database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM instance").scalar() or 0)


@pytest.mark.req("I-STOW-01", "I-STOW-03", "I-STOW-ST-01")
def test_stores_and_says_what(web: Web) -> None:
    client, archive = web
    objects = [image(1), image(2, syntax=ImplicitVRLittleEndian)]
    answer = send(client, *objects).json()
    urls = [item["00081190"]["Value"][0] for item in answer["00081199"]["Value"]]
    assert urls == [
        f"{archive.root}/studies/{each.StudyInstanceUID}/series/{each.SeriesInstanceUID}/instances/{each.SOPInstanceUID}"
        for each in objects
    ]
    assert "00081198" not in answer
    assert answer["00081190"]["Value"] == [f"{archive.root}/studies/{objects[0].StudyInstanceUID}"]
    assert stored(archive) == 2


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; type=application/dicom; boundary=BOUNDARY",
        "multipart/related; boundary=BOUNDARY",
        'multipart/related; type="application/dicom"; boundary="BOUNDARY"; transfer-syntax=1.2.840.10008.1.2.1',
        'Multipart/Related; Type="application/dicom"; Boundary=BOUNDARY; start="<1>"',
    ],
)
def test_takes_what_clients_write(web: Web, content_type: str) -> None:
    client, _ = web
    body = b"preamble\r\n" + multipart([part10(image(1))]) + b"epilogue"
    answer = client.post("/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"


def test_takes_one_object_by_itself(web: Web) -> None:
    client, archive = web
    answer = client.post("/studies", content=part10(image(1)), headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200
    assert stored(archive) == 1


def test_takes_a_chunked_and_compressed_body(web: Web) -> None:
    client, archive = web
    body = gzip.compress(multipart([part10(image(n)) for n in range(1, 20)]))
    answer = client.post(
        "/studies",
        content=(body[at : at + 50] for at in range(0, len(body), 50)),
        headers={**STOW, "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 200
    assert stored(archive) == 19


@pytest.mark.req("I-STOW-04")
def test_answers_in_xml(web: Web) -> None:
    client, _ = web
    answer = client.post(
        "/studies", content=multipart([part10(image(1))]), headers={**STOW, "Accept": "application/dicom+xml"}
    )
    assert answer.headers["content-type"] == "application/dicom+xml"
    assert ElementTree.fromstring(answer.content).tag.endswith("NativeDicomModel")


@pytest.mark.req("I-STOW-ST-02", "I-STOW-ST-06")
def test_an_object_of_another_study_is_refused(web: Web) -> None:
    client, archive = web
    right, wrong = image(1), image(2, study="other")
    path = f"/studies/{right.StudyInstanceUID}"
    answer = client.post(path, content=multipart([part10(right), part10(wrong)]), headers=STOW)
    assert answer.status_code == 202
    failed = answer.json()["00081198"]["Value"]
    assert [item["00081155"]["Value"][0] for item in failed] == [wrong.SOPInstanceUID]
    assert [item["00081197"]["Value"][0] for item in failed] == [0xC409]
    assert stored(archive) == 1
    answer = client.post(path, content=multipart([part10(wrong)]), headers=STOW)
    assert answer.status_code == 409


@pytest.mark.req("I-STOW-ST-02")
@pytest.mark.parametrize("step", [100, 700])
def test_an_object_that_comes_slowly_is_of_the_study_that_it_says(web: Web, step: int) -> None:
    client, archive = web
    right, wrong = image(1), image(2, study="other")
    body = multipart([part10(right), part10(wrong)])
    pieces = (body[at : at + step] for at in range(0, len(body), step))
    answer = client.post(f"/studies/{right.StudyInstanceUID}", content=pieces, headers=STOW)
    assert answer.status_code == 202
    assert [item["00081197"]["Value"][0] for item in answer.json()["00081198"]["Value"]] == [0xC409]
    assert stored(archive) == 1


def test_what_is_no_dicom_fails_alone(web: Web) -> None:
    client, archive = web
    answer = client.post("/studies", content=multipart([b"not dicom", part10(image(1)), b""]), headers=STOW)
    assert answer.status_code == 202
    assert len(answer.json()["0008119A"]["Value"]) == 2
    assert stored(archive) == 1
    assert client.post("/studies", content=multipart([b"not dicom"]), headers=STOW).status_code == 400


def test_a_bare_data_set_is_taken_by_its_own_uids(web: Web) -> None:
    client, archive = web
    file = part10(image(1))
    assert client.post("/studies", content=multipart([file[read_header(file).offset :]]), headers=STOW).is_success
    assert stored(archive) == 1


@pytest.mark.req("I-STOW-02")
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ('multipart/related; type="application/dicom+json"; boundary=BOUNDARY', 415),
        ('multipart/related; type="image/jpeg"; boundary=BOUNDARY', 415),
        ("text/plain", 415),
        ("", 415),
        ("multipart/related; type=application/dicom", 400),
    ],
)
def test_other_media_types_are_refused(web: Web, content_type: str, status: int) -> None:
    client, _ = web
    answer = client.post("/studies", content=multipart([b"x"]), headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_parts_that_are_no_objects_are_refused(web: Web) -> None:
    client, archive = web
    body = multipart([b"{}"]).replace(b"application/dicom", b"application/dicom+json")
    assert client.post("/studies", content=body, headers=STOW).status_code == 415
    mixed = body.replace(b"--BOUNDARY--\r\n", b"") + multipart([part10(image(1))])
    assert client.post("/studies", content=mixed, headers=STOW).status_code == 202
    assert stored(archive) == 1


@pytest.mark.parametrize("cut", [10, 60, 500, 5])
def test_a_body_that_breaks_off_stores_nothing_half(web: Web, cut: int) -> None:
    client, archive = web
    body = multipart([part10(image(1))])
    assert client.post("/studies", content=body[: len(body) - cut], headers=STOW).status_code in (200, 400)
    assert stored(archive) <= 1
    assert list(archive.store.exceptions()) == []


def test_a_client_that_goes_away_leaves_nothing(web: Web) -> None:
    client, archive = web
    body = multipart([part10(image(1, PixelData=bytes(3_000_000)))])

    def half() -> object:
        yield body[: len(body) // 2]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        client.post("/studies", content=half(), headers=STOW)  # type: ignore[arg-type]
    send(client, image(2))
    assert stored(archive) == 1
    assert len(list(archive.store.keys())) == 1


def test_a_limit_on_bodies(opened: object) -> None:
    client, archive = opened(max_body=10_000)  # type: ignore[operator]
    body = multipart([part10(image(1, PixelData=bytes(20_000)))])
    assert client.post("/studies", content=body, headers=STOW).status_code == 413
    assert client.post("/studies", content=iter([body]), headers=STOW).status_code == 413
    assert stored(archive) == 0


def test_the_same_object_twice_is_success(web: Web) -> None:
    client, archive = web
    send(client, image(1), image(1))
    send(client, image(1))
    assert stored(archive) == 1


def test_another_object_of_the_same_uid_as_the_ae_has_it(opened: Callable[..., Web]) -> None:
    first, other = image(1), image(1)
    other.PatientComments = "another"
    client, archive = opened(ae=HostedAE(duplicates="reject"))
    send(client, first)
    refused = client.post("/studies", content=multipart([part10(other)]), headers=STOW)
    assert refused.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
    assert stored(archive) == 1
    client, archive = opened(ae=HostedAE(duplicates="new-uid"))
    send(client, first)
    answer = send(client, other).json()
    kept = answer["00081199"]["Value"][0]["00081155"]["Value"][0]
    assert kept != first.SOPInstanceUID
    assert answer["00081199"]["Value"][0]["00081190"]["Value"][0].endswith(kept)
    assert stored(archive) == 2


def test_wrong_uids_in_the_meta_information(web: Web) -> None:
    client, _ = web
    file = part10(image(1)).replace(image(1).SOPInstanceUID.encode(), image(2).SOPInstanceUID.encode(), 1)
    answer = client.post("/studies", content=multipart([file]), headers=STOW)
    assert answer.status_code == 409
    assert json.loads(answer.content)["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]
