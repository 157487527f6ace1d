"""Storage commitment SCU: what we ask of other archives, and every way in which they report or don't."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError

from archives import CT, Running, made, running, sop_uid, unused_port
from commitment_peers import Archiver, Client, Work, all_well, listening, references, tell
from isocenter import telemetry
from isocenter.archive.commitment import rows as commitment_rows
from isocenter.archive.commitment.data import Reference, Requested, Result
from isocenter.config import HostedAE
from isocenter.config.settings import Commitment
from isocenter.declarations.commitment import ANSWERS, Answer
from isocenter.dicom import dataset, uids
from isocenter.dimse import Context
from isocenter.exchange.commitment_upkeep import handler
from isocenter.exchange.committing import MOST, again, request
from isocenter.jobs.runner import Running as RunningJob
from log_records import fields, logged
from material import REQUIREMENTS
from servers import until

TWO = (made(1), made(2))
QUICK = HostedAE(commitment=Commitment(wait=0.0))


def rows(name: str, **wanted: str) -> list[dict[str, str]]:
    """The rows of a catalogue table that have these values."""
    with (REQUIREMENTS / name).open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


@contextmanager
def asking(
    tmp_path: Path, url: str, archiver: Archiver, *, ae: HostedAE = QUICK, away: bool = False
) -> Iterator[tuple[Running, Work]]:
    """An archive that knows the archiver."""
    with listening(archiver):
        peer = replace(archiver.peer, port=unused_port()) if away else archiver.peer
        with running(tmp_path, url, ae=ae, peers=[peer]) as archive:
            yield archive, Work(archive)


def ask(work: Work, *objects: Any) -> int:
    """Ask, and carry the job out; the transaction's number."""
    (number,) = request(work.asked, "ISOCENTER", "ARCHIVER", references(*(objects or TWO)))
    assert work.all() == 1
    return number


def state(work: Work, number: int) -> str:
    found = work.asked.get(number)
    assert found is not None
    return found.state


def failures(work: Work, number: int) -> dict[str, int | None]:
    return {each.sop_uid: each.failure for each in work.asked.instances(number)}


def results(*failures: int) -> list[Result]:
    """What is said of the first instances."""
    return [Result(CT, sop_uid(n), failure) for n, failure in enumerate(failures, 1)]


@pytest.mark.req("I-COMMIT-12", "I-CTX-03", "I-ASSOC-01", "X-MOD-33")
def test_the_request(tmp_path: Path, any_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, any_url, archiver) as (_, work):
        number = ask(work)
        assert state(work, number) == "requested"
        found = work.asked.get(number)
        assert found is not None
    assert archiver.asked == [Requested(found.transaction_uid, tuple(references(*TWO)))]
    (sent,) = archiver.requests
    (context,) = sent.contexts
    expected = rows("iconnect_transfer_syntaxes.csv", context="Storage Commitment Push Model SCU proposed (T3.7)")
    assert list(context.syntaxes) == [row["uid"] for row in expected]
    assert (sent.user.roles, sent.user.extended) == ({}, {})


@pytest.mark.req("X-MOD-31", "X-MOD-32", "X-MOD-35")
def test_a_report_on_the_same_association(tmp_path: Path, any_url: str) -> None:
    archiver = Archiver(then=all_well)
    with asking(tmp_path, any_url, archiver, ae=HostedAE(commitment=Commitment(wait=60.0))) as (_, work):
        number = ask(work)
        assert state(work, number) == "committed"
        assert failures(work, number) == {sop_uid(1): 0, sop_uid(2): 0}
        assert work.asked.committed_by([sop_uid(1), sop_uid(9)]) == {sop_uid(1): frozenset({("ARCHIVER", "THERE")})}
    assert len(archiver.requests) == 1


@pytest.mark.req("X-MOD-31", "X-MOD-32", "X-MOD-37")
@pytest.mark.parametrize("role", [True, False])
def test_a_report_on_an_association_of_the_peer(tmp_path: Path, any_url: str, role: bool) -> None:
    archiver = Archiver()
    with asking(tmp_path, any_url, archiver) as (archive, work):
        number = ask(work)
        response = archiver.report_to(archive, archiver.asked[0].transaction_uid, results(0, 0), role=role)
        assert (response.status, state(work, number)) == (0, "committed")


