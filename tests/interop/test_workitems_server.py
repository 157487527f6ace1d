"""The unified worklist of a whole server: a token before HTTP and WebSocket, events by its own background work to a
DICOM peer and to a channel, and what a restart leaves."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from peer_programs import configured
from servers import PATIENCE, Server, until
from workitem_models import asked
from workitem_peers import Watcher

TOKEN = "a token of the tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/dicom+json", **BEARER}


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    with made.listening():
        yield made


_PARTING = {"workitem__notify": '["DESK"]', "workitem__farewell": 60}


def _heard(server: Server, last: int, title: str = "VIEWER") -> list[dict[str, Any]]:
    """What the channel says up to an event of type `last`. What was sent when it ended last may come again."""
    url = f"ws://127.0.0.1:{server.http_port}/dicom-web/subscribers/{title}"
    told: list[dict[str, Any]] = []
    with connect(url, additional_headers=BEARER, proxy=None) as channel:
        while not told or told[-1]["00001002"]["Value"] != [last]:
            told.append(json.loads(channel.recv(timeout=PATIENCE)))
    return told


def test_a_whole_server(tmp_path: Path, watcher: Watcher) -> None:
    data = configured(tmp_path / "data", watcher.peer)
    with Server(data, settings={"http__token": TOKEN, "http__open": False}) as server:
        root = f"{server.url}/dicom-web/workitems"
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{server.http_port}/dicom-web/subscribers/VIEWER", proxy=None)
        assert refused.value.response.status_code == 403
        assert httpx.get(root).status_code == 401
        everything = f"{root}/1.2.840.10008.5.1.4.34.5/subscribers/VIEWER"
        assert httpx.post(everything, headers=BEARER).status_code == 201
        assert httpx.post(f"{root}?2.25.1", json=asked(), headers=JSON).status_code == 201
        (said,) = _heard(server, 1)
        assert (said["00001000"]["Value"], said["00741000"]["Value"]) == (["2.25.1"], ["SCHEDULED"])
        assert watcher.subscribe(server.dicom_port, "2.25.1") == 0
        until(lambda: watcher.told)
        assert httpx.post(f"{root}/2.25.1/cancelrequest", headers=BEARER).status_code == 202
        until(lambda: len(watcher.told) == 3)
        assert [model.ProcedureStepState for _, _, model in watcher.told] == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
        server.kill()
        server.start()
        *changes, restarted = _heard(server, 4)
        assert [said["00741000"]["Value"][0] for said in changes][-2:] == ["IN PROGRESS", "CANCELED"]
        assert restarted["00741242"]["Value"] == ["RESTARTED"]
        until(lambda: watcher.told[-1][0] == 4)
        assert watcher.told[-1][2].SubscriptionListStatus == "WARM START"
        found = httpx.get(f"{server.url}/dicom-web/workitems/2.25.1", headers=BEARER).json()
        assert found[0]["00741000"]["Value"] == ["CANCELED"]
        _ticketed(server)
        _stopped(server, watcher)


def _ticketed(server: Server) -> None:
    """A ticket stands for the token once, at the channel that it was made for; nothing of it is in a URL or the log."""
    where = f"{server.url}/dicom-web/subscribers/VIEWER/ticket"
    assert httpx.post(where).status_code == 401
    assert httpx.post(where, headers={**BEARER, "Sec-Fetch-Site": "cross-site"}).status_code == 403
    answer = httpx.post(where, headers=BEARER)
    said = answer.json()
    assert (answer.status_code, answer.headers["cache-control"], said["seconds"]) == (201, "no-store", 30)
    assert said["url"] == f"ws://127.0.0.1:{server.http_port}/dicom-web/subscribers/VIEWER"
    protocol, ticket = said["protocols"]
    for url, offered in (
        (said["url"].replace("VIEWER", "OTHER"), [protocol, ticket]),
        (said["url"], [protocol, ticket + "x"]),
        (said["url"], [protocol, ticket, ticket + "x"]),
        (said["url"], [protocol]),
    ):
        with pytest.raises(InvalidStatus), connect(url, subprotocols=offered, proxy=None):
            pass
    with connect(said["url"], subprotocols=[protocol, ticket], proxy=None) as channel:
        assert channel.subprotocol == protocol
    with pytest.raises(InvalidStatus), connect(said["url"], subprotocols=[protocol, ticket], proxy=None):
        pass
    assert ticket.rpartition(".")[2] not in server.whole_log()


def _stopped(server: Server, watcher: Watcher) -> None:
    """A graceful stop is told before the server is gone: over DIMSE, and to a channel that is open."""
    before = len(watcher.told)
    url = f"ws://127.0.0.1:{server.http_port}/dicom-web/subscribers/VIEWER"
    with connect(url, additional_headers=BEARER, proxy=None) as channel:
        created = httpx.post(f"{server.url}/dicom-web/workitems?2.25.2", json=asked(), headers=JSON)
        assert created.status_code == 201
        while json.loads(channel.recv(timeout=PATIENCE))["00001000"]["Value"] != ["2.25.2"]:
            pass
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        said = json.loads(channel.recv(timeout=PATIENCE))
        with pytest.raises(ConnectionClosed):
            channel.recv(timeout=PATIENCE)
        stopping.join()
    assert said["00001000"]["Value"] == ["1.2.840.10008.5.1.4.34.5"]
    assert (said["00001002"]["Value"], said["00741242"]["Value"]) == ([4], ["GOING DOWN"])
    assert not {"00741244", "00741246"} & said.keys()
    (told,) = watcher.told[before:]
    assert (told[0], told[1], told[2].SCPStatus) == (4, "1.2.840.10008.5.1.4.34.5", "GOING DOWN")
    assert "SubscriptionListStatus" not in told[2]


def test_a_stop_waits_for_nobody_who_is_away(tmp_path: Path) -> None:
    """A subscriber that can't be reached, and one whose channel is not open, hold up nothing; a peer that is told of
    starts and stops in any case hears of the first start as a cold one."""
    away = Watcher("AWAY")
    notified = Watcher("DESK")
    data = configured(tmp_path / "data", away.peer, notified.peer)
    with notified.listening(), Server(data, settings={"http__open": True, **_PARTING}) as server:
        until(lambda: notified.told)
        assert [notified.told[0][2].get(name) for name in _LISTS] == ["COLD START"] * 2
        root = f"{server.url}/dicom-web/workitems"
        assert httpx.post(f"{root}?2.25.1", json=asked(), headers=JSON).status_code == 201
        assert httpx.post(f"{root}/2.25.1/subscribers/VIEWER").status_code == 201
        assert away.subscribe(server.dicom_port, "2.25.1") == 0
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 60, "the farewell's limit is a minute here, and nobody is waited for"
        until(lambda: notified.told[-1][2].SCPStatus == "GOING DOWN")
        server.start()
        until(lambda: len(notified.told) == 3)
        assert [notified.told[-1][2].get(name) for name in _LISTS] == ["WARM START"] * 2


_LISTS = ("SubscriptionListStatus", "UnifiedProcedureStepListStatus")
