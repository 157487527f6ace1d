"""`isocenter notices`: what is listed, told again and discarded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archives import Running, made, running, study_uid
from databases import migrated
from isocenter.cli import notices
from isocenter.cli.ending import Exit
from isocenter.cli.notices import Wanted
from isocenter.config import Settings
from isocenter.errors import ConfigurationError
from isocenter.workflow.notices.received import Kind, Received, Sender, read
from notified_peers import Web, Work, settings_of

ANY = Wanted("", "", "", 100)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Running, Settings]]:
    """An archive of which one hook was told and another could not be."""
    url = migrated(tmp_path)
    with Web() as web, Web(410) as gone, running(tmp_path, url) as archive:
        hooks = [
            {"url": each.url, "name": name, "events": ["new-study"]} for each, name in ((web, "desk"), (gone, "old"))
        ]
        archive_settings = settings_of(archive, hook=hooks)
        work = Work(archive, archive_settings)
        archive.send(made(1))
        work.all()
        yield archive, Settings(data=tmp_path, database=url)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_listing(told: tuple[Running, Settings], capsys: pytest.CaptureFixture[str]) -> None:
    _, settings = told
    assert notices.list_all(ANY, settings, as_json=True) is Exit.OK
    assert [(each["destination"], each["state"], each["status"]) for each in said(capsys)] == [
        ("old", "failed", 410),
        ("desk", "sent", 204),
    ]
    notices.list_all(ANY._replace(state="failed"), settings, as_json=False)
    assert f"failed  hook  old  new-study  {study_uid()}  410: the server answered 410, tried 1 time\n" in (
        capsys.readouterr().out
    )
    notices.list_all(ANY._replace(study="1.2.3"), settings, as_json=True)
    assert said(capsys) == []
    for wrong in (ANY._replace(state="lost"), ANY._replace(kind="letter")):
        with pytest.raises(ConfigurationError, match="is none of"):
            notices.list_all(wrong, settings, as_json=True)


def test_telling_again_and_discarding(told: tuple[Running, Settings], capsys: pytest.CaptureFixture[str]) -> None:
    _, settings = told
    notices.list_all(ANY._replace(state="failed"), settings, as_json=True)
    (failed,) = said(capsys)
    assert notices.retry([failed["id"]], settings) is Exit.OK
    assert notices.retry([failed["id"], 999], settings) is Exit.SOME_FAILED
    assert "999: there is none of this number" in capsys.readouterr().err
    notices.list_all(ANY._replace(state="waiting"), settings, as_json=True)
    assert [each["id"] for each in said(capsys)] == [failed["id"]]
    assert notices.discard([failed["id"]], settings) is Exit.OK
    assert notices.discard([failed["id"]], settings) is Exit.SOME_FAILED
    assert "it neither waits nor has it failed" in capsys.readouterr().err


def test_what_was_received(told: tuple[Running, Settings], capsys: pytest.CaptureFixture[str]) -> None:
    archive, settings = told
    empty = b"\x20\x00\x0d\x00UI\x06\x001.2.3\0"
    data = b"\x08\x00\x15\x11SQ\0\0\0\0\0\0" + empty
    heard = read(Kind.STUDY_CONTENT, "1.2.4", data, "1.2.840.10008.1.2.1")
    assert Received(archive.database).keep(heard, Sender("OTHER", "ISOCENTER", "10.0.0.1"))
    assert notices.list_received("1.2.3", 10, settings, as_json=True) is Exit.OK
    (one,) = said(capsys)
    assert (one["kind"], one["calling"], one["instances"]) == ("study-content", "OTHER", 0)
    notices.list_received("", 10, settings, as_json=False)
    assert "study-content  OTHER  1.2.3  0 instances" in capsys.readouterr().out
    assert notices.show_received(one["id"], settings) is Exit.OK
    assert json.loads(capsys.readouterr().out)["0020000D"] == {"vr": "UI", "Value": ["1.2.3"]}
    assert notices.show_received(99, settings) is Exit.SOME_FAILED


def test_all_that_have_failed_are_told_again(
    told: tuple[Running, Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once its server is there again."""
    archive, settings = told
    with Web(503, 204) as web:
        again = settings_of(archive, hook=[{"url": web.url, "name": "old", "events": ["new-study"]}])
        assert notices.retry([], settings, failed=True) is Exit.OK
        assert "1 will be told again" in capsys.readouterr().err
        work = Work(archive, again)
        work.all()
        notices.list_all(ANY._replace(state="waiting"), settings, as_json=False)
        assert "503: the server answered 503, tried 1 time, again at 20" in capsys.readouterr().out
        work.later(40).all()
    notices.list_all(ANY._replace(state="failed"), settings, as_json=True)
    assert said(capsys) == []
    assert [call.said["event"] for call in web.calls] == ["new-study"] * 2
    for numbers, failed in (([], False), ([1], True)):
        with pytest.raises(ConfigurationError, match="--failed"):
            notices.retry(numbers, settings, failed=failed)