@pytest.mark.req("X-MOD-35")
@pytest.mark.parametrize(
    "row", rows("ps32_event_types.csv", annex="B", sop_class="Storage Commitment Push Model"), ids=str
)
def test_events(tmp_path: Path, sqlite_url: str, row: dict[str, str]) -> None:
    archiver, event = Archiver(), int(row["event_type_id"])
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)
        said = results(0, 0) if event == 1 else results(0, 0x0112)
        assert archiver.report_to(archive, archiver.asked[0].transaction_uid, said, event=event).status == 0
        assert state(work, number) == ("committed" if event == 1 else "failed")
        assert failures(work, number) == {each.sop_uid: each.failure for each in said}
        assert set(work.asked.committed_by([sop_uid(1), sop_uid(2)])) == {
            each.sop_uid for each in said if not each.failure
        }
        found = work.asked.get(number)
        assert found is not None
        assert found.comment == ("" if event == 1 else "1 no such object instance")
        # nothing starts again by itself; a person may ask again for what is missing
        assert work.later(7200).all() == 0
        assert len(again(work.asked, number)) == event - 1
        assert work.all() == event - 1
    assert [len(each.references) for each in archiver.asked] == [2, 1][:event]


@pytest.mark.req("X-MOD-35")
def test_an_instance_that_the_report_leaves_out_is_not_committed(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)
        assert archiver.report_to(archive, archiver.asked[0].transaction_uid, results(0)).status == 0
        assert state(work, number) == "failed"
        assert failures(work, number) == {sop_uid(1): 0, sop_uid(2): None}
        found = work.asked.get(number)
        assert found is not None
        assert found.comment == "1 not mentioned in the report"


def expired(archive: Running, archiver: Archiver, work: Work) -> tuple[str, list[Result], dict[str, Any]]:
    work.later(86401).asked.expire()
    return archiver.asked[0].transaction_uid, results(0, 0), {}


ANSWERED: dict[int, Callable[[Running, Archiver, Work], tuple[str, list[Result], dict[str, Any]]]] = {
    0x0000: lambda archive, archiver, work: (archiver.asked[0].transaction_uid, results(0, 0), {}),
    0x0211: lambda archive, archiver, work: ("1.2.3.4", results(0, 0), {}),
    0x0213: expired,
    0x0113: lambda archive, archiver, work: (archiver.asked[0].transaction_uid, results(0, 0), {"event": 3}),
    0x0110: lambda archive, archiver, work: ("", [], {"data": b"\x08\x00\x95\x11\xff\xff"}),
    0x0115: lambda archive, archiver, work: (archiver.asked[0].transaction_uid, results(0, 0, 0, 0x0110), {}),
}


@pytest.mark.req("X-MOD-36")
@pytest.mark.parametrize(
    "row",
    rows("ps32_status_codes.csv", annex="B", service="Storage Commitment N-EVENT-REPORT response"),
    ids=lambda row: row["code_hex"],
)
def test_answers_to_reports(tmp_path: Path, sqlite_url: str, row: dict[str, str]) -> None:
    status, archiver = int(row["code_hex"], 16), Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)
        transaction, said, more = ANSWERED[status](archive, archiver, work)
        response = archiver.report_to(archive, transaction, said, **more)
        assert (response.status, bool(response.comment)) == (status, status != 0)
        if status == 0x0115:
            assert response.data is not None
            reply = dataset.decode(response.data, uids.EXPLICIT_LE)
            named = [dataset.string_of(item, 0x00081155) for item in dataset.items_of(reply, 0x00081199)]
            assert named == [sop_uid(3), sop_uid(4)]
        else:
            assert response.data is None
        expected = {0: "committed", 0x0213: "expired"}.get(status, "requested")
        assert state(work, number) == expected
        assert set(failures(work, number).values()) == ({0} if status == 0 else {None})


def test_every_answer_is_one_of_the_catalogue() -> None:
    listed = rows("ps32_status_codes.csv", annex="B", service="Storage Commitment N-EVENT-REPORT response")
    assert {int(row["code_hex"], 16) for row in listed} == set(ANSWERED) == set(ANSWERS) == set(Answer)


@pytest.mark.req("X-MOD-36")
def test_a_report_that_cannot_be_recorded_is_not_acknowledged(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)

        def fails(*_: object) -> None:
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))

        with monkeypatch.context() as broken:
            broken.setattr(commitment_rows, "note", fails)
            transaction = archiver.asked[0].transaction_uid
            assert archiver.report_to(archive, transaction, results(0, 0)).status == 0x0110
        assert state(work, number) == "requested"
        assert archiver.report_to(archive, transaction, results(0, 0)).status == 0


