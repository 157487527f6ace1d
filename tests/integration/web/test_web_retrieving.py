"""WADO-RS over HTTP: objects, frames, bulk data."""

import io
import os
import time
from collections.abc import Iterator

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from isocenter.dicom.part10 import PRIVATE_CREATOR, read_header
from web_archive import Archive, image, opened_archive, part10, parts, send

Web = tuple[httpx.Client, Archive]
AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
DEFAULT = {"Accept": 'multipart/related; type="application/dicom"'}
SINGLE = {"Accept": "application/dicom; transfer-syntax=*"}
OCTETS = {"Accept": 'multipart/related; type="application/octet-stream"'}
JPEGS = [b"\xff\xd8first frame\xff\xd9\0", b"\xff\xd8second one\xff\xd9"]

EXPLICIT = image(1, study="explicit")
IMPLICIT = image(2, study="implicit", syntax=ImplicitVRLittleEndian)
DEFLATED = image(4, study="deflated", syntax=DeflatedExplicitVRLittleEndian)
FRAMED = image(5, study="framed", NumberOfFrames=3, PixelData=bytes(range(144)))
REPORT = image(7, study="report")
del REPORT.PixelData
BITS = image(8, study="bits", Rows=3, Columns=3, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3,
             PixelData=bytes([0b10101010, 0b11110000, 0b00001111, 0b101]))  # fmt: skip


def big_endian() -> Dataset:
    made = image(3, study="big", syntax=ExplicitVRBigEndian)
    made.PixelData = b"".join(made.PixelData[i : i + 2][::-1] for i in range(0, 48, 2))
    return made


def compressed() -> Dataset:
    made = image(6, study="compressed", NumberOfFrames=2, syntax=JPEGBaseline8Bit, BitsAllocated=8, BitsStored=8)
    made.PixelData = encapsulate(JPEGS)
    made["PixelData"].VR = "OB"
    return made


BIG, COMPRESSED = big_endian(), compressed()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        send(client, EXPLICIT, IMPLICIT, DEFLATED, FRAMED, COMPRESSED, REPORT, BITS)
        headers = {"Content-Type": "application/dicom"}
        assert client.post("/studies", content=part10(BIG), headers=headers).status_code == 200
        yield client, archive


def path(made: Dataset, level: str = "instance") -> str:
    found = f"/studies/{made.StudyInstanceUID}"
    if level != "study":
        found += f"/series/{made.SeriesInstanceUID}"
    return found + (f"/instances/{made.SOPInstanceUID}" if level == "instance" else "")


def data_set(file: bytes) -> bytes:
    return file[read_header(file).offset :]


@pytest.mark.req("I-RS-01", "I-RS-02")
@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("made", [EXPLICIT, DEFLATED, COMPRESSED, REPORT], ids=lambda d: str(d.AccessionNumber))
def test_as_stored_is_byte_for_byte(loaded: Web, made: Dataset, level: str) -> None:
    answer = loaded[0].get(path(made, level), headers=AS_STORED)
    assert answer.status_code == 200
    ((kind, file),) = parts(answer)
    assert kind == f"application/dicom; transfer-syntax={made.file_meta.TransferSyntaxUID}"
    assert data_set(file) == data_set(part10(made))
    header = read_header(file)
    assert header.syntax == made.file_meta.TransferSyntaxUID
    assert PRIVATE_CREATOR.encode() not in file[: header.offset]
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_one_object_by_itself(loaded: Web) -> None:
    answer = loaded[0].get(path(COMPRESSED), headers=SINGLE)
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={JPEGBaseline8Bit}"
    assert data_set(answer.content) == data_set(part10(COMPRESSED))


