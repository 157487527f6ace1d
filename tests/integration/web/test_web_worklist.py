"""The worklist over HTTP: entries made, found, replaced and taken out, and what is refused."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.tables import worklist_item, worklist_station
from web_archive import Archive, opened_archive
from worklist_items import attribute, model

JSON = {"Content-Type": "application/dicom+json"}
PLACE = "/api/worklist"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with opened_archive(tmp_path_factory.mktemp("worklist"), public_root="") as (_, found):
        yield found


@pytest.fixture
def web(archive: Archive) -> Iterator[httpx.Client]:
    """A client of an empty worklist."""
    with archive.database.writing() as connection:
        for table in (worklist_station, worklist_item):
            connection.execute(delete(table))
    with httpx.Client(base_url=archive.root.removesuffix("/dicom-web"), timeout=30) as client:
        yield client


def made(web: httpx.Client, entry: dict[str, Any]) -> str:
    """POST; where it is then."""
    answer = web.post(PLACE, json=entry, headers=JSON)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["00100020"]["Value"][0] for entry in answer.json()]


def test_what_is_made_is_found_and_has_all_identifiers(web: httpx.Client) -> None:
    where = made(web, model(1, ScheduledProcedureStepID="", RequestedProcedureID="", AccessionNumber=""))
    entry = web.get(where)
    assert entry.headers["content-type"] == "application/dicom+json"
    assert where == f"{PLACE}/{entry.json()['00080018']['Value'][0]}"
    (step,) = entry.json()["00400100"]["Value"]
    assert step["00400009"]["Value"][0]
    assert step["00400020"]["Value"] == ["SCHEDULED"]
    for tag in ("0020000D", "00401001"):
        assert entry.json()[tag]["Value"][0]
    assert web.get(PLACE).json() == [entry.json()]
    assert web.head(where).status_code == 200


def test_an_array_is_made_whole_or_not_at_all(web: httpx.Client) -> None:
    assert web.post(PLACE, json=[model(1), model(2)], headers=JSON).status_code == 201
    lacking = {tag: value for tag, value in model(3).items() if tag != "00100020"}
    assert web.post(PLACE, json=[model(4), lacking], headers=JSON).status_code == 400
    assert ids(web.get(PLACE)) == ["P1", "P2"]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ("", ["P1", "P2", "P3"]),
        ("PatientID=P2", ["P2"]),
        ("00100020=P2", ["P2"]),
        ("Modality=MR", ["P3"]),
        ("ScheduledProcedureStepSequence.Modality=MR", ["P3"]),
        ("ScheduledProcedureStepStartDate=20260105-20260106", ["P1", "P2"]),
        ("PatientName=family*&fuzzymatching=false", ["P1", "P2", "P3"]),
        ("PatientName=given+family2&fuzzymatching=true", ["P2"]),
        ("limit=1&offset=1", ["P2"]),
        ("limit=0", []),
        ("state=CANCELLED", ["P4"]),
        ("state=all", ["P1", "P2", "P3", "P4"]),
    ],
)
def test_search(web: httpx.Client, parameters: str, found: list[str]) -> None:
    days = ("20260105", "20260106", "20260107", "20260108")
    entries = [
        model(n, ScheduledProcedureStepStartDate=day, Modality="MR" if n == 3 else "CT")
        for n, day in enumerate(days, 1)
    ]
    entries[3]["00400100"]["Value"][0]["00400020"] = attribute(0x00400020, "CANCELLED")
    web.post(PLACE, json=entries, headers=JSON)
    assert ids(web.get(f"{PLACE}?{parameters}")) == found


def test_an_entry_is_replaced_and_keeps_its_identifiers(web: httpx.Client, archive: Archive) -> None:
    where = made(web, model(1, RequestedProcedureID="", ScheduledProcedureStepID=""))
    before = web.get(where).json()
    told = web.put(where, json=model(1, PatientName="Other^Name", ScheduledProcedureStepID="ELSE"), headers=JSON)
    assert told.status_code == 200
    after = web.get(where).json()
    assert told.json() == after
    assert after["00100010"]["Value"] == [{"Alphabetic": "Other^Name"}]
    assert [after[tag] for tag in ("00080018", "0020000D")] == [before[tag] for tag in ("00080018", "0020000D")]
    step_ids = [each["00400100"]["Value"][0]["00400009"] for each in (before, after)]
    assert step_ids[0] == step_ids[1]
    with archive.database.reading() as connection:
        assert len(Worklist(archive.database).of_study(connection, after["0020000D"]["Value"][0])) == 1


def test_an_entry_is_cancelled_by_its_status_and_gone_by_delete(web: httpx.Client) -> None:
    where = made(web, model(1))
    cancelled = web.get(where).json()
    cancelled["00400100"]["Value"][0]["00400020"] = {"vr": "CS", "Value": ["CANCELLED"]}
    assert web.put(where, json=cancelled, headers=JSON).status_code == 200
    assert ids(web.get(PLACE)) == []
    assert ids(web.get(f"{PLACE}?state=CANCELLED")) == ["P1"]
    assert web.delete(where).status_code == 204
    assert web.delete(where).status_code == 404
    assert ids(web.get(f"{PLACE}?state=all")) == []


def _lacking(*tags: str) -> dict[str, Any]:
    entry = {tag: value for tag, value in model(1).items() if tag not in tags}
    step = {tag: value for tag, value in entry["00400100"]["Value"][0].items() if tag not in tags}
    return {**entry, "00400100": {"vr": "SQ", "Value": [step]}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("POST", "", _lacking("00100010", "00080060"), 400, "PatientName, Modality"),
        ("POST", "", _lacking("00400002"), 400, "StartDate"),
        ("POST", "", {"00100020": "P1"}, 400, "DICOM JSON"),
        ("POST", "", {"00100020": {"vr": "LO", "Value": ["P1"]}}, 400, "exactly one item"),
        ("POST", "", {**model(1), "00100030": {"vr": "LO", "Value": ["x"]}}, 400, "PatientBirthDate"),
        ("POST", "", [], 400, "empty"),
        ("POST", "", [1], 400, "DICOM JSON"),
        ("PUT", "/1.2.3", model(1), 404, "worklist entry"),
        ("GET", "/1.2.3", None, 404, "worklist entry"),
        ("DELETE", "/1.2.3", None, 404, "worklist entry"),
        ("GET", "/1.2.3/more", None, 404, "resource"),
        ("PATCH", "", model(1), 405, "GET, POST"),
        ("POST", "/1.2.3", model(1), 405, "GET, PUT, DELETE"),
        ("GET", "?NoSuchThing=1", None, 400, "NoSuchThing"),
        ("GET", "?ScheduledProcedureStepStartDate=soon", None, 400, "ScheduledProcedureStepStartDate"),
    ],
)
def test_what_is_refused_is_told_and_changes_nothing(
    web: httpx.Client, method: str, path: str, body: Any, status: int, word: str
) -> None:
    answer = web.request(method, PLACE + path, json=body, headers=JSON if body is not None else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]
    assert "Family1" not in answer.text
    assert ids(web.get(f"{PLACE}?state=all")) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/dicom+json", 400), (b"[[", "application/json", 400), (b"<a/>", "application/xml", 415)],
)
def test_a_body_of_another_kind_is_refused(web: httpx.Client, content: bytes, kind: str, status: int) -> None:
    assert web.post(PLACE, content=content, headers={"Content-Type": kind}).status_code == status


def test_an_unknown_state_is_refused(web: httpx.Client) -> None:
    where = made(web, model(1))
    entry = web.get(where).json()
    entry["00400100"]["Value"][0]["00400020"] = {"vr": "CS", "Value": ["PENCILLED IN"]}
    answer = web.put(where, json=entry, headers=JSON)
    assert answer.status_code == 400
    assert "SCHEDULED" in answer.json()["detail"]


def test_what_may_be_done_is_told(web: httpx.Client) -> None:
    assert web.options(PLACE).headers["allow"] == "GET, POST, HEAD, OPTIONS"
    assert web.options(f"{PLACE}/1.2.3").headers["allow"] == "GET, PUT, DELETE, HEAD, OPTIONS"
