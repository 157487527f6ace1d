"""Study content and availability: whom a study is told to, when, and what is said."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from archives import CT, PATIENCE, SR, Running, made, running, series_uid, sop_uid, study_uid, unused_port
from commitment_peers import Client
from commitment_peers import Work as Commitment
from commitment_peers import listening as commitment_listening
from isocenter.archive.commitment.data import Named, Reference
from isocenter.archive.commitment.holding import Checker
from isocenter.archive.commitment.polled import Polled
from isocenter.config import HostedAE, Peer
from isocenter.database import changes
from isocenter.database.changes import Change, Position
from isocenter.dicom import uids
from isocenter.dicom.dataset import bytes_of, items_of, string_of
from isocenter.jobs import Runner
from isocenter.workflow.notices.availability import StepView
from isocenter.workflow.notices.plan import Plan
from isocenter.workflow.notices.tables import study_timer
from notified_peers import AVAILABILITY, CONTENT, Told, Work, listening, settings_of

QUIET: dict[str, Any] = {"kind": "study-content", "to": ["TOLD"], "quiet": 60}
AVAILABLE: dict[str, Any] = {"kind": "availability", "to": ["TOLD"]}


@contextmanager
def telling(
    folder: Path, url: str, *told: Told, ae: HostedAE | None = None, **tables: Any
) -> Iterator[tuple[Running, Work]]:
    """An archive that tells these peers."""
    with listening(*told), running(folder, url, ae=ae, peers=[each.peer for each in told]) as archive:
        yield archive, Work(archive, settings_of(archive, **tables))


def states(work: Work) -> list[str]:
    return [each.state for each in reversed(work.outgoing.latest())]


# --- study content


@pytest.mark.req("I-BSCN-01", "I-BSCN-02", "I-ACT-05", "I-ARCH-07")
def test_study_content_is_told_once_nothing_came_for_a_while(tmp_path: Path, any_url: str) -> None:
    told, other = Told(), Told("OTHER")
    with telling(tmp_path, any_url, told, other, notice=[{**QUIET, "to": ["TOLD", "OTHER"]}]) as (archive, work):
        archive.send(made(1), made(2, series=2), made(1, study=2))
        work.later(50).all()
        assert told.messages == []
        work.later(20).all()
        assert [each.study_uid for each in told.messages] == [study_uid(1), study_uid(2)]
        assert told.messages[0].instances == [sop_uid(1), sop_uid(2, series=2)]
        assert [each.study_uid for each in other.messages] == [study_uid(1), study_uid(2)]
        work.later(600).all()
        assert len(told.messages) == 2, "once for each time"
        archive.send(made(3))
        work.follow().later(70).all()
        assert told.messages[2].instances == [sop_uid(1), sop_uid(3), sop_uid(2, series=2)]


@pytest.mark.req("I-BSCN-02")
def test_each_object_starts_the_time_anew(tmp_path: Path, any_url: str) -> None:
    told = Told()
    with telling(tmp_path, any_url, told, notice=[QUIET]) as (archive, work):
        archive.send(made(1))
        work.follow()
        (first,) = due_of(archive)
        archive.send(made(2))
        work.follow()
        (second,) = due_of(archive)
        assert second > first
        work.ahead = first - work.clock() + 1
        work.all()
        assert told.messages == [] or work.clock() >= second


def due_of(archive: Running) -> list[int]:
    with archive.database.reading() as connection:
        return [row.due_at for row in connection.execute(study_timer.select())]


@pytest.mark.req("I-BSCN-03")
def test_the_first_object_of_a_new_study_is_told_at_once(tmp_path: Path, any_url: str) -> None:
    told = Told()
    with listening(told), running(tmp_path, any_url, peers=[told.peer]) as archive:
        archive.send(made(1, study=9))
        work = Work(archive, settings_of(archive, notice=[{**QUIET, "when": ["first", "quiet"]}]))
        archive.send(made(1), made(2))
        work.all()
        archive.send(made(3), made(2, study=9))
        work.all()
        assert [each.study_uid for each in told.messages] == [study_uid()], "study 9 was there before"
        work.later(61).all()
        assert [each.study_uid for each in told.messages[1:]] == [study_uid(), study_uid(9)]


@pytest.mark.req("I-BSCN-04", "I-CTX-05")
def test_study_content_as_a_data_set(tmp_path: Path, sqlite_url: str) -> None:
    told = Told()
    with telling(tmp_path, sqlite_url, told, notice=[{**QUIET, "ae": "ISOCENTER"}]) as (archive, work):
        archive.send(made(1, StudyID="S7"))
        with archive.database.writing() as connection:
            connection.exec_driver_sql("UPDATE study SET patient_name = 'Müller^Jürgen'")
        work.later(61).all()
    (request,) = told.requests
    assert (request.calling, request.called) == ("ISOCENTER", "TOLD")
    assert [(each.abstract, each.syntaxes) for each in request.contexts] == [(CONTENT, (uids.EXPLICIT_LE,))]
    (message,) = told.messages
    data = message.data
    assert (string_of(data, 0x00080016), string_of(data, 0x00080018)) == (CONTENT, message.sop_uid)
    assert string_of(data, 0x00080005) == "ISO_IR 192"
    assert bytes_of(data, 0x00100010).decode().strip() == "Müller^Jürgen"
    assert (string_of(data, 0x00100020), string_of(data, 0x00200010)) == ("P1", "S7")
    assert string_of(data, 0x0020000D) == study_uid()
    (series,) = items_of(data, 0x00081115)
    assert (string_of(series, 0x0020000E), string_of(series, 0x00080054)) == (series_uid(), "ISOCENTER")
    (image,) = items_of(series, 0x00081140)
    assert (string_of(image, 0x00081150), string_of(image, 0x00081155)) == (CT, sop_uid())


def test_what_counts_as_told(tmp_path: Path, sqlite_url: str) -> None:
    statuses = [0x0000, 0x0001, 0x0002, 0x0003, 0xB000]
    told = Told(statuses=statuses)
    with telling(tmp_path, sqlite_url, told, notice=[QUIET]) as (archive, work):
        archive.send(*(made(1, study=number) for number in range(1, 6)))
        work.later(61).all()
        assert [(each.state, each.status) for each in reversed(work.outgoing.latest())] == [
            ("sent", status) for status in statuses
        ]


# --- availability


def test_availability_is_told_of_a_complete_study(tmp_path: Path, any_url: str) -> None:
    told = Told()
    with telling(tmp_path, any_url, told, notice=[AVAILABLE]) as (archive, work):
        archive.send(made(1), made(2, series=2, sop_class=SR, pixels=b""))
        work.later(61).all()
        (message,) = told.messages
        assert (message.sop_class, message.study_uid) == (AVAILABILITY, study_uid())
        assert items_of(message.data, 0x00081111) == ()
        assert 0x00081111 in message.data
        first, second = items_of(message.data, 0x00081115)
        assert (string_of(first, 0x0020000E), string_of(second, 0x0020000E)) == (series_uid(), series_uid(series=2))
        (item,) = items_of(second, 0x00081199)
        named = [string_of(item, tag) for tag in (0x00080054, 0x00080056, 0x00081150, 0x00081155)]
        assert named == ["ISOCENTER", "ONLINE", SR, sop_uid(2, series=2)]
        archive.send(made(3))
        work.follow().later(61).all()
        assert told.messages[1].instances == [sop_uid(1), sop_uid(3), sop_uid(2, series=2)]
        assert told.messages[1].sop_uid != message.sop_uid, "complete again, told again"
    (context,) = told.requests[0].contexts
    assert context.syntaxes == (uids.EXPLICIT_LE, uids.IMPLICIT_LE)


def test_availability_names_the_step(tmp_path: Path, sqlite_url: str) -> None:
    """A notification for each step, one for what belongs to none."""
    told = Told()
    step = StepView("1.2.3.4", True, frozenset([series_uid()]), frozenset([sop_uid(1)]))
    whole = StepView("1.2.3.5", True, frozenset([series_uid(series=2)]))
    with listening(told), running(tmp_path, sqlite_url, peers=[told.peer]) as archive:
        work = Work(archive, settings_of(archive, notice=[AVAILABLE]), steps=lambda *_: [step, whole])
        archive.send(made(1), made(2), made(1, series=2), made(1, series=3))
        work.later(61).all()
    named = {tuple(each.instances): items_of(each.data, 0x00081111) for each in told.messages}
    assert list(named) == [
        (sop_uid(1),),
        (sop_uid(1, series=2),),
        (sop_uid(2), sop_uid(1, series=3)),
    ]
    (first,), (second,), third = named.values()
    assert string_of(first, 0x00081150) == uids.MODALITY_PERFORMED_PROCEDURE_STEP
    assert (string_of(first, 0x00081155), string_of(second, 0x00081155), third) == ("1.2.3.4", "1.2.3.5", ())
    assert 0x00404019 in first
    assert len({each.sop_uid for each in told.messages}) == 3


# --- what goes wrong


@pytest.mark.parametrize(
    ("statuses", "states_then", "tries"),
    [
        ([0xA700, 0], "sent", 2),
        ([0x0110, 0], "sent", 2),
        ([0xC000], "failed", 1),
        ([0x0122], "failed", 1),
    ],
)
def test_refusals(tmp_path: Path, sqlite_url: str, statuses: list[int], states_then: str, tries: int) -> None:
    told = Told(statuses=statuses)
    with telling(tmp_path, sqlite_url, told, notice=[QUIET]) as (archive, work):
        archive.send(made(1))
        work.later(61).all()
        work.later(31).all()
        assert states(work) == [states_then]
        assert len(told.messages) == tries
        assert len({each.sop_uid for each in told.messages}) == 1, "the same one again"


def test_an_instance_that_is_there_already_was_told(tmp_path: Path, sqlite_url: str) -> None:
    told = Told(statuses=[0x0111])
    with telling(tmp_path, sqlite_url, told, notice=[AVAILABLE]) as (archive, work):
        archive.send(made(1))
        work.later(61).all()
        assert states(work) == ["sent"]


def test_a_peer_that_is_away_is_tried_until_the_tries_are_used_up(tmp_path: Path, sqlite_url: str) -> None:
    away = Peer(title="TOLD", host="127.0.0.1", port=unused_port())
    with running(tmp_path, sqlite_url, peers=[away]) as archive:
        work = Work(archive, settings_of(archive, notice=[{**QUIET, "retries": 2, "retry_delay": 30}]))
        archive.send(made(1))
        work.later(61).all()
        assert [each.attempts for each in work.outgoing.latest()] == [1]
        assert work.all() == 0, "not before it is due"
        for seconds in (31, 61):
            work.later(seconds).all()
        (one,) = work.outgoing.latest()
        assert (one.state, one.attempts) == ("failed", 2)
        assert one.comment
    told = Told()
    with listening(told), running(tmp_path, sqlite_url, peers=[told.peer]) as archive:
        work = Work(archive, settings_of(archive, notice=[QUIET]))
        assert work.all() == 0
        assert work.outgoing.retry(one.id)
        work.all()
        assert states(work) == ["sent"]
        assert [each.sop_uid for each in told.messages] == [one.sop_uid]


def test_what_is_gone_is_not_told(tmp_path: Path, sqlite_url: str) -> None:
    told = Told(statuses=[0xA700, 0])
    with telling(tmp_path, sqlite_url, told, notice=[QUIET]) as (archive, work):
        archive.send(made(1))
        work.later(61).all()
        with archive.database.writing() as connection:
            connection.exec_driver_sql("UPDATE instance SET rejected = 1")
        work.later(31).all()
        assert states(work) == ["discarded"]
        assert len(told.messages) == 1


def test_a_peer_without_an_address_waits_for_one(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        work = Work(archive, settings_of(archive, notice=[QUIET]))
        archive.send(made(1))
        work.later(61).all()
        (one,) = work.outgoing.latest()
        assert (one.state, one.comment) == ("waiting", "no address of the peer is known")


def test_a_discarded_one_is_not_told(tmp_path: Path, sqlite_url: str) -> None:
    told = Told(statuses=[0xA700, 0])
    with telling(tmp_path, sqlite_url, told, notice=[QUIET]) as (archive, work):
        archive.send(made(1))
        work.later(61).all()
        (one,) = work.outgoing.latest()
        assert work.outgoing.discard(one.id)
        assert not work.outgoing.discard(one.id)
        work.later(3600).all()
        assert (states(work), len(told.messages)) == (["discarded"], 1)


# --- nothing is lost or doubled


def test_what_is_to_be_told_and_the_place_in_the_feed_are_written_together(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    with telling(tmp_path, sqlite_url, told, notice=[{**QUIET, "when": ["first"]}]) as (archive, work):
        archive.send(made(1))
        with monkeypatch.context() as patched:
            patched.setattr("isocenter.workflow.notices.following.changes.acknowledge", _fails)
            with pytest.raises(RuntimeError):
                work.following.step()
        assert work.outgoing.latest() == []
        work.all()
        assert len(told.messages) == 1


def _fails(*_: object, **__: object) -> None:
    raise RuntimeError


def test_a_timer_and_what_it_brings_about_are_written_together(
    tmp_path: Path, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    with telling(tmp_path, any_url, told, notice=[AVAILABLE]) as (archive, work):
        archive.send(made(1))
        work.follow().later(61)
        with monkeypatch.context() as patched:
            patched.setattr("isocenter.workflow.completeness.changes.append", _fails)
            with pytest.raises(RuntimeError):
                work.following.fire()
        assert len(due_of(archive)) == 1
        work.all()
        assert (len(told.messages), due_of(archive)) == (1, [])


def test_a_follower_goes_on_where_another_was(tmp_path: Path, sqlite_url: str) -> None:
    told = Told()
    with telling(tmp_path, sqlite_url, told, notice=[QUIET]) as (archive, work):
        archive.send(made(1))
        work.follow()
        archive.send(made(1, study=2))
        again = Work(archive, work.settings, ahead=61_000_000)
        again.all()
        work.later(61).all()
        assert sorted(each.study_uid for each in told.messages) == [study_uid(1), study_uid(2)]


def test_what_came_before_anybody_wanted_to_know_is_not_told(tmp_path: Path, sqlite_url: str) -> None:
    told = Told()
    with listening(told), running(tmp_path, sqlite_url, peers=[told.peer]) as archive:
        archive.send(made(1))
        work = Work(archive, settings_of(archive, notice=[QUIET]))
        archive.send(made(1, study=2))
        work.later(61).all()
        assert [each.study_uid for each in told.messages] == [study_uid(2)]


def test_nobody_follows_where_nobody_is_told(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        assert not Plan(archive.settings).active
        assert not Plan(archive.settings).timers()
        assert Plan(settings_of(archive, notice=[QUIET])).timers() == {"quiet 60": 60.0}
        assert Plan(settings_of(archive, completeness={"always": True})).timers() == {"complete": 60.0}


def test_two_nodes_that_follow_at_once(tmp_path: Path, any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change is taken by one of them, also by those who are called in the same transaction."""
    seen: list[Position] = []
    raced: list[bool] = []

    def also(connection: Connection, found: Sequence[Change]) -> None:
        seen.extend(each.position for each in found)

    with running(tmp_path, any_url) as archive:
        settings = settings_of(archive, notice=[QUIET])
        one, other = (Work(archive, settings, also=[also]).following for _ in range(2))
        archive.send(made(1), made(2))
        read = changes.read

        def overtaken(*given: Any) -> list[Change]:
            found = read(*given)
            if not raced:
                raced.append(True)
                assert not other.step()
            return found

        monkeypatch.setattr(changes, "read", overtaken)
        assert one.step(), "it looks again"
        assert not one.step()
        assert raced
    assert len(seen) == len(set(seen)) == 2


