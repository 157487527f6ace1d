"""Sending as durable jobs: one association a job, what becomes of failures, retries, restarts, cancelling, kills."""

import csv
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from archives import (
    MR,
    PATIENCE,
    Destination,
    Object,
    Running,
    listening,
    made,
    running,
    sop_uid,
    study_uid,
    unused_port,
)
from commitment_peers import now
from isocenter.archive.commitment.asked import Asked
from isocenter.config import HostedAE, Peer
from isocenter.config.settings import Commitment
from isocenter.declarations import sop_classes
from isocenter.dicom import uids
from isocenter.exchange.peers import Peers
from isocenter.exchange.pushing import KIND, Entry, Push, push, restart
from isocenter.exchange.turns import Turns
from isocenter.jobs import Queue, Runner
from isocenter.jobs.queue import State
from isocenter.registry.roster import Fixed
from isocenter.server import pushing
from log_records import fields, logged
from material import REQUIREMENTS
from servers import until

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
THREE = (made(1), made(2), made(3))
STOPPING = HostedAE(after_failure="stop")


class Peculiar(Destination):
    """A destination that can be put right."""

    def recover(self) -> None:
        """No more failures, no more aborts."""
        self._statuses, self._drop_after = {}, None


class Sending:
    """An archive whose jobs are carried out when a test says so; `ahead` seconds from now by its clock."""

    def __init__(self, archive: Running, folder: Path) -> None:
        self.archive, self.ahead = archive, 0.0
        self.queue = Queue(archive.database, lambda: now() + int(self.ahead * 1e6))
        directory = Fixed(archive.settings)
        peers = Peers(archive.settings, directory, Turns(folder))
        handlers = pushing.handlers(archive, archive.settings, directory, peers)  # type: ignore[arg-type]
        self.runner = Runner(self.queue, handlers, threads=0, lease=600)

    def push(self, *objects: Object, peer: str = "DEST", commit: bool = False, most: int = 1000) -> int:
        """Queue a job for these; its number."""
        entries = [Entry(each.study, each.sop_uid) for each in objects]
        ae = self.archive.settings.aes[0].title
        return push(self.queue, Push(ae, peer, entries, commit), most=most)[0]

    def once(self) -> None:
        """Carry out the job that is due."""
        assert self.runner.run_once()

    def state(self, number: int) -> State:
        """What became of it."""
        found = self.queue.state(number)
        assert found is not None
        return found

    def stands(self, number: int) -> tuple[str, str]:
        """State and progress."""
        found = self.state(number)
        return found.state, found.progress


@contextmanager
def sending(
    folder: Path,
    url: str,
    *destinations: Destination,
    objects: Sequence[Object] = THREE,
    ae: HostedAE | None = None,
    **peer: object,
) -> Iterator[Sending]:
    """An archive that holds `objects` and knows the destinations, with `peer`'s settings."""
    with listening(*destinations):
        peers = [replace(each.peer, **peer) for each in destinations]
        with running(folder, url, ae=ae, peers=peers, durable=False) as archive:
            archive.send(*objects)
            yield Sending(archive, folder)


@pytest.mark.req(
    "X-MOD-10", "X-MOD-12", "X-MOD-15", "P-EXP-02", "P-EXP-04", "M-DWSEND-01", "M-DWSEND-02", "M-SEND-02", "M-SEND-04"
)
def test_a_job_is_one_association(tmp_path: Path, any_url: str) -> None:
    """Up to three destinations, a job each, carried out one after the other in the order in which they were asked for;
    proposed is what the objects need."""
    destinations = [Peculiar(title=f"DEST{n}") for n in (1, 2, 3)]
    objects = (*THREE, made(1, study=2, sop_class=MR, syntax=uids.IMPLICIT_LE))
    with sending(tmp_path, any_url, *destinations, objects=objects) as work:
        jobs = [work.push(*objects, peer=each.title) for each in destinations]
        assert {work.state(job).state for job in jobs} == {"waiting"}
        for done, each in enumerate(destinations, 1):
            work.once()
            states = [work.state(job).state for job in jobs]
            assert states == ["done"] * done + ["waiting"] * (3 - done)
            assert each.uids == [o.sop_uid for o in objects]
            assert [got.data for got in each.received] == [o.data for o in objects]
            (request,) = each.requests
            assert {context.abstract for context in request.contexts} == {o.sop_class for o in objects}
        assert {work.state(job).progress for job in jobs} == {"4/4"}
        assert not work.runner.run_once()


