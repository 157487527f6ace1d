"""QIDO-RS over HTTP."""

import csv
import re
from collections.abc import Iterator
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest

from isocenter.declarations.query_keys import resolve
from isocenter.web.dicomweb import searching
from material import REQUIREMENTS
from web_archive import Archive, image, opened_archive, send

Web = tuple[httpx.Client, Archive]
JSON = {"Accept": "application/dicom+json"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Three studies: `a` with two series of two instances, `b` and `c` with one each."""
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, archive):
        _fill(client)
        yield client, archive


def _fill(client: httpx.Client) -> None:
    first = [image(n, study="a", series=s, SeriesNumber=s or "2") for s in ("", "1") for n in (1, 2)]
    other = image(1, study="b", PatientName="Müller^Jörg=山田^太郎", PatientID="P2", StudyDate="20240201")
    third = image(1, study="c", PatientName="SMITH^ANN", PatientID="P3", StudyDate="20230101", Modality="MR")
    send(client, *first, other, third)


def uids(answer: httpx.Response, tag: str = "0020000D") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[tag]["Value"][0] for row in answer.json()]


def study(name: str) -> str:
    return str(image(1, study=name).StudyInstanceUID)


@pytest.mark.req("I-QIDO-01", "I-QIDO-05", "I-QIDO-09", "I-QIDO-ST-01")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"), ("?PatientID=P2", "b"), ("?00100020=P2", "b"), ("?PatientName=smith%5Eann", "c"),
        ("?PatientName=SMITH^*", "c"), ("?PatientName=m%C3%BCller*", "b"), ("?PatientName=muller*", "b"),
        ("?StudyDate=20240101-20240131", "a"), ("?StudyDate=-20231231", "c"), ("?ModalitiesInStudy=MR", "c"),
        ("?&includefield=&PatientID=P1", "a"), ("?AccessionNumber=Aa", "a"), ("?PatientID=nobody", ""),
        ("?PatientName=山田*", "b"),
    ],
)  # fmt: skip
def test_studies(loaded: Web, query: str, expected: str) -> None:
    answer = loaded[0].get(f"/studies{query}", headers=JSON)
    assert sorted(uids(answer)) == sorted(study(name) for name in expected)
    assert answer.headers["x-total-count"] == str(len(expected))


def test_uid_lists(loaded: Web) -> None:
    answer = loaded[0].get("/studies", params={"StudyInstanceUID": f"{study('a')},{study('c')}"}, headers=JSON)
    assert sorted(uids(answer)) == sorted([study("a"), study("c")])


@pytest.mark.req("I-QIDO-12")
def test_nothing_found_is_an_empty_list(loaded: Web) -> None:
    answer = loaded[0].get("/studies?PatientID=nobody", headers=JSON)
    assert (answer.status_code, answer.content) == (200, b"[]")


def test_nothing_found_may_be_204(opened: object) -> None:
    client, _ = opened(empty_status=204)  # type: ignore[operator]
    answer = client.get("/studies?PatientID=nobody", headers=JSON)
    assert (answer.status_code, answer.content) == (204, b"")


def test_levels(loaded: Web) -> None:
    client, archive = loaded
    assert len(uids(client.get("/series"), "0020000E")) == 4
    assert len(uids(client.get("/instances"), "00080018")) == 6
    assert len(uids(client.get(f"/studies/{study('a')}/series"), "0020000E")) == 2
    assert len(uids(client.get(f"/studies/{study('a')}/instances"), "00080018")) == 4
    assert len(client.get("/patients").json()) == 3
    one = image(2, study="a", series="1")
    path = f"/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances"
    (row,) = client.get(f"{path}?InstanceNumber=2").json()
    assert row["00080018"]["Value"] == [one.SOPInstanceUID]
    assert row["00081190"]["Value"] == [f"{archive.root}{path}/{one.SOPInstanceUID}"]
    assert (row["00280010"]["Value"], row["00280011"]["Value"], row["00280100"]["Value"]) == ([4], [6], [16])
    (row,) = client.get(f"/studies/{study('a')}/series?SeriesNumber=1").json()
    assert row["00201209"]["Value"] == [2]
    assert row["00080060"]["Value"] == ["CT"]


def test_series_of_all_studies_carry_their_study(loaded: Web) -> None:
    rows = loaded[0].get("/series?PatientID=P3").json()
    assert [row["00100010"]["Value"][0]["Alphabetic"] for row in rows] == ["SMITH^ANN"]
    assert "00100010" not in loaded[0].get(f"/studies/{study('c')}/series").json()[0]


@pytest.mark.req("I-QIDO-05")
def test_every_listed_attribute_is_matched_and_returned(loaded: Web) -> None:
    client, _ = loaded
    one = image(1, study="a")
    paths = {
        "Studies": "/studies",
        "Series": f"/studies/{study('a')}/series",
        "Instances": f"/studies/{study('a')}/series/{one.SeriesInstanceUID}/instances",
    }
    rows = {kind: client.get(path).json()[0] for kind, path in paths.items()}
    with (REQUIREMENTS / "iconnect_dicomweb.csv").open(encoding="utf-8") as file:
        listed = [
            (found[1], found[2].split(".")[0], found[2])
            for row in csv.DictReader(file)
            if (found := re.match(r"(Studies|Series|Instances) (\S+)", row["resource"].removeprefix("Search for ")
                                  .split(" ")[0] + " " + row["parameter_or_header"]))
            and row["service"] == "QIDO_RS" and "query parameter and returned attribute" in row["behaviour"]
        ]  # fmt: skip
    assert len(listed) > 50
    for kind, top, name in listed:
        path = resolve(top)
        assert path is not None
        assert f"{path[0]:08X}" in rows[kind], f"{kind} search returns no {name}"
        assert client.get(f"{paths[kind]}?{name}=").status_code == 200, f"{kind} search by {name}"


def test_fields_on_request(loaded: Web) -> None:
    client, _ = loaded
    assert "00080080" not in client.get("/studies").json()[0]
    assert "00080080" in client.get("/studies?includefield=InstitutionName").json()[0]
    everything = client.get("/studies?includefield=all").json()[0]
    assert {"00080080", "00101010", "00081032"} <= set(everything)
    odd = client.get("/studies?includefield=NoSuchThing&PatientWeight=1")
    assert odd.status_code == 200
    assert "includefield" in odd.headers["warning"]
    assert "matching is not supported" in client.get("/studies?00189999=1").headers["warning"]


def test_pages(loaded: Web) -> None:
    client, _ = loaded
    seen: list[str] = []
    for offset in range(4):
        answer = client.get(f"/studies?limit=1&offset={offset}")
        assert answer.headers["x-total-count"] == "3"
        seen += uids(answer)
    assert sorted(seen) == sorted(map(study, "abc"))
    assert client.get("/studies?limit=0").json() == []


def test_a_server_limit_is_told(opened: object) -> None:
    client, _ = opened(limit=2)  # type: ignore[operator]
    send(client, *[image(1, study=name) for name in "abcd"])
    answer = client.get("/studies")
    assert len(answer.json()) == 2
    assert answer.headers["x-total-count"] == "4"
    assert answer.headers["warning"].startswith("299 ")
    assert "warning" not in client.get("/studies?offset=2").headers


@pytest.mark.req("I-QIDO-02", "I-QIDO-03")
def test_xml(loaded: Web) -> None:
    answer = loaded[0].get("/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom+xml"; boundary=')
    parts = answer.content.split(b"--isocenter-search")[1:-1]
    assert len(parts) == 3
    assert ElementTree.fromstring(parts[0].partition(b"\r\n\r\n")[2]).tag.endswith("NativeDicomModel")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("application/json", "application/json"), ("*/*", "application/dicom+json"), ("application/*", "application/"),
     ("text/html, application/dicom+json;q=0.9", "application/dicom+json")],
)  # fmt: skip
def test_json_under_its_names(loaded: Web, accept: str, kind: str) -> None:
    assert loaded[0].get("/studies", headers={"Accept": accept}).headers["content-type"].startswith(kind)


@pytest.mark.req("I-QIDO-ST-02")
@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?Nonsense=1", {}, 400), ("?limit=x", {}, 400), ("?StudyDate=notadate", {}, 400), ("?PatientID=%FF", {}, 400),
        ("?PatientID=a%00b", {}, 400), ("", {"Accept": "text/html"}, 406),
    ],
)  # fmt: skip
def test_refusals(loaded: Web, query: str, headers: dict[str, str], status: int) -> None:
    answer = loaded[0].get(f"/studies{query}", headers=headers)
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_a_long_answer_is_streamed(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = web
    monkeypatch.setattr(searching, "_GATHERED", 20)
    send(client, *[image(n) for n in range(1, 151)])
    answer = client.get(f"/studies/{image(1).StudyInstanceUID}/instances", headers={"Accept-Encoding": "identity"})
    assert "content-length" not in answer.headers
    assert answer.headers["x-total-count"] == "150"
    assert len(set(uids(answer, "00080018"))) == 150


def test_percent_encoded_paths(loaded: Web) -> None:
    assert loaded[0].get(f"/studies/{quote(study('a'), safe='')}/series").json()