def test_a_peer_that_is_slow_holds_up_nobody_else(tmp_path: Path, sqlite_url: str) -> None:
    slow, fast = Told("SLOW"), Told("FAST")
    slow.before_answer.clear()
    with telling(tmp_path, sqlite_url, slow, fast, notice=[{**QUIET, "to": ["SLOW", "FAST"], "when": ["first"]}]) as (
        archive,
        work,
    ):
        runner = Runner(work.queue, work.handlers, threads=2, poll=0.02)
        runner.start()
        try:
            archive.send(made(1))
            work.follow()
            assert slow.arrived.acquire(timeout=PATIENCE)
            assert fast.arrived.acquire(timeout=PATIENCE)
            for number in range(2, 5):
                archive.send(made(1, study=number))
                work.follow()
                assert fast.arrived.acquire(timeout=PATIENCE)
            assert len(slow.messages) == 1
            slow.before_answer.set()
            for _ in range(3):
                assert slow.arrived.acquire(timeout=PATIENCE)
        finally:
            slow.before_answer.set()
            runner.stop(PATIENCE)


# --- commitment


def test_availability_is_told_once_commitment_was_reported(tmp_path: Path, any_url: str) -> None:
    """Of the instances that are committed alone, and of each study that they are in."""
    told, modality = Told(), Client()
    notice = [{**AVAILABLE, "when": ["committed"]}]
    with (
        listening(told),
        commitment_listening(modality),
        running(tmp_path, any_url, peers=[told.peer, modality.peer]) as archive,
    ):
        work = Work(archive, settings_of(archive, notice=notice))
        objects = made(1), made(2), made(1, study=2)
        archive.send(*objects, made(3))
        modality.ask(archive, *objects, Reference(CT, "1.2.3.99"))
        Commitment(archive).all()
        modality.await_reports(1)
        work.all()
    assert [(each.study_uid, each.instances) for each in told.messages] == [
        (study_uid(1), [sop_uid(1), sop_uid(2)]),
        (study_uid(2), [sop_uid(1, study=2)]),
    ]


def test_availability_is_told_of_what_was_committed_over_http(tmp_path: Path, any_url: str) -> None:
    """Once, when the result is there to be fetched; asking again for the same changes nothing."""
    told = Told()
    with telling(tmp_path, any_url, told, notice=[{**AVAILABLE, "when": ["committed"]}]) as (archive, work):
        archive.send(made(1), made(2), made(3))
        polled = Polled(archive.database, Checker.of(archive.database, archive.store, "process"))
        named = [Named(CT, sop_uid(1)), Named(CT, sop_uid(3)), Named(CT, "1.2.3.99")]
        for _ in range(2):
            polled.look(polled.ask(HostedAE(), "127.0.0.1", "2.25.5005", named), HostedAE())
        work.all()
    assert [(each.study_uid, each.instances) for each in told.messages] == [(study_uid(1), [sop_uid(1), sop_uid(3)])]
