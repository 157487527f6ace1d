"""Passing steps on, and telling of them: in order, until accepted, seen and restarted where not."""

from pathlib import Path

import pytest

import archives
from archives import ROOT, Running, unused_port
from isocenter.config import Peer
from isocenter.dicom import dataset, uids
from procedure_steps import Delivering, Modality, Ris, ae_of, begun, ended, report, taking

UID, OTHER = f"{ROOT}.91", f"{ROOT}.92"


def _ae(**values: object):  # type: ignore[no-untyped-def]
    return ae_of(mpps={"forward": ["RIS"], "retries": 1, "retry_delay": 10, **values})


@pytest.mark.req("I-MPPS-02", "I-ACT-07", "I-ROUTE-07", "P-ARCH-07", "P-ACT-03", "P-BRG-02", "P-MPPS-07", "P-MPPS-08")
def test_each_message_goes_to_each_peer_in_order_and_as_it_came(tmp_path: Path, sqlite_url: str) -> None:
    one, other = Ris("RIS"), Ris("RIS2")
    data = dataset.encode(begun(PatientName="Doe^Jane=\\'"), uids.EXPLICIT_LE) + b""
    with taking(one, other):
        ae = _ae(forward=["RIS", "RIS2"])
        with archives.running(tmp_path, sqlite_url, ae=ae, peers=[one.peer, other.peer]) as archive:
            with Modality(archive) as modality:
                assert modality.create(UID, data).status == 0
                assert [modality.set(UID, each).status for each in (ended("IN PROGRESS"), ended())] == [0, 0]
            assert Delivering(archive).all() == ["delivered"] * 6
    for peer in (one, other):
        assert peer.told == ["create", "set", "set"]
        assert {each.sop_uid for each in peer.received} == {UID}
        assert peer.received[0].data == data
        assert len(peer.requests) == 1, "one association for all"
        assert peer.requests[0].calling == "ISOCENTER"


@pytest.mark.req("I-MPPS-02", "P-MPPS-10")
def test_all_that_is_queued_for_a_peer_leaves_over_one_association(tmp_path: Path, sqlite_url: str) -> None:
    """More than are read at a time, of several steps, each of which stays in order."""
    peer, steps = Ris(), [f"{ROOT}.93.{number}" for number in range(1, 27)]
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        with Modality(archive) as modality:
            assert {modality.create(uid, begun()).status for uid in steps} == {0}
            assert {modality.set(uid, ended()).status for uid in steps} == {0}
        assert set(Delivering(archive).all()) == {"delivered"}
    assert len(peer.requests) == 1
    for uid in steps:
        assert [each.operation for each in peer.received if each.sop_uid == uid] == ["create", "set"]


@pytest.mark.req("I-MPPS-03")
def test_a_peer_that_is_down_gets_all_of_it_later(tmp_path: Path, sqlite_url: str) -> None:
    """However often it can't be reached; the pauses grow."""
    peer = Ris()
    peer.port = unused_port()
    with archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended()) == [0, 0]
        work = Delivering(archive)
        for _ in range(6):
            assert work.all() == ["waiting", "waiting"]
            work.later(3601)
        waiting = work.rows.listed()[-1]
        assert (waiting.attempts, waiting.refusals) == (6, 0)
        assert waiting.comment.startswith("no connection")
        with taking(peer):
            assert work.all() == ["delivered", "delivered"]
    assert peer.told == ["create", "set"]


@pytest.mark.req("I-MPPS-03")
def test_a_message_that_is_refused_once_holds_back_its_own_step_only(tmp_path: Path, sqlite_url: str) -> None:
    peer = Ris(statuses=[0x0110, 0])
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended()) == [0, 0]
        assert report(archive, OTHER, begun()) == [0]
        work = Delivering(archive)
        assert work.all() == ["waiting", "waiting", "delivered"]
        assert work.later(11).all() == ["delivered"] * 3
    assert [(each.operation, each.sop_uid) for each in peer.received] == [
        ("create", UID), ("create", OTHER), ("create", UID), ("set", UID),
    ]  # fmt: skip


@pytest.mark.req("I-MPPS-03")
def test_what_a_peer_keeps_refusing_waits_for_a_person(tmp_path: Path, sqlite_url: str) -> None:
    """It is listed with the status and the peer's words, and goes on where a person has it tried again or gives it
    up."""
    peer = Ris(statuses=[0x0106])
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended()) == [0, 0]
        work = Delivering(archive)
        work.all()
        assert work.later(11).all() == ["failed", "waiting"]
        (dead,) = work.rows.listed(state="failed")
        assert (dead.operation, dead.status, dead.attempts) == ("create", 0x0106, 2)
        assert work.later(7200).all() == ["failed", "waiting"]
        assert work.rows.restart() == 1
        assert work.all() == ["waiting", "waiting"]
        assert work.rows.discard([dead.id]) == 1
        peer.statuses = [0]
        assert work.all() == ["discarded", "delivered"]
        assert work.rows.restart([dead.id]) == 0
    assert peer.told == ["create", "create", "create", "set"]


