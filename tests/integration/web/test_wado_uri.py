"""WADO-URI (PS3.18 chapter 9): what is answered to which query, as an object, a picture or a file within an object."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from isocenter.archive.edits.checks import Target
from isocenter.archive.edits.making import Edits, Who
from picture_objects import DOCUMENT, MP4, bare, kinds, picture
from web_archive import Archive, opened_archive, send

KINDS = kinds()
GREY, FRAMES, BIG, DEFLATED = (KINDS[name] for name in ("grey", "frames", "big", "deflated"))
NAMED = picture("named", PatientName="Zwingli^Huldrych", PatientID="ZH-1531", StudyDescription="ZWINGLI follow-up",
                ReferringPhysicianName="Bullinger^Heinrich", BurnedInAnnotation="NO")  # fmt: skip
BURNED = picture("burned", BurnedInAnnotation="YES")


def _state() -> Dataset:
    made = bare("grey", "1.2.840.10008.5.1.4.1.1.11.1", "PR", SeriesNumber=9)
    made.SeriesInstanceUID, made.SOPInstanceUID = "2.25.11", "2.25.12"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    image, window = Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = GREY.SOPClassUID, GREY.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = GREY.SeriesInstanceUID, [image]
    made.ReferencedSeriesSequence = [series]
    window.WindowCenter, window.WindowWidth = -1000, 2
    made.SoftcopyVOILUTSequence, made.PresentationLUTShape = [window], "IDENTITY"
    return made


STATE = _state()


class Site(NamedTuple):
    client: httpx.Client
    archive: Archive

    def get(self, made: Dataset, accept: str | None = None, **query: object) -> httpx.Response:
        headers = {"Accept": accept} if accept is not None else {}
        return self.client.get(self.url, params=asked(made) | query, headers=headers)

    @property
    def url(self) -> str:
        return self.archive.root.removesuffix("/dicom-web") + "/wado"


def asked(made: Dataset) -> dict[str, Any]:
    return {
        "requestType": "WADO",
        "studyUID": made.StudyInstanceUID,
        "seriesUID": made.SeriesInstanceUID,
        "objectUID": made.SOPInstanceUID,
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, *KINDS.values(), NAMED, BURNED, STATE)
        yield Site(client, archive)


def file(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/dicom")
    return dcmread(io.BytesIO(answer.content))


def shown(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def told(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


# --- media types


@pytest.mark.req("I-URI-01", "I-URI-05")
@pytest.mark.parametrize(
    ("name", "accept", "query", "expected"),
    [
        ("grey", None, {}, "image/jpeg"),
        ("grey", "*/*", {}, "image/jpeg"),
        ("grey", "text/html", {"contentType": "image/png"}, "image/png"),
        ("grey", "image/png;q=0.5,image/gif", {}, "image/gif"),
        ("grey", "application/dicom,*/*", {}, "application/dicom"),
        ("grey", "image/png", {"contentType": "image/jpeg,image/png"}, "image/png"),
        ("grey", None, {"contentType": "image/jp2;q=0.2,image/png;q=0.7"}, "image/png"),
        ("grey", None, {"contentType": "image/jph"}, "image/jph"),
        ("grey", None, {"contentType": "text/html,application/dicom"}, "application/dicom"),
        ("grey", None, {"transferSyntax": "1.2.840.10008.1.2.1"}, "application/dicom"),
        ("frames", None, {}, "application/dicom"),
        ("frames", None, {"frameNumber": 2}, "image/jpeg"),
        ("frames", None, {"rows": 6}, "image/jpeg"),
        ("frames", None, {"contentType": "image/gif"}, "image/gif"),
        ("frames", None, {"contentType": "image/*"}, "image/jpeg"),
        ("pdf", None, {}, "application/dicom"),
        ("pdf", None, {"contentType": "application/pdf"}, "application/pdf"),
        ("mp4", None, {"contentType": "video/mp4"}, "video/mp4"),
        ("mp4", None, {}, "application/dicom"),
        ("report", None, {}, "application/dicom"),
    ],
)
def test_media_types(site: Site, name: str, accept: str | None, query: dict[str, Any], expected: str) -> None:
    answer = site.get(KINDS[name], accept, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == expected


@pytest.mark.parametrize(
    ("name", "query", "word"),
    [
        ("grey", {"contentType": "video/mpeg"}, "image/jpeg"),
        ("report", {"contentType": "image/jpeg"}, "application/dicom"),
        ("report", {"contentType": "text/html"}, "application/dicom"),
        ("report", {"frameNumber": 1}, "pixels"),
        ("pdf", {"contentType": "image/jpeg"}, "application/pdf"),
    ],
)
def test_what_can_not_be_had_is_406(site: Site, name: str, query: dict[str, Any], word: str) -> None:
    assert word in told(site.get(KINDS[name], **query), 406)


def test_files_in_objects_leave_as_they_are_by_ranges_too(site: Site) -> None:
    assert site.get(KINDS["pdf"], contentType="application/pdf").content.rstrip(b"\0") == DOCUMENT.rstrip(b"\0")
    query = asked(KINDS["mp4"]) | {"contentType": "video/mp4"}
    part = site.client.get(site.url, params=query, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, MP4[4:8])


# --- pictures


def test_a_frame_is_chosen(site: Site) -> None:
    first, second = (shown(site.get(FRAMES, frameNumber=n, contentType="image/png")) for n in (1, 2))
    assert first.size == second.size
    assert first.tobytes() != second.tobytes()
    assert shown(site.get(GREY, frameNumber=1)).size == (16, 12)


@pytest.mark.req("I-URI-06")
def test_the_window_the_region_and_the_size_are_heeded(site: Site) -> None:
    png = {"contentType": "image/png"}
    whole = shown(site.get(GREY, **png))
    assert whole.size == (16, 12)
    assert shown(site.get(GREY, **png, rows=24)).size == (32, 24)
    assert shown(site.get(GREY, **png, columns=8)).size == (8, 6)
    assert shown(site.get(GREY, **png, rows=100, columns=8)).size == (8, 6)
    part = shown(site.get(GREY, **png, region="0.5,0.0,1.0,0.5"))
    assert part.tobytes() == whole.crop((8, 0, 16, 6)).tobytes()
    dark = shown(site.get(GREY, **png, windowCenter=3000, windowWidth=10))
    assert set(dark.tobytes()) == {0}


def test_a_presentation_state_says_how_an_image_is_shown(site: Site) -> None:
    """A window in which all is white takes the place of the image's own."""
    query = {"contentType": "image/png", "presentationSeriesUID": STATE.SeriesInstanceUID}
    white = site.get(GREY, **query, presentationUID=STATE.SOPInstanceUID)
    assert set(shown(white).tobytes()) == {255}
    assert white.headers["etag"] != site.get(GREY, contentType="image/png").headers["etag"]
    assert told(site.get(GREY, **query, presentationUID="1.2.3"), 404) == "no such presentation state"
    none = {"presentationSeriesUID": GREY.SeriesInstanceUID, "presentationUID": GREY.SOPInstanceUID}
    assert "presentation state" in told(site.get(GREY, **none), 400)


