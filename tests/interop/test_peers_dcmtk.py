"""The whole server with DCMTK's programs: they send, find, and retrieve to themselves and to others."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom import dcmread

from archives import Destination, listening, unused_port
from isocenter.config import Peer
from isocenter.dicom import part10
from material import packaged_files
from peer_programs import background, configured, identifier, listens, needs, run, storescp
from servers import Server

pytestmark = needs("echoscu", "storescu", "dcmsend", "findscu", "getscu", "movescu", "storescp")

NAMES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "MR_small_bigendian.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "SC_rgb_rle.dcm",
)
STUDY = "1.2.826.0.1.3680043.10.999.41"
MOVER = unused_port()
"""Where movescu listens for what it asked for."""


class Sent:
    """A server with a study of native and compressed objects, sent with dcmsend."""

    def __init__(self, server: Server, destination: Destination, files: list[Path], ports: dict[str, int]) -> None:
        self.server, self.destination, self.files, self.ports = server, destination, files, ports
        self.digests = {each.sop_uid: hashlib.sha256(each.data).hexdigest() for each in destination.received}

    @property
    def address(self) -> tuple[str, str, str, str]:
        """How DCMTK's programs are told where it is."""
        return "-aec", "ISOCENTER", "127.0.0.1", str(self.server.dicom_port)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    folder = tmp_path_factory.mktemp("dcmtk")
    files = _study(folder / "study")
    destination = Destination()
    with ExitStack() as stack:
        stack.enter_context(listening(destination))
        mover = Peer(title="MOVESCU", host="127.0.0.1", port=MOVER)
        gone = Peer(title="GONE", host="127.0.0.1", port=unused_port())
        ports = {name: unused_port() for name in ("IMPLICIT", "ABORTING", "REFUSING")}
        peers = [Peer(title=title, host="127.0.0.1", port=port) for title, port in ports.items()]
        server = stack.enter_context(Server(configured(folder / "data", destination.peer, mover, gone, *peers)))
        address = ("-aec", "ISOCENTER", "127.0.0.1", server.dicom_port)
        run("dcmsend", "-v", "-nh", "-dn", "+sd", *address, folder / "study")
        run("movescu", "-S", "-aem", "DEST", *address, *identifier("STUDY", StudyInstanceUID=STUDY))
        found = Sent(server, destination, files, ports)
        assert len(found.digests) == len(files)
        yield found


def _study(folder: Path) -> list[Path]:
    """Copies of real files as one study of two series."""
    folder.mkdir()
    for number, path in enumerate(sorted(p for p in packaged_files() if p.name in NAMES)):
        made = dcmread(path)
        made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.{number % 2}"
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{number % 2}.{number}"
        made.PatientID, made.PatientName = "DCMTK1", "Peer^Dicom"
        made.save_as(folder / path.name)
    return sorted(folder.iterdir())


def digests(folder: Path) -> dict[str, str]:
    """SOP Instance UID and digest of the data set of each file that a program wrote."""
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        header = part10.read_header(content)
        found[header.sop_instance] = hashlib.sha256(content[header.offset :]).hexdigest()
    return found


def test_echoscu(sent: Sent) -> None:
    run("echoscu", "--repeat", 3, *sent.address)
    refused = run("echoscu", "-aec", "SOMEBODY", "127.0.0.1", sent.server.dicom_port, ok=False)
    assert refused.returncode != 0


@pytest.mark.req("I-STORE-05", "M-STORE-02")
def test_what_dcmsend_sent_is_what_leaves(sent: Sent) -> None:
    """dcmsend writes data sets anew, but pixels and syntaxes are those of the files."""
    received = {each.sop_uid: each for each in sent.destination.received}
    for path in sent.files:
        original = dcmread(path)
        each = received[str(original.SOPInstanceUID)]
        # native ones it may send in another native syntax
        assert each.sop_uid in native(sent) or each.syntax == original.file_meta.TransferSyntaxUID
        header = part10.file_header(str(original.SOPClassUID), each.sop_uid, each.syntax)
        target = path.parent.parent / "again.dcm"
        target.write_bytes(header + each.data)
        again = dcmread(target)
        assert again.PixelData == original.PixelData or path.name == "MR_small_bigendian.dcm"
        assert again.PatientName == "Peer^Dicom"


