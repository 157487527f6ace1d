"""Every row of iconnect_dicomweb.csv: proven here, or named in NOT_YET with what is missing; a row in neither fails.

Where that product offers less than PS3.18 (no paging, no JSON at study level, no statuses for WADO-RS), the row is
proven as far as its clients would notice: what they rely on works, and what they would never send may work besides.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from xml.etree import ElementTree

import httpx
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

import wado_uri_rows
import wado_ws_rows
from isocenter.declarations.query_keys import resolve
from material import REQUIREMENTS
from web_archive import STOW, Archive, image, multipart, opened_archive, part10, parts, send

XML = 'multipart/related; type="application/dicom+xml"'
DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
PAIR = [b"\xff\xd8first\xff\xd9\0", b"\xff\xd8second frame\xff\xd9"]


class Row(NamedTuple):
    """One row of the catalogue."""

    number: int
    service: str
    resource: str
    parameter: str
    values: str


def _rows() -> list[Row]:
    with (REQUIREMENTS / "iconnect_dicomweb.csv").open(encoding="utf-8") as file:
        return [
            Row(number, each["service"], each["resource"], each["parameter_or_header"], each["values"])
            for number, each in enumerate(csv.DictReader(file), 2)
        ]


ROWS = _rows()

NOT_YET: list[tuple[str, str, str, str]] = []
"""Service, resource and parameter as patterns, and why they are not proven here."""


class Site(NamedTuple):
    """The archive that the rows are tried on, and one that asks for a Patient ID."""

    client: httpx.Client
    strict: httpx.Client
    archive: Archive


def rich() -> Any:
    """An object with a value for each attribute that the catalogue's searches name."""
    from pydicom.dataset import Dataset

    made = image(1, study="rich", ReferringPhysicianName="ROE^RICHARD", PhysiciansOfRecord="POE^PAULA", StudyID="S7")
    made.PerformedProcedureStepStartDate, made.PerformedProcedureStepStartTime = "20240131", "103000"
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "SPS1", "RP1"
    made.RequestAttributesSequence = [item]
    made.NumberOfFrames, made.PixelData = 2, bytes(range(96))
    return made


def compressed(study: str, syntax: str) -> Any:
    made = image(1, study=study, syntax=syntax, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=2)
    made.PixelData = encapsulate(PAIR)
    made["PixelData"].VR = "OB"
    return made


