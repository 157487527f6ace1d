"""The unified worklist of a whole server: a token before HTTP and WebSocket, events by its own background work to a
DICOM peer and to a channel, and what a restart leaves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
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
        found = httpx.get(f"{server.url}/dicom-web/workitems/2.25.1", headers=BEARER).json()
        assert found[0]["00741000"]["Value"] == ["CANCELED"]
