"""The asynchronous operations window: several C-STOREs under way on one association, answered as they are done."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration.dimse.dimse_services import CT, EXPLICIT, FIND, QUICK, Answering, Recording, serving
from isocenter import dimse
from isocenter.dimse import (
    Association,
    BytesSource,
    Command,
    Context,
    Outgoing,
    ProposedContext,
    Settings,
    Sink,
    commands,
)
from isocenter.dimse.overlapping import MOST_AT_ONCE
from isocenter.dimse.pdu import Abort, ReleaseReply, ReleaseRequest, UserInformation
from scripted_peer import ScriptedPeer, acceptance, listening, message, request

PATIENCE = 20.0
MANY = replace(QUICK, window=(0, 0))


class Held:
    """A storage service that answers each object when the test lets it."""

    overlaps = True

    def __init__(self) -> None:
        self.begun, self.arrived = threading.Semaphore(0), threading.Semaphore(0)
        self.sinks: dict[str, Recording] = {}
        self.performed: list[str] = []
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self._go: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def may_go(self, uid: str) -> threading.Event:
        """Set by the test where this object may be answered."""
        with self._lock:
            return self._go.setdefault(uid, threading.Event())

    def sink(self, association: Association, context: Context, command: Command) -> Sink:
        sink = self.sinks[str(command[commands.AFFECTED_SOP_INSTANCE])] = Recording()
        self.begun.release()
        return sink

    def perform(self, association: Association, context: Context, command: Command, sink: Sink | None) -> None:
        uid = str(command[commands.AFFECTED_SOP_INSTANCE])
        self.arrived.release()
        assert self.may_go(uid).wait(PATIENCE)
        self.performed.append(uid)
        if uid in self.broken:
            raise RuntimeError("it breaks")
        if uid not in self.silent:
            association.respond(context.id, commands.response(command, 0))

    def await_arrivals(self, count: int) -> None:
        """Wait until so many more are being performed."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=PATIENCE)


def store(uid: str, message_id: int, data: bytes = b"data") -> bytes:
    return message(1, commands.store_rq(CT, uid), data, message_id=message_id)


def answered(peer: ScriptedPeer) -> tuple[int, int]:
    """Message id and status of the next response."""
    _, command, _ = peer.message()
    return commands.number(command, commands.MESSAGE_ID_RESPONDED), commands.number(command, commands.STATUS)


def asking(window: tuple[int, int] | None) -> dimse.AssociateRequest:
    return request(CT, FIND, syntaxes=(EXPLICIT,), user=UserInformation(window=window))


@pytest.fixture(name="held")
def fixture_held() -> Held:
    return Held()


@pytest.fixture(name="peer")
def fixture_peer(held: Held) -> Iterator[ScriptedPeer]:
    """An association on which any number of operations was agreed on."""
    with serving({commands.C_STORE_RQ: held}, settings=MANY) as server, ScriptedPeer.call(server.port) as peer:
        assert peer.associate(asking((0, 1))).user.window == (0, 1)
        try:
            yield peer
        finally:
            for uid in list(held.sinks):
                held.may_go(uid).set()


@pytest.mark.req("I-ASSOC-08", "I-ASSOC-26", "I-ASSOC-33")
def test_responses_leave_in_the_order_of_completion(held: Held, peer: ScriptedPeer) -> None:
    peer.send(*(store(f"1.2.{n}", n, bytes([n]) * 200_000) for n in (1, 2, 3)))
    held.await_arrivals(3)
    for n in (3, 1, 2):
        held.may_go(f"1.2.{n}").set()
        assert answered(peer) == (n, 0)
    assert all(held.sinks[f"1.2.{n}"].data == bytes([n]) * 200_000 for n in (1, 2, 3))


def test_an_object_arrives_while_others_are_under_way(held: Held, peer: ScriptedPeer) -> None:
    peer.send(store("1.2.1", 1))
    held.await_arrivals(1)
    whole = store("1.2.2", 2, b"x" * 100_000)
    peer.send(whole[:50_000])
    held.may_go("1.2.1").set()
    peer.send(whole[50_000:])
    held.await_arrivals(1)
    assert answered(peer) == (1, 0)
    held.may_go("1.2.2").set()
    assert answered(peer) == (2, 0)


