"""C-MOVE and C-GET as an AE and its peers are set: kept associations, priority lists, first failures."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from archives import CT, Destination, Running, keys, listening, made, running, sop_uid, study_uid, unused_port
from isocenter import dimse
from isocenter.config import HostedAE, Peer
from isocenter.config.entries import entry
from isocenter.config.settings import Limits, SyntaxPriority
from isocenter.dicom import uids
from isocenter.dicom.dataset import decode, encode, string_of
from isocenter.dimse import Progress, ProposedContext, commands
from isocenter.exchange import kept
from isocenter.exchange.turns import Turns
from servers import until

STUDY = keys("STUDY", StudyInstanceUID=study_uid())
MODEL = uids.STUDY_ROOT_MOVE


@contextmanager
def moving(folder: Path, url: str, destination: Destination, ae: HostedAE | None = None, limits: Limits | None = None,
           **habits: Any) -> Iterator[Running]:  # fmt: skip
    """An archive that knows `destination` with these habits."""
    with listening(destination):
        peer = replace(destination.peer, **habits)
        with running(folder, url, peers=[peer], ae=ae, limits=limits) as archive:
            yield archive


def counts(progress: Progress) -> tuple[int | None, ...]:
    """Status, remaining, completed, failed, warning."""
    return progress[:5]


def failed_uids(progress: Progress) -> list[str]:
    """Failed SOP Instance UID List."""
    return [] if progress.data is None else string_of(decode(progress.data, uids.EXPLICIT_LE), 0x00080058).split("\\")


# --- associations that are kept


@pytest.mark.req("I-MOVE-05", "X-QR-02", "X-QR-03")
def test_one_association_for_several_moves(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination, keep_open=60.0, associations=1) as archive:
        archive.send(made(1), made(2), made(1, study=2))
        for study in (1, 2, 1):
            assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid(study)))[-1].status == 0
        assert len(destination.requests) == 1
        assert len(destination.received) == 5
        # other contexts are wanted: the one that is kept gives its place up
        archive.send(made(1, study=3, syntax=uids.IMPLICIT_LE))
        assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid(3)))[-1].status == 0
        assert len(destination.requests) == 2


@pytest.mark.req("I-ASSOC-05", "M-MOVE-03")
def test_an_association_for_each_move_is_the_default(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1))
        for _ in range(2):
            assert archive.move("DEST", STUDY)[-1].status == 0
    assert len(destination.requests) == 2


class Leaving(Destination):
    """Releases nothing itself; counts how its associations end."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Semaphore(0)
        self.associations: list[Any] = []

    def perform(self, association: Any, context: Any, command: dimse.Command, sink: dimse.Sink | None) -> None:
        if association not in self.associations:
            self.associations.append(association)
        super().perform(association, context, command, sink)