def statuses() -> Iterator[tuple[int, str]]:
    """The rows of the modality's table, each with a code of its range."""
    with (REQUIREMENTS / "ps32_status_codes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["annex"], row["ae"], row["service"]) == ("B", "Storage", "Storage C-STORE"):
                code = row["code_hex"].partition("-")[0]
                yield 0x0110 if code == "*" else int(code, 16), row["behaviour"]


@pytest.mark.req("X-MOD-13", "X-MOD-17")
@pytest.mark.parametrize(("status", "behaviour"), [*statuses()], ids=lambda value: f"{value}"[:6])
def test_each_status_of_the_modality_s_table(tmp_path: Path, sqlite_url: str, status: int, behaviour: str) -> None:
    """A failure aborts the association, and nothing more is sent; restarted by the user, the job goes on where it
    stood. A warning counts as success. Both are told in the log."""
    dest = Peculiar(statuses={sop_uid(2): status})
    with sending(tmp_path, sqlite_url, dest, ae=STOPPING) as work:
        number = work.push(*THREE)
        with logged("exchange.pushing") as records, logged("dimse.acceptor") as ends:
            work.once()
            until(lambda: fields(ends, "association.ended"))
        (how,) = [each["how"] for each in fields(ends, "association.ended")]
        if not behaviour.startswith("abort"):
            assert (work.stands(number), how) == (("done", "3/3"), "released")
            warned = [{"job": number, "status": f"{status:04X}"}] if status else []
            assert fields(records, "push.warned") == warned
            return
        assert how == "aborted 0/0"
        assert fields(records, "push.failed") == [{"job": number, "peer": "DEST", "why": f"status {status:04X}"}]
        assert work.stands(number) == ("failed", "1/3")
        assert f"status {status:04X}" in work.state(number).error
        assert dest.uids == [sop_uid(1), sop_uid(2)]
        dest.recover()
        assert restart(work.queue, number)
        work.once()
        assert work.stands(number) == ("done", "3/3")
        assert dest.uids == [sop_uid(1), sop_uid(2), sop_uid(2), sop_uid(3)]


@pytest.mark.req("M-DWSEND-03", "M-SEND-05")
def test_the_rest_is_sent_where_the_ae_goes_on(tmp_path: Path, any_url: str) -> None:
    """What failed is named and sent alone by a restart."""
    dest = Peculiar(statuses={sop_uid(1): 0xC000, sop_uid(2): 0xB000})
    with sending(tmp_path, any_url, dest, ae=HostedAE(preset="viewer")) as work:
        number = work.push(*THREE)
        work.once()
        assert work.stands(number) == ("failed", "3/3 failed=0")
        assert "1 of 3 failed: 1 with C000" in work.state(number).error
        assert len(dest.requests) == 1
        dest.recover()
        assert restart(work.queue, number)
        work.once()
        assert work.stands(number) == ("done", "3/3")
        assert dest.uids == [sop_uid(1), sop_uid(2), sop_uid(3), sop_uid(1)]


@pytest.mark.req("X-MOD-14")
@pytest.mark.parametrize("stops", [True, False])
def test_what_may_pass_is_tried_again(tmp_path: Path, sqlite_url: str, stops: bool) -> None:
    dest = Peculiar(statuses={sop_uid(2): 0xA700})
    ae = HostedAE(after_failure="stop" if stops else "continue")
    with sending(tmp_path, sqlite_url, dest, ae=ae, retries=2, retry_delay=60.0) as work:
        number = work.push(*THREE)
        work.once()
        assert work.stands(number) == ("waiting", "1/3 tries=1" if stops else "3/3 tries=1 failed=1")
        assert "A700" in work.state(number).error
        assert not work.runner.run_once()
        work.ahead += 59
        assert not work.runner.run_once()
        work.ahead += 2
        work.once()
        assert work.state(number).state == "waiting"
        dest.recover()
        work.ahead += 61
        work.once()
        assert work.state(number).state == "done"
        assert sorted(set(dest.uids)) == [sop_uid(1), sop_uid(2), sop_uid(3)]
        assert dest.uids.count(sop_uid(1)) == dest.uids.count(sop_uid(3)) == 1


@pytest.mark.req("X-MOD-14")
def test_by_default_nothing_is_tried_again(tmp_path: Path, sqlite_url: str) -> None:
    assert (Peer(title="ANY").retries, Peer(title="ANY").retry_delay) == (0, 60.0)
    dest = Peculiar(statuses={sop_uid(2): 0xA700})
    with sending(tmp_path, sqlite_url, dest, ae=STOPPING) as work:
        number = work.push(*THREE)
        work.once()
        assert work.stands(number) == ("failed", "1/3")


@pytest.mark.req("X-MOD-14", "M-SEND-06", "P-EXP-06")
def test_a_peer_that_is_away(tmp_path: Path, sqlite_url: str) -> None:
    """The tries are used up, then the job fails; the user's restart gives it all of them anew."""
    dest = Peculiar()
    with sending(tmp_path, sqlite_url, dest, retries=1, retry_delay=5.0, port=unused_port()) as work:
        number = work.push(*THREE)
        for _ in range(2):
            work.once()
            assert work.stands(number) == ("waiting", "0/3 tries=1")
            work.ahead += 6
            work.once()
            assert work.stands(number) == ("failed", "0/3 tries=1")
            assert restart(work.queue, number)


@pytest.mark.req("P-EXP-06", "X-MOD-13")
def test_a_peer_that_rejects_or_aborts(tmp_path: Path, sqlite_url: str) -> None:
    """A permanent rejection is not tried again; what an abort left is."""
    refusing, dropping = Peculiar(title="REFUSES", refuse=True), Peculiar(title="DROPS", drop_after=1)
    with sending(tmp_path, sqlite_url, refusing, dropping, retries=1, retry_delay=5.0) as work:
        number = work.push(*THREE, peer="REFUSES")
        work.once()
        assert work.stands(number) == ("failed", "0/3")
        assert "rejected: 1/1/7" in work.state(number).error
        number = work.push(*THREE, peer="DROPS")
        work.once()
        assert work.stands(number) == ("waiting", "1/3 tries=1")
        assert "aborted" in work.state(number).error
        dropping.recover()
        work.ahead += 6
        work.once()
        assert work.stands(number) == ("done", "3/3 tries=1")


@pytest.mark.req("X-MOD-16")
@pytest.mark.parametrize("stops", [True, False])
def test_presentation_states_that_the_peer_does_not_take(tmp_path: Path, sqlite_url: str, stops: bool) -> None:
    dest = Peculiar(classes=frozenset({made().sop_class}))
    state = made(4, sop_class=GSPS, pixels=b"")
    ae = HostedAE(after_failure="stop" if stops else "continue")
    with sending(tmp_path, sqlite_url, dest, objects=(*THREE, state), ae=ae) as work:
        number = work.push(state, *THREE)
        work.once()
        assert work.stands(number) == ("done", "4/4 skipped=0")
        assert dest.uids == [each.sop_uid for each in THREE]


@pytest.mark.req("X-MOD-16")
def test_images_that_the_peer_does_not_take(tmp_path: Path, sqlite_url: str) -> None:
    dest = Peculiar(classes=frozenset({GSPS}))
    state = made(4, sop_class=GSPS, pixels=b"")
    with sending(tmp_path, sqlite_url, dest, objects=(*THREE, state), ae=STOPPING) as work:
        number = work.push(state, *THREE)
        work.once()
        assert work.stands(number) == ("failed", "0/4")
        assert "no context accepted" in work.state(number).error
        assert dest.uids == []


@pytest.mark.req("P-EXP-04")
def test_cancelling_aborts_the_association(tmp_path: Path, sqlite_url: str) -> None:
    """A job is cancelled while the peer still has to answer."""
    dest = Peculiar()
    dest.before_answer.clear()
    with sending(tmp_path, sqlite_url, dest) as work:
        number = work.push(*THREE)
        thread = threading.Thread(target=work.once)
        thread.start()
        assert dest.arrived.acquire(timeout=PATIENCE)
        assert work.queue.cancel(number)
        (held,) = work.runner._running
        held.hold(60)
        with logged("dimse.acceptor") as ends:
            dest.before_answer.set()
            thread.join(PATIENCE)
            until(lambda: [each["how"] for each in fields(ends, "association.ended")] == ["aborted 0/0"])
        assert work.state(number).state == "cancelled"
        assert sop_uid(3) not in dest.uids
        assert restart(work.queue, number)
        work.once()
        assert work.state(number).state == "done"
        assert set(dest.uids) == {each.sop_uid for each in THREE}


@pytest.mark.req("X-MOD-12")
def test_a_peer_with_one_association(tmp_path: Path, any_url: str) -> None:
    """Other jobs to it wait their turn, without failing."""
    dest = Peculiar()
    dest.before_answer.clear()
    with sending(tmp_path, any_url, dest, associations=1) as work:
        first, second = work.push(*THREE), work.push(THREE[0])
        thread = threading.Thread(target=work.once)
        thread.start()
        assert dest.arrived.acquire(timeout=PATIENCE)
        work.once()
        assert work.stands(second) == ("waiting", "")
        assert len(dest.requests) == 1
        dest.before_answer.set()
        thread.join(PATIENCE)
        assert work.state(first).state == "done"
        work.ahead += 2
        work.once()
        assert work.state(second).state == "done"
        assert len(dest.requests) == 2


def test_what_a_killed_runner_left(tmp_path: Path, any_url: str) -> None:
    """Another one goes on from what was told last, once the lease is out."""
    dest = Peculiar()
    with sending(tmp_path, any_url, dest) as work:
        number = work.push(*THREE)
        job = work.queue.lease([KIND], "dead", 60)
        assert job is not None
        assert work.queue.progress(job, "2/3")
        assert not work.runner.run_once()
        work.ahead += 61
        work.once()
        assert work.stands(number) == ("done", "3/3")
        assert dest.uids == [sop_uid(3)]


def test_what_is_gone_is_skipped(tmp_path: Path, sqlite_url: str) -> None:
    dest = Peculiar()
    with sending(tmp_path, sqlite_url, dest) as work:
        number = work.push(THREE[0], made(9), THREE[1])
        work.once()
        assert work.stands(number) == ("done", "3/3 skipped=1")
        assert dest.uids == [sop_uid(1), sop_uid(2)]


def test_many_instances_are_several_jobs(tmp_path: Path, sqlite_url: str) -> None:
    dest = Peculiar()
    with sending(tmp_path, sqlite_url, dest) as work:
        work.push(*THREE, most=2)
        work.once()
        work.once()
        assert dest.uids == [each.sop_uid for each in THREE]
        assert [state.progress for state in work.queue.states()] == ["1/1", "2/2"]


def test_a_done_job_is_sent_again_by_a_restart(tmp_path: Path, sqlite_url: str) -> None:
    dest = Peculiar()
    with sending(tmp_path, sqlite_url, dest) as work:
        number = work.push(*THREE)
        for times in (1, 2):
            work.once()
            assert work.stands(number) == ("done", "3/3")
            assert len(dest.uids) == 3 * times
            assert restart(work.queue, number)


def test_restarting_what_runs_or_is_unknown(tmp_path: Path, any_url: str) -> None:
    with sending(tmp_path, any_url, Peculiar()) as work:
        number = work.push(*THREE)
        assert work.queue.lease([KIND], "me", 60) is not None
        assert not restart(work.queue, number)
        assert not restart(work.queue, number + 1)


def test_a_peer_without_an_address(tmp_path: Path, sqlite_url: str) -> None:
    with sending(tmp_path, sqlite_url, Peculiar()) as work:
        number = work.push(*THREE, peer="NOBODY")
        work.once()
        assert work.state(number).state == "failed"
        assert "no address" in work.state(number).error


@pytest.mark.req("X-MOD-30")
def test_commitment_is_asked_for_afterwards(tmp_path: Path, sqlite_url: str) -> None:
    dest = Peculiar()
    ae = HostedAE(commitment=Commitment(wait=0.0))
    with sending(tmp_path, sqlite_url, dest, ae=ae) as work:
        work.push(*THREE, commit=True)
        work.once()
        asked = Asked(work.archive.database)
        found = asked.get(1)
        assert found is not None
        assert (found.ae, found.peer, found.state) == ("ISOCENTER", "DEST", "asking")
        assert [each.sop_uid for each in asked.instances(1)] == [each.sop_uid for each in THREE]


@pytest.mark.req("M-SEND-07")
def test_jobs_send_as_c_move_does(tmp_path: Path, sqlite_url: str) -> None:
    """Objects leave under the changes that the AE lays over what leaves."""
    dest = Peculiar()
    later = made(2, StudyDescription="Other")
    with sending(tmp_path, sqlite_url, dest, objects=(made(1), later), ae=HostedAE(merge_on_send="full")) as work:
        work.push(made(1), later)
        work.once()
        assert [b"Thorax" in each.data for each in dest.received] == [True, True]
        assert study_uid() == later.study


def test_several_associations_pass_in_an_order_of_their_own(tmp_path: Path, sqlite_url: str) -> None:
    """More contexts than an association holds; a job that breaks between them forgets nothing."""
    classes = list(itertools.islice(_image_classes(), 70))
    objects = [made(n, sop_class=each, pixels=b"") for n, each in enumerate(classes, 1)]
    wanted = objects[::-1]
    dest = Peculiar(drop_after=60)
    with sending(tmp_path, sqlite_url, dest, objects=objects, retries=1, retry_delay=5.0) as work:
        number = work.push(*wanted)
        work.once()
        assert work.state(number).state == "waiting"
        dest.recover()
        work.ahead += 6
        work.once()
        assert work.stands(number) == ("done", "70/70 tries=1")
        assert set(dest.uids) == {each.sop_uid for each in objects}


def _image_classes() -> Iterator[str]:
    return (uid for uid in sorted(sop_classes.storage_classes()) if sop_classes.is_image(uid))
