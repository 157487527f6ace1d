"""Edited and rejected objects over HTTP: QIDO-RS, WADO-RS and metadata say what is said since the edit."""

import io
from pathlib import Path

import pydicom
import pytest
from httpx import Client
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.making import Edits, Who
from isocenter.archive.rejection.rejecting import Rejecting
from isocenter.config.settings import HostedAE
from isocenter.declarations.rejections import QUALITY
from web_archive import Archive, image, opened_archive, parts, send

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'
WHO = Who("tester", "why not")


def edits(archive: Archive) -> Edits:
    return Edits(archive.database, archive.store, archive.writer)


def described(client: Client, uid: str) -> list[str]:
    """The Study Description of each object of a study, as files."""
    answer = client.get(f"/studies/{uid}", headers={"Accept": ANY})
    assert answer.status_code == 200, answer.text
    files = [content for _, content in parts(answer)]
    return [str(pydicom.dcmread(io.BytesIO(file)).StudyDescription) for file in files]


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=str
)
def test_objects_and_metadata_leave_as_they_were_edited(tmp_path: Path, syntax: str) -> None:
    with opened_archive(tmp_path) as (client, archive):
        objects = [image(1, syntax=syntax), image(2, syntax=syntax)]
        send(client, *objects)
        uid = str(objects[0].StudyInstanceUID)
        before = client.get(f"/studies/{uid}/metadata")
        change = {"00081030": {"vr": "LO", "Value": ["Lübeck, Straße"]}}
        edits(archive).attributes(Target.study(uid), change, WHO)
        assert described(client, uid) == ["Lübeck, Straße"] * 2
        models = client.get(f"/studies/{uid}/metadata", headers={"If-None-Match": before.headers["etag"]}).json()
        assert [model["00081030"]["Value"] for model in models] == [["Lübeck, Straße"]] * 2
        found = client.get(
            "/studies", params={"StudyDescription": "lubeck*", "includefield": "StudyDescription"}
        ).json()
        assert [one["00081030"]["Value"] for one in found] == [["Lübeck, Straße"]]
        path = f"/studies/{uid}/series/{objects[0].SeriesInstanceUID}/instances/{objects[0].SOPInstanceUID}"
        alone = client.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert int(alone.headers["content-length"]) == len(alone.content)
        read = pydicom.dcmread(io.BytesIO(alone.content))
        [item] = read.OriginalAttributesSequence
        assert item.ModifiedAttributesSequence[0].StudyDescription == "CHEST"
        assert read.PixelData == objects[0].PixelData
        other = client.get(path, headers={"Accept": f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"})
        assert int(other.headers["content-length"]) == len(other.content)
        assert pydicom.dcmread(io.BytesIO(other.content)).StudyDescription == "Lübeck, Straße"
        model = client.get(f"{path}/metadata").json()
        assert model[0]["00081030"]["Value"] == ["Lübeck, Straße"]


@pytest.mark.parametrize(("rejected", "expected"), [("hide", [2]), ("show", [1, 2]), ("only", [1])])
def test_dicomweb_shows_rejected_objects_as_its_ae_is_set(tmp_path: Path, rejected: str, expected: list[int]) -> None:
    ae = HostedAE(rejected=rejected)  # type: ignore[arg-type]
    with opened_archive(tmp_path, ae=ae) as (client, archive):
        objects = [image(1), image(2)]
        send(client, *objects)
        uid, series, first = (str(objects[0][tag].value) for tag in (0x0020000D, 0x0020000E, 0x00080018))
        Rejecting(archive.database, archive.context.ingest, "ISOCENTER").reject(QUALITY, uid, series, first, WHO)
        answers = [client.get(f"/studies/{uid}/{what}").json() for what in ("instances", "metadata")]
        for answer in answers:
            assert sorted(one["00200013"]["Value"][0] for one in answer) == expected
        assert len(described(client, uid)) == len(expected)
        [study] = client.get("/studies").json()
        assert study["00201208"]["Value"] == [len(expected)]
        assert study["00080061"]["Value"] == ["CT"]
        for number, one in enumerate(objects, 1):
            path = f"/studies/{uid}/series/{series}/instances/{one.SOPInstanceUID}"
            for more in ("", "/metadata", "/frames/1"):
                assert client.get(path + more, headers={"Accept": "*/*"}).status_code == (
                    200 if number in expected else 404
                )


def test_stow_names_the_study_that_a_split_series_is_in(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as (client, archive):
        first = image(1)
        send(client, first)
        there = f"{first.StudyInstanceUID}.77"
        edits(archive).split_series(str(first.StudyInstanceUID), str(first.SeriesInstanceUID), there, WHO)
        for late in (image(2), image(2), first):  # new, and sent again
            [told] = send(client, late).json()["00081199"]["Value"]
            [url] = told["00081190"]["Value"]
            assert f"/studies/{there}/series/{first.SeriesInstanceUID}/instances/{late.SOPInstanceUID}" in url
            answer = client.get(url.partition("/dicom-web")[2], headers={"Accept": ANY})
            assert answer.status_code == 200, answer.text