def test_no_more_than_agreed_are_performed_at_once(held: Held) -> None:
    two = replace(QUICK, window=(1, 2))
    with serving({commands.C_STORE_RQ: held}, settings=two) as server, ScriptedPeer.call(server.port) as peer:
        assert peer.associate(asking((5, 1))).user.window == (2, 1)
        peer.send(*(store(f"1.2.{n}", n) for n in range(1, 6)))
        held.await_arrivals(2)
        assert not held.arrived.acquire(timeout=0.1)
        for n in range(1, 6):
            held.may_go(f"1.2.{n}").set()
        assert sorted(answered(peer) for _ in range(5)) == [(n, 0) for n in range(1, 6)]


def test_a_peer_that_never_ends_waits_unread(held: Held, peer: ScriptedPeer) -> None:
    peer.send(*(store(f"1.2.{n}", n) for n in range(1, MOST_AT_ONCE + 4)))
    held.await_arrivals(MOST_AT_ONCE)
    assert not held.arrived.acquire(timeout=0.1)
    for n in range(1, MOST_AT_ONCE + 4):
        held.may_go(f"1.2.{n}").set()
    assert len({answered(peer)[0] for _ in range(MOST_AT_ONCE + 3)}) == MOST_AT_ONCE + 3


@pytest.mark.req("M-ASSOC-06")
@pytest.mark.parametrize("proposed", [None, (1, 1), (9, 9)])
def test_by_default_nothing_overlaps(held: Held, proposed: tuple[int, int] | None) -> None:
    with serving({commands.C_STORE_RQ: held}) as server, ScriptedPeer.call(server.port) as peer:
        assert peer.associate(asking(proposed)).user.window == (proposed and (1, 1))
        peer.send(store("1.2.1", 1), store("1.2.2", 2))
        held.await_arrivals(1)
        assert type(server.acceptor.associations[0]) is Association
        held.may_go("1.2.2").set()
        assert not held.arrived.acquire(timeout=0.1)
        held.may_go("1.2.1").set()
        assert [answered(peer), answered(peer)] == [(1, 0), (2, 0)]


def test_what_does_not_overlap_is_performed_beside(held: Held) -> None:
    def find(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0))

    services = {commands.C_STORE_RQ: held, commands.C_FIND_RQ: Answering(find)}
    with serving(services, settings=MANY) as server, ScriptedPeer.call(server.port) as peer:
        peer.associate(asking((0, 0)))
        peer.send(store("1.2.1", 1))
        held.await_arrivals(1)
        peer.send(message(3, commands.find_rq(FIND), b"\x08\x00\x52\x00CS\x00\x00", message_id=2))
        assert answered(peer) == (2, 0)
        held.may_go("1.2.1").set()
        assert answered(peer) == (1, 0)


def test_the_same_message_id_twice_is_a_duplicate_invocation(held: Held, peer: ScriptedPeer) -> None:
    peer.send(store("1.2.1", 7))
    held.await_arrivals(1)
    peer.send(store("1.2.2", 7))
    assert answered(peer) == (7, commands.DUPLICATE_INVOCATION)
    held.may_go("1.2.1").set()
    assert answered(peer) == (7, 0)
    assert "1.2.2" not in held.sinks


@pytest.mark.parametrize("kind", ["broken", "silent"])
def test_a_service_that_fails_costs_one_operation(held: Held, peer: ScriptedPeer, kind: str) -> None:
    getattr(held, kind).add("1.2.1")
    peer.send(store("1.2.1", 1), store("1.2.2", 2))
    held.await_arrivals(2)
    held.may_go("1.2.1").set()
    assert answered(peer) == (1, commands.PROCESSING_FAILURE)
    held.may_go("1.2.2").set()
    assert answered(peer) == (2, 0)


