"""Storage commitment SCP: N-ACTION answered at once, the report over the association that is wanted, its retries."""

import csv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from archives import CT, MR, Running, made, running, sop_uid, unused_port
from commitment_peers import ASKING, Client, Work, act, listening, references
from isocenter.archive.commitment.accepted import HELD, Accepted, Destination
from isocenter.archive.commitment.data import Reference, Requested
from isocenter.archive.commitment.holding import Checker
from isocenter.config import HostedAE, Limits
from isocenter.config.settings import Commitment, Window
from isocenter.declarations.commitment import ACTIONS, EVENTS, FAILURES, Failure
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH as PUSH
from isocenter.dicom.uids import STORAGE_COMMITMENT_PUSH_INSTANCE as WELL_KNOWN
from isocenter.dicom.uids import new_uid
from isocenter.dimse import ProposedContext, commands
from isocenter.dimse.pdu import Role
from isocenter.errors import IsocenterError
from isocenter.index import tables
from material import REQUIREMENTS
from servers import until

EITHER = Commitment(report="either")


def rows(name: str, **wanted: str) -> list[dict[str, str]]:
    """The rows of a catalogue table that have these values."""
    with (REQUIREMENTS / name).open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


def states(archive: Running) -> list[str]:
    return [row.state for row in archive.rows("commitment")]


# --- the report


@pytest.mark.req("I-ACT-02", "I-ASSOC-01", "I-ASSOC-05", "I-ASSOC-21", "I-COMMIT-01", "I-COMMIT-02", "I-COMMIT-03")
@pytest.mark.req("I-COMMIT-04", "I-COMMIT-05", "I-COMMIT-06", "X-QR-60")
def test_a_request_is_answered_at_once_and_reported_on_over_a_new_association(tmp_path: Path, any_url: str) -> None:
    client = Client()
    with listening(client), running(tmp_path, any_url, peers=[client.peer]) as archive:
        archive.send(made(1), made(2), made(3))
        transaction = client.ask(archive, made(1), made(2), made(9), Reference(MR, sop_uid(3)))
        # before anything is looked up
        assert states(archive) == ["accepted"]
        assert [row.failure for row in archive.rows("commitment_instance")] == [None] * 4
        assert Work(archive).all() == 1
        (told,), (request,) = client.reports, client.requests
        assert (told.event, told.said.transaction_uid, told.retrieve) == (2, transaction, "ISOCENTER")
        assert told.failures == {sop_uid(1): 0, sop_uid(2): 0, sop_uid(3): 0x0119, sop_uid(9): 0x0112}
        assert states(archive) == ["reported"]
    (context,) = request.contexts
    expected = rows("iconnect_transfer_syntaxes.csv", context="Storage Commitment Push Model SCP proposed (T3.3)")
    assert [row["uid"] for row in expected] == list(context.syntaxes)
    assert (context.abstract, request.calling, request.called) == (PUSH, "ISOCENTER", "MODALITY")
    assert request.user.roles == {PUSH: Role(scu=False, scp=True)}
    assert not request.user.extended


@pytest.mark.req("X-QR-60")
@pytest.mark.parametrize("row", rows("ps32_event_types.csv", annex="F", role="SCP"), ids=lambda row: row["event_name"])
def test_events(tmp_path: Path, sqlite_url: str, row: dict[str, str]) -> None:
    client, event = Client(), int(row["event_type_id"])
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        archive.send(made(1))
        client.ask(archive, *[made(1), made(2)][:event])
        work = Work(archive)
        work.all()
        archive.send(made(2))
        # what arrives later is never waited for
        assert work.later(3600).all() == 0
    assert [told.event for told in client.reports] == [event]
    assert row["event_name"] in EVENTS[event]


