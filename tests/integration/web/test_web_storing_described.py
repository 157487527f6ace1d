"""STOW-RS of metadata with bulk data, in JSON and XML, against what pydicom reads of the stored object."""

import base64
import gzip
import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from isocenter.dicom import json_model, xml_model
from isocenter.dicom.part10 import read_header
from isocenter.web.dicomweb import described as described_parts
from web_archive import Archive, image, part10

Web = tuple[httpx.Client, Archive]
Part = tuple[str, str, bytes]
"""Content-Type, Content-Location, content."""
JSON, XML = "application/dicom+json", "application/dicom+xml"
LOCATION = "https://client.example/bulk"
FRAMES = [b"\xff\xd8first frame\xff\xd9", b"\xff\xd8second\xff\xd9"]


def described(made: Dataset, **changed: Any) -> dict[str, Any]:
    """The object as DICOM JSON, its large values by reference."""
    file = part10(made)
    header = read_header(file)
    model = json.loads(
        json_model.write(file[header.offset :], header.syntax, bulk_uri=f"{LOCATION}/{made.SOPInstanceUID}")
    )
    return {**model, **changed}


def values(made: Dataset, model: dict[str, Any]) -> list[Part]:
    """The bulk data parts of a model."""
    return [
        ("application/octet-stream", member["BulkDataURI"], bytes(made[int(tag, 16)].value))
        for tag, member in model.items()
        if "BulkDataURI" in member
    ]


def body(parts: list[Part]) -> bytes:
    out = b""
    for kind, location, content in parts:
        named = f"Content-Location: {location}\r\n" if location else ""
        out += f"--BOUNDARY\r\nContent-Type: {kind}\r\n{named}\r\n".encode() + content + b"\r\n"
    return out + b"--BOUNDARY--\r\n"


def post(client: httpx.Client, parts: list[Part], kind: str = JSON, **headers: str) -> httpx.Response:
    content_type = f'multipart/related; type="{kind}"; boundary=BOUNDARY'
    sent = body(parts)
    sent = gzip.compress(sent) if headers.get("Content-Encoding") == "gzip" else sent
    return client.post("/studies", content=sent, headers={"Content-Type": content_type, **headers})


