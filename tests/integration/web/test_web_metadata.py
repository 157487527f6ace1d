"""WADO-RS metadata over HTTP, and the series packs behind it."""

import gzip
import json
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pydicom.dataset import Dataset

from isocenter.archive.packs.file import open_pack
from isocenter.archive.retrieval.instances import Selection, series_of
from web_archive import Archive, image, parts, send

Web = tuple[httpx.Client, Archive]
PLAIN = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}
PACKED = {"Accept": "application/dicom+json", "Accept-Encoding": "gzip"}
SERIES = f"/studies/{image(1).StudyInstanceUID}/series/{image(1).SeriesInstanceUID}"


def fetch(client: httpx.Client, where: str, headers: dict[str, str]) -> Any:
    answer = client.get(where + "/metadata", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_pydicom(found: dict[str, Any]) -> Dataset:
    return Dataset.from_json(found, bulk_data_uri_handler=lambda tag, vr, uri: b"")


def check(found: dict[str, Any], made: Dataset, root: str) -> None:
    """The JSON says what the object does, and bulk data can be fetched."""
    read = as_pydicom(found)
    for element in made:
        if element.keyword and element.keyword not in ("PixelData", "SpecificCharacterSet"):
            assert read[element.tag].value == element.value
    where = f"{root}{SERIES}/instances/{made.SOPInstanceUID}/bulkdata/"
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{where}7FE00010"}
    assert found["00091010"]["BulkDataURI"] == f"{where}00091010"


@pytest.fixture
def loaded(web: Web) -> Web:
    send(web[0], *[image(n) for n in range(120, 0, -1)])
    return web


@pytest.mark.req("I-RS-01")
def test_of_a_series_however_it_is_served(loaded: Web) -> None:
    client, archive = loaded
    first = fetch(client, SERIES, PLAIN)
    assert [each["00200013"]["Value"][0] for each in first] == list(range(1, 121))
    for number in (1, 60, 120):
        check(first[number - 1], image(number), archive.root)
    assert fetch(client, SERIES, PLAIN) == first, "from memory"
    assert fetch(client, SERIES, PACKED) == first, "from memory, packed"
    archive.packs.wait()
    archive.packs.forget()
    (one,) = series_of(archive.database, Selection(study_uids=(str(image(1).StudyInstanceUID),)))
    pack = open_pack(archive.store, one)
    assert pack is not None
    assert len(list(pack.headers())) == 120
    pack.close()
    assert fetch(client, SERIES, PACKED) == first, "as it lies in the store"
    assert fetch(client, SERIES, PLAIN) == first, "from the store"
    study = SERIES.partition("/series")[0]
    assert fetch(client, study, PLAIN) == first
    assert fetch(client, study, PACKED) == first


def test_lengths_are_told_once_they_are_known(loaded: Web) -> None:
    client, archive = loaded
    fetch(client, SERIES, PLAIN)
    archive.packs.wait()
    archive.packs.forget()
    for headers in (PACKED, PLAIN, PLAIN, PACKED):
        answer = client.get(f"{SERIES}/metadata", headers=headers)
        assert "content-length" in answer.headers
        assert answer.headers.get("content-encoding") == ("gzip" if headers is PACKED else None)


def test_a_packed_answer_is_one_gzip_stream(loaded: Web) -> None:
    client, _ = loaded
    for _ in range(3):
        with client.stream("GET", f"{SERIES}/metadata", headers=PACKED) as answer:
            raw = b"".join(answer.iter_raw())
        assert len(json.loads(gzip.decompress(raw))) == 120


def test_a_change_makes_a_pack_useless(loaded: Web) -> None:
    client, archive = loaded
    before = client.get(f"{SERIES}/metadata", headers=PLAIN)
    archive.packs.wait()
    send(client, image(121))
    archive.packs.forget()
    after = client.get(f"{SERIES}/metadata", headers=PLAIN)
    assert len(after.json()) == 121
    assert before.headers["etag"] != after.headers["etag"]


def test_what_a_client_has_is_not_sent_again(loaded: Web) -> None:
    client, _ = loaded
    for where in (SERIES, SERIES.partition("/series")[0], f"{SERIES}/instances/{image(1).SOPInstanceUID}"):
        tag = client.get(f"{where}/metadata", headers=PLAIN).headers["etag"]
        answer = client.get(f"{where}/metadata", headers={**PLAIN, "If-None-Match": f'"other", {tag}'})
        assert (answer.status_code, answer.content) == (304, b"")
        assert client.get(f"{where}/metadata", headers={**PLAIN, "If-None-Match": '"other"'}).status_code == 200


def test_links_name_the_root_that_the_client_knows(loaded: Web) -> None:
    client, archive = loaded
    mine = fetch(client, SERIES, PLAIN)
    archive.packs.wait()
    archive.packs.forget()
    for headers in (PLAIN, PACKED, PLAIN):
        theirs = fetch(client, SERIES, {**headers, "Host": "pacs.example.org"})
        expected = json.loads(json.dumps(mine).replace(archive.root, "http://pacs.example.org/dicom-web"))
        assert theirs == expected
    assert fetch(client, SERIES, PLAIN) == mine


def test_of_an_instance(loaded: Web) -> None:
    client, archive = loaded
    (found,) = fetch(client, f"{SERIES}/instances/{image(7).SOPInstanceUID}", PLAIN)
    check(found, image(7), archive.root)


@pytest.mark.req("I-RS-03")
def test_as_xml(web: Web) -> None:
    client, _ = web
    send(client, image(1), image(2))
    for where in (SERIES, f"{SERIES}/instances/{image(1).SOPInstanceUID}"):
        answer = client.get(f"{where}/metadata", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
        found = parts(answer)
        assert len(found) == (2 if where == SERIES else 1)
        kind, document = found[0]
        assert kind == "application/dicom+xml"
        tree = ElementTree.fromstring(document)
        values = {each.get("keyword"): each for each in tree}
        assert values["SOPInstanceUID"][0].text == image(1).SOPInstanceUID


def test_a_series_of_several_is_joined(web: Web) -> None:
    client, _ = web
    send(client, image(1), *[image(n, series="other", SeriesNumber=2) for n in (1, 2)], image(2))
    found = fetch(client, SERIES.partition("/series")[0], PLAIN)
    assert [(each["00200011"]["Value"][0], each["00200013"]["Value"][0]) for each in found] == [
        (1, 1), (1, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    assert fetch(client, SERIES.partition("/series")[0], PACKED) == found


def test_headers_longer_than_a_first_reading(web: Web) -> None:
    client, _ = web
    long = image(1, ImageComments="word " * 2000)
    long.add_new(0x00091011, "OB", bytes(100_000))
    del long.PixelData
    send(client, long)
    (found,) = fetch(client, SERIES, PLAIN)
    assert found["00204000"]["Value"][0].startswith("word word")
    assert "BulkDataURI" in found["00091011"]


def test_an_object_that_is_gone_leaves_its_uids(web: Web) -> None:
    client, archive = web
    send(client, image(1), image(2))
    (key, *_) = archive.store.keys()
    archive.store.remove(key)
    found = fetch(client, SERIES, PLAIN)
    assert {each["00080018"]["Value"][0] for each in found} == {image(n).SOPInstanceUID for n in (1, 2)}
    assert sorted(len(each) for each in found)[0] == 4


def test_the_pack_job(web: Web) -> None:
    client, archive = web
    send(client, image(1))
    (one,) = series_of(archive.database, Selection(study_uids=(str(image(1).StudyInstanceUID),)))
    assert archive.packs.make(one.id, archive.root)
    assert archive.packs.make(one.id, archive.root)
    assert not archive.packs.make(one.id + 1, archive.root)
    assert len(fetch(client, SERIES, PLAIN)) == 1


def test_unknown_series(web: Web) -> None:
    assert web[0].get(f"{SERIES}/metadata").status_code == 404
    assert web[0].get("/studies/1.2/metadata").status_code == 404
