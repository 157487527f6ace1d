"""What follows the PDU that ends an association, in the same piece, belongs to nobody (found by fuzzing)."""

import pytest

from isocenter.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextProposal,
    ContextResult,
    Data,
    Pdu,
    ReleaseReply,
    ReleaseRequest,
    encode,
)
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.upper_layer import UpperLayer

SYNTAX = "1.2.840.10008.1.2"
REQUEST = AssociateRequest("A", "B", (ContextProposal(1, "1.2.840.10008.1.1", (SYNTAX,)),))
ACCEPT = AssociateAccept((ContextResult(1, 0, SYNTAX),))
BEYOND = (Data(((1, 3, b"\0\0"),)), ReleaseRequest(), Abort(0, 0), ACCEPT)


def feed(layer: UpperLayer, *pdus: Pdu) -> int:
    data = b"".join(map(encode, pdus))
    layer.receive_buffer()[: len(data)] = data
    return len(layer.buffer_updated(len(data)))


@pytest.mark.parametrize("beyond", BEYOND, ids=lambda pdu: type(pdu).__name__)
def test_after_a_rejection(beyond: Pdu) -> None:
    layer = UpperLayer(requestor=True, max_pdu=4096, slabs=Slabs())
    layer.send(REQUEST)
    layer.connected()
    assert feed(layer, AssociateReject(1, 1, 1), beyond) == 1
    assert layer.close_transport
    assert not layer.receiving


@pytest.mark.parametrize("beyond", BEYOND, ids=lambda pdu: type(pdu).__name__)
def test_after_a_release_reply(beyond: Pdu) -> None:
    layer = UpperLayer(requestor=True, max_pdu=4096, slabs=Slabs())
    layer.send(REQUEST)
    layer.connected()
    feed(layer, ACCEPT)
    layer.send(ReleaseRequest())
    assert feed(layer, ReleaseReply(), beyond) == 1
    assert layer.close_transport


@pytest.mark.parametrize("beyond", BEYOND, ids=lambda pdu: type(pdu).__name__)
def test_after_an_abort(beyond: Pdu) -> None:
    layer = UpperLayer(requestor=False, max_pdu=4096, slabs=Slabs())
    layer.accepted()
    feed(layer, REQUEST)
    layer.send(ACCEPT)
    assert feed(layer, Abort(0, 0), beyond) == 1
    assert layer.close_transport
