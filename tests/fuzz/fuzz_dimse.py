"""Fuzz targets of the network engine: PDU streams, association PDUs and command sets.

Each target takes bytes and raises only where the engine is wrong.

    PYTHONPATH=tests .venv/bin/python tests/fuzz/fuzz_dimse.py [seconds]     pieces of PDUs and of command sets, damaged

`make test` runs the targets under Hypothesis for a moment.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from fuzz.loop import run, seconds_asked
from isocenter.dimse import commands
from isocenter.dimse.inbox import Assembler
from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    Data,
    MalformedPdu,
    ReleaseRequest,
    Role,
    UserInformation,
    encode,
)
from isocenter.dimse.pdu_reading import decode
from isocenter.dimse.slabs import SLAB, Slabs
from isocenter.dimse.upper_layer import Fragments, UpperLayer

_SYNTAX = "1.2.840.10008.1.2"
_REQUEST = AssociateRequest("A", "B", (ContextProposal(1, "1.2.840.10008.1.1", (_SYNTAX,)),))
_ACCEPT = AssociateAccept((ContextResult(1, 0, _SYNTAX),))


def _layer(requestor: bool, established: bool) -> UpperLayer:
    layer = UpperLayer(requestor=requestor, max_pdu=4096, slabs=Slabs())
    if requestor:
        layer.send(_REQUEST)
        layer.connected()
    else:
        layer.accepted()
    if established:
        _feed(layer, encode(_ACCEPT if requestor else _REQUEST))
        if not requestor:
            layer.send(_ACCEPT)
    return layer


def _feed(layer: UpperLayer, data: bytes) -> list[object]:
    buffer = layer.receive_buffer()
    assert 0 < len(buffer) <= SLAB
    n = min(len(buffer), len(data))
    buffer[:n] = data[:n]
    return list(layer.buffer_updated(n))


def stream(data: bytes) -> None:
    """Any bytes, cut anywhere, to either side, before and after the association: no exception, bounded answers."""
    if len(data) < 2:
        return
    layer = _layer(bool(data[0] & 1), bool(data[0] & 2))
    step = data[1] + 1
    assembler = Assembler(frozenset((1,)), 1 << 16)
    sent = 0
    for at in range(2, len(data), step):
        if layer.close_transport:
            break
        for event in _feed(layer, data[at : at + step]):
            if isinstance(event, Fragments):
                try:
                    assembler.feed(event)
                except MalformedPdu:
                    return
        sent += sum(map(len, layer.output))
        layer.output.clear()
    assert sent <= 10 * len(data) + 10


def association_pdu(data: bytes) -> None:
    """What can be read can be written, and reads the same again."""
    if not data:
        return
    kind = data[0] % 7 + 1
    try:
        pdu = decode(kind, data[1:])
        wire = encode(pdu)
    except (MalformedPdu, UnicodeEncodeError):
        return
    assert decode(kind, wire[6:]) == pdu


def command_set(data: bytes) -> None:
    """What can be read can be written, and reads the same again."""
    try:
        command = commands.decode(data)
    except commands.MalformedCommand:
        return
    known = {tag: value for tag, value in command.items() if not isinstance(value, bytes) and value != ""}
    ascii_only = all(not isinstance(value, str) or value.isascii() for value in known.values())
    if ascii_only:
        assert commands.decode(commands.encode(known)) == known


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stream": stream,
    "association_pdu": association_pdu,
    "command_set": command_set,
}
CHECKS = tuple(TARGETS.values())

_USER = UserInformation(max_pdu=4096, window=(0, 3), roles={"1.2": Role(True, True)}, extended={"1.2": b"\1\0\1"})
_PIECES = (
    *map(encode, (_REQUEST, _ACCEPT, ReleaseRequest(), Abort(0, 0), AssociateReject(1, 1, 1))),
    encode(AssociateRequest("A", "B", (ContextProposal(1, "1.2", ("1.3", _SYNTAX)),) * 3, _USER)),
    encode(Data(((1, 3, commands.encode(commands.echo_rq())),))),
    encode(Data(((1, 1, b"\0\0\0\1"), (1, 2, b"\2\0\0\0"), (3, 0, b"")))),
    encode(Data(((1, 2, bytes(3000)),))),
)
_COMMANDS = (
    *(commands.encode(one) for one in (commands.echo_rq(), commands.store_rq("1.2", "1.3"), commands.cancel_rq(7))),
    commands.encode(commands.n_get_rq("1.2", "1.3", [0x00100010, 0x00100020])),
)
_WORDS = (
    *(b"\0", b"\1", b"\xff", b"\0\0", b"\xff\xff\xff\xff"),
    *(b"\x10\0", b"\x50\0", b"\x20\0\0\1", b"\0\0\x10\1\2\0\0\0"),
)


class Made(NamedTuple):
    """What one run is fed with: two bytes that say how and PDUs in a row, the inside of one PDU, a command set."""

    stream: bytes
    association_pdu: bytes
    command_set: bytes


def made(chance: random.Random) -> Made:
    """Whole PDUs and command sets, damaged in some places."""
    pdus = _damaged(chance, _PIECES)
    return Made(chance.randbytes(2) + pdus, bytes([pdus[0] - 1 & 0xFF]) + pdus[6:], _damaged(chance, _COMMANDS))


def _damaged(chance: random.Random, pieces: tuple[bytes, ...]) -> bytes:
    data = bytearray(b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 5))))
    for _ in range(chance.randrange(8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at : at + chance.randint(1, 12)] = b""
            case 2:
                data[at:at] = chance.choice(_WORDS)
            case 3:
                data[at : at + 4] = chance.choice(_WORDS)
    return bytes(data) or b"\0"


def check(one: Made) -> None:
    """Each target with its part."""
    for name, data in one._asdict().items():
        TARGETS[name](data)


def main(seconds: float) -> None:
    """Run the targets over damaged input for so long."""
    run(seconds, made, check)


if __name__ == "__main__":
    main(seconds_asked())
