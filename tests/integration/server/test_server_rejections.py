"""Every association rejection of the catalogue, as a whole server answers it on the wire."""

import csv
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from integration.server.conftest import until
from isocenter.dimse.pdu import AssociateAccept, AssociateReject, AssociateRequest, Pdu, ReleaseRequest, encode
from material import REQUIREMENTS
from scripted_peer import VERIFICATION, ScriptedPeer, request

WORKLIST = "1.2.840.10008.5.1.4.32"
"""The general purpose one, which is retired: no AE offers it."""
ASKED = request(VERIFICATION, called="ISOCENTER")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One known peer, one association to each AE at once, and no association without a context."""
    from integration.server.conftest import Running

    running = Running(
        tmp_path_factory.mktemp("rejecting") / "data",
        ISOCENTER_DICOM_POLICY="known-peers",
        ISOCENTER_PEER='[{"title": "SCRIPT", "addresses": ["127.0.0.0/8"]}, {"title": "FAR", "host": "192.0.2.1"}]',
        ISOCENTER_AE='[{"title": "ISOCENTER", "reject_empty": true}, {"title": "SMALL", "associations": 1}]',
    ).ready()
    yield running
    running.stop()


def answer(port: int, *sent: Pdu | bytes) -> Pdu | None:
    with ScriptedPeer.call(port) as peer:
        peer.send(*sent)
        return peer.pdu()


def over_the_limit(port: int) -> Pdu | None:
    asked = replace(ASKED, called="SMALL")
    with ScriptedPeer.call(port) as first:
        first.associate(asked)
        rejected = answer(port, asked)
        first.send(ReleaseRequest())
        first.pdu()
    # the place is free again
    until(lambda: isinstance(answer(port, asked), AssociateAccept))
    return rejected


def cut_short(port: int) -> Pdu | None:
    body = encode(ASKED)[6:60]
    return answer(port, b"\x01\0" + struct.pack(">I", len(body)) + body)


WHEN: dict[str, Callable[[int], Pdu | None]] = {
    "configured maximum of simultaneous associations reached; may succeed later": over_the_limit,
    "unsupported application context": lambda port: answer(port, replace(ASKED, application_context="1.2.3")),
    "unknown called AE Title": lambda port: answer(port, replace(ASKED, called="NOBODY")),
    "called AE Title differs from the shared title": lambda port: answer(port, replace(ASKED, called="NOBODY")),
    "unknown calling AE Title": lambda port: answer(port, replace(ASKED, calling="NOBODY")),
    "request could not be parsed": cut_short,
    "no proposed presentation context is acceptable": lambda port: answer(port, request(WORKLIST, called="ISOCENTER")),
}
ELSEWHERE = {
    # needs a process that drains: test_dimse_failure_rows
    "higher-priority real-time work or lack of resources (memory, processes, threads); may succeed later",
}


def rows() -> list[dict[str, str]]:
    with (REQUIREMENTS / "ps32_association_rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_played() -> None:
    assert {row["when"] for row in rows()} == set(WHEN) | ELSEWHERE


@pytest.mark.req(
    "X-COM-01", "X-COM-04", "X-QR-21", "X-QR-41", "X-QR-80", "X-VIEW-01", "M-ASSOC-04", "M-ASSOC-08", "P-ASSOC-01",
    "P-ASSOC-06", "I-ASSOC-32",
)  # fmt: skip
@pytest.mark.parametrize("row", [row for row in rows() if row["when"] not in ELSEWHERE], ids=lambda row: row["when"])
def test_a_rejection_of_the_catalogue(server: Any, row: dict[str, str]) -> None:
    got = WHEN[row["when"]](server.ports["dicom_port"])
    assert isinstance(got, AssociateReject)
    if row["reason_diag"]:
        expected = [int(row[name].split()[0]) for name in ("result", "source", "reason_diag")]
        assert [got.result, got.source, got.reason] == expected


@pytest.mark.req("M-SEC-05", "X-QR-80")
def test_a_known_title_from_elsewhere_is_as_unknown_as_any(server: Any) -> None:
    far: AssociateRequest = replace(ASKED, calling="FAR")
    assert answer(server.ports["dicom_port"], far) == AssociateReject(1, 1, 3)
    assert '"meaning": "permanently, by the user: calling AE title not recognized"' in server.output()