RICH = rich()
COMPRESSED = {
    "image/dicom+jpeg": compressed("jpeg", JPEGBaseline8Bit),
    "image/rle": compressed("rle", RLELossless),
    "image/dicom+jp2": compressed("jp2", JPEG2000Lossless),
    "video/mpeg": compressed("mpeg", MPEG2MPML),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    objects = [RICH, image(1, study="other", PatientID="P2", PatientName="DOE^JANE"), *COMPRESSED.values()]
    first, second = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("strict")
    with opened_archive(first) as (client, archive), opened_archive(second, search="patient") as (strict, _):
        send(client, *objects)
        yield Site(client, strict, archive)


# --- QIDO-RS

_LEVELS = {"Studies": "/studies", "Series": "/series", "Instances": "/instances"}


def _searched(row: Row) -> str:
    return next((path for name, path in _LEVELS.items() if f"for {name}" in row.resource), "/studies")


def _within(row: Row) -> str:
    """The same search within the study, where the resource has that form."""
    return f"/studies/{RICH.StudyInstanceUID}{_searched(row)}" if _searched(row) != "/studies" else "/studies"


def accept_of_a_search(site: Site, row: Row) -> None:
    answer = site.client.get(_searched(row), headers={"Accept": XML})
    assert answer.headers["content-type"].startswith(XML)
    found = parts(answer)
    assert found
    assert all(ElementTree.fromstring(text).tag.endswith("NativeDicomModel") for _, text in found)
    if "json" in row.values:
        answer = site.client.get(_searched(row), headers={"Accept": "application/json"})
        assert answer.headers["content-type"] == "application/json"


def listed_attributes(site: Site, row: Row) -> None:
    names = [
        one.parameter for one in ROWS if one.resource == row.resource and "," in one.values and "(" in one.parameter
    ]
    assert len(names) >= 13
    (found, *_) = site.client.get(_within(row), params={"PatientID": "P1", "StudyID": "S7"}).json()
    for name in names:
        path = resolve(name.partition(" ")[0])
        assert path is not None
        assert f"{path[0]:08X}" in found


def no_paging_is_needed(site: Site, row: Row) -> None:
    whole = site.client.get(_searched(row))
    assert len(whole.json()) == int(whole.headers["x-total-count"]) == len(COMPRESSED) + 2


def names_match_literally(site: Site, row: Row) -> None:
    for written in ("DOE^JANE", "doe^jane", "Doe^Jane"):
        assert len(site.client.get(_searched(row), params={"PatientName": written}).json()) == 1
    assert site.client.get(_searched(row), params={"PatientName": "DOE^JAN"}).json() == []


_UNMATCHED = {"RetrieveURL", "InstanceAvailability", "SpecificCharacterSet", "RequestAttributesSequence"}


def one_attribute(site: Site, row: Row) -> None:
    """It is returned, and a search for the returned value finds the object where a search for another doesn't."""
    name = row.parameter.partition(" ")[0]
    path = resolve(name)
    assert path is not None
    asked = {"StudyInstanceUID": RICH.StudyInstanceUID, "includefield": name}
    (found,) = site.client.get(_searched(row), params=asked).json()
    member = found[f"{path[0]:08X}"]
    if name in _UNMATCHED:
        assert member.get("Value")
        assert site.client.get(_searched(row), params={**asked, name: ""}).json() == [found]
        return
    value = member["Value"][0]
    if len(path) > 1:
        value = value[f"{path[1]:08X}"]["Value"][0]
    text = value["Alphabetic"] if isinstance(value, dict) else str(value)
    others = {key: each for key, each in asked.items() if key != name}
    assert len(site.client.get(_searched(row), params={**others, name: text}).json()) == 1, text
    assert site.client.get(_searched(row), params={**others, name: _another(text)}).json() == []


def _another(text: str) -> str:
    return "19010101" if re.fullmatch(r"\d{8}", text) else "010101" if re.fullmatch(r"\d{6}", text) else f"9{text[1:]}9"


_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "S": {"PatientID": ("P2",)},
    "L": {"StudyInstanceUID": (f"{RICH.StudyInstanceUID},{image(1, study='other').StudyInstanceUID}",)},
    "U": {"PatientID": ("", "*"), "InstanceAvailability": ("",)},
    "*": {"PatientName": ("D?E*", "*JANE")},
    "R": {"StudyDate": ("20240131-20240201", "20240101-", "-20240131")},
    "SEQUENCE": {"RequestAttributesSequence.RequestedProcedureID": ("RP1",)},
    "NONE": {"RetrieveURL": ("",)},
    "UNIQUE": {"StudyInstanceUID": (str(RICH.StudyInstanceUID), "")},
}


def kind_of_matching(site: Site, row: Row) -> None:
    kind = row.parameter.rpartition(" ")[2]
    resource = "/series" if kind == "SEQUENCE" else "/studies"
    everything = len(COMPRESSED) + 2
    expected = {"S": 1, "L": 2, "U": everything, "*": 1, "R": everything, "SEQUENCE": 1, "NONE": everything}
    for name, values in _KINDS[kind].items():
        for value in values:
            answer = site.client.get(resource, params={name: value})
            wanted = expected.get(kind, 1 if value else everything)
            assert len(answer.json()) == wanted, (name, value)
            path = resolve(name)
            assert path is not None
            assert all(f"{path[0]:08X}" in each for each in answer.json())


def fuzzy_is_not_the_default(site: Site, row: Row) -> None:
    assert site.client.get("/studies", params={"PatientName": "JANE"}).json() == []
    for name in re.findall(r"\w+Name|PhysiciansOfRecord", "ReferringPhysicianName PhysiciansOfRecord PatientName"):
        assert site.client.get("/studies", params={name: str(RICH[name].value).lower()}).json(), name


def fields_by_name(site: Site, row: Row) -> None:
    (found,) = site.client.get("/studies?PatientID=P2&includefield=InstitutionName").json()
    assert "00080080" in found


def a_patient_must_be_named(site: Site, row: Row) -> None:
    assert site.strict.get("/studies").status_code == 413
    assert site.strict.get("/studies?PatientID=P1").status_code == 200
    assert site.client.get("/studies").status_code == 200


def http_1_1(site: Site, row: Row) -> None:
    answer = site.client.get("/studies")
    assert (answer.http_version, answer.reason_phrase) == ("HTTP/1.1", "OK")