def test_a_kept_association_is_released_when_its_time_is_over(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_LOOK", 0.02)
    destination = Leaving()
    with moving(tmp_path, sqlite_url, destination, keep_open=0.1) as archive:
        archive.send(made(1))
        assert archive.move("DEST", STUDY)[-1].status == 0
        until(lambda: not destination.associations[0].open, told="released")
        # its place is free again
        assert archive.move("DEST", STUDY)[-1].status == 0
    assert len(destination.requests) == 2


def test_a_peer_may_end_a_kept_association(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_LOOK", 0.02)
    destination = Leaving()
    with moving(tmp_path, sqlite_url, destination, keep_open=60.0) as archive:
        archive.send(made(1))
        assert archive.move("DEST", STUDY)[-1].status == 0
        destination.associations[0].stop(at_once=True)
        until(lambda: not destination.associations[0].open, told="gone")
        assert [counts(each)[0] for each in archive.move("DEST", STUDY)] == [0xFF00, 0]
    assert len(destination.requests) == 2


# --- what it is sent in


@pytest.mark.req("I-SEND-05", "I-SEND-02")
def test_the_priority_list_of_a_stored_syntax(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    wish = SyntaxPriority(stored=uids.EXPLICIT_LE, send=(uids.JPEG_BASELINE, uids.IMPLICIT_LE, uids.EXPLICIT_LE))
    with moving(tmp_path, sqlite_url, destination, syntax_priority=(wish,)) as archive:
        archive.send(made(1), made(2, syntax=uids.EXPLICIT_BE), made(3, syntax=uids.JPEG_BASELINE))
        assert archive.move("DEST", STUDY)[-1].status == 0
    # nothing is compressed for it, and a syntax without a list leaves as it is stored
    assert [each.syntax for each in destination.received] == [uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.JPEG_BASELINE]


@pytest.mark.req("X-QR-04", "X-VIEW-22", "X-VIEW-29")
@pytest.mark.parametrize(("way", "contexts"), [("separate", 3), ("joined", 1)])
def test_a_context_for_each_syntax_or_one_for_all(tmp_path: Path, sqlite_url: str, way: str, contexts: int) -> None:
    destination = Destination(syntaxes=(uids.EXPLICIT_LE,))
    with moving(tmp_path, sqlite_url, destination, contexts=way) as archive:
        archive.send(made(1, syntax=uids.IMPLICIT_LE), made(2, syntax=uids.EXPLICIT_BE))
        assert archive.move("DEST", STUDY)[-1].status == 0
    (request,) = destination.requests
    assert len(request.contexts) == contexts
    assert {syntax for each in request.contexts for syntax in each.syntaxes} == {
        uids.IMPLICIT_LE,
        uids.EXPLICIT_BE,
        uids.EXPLICIT_LE,
    }
    assert {each.syntax for each in destination.received} == {uids.EXPLICIT_LE}


# --- waiting


@pytest.mark.req("I-MOVE-ST-05", "M-FIND-12", "X-QR-24")
def test_a_cancel_while_waiting_for_a_place_at_the_peer(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with (
        moving(tmp_path, sqlite_url, destination, limits=Limits(turn=600), associations=1) as archive,
        ExitStack() as stack,
    ):
        archive.send(made(1), made(2))
        (peer,) = archive.settings.peers
        stack.enter_context(Turns(archive.settings.run_folder).taken(peer, 0))
        with archive.connect(ProposedContext(MODEL, (uids.EXPLICIT_LE,))) as association:
            context = association.context_for(MODEL)
            message = association.request(context.id, commands.move_rq(MODEL, "DEST"), encode(STUDY, uids.EXPLICIT_LE))
            association.cancel(context.id, message)
            (only,) = association.responses(message)
        assert (only.status, only.command[commands.REMAINING], only.command[commands.FAILED]) == (0xFE00, 2, 0)
    assert destination.requests == []


@pytest.mark.req("X-QR-03")
def test_opening_is_tried_again(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination()
    with ExitStack() as stack:
        peer = Peer(title="DEST", host="127.0.0.1", port=unused_port(), retries=1000, retry_delay=0.02)
        archive = stack.enter_context(running(tmp_path, sqlite_url, peers=[peer]))
        archive.send(made(1))
        progress: list[Progress] = []
        mover = threading.Thread(target=lambda: progress.extend(archive.move("DEST", STUDY)))
        mover.start()
        until(lambda: archive.acceptor.associations, told="the request is there")
        stack.enter_context(listening_at(destination, peer.port))
        mover.join(30)
    assert [each.status for each in progress] == [0xFF00, 0]


@contextmanager
def listening_at(destination: Destination, port: int) -> Iterator[None]:
    """The destination on a certain port."""
    import socket

    acceptor = dimse.Acceptor(destination, lambda _context, _command: destination)
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        yield
        acceptor.stop()
        thread.join(30)


@pytest.mark.req("I-MOVE-03", "I-MOVE-ST-08")
def test_a_cancel_between_two_tries(tmp_path: Path, sqlite_url: str) -> None:
    peer = Peer(title="DEST", host="127.0.0.1", port=unused_port(), retries=1, retry_delay=600)
    with running(tmp_path, sqlite_url, peers=[peer]) as archive:
        archive.send(made(1))
        with archive.connect(ProposedContext(MODEL, (uids.EXPLICIT_LE,))) as association:
            context = association.context_for(MODEL)
            message = association.request(context.id, commands.move_rq(MODEL, "DEST"), encode(STUDY, uids.EXPLICIT_LE))
            association.cancel(context.id, message)
            assert [each.status for each in association.responses(message)] == [0xFE00]


# --- the first failure


@pytest.mark.req("X-QR-27", "X-QR-25", "X-QR-08", "X-QR-26")
def test_nothing_is_sent_after_the_first_failure(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(statuses={sop_uid(2): 0xA700})
    ae = entry("ae", {"preset": "query-server", "services": ["store", "find", "move"]}, origin="test")
    assert isinstance(ae, HostedAE)
    with moving(tmp_path, sqlite_url, destination, ae=ae) as archive:
        archive.send(*(made(n) for n in range(1, 6)), made(1, series=2, sop_class="1.2.840.10008.5.1.4.1.1.4"))
        progress = archive.move("DEST", STUDY)
    assert destination.uids == [sop_uid(1), sop_uid(2)]
    assert [counts(each) for each in progress] == [
        (0xFF00, 5, 1, 0, 0),
        (0xFF00, 4, 1, 1, 0),
        (0xA702, None, 1, 5, 0),
    ]
    assert progress[-1].comment == "C-STORE answered with A700"
    assert sorted(failed_uids(progress[-1])) == sorted([*(sop_uid(n) for n in range(2, 6)), sop_uid(1, series=2)])


@pytest.mark.req("X-QR-08")
@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0107, 0x0116])
def test_a_warning_is_no_failure(tmp_path: Path, sqlite_url: str, status: int) -> None:
    destination = Destination(statuses={sop_uid(1): status})
    with moving(tmp_path, sqlite_url, destination, ae=HostedAE(after_failure="stop")) as archive:
        archive.send(made(1), made(2))
        progress = archive.move("DEST", STUDY)
    assert counts(progress[-1]) == (0xB000, None, 1, 0, 1)


@pytest.mark.req("I-MOVE-20", "M-MOVE-03")
@pytest.mark.parametrize("preset", ["archive", "pacs"])
def test_the_others_go_on(tmp_path: Path, sqlite_url: str, preset: Any) -> None:
    destination = Destination(statuses={sop_uid(2): 0xA700})
    with moving(tmp_path, sqlite_url, destination, ae=HostedAE(preset=preset)) as archive:
        archive.send(*(made(n) for n in range(1, 6)))
        final = archive.move("DEST", STUDY)[-1]
    assert len(destination.received) == 5
    assert counts(final) == (0xB000, None, 4, 1, 0)
    assert failed_uids(final) == [sop_uid(2)]
    assert destination.received[0].command[commands.AFFECTED_SOP_CLASS] == CT


US, US_RETIRED, MR = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.4"


@pytest.mark.req("X-QR-05")
@pytest.mark.parametrize(("lacks", "sent_as"), [(US, US_RETIRED), (US_RETIRED, US)])
def test_ultrasound_is_sent_as_the_class_that_the_peer_has(
    tmp_path: Path, sqlite_url: str, lacks: str, sent_as: str
) -> None:
    destination = Destination(classes=frozenset({sent_as, CT}))
    with moving(tmp_path, sqlite_url, destination, substitute_classes=True) as archive:
        archive.send(made(1, sop_class=lacks), made(2, sop_class=sent_as), made(3), made(4, sop_class=MR))
        final = archive.move("DEST", STUDY)[-1]
    assert counts(final) == (0xB000, None, 3, 1, 0)
    assert failed_uids(final) == [sop_uid(4)]
    for received in destination.received[:2]:
        assert received.command[commands.AFFECTED_SOP_CLASS] == sent_as
        assert string_of(decode(received.data, uids.EXPLICIT_LE), 0x00080016) == sent_as
    assert received.data == made(2, sop_class=sent_as).data


def test_without_that_setting_nothing_is_sent_as_another_class(tmp_path: Path, sqlite_url: str) -> None:
    destination = Destination(classes=frozenset({US_RETIRED}))
    with moving(tmp_path, sqlite_url, destination) as archive:
        archive.send(made(1, sop_class=US))
        assert archive.move("DEST", STUDY)[-1].status == 0xA702
    assert {context.abstract for context in destination.requests[0].contexts} == {US}


@pytest.mark.req("X-QR-81", "X-QR-85", "X-QR-42")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.EXPLICIT_BE])
def test_nothing_before_it_is_stored_and_every_bit_after(tmp_path: Path, sqlite_url: str, syntax: str) -> None:
    destination = Destination()
    sent = made(1, syntax=syntax, PatientComments="a comment")
    with moving(tmp_path, sqlite_url, destination) as archive:
        assert [each.status for each in archive.move("DEST", STUDY)] == [0]
        assert archive.find(STUDY) == [(0, {})]
        archive.send(sent)
        assert archive.move("DEST", STUDY)[-1].completed == 1
        assert len(archive.find(STUDY)) == 2
    (received,) = destination.received
    assert (received.syntax, received.data) == (syntax, sent.data)


def test_kept_associations_are_released_at_the_end(tmp_path: Path, sqlite_url: str) -> None:
    destination = Leaving()
    with listening(destination):
        peer = replace(destination.peer, keep_open=600.0)
        with running(tmp_path, sqlite_url, peers=[peer]) as archive:
            archive.send(made(1))
            assert archive.move("DEST", STUDY)[-1].status == 0
            assert destination.associations[0].open
        until(lambda: not destination.associations[0].open, told="released")