@pytest.mark.parametrize(
    "row", rows("ps32_status_codes.csv", annex="B", service="Storage Commitment N-ACTION"), ids=str
)
def test_answers_to_the_request(tmp_path: Path, sqlite_url: str, row: dict[str, str]) -> None:
    status = 0x0110 if row["code_hex"] == "*" else int(row["code_hex"], 16)
    archiver = Archiver(statuses=[status])
    with asking(tmp_path, sqlite_url, archiver) as (_, work):
        number = ask(work)
        assert state(work, number) == ("refused" if status else "requested")
        assert work.later(7200).all() == 0
    assert len(archiver.asked) == 1


# --- what a peer may do wrong


@pytest.mark.req("X-MOD-34", "I-COMMIT-13")
def test_a_peer_that_never_reports(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (_, work):
        number = ask(work)
        upkeep = handler(work.accepted, work.asked, work.clock)
        before = counted("expired")
        work.later(86399)
        upkeep(job(work))
        assert state(work, number) == "requested"
        work.later(2)
        upkeep(job(work))
        assert state(work, number) == "expired"
        assert counted("expired") == before + 1
        assert work.asked.committed_by([sop_uid(1)]) == {}


@pytest.mark.req("P-EXP-03", "X-MOD-31")
def test_the_association_is_released_when_no_report_came_in_time(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    ae = HostedAE(commitment=Commitment(wait=0.1))
    with asking(tmp_path, sqlite_url, archiver, ae=ae) as (_, work), logged("dimse.acceptor") as records:
        number = ask(work)
        until(lambda: [each["how"] for each in fields(records, "association.ended")] == ["released"])
        assert state(work, number) == "requested"


@pytest.mark.req("X-MOD-34")
def test_any_report_ends_the_waiting(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)
        archiver.report_to(archive, archiver.asked[0].transaction_uid, results(0x0110, 0x0110))
        assert work.later(90000).asked.expire() == 0
        assert state(work, number) == "failed"


def test_a_peer_that_reports_twice(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        number = ask(work)
        transaction = archiver.asked[0].transaction_uid
        for _ in range(2):
            assert archiver.report_to(archive, transaction, results(0, 0)).status == 0
            assert state(work, number) == "committed"
        # a promise can be taken back, but not be made better
        for said in (results(0, 0x0112), results(0, 0)):
            assert archiver.report_to(archive, transaction, said).status == 0
            assert failures(work, number) == {sop_uid(1): 0, sop_uid(2): 0x0112}
            assert state(work, number) == "failed"


@pytest.mark.parametrize("fault", ["aborts the request", "is away", "knows no such class"])
def test_a_request_that_does_not_get_through(tmp_path: Path, sqlite_url: str, fault: str) -> None:
    archiver = Archiver(instead=(lambda a: a.abort()) if fault == "aborts the request" else None)
    if fault == "knows no such class":
        archiver.title = "OTHER"  # the association is rejected for good
    ae = HostedAE(commitment=Commitment(wait=0.0, retries=2, retry_delay=60.0))
    with asking(tmp_path, sqlite_url, archiver, ae=ae, away=fault == "is away") as (_, work):
        (number,) = request(work.asked, "ISOCENTER", archiver.title, references(*TWO))
        archiver.title = "ARCHIVER" if fault != "knows no such class" else "ELSE"
        for tried in range(3):
            done = work.all()
            if fault == "knows no such class":
                break
            assert done == 1, tried
            assert state(work, number) == ("asking" if tried < 2 else "unreachable")
            assert work.all() == 0
            work.later(61)
        assert state(work, number) == ("refused" if fault == "knows no such class" else "unreachable")
        assert work.later(7200).all() == 0
    # the same transaction each time
    assert len(archiver.asked) == (3 if fault == "aborts the request" else 0)
    assert len({each.transaction_uid for each in archiver.asked}) == (1 if archiver.asked else 0)


@pytest.mark.parametrize("how", ["aborts", "releases"])
def test_a_peer_that_leaves_while_we_listen(tmp_path: Path, sqlite_url: str, how: str) -> None:
    def leave(association: Any, context: Context, asked: Requested) -> None:
        association.abort() if how == "aborts" else association.release()

    archiver = Archiver(then=leave)
    with asking(tmp_path, sqlite_url, archiver, ae=HostedAE(commitment=Commitment(wait=600.0))) as (archive, work):
        number = ask(work)
        assert state(work, number) == "requested"
        assert archiver.report_to(archive, archiver.asked[0].transaction_uid, results(0, 0)).status == 0
        assert state(work, number) == "committed"


def test_a_peer_that_reports_of_another_transaction(tmp_path: Path, sqlite_url: str) -> None:
    answers = []

    def confused(association: Any, context: Context, asked: Requested) -> None:
        answers.append(tell(association, context, "1.2.3", results(0, 0)).status)
        all_well(association, context, asked)

    with asking(tmp_path, sqlite_url, Archiver(then=confused), ae=HostedAE()) as (_, work):
        assert state(work, ask(work)) == "committed"
    assert answers == [0x0211]


def test_a_report_that_overtakes_the_answer_to_the_request(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver()
    with asking(tmp_path, sqlite_url, archiver) as (archive, work):
        archiver.instead = lambda association: overtaken(association, archiver, archive)
        number = ask(work)
        assert state(work, number) == "committed"
        assert work.later(7200).all() == 0 or state(work, number) == "committed"


def overtaken(association: Any, archiver: Archiver, archive: Running) -> None:
    """Report over another association, then let the answer to the request be lost."""
    assert archiver.report_to(archive, archiver.asked[0].transaction_uid, results(0, 0)).status == 0
    association.abort()


# --- requests


def test_many_instances_are_asked_for_in_parts(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver(then=all_well)
    named = [Reference(CT, sop_uid(n)) for n in range(1, 26)]
    with asking(tmp_path, sqlite_url, archiver, ae=HostedAE()) as (_, work):
        numbers = request(work.asked, "ISOCENTER", "ARCHIVER", [*named, *named], most=10)
        assert work.all() == len(numbers) == 3
        assert {state(work, number) for number in numbers} == {"committed"}
    assert [len(each.references) for each in archiver.asked] == [10, 10, 5]
    assert MOST >= 1000


@pytest.mark.req("I-COMMIT-11")
def test_a_request_may_wait(tmp_path: Path, sqlite_url: str) -> None:
    archiver = Archiver(then=all_well)
    with asking(tmp_path, sqlite_url, archiver, ae=HostedAE()) as (_, work):
        (number,) = request(work.asked, "ISOCENTER", "ARCHIVER", references(*TWO), delay=600)
        assert work.all() == 0
        assert work.later(601).all() == 1
        assert state(work, number) == "committed"


@pytest.mark.req("I-COMMIT-10")
def test_several_archives_are_asked(tmp_path: Path, sqlite_url: str) -> None:
    first, second = Archiver("FIRST", then=all_well), Archiver("SECOND", then=all_well)
    with listening(first, second), running(tmp_path, sqlite_url, peers=[first.peer, second.peer]) as archive:
        work = Work(archive)
        for title in ("FIRST", "SECOND"):
            request(work.asked, "ISOCENTER", title, references(*TWO))
        assert work.all() == 2
        assert work.asked.committed_by([sop_uid(1)]) == {
            sop_uid(1): frozenset({("FIRST", "THERE"), ("SECOND", "THERE")})
        }


# --- upkeep


def test_lost_jobs_come_back(tmp_path: Path, any_url: str) -> None:
    archiver = Archiver(then=all_well)
    with asking(tmp_path, any_url, archiver, ae=HostedAE()) as (_, work):
        (number,) = request(work.asked, "ISOCENTER", "ARCHIVER", references(*TWO))
        for each in work.queue.states():
            work.queue.cancel(each.id)
        upkeep = handler(work.accepted, work.asked, work.clock)
        upkeep(job(work))
        assert work.all() == 0
        work.later(301)
        upkeep(job(work))
        assert work.all() == 1
        assert state(work, number) == "committed"


def test_what_was_reported_to_others_is_forgotten_and_what_others_promised_is_not(tmp_path: Path, any_url: str) -> None:
    archiver, client = Archiver(then=all_well), Client()
    with listening(archiver, client), running(tmp_path, any_url, peers=[archiver.peer, client.peer]) as archive:
        work = Work(archive)
        ask(work)
        client.ask(archive, made(1))
        work.all()
        upkeep = handler(work.accepted, work.asked, work.clock)
        upkeep(job(work))
        assert [row.state for row in archive.rows("commitment")] == ["committed", "reported"]
        assert archive.rows("job")
        work.later(31 * 86400)
        upkeep(job(work))
        assert [row.state for row in archive.rows("commitment")] == ["committed"]
        assert len(archive.rows("commitment_instance")) == 2
        assert not archive.rows("job")


def job(work: Work) -> RunningJob:
    """A job that nobody cancelled."""
    from isocenter.jobs.queue import Job

    return RunningJob(Job(0, "commitment-upkeep", {}, 1, "none"), work.queue)


def counted(outcome: str) -> float:
    """How many requests ended so."""
    found = telemetry.registry.snapshot()["counters"]
    return sum(
        value
        for name, labels, value in found
        if name == "isocenter_commitments_asked_total" and ["outcome", outcome] in [list(each) for each in labels]
    )
