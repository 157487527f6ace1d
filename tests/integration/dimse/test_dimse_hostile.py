"""What no decent peer sends costs its sender the association, and nobody else anything."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration.dimse.dimse_services import CT, QUICK, Serving, Storing, serving
from isocenter.dimse import Settings, commands
from isocenter.dimse.pdu import Abort, AssociateReject, Data, ReleaseReply, ReleaseRequest, UserInformation, encode
from scripted_peer import VERIFICATION, ScriptedPeer, acceptance, data, message, request

SETTINGS = replace(QUICK, max_pdu=65536, command_limit=2000, artim=1.0)


@pytest.fixture(name="storing")
def fixture_storing() -> Storing:
    return Storing()


@pytest.fixture(name="server")
def fixture_server(storing: Storing) -> Iterator[Serving]:
    with serving({commands.C_STORE_RQ: storing}, settings=SETTINGS) as server:
        yield server
        healthy(server)


def healthy(server: Serving) -> None:
    """Another peer is served as ever."""
    with ScriptedPeer.call(server.port) as peer:
        peer.associate()
        peer.send(message(1, commands.echo_rq()))
        assert peer.message()[1][commands.STATUS] == 0
        peer.send(ReleaseRequest())
        assert peer.pdu() == ReleaseReply()


STORE = commands.encode({**commands.store_rq(CT, "1.2.3"), commands.MESSAGE_ID: 1, commands.DATA_SET_TYPE: 1})
ECHO = commands.encode({**commands.echo_rq(), commands.MESSAGE_ID: 1})


@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n", Abort(0), id="HTTP request"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), Abort(0), id="TLS hello"),
        pytest.param(bytes(5000), Abort(0), id="zeros"),
        pytest.param(b"\x01\0\xff\xff\xff\xff", Abort(0), id="request of 4 GiB"),
        pytest.param(b"\x01\0\0\x10\0\1" + bytes(5000), Abort(0), id="request over the limit"),
        pytest.param(b"\x04\0\xff\xff\xff\xff", Abort(0), id="P-DATA of 4 GiB before any association"),
        pytest.param(encode(Data(((1, 3, ECHO),))), Abort(0), id="P-DATA first"),
        pytest.param(encode(ReleaseRequest()), Abort(0), id="release first"),
        pytest.param(encode(request()) + encode(ReleaseRequest()), Abort(2, 2), id="release before the answer"),
        pytest.param(encode(request()) + encode(Data(((1, 3, ECHO),))), Abort(2, 2), id="P-DATA before the answer"),
        pytest.param(encode(acceptance(request())), Abort(0), id="acceptance first"),
        pytest.param(b"\x01\0\0\0\0\x04abcd", AssociateReject(1, 2, 1), id="request too short"),
        pytest.param(encode(request())[:-30].replace(b"\0\0\0\x8e", b"\0\0\0\x70"), None, id="request cut"),
    ],
)
def test_before_an_association(server: Serving, stream: bytes, answer: Abort | AssociateReject | None) -> None:
    with ScriptedPeer.call(server.port) as peer:
        peer.send(stream)
        peer.sock.shutdown(socket.SHUT_WR)
        first = peer.pdu()
        assert answer is None or first == answer
        while first is not None:
            first = peer.pdu()


def test_a_request_that_cannot_be_read_is_logged(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "isocenter.dimse.acceptor"), ScriptedPeer.call(server.port) as peer:
        peer.send(b"\x01\0\0\0\0\x04abcd")
        assert peer.pdu() == AssociateReject(1, 2, 1)
        assert peer.pdu() is None
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.getMessage() == "association.rejected"
    assert {"address": "127.0.0.1", "reason": "1/2/1"}.items() <= vars(record)["fields"].items()
    assert "connection.ended" not in caplog.messages


def pdata(body: bytes) -> bytes:
    return b"\x04\0" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        pytest.param(b"\x08\0\0\0\0\0", 1, id="unknown PDU type"),
        pytest.param(b"POST / HTTP/1.1\r\n\r\n", 1, id="HTTP request"),
        pytest.param(encode(request()), 2, id="second association request"),
        pytest.param(encode(acceptance(request())), 2, id="acceptance"),
        pytest.param(encode(ReleaseReply()), 2, id="release reply out of turn"),
        pytest.param(b"\x04\0\xff\xff\xff\xff", 6, id="P-DATA of 4 GiB"),
        pytest.param(data(1, 3, bytes(SETTINGS.max_pdu + 1)), 6, id="P-DATA over our maximum"),
        pytest.param(pdata(b""), 6, id="P-DATA without a value"),
        pytest.param(pdata(bytes(6)), 6, id="value of length 0"),
        pytest.param(pdata(b"\xff\xff\xff\xff\x01\x03ab"), 6, id="value of 4 GiB"),
        pytest.param(data(7, 3, ECHO), 6, id="unknown context"),
        pytest.param(data(1, 3, STORE) + data(3, 2, b"x"), 6, id="data set on another context"),
        pytest.param(data(1, 2, b"data"), 6, id="data set without a command"),
        pytest.param(data(1, 3, STORE) + data(1, 3, ECHO), 6, id="command within a message"),
        pytest.param(data(1, 1, ECHO[:20]) + data(3, 3, ECHO[20:]), 6, id="command on two contexts"),
        pytest.param(data(1, 1, bytes(1500)) + data(1, 1, bytes(1500)), 6, id="command set too long"),
        pytest.param(data(1, 3, b"\0\0\0\x01\xff\xff\xff\xff"), 0, id="command set truncated"),
        pytest.param(data(1, 3, b""), 0, id="empty command set"),
        pytest.param(
            data(1, 3, commands.encode({**commands.cancel_rq(1), commands.DATA_SET_TYPE: 1})), 6, id="cancel with data"
        ),
    ],
)
def test_within_an_association(server: Serving, storing: Storing, stream: bytes, reason: int) -> None:
    with ScriptedPeer.call(server.port) as peer:
        peer.associate(request(CT, VERIFICATION))
        peer.send(stream)
        assert peer.aborted() == Abort(2, reason)
    assert all(sink.abandoned or sink.done.wait(10) for sink in storing.sinks)
    assert storing.stored == []


@pytest.mark.parametrize("step", [1, 7, 50, 1000])
def test_any_cut_of_the_stream_works(server: Serving, storing: Storing, step: int) -> None:
    """Bytes in small pieces, empty fragments among them, several values a PDU, command and data in one PDU."""
    body = bytes(range(256)) * 20
    both = encode(Data(((1, 1, STORE[:9]), (1, 1, b""), (1, 3, STORE[9:]), (1, 0, body[:100]), (1, 0, b""))))
    stream = both + data(1, 0, body[100:3000]) + data(1, 0, body[3000:]) + data(1, 2, b"")
    with ScriptedPeer.call(server.port) as peer:
        peer.associate(request(CT))
        for at in range(0, len(stream), step):
            peer.send(stream[at : at + step])
        assert peer.message()[1][commands.STATUS] == 0
    assert [stored for _, _, stored in storing.stored] == [body]


@pytest.mark.parametrize("ending", ["drop", "reset", "half", "abort"])
@pytest.mark.parametrize("where", ["connected", "requested", "accepted", "command", "data set", "whole"])
def test_a_peer_may_vanish_at_any_time(server: Serving, storing: Storing, where: str, ending: str) -> None:
    """Complete objects stay, incomplete ones are abandoned (ps32_comm_failures)."""
    peer = ScriptedPeer.call(server.port)
    steps = ["connected", "requested", "accepted", "command", "data set", "whole"]
    reached = steps.index(where)
    if reached == 1:
        peer.send(encode(request(CT))[:50])
    if reached >= 2:
        peer.associate(request(CT))
    if reached >= 3:
        peer.send(data(1, 3, STORE))
    if reached >= 4:
        peer.send(data(1, 0, bytes(40_000))[:30_000])
        assert storing.began.wait(10)
    if reached >= 5:
        peer.send(data(1, 0, bytes(40_000))[30_000:], data(1, 2, b""))
        assert storing.sinks[0].done.wait(10)
    if ending == "abort":
        peer.send(Abort(0))
    elif ending == "half":
        peer.sock.shutdown(socket.SHUT_WR)
        peer.aborted()
    elif ending == "reset":
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    for sink in storing.sinks:
        assert sink.done.wait(10)
        assert sink.abandoned is (where in ("command", "data set"))


def short(**changes: float) -> Settings:
    return replace(QUICK, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "stream"),
    [
        pytest.param(short(dimse=0.1), data(1, 1, ECHO[:10]), id="within a command set"),
        pytest.param(short(dimse=0.1), data(1, 3, STORE) + data(1, 0, b"some"), id="within a data set"),
        pytest.param(short(dimse=0.1), data(1, 3, STORE), id="before the data set"),
        pytest.param(short(dimse=0.1), b"\x04\0\0", id="within a PDU header"),
        pytest.param(short(idle=0.1), b"", id="between messages"),
    ],
)
@pytest.mark.req("P-CF-01")
def test_a_peer_that_stops_sending_is_aborted(settings: Settings, stream: bytes) -> None:
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}, settings=settings) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.associate(request(CT))
            peer.send(stream)
            assert peer.aborted() == Abort(0)
        healthy(server)
    assert all(sink.abandoned for sink in storing.sinks)


def test_a_peer_that_asks_for_nothing_is_dropped_by_artim() -> None:
    with serving(settings=short(artim=0.1)) as server:
        with ScriptedPeer.call(server.port) as silent, ScriptedPeer.call(server.port) as slow:
            slow.send(encode(request())[:20])
            assert silent.pdu() is None
            assert slow.pdu() is None
        with ScriptedPeer.call(server.port) as lingering:
            lingering.associate()
            lingering.send(ReleaseRequest())
            assert lingering.pdu() == ReleaseReply()
            assert lingering.pdu() is None


def test_a_peer_that_stops_reading_is_given_up() -> None:
    from integration.dimse.test_dimse_association import finding

    service, left = finding(10_000_000, poll=False)
    with serving({commands.C_FIND_RQ: service}, settings=short(send=0.1)) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.associate(request("1.2.840.10008.5.1.4.1.2.2.1"))
            peer.send(message(1, commands.find_rq("1.2"), b"identifier"))
            while server.acceptor.associations:
                server.acceptor._wait(0.05)
        healthy(server)
    assert 0 < sum(left) < 10_000_000


@pytest.mark.parametrize("max_pdu", [1, 20])
def test_a_maximum_that_nothing_fits_in_is_refused(server: Serving, max_pdu: int) -> None:
    with ScriptedPeer.call(server.port) as peer:
        peer.send(request(user=UserInformation(max_pdu=max_pdu)))
        assert peer.pdu() == AssociateReject(1, 1, 1)


def test_a_peer_that_floods_requests_during_one_is_held_back_then_dropped() -> None:
    from integration.dimse.test_dimse_association import finding

    service, _ = finding(200_000)
    with serving({commands.C_FIND_RQ: service}, settings=replace(QUICK, deferred_limit=10_000)) as server:
        with ScriptedPeer.call(server.port) as peer:
            peer.associate(request("1.2.840.10008.5.1.4.1.2.2.1"))
            peer.send(message(1, commands.find_rq("1.2"), b"identifier"))
            peer.send(*(message(1, commands.find_rq("1.2"), bytes(5000), message_id=i + 2) for i in range(3)))
            assert peer.message()[1][commands.STATUS] == 0xFF00
            peer.send(Abort(0))
        healthy(server)


def test_many_malformed_associations_leave_nothing(server: Serving) -> None:
    for i in range(60):
        with ScriptedPeer.call(server.port) as peer:
            if i % 3:
                peer.send(b"\x01\0\0\0\0\x04abcd" if i % 3 == 1 else b"nonsense")
    while server.acceptor._connections:
        server.acceptor._wait(0.05)
    assert server.acceptor._slabs.lent == 0
