"""Against DCMTK's programs, in both roles."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from integration.dimse.dimse_services import CT, QUICK, Answering, Storing, serving
from isocenter import dimse
from isocenter.dimse import Association, BytesSource, Command, Context, ProposedContext, commands

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"DCMTK's {name} isn't installed")
    return path


def run(name: str, *arguments: str | Path | int) -> str:
    done = subprocess.run(
        [program(name), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr + done.stdout


@pytest.fixture(name="ct")
def fixture_ct() -> Path:
    return Path(str(get_testdata_file("CT_small.dcm")))


def implicit(**keys: str) -> bytes:
    """A data set in Implicit VR Little Endian."""
    dataset = Dataset()
    for key, value in keys.items():
        setattr(dataset, key, value)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_dataset(stream, dataset)
    return stream.getvalue()


def test_echoscu() -> None:
    with serving() as server:
        run("echoscu", "--repeat", 3, "-aec", "ANY", "127.0.0.1", server.port)
        run("echoscu", "--propose-ts", 3, "--propose-pc", 128, "127.0.0.1", server.port)
        run("echoscu", "--abort", "127.0.0.1", server.port)


def test_echoscu_hears_a_rejection() -> None:
    with serving(called="ARCHIVE") as server:
        done = subprocess.run(
            [program("echoscu"), "-aec", "OTHER", "127.0.0.1", str(server.port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode != 0
    assert "Called AE Title Not Recognized" in done.stderr + done.stdout


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072])
def test_storescu(ct: Path, max_pdu: int) -> None:
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}) as server:
        run("storescu", "--max-pdu", max_pdu, "--max-send-pdu", max_pdu, "--repeat", 3, "127.0.0.1", server.port, ct)
    reference = dcmread(ct)
    assert len(storing.stored) == 3
    for context, command, data in storing.stored:
        assert context.transfer_syntax == EXPLICIT
        assert command[commands.AFFECTED_SOP_INSTANCE] == reference.SOPInstanceUID
        assert data.endswith(reference.PixelData) or reference.PixelData in data


@contextlib.contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [program("storescp"), "-od", str(folder), *options, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        _until_open(port, process)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _until_open(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail("storescp didn't start")


@pytest.mark.parametrize("max_pdu", ["4096", "131072"])
def test_storing_into_storescp(tmp_path: Path, ct: Path, max_pdu: str) -> None:
    reference = dcmread(ct)
    raw = ct.read_bytes()
    body = raw[144 + int.from_bytes(raw[140:144], "little") :]
    contexts = [ProposedContext("1.2.840.10008.1.1", (IMPLICIT,)), ProposedContext(CT, (EXPLICIT,))]
    with (
        storescp(tmp_path, "-pdu", max_pdu, "+B") as port,
        dimse.connect(
            ("127.0.0.1", port), calling="US", called="ANY", contexts=contexts, settings=QUICK
        ) as association,
    ):
        assert association.echo() == 0
        assert association.peer_max_pdu == int(max_pdu)
        context = association.context_for(CT, EXPLICIT)
        assert association.store(context.id, CT, reference.SOPInstanceUID, BytesSource(body)) == 0
    (stored,) = tmp_path.iterdir()
    assert stored.read_bytes().endswith(body)


def test_findscu_and_its_cancel() -> None:
    match = implicit(QueryRetrieveLevel="STUDY", PatientID="X")
    sent: list[int] = []

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        assert data
        message_id = commands.number(command, commands.MESSAGE_ID)
        pending = commands.response(command, commands.PENDING)
        for _ in range(3000):
            if association.cancelled(message_id):
                association.respond(context.id, commands.response(command, commands.CANCELLED))
                return
            association.respond_many(context.id, [(pending, match)] * 5)
            sent.append(5)
        association.respond(context.id, commands.response(command, 0))

    implicit_only = lambda uid: dimse.Offer((IMPLICIT,))  # noqa: E731
    with serving({commands.C_FIND_RQ: Answering(answer)}, offer=implicit_only) as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID"]
        output = run("findscu", "-v", "-S", *keys, "--cancel", 7, "127.0.0.1", server.port)
    assert "Cancel" in output
    assert sum(sent) < 15000


def test_getscu_gives_us_the_role(tmp_path: Path, ct: Path) -> None:
    reference = dcmread(ct)
    raw = ct.read_bytes()
    body = raw[144 + int.from_bytes(raw[140:144], "little") :]

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        target = association.context_for(CT, EXPLICIT)
        assert association.store(target.id, CT, reference.SOPInstanceUID, BytesSource(body)) == 0
        association.respond(context.id, commands.response(command, 0, completed=1, failed=0, warning=0))

    with serving({commands.C_GET_RQ: Answering(answer)}) as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2"]
        run("getscu", "-S", "+B", "-od", tmp_path, *keys, "127.0.0.1", server.port)
    assert [path.read_bytes().endswith(body) for path in tmp_path.iterdir()] == [True]


def test_movescu_follows_the_progress() -> None:
    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        assert command[commands.MOVE_DESTINATION] == "DEST"
        for i in range(3):
            counts = {"remaining": 2 - i, "completed": i + 1, "failed": 0, "warning": 0}
            association.respond(context.id, commands.response(command, commands.PENDING, **counts))
        association.respond(context.id, commands.response(command, 0, completed=3, failed=0, warning=0))

    with serving({commands.C_MOVE_RQ: Answering(answer)}, offer=lambda uid: dimse.Offer(())) as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2"]
        output = run("movescu", "-v", "-S", "-aem", "DEST", *keys, "127.0.0.1", server.port)
    assert output.count("Move Response") >= 3 or "Pending" in output
