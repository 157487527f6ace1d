"""The requestor against peers that play a script: rejections, aborts, silence, collisions, strange answers."""

import socket
import struct
from dataclasses import replace

import pytest

from integration.dimse.dimse_services import FIND, QUICK
from isocenter import dimse
from isocenter.dimse import (
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    BytesSource,
    Outgoing,
    PeerTimeout,
    PeerUnreachable,
    ProposedContext,
    RejectedPermanently,
    RejectedTransiently,
    Settings,
    UserIdentity,
    commands,
)
from isocenter.dimse.client import ClientAssociation
from isocenter.dimse.pdu import (
    Abort,
    AssociateReject,
    AssociateRequest,
    Data,
    ReleaseReply,
    ReleaseRequest,
    UserInformation,
    encode,
)
from scripted_peer import CT, IMPLICIT, VERIFICATION, ScriptedPeer, accepting, data, listening, message


def call(
    port: int, settings: Settings = QUICK, *abstracts: str, identity: UserIdentity | None = None
) -> ClientAssociation:
    contexts = [ProposedContext(uid, (IMPLICIT,)) for uid in abstracts or (VERIFICATION, CT, FIND)]
    return dimse.connect(
        ("127.0.0.1", port), calling="SCU", called="SCP", contexts=contexts, settings=settings, user_identity=identity
    )


@pytest.mark.req("P-RJ-04")
@pytest.mark.parametrize("result", [1, 2])
def test_a_rejection_says_whether_it_is_worth_retrying(result: int) -> None:
    def script(peer: ScriptedPeer) -> None:
        peer.pdu()
        peer.send(AssociateReject(result, 3, 2))
        assert peer.pdu() is None

    with listening(script) as port, pytest.raises(AssociationRejected) as rejection:
        call(port)
    assert type(rejection.value) is (RejectedPermanently if result == 1 else RejectedTransiently)
    assert (rejection.value.source, rejection.value.rejection) == (3, 2)


@pytest.mark.req("P-AB-02")
def test_an_abort_instead_of_an_answer() -> None:
    def script(peer: ScriptedPeer) -> None:
        peer.pdu()
        peer.send(Abort(2, 5))

    with listening(script) as port, pytest.raises(AssociationAborted) as abort:
        call(port)
    assert (abort.value.source, abort.value.abort_reason, abort.value.by_peer) == (2, 5, True)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", encode(ReleaseReply()), data(1, 3, b"x")])
def test_no_answer_that_can_be_used(answer: bytes) -> None:
    def script(peer: ScriptedPeer) -> None:
        peer.pdu()
        peer.send(answer)
        if answer:
            assert isinstance(peer.aborted(), Abort)

    with listening(script) as port, pytest.raises(AssociationAborted):
        call(port)


def _silent(peer: ScriptedPeer) -> None:
    peer.pdu()
    peer.aborted()


def test_silence_instead_of_an_answer() -> None:
    with listening(_silent) as port, pytest.raises(PeerTimeout):
        call(port, replace(QUICK, artim=0.1))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerUnreachable):
        call(port)


@pytest.mark.req("I-COMMIT-04")
def test_what_a_request_carries() -> None:
    seen: list[AssociateRequest] = []

    def script(peer: ScriptedPeer) -> None:
        asked = peer.pdu()
        assert isinstance(asked, AssociateRequest)
        seen.append(asked)
        peer.send(AssociateReject(1, 1, 1))

    contexts = [
        ProposedContext("1.2", (IMPLICIT,), scu=False, scp=True),
        ProposedContext(FIND, (IMPLICIT,), extended=b"\1"),
    ]
    settings = replace(QUICK, window=(8, 2), max_pdu=50_000)
    with listening(script) as port, pytest.raises(RejectedPermanently):
        dimse.connect(
            ("127.0.0.1", port),
            calling="SCU",
            called="SCP",
            contexts=contexts,
            settings=settings,
            user_identity=UserIdentity(2, b"name", b"pass", True),
        )
    user = seen[0].user
    assert (user.max_pdu, user.window, user.extended) == (50_000, (8, 2), {FIND: b"\1"})
    assert (user.roles["1.2"].scu, user.roles["1.2"].scp) == (False, True)
    assert user.user_identity == UserIdentity(2, b"name", b"pass", True)


