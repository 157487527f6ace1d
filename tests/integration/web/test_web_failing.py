"""What a client is told when something of ours is away or fails."""

import sqlite3

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from isocenter.errors import Reason, Retriable
from isocenter.web.dicomweb import searching
from web_archive import STOW, Archive, image, multipart, part10, send

Web = tuple[httpx.Client, Archive]


@pytest.mark.req("I-QIDO-ST-06")
def test_a_database_that_is_away_is_503(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = web

    def fail(*args: object) -> None:
        raise OperationalError("SELECT secret", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(searching.archive_query, "search", fail)
    answer = client.get("/studies")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "secret" not in answer.text


def test_an_error_of_ours_tells_nothing(web: Web, monkeypatch: pytest.MonkeyPatch, caplog: object) -> None:
    client, _ = web

    def fail(*args: object) -> None:
        raise ValueError("DOE^JANE")

    monkeypatch.setattr(searching.archive_query, "search", fail)
    answer = client.get("/studies?PatientName=DOE*")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "DOE" not in answer.text
    assert "DOE" not in caplog.text  # type: ignore[attr-defined]


@pytest.mark.req("I-STOW-ST-07", "I-STOW-RS-05")
def test_a_full_disk_is_503(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    client, archive = web

    def full(size_hint: int = 0) -> None:
        raise Retriable(Reason.OUT_OF_STORAGE, "no space")

    monkeypatch.setattr(archive.store, "reserve", full)
    answer = client.post("/studies", content=multipart([part10(image(1))]), headers=STOW)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA710]


def test_too_many_requests_are_503(web: Web) -> None:
    client, archive = web
    lane = archive.context.lanes.query
    lane._room = 0
    assert client.get("/studies").status_code == 503
    lane._room = 1
    assert client.get("/studies").status_code == 200


def test_an_object_that_is_gone_is_404(web: Web) -> None:
    client, archive = web
    send(client, image(1))
    (key,) = archive.store.keys()
    archive.store.remove(key)
    one = image(1)
    where = f"/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"
    assert client.get(where).status_code == 404
    assert client.get(f"{where}/frames/1").status_code == 404
