"""A sender that leaves Nagle's algorithm on mustn't wait for our delayed acknowledgements (22/s against 870/s)."""

import socket
import time

import pytest

from integration.dimse.dimse_services import CT, Storing, serving
from isocenter.dimse import commands
from isocenter.dimse.pdu import ReleaseReply, ReleaseRequest
from isocenter.dimse.transport import PlainTransport, plain
from scripted_peer import ScriptedPeer, data, request

OBJECTS = 50


def send_objects(port: int, *, no_delay: bool) -> float:
    """Seconds for some small objects, each written in small pieces, as DCMTK does."""
    with ScriptedPeer.call(port) as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(no_delay))
        peer.associate(request(CT))
        command = commands.encode({**commands.store_rq(CT, "1.2.3"), commands.MESSAGE_ID: 1, commands.DATA_SET_TYPE: 1})
        pieces = [data(1, 3, command), data(1, 0, bytes(3000)), data(1, 2, bytes(300))]
        began = time.perf_counter()
        for _ in range(OBJECTS):
            for piece in pieces:
                peer.send(piece[:12])
                peer.send(piece[12:])
            assert peer.message()[1][commands.STATUS] == 0
        took = time.perf_counter() - began
        peer.send(ReleaseRequest())
        assert peer.pdu() == ReleaseReply()
    return took


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="no TCP_QUICKACK on this system")
def test_nagle_costs_a_sender_little() -> None:
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}) as server:
        ratios = []
        for _ in range(3):
            straight = send_objects(server.port, no_delay=True)
            ratios.append(send_objects(server.port, no_delay=False) / straight)
            if ratios[-1] < 8:
                break
    assert min(ratios) < 8, "a stall for each object gives 30 and more"


class Spy(socket.socket):
    """Notes what is asked of it."""

    calls: list[object]

    def setsockopt(self, *arguments: object) -> None:
        self.calls.append(arguments)
        super().setsockopt(*arguments)  # type: ignore[call-overload]

    def recv_into(self, *arguments: object) -> int:
        self.calls.append("recv")
        return super().recv_into(*arguments)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="no TCP_QUICKACK on this system")
def test_quick_acknowledgement_is_asked_for_before_each_receive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            spy = Spy(near.family, near.type, fileno=near.detach())
            spy.calls = []
            transport: PlainTransport = plain(spy, send_timeout=5)
            quick = (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in spy.calls
            spy.calls.clear()
            for _ in range(3):
                far.sendall(b"x")
                assert transport.receive_into(memoryview(bytearray(10))) == 1
            assert spy.calls == [quick, "recv"] * 3
            assert spy.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
            transport.close()
