"""The Non-Patient Instance service of PS3.18 12, with pydicom's own well-known palettes and objects of every class."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from archives import Object
from isocenter.declarations.non_patient import MODEL_OF, RESOURCES
from isocenter.dicom import uids
from isocenter.dicom.part10 import outgoing_header
from non_patient_objects import IMPLANT, PROTOCOL, hanging, implant, palette, plain, uid_of
from web_archive import STOW, Archive, image, multipart, opened_archive, part10, parts

JSON = {"Content-Type": "application/dicom+json"}
PALETTES = [Path(name) for name in get_palette_files("*.dcm")]
_REFERENCED, _FAILED, _REASON, _URL = "00081199", "00081198", "00081197", "00081190"


def _file(each: Object) -> bytes:
    return outgoing_header(each.sop_class, each.sop_uid, each.syntax) + each.data


def _store(client: httpx.Client, name: str, *files: bytes) -> httpx.Response:
    return client.post(name, content=multipart(list(files)), headers=STOW)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Archive]]:
    with opened_archive(tmp_path_factory.mktemp("non-patient"), allow_delete=True) as (client, archive):
        stored = [hanging(1, name="CHEST"), hanging(2, name="Brust MRT", screens=3, definitions=(("MR", "76752008"),))]
        assert _store(client, "/hanging-protocols", *map(_file, stored)).status_code == 200
        assert _store(client, "/implant-templates", _file(implant(1))).status_code == 200
        files = [path.read_bytes() for path in PALETTES]
        assert _store(client, "/color-palettes", *files, _file(palette(1, label="RAMP"))).status_code == 200
        yield client, archive


@pytest.fixture
def client(web: tuple[httpx.Client, Archive]) -> httpx.Client:
    return web[0]


def _found(client: httpx.Client, query: str) -> list[str]:
    answer = client.get(query)
    assert answer.status_code == 200, answer.text
    return [row["00080018"]["Value"][0] for row in answer.json()]


# --- search


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", (1, 2)),
        ("?HangingProtocolName=CHEST", (1,)),
        ("?HangingProtocolName=Brust*", (2,)),
        ("?00720002=CHEST", (1,)),
        ("?HangingProtocolDefinitionSequence.Modality=MR", (2,)),
        ("?0072000C.00082218.00080100=51185008", (1,)),
        ("?0072000C.00082218.00080100=51185008&0072000C.00080060=MR", ()),
        ("?NumberOfScreens=3", (2,)),
        ("?HangingProtocolCreationDateTime=202402-", (2,)),
        (f"?SOPInstanceUID={uid_of(1)},{uid_of(2)}", (1, 2)),
        ("?limit=1", (1,)),
        ("?limit=1&offset=1", (2,)),
        ("?HangingProtocolUserGroupName=%22%22&emptyvaluematching=true", (1, 2)),
        ("?HangingProtocolName=%22%22&emptyvaluematching=true", ()),
    ],
)
def test_searches(client: httpx.Client, query: str, numbers: tuple[int, ...]) -> None:
    assert _found(client, f"/hanging-protocols{query}") == [uid_of(number) for number in numbers]


def test_a_row_says_what_it_is_and_where(client: httpx.Client) -> None:
    answer = client.get("/hanging-protocols?HangingProtocolName=CHEST")
    (row,) = answer.json()
    assert answer.headers["x-total-count"] == "1"
    assert row["00720004"] == {"vr": "LO", "Value": ["CHEST with priors"]}
    assert row["0072000C"]["Value"][0]["00082218"]["Value"][0]["00080100"]["Value"] == ["51185008"]
    assert client.get(row[_URL]["Value"][0]).status_code == 200
    assert list(row) == sorted(row)


def test_rows_come_as_xml(client: httpx.Client) -> None:
    answer = client.get("/hanging-protocols", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert [kind for kind, _ in parts(answer)] == ["application/dicom+xml"] * 2
    assert ElementTree.fromstring(parts(answer)[0][1]).tag.endswith("NativeDicomModel")


def test_what_is_not_matched_is_said(client: httpx.Client) -> None:
    answer = client.get("/hanging-protocols?PatientID=1&includefield=Rows")
    assert len(answer.json()) == 2
    assert "00100020" in answer.headers["warning"]
    assert "includefield" in answer.headers["warning"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?HangingProtocolCreationDateTime=yesterday", 400),
        ("?Nonsense=1", 400),
        ("?limit=many", 400),
    ],
)
def test_what_can_not_be_read_is_refused(client: httpx.Client, query: str, status: int) -> None:
    assert client.get(f"/hanging-protocols{query}").status_code == status


def test_categories_do_not_mix(client: httpx.Client) -> None:
    assert _found(client, "/implant-templates") == [uid_of(1, IMPLANT)]
    assert _found(client, "/inventories") == []
    assert client.get(f"/color-palettes/{uid_of(1)}").status_code == 404
    assert client.get("/studies").json() == []
    assert client.get("/instances").json() == []


def test_the_well_known_palettes_are_found_by_their_labels(client: httpx.Client) -> None:
    known = [pydicom.dcmread(path) for path in PALETTES]
    assert len(known) == 8
    assert set(_found(client, "/color-palettes?ContentLabel=HOT_IRON")) == {
        str(each.SOPInstanceUID) for each in known if each.ContentLabel == "HOT_IRON"
    }
    assert len(_found(client, "/color-palettes?ContentLabel=*")) == 9


# --- retrieve


@pytest.mark.parametrize("path", PALETTES, ids=lambda path: path.stem)
def test_a_palette_comes_back_as_it_was_in_every_form(client: httpx.Client, path: Path) -> None:
    sent = pydicom.dcmread(path)
    where = f"/color-palettes/{sent.SOPInstanceUID}"
    file = client.get(where, headers={"Accept": "application/dicom"})
    assert file.headers["content-type"] == f"application/dicom; transfer-syntax={uids.EXPLICIT_LE}"
    assert pydicom.dcmread(io.BytesIO(file.content)).to_json_dict() == sent.to_json_dict()
    assert int(file.headers["content-length"]) == len(file.content)
    answer = client.get(where)
    assert answer.headers["content-type"] == "application/dicom+json"
    ((kind, part),) = parts(client.get(where, headers={"Accept": 'multipart/related; type="application/dicom"'}))
    assert (kind, part) == (file.headers["content-type"], file.content)
    (model,) = answer.json()
    wanted = sent.to_json_dict()
    wanted.pop("00080005", None)  # text leaves as UTF-8
    assert {tag: value for tag, value in model.items() if tag in wanted} == wanted
    ((kind, xml),) = parts(client.get(where, headers={"Accept": 'multipart/related; type="application/dicom+xml"'}))
    assert kind == "application/dicom+xml"
    assert f">{sent.ContentLabel}<".encode() in xml


def test_long_values_stand_beside(client: httpx.Client) -> None:
    where = f"/color-palettes/{uid_of(1, palette().sop_class)}"
    (model,) = client.get(where).json()
    assert "InlineBinary" in model["00281202"]
    value = client.get(model["00281203"]["BulkDataURI"])
    assert value.content == bytes(range(256)) * 300
    assert client.get(f"{where}/bulkdata/00280000").status_code == 404


def test_conditional_requests_and_ranges(client: httpx.Client) -> None:
    where = f"/hanging-protocols/{uid_of(1)}"
    for accept in ("application/dicom", "application/dicom+json"):
        first = client.get(where, headers={"Accept": accept})
        again = client.get(where, headers={"Accept": accept, "If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
    some = client.get(where, headers={"Accept": "application/dicom", "Range": "bytes=128-131"})
    assert (some.status_code, some.content) == (206, b"DICM")


def test_other_transfer_syntaxes(client: httpx.Client) -> None:
    implicit = hanging(30, syntax=uids.IMPLICIT_LE)
    assert _store(client, "/hanging-protocols", _file(implicit)).status_code == 200
    where = f"/hanging-protocols/{uid_of(30)}"
    # Implicit VR never leaves over the web (PS3.18 8.7.3)
    answer = client.get(where, headers={"Accept": f"application/dicom; transfer-syntax={ImplicitVRLittleEndian}"})
    assert answer.status_code == 406
    plainly = client.get(where, headers={"Accept": "application/dicom"})
    assert plainly.headers["content-type"].endswith(uids.EXPLICIT_LE)
    assert len(plainly.content) == int(plainly.headers["content-length"])
    assert client.delete(where).status_code == 204


@pytest.mark.parametrize("accept", ["image/png", "application/zip", "text/html", 'multipart/related; type="video/mp4"'])
def test_what_it_does_not_come_as(client: httpx.Client, accept: str) -> None:
    assert client.get(f"/hanging-protocols/{uid_of(1)}", headers={"Accept": accept}).status_code == 406


# --- store and delete


@pytest.mark.parametrize("sop_class", sorted(MODEL_OF))
def test_every_class_has_its_resource(client: httpx.Client, sop_class: str) -> None:
    sent = plain(sop_class, 60)
    name = f"/{MODEL_OF[sop_class].resource}"
    answer = _store(client, f"{name}/{sent.sop_uid}", _file(sent))
    assert answer.status_code == 200
    (one,) = answer.json()[_REFERENCED]["Value"]
    assert one[_URL]["Value"][0].endswith(f"{name}/{sent.sop_uid}")
    assert client.get(one[_URL]["Value"][0]).json()[0]["00080016"]["Value"] == [sop_class]
    assert client.delete(f"{name}/{sent.sop_uid}").status_code == 204
    assert client.get(f"{name}/{sent.sop_uid}").status_code == 404
    assert client.delete(f"{name}/{sent.sop_uid}").status_code == 404


def test_metadata_is_taken(client: httpx.Client) -> None:
    model = Dataset()
    model.SOPClassUID, model.SOPInstanceUID = PROTOCOL, uid_of(61, PROTOCOL)
    model.Modality, model.ContentLabel = "CT", "ABDOMEN"
    body = json.dumps([model.to_json_dict()])
    assert client.post("/defined-procedure-protocols", content=body, headers=JSON).status_code == 200
    assert _found(client, "/defined-procedure-protocols?Modality=CT") == [uid_of(61, PROTOCOL)]


@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("/hanging-protocols", part10(image(1)), 0x0122),
        ("/color-palettes", _file(hanging(62)), 0x0122),
        (f"/hanging-protocols/{uid_of(63)}", _file(hanging(62)), 0xA900),
    ],
    ids=["an image", "another category", "another instance"],
)
def test_what_belongs_elsewhere_is_refused(client: httpx.Client, name: str, file: bytes, reason: int) -> None:
    answer = _store(client, name, file)
    assert answer.status_code == 409
    (failed,) = answer.json()[_FAILED]["Value"]
    assert failed[_REASON]["Value"] == [reason]
    assert client.get(f"/hanging-protocols/{uid_of(62)}").status_code == 404


def test_what_fails_does_not_keep_the_rest_out(client: httpx.Client) -> None:
    answer = _store(client, "/hanging-protocols", _file(hanging(64)), part10(image(1)))
    assert answer.status_code == 202
    assert len(answer.json()[_REFERENCED]["Value"]) == len(answer.json()[_FAILED]["Value"]) == 1


def test_the_studies_resource_takes_them_and_says_where_they_are(client: httpx.Client) -> None:
    answer = _store(client, "/studies", _file(hanging(65)), part10(image(1, study="beside")))
    assert answer.status_code == 200
    urls = [one[_URL]["Value"][0] for one in answer.json()[_REFERENCED]["Value"]]
    assert urls[0].endswith(f"/hanging-protocols/{uid_of(65)}")
    assert all(client.get(url).status_code == 200 for url in urls)
    assert answer.json()[_URL]["Value"][0].endswith(f"/studies/{image(1, study='beside').StudyInstanceUID}")
    assert client.delete(f"/studies/{image(1, study='beside').StudyInstanceUID}").status_code == 204


def test_deletion_is_off_unless_it_is_allowed(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as (client, _):
        assert client.delete(f"/hanging-protocols/{uid_of(1)}").status_code == 403


# --- capabilities


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_the_capabilities_name_the_resources(client: httpx.Client, name: str) -> None:
    described = client.get("/", headers={"Accept": "application/json"}).json()["paths"]
    assert described[f"/{name}"]["get"]["summary"] == "Search for Non-Patient Instances"
    assert described[f"/{name}/{{uid}}"]["get"]["summary"] == "Retrieve Non-Patient Instances"
    assert described[f"/{name}/{{uid}}"]["post"]["summary"] == "Store Non-Patient Instances"
    assert client.options(f"/{name}").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert client.put(f"/{name}").status_code == 405