def test_the_quality_is_heeded(site: Site) -> None:
    sizes = [len(site.get(GREY, imageQuality=n, rows=480).content) for n in (5, 95)]
    assert sizes[0] < sizes[1]


def test_annotation_is_drawn(site: Site) -> None:
    bare, written = (
        shown(site.get(NAMED, contentType="image/png", rows=300, **query)).tobytes()
        for query in ({}, {"annotation": "patient,technique"})
    )
    assert bare != written


# --- objects


@pytest.mark.req("I-URI-04")
@pytest.mark.parametrize(
    ("made", "syntax", "expected"),
    [
        (GREY, None, ExplicitVRLittleEndian),
        (BIG, None, ExplicitVRLittleEndian),
        (DEFLATED, None, ExplicitVRLittleEndian),
        (GREY, JPEGLSLossless, JPEGLSLossless),
        (GREY, f"{JPEGBaseline8Bit},{RLELossless}", RLELossless),
        (GREY, JPEGBaseline8Bit, ExplicitVRLittleEndian),
        (GREY, ImplicitVRLittleEndian, ExplicitVRLittleEndian),
        (GREY, "1.2.3", ExplicitVRLittleEndian),
        (KINDS["mp4"], ExplicitVRLittleEndian, KINDS["mp4"].file_meta.TransferSyntaxUID),
    ],
)
def test_the_transfer_syntax_is_followed_where_it_can_be(site: Site, made: Any, syntax: Any, expected: str) -> None:
    query = {"transferSyntax": syntax} if syntax is not None else {}
    found = file(site.get(made, contentType="application/dicom", **query))
    assert found.file_meta.TransferSyntaxUID == expected
    assert found.SOPInstanceUID == made.SOPInstanceUID


def test_compressed_objects_are_decoded_unless_their_syntax_is_asked_for(site: Site) -> None:
    made = file(site.get(GREY, transferSyntax=JPEG2000Lossless))
    assert made.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert (made.pixel_array == GREY.pixel_array).all()