@pytest.mark.parametrize("options", [("-R",), ("-xw",), ("-R", "-xr"), ("-xi",), ("-xb",), ("-xd",), ("+C",)])
def test_storescu(sent: Sent, tmp_path: Path, options: tuple[str, ...]) -> None:
    name = {"-xw": "JPEG2000.dcm", "-xr": "SC_rgb_rle.dcm"}.get(options[-1], "CT_small.dcm")
    file = next(path for path in sent.files if path.name == name)
    said = run("storescu", "-v", *options, "+IS", 1, *sent.address, file)
    assert "Received Store Response (Success)" in said.stdout + said.stderr


@pytest.mark.parametrize("flag", ["-P", "-S", "-O"])
def test_findscu(sent: Sent, tmp_path: Path, flag: str) -> None:
    asked = identifier("STUDY", PatientID="DCMTK1", StudyInstanceUID=STUDY, PatientName="", ModalitiesInStudy="")
    run("findscu", flag, "-X", "-od", tmp_path, *sent.address, *asked)
    (only,) = tmp_path.iterdir()
    found = dcmread(only, force=True)
    assert found.PatientName == "Peer^Dicom"
    assert "OT" in found.ModalitiesInStudy


def test_findscu_at_the_levels_below(sent: Sent, tmp_path: Path) -> None:
    series, images = tmp_path / "series", tmp_path / "images"
    series.mkdir()
    images.mkdir()
    run("findscu", "-S", "-X", "-od", series, *sent.address,
        *identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=""))  # fmt: skip
    assert {str(dcmread(path, force=True).SeriesInstanceUID) for path in series.iterdir()} == {
        f"{STUDY}.0",
        f"{STUDY}.1",
    }
    run("findscu", "-S", "-X", "-od", images, *sent.address,
        *identifier("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1", SOPInstanceUID=""))  # fmt: skip
    expected = {uid for uid in sent.digests if uid.startswith(f"{STUDY}.1.")}
    assert {str(dcmread(path, force=True).SOPInstanceUID) for path in images.iterdir()} == expected


def native(sent: Sent) -> set[str]:
    """The objects that any native context carries."""
    return {
        each.sop_uid for each in sent.destination.received if not re.match(r"1\.2\.840\.10008\.1\.2\.[45]", each.syntax)
    }


@pytest.mark.req("M-GET-01", "I-MOVE-01")
@pytest.mark.parametrize(
    ("options", "syntax"),
    [((), ""), (("+xb",), ""), (("+xi",), ""), (("+xw",), "1.2.840.10008.1.2.4.91"), (("+xr",), "1.2.840.10008.1.2.5")],
)
def test_getscu(sent: Sent, tmp_path: Path, options: tuple[str, ...], syntax: str) -> None:
    """All come in a syntax that it takes, transcoded where that loses nothing, else as they are stored."""
    asked = identifier("STUDY", StudyInstanceUID=STUDY)
    run("getscu", "-v", "-S", "+B", "-od", tmp_path, *options, *sent.address, *asked)
    got = digests(tmp_path)
    wanted = {each.sop_uid for each in sent.destination.received if each.syntax == syntax}
    lossy = syntax == "1.2.840.10008.1.2.4.91"
    assert got.keys() == (wanted if lossy else sent.digests.keys())
    assert {uid: got[uid] for uid in wanted} == {uid: sent.digests[uid] for uid in wanted}
    assert len(wanted) == (1 if syntax else 0)


