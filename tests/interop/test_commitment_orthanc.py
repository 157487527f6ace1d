"""Storage commitment between the whole server and Orthanc, asked by either side."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from archives import CT, made, unused_port
from isocenter import dimse
from isocenter.config import Peer
from isocenter.dicom.part10 import file_header
from isocenter.dimse import ProposedContext
from peer_programs import Orthanc, configured, needs, orthanc, run
from servers import Server, isocenter, until

pytestmark = needs("Orthanc")
OBJECTS = [made(number) for number in range(1, 4)]


class Both(NamedTuple):
    """The two archives, which know each other."""

    server: Server
    orthanc: Orthanc

    def send(self, port: int, title: str, *objects: Any) -> None:
        """C-STORE to one of them."""
        with dimse.connect(
            ("127.0.0.1", port), calling="SENDER", called=title, contexts=[ProposedContext(CT, (OBJECTS[0].syntax,))]
        ) as association:
            (context,) = association.contexts.values()
            for each in objects:
                command = dimse.commands.store_rq(each.sop_class, each.sop_uid)
                assert association.invoke(context.id, command, each.data).status == 0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder, port = tmp_path_factory.mktemp("commitment"), unused_port()
    data = configured(folder / "data", Peer(title="ORTHANC", host="127.0.0.1", port=port))
    with ExitStack() as stack:
        server = stack.enter_context(Server(data))
        ours = {"AET": "ISOCENTER", "Host": "127.0.0.1", "Port": server.dicom_port, "AllowStorageCommitment": True}
        peer = stack.enter_context(orthanc(folder / "orthanc", {"isocenter": ours}, dicom_port=port))
        found = Both(server, peer)
        found.send(server.dicom_port, "ISOCENTER", *OBJECTS[:2])
        found.send(port, "ORTHANC", *OBJECTS[:2])
        yield found


@pytest.mark.req("I-COMMIT-01", "I-COMMIT-03", "I-COMMIT-04")
def test_orthanc_asks_us(both: Both) -> None:
    named = [[each.sop_class, each.sop_uid] for each in OBJECTS]
    asked = both.orthanc.post("/modalities/isocenter/storage-commitment", {"DicomInstances": named})

    def told() -> Any:
        said = both.orthanc.get(asked["Path"])
        return said if said["Status"] != "Pending" else None

    said = until(told, told="Orthanc has the report")
    assert said["Status"] == "Failure"
    assert {each["SOPInstanceUID"] for each in said["Success"]} == {each.sop_uid for each in OBJECTS[:2]}
    (failure,) = said["Failures"]
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (OBJECTS[2].sop_uid, 0x0112)
    assert said["RemoteAET"] == "ISOCENTER"


@pytest.mark.req("I-COMMIT-10", "I-COMMIT-12")
def test_we_ask_orthanc(both: Both, tmp_path: Path) -> None:
    for each in OBJECTS:
        head = file_header(each.sop_class, each.sop_uid, each.syntax)
        (tmp_path / f"{each.sop_uid}.dcm").write_bytes(head + each.data)
    data = ("--data", both.server.data)
    first = run(*isocenter("commit", "request", "ORTHANC", "--study", OBJECTS[0].study, *data), ok=False)
    assert (first.returncode, "committed" in first.stdout) == (0, True), first
    second = run(*isocenter("commit", "request", "ORTHANC", tmp_path, *data), ok=False)
    assert (second.returncode, "failed: 1 no such object instance" in second.stdout) == (1, True), second
    number = second.stdout.split()[0]
    shown = run(*isocenter("commit", "show", number, *data)).stdout
    assert shown.count("  committed\n") == 2
    assert f"{OBJECTS[2].sop_uid}  not committed: no such object instance (0112)" in shown