def nothing_unknown_is_passed_over(site: Site, row: Row) -> None:
    assert site.client.get("/studies?NoSuchParameter=1").status_code == 400


def never_asynchronous(site: Site, row: Row) -> None:
    answer = site.client.get("/studies", headers={"Prefer": "respond-async"})
    assert answer.status_code == 200
    stored = site.client.post(
        "/studies", content=multipart([part10(RICH)]), headers={**STOW, "Prefer": "respond-async"}
    )
    assert stored.status_code == 200
    accept = {"Accept": DICOM, "Prefer": "respond-async"}
    assert site.client.get(_path(RICH), headers=accept).status_code == 200


def statuses_of_a_search(site: Site, row: Row) -> None:
    """401 and 403 are the door's (tests/unit/server); 503 stands in test_web_failing."""
    asked = {"/studies": 200, "/studies?PatientID=nobody": 200, "/studies?StudyDate=x": 400}
    for where, status in asked.items():
        assert site.client.get(where).status_code == status
    assert site.strict.get("/studies").status_code == 413


def described_in_wadl(site: Site, row: Row) -> None:
    answer = site.client.get("/?_wadl")
    assert answer.headers["content-type"] == "application/vnd.sun.wadl+xml"
    names = {each.get("id") for each in ElementTree.fromstring(answer.content).iter() if each.tag.endswith("method")}
    needed = {
        "QIDO_RS": {"SearchforStudies", "SearchforSeries", "SearchforInstances"},
        "STOW_RS": {"StoreInstances"},
        "WADO_RS": {"RetrieveStudy", "RetrieveSeries", "RetrieveInstance", "RetrieveFrames", "RetrieveMetadata"},
    }
    assert needed[row.service] <= names


# --- STOW-RS