@pytest.mark.req("X-QR-61")
def test_a_report_over_the_same_association(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(commitment=EITHER)
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        archive.send(made(1))
        client.ask(archive, made(1), listen=1)
        settled(archive)
        assert client.reports[0].failures == {sop_uid(1): 0}
        assert states(archive) == ["reported"]
        assert Work(archive).later(HELD + 1).all() == 1  # the job finds nothing to do
        assert len(client.reports) == 1
        assert not client.requests


@pytest.mark.req("X-QR-61", "X-QR-62", "X-QR-67")
@pytest.mark.parametrize("end", ["release", "abort", "refuse"])
def test_a_report_moves_to_a_new_association(tmp_path: Path, sqlite_url: str, end: str) -> None:
    client = Client(statuses=[0x0110, 0] if end == "refuse" else [0], drop=int(end == "abort"))
    ae = HostedAE(commitment=replace(EITHER, delay=30.0 if end == "release" else 0.0))
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        archive.send(made(1))
        with client.associated(archive) as association:
            assert act(association, new_uid(), [made(1)]).status == 0
            with suppress(IsocenterError, RuntimeError):  # the latter where it aborted instead of answering
                association.listen(0 if end == "release" else 30, until=lambda: bool(client.reports))
        settled(archive)
        assert states(archive) == ["accepted"]
        assert Work(archive).all() == 1
        assert client.reports[-1].failures == {sop_uid(1): 0}
        assert len(client.requests) == 1
        assert states(archive) == ["reported"]


def test_the_delay_is_waited_for_but_no_longer_than_the_peer_is_silent(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(commitment=Commitment(report="same", delay=600.0))
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        echo = ProposedContext(uids.VERIFICATION, (uids.IMPLICIT_LE,))
        with client.associated(archive, ASKING, echo) as association:
            assert act(association, new_uid(), [made(1)]).status == 0
            assert association.echo() == 0
        assert len(client.reports) == 1


def test_where_operations_overlap_what_is_under_way_comes_first(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(commitment=Commitment(report="same", delay=0.01), window=Window(performed=8))
    with running(tmp_path, sqlite_url, ae=ae) as archive:
        storing = ProposedContext(CT, (uids.EXPLICIT_LE,))
        with client.connect(archive.port, ASKING, storing, window=8) as association:
            assert association.window == 8
            context = association.context_for(CT)
            objects = [made(n) for n in range(1, 8)]
            for each in objects:
                association.request(context.id, commands.store_rq(CT, each.sop_uid), each.data)
            assert act(association, new_uid(), objects).status == 0
            association.listen(30, until=lambda: bool(client.reports))
    assert set(client.reports[0].failures.values()) == {0}


def test_a_delayed_report_over_a_new_association(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(commitment=Commitment(delay=60.0))
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        client.ask(archive, made(1))
        work = Work(archive)
        assert work.all() == 0
        assert work.later(61).all() == 1
        assert len(client.reports) == 1


def test_a_report_whose_process_died_is_brought_by_a_job(tmp_path: Path, any_url: str) -> None:
    client = Client()
    with listening(client), running(tmp_path, any_url, peers=[client.peer]) as archive:
        archive.send(made(1))
        work = Work(archive)
        asked = Requested("1.2.3", tuple(references(made(1))))
        work.accepted.accept(Destination("ISOCENTER", "MODALITY", "127.0.0.1"), "either", asked, 0.0)
        assert work.all() == 0  # it belongs to the association for a while
        assert work.later(HELD + 1).all() == 1
        assert client.reports[0].failures == {sop_uid(1): 0}
        assert states(archive) == ["reported"]


def test_a_peer_that_calls_itself_otherwise_is_told_where_it_is(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    with listening(client):
        peer = replace(client.peer, aliases=("OTHERWISE",))
        with running(tmp_path, sqlite_url, peers=[peer]) as archive:
            with archive.connect(ASKING, calling="OTHERWISE") as association:
                assert act(association, new_uid(), [made(1)]).status == 0
            Work(archive).all()
    assert [request.called for request in client.requests] == ["MODALITY"]
    assert len(client.reports) == 1


def test_where_only_the_same_association_is_wanted_nothing_else_is_tried(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(commitment=Commitment(delay=30.0))
    with listening(client):
        peer = replace(client.peer, commitment_report="same")
        with running(tmp_path, sqlite_url, ae=ae, peers=[peer]) as archive:
            client.ask(archive, made(1))
            settled(archive)
            assert states(archive) == ["undelivered"]
            assert Work(archive).later(HELD + 31).all() == 1
    assert not client.requests


def test_a_peer_without_an_address_is_told_on_its_own_association(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        client.ask(archive, made(1), listen=1)
        assert client.reports[0].failures == {sop_uid(1): 0}


@pytest.mark.req("X-QR-61", "X-QR-63", "X-QR-64")
def test_what_waits_for_one_peer_goes_over_one_association(tmp_path: Path, sqlite_url: str) -> None:
    client, other = Client(), Client("OTHER")
    with listening(client, other), running(tmp_path, sqlite_url, peers=[client.peer, other.peer]) as archive:
        archive.send(made(1))
        with client.associated(archive) as association:
            wanted = [new_uid() for _ in range(5)]
            assert [act(association, each, [made(1)]).status for each in wanted] == [0] * 5
        other.ask(archive, made(1))
        Work(archive).all()
    assert [told.said.transaction_uid for told in client.reports] == wanted
    assert (len(client.requests), len(other.requests), len(other.reports)) == (1, 1, 1)


@pytest.mark.req("X-QR-63", "X-QR-66")
@pytest.mark.parametrize("fault", ["status", "abort", "away", "no role"])
def test_a_failed_report_is_tried_again_five_times(tmp_path: Path, sqlite_url: str, fault: str) -> None:
    client = Client(statuses=[0x0110], drop=99 if fault == "abort" else 0, roles=fault != "no role")
    with listening(client):
        peer = replace(client.peer, port=unused_port()) if fault == "away" else client.peer
        with running(tmp_path, sqlite_url, peers=[peer]) as archive:
            client.ask(archive, made(1))
            work = Work(archive)
            for tried in range(6):
                assert states(archive) == ["accepted"]
                assert work.all() == 1
                assert archive.rows("commitment")[0].attempts == min(tried + 1, 5)
                assert work.all() == 0
                work.later(301)
            assert states(archive) == ["undelivered"]
            assert work.later(3600).all() == 0
    assert len(client.requests) == (0 if fault == "away" else 6)


@pytest.mark.req("X-QR-66")
@pytest.mark.parametrize(
    "row", rows("ps32_status_codes.csv", ae="STORAGE-SCP", service="Storage Commitment N-EVENT-REPORT"), ids=str
)
def test_answers_to_a_report(tmp_path: Path, sqlite_url: str, row: dict[str, str]) -> None:
    status = 0x0211 if row["code_hex"] == "*" else int(row["code_hex"], 16)
    client = Client(statuses=[status])
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        client.ask(archive, made(1))
        Work(archive).all()
        assert states(archive) == ["accepted" if row["code_hex"] == "*" else "reported"]
        assert archive.rows("commitment")[0].status == status


# --- what is said of an instance


@pytest.mark.req("X-QR-65")
def test_only_classes_that_the_ae_stores_count(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    ae = HostedAE(storage="none", classes=(CT,))
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        archive.send(made(1))
        client.ask(archive, made(1), made(2), Reference(MR, sop_uid(3)), Reference(PUSH, sop_uid(4)))
        Work(archive).all()
    assert client.reports[0].failures == {sop_uid(1): 0, sop_uid(2): 0x0112, sop_uid(3): 0x0122, sop_uid(4): 0x0122}


@pytest.mark.parametrize(
    ("services", "title"),
    [(("store", "commit"), "OTHER"), (("store", "commit", "get"), "ISOCENTER")],
    ids=["no", "yes"],
)
def test_the_retrieve_title_is_of_an_ae_that_gives_objects(
    tmp_path: Path, sqlite_url: str, services: Any, title: str
) -> None:
    client = Client()
    aes = (HostedAE(services=services), HostedAE(title="OTHER"))
    with listening(client), running(tmp_path, sqlite_url, ae=aes[0], peers=[client.peer]) as archive:
        archive.send(made(1))
        client.ask(archive, made(1))
        Work(replaced(archive, settings=replace(archive.settings, aes=aes))).all()
    assert client.reports[0].retrieve == title


def test_a_rejected_instance_does_not_count(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        archive.send(made(1), made(2))
        with archive.database.writing() as connection:
            mine = tables.instance.c.sop_uid == sop_uid(2)
            connection.execute(update(tables.instance).where(mine).values(rejected=1))
        client.ask(archive, made(1), made(2))
        Work(archive).all()
    assert client.reports[0].failures == {sop_uid(1): 0, sop_uid(2): 0x0112}


@pytest.mark.parametrize(
    ("depth", "damage", "failure"),
    [
        ("row", "gone", 0), ("row", "short", 0), ("row", "altered", 0),
        ("size", "gone", 0x0112), ("size", "short", 0x0110), ("size", "altered", 0),
        ("digest", "gone", 0x0112), ("digest", "short", 0x0110), ("digest", "altered", 0x0110),
    ],
)  # fmt: skip
def test_how_deep_is_looked(tmp_path: Path, sqlite_url: str, depth: Any, damage: str, failure: int) -> None:
    client = Client()
    ae = HostedAE(commitment=Commitment(check=depth))
    with listening(client), running(tmp_path, sqlite_url, ae=ae, peers=[client.peer]) as archive:
        archive.send(made(1), made(2))
        damaged(archive, next(row.store_key for row in archive.rows("instance") if row.sop_uid == sop_uid(2)), damage)
        client.ask(archive, made(1), made(2))
        Work(archive).all()
    assert client.reports[0].failures == {sop_uid(1): 0, sop_uid(2): failure}


def damaged(archive: Running, key: str, how: str) -> None:
    """Do something to a stored object behind the archive's back."""
    (path,) = (path for path in (archive.settings.data / "store").rglob(f"*{key}*") if path.is_file())
    if how == "gone":
        path.unlink()
        return
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data[:-2] if how == "short" else data)


def test_a_later_look_only_takes_a_promise_back(tmp_path: Path, sqlite_url: str) -> None:
    client = Client(statuses=[0x0110, 0])
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        archive.send(made(1), made(2))
        client.ask(archive, made(1), made(2), made(3))
        work = Work(archive)
        work.all()
        archive.send(made(3))
        damaged(archive, next(row.store_key for row in archive.rows("instance") if row.sop_uid == sop_uid(2)), "gone")
        work.later(301).all()
    first, second = client.reports
    assert first.failures == {sop_uid(1): 0, sop_uid(2): 0, sop_uid(3): 0x0112}
    assert second.failures == {sop_uid(1): 0, sop_uid(2): 0x0112, sop_uid(3): 0x0112}


def test_a_transaction_uid_is_used_once_but_a_request_may_be_repeated(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        archive.send(made(1), made(2))
        work = Work(archive)
        transaction = client.ask(archive, made(1), made(2))
        client.ask(archive, made(2), made(1), transaction=transaction)
        client.ask(archive, made(1), transaction=transaction)
        work.all()
    assert [told.failures for told in client.reports] == [
        {sop_uid(1): 0, sop_uid(2): 0},
        {sop_uid(1): 0, sop_uid(2): 0},
        {sop_uid(1): Failure.DUPLICATE_TRANSACTION},
    ]


def test_nothing_unsynced_is_promised(tmp_path: Path, sqlite_url: str) -> None:
    client, synced = Client(), list[int]()
    with listening(client), running(tmp_path, sqlite_url, peers=[client.peer]) as archive:
        archive.send(made(1))
        client.ask(archive, made(1))
        checker = Checker(archive.database, archive.store, synced=lambda: synced.append(len(client.reports)))
        Work(archive, checker=checker).all()
    assert (synced, len(client.reports)) == ([0], 1)


def test_many_instances_in_one_request(tmp_path: Path, any_url: str) -> None:
    client = Client()
    with listening(client), running(tmp_path, any_url, peers=[client.peer]) as archive:
        archive.send(*(made(number) for number in range(1, 6)))
        client.ask(archive, *(Reference(CT, sop_uid(number)) for number in range(1, 1501)))
        Work(archive).all()
    failures = client.reports[0].failures
    assert [failures[sop_uid(number)] for number in range(1, 1501)] == [0] * 5 + [0x0112] * 1495


# --- what is wrong with a request

GOOD: DataSet = {
    0x00081195: dataset.uid("1.2.3"),
    0x00081199: dataset.sequence({0x00081150: dataset.uid(CT), 0x00081155: dataset.uid("1.2.4")}),
}


def without(tag: int) -> DataSet:
    return {each: GOOD[each] for each in GOOD if each != tag}


def item(**values: str) -> DataSet:
    made = {0x00081150: dataset.uid(values.get("sop_class", CT)), 0x00081155: dataset.uid(values.get("sop_uid", "1.2"))}
    return {
        **GOOD,
        0x00081199: dataset.sequence({tag: made[tag] for tag in made if values.get("drop") != f"{tag:08X}"}),
    }


def asked(data: DataSet | bytes | None = None, *, sop_class: str = PUSH, instance: str = WELL_KNOWN, action: int = 1):  # type: ignore[no-untyped-def]
    body = data if isinstance(data, bytes) else dataset.encode(GOOD if data is None else data, uids.EXPLICIT_LE)
    return commands.n_action_rq(sop_class, instance, action), body or None


REFUSALS: list[tuple[int, Callable[[], Any]]] = [
    (0x0119, lambda: asked(instance="1.2.840.10008.1.20.1")),
    (0x0118, lambda: asked(sop_class=uids.VERIFICATION)),
    (0x0123, lambda: asked(action=2)),
    (0x0120, lambda: asked(b"")),
    (0x0120, lambda: asked(without(0x00081195))),
    (0x0121, lambda: asked({**GOOD, 0x00081195: dataset.uid("")})),
    (0x0120, lambda: asked(without(0x00081199))),
    (0x0121, lambda: asked({**GOOD, 0x00081199: dataset.sequence()})),
    (0x0120, lambda: asked(item(drop="00081150"))),
    (0x0120, lambda: asked(item(drop="00081155"))),
    (0x0121, lambda: asked(item(sop_uid=""))),
    (0x0115, lambda: asked(item(sop_uid="1.2.x"))),
    (0x0115, lambda: asked({**GOOD, 0x00081195: dataset.uid("1." * 40 + "1")})),
    (0x0110, lambda: asked(b"\x08\x00\x95\x11UI\xff\xff1.2.3")),
    (0x0213, lambda: asked({**GOOD, 0x00081199: dataset.sequence(*[item()[0x00081199].value[0]] * 3000)})),  # type: ignore[arg-type]
]


@pytest.mark.req("I-COMMIT-ST-01", "X-QR-66")
def test_refused_requests(tmp_path: Path, sqlite_url: str) -> None:
    client, seen = Client(), set()
    with running(tmp_path, sqlite_url, limits=Limits(identifier=1 << 16)) as archive:
        context = ProposedContext(PUSH, (uids.EXPLICIT_LE,))
        with client.associated(archive, context) as association:
            (accepted,) = association.contexts
            for status, make in REFUSALS:
                response = association.invoke(accepted, *make())
                assert (f"{response.status:04X}", bool(response.comment)) == (f"{status:04X}", True), response.comment
                assert response.command[commands.ACTION_TYPE] in (1, 2)
                seen.add(response.status)
        assert archive.rows("commitment") == []
    catalogue = rows("iconnect_status_codes.csv") + rows("ps32_status_codes.csv", ae="STORAGE-SCP")
    named = [row for row in catalogue if "Commitment N-ACTION" in row["service"]]
    codes = {row.get("code_hex") or row["code_hex_or_http"] for row in named}
    assert {f"{status:04X}" for status in {*seen, 0}} >= codes >= {"0000", "0110", "0119", "0120", "0121"}
    assert {*seen, 0} == set(ACTIONS)


@pytest.mark.req("I-COMMIT-ST-02", "X-QR-66")
def test_a_request_that_cannot_be_kept_is_not_acknowledged(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OperationalError("INSERT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(Accepted, "accept", fails)
    client = Client()
    with running(tmp_path, sqlite_url) as archive, client.associated(archive) as association:
        response = act(association, new_uid(), [made(1)])
        assert (response.status, response.comment) == (0x0110, "the request can't be kept now")
        assert act(association, new_uid(), [made(1)]).status == 0x0110  # the association goes on


def test_the_service_is_for_those_who_may(tmp_path: Path, sqlite_url: str) -> None:
    client = Client()
    peer = replace(client.peer, host="127.0.0.1", port=1, allow=("store",))
    both = ProposedContext(PUSH, (uids.EXPLICIT_LE,), scp=True)
    with running(tmp_path, sqlite_url, peers=[peer]) as archive, client.associated(archive, both) as association:
        assert not association.contexts
    with (
        running(tmp_path / "b", sqlite_url, ae=HostedAE(services=("store",))) as archive,
        client.associated(archive, both) as association,
    ):
        assert not association.contexts


@pytest.mark.req("I-CTX-03", "X-COM-06", "X-COM-07")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE])
def test_every_transfer_syntax(tmp_path: Path, sqlite_url: str, syntax: str) -> None:
    client = Client()
    with running(tmp_path, sqlite_url) as archive:
        archive.send(made(1))
        with client.associated(archive, ProposedContext(PUSH, (syntax,))) as association:
            assert act(association, new_uid(), [made(1), made(2)]).status == 0
            association.listen(30, until=lambda: bool(client.reports))
    assert client.reports[0].failures == {sop_uid(1): 0, sop_uid(2): 0x0112}
    assert client.reports[0].syntax == syntax
    listed = rows("iconnect_transfer_syntaxes.csv", context="Storage Commitment Push Model SCP accepted (T3.18)")
    assert syntax in {row["uid"] for row in listed}


def test_every_failure_has_words() -> None:
    assert set(FAILURES) == set(Failure) - {Failure.NONE}


def settled(archive: Running) -> None:
    """Wait until the archive has no association left."""
    until(lambda: not archive.acceptor.associations, told="associations end")