def echoed(peer: ScriptedPeer) -> None:
    context_id, command, _ = peer.message()
    peer.send(message(context_id, commands.response(command, 0)))


def released(peer: ScriptedPeer) -> None:
    assert peer.pdu() == ReleaseRequest()
    peer.send(ReleaseReply())
    assert peer.pdu() is None


def test_no_maximum_means_ours() -> None:
    def then(peer: ScriptedPeer) -> None:
        pdu = peer.pdu()
        assert isinstance(pdu, Data)
        lengths = []
        while not pdu.values[0][1] & 2 or pdu.values[0][1] & 1:
            pdu = peer.pdu()
            assert isinstance(pdu, Data)
            lengths.append(len(pdu.values[0][2]) + 6)
        assert max(lengths) == QUICK.max_pdu_sent
        request = {commands.COMMAND_FIELD: 1, commands.MESSAGE_ID: 1}
        peer.send(message(3, commands.response(request, 0)))
        released(peer)

    with listening(accepting(then, user=UserInformation(max_pdu=0))) as port, call(port) as association:
        assert association.peer_max_pdu == 0
        assert association.store(3, CT, "1.2", BytesSource(bytes(1 << 20))) == 0


def test_contexts_that_the_peer_refuses_are_not_there() -> None:
    from isocenter.dimse.pdu import AssociateAccept, ContextResult

    def script(peer: ScriptedPeer) -> None:
        peer.pdu()
        peer.send(AssociateAccept((ContextResult(1, 3), ContextResult(3, 0, IMPLICIT), ContextResult(99, 0, IMPLICIT))))
        released(peer)

    with listening(script) as port, call(port) as association:
        assert set(association.contexts) == {3}
        with pytest.raises(dimse.ContextNotAccepted):
            association.echo()


@pytest.mark.req("C-GEN-05")
@pytest.mark.parametrize("kind", ["abort", "provider abort", "drop", "reset", "release", "garbage", "unknown context"])
def test_the_peer_ends_while_its_response_is_awaited(kind: str) -> None:
    def then(peer: ScriptedPeer) -> None:
        peer.message()
        if kind == "abort":
            peer.send(Abort(0))
        elif kind == "provider abort":
            peer.send(Abort(2, 6))
        elif kind == "reset":
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif kind == "release":
            peer.send(ReleaseRequest())
            assert peer.pdu() == ReleaseReply()
        elif kind == "garbage":
            peer.send(b"\x04\0\xff\xff\xff\xff")
            assert peer.aborted() == Abort(2, 6)
        elif kind == "unknown context":
            peer.send(data(77, 3, b"x"))
            assert peer.aborted() == Abort(2, 6)

    expected = AssociationReleased if kind == "release" else AssociationAborted
    with listening(accepting(then)) as port:
        association = call(port)
        with pytest.raises(expected) as failure:
            association.echo()
        if isinstance(failure.value, AssociationAborted):
            reasons = {"abort": (0, 0), "provider abort": (2, 6), "garbage": (2, 6), "unknown context": (2, 6)}
            assert (failure.value.source, failure.value.abort_reason) == reasons.get(kind, (2, 0))
        with pytest.raises(AssociationAborted):
            association.echo()
        association.release()


def test_an_abort_that_came_while_we_sent_is_told() -> None:
    def then(peer: ScriptedPeer) -> None:
        peer.send(Abort(2, 1))

    with listening(accepting(then)) as port:
        association = call(port)
        context = association.contexts[3]
        items = (Outgoing(context.id, CT, "1.2", BytesSource(bytes(1 << 20))) for _ in range(1000))
        with pytest.raises(AssociationAborted) as failure:
            list(association.store_many(items))
        assert (failure.value.source, failure.value.abort_reason) in ((2, 1), (2, 0))
        association.abort()


@pytest.mark.req("P-CF-02")
def test_no_response_in_time() -> None:
    with (
        listening(accepting(lambda peer: peer.aborted() and None)) as port,
        pytest.raises(PeerTimeout),
        call(port, replace(QUICK, response=0.1)) as association,
    ):
        association.echo()