def test_a_release_waits_for_what_is_under_way(held: Held, peer: ScriptedPeer) -> None:
    peer.send(store("1.2.1", 1))
    held.await_arrivals(1)
    peer.send(ReleaseRequest())
    held.may_go("1.2.1").set()
    assert answered(peer) == (1, 0)
    assert peer.pdu() == ReleaseReply()


def test_a_lost_peer_is_outlived_by_what_it_sent_whole(held: Held) -> None:
    with serving({commands.C_STORE_RQ: held}, settings=MANY) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.associate(asking((0, 1)))
            peer.send(store("1.2.1", 1), store("1.2.2", 2, b"x" * 1000)[:500])
            for _ in range(2):
                assert held.begun.acquire(timeout=PATIENCE)
        held.may_go("1.2.1").set()
        assert held.sinks["1.2.2"].done.wait(PATIENCE)
    assert held.performed == ["1.2.1"]
    assert held.sinks["1.2.2"].abandoned


def test_stopping_lets_what_is_under_way_be_answered(held: Held) -> None:
    with serving({commands.C_STORE_RQ: held}, settings=MANY) as server, ScriptedPeer.call(server.port) as peer:
        peer.associate(asking((0, 1)))
        peer.send(store("1.2.1", 1), store("1.2.2", 2))
        held.await_arrivals(2)
        stopping = threading.Thread(target=server.acceptor.stop, args=(20,))
        stopping.start()
        server.thread.join(PATIENCE)
        held.may_go("1.2.2").set()
        assert answered(peer) == (2, 0)
        held.may_go("1.2.1").set()
        assert answered(peer) == (1, 0)
        assert peer.aborted() == Abort(0)
        stopping.join(PATIENCE)


# --- as the requestor


@pytest.mark.req("I-ASSOC-08")
def test_our_own_stores_overlap_there(held: Held) -> None:
    """Both sides of ours: as many under way as agreed on, told in the order of the items."""
    four = replace(QUICK, window=(4, 1))
    contexts = [ProposedContext(CT, (EXPLICIT,))]
    with (
        serving({commands.C_STORE_RQ: held}, settings=MANY) as server,
        dimse.connect(("127.0.0.1", server.port), calling="U", called="P", contexts=contexts, settings=four) as link,
    ):
        assert link.window == 4
        items = [Outgoing(1, CT, f"1.2.{n}", BytesSource(bytes(200_000)), token=n) for n in range(9)]
        told: list[object] = []
        sending = threading.Thread(target=lambda: told.extend(i.token for i, _ in link.store_many(iter(items))))
        sending.start()
        held.await_arrivals(4)
        assert not held.arrived.acquire(timeout=0.1)
        for n in reversed(range(9)):
            held.may_go(f"1.2.{n}").set()
        sending.join(PATIENCE)
        assert told == list(range(9))


def test_responses_out_of_order_find_their_objects() -> None:
    def script(peer: ScriptedPeer) -> None:
        asked = peer.pdu()
        assert isinstance(asked, dimse.AssociateRequest)
        assert asked.user.window == (3, 1)
        peer.send(acceptance(asked, user=UserInformation(window=(3, 1))))
        got = [peer.message()[1] for _ in range(3)]
        for n, command in reversed(list(enumerate(got))):
            peer.send(message(1, commands.response(command, 0xB000 + n)))
        assert isinstance(peer.pdu(), ReleaseRequest)
        peer.send(ReleaseReply())

    three = Settings(window=(3, 1), artim=PATIENCE, response=PATIENCE)
    contexts = [ProposedContext(CT, (EXPLICIT,))]
    with (
        listening(script) as port,
        dimse.connect(("127.0.0.1", port), calling="U", called="P", contexts=contexts, settings=three) as link,
    ):
        items = (Outgoing(1, CT, f"1.2.{n}", BytesSource(b"data"), token=n) for n in range(3))
        assert [(item.token, response.status) for item, response in link.store_many(items)] == [
            (0, 0xB000), (1, 0xB001), (2, 0xB002)
        ]  # fmt: skip
