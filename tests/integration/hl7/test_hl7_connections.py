"""Senders and receivers of HL7 over real connections."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certificates import Authority
from isocenter.hl7.acknowledgement import Answered, acknowledgement
from isocenter.hl7.calling import Caller, ReceiverLost, ReceiverUnreachable, Waits
from isocenter.hl7.framing import framed
from isocenter.hl7.listening import Limits, Listener
from isocenter.hl7.message import parsed
from servers import until

DEFAULTS = Limits()
Handle = Callable[[bytes, tuple[str, int]], Iterable[bytes]]


def message(number: int, more: str = "", mode: str = "||") -> bytes:
    return f"MSH|^~\\&|RIS|HOSP|I|R|20240131||ADT^A08|M{number}|P|2.5|||{mode}\rPID|||{number}{more}\r".encode()


def taken(data: bytes, _address: object = None, *, accepting: bool = False) -> list[bytes]:
    asked = parsed(data)
    now = datetime.now(UTC)
    return [acknowledgement(asked, Answered(), now=now, control_id="A", accepting=accepting).encoded()]


@contextmanager
def listening(
    handle: Handle = taken, limits: Limits = DEFAULTS, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[Listener, tuple[str, int]]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener([sock], handle, limits, tls)
        listener.start()
        try:
            yield listener, sock.getsockname()
        finally:
            assert listener.stop()


def test_messages_of_one_feed_are_answered_in_their_order() -> None:
    heard: list[str] = []

    def handle(data: bytes, _address: object) -> list[bytes]:
        heard.append(parsed(data).header.control_id)
        return taken(data)

    with listening(handle) as (_, address), Caller(address) as caller:
        answers = [caller.send(message(n)) for n in range(50)]
    assert [answer.value("MSA-2") for answer in answers] == heard == [f"M{n}" for n in range(50)]


def test_all_that_come_at_once_are_answered() -> None:
    with listening() as (_, address), socket.create_connection(address, timeout=60) as sender:
        sender.sendall(b"".join(framed(message(n)) for n in range(100)))
        sender.shutdown(socket.SHUT_WR)
        came = b"".join(iter(lambda: sender.recv(65536), b""))
    assert came.count(b"MSA|AA|M") == 100


def test_many_senders_at_once() -> None:
    failed: list[BaseException] = []

    def send_all(address: tuple[str, int], own: int) -> None:
        try:
            with Caller(address) as caller:
                for n in range(20):
                    assert caller.send(message(own * 100 + n)).value("MSA-2") == f"M{own * 100 + n}"
        except BaseException as failure:
            failed.append(failure)

    with listening() as (_, address):
        threads = [threading.Thread(target=send_all, args=(address, own)) for own in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


def test_over_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    own = authority.issue("localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own.certificate, own.key)
    client = ssl.create_default_context(cafile=str(authority.certificate))
    with listening(tls=server) as (listener, address):
        with Caller(address, tls=client, tls_name="localhost") as caller:
            assert caller.send(message(1)).value("MSA-1") == "AA"
        with Caller(address, waits=Waits(answer=30)) as plain, pytest.raises(ReceiverLost):
            plain.send(message(2))
        until(lambda: listener.connections == 0)


def test_both_acknowledgements_of_enhanced_mode() -> None:
    def handle(data: bytes, _address: object) -> list[bytes]:
        return [*taken(data, accepting=True), *taken(data)]

    with listening(handle) as (_, address), Caller(address) as caller:
        assert caller.send(message(1, mode="AL|AL")).value("MSA-1") == "AA"
        assert caller.send(message(2, mode="AL|NE")).value("MSA-1") == "CA"
        # the second answer to message 2 is none to message 3
        assert caller.send(message(3)).value("MSA-2") == "M3"


def test_too_long_a_message_costs_its_connection_alone() -> None:
    with listening(limits=Limits(longest=1000)) as (_, address), Caller(address) as other:
        assert other.send(message(1)).value("MSA-1") == "AA"
        with Caller(address) as caller, pytest.raises(ReceiverLost):
            caller.send(message(2, "x" * 2000))
        assert other.send(message(3)).value("MSA-1") == "AA"


def test_a_fault_of_ours_costs_its_connection_alone() -> None:
    def handle(data: bytes, _address: object) -> list[bytes]:
        if b"M2" in data:
            raise RuntimeError
        return taken(data)

    with listening(handle) as (_, address), Caller(address) as other:
        with Caller(address) as caller, pytest.raises(ReceiverLost, match="without an answer"):
            caller.send(message(2))
        assert other.send(message(3)).value("MSA-1") == "AA"


def test_more_connections_than_there_may_be() -> None:
    with listening(limits=Limits(connections=1)) as (listener, address):
        with Caller(address) as first:
            assert first.send(message(1)).value("MSA-1") == "AA"
            with Caller(address) as second, pytest.raises(ReceiverLost):
                second.send(message(2))
        until(lambda: listener.connections == 0)
        with Caller(address) as third:
            assert third.send(message(3)).value("MSA-1") == "AA"


def test_an_idle_sender_is_sent_away() -> None:
    with listening(limits=Limits(idle=0.5)) as (_, address), socket.create_connection(address, timeout=60) as sender:
        assert sender.recv(1) == b""


def test_a_message_that_never_ends_costs_its_connection() -> None:
    """However its bytes trickle in; and a connection that only is quiet stays."""
    with (
        listening(limits=Limits(message=0.3)) as (_, address),
        Caller(address) as quiet,
        socket.create_connection(address, timeout=60) as sender,
    ):
        sender.sendall(framed(message(1))[:20])
        with suppress(OSError):  # it hung up, as it should
            while True:
                sender.sendall(b"x")
                sender.settimeout(0.05)
                with suppress(TimeoutError):  # not yet
                    assert sender.recv(1) == b""
                    break
        assert quiet.send(message(2)).value("MSA-1") == "AA"


def test_a_message_that_is_cut_off_is_none() -> None:
    """Its sender is gone before the end block: what was whole is answered, the rest is passed over."""
    heard: list[str] = []

    def handle(data: bytes, _address: object) -> list[bytes]:
        heard.append(parsed(data).header.control_id)
        return taken(data)

    with listening(handle) as (listener, address):
        with socket.create_connection(address, timeout=60) as sender:
            sender.sendall(framed(message(1)) + framed(message(2))[:-2])
            sender.shutdown(socket.SHUT_WR)
            came = b"".join(iter(lambda: sender.recv(65536), b""))
        until(lambda: listener.connections == 0)
    assert came.count(b"MSA|AA|M1") == came.count(b"MSA|") == 1
    assert heard == ["M1"]


@pytest.mark.parametrize("end", [b"\x1c\r", b"\x1c", b"\x1c\n", b"\r\n\x1c\r\n"])
@pytest.mark.parametrize("lines", [b"\r", b"\n", b"\r\n"])
def test_senders_with_ends_of_their_own(end: bytes, lines: bytes) -> None:
    """Of lines and of blocks; what is asked next tells that the one before has ended."""
    with listening() as (_, address), socket.create_connection(address, timeout=60) as sender:
        for number in (1, 2):
            sender.sendall(b"\x0b" + message(number).replace(b"\r", lines) + end)
        sender.sendall(framed(message(3)))
        sender.shutdown(socket.SHUT_WR)
        came = b"".join(iter(lambda: sender.recv(65536), b""))
    assert [came.count(b"MSA|AA|M%d\r" % number) for number in (1, 2, 3)] == [1, 1, 1]


def test_a_quiet_sender_is_asked_whether_it_is_there() -> None:
    """By the system, within a minute: else a feed whose firewall forgot it would hold its connection for good."""
    with listening() as (listener, address), Caller(address) as caller:
        assert caller.send(message(1)).value("MSA-1") == "AA"
        assert listener.connections == 1
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (own,) = [row for row in rows if int(row[1].partition(":")[2], 16) == address[1] and row[3] == "01"]
        timer, _, left = own[5].partition(":")
        assert timer == "02", "keep-alive"
        assert int(left, 16) <= 60 * os.sysconf("SC_CLK_TCK")


def test_who_is_not_known_is_hung_up_on() -> None:
    known: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener([sock], taken, admits=lambda address: address in known)
        listener.start()
        with Caller(sock.getsockname()) as caller, pytest.raises(ReceiverLost):
            caller.send(message(1))
        known.append("127.0.0.1")
        with Caller(sock.getsockname()) as caller:
            assert caller.send(message(2)).value("MSA-1") == "AA"
        assert listener.stop()


def test_what_is_too_long_may_be_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener([sock], taken, Limits(longest=1000), too_long=lambda data, _: taken(data.split(b"x")[0]))
        listener.start()
        with Caller(sock.getsockname()) as caller:
            assert caller.send(message(7, "x" * 2000)).value("MSA-2") == "M7"
            with pytest.raises(ReceiverLost):
                caller.send(message(8))
        assert listener.stop()


def test_a_sender_that_hangs_up_keeps_nothing_from_its_end() -> None:
    """Answers are asked for to the last, though nobody hears them."""
    gone, ended = threading.Event(), threading.Event()

    def handle(data: bytes, _address: object) -> Iterator[bytes]:
        assert gone.wait(60)
        for _ in range(50):
            yield taken(data)[0] * 1000
        ended.set()

    with listening(handle) as (_, address):
        with socket.create_connection(address) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sender.sendall(framed(message(1)))
        gone.set()
        assert ended.wait(60)


def test_stopping_answers_what_has_come() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handle(data: bytes, _address: object) -> list[bytes]:
        begun.set()
        go_on.wait(60)
        return taken(data)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener([sock], handle)
        listener.start()
        with Caller(sock.getsockname()) as caller:
            answers: list[str] = []
            sending = threading.Thread(target=lambda: answers.append(caller.send(message(1)).value("MSA-1")))
            sending.start()
            begun.wait(60)
            stopping = threading.Thread(target=listener.stop, args=(60,))
            stopping.start()
            go_on.set()
            stopping.join()
            sending.join()
        assert answers == ["AA"]


@pytest.mark.parametrize("said", [b"", b"\x0bno HL7\x1c\r", b"\x0bMSH|^~\\&|A\rMSA|AA|M"])
def test_a_receiver_that_says_nothing_sensible(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answer() -> None:
            connection, _ = sock.accept()
            with connection, suppress(OSError):  # the caller may leave first
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with Caller(sock.getsockname()) as caller, pytest.raises(ReceiverLost):
            caller.send(message(1))
        thread.join()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    with pytest.raises(ReceiverUnreachable, match="no connection"):
        Caller(address)