@pytest.mark.parametrize("made", [EXPLICIT, IMPLICIT, DEFLATED, BIG])
def test_the_default_is_explicit_little_endian(loaded: Web, made: Dataset) -> None:
    answer = loaded[0].get(path(made), headers=DEFAULT)
    ((kind, file),) = parts(answer)
    assert kind.endswith(ExplicitVRLittleEndian)
    found = dcmread(io.BytesIO(file))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.PixelData == bytes((made.InstanceNumber + i) % 256 for i in range(48))
    assert found.PatientName == made.PatientName
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_native_conversions_on_request(loaded: Web, syntax: str) -> None:
    accept = {"Accept": f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'}
    ((_, file),) = parts(loaded[0].get(path(EXPLICIT), headers=accept))
    found = dcmread(io.BytesIO(file))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert found.StudyDescription == EXPLICIT.StudyDescription


def test_what_can_not_be_decoded_comes_as_it_is_stored_or_not_at_all(loaded: Web) -> None:
    client, _ = loaded
    answer = client.get(path(COMPRESSED), headers=DEFAULT)
    assert answer.status_code == 406
    assert JPEGBaseline8Bit in answer.json()["detail"]
    several = {"Accept": f"{DEFAULT['Accept']}, {AS_STORED['Accept']}; q=0.5"}
    assert client.get(path(COMPRESSED), headers=several).status_code == 200
    assert client.get(path(COMPRESSED)).status_code == 200


def test_several_objects_are_in_order_and_converted_together(web: Web) -> None:
    client, _ = web
    send(client, *[image(n, syntax=ImplicitVRLittleEndian if n % 2 else ExplicitVRLittleEndian) for n in (3, 1, 4, 2)])
    for headers in (AS_STORED, DEFAULT):
        answer = client.get(path(image(1), "series"), headers=headers)
        numbers = [dcmread(io.BytesIO(file)).InstanceNumber for _, file in parts(answer)]
        assert numbers == [1, 2, 3, 4]
    assert client.get(path(image(1), "series"), headers=SINGLE).status_code == 406


def test_head_tells_the_length(loaded: Web) -> None:
    client, _ = loaded
    head, got = client.head(path(EXPLICIT), headers=AS_STORED), client.get(path(EXPLICIT), headers=AS_STORED)
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]


def test_head_leaves_nothing_open(web: Web) -> None:
    client, archive = web
    send(client, image(1, Rows=1000, Columns=2500, PixelData=bytes(5_000_000)), image(2))
    client.get(path(image(1), "series") + "/metadata")
    archive.packs.wait()
    archive.packs.forget()
    wheres = [path(image(1)) + tail for tail in ("", "/frames/1", "/bulkdata/7FE00010", "/metadata")]
    wheres.append(path(image(1), "series") + "/metadata")
    before = len(os.listdir("/proc/self/fd"))
    for where in wheres * 5:
        assert client.head(where).status_code == 200
    assert len(os.listdir("/proc/self/fd")) <= before + 2


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("/studies/1.2.3", 404), ("/studies/1.2.3/series/4", 404), (path(EXPLICIT) + "1", 404),
        ("/nothing", 404), (path(EXPLICIT) + "/frames/0", 400), (path(EXPLICIT) + "/frames/x", 400),
        (path(EXPLICIT) + "/frames/2", 404), (path(EXPLICIT) + "/bulkdata/nonsense", 404),
        (path(EXPLICIT) + "/bulkdata/00420011", 404), (path(REPORT) + "/frames/1", 406),
    ],
)  # fmt: skip
def test_what_is_not_there(loaded: Web, where: str, status: int) -> None:
    answer = loaded[0].get(where)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_methods(loaded: Web) -> None:
    client, _ = loaded
    answer = client.put(path(EXPLICIT))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, DELETE"
    answer = client.options("/studies")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


@pytest.mark.parametrize("accept", ["text/html", "image/gif", 'multipart/related; type="image/png"'])
def test_other_types_are_not_acceptable(loaded: Web, accept: str) -> None:
    for where in (path(EXPLICIT), path(EXPLICIT) + "/frames/1", path(EXPLICIT) + "/metadata"):
        assert loaded[0].get(where, headers={"Accept": accept}).status_code == 406


def test_native_frames(loaded: Web) -> None:
    client, _ = loaded
    answer = client.get(path(FRAMED) + "/frames/3,1", headers=OCTETS)
    assert parts(answer) == [
        (f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}", bytes(range(start, start + 48)))
        for start in (96, 0)
    ]
    single = client.get(path(FRAMED) + "/frames/2", headers={"Accept": "application/octet-stream"})
    assert single.content == bytes(range(48, 96))
    several = client.get(path(FRAMED) + "/frames/1,2", headers={"Accept": "application/octet-stream"})
    assert several.status_code == 406


@pytest.mark.parametrize("made", [EXPLICIT, IMPLICIT, DEFLATED, BIG])
def test_frames_are_little_endian_whatever_is_stored(loaded: Web, made: Dataset) -> None:
    ((_, frame),) = parts(loaded[0].get(path(made) + "/frames/1", headers=OCTETS))
    assert frame == bytes((made.InstanceNumber + i) % 256 for i in range(48))