def kept(client: httpx.Client, made: Dataset) -> Dataset:
    where = f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    answer = client.get(where, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code == 200, answer.text
    return dcmread(io.BytesIO(answer.content))


def same(found: Dataset, made: Dataset) -> None:
    for element in made:
        assert found[element.tag].value == element.value, element.tag


def rich() -> Dataset:
    """An object with numbers, sequences, a private block and a value beyond the default repertoire."""
    made = image(1)
    made.AnatomicRegionSequence = [Dataset()]
    made.AnatomicRegionSequence[0].CodeMeaning = "Lunge, rechts (größer)"
    made.AnatomicRegionSequence[0].add_new(0x00420011, "OB", bytes(range(256)) * 20)
    made.ImagePositionPatient = ["1.5", "-2", "3e1"]
    made.SmallestImagePixelValue = 7
    made.RTBeamLimitingDeviceOffset = 2.25
    made.FrameIncrementPointer = 0x00181063
    made.add_new(0x00090010, "LO", "ACME 1")
    return made


@pytest.mark.req("I-STOW-02", "I-STOW-04")
@pytest.mark.parametrize("kind", [JSON, XML])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_an_object_described_is_the_object(web: Web, kind: str, order: int, coding: str) -> None:
    client, _ = web
    made = rich()
    model = described(made)
    nested = model["00082218"]["Value"][0]["00420011"]
    parts = [*values(made, model), ("application/octet-stream", nested["BulkDataURI"],
                                    made.AnatomicRegionSequence[0][0x00420011].value)]  # fmt: skip
    assert len(parts) > 1
    told = json.dumps([model]).encode() if kind == JSON else xml_model.of_object(model)
    headers = {"Content-Encoding": coding} if coding else {}
    answer = post(client, [(kind, "", told), *parts][::order], kind, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["00081199"]["Value"][0]["00081155"]["Value"] == [made.SOPInstanceUID]
    found = kept(client, made)
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.SpecificCharacterSet == "ISO_IR 192"
    same(found, made)


def test_many_objects_and_any_order_of_parts(web: Web) -> None:
    client, _ = web
    objects = [image(n) for n in range(1, 4)]
    models = [described(each) for each in objects]
    parts: list[Part] = [(JSON, "", json.dumps(models[:2]).encode()), (JSON, "", json.dumps(models[2]).encode())]
    parts += [part for each, model in zip(objects, models, strict=True) for part in values(each, model)]
    shuffled = list(itertools.chain(parts[::2], parts[1::2]))
    assert post(client, shuffled).status_code == 200
    for each in objects:
        same(kept(client, each), each)


@pytest.mark.parametrize(
    ("kind", "told", "syntax"),
    [
        (f"image/jpeg; transfer-syntax={JPEGBaseline8Bit}", "", JPEGBaseline8Bit),
        ("image/jpeg", JPEGBaseline8Bit, JPEGBaseline8Bit),
        ("image/jpeg", "", "1.2.840.10008.1.2.4.70"),
        ("image/dicom+jp2", "", "1.2.840.10008.1.2.4.90"),
    ],
)
@pytest.mark.parametrize("numbered", [True, False])
def test_compressed_frames(web: Web, kind: str, told: str, syntax: str, numbered: bool) -> None:
    client, _ = web
    made = image(1, NumberOfFrames=2, BitsAllocated=8, BitsStored=8, HighBit=7)
    model = described(made, **{"7FE00010": {"vr": "OB", "BulkDataURI": "pixels"}})
    if told:
        model["00083002"] = {"vr": "UI", "Value": [told]}
    frames = [(kind, f"pixels/frames/{n}" if numbered else "pixels", frame) for n, frame in enumerate(FRAMES, 1)]
    if numbered:
        frames.reverse()
    answer = post(client, [(JSON, "", json.dumps([model]).encode()), *values(made, model)[:-1], *frames])
    assert answer.status_code == 200, answer.text
    found = kept(client, made)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert [frame.rstrip(b"\0") for frame in generate_frames(found.PixelData, number_of_frames=2)] == FRAMES


def test_metadata_alone(web: Web) -> None:
    client, _ = web
    made = image(1)
    model = described(made)
    model["00091010"] = {"vr": "OB", "InlineBinary": base64.b64encode(made[0x00091010].value).decode()}
    model["7FE00010"] = {"vr": "OW", "InlineBinary": base64.b64encode(made.PixelData).decode()}
    answer = client.post("/studies", content=json.dumps(model), headers={"Content-Type": JSON})
    assert answer.status_code == 200
    same(kept(client, made), made)


@pytest.mark.req("I-STOW-ST-02", "I-STOW-ST-06", "I-STOW-RS-07")
def test_what_lacks_a_part_fails_alone(web: Web) -> None:
    client, archive = web
    objects = [image(1), image(2)]
    models = [described(each) for each in objects]
    parts: list[Part] = [(JSON, "", json.dumps(models).encode()), *values(objects[0], models[0])]
    answer = post(client, parts)
    assert answer.status_code == 202
    assert [item["00081155"]["Value"][0] for item in answer.json()["00081198"]["Value"]] == [objects[1].SOPInstanceUID]
    assert [item["00081197"]["Value"][0] for item in answer.json()["00081198"]["Value"]] == [0xC000]
    assert len(list(archive.store.keys())) == 1
    assert post(client, [(JSON, "", json.dumps([models[1]]).encode())]).status_code == 409


@pytest.mark.req("I-STOW-ST-03")
@pytest.mark.parametrize(
    ("kind", "told", "status"),
    [
        (JSON, b"[{]", 400), (JSON, b"17", 400), (JSON, b'["x"]', 400), (JSON, b"[" * 100_000, 400), (JSON, b"", 400),
        (JSON, b"\xff\xfe", 400), (JSON, b"[{}]", 400), (XML, b"<a/>", 400), (XML, b"<NativeDicomModel", 400),
        (XML, b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>', 400),
        (XML, b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><NativeDicomModel/>', 400),
        (XML, b"<NativeDicomModel>" + b"<Item>" * 100_000, 400),
        (JSON, b'[{"00080016":{"vr":"UI","Value":["1.2"]},"00080018":{"vr":"UI","Value":[{}]}}]', 400),
        (JSON, b'[{"00080016":{"vr":"UI","Value":["1.2"]},"00080018":{"vr":"UI","Value":["1.3"]},"00280010":7}]', 409),
    ],
)  # fmt: skip
def test_what_is_no_metadata(web: Web, kind: str, told: bytes, status: int) -> None:
    client, archive = web
    answer = post(client, [(kind, "", told)], kind)
    assert answer.status_code == status, answer.text
    assert list(archive.store.keys()) == []


@pytest.mark.req("I-STOW-ST-03")
def test_metadata_that_is_too_large(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = web
    monkeypatch.setattr(described_parts, "_LONGEST", 1000)
    made = image(1)
    assert post(client, [(JSON, "", json.dumps([described(made)]).encode())]).status_code == 413


def test_a_full_disk_is_503(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client, archive = web

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    made = image(1)
    model = described(made)
    monkeypatch.setattr(described_parts.os, "write", full)
    answer = post(client, [*values(made, model), (JSON, "", json.dumps([model]).encode())])
    monkeypatch.undo()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert list(archive.store.keys()) == []


def test_what_must_stay_free_stays_free(opened: Callable[..., Web]) -> None:
    client, archive = opened(floor=1 << 60)
    made = image(1)
    model = described(made)
    answer = post(client, [(JSON, "", json.dumps([model]).encode()), *values(made, model)])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert list(archive.store.keys()) == []


def test_a_part_without_a_name_is_told(web: Web) -> None:
    client, _ = web
    made = image(1)
    model = described(made)
    parts = [(JSON, "", json.dumps([model]).encode()), *values(made, model), ("text/plain", "", b"x")]
    assert post(client, parts).status_code == 202