def stored_media_types(site: Site, row: Row) -> None:
    made = image(5, study="stow")
    assert site.client.post("/studies", content=multipart([part10(made)]), headers=STOW).status_code == 200
    xml = b"--B\r\nContent-Type: application/dicom+xml\r\n\r\n%b\r\n--B--\r\n" % _described(site, made)
    kind = 'multipart/related; type="application/dicom+xml"; boundary=B'
    answer = site.client.post("/studies", content=xml, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    assert site.client.post("/studies", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def _described(site: Site, made: Any) -> bytes:
    """The object in XML, under another UID, without what would need bulk data."""
    ((_, document),) = parts(site.client.get(_path(made) + "/metadata", headers={"Accept": XML}))
    text = re.sub(rb"<DicomAttribute[^>]*><BulkData[^>]*/></DicomAttribute>", b"", document)
    return text.replace(str(made.SOPInstanceUID).encode(), str(image(6, study="stow").SOPInstanceUID).encode())


def any_syntax_is_stored(site: Site, row: Row) -> None:
    for each in COMPRESSED.values():
        assert site.client.post("/studies", content=multipart([part10(each)]), headers=STOW).status_code == 200


def any_class_is_stored(site: Site, row: Row) -> None:
    classes = ("1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.104.1", "1.2.276.0.1.2.3.4")
    objects = [image(n, study="classes", SOPClassUID=one) for n, one in enumerate(classes)]
    for each in objects:
        each.file_meta.MediaStorageSOPClassUID = each.SOPClassUID
    send(site.client, *objects)


def large_objects_are_stored(site: Site, row: Row) -> None:
    large = image(1, study="large", Rows=2000, Columns=2500, PixelData=bytes(10_000_000))
    send(site.client, large)
    assert len(site.client.get(_path(large), headers={"Accept": "application/dicom"}).content) > 10_000_000


def store_response(site: Site, row: Row) -> None:
    headers = {**STOW, "Accept": "application/dicom+xml"}
    answer = site.client.post("/studies", content=multipart([part10(RICH), b"nonsense"]), headers=headers)
    assert answer.status_code == 202
    tags = {each.get("tag") for each in ElementTree.fromstring(answer.content).iter()}
    assert {"00081199", "00081155", "00081190", "0008119A", "00081197"} <= tags


def statuses_of_a_store(site: Site, row: Row) -> None:
    """503 stands in test_web_failing, 401 and 403 are the door's."""
    other = "/studies/1.2.3"
    bodies = {200: [part10(RICH)], 202: [part10(RICH), b"nonsense"], 400: [b"nonsense"]}
    for status, files in bodies.items():
        assert site.client.post("/studies", content=multipart(files), headers=STOW).status_code == status
    assert site.client.post(other, content=multipart([part10(RICH)]), headers=STOW).status_code == 409


def a_store_takes_no_other_method(site: Site, row: Row) -> None:
    assert site.client.put("/studies").status_code == 405


# --- WADO-RS


def _path(made: Any, level: str = "Instance") -> str:
    found = f"/studies/{made.StudyInstanceUID}"
    if level != "Study":
        found += f"/series/{made.SeriesInstanceUID}"
    return found + (f"/instances/{made.SOPInstanceUID}" if level not in ("Study", "Series") else "")


def _retrieved(row: Row, made: Any) -> str:
    level = row.resource.split()[1]
    return _path(made, level) + ("/frames/1,2" if level == "Frames" else "")


def accept_of_a_retrieval(site: Site, row: Row) -> None:
    """Objects come as application/dicom; their pixels as the other types, from the frames resource."""
    assert site.client.get(_retrieved(row, RICH).partition("/frames")[0], headers={"Accept": DICOM}).status_code == 200
    kinds = [kind.strip() for kind in row.values.split("|")][1:]
    for kind in kinds:
        made = COMPRESSED.get(kind, RICH)
        accept = {"Accept": f'multipart/related; type="{kind}"'}
        found = parts(site.client.get(_path(made) + "/frames/1,2", headers=accept))
        assert len(found) == 2, kind
        expected = PAIR if kind in COMPRESSED else [RICH.PixelData[:48], RICH.PixelData[48:]]
        assert [frame.rstrip(b"\0") for _, frame in found] == [frame.rstrip(b"\0") for frame in expected]


def syntax_of_a_retrieval(site: Site, row: Row) -> None:
    frames = "/frames/" in _retrieved(row, RICH)
    for made in (RICH, *COMPRESSED.values()):
        syntax = made.file_meta.TransferSyntaxUID
        kind = "application/octet-stream" if frames else "application/dicom"
        for asked in (str(syntax), "*"):
            accept = {"Accept": f'multipart/related; type="{kind}"; transfer-syntax={asked}'}
            found = parts(site.client.get(_retrieved(row, made), headers=accept))
            assert {name for name, _ in found} == {f"{kind}; transfer-syntax={syntax}"}


def classes_of_a_retrieval(site: Site, row: Row) -> None:
    report = image(1, study="report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    send(site.client, report)
    where = _path(report) if "{bulkdata" in row.resource else _retrieved(row, report).partition("/frames")[0]
    ((_, file),) = parts(site.client.get(where, headers={"Accept": DICOM}))
    assert dcmread(io.BytesIO(file)).SOPClassUID == report.SOPClassUID


def sizes_of_a_retrieval(site: Site, row: Row) -> None:
    large = image(1, study="large", Rows=2000, Columns=2500, PixelData=bytes(10_000_000))
    send(site.client, large)
    tails = {"Metadata": "/metadata", "Bulk": "/bulkdata/7FE00010", "Frames": "/frames/1"}
    tail = next((tail for name, tail in tails.items() if f"Retrieve {name}" in row.resource), "")
    answer = site.client.get(_path(large) + tail)
    assert answer.status_code == 200
    assert tail == "/metadata" or len(answer.content) >= 10_000_000


def metadata_in_xml(site: Site, row: Row) -> None:
    for level in ("Study", "Series", "Instance"):
        answer = site.client.get(_path(RICH, level) + "/metadata", headers={"Accept": XML})
        assert answer.headers["content-type"].startswith(XML)
        ((_, document),) = parts(answer)
        assert ElementTree.fromstring(document).tag.endswith("NativeDicomModel")


def metadata_encoded(site: Site, row: Row) -> None:
    where = _path(RICH, "Series") + "/metadata"
    plain = site.client.get(where, headers={"Accept": XML, "Accept-Encoding": "identity"})
    for coding in (one.strip() for one in row.values.split("|")):
        answer = site.client.get(where, headers={"Accept": XML, "Accept-Encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.content == plain.content


def bulk_data(site: Site, row: Row) -> None:
    uri = site.client.get(_path(RICH) + "/metadata").json()[0]["7FE00010"]["BulkDataURI"]
    for accept in ("application/octet-stream", OCTETS):
        answer = site.client.get(uri, headers={"Accept": accept})
        content = answer.content if accept != OCTETS else parts(answer)[0][1]
        assert content == RICH.PixelData


def syntax_of_bulk_data(site: Site, row: Row) -> None:
    for made in (RICH, *COMPRESSED.values()):
        syntax = made.file_meta.TransferSyntaxUID
        accept = {"Accept": f"{OCTETS}; transfer-syntax={syntax}"}
        found = parts(site.client.get(_path(made) + "/bulkdata/7FE00010", headers=accept))
        expected = RICH.PixelData if syntax == ExplicitVRLittleEndian else b"".join(PAIR)
        assert b"".join(part for _, part in found).replace(b"\0", b"") == expected.replace(b"\0", b"")


def statuses_of_a_retrieval(site: Site, row: Row) -> None:
    """The source leaves them open; ours are PS3.18's."""
    asked = {_path(RICH): 200, "/studies/1.2": 404, _path(RICH) + "/frames/x": 400, _path(RICH) + "/frames/9": 404}
    for where, status in asked.items():
        assert site.client.get(where).status_code == status
    assert site.client.get(_path(RICH), headers={"Accept": "text/html"}).status_code == 406


def nothing_found_is_told(site: Site, row: Row) -> None:
    answer = site.client.get("/studies/1.2.3")
    assert (answer.status_code, answer.json()["detail"]) == (404, "no such study")


def all_matches_are_returned(site: Site, row: Row) -> None:
    objects = [image(n, study="all") for n in range(3)]
    send(site.client, *objects)
    found = parts(site.client.get(_path(objects[0], "Study"), headers={"Accept": DICOM}))
    assert {dcmread(io.BytesIO(file)).SOPInstanceUID for _, file in found} == {one.SOPInstanceUID for one in objects}


def all_matches_are_rendered(site: Site, row: Row) -> None:
    objects = [image(n, study="rendered") for n in range(3)]
    send(site.client, *objects)
    found = parts(site.client.get(_path(objects[0], "Study") + "/rendered", headers={"Accept": "image/jpeg"}))
    assert len(found) == 3
    assert all(content.startswith(b"\xff\xd8\xff") for _, content in found)


# --- all services


def tls_in_front(site: Site, row: Row) -> None:
    headers = {"Forwarded": "for=192.0.2.1; proto=https; host=pacs.example.org"}
    (found,) = site.client.get("/studies?PatientID=P2", headers=headers).json()
    assert found["00081190"]["Value"][0].startswith("https://pacs.example.org/")


def simultaneous_requests(site: Site, row: Row) -> None:
    lanes, get, post = site.archive.context.lanes, site.client.get, site.client.post
    body = multipart([part10(RICH)])
    asked: dict[Any, Callable[[], httpx.Response]] = {
        lanes.query: lambda: get("/studies"),
        lanes.retrieve: lambda: get(_path(RICH)),
        lanes.render: lambda: get(_path(RICH) + "/rendered"),
        lanes.ingest: lambda: post("/studies", content=body, headers=STOW),
    }
    for lane, request in asked.items():
        room, lane._room = lane._room, 0
        try:
            answer = request()
        finally:
            lane._room = room
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert request().status_code == 200


def any_syntax_of_wado_ws(site: Site, row: Row) -> None:
    wado_ws_rows.any_syntax(site, row, COMPRESSED)


Check = Callable[[Site, Row], None]
_KEYS = r"\w+(\.\w+)? \([0-9A-F.]+\)"
PROVEN: list[tuple[str, str, str, Check]] = [
    ("QIDO_RS", "Search .*", "Accept", accept_of_a_search),
    ("QIDO_RS", "Search .*", "(matching|return) attributes", listed_attributes),
    ("QIDO_RS", "Search .*", "limit; offset", no_paging_is_needed),
    ("QIDO_RS", "Search .*", "person name matching", names_match_literally),
    ("QIDO_RS", "Search .*", _KEYS, one_attribute),
    ("QIDO_RS", "All searches", r"type of matching \S+", kind_of_matching),
    ("QIDO_RS", "All searches", "fuzzymatching", fuzzy_is_not_the_default),
    ("QIDO_RS", "All searches", "includefield", fields_by_name),
    ("QIDO_RS", "All searches", "PatientID", a_patient_must_be_named),
    ("QIDO_RS", "All searches", "HTTP version", http_1_1),
    ("QIDO_RS", "All searches", "PS3.18 options", nothing_unknown_is_passed_over),
    ("QIDO_RS", "All searches", "HTTP status", statuses_of_a_search),
    (".*_RS", ".*", "asynchronous response", never_asynchronous),
    (".*_RS", ".*", "_wadl", described_in_wadl),
    ("STOW_RS", "Store .*", "Accept .*", stored_media_types),
    ("STOW_RS", "Store .*", "transfer syntax", any_syntax_is_stored),
    ("STOW_RS", "Store .*", "SOP class", any_class_is_stored),
    ("STOW_RS", "Store .*", "size", large_objects_are_stored),
    ("STOW_RS", "Store .*", "response body", store_response),
    ("STOW_RS", "Store .*", "HTTP status", statuses_of_a_store),
    ("STOW_RS", "Store .*", "PS3.18 options", a_store_takes_no_other_method),
    ("WADO_RS", "Retrieve (Study|Series|Instance|Frames) .*", "Accept", accept_of_a_retrieval),
    ("WADO_RS", "Retrieve (Study|Series|Instance|Frames) .*", "Accept; transfer.*", syntax_of_a_retrieval),
    ("WADO_RS", "Retrieve Metadata .*", "Accept", metadata_in_xml),
    ("WADO_RS", "Retrieve Metadata .*", "Accept-Encoding", metadata_encoded),
    ("WADO_RS", "Retrieve Bulk .*", "Accept", bulk_data),
    ("WADO_RS", "Retrieve Bulk .*", "Accept; transfer.*", syntax_of_bulk_data),
    ("WADO_RS", "Retrieve .*", "SOP class", classes_of_a_retrieval),
    ("WADO_RS", "Retrieve .*", "size", sizes_of_a_retrieval),
    ("WADO_RS", "All resources", "HTTP status|PS3.18 options", statuses_of_a_retrieval),
    (r"WADO \(all\)", ".*", "no matching instance", nothing_found_is_told),
    (r"WADO \(all\)", ".*", "retrieve of instances", all_matches_are_returned),
    (r"WADO \(all\)", ".*", "retrieve of rendered instances", all_matches_are_rendered),
    *wado_uri_rows.PROVEN,
    *wado_ws_rows.PROVEN,
    (*wado_ws_rows.SYNTAXES, any_syntax_of_wado_ws),
    ("QIDO_RS; .*", ".*", "TLS", tls_in_front),
    ("QIDO_RS; .*", ".*", "simultaneous HTTP requests", simultaneous_requests),
]


def _is(row: Row, service: str, resource: str, parameter: str) -> bool:
    pairs = ((service, row.service), (resource, row.resource), (parameter, row.parameter))
    return all(re.fullmatch(pattern, value) for pattern, value in pairs)


def _checks(row: Row) -> list[Check]:
    return [check for *where, check in PROVEN if _is(row, *where)]


def _missing(row: Row) -> list[str]:
    return [reason for *where, reason in NOT_YET if _is(row, *where)]


def test_every_row_is_in_one_list() -> None:
    assert len(ROWS) > 180
    lost = [row for row in ROWS if bool(_checks(row)) == bool(_missing(row))]
    assert not lost
    assert all(any(_is(row, *where) for row in ROWS) for *where, _ in [*PROVEN, *NOT_YET])


@pytest.mark.req(
    "I-QIDO-01", "I-QIDO-02", "I-QIDO-03", "I-QIDO-04", "I-QIDO-05", "I-QIDO-06", "I-QIDO-07", "I-QIDO-08",
    "I-QIDO-09", "I-QIDO-10",
    "I-QIDO-11", "I-QIDO-12", "I-STOW-01", "I-STOW-02", "I-STOW-03", "I-STOW-04", "I-RS-01", "I-RS-02", "I-RS-03",
    "I-RS-04", "I-RS-05", "I-RS-06", "I-RS-07", "I-WS-01", "I-WS-02", "I-WS-03", "I-WS-04", "I-WS-05",
    "I-WEB-01", "I-WEB-02", "I-WEB-03", "I-WEB-06", "I-URI-01", "I-URI-02", "I-URI-03", "I-URI-04", "I-URI-05",
)  # fmt: skip
@pytest.mark.parametrize("row", [row for row in ROWS if _checks(row)], ids=lambda row: f"{row.number}-{row.service}")
def test_row(site: Site, row: Row) -> None:
    for check in _checks(row):
        check(site, row)
