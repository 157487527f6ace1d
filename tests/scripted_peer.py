"""A peer that plays bytes: connects or listens, sends what the test says, and reads PDUs back.

It knows nothing of states, so that it can do what no decent implementation does.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from isocenter.dimse import commands
from isocenter.dimse.pdu import (
    PLAIN,
    Abort,
    AssociateAccept,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    Data,
    Pdu,
    UserInformation,
    encode,
)
from isocenter.dimse.pdu_reading import decode

IMPLICIT = "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
TIMEOUT = 20.0


def request(
    *abstracts: str, called: str = "ACCEPTOR", user: UserInformation = PLAIN, syntaxes: tuple[str, ...] = (IMPLICIT,)
) -> AssociateRequest:
    """A-ASSOCIATE-RQ for the abstract syntaxes, ids 1, 3, 5, ..."""
    contexts = tuple(ContextProposal(2 * i + 1, uid, syntaxes) for i, uid in enumerate(abstracts or (VERIFICATION,)))
    return AssociateRequest(called, "SCRIPT", contexts, user)


def acceptance(asked: AssociateRequest, *, user: UserInformation = PLAIN) -> AssociateAccept:
    """A-ASSOCIATE-AC that takes every context in its first syntax."""
    return AssociateAccept(tuple(ContextResult(c.id, 0, c.syntaxes[0]) for c in asked.contexts), user)


def data(context_id: int, control: int, value: bytes) -> bytes:
    """One P-DATA-TF with one value. Control: 1 command, 2 last."""
    return encode(Data(((context_id, control, value),)))


def message(context_id: int, command: commands.Command, value: bytes | None = None, *, message_id: int = 1) -> bytes:
    """A request or response, in one PDU for the command and one for the data set."""
    command[commands.DATA_SET_TYPE] = commands.NO_DATA if value is None else 0x0102
    if not commands.number(command, commands.COMMAND_FIELD) & commands.RESPONSE:
        command.setdefault(commands.MESSAGE_ID, message_id)
    head = data(context_id, 3, commands.encode(command))
    return head if value is None else head + data(context_id, 2, value)


class ScriptedPeer:
    """One connection of the script."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def call(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        return cls(socket.create_connection(("127.0.0.1", port), TIMEOUT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *things: bytes | Pdu) -> None:
        """Send bytes and PDUs in one go."""
        self.sock.sendall(b"".join(thing if isinstance(thing, bytes) else encode(thing) for thing in things))

    def pdu(self) -> Pdu | None:
        """The next PDU; None at the end of the connection."""
        header = self._exactly(6)
        if header is None:
            return None
        kind, length = struct.unpack(">BxI", header)
        body = self._exactly(length)
        return None if body is None else decode(kind, body)

    def _exactly(self, n: int) -> bytes | None:
        got = b""
        while len(got) < n:
            try:
                piece = self.sock.recv(n - len(got))
            except ConnectionError:
                return None
            if not piece:
                return None
            got += piece
        return got

    def associate(self, asked: AssociateRequest | None = None) -> AssociateAccept:
        """Ask for an association and expect that it is accepted."""
        self.send(asked or request())
        answer = self.pdu()
        assert isinstance(answer, AssociateAccept), answer
        return answer

    def message(self) -> tuple[int, commands.Command, bytes | None]:
        """The next whole message: context id, command set, data set."""
        context_id, command = self._part(command=True)
        decoded = commands.decode(command)
        return context_id, decoded, self._part(command=False)[1] if commands.has_data(decoded) else None

    def _part(self, *, command: bool) -> tuple[int, bytes]:
        got = b""
        while True:
            pdu = self.pdu()
            assert isinstance(pdu, Data), pdu
            for context_id, control, value in pdu.values:
                assert bool(control & 1) is command
                got += value
                if control & 2:
                    return context_id, got

    def aborted(self) -> Abort | None:
        """Read to the end of the connection; the A-ABORT on the way, if any."""
        found = None
        while (pdu := self.pdu()) is not None:
            found = pdu if isinstance(pdu, Abort) else found
        return found


@contextlib.contextmanager
def listening(script: Callable[[ScriptedPeer], None], *, connections: int = 1) -> Iterator[int]:
    """Play `script` to each of the next connections; the port. Its failure is the test's failure."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=_play, args=(listener, script, connections, failures))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "the script hangs"
    if failures:
        raise failures[0]


def _play(
    listener: socket.socket, script: Callable[[ScriptedPeer], None], connections: int, failures: list[BaseException]
) -> None:
    try:
        for _ in range(connections):
            sock, _address = listener.accept()
            with ScriptedPeer(sock) as peer:
                script(peer)
    except BaseException as failure:
        failures.append(failure)


def accepting(then: Callable[[ScriptedPeer], None], *, user: UserInformation = PLAIN) -> Callable[[ScriptedPeer], None]:
    """A script that accepts the association, plays `then`, and answers a release."""

    def script(peer: ScriptedPeer) -> None:
        asked = peer.pdu()
        assert isinstance(asked, AssociateRequest)
        peer.send(acceptance(asked, user=user))
        then(peer)

    return script


def chunks(value: bytes, n: int) -> Iterable[bytes]:
    """`value` in pieces of `n`."""
    return (value[at : at + n] for at in range(0, len(value), n))
