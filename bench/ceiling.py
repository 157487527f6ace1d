"""What a receiving client can take at most: it is fed with messages made beforehand, by somebody who does nothing else.

`feed` stands in for an archive that sends to a storage SCP (C-MOVE), `NullArchive` for one that answers a C-GET.
"""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from isocenter.dicom import part10, uids
from isocenter.dimse import ProposedContext, Settings, commands
from isocenter.dimse.negotiation import Offer, accept, accepted_contexts, propose
from isocenter.dimse.outbound import command_pdus, data_pdus, fragment_size
from isocenter.dimse.pdu import AssociateAccept, AssociateRequest, ReleaseReply, ReleaseRequest, encode
from isocenter.dimse.pdu_reading import decode

DISTINCT = 40
"""Objects that take turns, so that the sender reads memory as a sender of files would."""
_SETTINGS = Settings(max_pdu=1 << 17)


class Stored(NamedTuple):
    """An object to be sent."""

    sop_class: str
    sop_instance: str
    syntax: str
    data: bytes


def objects(folder: Path) -> list[Stored]:
    """The first few objects below a folder."""
    found = []
    for path in itertools.islice(sorted(folder.rglob("*.dcm")), DISTINCT):
        whole = path.read_bytes()
        header = part10.read_header(whole)
        found.append(Stored(header.sop_class, header.sop_instance, header.syntax, whole[header.offset :]))
    return found


def message(stored: Stored, context_id: int, size: int) -> bytes:
    """A C-STORE-RQ with its data set, as it goes over the wire in PDUs of `size`."""
    command = commands.store_rq(stored.sop_class, stored.sop_instance)
    command |= {commands.MESSAGE_ID: 1, commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
    return command_pdus(context_id, command, size) + data_pdus(context_id, stored.data, size)


def feed(port: int, title: str, stored: list[Stored], count: int) -> float:
    """Store `count` objects on the SCP `title`, one after the other; seconds between first byte and last response."""
    contexts = [ProposedContext(stored[0].sop_class, (stored[0].syntax,))]
    request = propose(contexts, calling="NULL", called=title, settings=_SETTINGS)
    with connected(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.sendall(encode(request))
        answer = decode(*read_pdu(sock))
        assert isinstance(answer, AssociateAccept)
        size = fragment_size(answer.user.max_pdu, _SETTINGS.max_pdu_sent)
        messages = itertools.cycle([message(one, 1, size) for one in stored])
        started = time.perf_counter()
        for _ in range(count):
            sock.sendall(next(messages))
            read_pdu(sock)
        elapsed = time.perf_counter() - started
        sock.sendall(encode(ReleaseRequest()))
        read_pdu(sock)
    return elapsed


class NullArchive:
    """Answers each C-GET with `count` objects, a pending response after each, whatever was asked for."""

    title = "NULL"

    def __init__(self, stored: list[Stored], count: int) -> None:
        self._stored, self._count = stored, count
        self._made: dict[tuple[int, int], list[bytes]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                with connected(self._listener.accept()[0]) as sock:
                    self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        request = decode(*read_pdu(sock))
        assert isinstance(request, AssociateRequest)
        first = self._stored[0]
        offers = {first.sop_class: Offer((first.syntax,), scp=True), uids.STUDY_ROOT_GET: Offer((uids.IMPLICIT_LE,))}
        answer = accept(request, offers.get, settings=_SETTINGS)
        ids = {context.abstract: id for id, context in accepted_contexts(request, answer, requestor=False).items()}
        sock.sendall(encode(answer))
        size = fragment_size(request.user.max_pdu, _SETTINGS.max_pdu_sent)
        messages = self._messages(ids[first.sop_class], size)
        for _ in range(2):
            read_pdu(sock)
        asked = {commands.COMMAND_FIELD: commands.C_GET_RQ, commands.MESSAGE_ID: 1}
        pending = b""
        for n in range(1, self._count + 1):
            sock.sendall(pending + next(messages))
            read_pdu(sock)
            counts = {"completed": n, "failed": 0, "warning": 0}
            told = commands.response(asked, commands.PENDING, remaining=self._count - n, **counts)
            pending = command_pdus(ids[uids.STUDY_ROOT_GET], told, size)
        final = commands.response(asked, commands.SUCCESS, **counts)
        sock.sendall(pending + command_pdus(ids[uids.STUDY_ROOT_GET], final, size))
        read_pdu(sock)
        sock.sendall(encode(ReleaseReply()))

    def _messages(self, context_id: int, size: int) -> Iterator[bytes]:
        """Made at the first association that asks for them: that one is to be thrown away."""
        made = self._made.get((context_id, size))
        if made is None:
            made = self._made[context_id, size] = [message(one, context_id, size) for one in self._stored]
        return itertools.cycle(made)


def connected(sock: socket.socket) -> socket.socket:
    """The socket, without the delays of Nagle's algorithm."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    """The type and the body of the next PDU."""
    kind, length = struct.unpack(">BxI", _exactly(sock, 6))
    return kind, _exactly(sock, length)


def _exactly(sock: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise ConnectionError("the peer has gone")
        data += more
    return data