def test_a_release_collision() -> None:
    """PS3.8 9.2: both ask; we, the requestor, reply first."""

    def then(peer: ScriptedPeer) -> None:
        echoed(peer)
        assert peer.pdu() == ReleaseRequest()
        peer.send(ReleaseRequest())
        assert peer.pdu() == ReleaseReply()
        peer.send(ReleaseReply())
        assert peer.pdu() is None

    with listening(accepting(then)) as port, call(port) as association:
        association.echo()


def test_data_that_still_comes_while_we_release_is_dropped() -> None:
    def then(peer: ScriptedPeer) -> None:
        assert peer.pdu() == ReleaseRequest()
        peer.send(message(1, commands.echo_rq()))
        peer.send(ReleaseReply())
        assert peer.pdu() is None

    with listening(accepting(then)) as port, call(port):
        pass


def test_a_peer_that_never_answers_a_release() -> None:
    def then(peer: ScriptedPeer) -> None:
        assert peer.pdu() == ReleaseRequest()
        peer.aborted()

    with listening(accepting(then)) as port, call(port, replace(QUICK, artim=0.1)):
        pass


def test_responses_in_any_cut_and_with_strange_extras() -> None:
    """Several values in one PDU, empty fragments, unknown elements, odd data set types."""

    def then(peer: ScriptedPeer) -> None:
        context_id, command, _ = peer.message()
        pending = {**commands.response(command, 0xFF00), commands.DATA_SET_TYPE: 0x7777, 0x5555: b"odd"}
        wire = commands.encode(pending)
        peer.send(Data(((context_id, 1, wire[:11]), (context_id, 3, wire[11:]), (context_id, 0, b"ma"))))
        for byte in data(context_id, 0, b"tch") + data(context_id, 2, b""):
            peer.send(bytes([byte]))
        peer.send(message(context_id, commands.response(command, 0)))
        released(peer)

    with listening(accepting(then)) as port, call(port) as association:
        assert [(r.status, r.data) for r in association.find(FIND, b"x")] == [(0xFF00, b"match"), (0, None)]


def test_a_response_nobody_asked_for_is_overlooked() -> None:
    def then(peer: ScriptedPeer) -> None:
        context_id, command, _ = peer.message()
        stray = {**commands.response(command, 0), commands.MESSAGE_ID_RESPONDED: 999}
        peer.send(message(context_id, stray), message(context_id, stray, b"with data"))
        peer.send(message(context_id, commands.response(command, 0)))
        released(peer)

    with listening(accepting(then)) as port, call(port) as association:
        assert association.echo() == 0


def test_a_response_of_endless_data_is_cut_off() -> None:
    def then(peer: ScriptedPeer) -> None:
        context_id, command, _ = peer.message()
        peer.send(message(context_id, commands.response(command, 0xFF00), bytes(5000)))
        assert isinstance(peer.aborted(), Abort)

    with listening(accepting(then)) as port:
        association = call(port, replace(QUICK, response_limit=1000))
        with pytest.raises(AssociationAborted):
            list(association.find(FIND, b"x"))
        association.abort()


def test_a_request_to_a_requestor_without_services_is_refused() -> None:
    answers: list[int] = []

    def then(peer: ScriptedPeer) -> None:
        context_id, command, _ = peer.message()
        peer.send(message(context_id, commands.store_rq(CT, "1.2"), b"data", message_id=5))
        _, answer, _ = peer.message()
        answers.append(commands.status_of(answer))
        peer.send(message(context_id, commands.response(command, 0)))
        released(peer)

    with listening(accepting(then)) as port, call(port) as association:
        assert association.echo() == 0
    assert answers == [0x0211]


def test_an_error_in_the_block_aborts() -> None:
    with (
        listening(accepting(lambda peer: _expect(peer.aborted(), Abort(0)))) as port,
        pytest.raises(KeyError),
        call(port),
    ):
        raise KeyError


def _expect(got: object, wanted: object) -> None:
    assert got == wanted