def test_frames_that_begin_within_a_byte(loaded: Web) -> None:
    whole = int.from_bytes(BITS.PixelData, "little")
    expected = [((whole >> 9 * i) & 0x1FF).to_bytes(2, "little") for i in range(3)]
    found = parts(loaded[0].get(path(BITS) + "/frames/1,2,3", headers=OCTETS))
    assert [frame for _, frame in found] == expected


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ('multipart/related; type="image/jpeg"; transfer-syntax=*', "image/jpeg"),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", "application/octet-stream"),
        ("multipart/related; type=image/jpeg", "image/jpeg"),
        ("*/*", "image/jpeg"),
    ],
)
def test_compressed_frames(loaded: Web, accept: str, kind: str) -> None:
    found = parts(loaded[0].get(path(COMPRESSED) + "/frames/1,2", headers={"Accept": accept}))
    assert found == [(f"{kind}; transfer-syntax={JPEGBaseline8Bit}", jpeg) for jpeg in JPEGS] or [
        (each, content.rstrip(b"\0")) for each, content in found
    ] == [(f"{kind}; transfer-syntax={JPEGBaseline8Bit}", jpeg.rstrip(b"\0")) for jpeg in JPEGS]
    assert loaded[0].get(path(COMPRESSED) + "/frames/1", headers=OCTETS).status_code == 406


@pytest.mark.req("I-RS-04")
def test_bulk_data(loaded: Web) -> None:
    client, _ = loaded
    where, expected = path(EXPLICIT) + "/bulkdata/00091010", bytes(range(256)) * 8
    assert client.get(where).content == expected
    assert parts(client.get(where, headers=OCTETS)) == [("application/octet-stream", expected)]
    assert client.get(path(DEFLATED) + "/bulkdata/00091010").content == expected
    assert client.get(path(BIG) + "/bulkdata/7FE00010").content == bytes((3 + i) % 256 for i in range(48))
    found = parts(client.get(path(COMPRESSED) + "/bulkdata/7FE00010"))
    assert [content.rstrip(b"\0") for _, content in found] == [jpeg.rstrip(b"\0") for jpeg in JPEGS]


def test_ranges_of_bulk_data(loaded: Web) -> None:
    client, _ = loaded
    where, whole = path(EXPLICIT) + "/bulkdata/00091010", bytes(range(256)) * 8
    for text, start, stop in (("10-19", 10, 20), ("2000-", 2000, 2048), ("-48", 2000, 2048), ("2040-9999", 2040, 2048)):
        answer = client.get(where, headers={"Range": f"bytes={text}"})
        assert (answer.status_code, answer.content) == (206, whole[start:stop])
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/2048"
    assert client.get(where, headers={"Range": "bytes=5000-"}).status_code == 416
    assert client.get(where, headers={"Range": "lines=1-2"}).status_code == 200


def test_large_values_pass_in_slices(web: Web) -> None:
    client, _ = web
    pixels = bytes(range(256)) * 20_000
    large = image(1, Rows=1000, Columns=2560, PixelData=pixels)
    send(client, large)
    assert parts(client.get(path(large) + "/frames/1", headers=OCTETS))[0][1] == pixels
    ((_, file),) = parts(client.get(path(large), headers=AS_STORED))
    assert data_set(file) == data_set(part10(large))
    deflated = {"Accept": f"application/dicom; transfer-syntax={DeflatedExplicitVRLittleEndian}"}
    assert dcmread(io.BytesIO(client.get(path(large), headers=deflated).content)).PixelData == pixels
    assert client.get(path(large) + "/bulkdata/7FE00010").content == pixels


def test_a_client_that_goes_away_stops_the_reading(web: Web) -> None:
    client, archive = web
    send(client, *[image(n, Rows=1000, Columns=2500, PixelData=bytes(5_000_000)) for n in (1, 2, 3)])
    with client.stream("GET", path(image(1), "study"), headers=AS_STORED) as answer:
        next(answer.iter_raw())
    assert client.get(path(image(1)) + "/frames/1", headers=OCTETS).status_code == 200
    deadline = time.monotonic() + 10
    while archive.context.lanes.retrieve.busy and time.monotonic() < deadline:
        time.sleep(0.005)
    assert archive.context.lanes.retrieve.busy == 0


def test_links_follow_the_proxy(loaded: Web) -> None:
    client, _ = loaded
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pacs.example.org"}
    (row,) = client.get(f"/studies?StudyInstanceUID={EXPLICIT.StudyInstanceUID}", headers=headers).json()
    assert row["00081190"]["Value"][0].startswith("https://pacs.example.org/dicom-web/studies/")


def test_both_roots(loaded: Web) -> None:
    client, archive = loaded
    base = archive.root.removesuffix("/dicom-web")
    assert client.get(f"{base}/dicomweb/studies").json() == client.get(f"{base}/dicom-web/studies").json()
