"""What is laid over objects that leave over HTTP where the web service has an AE's habits: rules, current values."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

import soap_messages as soap
from isocenter.config import HostedAE, build
from isocenter.rules import compiled
from isocenter.web.departing import Departures
from web_archive import STOW, Archive, image, multipart, part10, parts, send, served

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'
ALONE = "application/dicom; transfer-syntax=*"
HIDING: dict[str, Any] = {
    "calling": ["HIDES"],
    "addresses": ["127.0.0.1"],
    "do": [
        {"hash": "SOPInstanceUID", "key": "secret"},
        {"delete": "PatientName"},
        {"delete": "00091010"},
        {"set": "StudyDescription", "value": "sent"},
    ],
}
ELSEWHERE = {"addresses": ["10.0.0.0/8"], "do": [{"set": "PatientComments", "value": "never here"}]}
BROKEN = {
    "calling": ["BREAKS"],
    "where": [{"attribute": "InstanceNumber", "equals": "2"}],
    "do": [{"copy": "Rows", "from": "PatientName"}],
}
AES = {
    "PLAIN": HostedAE(title="PLAIN"),
    "HIDES": HostedAE(title="HIDES"),
    "BREAKS": HostedAE(title="BREAKS"),
    "MERGES": HostedAE(title="MERGES", merge_on_send="full"),
    "WITHHOLDS": HostedAE(title="WITHHOLDS", conflicting="withhold"),
}
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
IMAGES = [image(n, study="departing", syntax=syntax) for n, syntax in enumerate(SYNTAXES, 1)]
FIRST = IMAGES[0]
STUDY = f"/studies/{FIRST.StudyInstanceUID}"
SERIES = f"{STUDY}/series/{FIRST.SeriesInstanceUID}"
ORDERS = [image(n, study="merging", StudyDescription=f"WORDS {n}") for n in (1, 2)]
DISPUTED = [image(1, study="disputed"), image(2, study="disputed", PatientID="ANOTHER", PatientName="Else^One")]


class Site:
    """An archive whose web service can be given another AE. `at` is its address."""

    def __init__(self, archive: Archive, client: httpx.Client, chosen: SimpleNamespace) -> None:
        self.archive, self.client, self._chosen = archive, client, chosen

    def get(self, title: str, where: str, accept: str = "", **headers: str) -> httpx.Response:
        self._chosen.title = title
        return self.client.get(where, headers={**({"Accept": accept} if accept else {}), **headers})

    def asked(self, title: str, body: str) -> soap.Answer:
        self._chosen.title = title
        return soap.ask(soap.address(self.archive), body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    archive, chosen = Archive(tmp_path_factory.mktemp("departing")), SimpleNamespace(title="PLAIN")
    rules = compiled(build({"rule": [{"when": "send", **rule} for rule in (HIDING, ELSEWHERE, BROKEN)]}))
    departures = Departures(archive.database, rules, lambda: AES[chosen.title], 1_700_000_000_000_000)
    archive.context = replace(archive.context, departures=departures)
    try:
        with served(archive) as client:
            send(client, *IMAGES, *ORDERS)
            for each in DISPUTED:
                client.post("/studies", content=multipart([part10(each)]), headers=STOW)
            yield Site(archive, client, chosen)
    finally:
        archive.close()


def address(made: Dataset) -> str:
    return f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"


def files(*contents: bytes) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(content)) for content in contents]


def in_parts(answer: httpx.Response) -> list[Dataset]:
    assert answer.status_code == 200, answer.text
    return files(*(content for _, content in parts(answer)))


def models(answer: httpx.Response) -> list[Dataset]:
    assert answer.status_code == 200, answer.text
    return [Dataset.from_json(model, lambda _: b"") for model in answer.json()]


def zipped(answer: httpx.Response) -> list[Dataset]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        listed = pydicom.dcmread(io.BytesIO(found.read("DICOMDIR"))).DirectoryRecordSequence
        made = files(*(found.read(name) for name in found.namelist() if name != "DICOMDIR"))
    named = {one.ReferencedSOPInstanceUIDInFile for one in listed if one.DirectoryRecordType == "IMAGE"}
    assert named == {one.SOPInstanceUID for one in made}
    return made


def over_uri(site: Site, title: str, more: str = "") -> list[Dataset]:
    names = f"studyUID={FIRST.StudyInstanceUID}&seriesUID={FIRST.SeriesInstanceUID}&objectUID={FIRST.SOPInstanceUID}"
    root = site.archive.root.removesuffix("/dicom-web")
    answer = site.get(title, f"{root}/wado?requestType=WADO&{names}&contentType=application/dicom{more}")
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return files(answer.content)


def over_soap(site: Site, title: str) -> list[Dataset]:
    found = site.asked(title, soap.documents(*(soap.named(one) for one in IMAGES)))
    return files(*(content for _, content in found.contents))


WAYS: dict[str, Callable[[Site, str], list[Dataset]]] = {
    "study": lambda site, title: in_parts(site.get(title, STUDY, ANY)),
    "series": lambda site, title: in_parts(site.get(title, SERIES, ANY.replace("*", ExplicitVRLittleEndian))),
    "transcoded": lambda site, title: in_parts(site.get(title, STUDY, ANY.replace("*", JPEGLSLossless))),
    "instance": lambda site, title: in_parts(site.get(title, address(FIRST))),
    "alone": lambda site, title: files(site.get(title, address(FIRST), ALONE).content),
    "deflated": lambda site, title: files(site.get(title, address(IMAGES[2]), ALONE).content),
    "zip": lambda site, title: zipped(site.get(title, STUDY, "application/zip")),
    "zipped instance": lambda site, title: zipped(site.get(title, address(FIRST), "application/zip")),
    "study metadata": lambda site, title: models(site.get(title, f"{STUDY}/metadata")),
    "series metadata": lambda site, title: models(site.get(title, f"{SERIES}/metadata")),
    "metadata": lambda site, title: models(site.get(title, f"{address(FIRST)}/metadata")),
    "metadata of a deflated one": lambda site, title: models(site.get(title, f"{address(IMAGES[2])}/metadata")),
    "WADO-URI": over_uri,
    "WADO-WS": over_soap,
}


@pytest.mark.parametrize("way", WAYS)
def test_rules_on_sending_hold_for_whatever_leaves(site: Site, way: str) -> None:
    found, plain = WAYS[way](site, "HIDES"), WAYS[way](site, "PLAIN")
    assert len(found) == len(plain) > 0
    stored = {str(one.SOPInstanceUID) for one in IMAGES}
    for one, before in zip(found, plain, strict=True):
        assert "PatientName" not in one
        assert before.PatientName == FIRST.PatientName
        assert one.StudyDescription == "sent"
        assert "PatientComments" not in one
        assert str(before.SOPInstanceUID) in stored
        assert str(one.SOPInstanceUID) not in stored
        if hasattr(one, "file_meta"):
            assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
            assert one.PixelData == before.PixelData


def test_all_ways_tell_the_same_new_uid(site: Site) -> None:
    named = [
        {str(one.SOPInstanceUID) for one in WAYS[way](site, "HIDES")} for way in ("study", "zip", "study metadata")
    ]
    assert named[0] == named[1] == named[2]
    assert len(named[0]) == len(IMAGES)


def test_a_de_identified_object_agrees_with_its_file_header(site: Site) -> None:
    (found,), (plain,) = (over_uri(site, title, "&anonymize=yes") for title in ("HIDES", "PLAIN"))
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID != plain.SOPInstanceUID


@pytest.mark.parametrize("accept", ["", "application/zip"])
@pytest.mark.parametrize("where", [STUDY, address(FIRST), f"{STUDY}/metadata", f"{address(FIRST)}/metadata"])
def test_the_tag_tells_what_is_laid_over_an_object(site: Site, where: str, accept: str) -> None:
    if where.endswith("metadata") and accept:
        accept = 'multipart/related; type="application/dicom+xml"'
    tags = {title: site.get(title, where, accept).headers["etag"] for title in ("PLAIN", "HIDES", "MERGES")}
    assert len(set(tags.values())) == 3
    for title, tag in tags.items():
        assert site.get(title, where, accept, **{"If-None-Match": tag}).status_code == 304
    assert site.get("HIDES", where, accept, **{"If-None-Match": tags["PLAIN"]}).status_code == 200


def test_ranges_of_a_ruled_object_make_the_whole(site: Site) -> None:
    whole = site.get("HIDES", address(FIRST), ALONE)
    assert int(whole.headers["content-length"]) == len(whole.content)
    tag = whole.headers["etag"]
    pieces = [
        site.get("HIDES", address(FIRST), ALONE, **{"Range": span, "If-Range": tag})
        for span in ("bytes=0-599", "bytes=600-")
    ]
    assert [each.status_code for each in pieces] == [206, 206]
    assert b"".join(each.content for each in pieces) == whole.content


@pytest.mark.parametrize("made", IMAGES, ids=["explicit", "implicit", "deflated"])
def test_what_rules_delete_is_no_bulk_data_either(site: Site, made: Dataset) -> None:
    where = f"{address(made)}/bulkdata"
    assert site.get("PLAIN", f"{where}/00091010").content == made[0x00091010].value
    assert site.get("HIDES", f"{where}/00091010").status_code == 404
    assert site.get("HIDES", f"{where}/7FE00010").content == made.PixelData


def test_addresses_of_bulk_data_are_those_it_is_stored_at(site: Site) -> None:
    (model,) = site.get("HIDES", f"{address(FIRST)}/metadata").json()
    assert model["00080018"]["Value"] != [str(FIRST.SOPInstanceUID)]
    uri = model["7FE00010"]["BulkDataURI"]
    assert site.get("HIDES", uri).content == FIRST.PixelData


def test_metadata_as_xml_and_compressed(site: Site) -> None:
    xml = site.get("HIDES", f"{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"')
    assert xml.content.count(b"<NativeDicomModel") == len(IMAGES)
    assert b"PersonName" not in xml.content
    raw = site.get("HIDES", f"{STUDY}/metadata", **{"Accept-Encoding": "gzip"})
    assert raw.headers["content-encoding"] == "gzip"
    assert len(json.loads(raw.content)) == len(IMAGES)


@pytest.mark.parametrize("end", ["", "/metadata"])
def test_an_object_that_a_rule_can_not_be_applied_to_does_not_leave(site: Site, end: str) -> None:
    assert site.get("BREAKS", address(FIRST) + end).status_code == 200
    answer = site.get("BREAKS", address(IMAGES[1]) + end)
    assert answer.status_code == 500
    assert "rule" in answer.json()["detail"]
    assert "degård" not in answer.text
    assert site.get("BREAKS", STUDY + end).status_code == 500


def test_current_values_are_laid_over_what_leaves(site: Site) -> None:
    where = f"/studies/{ORDERS[0].StudyInstanceUID}"
    assert {one.StudyDescription for one in in_parts(site.get("PLAIN", where, ANY))} == {"WORDS 1", "WORDS 2"}
    merged = {str(one.StudyDescription) for one in in_parts(site.get("MERGES", where, ANY))}
    assert len(merged) == 1
    assert {str(one.StudyDescription) for one in models(site.get("MERGES", f"{where}/metadata"))} == merged


def test_an_object_in_conflict_is_withheld(site: Site) -> None:
    first, second = DISPUTED
    where = f"/studies/{first.StudyInstanceUID}"
    served = {str(one.SOPInstanceUID) for one in in_parts(site.get("PLAIN", where, ANY))}
    left = {str(one.SOPInstanceUID) for one in in_parts(site.get("WITHHOLDS", where, ANY))}
    assert served - left == {str(second.SOPInstanceUID)}
    assert len(models(site.get("WITHHOLDS", f"{where}/metadata"))) == 1
    assert site.get("WITHHOLDS", address(second)).status_code == 404
    assert site.get("WITHHOLDS", address(first)).status_code == 200
    assert site.asked("WITHHOLDS", soap.documents(soap.named(second))).contents == []


def test_an_ae_without_habits_costs_nothing(site: Site) -> None:
    departures = site.archive.context.departures
    assert departures is not None
    assert replace(departures, ae=lambda: AES["PLAIN"]).to("127.0.0.1") is None
    assert replace(departures, ae=lambda: AES["PLAIN"]).to("10.1.1.1") is not None
