"""WADO-RS beyond the bytes: what may leave in which syntax, ZIP files, ranges, conditions, codings."""

import io
import zipfile
from collections.abc import Iterator

import httpx
import pytest
import zstandard
from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from web_archive import Archive, image, opened_archive, part10, parts, send

Web = tuple[httpx.Client, Archive]
IMPLICIT = image(1, study="implicit", syntax=ImplicitVRLittleEndian)
LARGE = image(3, study="large", Rows=1000, Columns=1500, PixelData=bytes(3_000_000))
STUDY = [image(n, study="many", series=s, SeriesNumber=int(s)) for s in ("1", "2") for n in (1, 2)]
UNKEYED = image(1, study="unkeyed", StudyID="", PatientID="", InstanceNumber=None)
REPORT = image(9, study="unkeyed", series="report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")


def path(made: object, level: str = "instance") -> str:
    found = f"/studies/{made.StudyInstanceUID}"  # type: ignore[attr-defined]
    if level != "study":
        found += f"/series/{made.SeriesInstanceUID}"  # type: ignore[attr-defined]
    return found + (f"/instances/{made.SOPInstanceUID}" if level == "instance" else "")  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, IMPLICIT, LARGE, *STUDY, UNKEYED, REPORT)
        yield client, archive


@pytest.mark.parametrize("asked", ["*", ""])
def test_implicit_and_big_endian_stay_here(loaded: Web, asked: str) -> None:
    wish = f"; transfer-syntax={asked}" if asked else ""
    accept = {"Accept": f'multipart/related; type="application/dicom"{wish}'}
    ((kind, file),) = parts(loaded[0].get(path(IMPLICIT), headers=accept))
    assert kind.endswith(f"transfer-syntax={ExplicitVRLittleEndian}")
    assert dcmread(io.BytesIO(file)).PixelData == IMPLICIT.PixelData


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_they_can_not_be_asked_for(loaded: Web, syntax: str) -> None:
    for made in (IMPLICIT, LARGE):
        accept = {"Accept": f"application/dicom; transfer-syntax={syntax}"}
        assert loaded[0].get(path(made), headers=accept).status_code == 406