@pytest.mark.req("I-MOVE-01", "M-MOVE-02")
@pytest.mark.parametrize("model", ["-S", "-P", "-O"])
def test_movescu_to_itself(sent: Sent, tmp_path: Path, model: str) -> None:
    asked = identifier("STUDY", PatientID="DCMTK1", StudyInstanceUID=STUDY)
    # bit-preserving it writes where it is, whatever -od says
    run("movescu", model, "+xa", "+B", "-aem", "MOVESCU", "+P", MOVER, *sent.address, *asked, cwd=tmp_path)
    assert digests(tmp_path) == sent.digests


@pytest.mark.parametrize("level", ["SERIES", "IMAGE"])
def test_movescu_below_the_study(sent: Sent, tmp_path: Path, level: str) -> None:
    (one, *_) = sorted(uid for uid in sent.digests if uid.startswith(f"{STUDY}.1."))
    unique = {"SOPInstanceUID": one} if level == "IMAGE" else {}
    asked = identifier(level, StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1", **unique)
    run("movescu", "-S", "+xa", "+B", "-aem", "MOVESCU", "+P", MOVER, *sent.address, *asked, cwd=tmp_path)
    expected = {uid: digest for uid, digest in sent.digests.items() if uid == one or not unique}
    assert digests(tmp_path) == {uid: digest for uid, digest in expected.items() if uid.startswith(f"{STUDY}.1.")}


def move(sent: Sent, title: str) -> tuple[int, str]:
    """movescu to a third party: its exit status and what it said."""
    asked = identifier("STUDY", StudyInstanceUID=STUDY)
    done = run("movescu", "-d", "-S", "-aem", title, *sent.address, *asked, ok=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.req("I-MOVE-ST-08")
def test_movescu_to_nobody(sent: Sent) -> None:
    for title in ("NOBODY", "GONE"):
        status, said = move(sent, title)
        assert status != 0
        assert "MoveDestinationUnknown" in said or "a801" in said.lower()


@pytest.mark.req("I-SEND-02", "M-SEND-08")
def test_a_destination_that_takes_implicit_only(sent: Sent, tmp_path: Path) -> None:
    with storescp(tmp_path / "out", "+xi", "+B", port=sent.ports["IMPLICIT"]):
        _, said = move(sent, "IMPLICIT")
    assert "b000" not in said.lower()
    got = {str(dcmread(path).SOPInstanceUID): dcmread(path) for path in (tmp_path / "out").iterdir()}
    assert got.keys() == sent.digests.keys()
    assert all(each.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2" for each in got.values())
    originals = {str(each.SOPInstanceUID): each for each in map(dcmread, sent.files)}
    for uid, each in got.items():
        if not originals[uid].file_meta.TransferSyntaxUID.is_compressed:
            assert each.PixelData == originals[uid].PixelData or "bigendian" in str(originals[uid].filename)


@pytest.mark.req("M-SEND-06")
def test_a_destination_that_aborts(sent: Sent, tmp_path: Path) -> None:
    with storescp(tmp_path / "out", "+xa", "--abort-during", port=sent.ports["ABORTING"]):
        status, said = move(sent, "ABORTING")
    assert status != 0
    assert "a702" in said.lower()


def test_a_destination_that_refuses(sent: Sent, tmp_path: Path) -> None:
    port = sent.ports["REFUSING"]
    with background(["storescp", "--refuse", str(port)], tmp_path / "log"):
        listens(port)
        status, said = move(sent, "REFUSING")
    assert status != 0
    assert "a702" in said.lower()


@pytest.mark.req("I-MOVE-ST-05")
def test_movescu_cancels(sent: Sent) -> None:
    before = len(sent.destination.received)
    asked = identifier("STUDY", StudyInstanceUID=STUDY)
    done = run("movescu", "-d", "-S", "--cancel", 1, "-aem", "DEST", *sent.address, *asked, ok=False)
    said = (done.stdout + done.stderr).lower()
    # the rest may be through before the cancel is there
    assert "fe00" in said or len(sent.destination.received) - before == len(sent.files)