@pytest.mark.req("I-MPPS-03")
@pytest.mark.parametrize(("status", "error_id", "operation"), [(0x0111, 0, "create"), (0x0110, 0xA710, "set")])
def test_an_answer_that_was_lost_is_no_failure(
    tmp_path: Path, sqlite_url: str, status: int, error_id: int, operation: str
) -> None:
    """The peer has the message but its answer did not come: asked again, it says that it has it."""
    peer = Ris(drop=1, statuses=[status], error_id=error_id)
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun()) == [0]
        work = Delivering(archive)
        if operation == "set":
            peer.drop, peer.statuses = 0, [0]
            work.all()
            peer.drop, peer.statuses = 1, [status]
            assert report(archive, UID, begun(), ended()) == [0x0111, 0]
        assert work.all()[-1] == "waiting"
        assert work.later(11).all()[-1] == "delivered"
    assert peer.told[-2:] == [operation, operation]


def test_a_restart_in_the_middle_of_a_delivery_sends_it_again(tmp_path: Path, sqlite_url: str) -> None:
    """A runner that dies after the message left leaves it as one that may have arrived."""
    peer = Ris(statuses=[0x0111])
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun()) == [0]
        work = Delivering(archive)
        (one,) = work.rows.due(work.rows.listed()[0].destination)
        assert work.rows.begin(one)
        assert not work.rows.begin(one), "it belongs to the one that began"
        assert work.all() == ["delivered"]
        assert work.rows.listed()[0].comment == "an earlier try had reached the peer"


@pytest.mark.req("P-MPPS-09", "P-MPPS-02")
def test_a_peer_that_knows_only_implicit_gets_it_so(tmp_path: Path, sqlite_url: str) -> None:
    peer = Ris(syntaxes=(uids.IMPLICIT_LE,))
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun()) == [0]
        assert Delivering(archive).all() == ["delivered"]
    (got,) = peer.received
    assert got.syntax == uids.IMPLICIT_LE
    assert dataset.decode(got.data or b"", got.syntax) == dataset.decode(
        dataset.encode(begun(), uids.IMPLICIT_LE), uids.IMPLICIT_LE
    )


def test_a_peer_without_the_class_and_one_without_an_address(tmp_path: Path, sqlite_url: str) -> None:
    """The first is a refusal, the second may be set up yet."""
    peer = Ris(syntaxes=("1.2.3.4",))
    ae = _ae(forward=["RIS", "NOWHERE"], retries=0)
    with taking(peer):
        peers = [peer.peer, Peer(title="NOWHERE")]
        with archives.running(tmp_path, sqlite_url, ae=ae, peers=peers) as archive:
            assert report(archive, UID, begun()) == [0]
            work = Delivering(archive)
            assert work.all() == ["failed", "waiting"]
            assert "address" in work.rows.listed(peer="NOWHERE")[0].comment


@pytest.mark.parametrize(("wanted", "told"), [(False, ["create", "set"]), (True, ["create", "set", "create", "set"])])
def test_refused_messages_are_passed_on_where_that_is_wanted(
    tmp_path: Path, sqlite_url: str, wanted: bool, told: list[str]
) -> None:
    peer = Ris()
    ae = _ae(forward_refused=wanted)
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=ae, peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended()) == [0, 0]
        assert report(archive, UID, begun(), ended()) == [0x0111, 0x0110]
        Delivering(archive).all()
    assert peer.told == told


def test_events_are_reported_to_those_who_want_them(tmp_path: Path, sqlite_url: str) -> None:
    """PS3.4 F.9: in progress, updated, completed; discontinued. We are the SCP on an association of ours."""
    peer = Ris()
    ae = ae_of(mpps={"notify": ["RIS"]})
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=ae, peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended("IN PROGRESS"), ended()) == [0, 0, 0]
        assert report(archive, OTHER, begun(), ended("DISCONTINUED")) == [0, 0]
        assert set(Delivering(archive).all()) == {"delivered"}
    events = {uid: [each.event for each in peer.received if each.sop_uid == uid] for uid in (UID, OTHER)}
    assert events == {UID: [1, 4, 2], OTHER: [1, 3]}
    assert all(each.data is None for each in peer.received)
    (request,) = peer.requests
    assert [(role.scu, role.scp) for role in request.user.roles.values()] == [(False, True)]


def test_overdue_deliveries_get_a_job_again(tmp_path: Path, sqlite_url: str) -> None:
    peer = Ris()
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun()) == [0]
        work = Delivering(archive)
        (job,) = work.queue.states(kind="mpps-delivery")
        assert work.queue.cancel(job.id)
        assert work.all() == ["waiting"]
        assert work.rows.revive() == 0
        assert work.later(400).rows.revive() == 1
        assert work.all() == ["delivered"]


@pytest.mark.req("X-RIS-30")
def test_old_steps_are_forgotten_when_nothing_waits(tmp_path: Path, sqlite_url: str) -> None:
    from isocenter.workflow.steps.upkeep import purge

    peer = Ris()
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_ae(), peers=[peer.peer]) as archive:
        assert report(archive, UID, begun(), ended()) == [0, 0]
        work = Delivering(archive)
        assert purge(work.rows, "ISOCENTER", work.clock() + 1) == 0, "it is not passed on yet"
        work.all()
        assert purge(work.rows, "ISOCENTER", work.clock() - 10**9) == 0
        assert purge(work.rows, "OTHER", work.clock() + 1) == 0
        assert purge(work.rows, "ISOCENTER", work.clock() + 1) == 1
        assert _status(archive, UID) == 0x0112


def _status(archive: Running, uid: str) -> int:
    with Modality(archive) as modality:
        return modality.get(uid)[0].status