def test_a_state_is_not_sent_twice(site: Site) -> None:
    for query in ({"contentType": "image/png"}, {"contentType": "application/dicom"}, {"anonymize": "yes"}):
        tag = site.get(NAMED, **query).headers["etag"]
        again = site.client.get(site.url, params=asked(NAMED) | query, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


# --- what is wrong


_UIDS = ("studyUID", "seriesUID", "objectUID")


@pytest.mark.parametrize("name", ["requestType", *_UIDS])
def test_what_is_missing_is_told(site: Site, name: str) -> None:
    query = {key: value for key, value in asked(GREY).items() if key != name}
    assert f"{name} is missing" in told(site.client.get(site.url, params=query), 400)


@pytest.mark.parametrize("name", _UIDS)
def test_what_is_not_there_is_not_found(site: Site, name: str) -> None:
    assert told(site.client.get(site.url, params=asked(GREY) | {name: "1.2.3"}), 404) == "no such instance"


@pytest.mark.req("I-URI-02", "I-URI-03")
def test_get_alone_with_any_headers(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = site.client.request(method, site.url, params=asked(GREY))
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert site.client.options(site.url).status_code == 204
    head = site.client.head(site.url, params=asked(GREY))
    assert (head.status_code, head.content) == (200, b"")
    odd = site.client.get(site.url, params=asked(GREY), headers={"X-Unknown": "1", "Accept-Charset": "x"})
    assert odd.status_code == 200
    assert site.client.get(site.url + "/studies").status_code == 404


def test_a_frame_beyond_the_last_is_a_bad_request(site: Site) -> None:
    assert "frames" in told(site.get(FRAMES, frameNumber=99), 400)
    assert "frames" in told(site.get(GREY, frameNumber=2), 400)


def test_too_many_requests_are_told_when_to_come_again(site: Site) -> None:
    lanes = site.archive.context.lanes
    for lane in (lanes.retrieve, lanes.render):
        room, lane._room = lane._room, 0
        try:
            answer = site.get(GREY)
        finally:
            lane._room = room
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("name", sorted(KINDS))
def test_no_combination_fails_in_the_server(site: Site, name: str) -> None:
    """Rows of parameters by kinds of objects: each is answered, or refused with a reason."""
    for query in (
        {},
        {"contentType": "image/png", "frameNumber": 1},
        {"contentType": "image/gif"},
        {"contentType": "application/dicom", "transferSyntax": JPEGLSLossless},
        {"anonymize": "yes"},
        {"anonymize": "yes", "contentType": "application/dicom", "transferSyntax": RLELossless},
        {"anonymize": "yes", "contentType": "image/png"},
        {"region": "0.1,0.1,0.2,0.2", "rows": 3, "columns": 3},
    ):
        answer = site.get(KINDS[name], **query)
        assert answer.status_code in (200, 403, 406), (query, answer.status_code, answer.text)


# --- de-identified


def test_an_object_is_deidentified(site: Site) -> None:
    answer = site.get(NAMED, contentType="application/dicom", anonymize="yes")
    found = file(answer)
    assert found.PatientIdentityRemoved == "YES"
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID != NAMED.SOPInstanceUID
    assert found.pixel_array.tobytes() == NAMED.pixel_array.tobytes()
    for original in ("Zwingli", "ZH-1531", "Bullinger", NAMED.StudyInstanceUID, NAMED.SOPInstanceUID):
        assert original.encode().lower() not in answer.content.lower()
    assert site.get(NAMED, contentType="application/dicom", anonymize="yes").content == answer.content


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, ExplicitVRLittleEndian])
def test_a_deidentified_object_comes_in_other_transfer_syntaxes(site: Site, syntax: str) -> None:
    for made in (NAMED, DEFLATED, BIG):
        query = {"contentType": "application/dicom", "transferSyntax": syntax}
        found, whole = file(site.get(made, **query, anonymize="yes")), file(site.get(made, **query))
        assert found.file_meta.TransferSyntaxUID == syntax
        assert (found.pixel_array == whole.pixel_array).all()
        assert found.PatientIdentityRemoved == "YES"


def test_a_picture_of_a_deidentified_object_names_nobody(site: Site) -> None:
    bare, asked_for = (
        shown(site.get(NAMED, contentType="image/png", rows=300, **query)).tobytes()
        for query in ({}, {"annotation": "patient", "anonymize": "yes"})
    )
    assert bare == asked_for


@pytest.mark.parametrize("query", [{}, {"contentType": "image/png"}, {"contentType": "application/dicom"}])
def test_what_may_show_the_patient_is_refused(site: Site, query: dict[str, Any]) -> None:
    for made in (BURNED, KINDS["pdf"], KINDS["colour"]):
        if made is KINDS["pdf"] and "png" in str(query):
            continue
        assert "not de-identified" in told(site.get(made, anonymize="yes", **query), 403)


def test_what_may_show_the_patient_leaves_with_a_warning_where_that_is_set(tmp_path: Any) -> None:
    with opened_archive(tmp_path, burned_in="warn") as (client, archive):
        send(client, BURNED)
        for kind in ("image/png", "application/dicom"):
            answer = Site(client, archive).get(BURNED, anonymize="yes", contentType=kind)
            assert answer.status_code == 200
            assert "burned in" in answer.headers["warning"]


def test_what_an_edit_says_is_removed_too(tmp_path: Path) -> None:
    """And so is what was there before, which the edited object keeps."""
    with opened_archive(tmp_path) as (client, archive):
        send(client, NAMED)
        edits = Edits(archive.database, archive.store, archive.writer)
        change = {"00081030": {"vr": "LO", "Value": ["seen by Haller"]}}
        edits.attributes(Target.study(str(NAMED.StudyInstanceUID)), change, Who("tester", "why not"))
        whole = Site(client, archive).get(NAMED, contentType="application/dicom")
        assert b"Haller" in whole.content
        assert b"ZWINGLI" in whole.content
        answer = Site(client, archive).get(NAMED, contentType="application/dicom", anonymize="yes")
        assert file(answer).PatientIdentityRemoved == "YES"
        assert b"haller" not in answer.content.lower()
        assert b"zwingli" not in answer.content.lower()
