"""Fuzz targets of the network engine: PDU streams, association PDUs and command sets.

Each target takes bytes and raises only where the engine is wrong. Run with Atheris where it is installed
(`python tests/fuzz/fuzz_dimse.py [target] [libFuzzer options]`), otherwise with Hypothesis for as many examples as
ISOCENTER_FUZZ_EXAMPLES says (default 2000).
"""

import os
import sys
from collections.abc import Callable

from isocenter.dimse import commands
from isocenter.dimse.inbox import Assembler
from isocenter.dimse.pdu import (
    AssociateAccept,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    MalformedPdu,
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


def main() -> None:
    """Fuzz the named target, or all."""
    names = [sys.argv.pop(1)] if len(sys.argv) > 1 and sys.argv[1] in TARGETS else list(TARGETS)
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        from hypothesis import given, settings
        from hypothesis import strategies as st

        for name in names:
            examples = int(os.environ.get("ISOCENTER_FUZZ_EXAMPLES", "2000"))
            settings(max_examples=examples, deadline=None)(given(st.binary(max_size=2000))(TARGETS[name]))()
            print(f"{name}: {examples} examples")
        return
    atheris.instrument_all()
    atheris.Setup(sys.argv, TARGETS[names[0]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
