"""Web hooks against a real web server: what is said, how it is signed, and what becomes of those that fail."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from archives import Running, made, running, study_uid, unused_port
from isocenter.config.notices import WebHook
from isocenter.database import changes
from isocenter.workflow.notices.hooks import signed
from notified_peers import Web, Work, settings_of

SECRET = "a secret of the tests"


def work_of(archive: Running, *hooks: dict[str, Any]) -> Work:
    return Work(archive, settings_of(archive, hook=list(hooks)))


def change(archive: Running, kind: str, **where: str) -> None:
    with archive.database.writing() as connection:
        changes.append(connection, kind, 1, **where)


def test_what_is_said_and_how_it_is_signed(tmp_path: Path, sqlite_url: str) -> None:
    with Web() as web, running(tmp_path, sqlite_url) as archive:
        work = work_of(archive, {"url": web.url, "secret": SECRET, "events": ["new-study", "complete"]})
        archive.send(made(1, AccessionNumber="A7"), made(1, series=2, AccessionNumber="A7"))
        work.later(61).all()
        new, complete = web.calls
        assert (new.said["event"], complete.said["event"]) == ("new-study", "complete")
        assert complete.said["study"] == {
            "StudyInstanceUID": study_uid(), "AccessionNumber": "A7", "series": 2, "instances": 2, "completed": 1,
        }  # fmt: skip
        assert (complete.path, complete.headers["Content-Type"]) == ("/told?token=sesame", "application/json")
        assert complete.headers["Isocenter-Delivery"] == complete.said["id"] != new.said["id"]
        at = complete.headers["Isocenter-Timestamp"]
        code = hmac.new(SECRET.encode(), at.encode() + b"." + complete.body, hashlib.sha256).hexdigest()
        assert complete.headers["Isocenter-Signature"] == f"v1={code}"
        assert [each.state for each in work.outgoing.latest()] == ["sent", "sent"]


def test_patients_are_named_only_where_that_is_asked_for(tmp_path: Path, sqlite_url: str) -> None:
    with Web() as web, running(tmp_path, sqlite_url) as archive:
        plain = {"url": web.url, "name": "plain", "events": ["new-study"]}
        work = work_of(archive, plain, {**plain, "name": "full", "patient": True})
        archive.send(made(1))
        work.all()
        first, second = sorted(web.calls, key=lambda each: len(each.body))
        assert b"Doe" not in first.body
        assert b"P1" not in first.body
        assert second.said["study"]["patient"]["PatientName"] == "Doe^Jane"
        assert second.said["study"]["patient"]["PatientID"] == "P1"
        assert "Isocenter-Signature" not in first.headers


def test_without_a_secret_only_the_time_is_told() -> None:
    assert signed("", b"{}", 7) == {"Isocenter-Timestamp": "7"}


def test_each_event(tmp_path: Path, sqlite_url: str) -> None:
    """And none that was not asked for."""
    of_steps = ("step-created", "step-completed", "step-discontinued")
    events = (
        *of_steps,
        "scheduled",
        "unscheduled",
        "notified",
        "edited",
        "rejected",
        "restored",
        "deleted",
        "complete",
    )
    with Web() as web, running(tmp_path, sqlite_url) as archive:
        hooks = ({"url": web.url, "name": event, "events": [event]} for event in events)
        work = work_of(archive, *hooks)
        for kind in (*events, "conflict", "version", "compressed"):
            change(archive, kind, study_uid="1.2.3", sop_uid="1.2.4")
        work.all()
        said = {each.said["event"]: each.said for each in web.calls}
    assert (sorted(said), len(web.calls)) == (sorted(events), len(events))
    assert all(each["study"]["StudyInstanceUID"] == "1.2.3" for each in said.values())
    assert {event for event in events if "step" in said[event]} == set(of_steps)
    assert said["step-created"]["step"] == {"SOPInstanceUID": "1.2.4"}


def test_many_changes_of_one_study_are_one_word(tmp_path: Path, sqlite_url: str) -> None:
    with Web() as web, running(tmp_path, sqlite_url) as archive:
        work = work_of(archive, {"url": web.url, "events": ["deleted"]})
        for number in range(20):
            change(archive, "deleted", study_uid="1.2.3", sop_uid=f"1.2.3.{number}")
        work.all()
        assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("statuses", "state", "tries"),
    [
        ([200], "sent", 1),
        ([500, 503, 429, 201], "sent", 4),
        ([408, 425, 204], "sent", 3),
        ([400], "failed", 1),
        ([410], "failed", 1),
        ([302], "failed", 1),
    ],
)
def test_answers(tmp_path: Path, sqlite_url: str, statuses: list[int], state: str, tries: int) -> None:
    with Web(*statuses) as web, running(tmp_path, sqlite_url) as archive:
        work = work_of(archive, {"url": web.url, "events": ["new-study"], "retry_delay": 10})
        archive.send(made(1))
        work.all()
        for _ in range(5):
            work.later(100).all()
        (one,) = work.outgoing.latest()
        assert (one.state, len(web.calls)) == (state, tries)
        assert len({each.headers["Isocenter-Delivery"] for each in web.calls}) == 1
        assert len({each.body for each in web.calls}) == 1


def test_one_that_is_away_becomes_a_dead_letter_and_can_be_sent_again(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        away = {"url": f"http://127.0.0.1:{unused_port()}/", "name": "desk", "events": ["new-study"]}
        work = work_of(archive, {**away, "retries": 1, "retry_delay": 10})
        archive.send(made(1), made(1, study=2))
        work.all()
        work.later(20).all()
        found = work.outgoing.latest(state="failed")
        assert len(found) == 2
        assert all(each.comment.startswith("the server can't be reached") for each in found)
        with Web() as web:
            work = work_of(archive, {**away, "url": web.url})
            assert all(work.outgoing.retry(each.id) for each in found)
            work.all()
            assert len(web.calls) == 2


def test_a_hook_that_is_gone(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        work = work_of(archive, {"url": "http://127.0.0.1:9/x", "name": "old", "events": ["new-study"]})
        archive.send(made(1))
        work.follow()
        other = work_of(archive, {"url": "http://127.0.0.1:9/y", "name": "new", "events": ["new-study"]})
        other.all()
        (one,) = work.outgoing.latest()
        assert (one.state, one.comment) == ("failed", "no such hook is configured")


def test_its_name_hides_what_a_url_may_hide() -> None:
    assert WebHook(url="https://me:pass@example.org:8443/a/b?token=x").title == "https://example.org:8443/a/b"
    assert WebHook(url="https://example.org").title == "https://example.org"
    assert WebHook(url="https://example.org", name="desk").title == "desk"