def test_the_accept_parameter_stands_before_the_header(loaded: Web) -> None:
    client, _ = loaded
    answer = client.get(path(LARGE), params={"accept": "application/dicom"}, headers={"Accept": "text/html"})
    assert answer.headers["content-type"].startswith("application/dicom;")
    weighed = 'multipart/related; type="application/dicom"; q=0.2, application/dicom; q=0.7, text/html'
    assert client.get(path(LARGE), headers={"Accept": weighed}).headers["content-type"].startswith("application/dicom;")


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_a_zip_file_is_a_file_set(loaded: Web, level: str, tmp_path: object) -> None:
    client, _ = loaded
    answer = client.get(path(STUDY[0], level), headers={"Accept": "application/zip"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        found.extractall(str(tmp_path))
    files = FileSet(f"{tmp_path}/DICOMDIR")
    expected = {"study": STUDY, "series": STUDY[:2], "instance": STUDY[:1]}[level]
    assert {one.SOPInstanceUID for one in files} == {one.SOPInstanceUID for one in expected}
    by_uid = {one.SOPInstanceUID: one for one in expected}
    for one in files:
        assert one.load().PixelData == by_uid[one.SOPInstanceUID].PixelData
    files._stage["t"].cleanup()


def test_a_zip_file_holds_what_its_directory_can_not_name(loaded: Web) -> None:
    answer = loaded[0].get(path(UNKEYED, "study"), headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert len(found.namelist()) == 3
        directory = dcmread(io.BytesIO(found.read("DICOMDIR")))
    kinds = [record.DirectoryRecordType for record in directory.DirectoryRecordSequence]
    # the Patient IDs differ, so that there are two patients, in the order in which their objects were filed
    first, second = ["PATIENT", "STUDY", "SERIES", "IMAGE"], ["PATIENT", "STUDY", "SERIES", "SR DOCUMENT"]
    assert kinds in (first + second, second + first)


def test_ranges_of_an_object(loaded: Web) -> None:
    client, _ = loaded
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    whole = client.get(path(LARGE), headers=accept)
    assert whole.headers["accept-ranges"] == "bytes"
    size = len(whole.content)
    for text, start, stop in (("0-99", 0, 100), ("1000000-2500000", 1_000_000, 2_500_001), ("-10", size - 10, size)):
        answer = client.get(path(LARGE), headers={**accept, "Range": f"bytes={text}"})
        assert (answer.status_code, answer.content) == (206, whole.content[start:stop])
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
    assert client.get(path(LARGE), headers={**accept, "Range": f"bytes={size}-"}).status_code == 416
    tag = whole.headers["etag"]
    assert client.get(path(LARGE), headers={**accept, "Range": "bytes=0-9", "If-Range": tag}).status_code == 206
    assert client.get(path(LARGE), headers={**accept, "Range": "bytes=0-9", "If-Range": '"x"'}).status_code == 200


@pytest.mark.parametrize("frame", ["small", "large"])
def test_ranges_of_a_frame(loaded: Web, frame: str) -> None:
    client, _ = loaded
    made = LARGE if frame == "large" else IMPLICIT
    answer = client.get(path(made) + "/frames/1", headers={"Accept": "application/octet-stream", "Range": "bytes=4-7"})
    assert (answer.status_code, answer.content) == (206, made.PixelData[4:8])


def test_what_has_not_changed_is_not_sent_again(loaded: Web) -> None:
    client, _ = loaded
    for where, accept in (
        (path(LARGE), "application/dicom"),
        (path(LARGE, "study"), "*/*"),
        (path(STUDY[0], "study"), "application/zip"),
        (path(IMPLICIT) + "/frames/1", "*/*"),
        (path(IMPLICIT) + "/frames/1", "application/octet-stream"),
        (path(IMPLICIT) + "/bulkdata/00091010", "*/*"),
        (path(IMPLICIT) + "/metadata", "*/*"),
    ):
        headers = {"Accept": accept}
        tag = client.get(where, headers=headers).headers["etag"]
        again = client.get(where, headers={**headers, "If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(where, headers={**headers, "If-None-Match": '"other"'}).status_code == 200
    assert client.get(path(LARGE), headers={"Accept": "application/dicom", "If-Match": '"other"'}).status_code == 412


@pytest.mark.req("I-RS-03")
@pytest.mark.parametrize(
    ("asked", "coding"),
    [("gzip", "gzip"), ("zstd", "zstd"), ("deflate", "deflate"), ("identity", ""), ("gzip;q=0, zstd;q=0.5", "zstd"),
     ("br", ""), ("*;q=0", "")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/dicom+json", 'multipart/related; type="application/dicom+xml"'])
@pytest.mark.parametrize("where", [path(STUDY[0]) + "/metadata", path(STUDY[0], "series") + "/metadata", "/instances"])
def test_codings(loaded: Web, asked: str, coding: str, kind: str, where: str) -> None:
    client, _ = loaded
    plain = client.get(where, headers={"Accept": kind, "Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with client.stream("GET", where, headers={"Accept": kind, "Accept-Encoding": asked}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding", "") == coding
    assert decoded(raw, coding) == plain.content


def decoded(raw: bytes, coding: str) -> bytes:
    import zlib

    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    return zlib.decompress(raw, 47 if coding else 15) if coding else raw


def test_a_file_is_as_it_was_sent(loaded: Web) -> None:
    found = loaded[0].get(path(LARGE), headers={"Accept": "application/dicom; transfer-syntax=*"}).content
    assert dcmread(io.BytesIO(found)).PixelData == dcmread(io.BytesIO(part10(LARGE))).PixelData
