"""The catalogue's tables of rejections, aborts and communication failures, row by row, at the level of associations.

What a service does on top (a failed export, a job to be tried again) is tested with the service.
"""

import csv
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from integration.dimse.dimse_services import FIND, IMPLICIT, MOVE, QUICK, Serving, Storing, serving
from isocenter import dimse
from isocenter.dimse import (
    AssociationAborted,
    AssociationRejected,
    BytesSource,
    ClientAssociation,
    Outgoing,
    PeerTimeout,
    PeerUnreachable,
    ProposedContext,
    RejectedPermanently,
    RejectedTransiently,
    Settings,
    commands,
    reasons,
)
from isocenter.dimse.pdu import (
    Abort,
    AssociateReject,
    AssociateRequest,
    ReleaseReply,
    ReleaseRequest,
    UserInformation,
    encode,
)
from material import REQUIREMENTS
from scripted_peer import CT, VERIFICATION, ScriptedPeer, acceptance, accepting, data, listening, message, request

PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.1.2"
ANY = {"ae": "", "code_hex": ""}


def catalogue(name: str) -> list[dict[str, str]]:
    with (REQUIREMENTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


STATUSES = catalogue("intellibridge_status_codes")
REJECTIONS = [row for row in STATUSES if row["service"].startswith("A-ASSOCIATE-RJ")]
ABORTS = [row for row in STATUSES if row["service"].startswith("A-ABORT")]
FAILURES = [row for row in STATUSES if row["service"].endswith("communication failure")]


def name_of(row: dict[str, str]) -> str:
    return " ".join(value for value in list(row.values())[:5])[:100]


def numbers(row: dict[str, str]) -> tuple[int, ...]:
    return tuple(int(number) for number in row["code_hex"].split("/"))


def call(port: int, *abstracts: str, **changes: float) -> ClientAssociation:
    contexts = [ProposedContext(uid, (IMPLICIT,)) for uid in abstracts or (VERIFICATION,)]
    settings = replace(QUICK, **changes)  # type: ignore[arg-type]
    return dimse.connect(("127.0.0.1", port), calling="SCU", called="SCP", contexts=contexts, settings=settings)


class Rejecting:
    """A policy with one answer."""

    def __init__(self, answer: AssociateReject) -> None:
        self._answer = answer

    def negotiate(self, request: AssociateRequest, address: str, port: int, session: object = None) -> AssociateReject:
        """See `dimse.Policy`."""
        return self._answer


@contextmanager
def rejecting(answer: AssociateReject) -> Iterator[int]:
    """An acceptor that rejects everybody; its port."""
    with serving() as server:
        server.acceptor._policy = Rejecting(answer)
        yield server.port


def words(text: str) -> str:
    """The last part of a table's meaning, as we would write it."""
    return text.rpartition("; ")[2].replace("-", " ").lower()


def test_there_are_rows() -> None:
    assert (len(REJECTIONS), len(ABORTS), len(FAILURES)) == (80, 35, 23)


@pytest.mark.req("P-RJ-01", "P-RJ-02", "P-RJ-03", "P-RJ-04", "P-RJ-05")
@pytest.mark.parametrize("row", REJECTIONS, ids=name_of)
def test_a_rejection_of_the_table(row: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Received: no association, an error with the three numbers and what they mean. Sent: the same on the wire, and in
    the log."""
    result, source, reason = numbers(row)
    caplog.set_level("INFO")
    with rejecting(AssociateReject(result, source, reason)) as port, pytest.raises(AssociationRejected) as caught:
        call(port)
    error = caught.value
    assert (error.result, error.source, error.rejection) == (result, source, reason)
    assert type(error) is (RejectedPermanently if result == 1 else RejectedTransiently)
    assert f"{result}/{source}/{reason}" in error.comment
    assert words(row["status_meaning"]) in error.comment.lower()
    assert ("permanently" if result == 1 else "transiently") in error.comment
    (logged,) = [record.fields for record in caplog.records if record.message == "association.rejected"]  # type: ignore[attr-defined]
    assert logged["reason"] == f"{result}/{source}/{reason}"
    assert words(row["status_meaning"]) in logged["meaning"].lower()


@pytest.mark.req("P-AB-01", "P-AB-02", "P-AB-04")
@pytest.mark.parametrize("row", ABORTS, ids=name_of)
def test_an_abort_of_the_table_received(row: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """As requestor and as acceptor: the connection ends, the numbers are told."""
    source, reason = numbers(row)
    meaning = row["status_meaning"].partition(": ")[2].lower()
    caplog.set_level("INFO")

    def then(peer: ScriptedPeer) -> None:
        peer.message()
        peer.send(Abort(source, reason))

    with (
        listening(accepting(then)) as port,
        pytest.raises(AssociationAborted) as caught,
        call(port) as association,
    ):
        association.echo()
    error = caught.value
    assert (error.source, error.abort_reason, error.by_peer) == (source, reason, True)
    assert f"{source}/{reason}" in error.comment
    assert meaning in error.comment.lower()
    with serving() as server, ScriptedPeer.call(server.port) as peer:
        peer.associate()
        peer.send(Abort(source, reason))
        assert peer.pdu() is None
        assert server.acceptor._wait(10)
    ends = [record.fields["how"] for record in caplog.records if record.message == "association.ended"]  # type: ignore[attr-defined]
    assert f"aborted {source}/{reason}" in ends


SENT = {
    # what the peer does once it has accepted, and the abort that it gets for it
    (0, 0): (b"", "given up by the program"),
    (2, 0): (data(1, 3, b"\0\0\0\x01\xff\xff\xff\xff"), "a stream that can't be decoded"),
    (2, 1): (b"\x08\0\0\0\0\0", "a PDU of unknown type"),
    (2, 2): (b"\x02\0\0\0\0\x44" + bytes(68), "a PDU that the state does not allow"),
    (2, 6): (b"\x04\0\xff\xff\xff\xff", "a length that can't be"),
}


@pytest.mark.req("P-AB-03", "P-AB-T70-01", "P-AB-T70-02", "P-AB-T70-03", "P-AB-T70-04", "P-AB-T70-07")
@pytest.mark.parametrize(("pair", "sent"), SENT.items(), ids=lambda each: str(each)[:40])
def test_an_abort_that_a_requestor_sends(pair: tuple[int, int], sent: tuple[bytes, str]) -> None:
    got: list[Abort | None] = []

    def then(peer: ScriptedPeer) -> None:
        peer.message()
        peer.send(sent[0])
        got.append(peer.aborted())

    with (
        listening(accepting(then)) as port,
        pytest.raises((AssociationAborted, PeerTimeout)),
        call(port, response=0.2) as association,
    ):
        association.echo()
    assert got == [Abort(*pair)]


@pytest.mark.req("P-AB-T70-05", "P-AB-T70-06")
@pytest.mark.parametrize("item", [b"\x7f\0\0\x04what", b"\x10\0\0\x151.2.840.10008.3.1.1.1"])
def test_an_item_that_is_unknown_or_there_twice_is_overlooked(item: bytes) -> None:
    """PS3.8 9.3.1 has unrecognized items ignored, so the source's two reasons for an abort do not arise."""

    def script(peer: ScriptedPeer) -> None:
        asked = peer.pdu()
        assert isinstance(asked, AssociateRequest)
        answer = encode(acceptance(asked)) + item
        peer.send(answer[:2] + struct.pack(">I", len(answer) - 6) + answer[6:])
        context_id, command, _ = peer.message()
        peer.send(message(context_id, commands.response(command, 0)))
        assert peer.pdu() == ReleaseRequest()
        peer.send(ReleaseReply())

    with listening(script) as port, call(port) as association:
        assert association.echo() == 0


@pytest.mark.req("X-COM-05")
@pytest.mark.parametrize("announced", [4096, 10_000, 16_378])
def test_no_pdu_is_longer_than_the_peer_said(announced: int) -> None:
    """Though ours may be much longer, as requestor and as acceptor."""
    longest: list[int] = []

    def then(peer: ScriptedPeer) -> None:
        for _ in range(2):
            header = peer._exactly(6)
            assert header is not None
            longest.append(struct.unpack(">BxI", header)[1])
            assert peer._exactly(longest[-1]) is not None
        peer.send(Abort(0))

    user = UserInformation(max_pdu=announced)
    with (
        listening(accepting(then, user=user)) as port,
        pytest.raises(AssociationAborted),
        call(port, CT, max_pdu_sent=1 << 20) as association,
    ):
        sending(association, 100_000)
    assert max(longest) <= announced
    assert longest[-1] > announced - 16


# ---- communication failures


def silent(invoke: Callable[[ClientAssociation], object]) -> None:
    """The peer accepts and says nothing more: the association is aborted, the caller told."""
    ended: list[Abort | None] = []
    with (
        listening(accepting(lambda peer: ended.append(peer.aborted()))) as port,
        pytest.raises(PeerTimeout),
        call(port, *MODELS, CT, VERIFICATION, response=0.1) as association,
    ):
        invoke(association)
    assert ended == [Abort(0)]


def aborting(invoke: Callable[[ClientAssociation], object]) -> None:
    """The peer aborts, or its connection is lost, in the middle of an operation."""
    for ending in (Abort(0), Abort(2, 2), None):

        def then(peer: ScriptedPeer, ending: Abort | None = ending) -> None:
            peer.message()
            if ending is not None:
                peer.send(ending)

        with (
            listening(accepting(then)) as port,
            pytest.raises(AssociationAborted),
            call(port, *MODELS, CT, VERIFICATION) as association,
        ):
            invoke(association)


MODELS = (PATIENT_ROOT_FIND, FIND, PATIENT_ROOT_MOVE, MOVE)


def finding(model: str) -> Callable[[ClientAssociation], object]:
    return lambda association: list(association.find(model, b""))


def moving(model: str) -> Callable[[ClientAssociation], object]:
    return lambda association: list(association.move(model, b"", "DEST"))


def echoing(association: ClientAssociation) -> object:
    return association.echo()


def sending(association: ClientAssociation, n: int = 100) -> object:
    context = association.context_for(CT)
    return list(association.store_many(iter([Outgoing(context.id, CT, "1.2.3", BytesSource(bytes(n)))])))


def no_request() -> None:
    """A connection without a request ends after ARTIM; others are served."""
    with serving(settings=replace(QUICK, artim=0.1)) as server:
        with ScriptedPeer.call(server.port) as peer:
            assert peer.pdu() is None
        served(server)


def no_answer() -> None:
    """No answer to our request, within the same time."""
    with listening(lambda peer: peer.aborted() and None) as port, pytest.raises(PeerTimeout):
        call(port, artim=0.1)


def nobody() -> None:
    """Nobody is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerUnreachable):
        call(port)


def served(server: Serving) -> None:
    with call(server.port) as association:
        assert association.echo() == 0


def performed(settings: Settings, then: Callable[[ScriptedPeer], None], *, abandoned: bool, aborts: bool) -> None:
    """A peer stores one object whole and then does `then`: that object is kept, an unfinished one is not."""
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}, settings=settings) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.associate(request(CT))
            peer.send(message(1, commands.store_rq(CT, "1.2.3"), b"whole"))
            assert peer.message()[1][commands.STATUS] == 0
            then(peer)
            if aborts:
                assert peer.aborted() == Abort(0)
        served(server)
    assert [kept for _, _, kept in storing.stored] == [b"whole"]
    assert any(sink.abandoned for sink in storing.sinks) is abandoned


def part_of_an_object(peer: ScriptedPeer) -> None:
    head = commands.encode({**commands.store_rq(CT, "1.2.4"), commands.MESSAGE_ID: 2, commands.DATA_SET_TYPE: 1})
    peer.send(data(1, 3, head) + data(1, 0, b"some"))


def next_request_late() -> None:
    performed(replace(QUICK, idle=0.1), lambda peer: None, abandoned=False, aborts=True)


def rest_of_message_late() -> None:
    performed(replace(QUICK, dimse=0.1), part_of_an_object, abandoned=True, aborts=True)


def peer_leaves() -> None:
    for leave in (lambda peer: peer.send(Abort(0)), lambda peer: peer.sock.close(), part_of_an_object_then_gone):
        performed(QUICK, leave, abandoned=leave is part_of_an_object_then_gone, aborts=False)


def part_of_an_object_then_gone(peer: ScriptedPeer) -> None:
    part_of_an_object(peer)
    peer.sock.close()


def peer_stops_reading() -> None:
    """Our PDUs are taken no longer."""
    from integration.dimse.test_dimse_association import finding as endless

    service, left = endless(10_000_000, poll=False)
    with serving({commands.C_FIND_RQ: service}, settings=replace(QUICK, send=0.1)) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.associate(request(FIND))
            peer.send(message(1, commands.find_rq("1.2"), b"identifier"))
            while server.acceptor.associations:
                server.acceptor._wait(0.05)
        served(server)
    assert sum(left) < 10_000_000


INVOKED = {
    "C-FIND Patient Root communication failure": finding(PATIENT_ROOT_FIND),
    "C-FIND Study Root communication failure": finding(FIND),
    "C-MOVE Patient Root communication failure": moving(PATIENT_ROOT_MOVE),
    "C-MOVE Study Root communication failure": moving(MOVE),
}


def scenarios(row: dict[str, str]) -> list[Callable[[], None]]:
    """What is played for a row of P-CF."""
    exception, invoke = row["status_meaning"], INVOKED.get(row["service"])
    if invoke is not None:
        return [lambda: silent(invoke)] if exception == "timeout" else [lambda: aborting(invoke)]
    if exception.startswith("ARTIM"):
        return [no_answer, no_request]
    if exception == "failed to connect":
        return [nobody]
    if exception == "association aborted":
        return [peer_leaves]
    found = [next_request_late, rest_of_message_late]
    return [*found, no_request, nobody] if "/" in row["role"] else found


@pytest.mark.req(*(f"P-CF-{number:02}" for number in range(1, 24)), "P-STO-05")
@pytest.mark.req("P-MWL-11", "P-MWL-12", "P-MPPS-05", "P-IAN-06", "P-ECHO-08")
@pytest.mark.parametrize("row", FAILURES, ids=name_of)
def test_a_communication_failure_of_the_table(row: dict[str, str]) -> None:
    """An association for worklist, procedure steps or availability fails like any other."""
    played = scenarios(row)
    assert played
    for play in played:
        play()


OPERATIONS = {
    "Storage C-STORE": sending,
    "Modality Worklist": finding(FIND),
    "MPPS": echoing,
    "all print SOP classes": echoing,
    "Storage Commitment N-ACTION": echoing,
}


def played_for(row: dict[str, str]) -> list[Callable[[], None]]:
    """What is played for a row of PS3.2's samples."""
    exception = row["exception"]
    if row["role"] == "SCU":
        invoke = OPERATIONS[row["service"]]
        if re.search("abort", exception):
            return [lambda: aborting(invoke)]
        return [lambda: silent(invoke), nobody] if "TCP" in exception else [lambda: silent(invoke)]
    if exception.startswith("timeout waiting for the next data set"):
        return [rest_of_message_late]
    if "N-EVENT-REPORT" in exception:
        return [lambda: silent(echoing)]
    if re.search("abort|closed", exception):
        return [peer_leaves]
    if "TCP" in exception:
        return [rest_of_message_late, peer_stops_reading]
    return [next_request_late]


@pytest.mark.req("X-COM-08", "X-QR-09", "X-QR-28", "X-QR-46", "X-QR-67", "X-MOD-18")
@pytest.mark.parametrize("row", catalogue("ps32_comm_failures"), ids=name_of)
def test_a_communication_failure_of_the_samples(row: dict[str, str]) -> None:
    played = played_for(row)
    assert played
    for play in played:
        play()


# ---- congestion


@pytest.mark.req("X-COM-04", "X-MOD-39")
def test_whoever_asks_while_a_process_drains_is_told_to_come_again() -> None:
    with serving() as server, ScriptedPeer.call(server.port) as late:
        while not server.acceptor._connections:
            server.acceptor._wait(0.01)
        server.acceptor._wake()
        late.send(request())
        assert late.pdu() == AssociateReject(2, 3, 1)


def test_reserved_numbers_have_words_too() -> None:
    assert reasons.rejection(1, 1, 5) == "permanently, by the user: reserved"
    assert reasons.rejection(7, 7, 7) == "rejected, by an unknown source: reserved"
    assert reasons.abort(2, 3) == "by the provider: reserved"
