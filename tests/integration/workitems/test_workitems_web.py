"""UPS-RS (PS3.18 11): every transaction with its answers, and event channels over WebSocket."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from isocenter.declarations.workitem import FILTERED, GLOBAL, State
from isocenter.dicom.native_model import xml_of
from isocenter.dicom.uids import new_uid
from isocenter.workflow.workitems import models
from web_archive import Archive, served
from workitem_models import TRANSACTION, asked, code, done, sequence, stopped

JSON = {"Content-Type": "application/dicom+json"}
XML = {"Content-Type": "application/dicom+xml"}
PATIENCE = 30


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    made = Archive(tmp_path_factory.mktemp("ups-rs"), channels=6, origins=("https://viewer.example.org",))
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(archive: Archive) -> Iterator[httpx.Client]:
    with served(archive) as found:
        yield found


def _text(vr: str, *values: str) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def create(client: httpx.Client, uid: str = "", **more: Any) -> str:
    uid = uid or new_uid()
    answer = client.post(f"/workitems?workitem={uid}", json=asked(**more), headers=JSON)
    assert answer.status_code == 201, answer.text
    return uid


def state(client: httpx.Client, uid: str, wanted: str, transaction: str = TRANSACTION) -> httpx.Response:
    said = {"00741000": _text("CS", wanted)}
    if transaction:
        said["00081195"] = _text("UI", transaction)
    return client.put(f"/workitems/{uid}/state", json=[said], headers=JSON)


def brought(client: httpx.Client, wanted: State) -> str:
    uid = create(client)
    if wanted is not State.SCHEDULED:
        assert state(client, uid, "IN PROGRESS").status_code == 200
    if wanted.final:
        final = {**done(), **stopped()}
        assert (
            client.post(f"/workitems/{uid}?transaction-uid={TRANSACTION}", json=final, headers=JSON).status_code == 200
        )
        assert state(client, uid, wanted).status_code == 200
    return uid


def told(answer: httpx.Response) -> str:
    return answer.headers.get("warning", "").partition('"')[2].rstrip('"')


# --- create, retrieve


@pytest.mark.parametrize("how", ["named", "bare", "in the data set", "nowhere"])
def test_create(client: httpx.Client, how: str) -> None:
    uid = new_uid()
    more = {"t00080018": _text("UI", uid)} if how == "in the data set" else {}
    url = {"named": f"/workitems?workitem={uid}", "bare": f"/workitems?{uid}"}.get(how, "/workitems")
    answer = client.post(url, json=[asked(**more)], headers=JSON)
    assert answer.status_code == 201
    assert not answer.content
    where = answer.headers["location"]
    if how != "nowhere":
        assert where == f"{client.base_url}workitems/{uid}"
    found = client.get(where)
    assert found.status_code == 200
    (model,) = found.json()
    assert models.value(model, "00741000") == "SCHEDULED"
    assert model["00100010"]["Value"] == [{"Alphabetic": "Ødegård^Åse"}]
    assert "00081195" not in model
    assert client.post(f"/workitems?workitem={where.rpartition('/')[2]}", json=asked(), headers=JSON).status_code == 409


@pytest.mark.parametrize("parts", [False, True])
def test_xml(client: httpx.Client, parts: bool) -> None:
    uid = new_uid()
    document = xml_of(json.dumps(asked()).encode())
    body, kind = document, "application/dicom+xml"
    if parts:
        body = b"--B\r\nContent-Type: application/dicom+xml\r\n\r\n" + document + b"\r\n--B--\r\n"
        kind = 'multipart/related; type="application/dicom+xml"; boundary=B'
    assert client.post(f"/workitems?{uid}", content=body, headers={"Content-Type": kind}).status_code == 201
    accept = 'multipart/related; type="application/dicom+xml"' if parts else "application/dicom+xml"
    answer = client.get(f"/workitems/{uid}", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(accept.partition(";")[0])
    assert "Ødegård" in answer.text
    assert ("--isocenter-workitem" in answer.text) == parts
    assert client.get(f"/workitems/{uid}", headers={"Accept": "image/png"}).status_code == 406


def test_a_body_in_gzip(client: httpx.Client) -> None:
    import gzip

    body = gzip.compress(json.dumps(asked()).encode())
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/workitems", content=body, headers=headers).status_code == 201
    assert client.post("/workitems", content=body[:-9], headers=headers).status_code == 400
    assert client.post("/workitems", content=body, headers={**JSON, "Content-Encoding": "br"}).status_code == 415


def test_what_is_not_there(client: httpx.Client, archive: Archive) -> None:
    for answer in (
        client.get("/workitems/2.25.404"),
        client.post("/workitems/2.25.404", json=done(), headers=JSON),
        state(client, "2.25.404", "IN PROGRESS"),
        client.post("/workitems/2.25.404/cancelrequest"),
        client.post("/workitems/2.25.404/subscribers/A"),
        client.delete("/workitems/2.25.404/subscribers/A"),
    ):
        assert answer.status_code == 404
    uid = brought(client, State.COMPLETED)
    assert archive.context.workitems is not None
    with archive.database.writing() as connection:
        archive.context.workitems.purge(connection, 1 << 60)
    assert client.get(f"/workitems/{uid}").status_code == 410
    assert state(client, uid, "COMPLETED").status_code == 410
    assert client.post(f"/workitems/{uid}", json=done(), headers=JSON).status_code == 410


# --- update, state, cancel


def test_update(client: httpx.Client) -> None:
    uid = create(client)
    high = {"00741200": _text("CS", "HIGH")}
    answer = client.post(f"/workitems/{uid}", json=high, headers=JSON)
    assert (answer.status_code, answer.headers["content-location"]) == (200, f"{client.base_url}workitems/{uid}")
    early = client.post(f"/workitems/{uid}?transaction-uid={TRANSACTION}", json=high, headers=JSON)
    assert (early.status_code, told(early)) == (409, "The target URI did not reference a claimed Workitem.")
    state(client, uid, "IN PROGRESS")
    for query, status, text in (
        ("", 400, "The Transaction UID is missing."),
        ("?transaction-uid=2.25.1", 400, "The Transaction UID is incorrect."),
        (f"?transaction-uid={TRANSACTION}", 200, ""),
        (f"?{TRANSACTION}", 200, ""),
    ):
        answer = client.post(f"/workitems/{uid}{query}", json=high, headers=JSON)
        assert (answer.status_code, told(answer)) == (status, text)
    assert (
        client.post(f"/workitems/{uid}?{TRANSACTION}", json={"00100020": _text("LO", "X")}, headers=JSON).status_code
        == 400
    )
    assert models.value(client.get(f"/workitems/{uid}").json()[0], "00741200") == "HIGH"
    ended = brought(client, State.CANCELED)
    answer = client.post(f"/workitems/{ended}?{TRANSACTION}", json=high, headers=JSON)
    assert answer.status_code == 400
    assert "inconsistent" in told(answer)


_STALE = "The submitted request is inconsistent with the state of the UPS Instance."
_MISSING, _WRONG = "The Transaction UID is missing.", "The Transaction UID is incorrect."


@pytest.mark.parametrize(
    ("before", "wanted", "transaction", "status", "text"),
    [
        ("SCHEDULED", "IN PROGRESS", TRANSACTION, 200, ""),
        ("SCHEDULED", "IN PROGRESS", "", 400, _MISSING),
        ("SCHEDULED", "COMPLETED", TRANSACTION, 409, "The target URI did not reference a claimed Workitem."),
        ("SCHEDULED", "SCHEDULED", TRANSACTION, 409, _STALE),
        ("IN PROGRESS", "IN PROGRESS", TRANSACTION, 409, _STALE),
        ("IN PROGRESS", "COMPLETED", "2.25.9", 400, _WRONG),
        ("IN PROGRESS", "COMPLETED", TRANSACTION, 409, _STALE),
        ("COMPLETED", "COMPLETED", TRANSACTION, 200, "The UPS is already in the requested state of COMPLETED."),
        ("COMPLETED", "CANCELED", TRANSACTION, 409, _STALE),
        ("CANCELED", "CANCELLED", TRANSACTION, 200, "The UPS is already in the requested state of CANCELED."),
        ("CANCELED", "DONE", TRANSACTION, 400, ""),
    ],
)
def test_change_state(client: httpx.Client, before: str, wanted: str, transaction: str, status: int, text: str) -> None:
    uid = brought(client, State(before))
    answer = state(client, uid, wanted, transaction)
    assert (answer.status_code, told(answer)) == (status, text)


def test_request_cancel(client: httpx.Client) -> None:
    uid = create(client)
    why = {"00741238": _text("LT", "doubled")}
    assert client.post(f"/workitems/{uid}/cancelrequest", json=why, headers=JSON).status_code == 202
    assert models.value(client.get(f"/workitems/{uid}").json()[0], "00741000") == "CANCELED"
    again = client.post(f"/workitems/{uid}/cancelrequest")
    assert (again.status_code, told(again)) == (202, "The UPS is already in the requested state of CANCELED.")
    assert client.post(f"/workitems/{brought(client, State.COMPLETED)}/cancelrequest").status_code == 409
    assert client.post(f"/workitems/{brought(client, State.IN_PROGRESS)}/cancelrequest").status_code == 409


# --- search


def test_search(client: httpx.Client) -> None:
    label = f"SEARCH {new_uid()[-9:]}"
    uids = [
        create(
            client,
            t00741204=_text("LO", label),
            t00100020=_text("LO", f"P{number}"),
            t00404018=sequence(code(f"W{number}")),
        )
        for number in range(4)
    ]
    state(client, uids[3], "IN PROGRESS")

    def found(query: str) -> list[int]:
        answer = client.get(f"/workitems?ProcedureStepLabel={quote(label)}&{query}")
        if answer.status_code == 204:
            assert answer.headers["x-total-count"] == "0" or "limit" in query
            return []
        assert answer.status_code == 200, answer.text
        return [uids.index(models.value(each, "00080018")) for each in answer.json()]

    assert found("") == [0, 1, 2, 3]
    assert found("ProcedureStepState=SCHEDULED") == [0, 1, 2]
    assert found("PatientID=P2") == [2]
    assert found("PatientName=odegard*") == [0, 1, 2, 3]
    assert found("ScheduledWorkitemCodeSequence.CodeValue=W1") == [1]
    assert found("00404018.00080100=W1&00404018.00080102=OTHER") == []
    assert found("ScheduledProcedureStepStartDateTime=20261121-") == [0, 1, 2, 3]
    assert found("offset=1&limit=2") == [1, 2]
    assert found("fuzzymatching=true&PatientName=Ase%20Odeg") == [0, 1, 2, 3]
    assert client.get("/workitems?ScheduledProcedureStepStartDateTime=soon").status_code == 400
    assert client.get("/workitems?Nonsense=1").status_code == 400
    (one,) = client.get(f"/workitems?00080018={uids[0]}&includefield=ReferringPhysicianName").json()
    assert {"00741000", "00741200", "00741204", "00741202", "00404005", "00404041", "00100010", "00100020"} <= set(one)
    assert "00404010" not in one
    assert "00404010" in client.get(f"/workitems?00080018={uids[0]}&includefield=all").json()[0]
    xml = client.get(
        f"/workitems?00080018={uids[0]}", headers={"Accept": 'multipart/related; type="application/dicom+xml"'}
    )
    assert "NativeDicomModel" in xml.text


# --- subscriptions and channels


@contextlib.contextmanager
def listening(url: str, **headers: str) -> Iterator[ClientConnection]:
    with connect(url, additional_headers=headers, open_timeout=PATIENCE, proxy=None) as channel:
        yield channel


def heard(channel: ClientConnection) -> tuple[str, int, dict[str, Any]]:
    said = json.loads(channel.recv(timeout=PATIENCE))
    return said["00001000"]["Value"][0], said["00001002"]["Value"][0], said


def test_an_event_channel(client: httpx.Client) -> None:
    uid = create(client)
    answer = client.post(f"/workitems/{uid}/subscribers/WATCHER?deletionlock=true")
    assert answer.status_code == 201
    url = answer.headers["content-location"]
    assert url == f"{str(client.base_url).replace('http', 'ws')}subscribers/WATCHER"
    with listening(url) as channel:
        about, kind, said = heard(channel)
        assert (about, kind, models.value(said, "00741000")) == (uid, 1, "SCHEDULED")
        assert said["00000002"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
        channel.send("what nobody asked for")
        state(client, uid, "IN PROGRESS")
        half = {"00741002": sequence({"00741004": _text("DS", "50")})}
        client.post(f"/workitems/{uid}?{TRANSACTION}", json=half, headers=JSON)
        assert models.value(heard(channel)[2], "00741000") == "IN PROGRESS"
        assert heard(channel)[1] == 3
    # nobody listens now
    assert client.post(f"/workitems/{uid}/cancelrequest?requester=SOMEONE").status_code == 202
    with listening(url) as channel:
        kind = 0
        while kind != 2:  # what was sent last may come again
            _, kind, said = heard(channel)
        assert said["00741236"]["Value"] == ["SOMEONE"]
    assert client.delete(f"/workitems/{uid}/subscribers/WATCHER").status_code == 200
    assert client.delete(f"/workitems/{uid}/subscribers/WATCHER").status_code == 404


def test_two_channels_of_one_subscriber_hear_the_same(client: httpx.Client) -> None:
    url = client.post(f"/workitems/{GLOBAL}/subscribers/TWINS").headers["content-location"]
    with listening(url) as first, listening(url) as second:
        seen: list[str] = []
        uid = create(client)
        for channel in (first, second):
            while (about := heard(channel)[0]) != uid:
                seen.append(about)
    assert client.delete(f"/workitems/{GLOBAL}/subscribers/TWINS").status_code == 200


def test_another_process_goes_on_where_one_left_off(client: httpx.Client, archive: Archive) -> None:
    uid = create(client)
    url = client.post(f"/workitems/{uid}/subscribers/ROAMER").headers["content-location"]
    with listening(url) as channel:
        assert heard(channel)[2]["00741000"]["Value"] == ["SCHEDULED"]
    root = archive.root
    with served(archive) as other:  # a server of its own over the same database
        away = f"{str(other.base_url).replace('http', 'ws')}subscribers/ROAMER"
        state(client, uid, "IN PROGRESS")
        with listening(away) as channel:
            said: list[str] = []
            while said[-1:] != ["IN PROGRESS"]:
                said += heard(channel)[2]["00741000"]["Value"]
            client.post(f"/workitems/{uid}/cancelrequest")
            assert heard(channel)[1] == 2
    archive.root = root
    client.delete(f"/workitems/{uid}/subscribers/ROAMER")


def test_a_filtered_subscription_and_its_end(client: httpx.Client) -> None:
    wanted = quote("ProcedureStepLabel=Filter*,00741200=HIGH", safe="")
    where = f"/workitems/{FILTERED}/subscribers/FILTER"
    assert client.post(where).status_code == 400
    assert client.post(f"{where}?filter=nonsense").status_code == 400
    assert client.post(f"{where}?filter=PixelData%3D1").status_code == 400
    url = client.post(f"{where}?filter={wanted}").headers["content-location"]
    with listening(url) as channel:
        create(client)
        create(client, t00741204=_text("LO", "Filter A"))
        uid = create(client, t00741204=_text("LO", "Filter B"), t00741200=_text("CS", "HIGH"))
        assert heard(channel)[0] == uid
        assert client.post(f"{where}/suspend").status_code == 200
        assert client.post(f"{where}/suspend").status_code == 404
        create(client, t00741204=_text("LO", "Filter C"), t00741200=_text("CS", "HIGH"))
        state(client, uid, "IN PROGRESS")
        assert heard(channel)[0] == uid
    assert client.delete(where).status_code == 200
    assert client.post(f"/workitems/{uid}/subscribers/FILTER/suspend").status_code == 400


def test_events_in_xml(client: httpx.Client) -> None:
    uid = create(client)
    url = client.post(f"/workitems/{uid}/subscribers/XML").headers["content-location"]
    with listening(url, Accept="application/dicom+xml") as channel:
        said = channel.recv(timeout=PATIENCE)
    assert isinstance(said, str)
    assert "<NativeDicomModel" in said
    assert uid in said


def test_who_may_open_a_channel(client: httpx.Client) -> None:
    url = f"{str(client.base_url).replace('http', 'ws')}subscribers/GUEST"
    for origin in (str(client.base_url.copy_with(path="/")).rstrip("/"), "https://viewer.example.org"):
        with listening(url, Origin=origin):
            pass
    for where, headers, status in (
        (url, {"Origin": "https://evil.example.org"}, 403),
        (url + "/more", {}, 404),
        (url.replace("GUEST", "much-too-long-a-title"), {}, 400),
        (url.replace("/dicom-web/subscribers/GUEST", "/wado"), {}, 404),
    ):
        with pytest.raises(InvalidStatus) as refused, listening(where, **headers):
            pass
        assert refused.value.response.status_code == status
    plain = client.get("/subscribers/GUEST")
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")


def test_there_is_an_end_to_channels(client: httpx.Client) -> None:
    url = f"{str(client.base_url).replace('http', 'ws')}subscribers/MANY"
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(listening(url))
        with pytest.raises(InvalidStatus) as refused, listening(url):
            pass
        assert refused.value.response.status_code == 503


def test_a_client_that_says_too_much_is_closed(client: httpx.Client) -> None:
    url = f"{str(client.base_url).replace('http', 'ws')}subscribers/LOUD"
    with listening(url) as channel:
        with contextlib.suppress(ConnectionClosed):  # it may be closed before all is sent
            channel.send("x" * (20 << 20))
        with pytest.raises(ConnectionClosed):
            channel.recv(timeout=PATIENCE)


def test_many_workitems_reach_a_channel_in_order(client: httpx.Client) -> None:
    url = client.post(f"/workitems/{GLOBAL}/subscribers/STREAM").headers["content-location"]
    with listening(url) as channel:
        made: list[str] = []
        maker = threading.Thread(target=lambda: made.extend(create(client) for _ in range(30)))
        maker.start()
        seen: list[str] = []
        while len([uid for uid in seen if uid in set(made)]) < 30 or maker.is_alive():
            seen.append(heard(channel)[0])
        maker.join()
    assert [uid for uid in seen if uid in set(made)] == made
    assert client.delete(f"/workitems/{GLOBAL}/subscribers/STREAM").status_code == 200


def test_a_page_of_another_site_subscribes_nobody(client: httpx.Client) -> None:
    uid = create(client)
    for path in ("cancelrequest", "subscribers/A", "subscribers/A/suspend"):
        answer = client.post(f"/workitems/{uid}/{path}", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403


# --- whatever comes


_VALUES: list[Any] = [
    None, "", "x", 7, -1, 1e400, True, [], {}, [None], ["x"], [7], [[]], [{}], {"vr": "SQ"}, {"Value": [1]},
    {"vr": "CS", "Value": "SCHEDULED"}, {"vr": "SQ", "Value": [None]}, {"vr": "SQ", "Value": ["x"]},
    {"vr": "SQ", "Value": [{"zz": 1}]}, {"vr": 5, "Value": [1]}, {"vr": "UN", "InlineBinary": "=?"},
    {"vr": "US", "Value": [70000]}, {"vr": "PN", "Value": ["A^B"]}, {"vr": "PN", "Value": [{"Alphabetic": 5}]},
    {"vr": "LO", "BulkDataURI": "http://example.org"}, {"vr": "LO", "Value": [{"a": "b"}]},
    {"vr": "CS", "Value": ["\ud800"]}, {"vr": "LO", "Value": ["x" * 100_000]}, {"vr": "DT", "Value": [20260101]},
]  # fmt: skip
_TAGS = [
    "00741000",
    "00741200",
    "00404005",
    "00404025",
    "00741002",
    "00100010",
    "00081195",
    "00080018",
    "zz",
    "",
    "7FE00010",
]


def test_nothing_that_comes_is_a_500(client: httpx.Client) -> None:
    uid = create(client)
    for number, value in enumerate(_VALUES):
        for step in range(4):
            tag = _TAGS[(3 * number + step) % len(_TAGS)]
            text = json.dumps({**asked(), tag: value}).replace("Infinity", "1e999")
            alone = json.dumps({tag: value}).replace("Infinity", "1e999")
            for answer in (
                client.post("/workitems", content=text, headers=JSON),
                client.post(f"/workitems/{uid}", content=alone, headers=JSON),
                client.put(f"/workitems/{uid}/state", content=alone, headers=JSON),
            ):
                assert answer.status_code < 500, (tag, value, answer.text)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[{},{}]", b"5", b"\xff\xfe", b"null", b"[" * 5000, b'{"00741000":' * 300, b"<x/>", b"{}" * 3],
)
@pytest.mark.parametrize("kind", ["application/dicom+json", "application/dicom+xml", "text/plain", "multipart/related"])
def test_bodies_that_are_none(client: httpx.Client, body: bytes, kind: str) -> None:
    uid = create(client)
    headers = {"Content-Type": kind}
    for method, path in (("POST", "/workitems"), ("POST", f"/workitems/{uid}"), ("PUT", f"/workitems/{uid}/state")):
        assert client.request(method, path, content=body, headers=headers).status_code in (400, 415)
    assert client.post(f"/workitems/{uid}/cancelrequest", content=body, headers=headers).status_code in (202, 400, 415)


def test_a_body_that_is_too_large(client: httpx.Client) -> None:
    assert client.post("/workitems", content=b" " * (5 << 20), headers=JSON).status_code == 413


def test_methods(client: httpx.Client) -> None:
    uid = create(client)
    for method, path, allowed in (
        ("DELETE", f"/workitems/{uid}", "GET, HEAD, OPTIONS, POST"),
        ("POST", f"/workitems/{uid}/state", "PUT"),
        ("GET", f"/workitems/{uid}/cancelrequest", "POST"),
        ("GET", f"/workitems/{uid}/subscribers/A", "POST, DELETE"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    capabilities = client.get("/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert "put" in capabilities["paths"]["/workitems/{workitem}/state"]
