"""Protocol machines in given states, for the tests beside this module."""

from isocenter.dimse.pdu import AssociateAccept, AssociateRequest, ContextProposal, ContextResult, encode
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.upper_layer import UpperLayer

CONTEXTS = tuple(ContextProposal(i, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)) for i in (1, 3))
RQ = AssociateRequest("A", "B", CONTEXTS)
AC = AssociateAccept(tuple(ContextResult(c.id, 0, "1.2.840.10008.1.2") for c in CONTEXTS))


def feed(layer: UpperLayer, data: bytes) -> list[object]:
    """Let the layer receive, as a driver does. Only the views of the last round stay valid."""
    events: list[object] = []
    while data:
        buffer = layer.receive_buffer()
        n = min(len(buffer), len(data))
        buffer[:n] = data[:n]
        data = data[n:]
        events += layer.buffer_updated(n)
    return events


def established(*, requestor: bool = False, max_pdu: int = 65536, slabs: Slabs | None = None) -> UpperLayer:
    """A layer in the state ESTABLISHED."""
    layer = UpperLayer(requestor=requestor, max_pdu=max_pdu, slabs=slabs or Slabs())
    if requestor:
        layer.send(RQ)
        layer.connected()
        feed(layer, encode(AC))
    else:
        layer.accepted()
        feed(layer, encode(RQ))
        layer.send(AC)
    return layer
