"""Strangers on the DICOM port: probes, garbage, idlers, peers that read nothing. Memory is flat, others are served."""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from faults.contents import check
from isocenter.dicom import uids
from isocenter.dimse import RejectedTransiently, commands
from isocenter.dimse.pdu import Abort, ReleaseReply, ReleaseRequest, encode
from scripted_peer import CT, ScriptedPeer, data, message, request
from senders import CALLED, Book, connect, echo, sample, send
from servers import Server, until

PROBES, MALFORMED = 10_000, 1_000
THREADS = 4
FLAT = 1.3
"""Ratio of the memory after to the memory before, both after a warm-up."""
_ABORTIVE = struct.pack("ii", 1, 0)


# --- probes


def probe(port: int, chance: random.Random) -> None:
    """What port scanners and load balancers do: connect, perhaps say something, and go, politely or not."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        with contextlib.suppress(OSError):  # the server may hang up first
            sock.sendall(chance.choice((b"", b"", b"\x01", b"\x01\x00\x00\x00\x00\xff", b"\r\n")))
        if chance.random() < 0.9:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)


# --- malformed associations

Attack = Callable[[random.Random], bytes]
ASKED = encode(request(CT, uids.VERIFICATION, called=CALLED))


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 2000))


def http(chance: random.Random) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * chance.randint(0, 50) + b"\r\n"


def tls(chance: random.Random) -> bytes:
    body = chance.randbytes(200)
    return b"\x16\x03\x01" + struct.pack(">H", len(body)) + body


def truncated(chance: random.Random) -> bytes:
    return ASKED[: chance.randrange(len(ASKED))]


def huge(chance: random.Random) -> bytes:
    length = chance.choice((0xFFFFFFFF, 0x7FFFFFFF, 1 << 24, (1 << 20) + 1))
    return struct.pack(">BxI", chance.choice((1, 2, 3, 4, 5, 7)), length) + noise(chance)


def misplaced(chance: random.Random) -> bytes:
    kind = chance.choice((0, 2, 3, 4, 5, 6, 7, 8, 0x80, 0xFF))
    body = chance.randbytes(chance.choice((0, 4, 4, 68)))
    return struct.pack(">BxI", kind, len(body)) + body


def mutated(chance: random.Random) -> bytes:
    asked, bytes_ = bytearray(ASKED), (0, 1, 0x10, 0x20, 0x50, 0x7F, 0xFF, chance.randrange(256))
    for _ in range(chance.randint(1, 12)):
        asked[chance.randrange(6, len(asked))] = chance.choice(bytes_)
    return bytes(asked)


def wrong_fragments(chance: random.Random) -> bytes:
    length = chance.choice((0, 1, 2, 5, 4000, 0xFFFFFFFF))
    body = struct.pack(">I", length) + chance.randbytes(chance.randint(0, 40))
    return ASKED + struct.pack(">BxI", 4, len(body)) + body


def wrong_command(chance: random.Random) -> bytes:
    return ASKED + data(chance.choice((1, 3, 5, 255)), chance.choice((0, 1, 2, 3, 7)), noise(chance))


def wrong_message(chance: random.Random) -> bytes:
    command = commands.store_rq(CT, chance.choice(("", "1.2.3", "x" * 200)))
    command[commands.COMMAND_FIELD] = chance.choice((0x0001, 0x0020, 0x8001, 0x0130, 0xFFFF))
    return ASKED + message(chance.choice((1, 3, 9)), command, noise(chance))


def beyond_the_end(chance: random.Random) -> bytes:
    end = encode(chance.choice((Abort(0, 0), ReleaseRequest(), ReleaseReply())))
    return ASKED * chance.randint(0, 1) + end + chance.choice((noise, misplaced, wrong_fragments))(chance)


def half_an_object(chance: random.Random) -> bytes:
    each = sample(chance.randrange(1000), run=990)
    whole = message(1, commands.store_rq(CT, each.instance), each.data)
    return ASKED + whole[: chance.randrange(len(whole))]


ATTACKS: tuple[Attack, ...] = (
    *(noise, http, tls, truncated, huge, misplaced),
    *(mutated, wrong_fragments, wrong_command, wrong_message, beyond_the_end, half_an_object),
)


def attack(port: int, chance: random.Random) -> None:
    """Play one; whatever the server makes of it, it ends the connection when there is no more to come."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(chance.choice(ATTACKS)(chance))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def all_at(server: Server, play: Callable[[int, random.Random], None], n: int, seed: int) -> None:
    """Play it `n` times from a few threads."""
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        chance = random.Random(f"{seed}.{thread}")
        try:
            for _ in range(n // THREADS):
                play(server.dicom_port, chance)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if failures:
        raise failures[0]


def at_rest(server: Server) -> None:
    """Wait until the server has let go of every connection."""
    pids = set(server.pids("dicom"))
    until(lambda: server.metric("isocenter_associations_open") == 0, told="associations end")

    def idle() -> bool:
        processes = [process for process in server.processes() if process.pid in pids]
        return not any(
            connection.status == "ESTABLISHED" and connection.laddr.port == server.dicom_port
            for process in processes
            for connection in process.net_connections("tcp")
        )

    until(idle, told="connections end")


def served(server: Server, book: Book, number: int) -> None:
    """It still stores and gives back."""
    assert echo(server.dicom_port) == 0
    send(server.dicom_port, book, [sample(n, run=number) for n in range(5)])
    check(server, book)


def hold_out(server: Server, book: Book, probes: int, malformed: int) -> None:
    """Warm up, attack, and compare."""
    pids = [process.pid for process in server.processes()]
    for turn, share in enumerate((20, 1)):
        all_at(server, probe, probes // share, seed=turn)
        all_at(server, attack, malformed // share, seed=10 + turn)
        at_rest(server)
        served(server, book, 980 + turn)
        if share > 1:
            before, held = server.memory(), _held(server)
    assert server.memory() < FLAT * before
    assert _held(server) <= 1.2 * held, "threads or descriptors are left"
    assert [process.pid for process in server.processes()] == pids, "a process died"
    assert not list(server.events("process.died"))


def _held(server: Server) -> int:
    """Threads and descriptors of all processes. Some start or open with use, so that a few more mean nothing."""
    return sum(process.num_threads() + process.num_fds() for process in server.processes())


@pytest.mark.req("I-ASSOC-32")
def test_probes_and_garbage_cost_nothing(server: Server, book: Book) -> None:
    hold_out(server, book, PROBES, MALFORMED)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_soak_probes_and_garbage(server: Server, book: Book) -> None:
    hold_out(server, book, 20 * PROBES, 20 * MALFORMED)


# --- idlers


@contextlib.contextmanager
def idlers(server: Server, n: int) -> Iterator[list[ScriptedPeer]]:
    """So many associations that say nothing."""
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(n):
            peer = stack.enter_context(ScriptedPeer.call(server.dicom_port))
            peer.associate(request(called=CALLED))
            peers.append(peer)
        yield peers


@pytest.mark.req("I-ASSOC-32")
def test_among_200_idle_associations_another_is_served(make_server: Callable[..., Server], book: Book) -> None:
    server = make_server(settings={"limits__associations": 201}).start()
    at_rest_memory = server.memory()
    with idlers(server, 200):
        assert server.metric("isocenter_associations_open") == 200
        assert server.memory() < at_rest_memory + 200 * 200_000, "an idle association holds no slab"
        with connect(server.dicom_port) as association:
            assert association.echo() == 0
            with pytest.raises(RejectedTransiently):
                connect(server.dicom_port)
        until(lambda: server.metric("isocenter_associations_open") == 200, told="the association ends")
        send(server.dicom_port, book, [sample(n, run=982) for n in range(20)])
    assert len(book.acknowledged) == 20
    at_rest(server)
    check(server, book)


def test_peers_that_read_nothing_hold_up_nobody(make_server: Callable[..., Server], book: Book) -> None:
    """They ask for much and never read the answers."""
    server = make_server().start()
    send(server.dicom_port, book, [sample(n, run=983, pixels=b"\1\2" * 200_000) for n in range(30)])
    study = sample(0, run=983).study
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            peer = stack.enter_context(ScriptedPeer.call(server.dicom_port))
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asked = request(uids.STUDY_ROOT_FIND, CT, called=CALLED)
            peer.associate(asked)
            identifier = _identifier(study)
            for number in range(1, 400):
                peer.send(message(1, commands.find_rq(uids.STUDY_ROOT_FIND), identifier, message_id=number))
                if number % 100 == 0:
                    assert echo(server.dicom_port) == 0
        check(server, book)
        send(server.dicom_port, book, [sample(n, run=984) for n in range(10)])
        check(server, book)
    at_rest(server)


def _identifier(study: str) -> bytes:
    from isocenter.dicom.dataset import encode as encoded
    from isocenter.dicom.dataset import text, uid

    keys = {0x00080052: text("CS", "SERIES"), 0x0020000D: uid(study), 0x0020000E: uid(""), 0x0008103E: text("LO", "")}
    return encoded(keys, uids.IMPLICIT_LE)
