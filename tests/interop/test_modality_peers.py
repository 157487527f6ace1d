"""`isocenter modality` against systems that are less than whole: DCMTK's worklist and storage, which take no procedure
steps and no requests for commitment."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import dcmread
from typer.testing import CliRunner, Result

from archives import unused_port
from held_archives import item
from isocenter.cli.app import app
from isocenter.dicom.dataset import encode
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from peer_programs import background, listens, needs, storescp

pytestmark = needs("storescp", "wlmscpfs")


class Systems(NamedTuple):
    """A worklist and an archive, as the command names them, and what the archive got."""

    worklist: str
    archive: str
    received: Path


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    folder = tmp_path_factory.mktemp("systems")
    files, port = folder / "worklist" / "RIS", unused_port()
    files.mkdir(parents=True)
    (files / "lockfile").touch()
    model = item(PatientName="Worklist^Wanda")
    data = encode({int(tag, 16): element_of(each) for tag, each in model.items()}, EXPLICIT_LE)
    (files / "one.wl").write_bytes(outgoing_header(MODALITY_WORKLIST_FIND, "1.2.3", EXPLICIT_LE) + data)
    serving = background(["wlmscpfs", "-dfp", str(files.parent), str(port)], folder / "wlmscpfs.log")
    with serving, storescp(folder / "received") as archive:
        listens(port)
        named = f"{archive.title}@{archive.host}:{archive.port}"
        yield Systems(f"RIS@127.0.0.1:{port}", named, folder / "received")


def performed(systems: Systems, folder: Path, *words: str) -> Result:
    """The item of the worklist, with one image."""
    wanted = ("--accession", "A1", "--images", "1", "--store", systems.archive, "--data", str(folder))
    return CliRunner().invoke(app, ["modality", systems.worklist, *wanted, *words])


@pytest.mark.parametrize("takes_none", ["worklist", "archive"])
def test_what_a_peer_does_not_take_is_told_and_the_images_are_stored(
    systems: Systems, tmp_path: Path, takes_none: str
) -> None:
    """wlmscpfs rejects the association for procedure steps without a reason, storescp accepts none of its contexts."""
    before = set(systems.received.iterdir())
    done = performed(systems, tmp_path, "--mpps", getattr(systems, takes_none))
    assert done.exit_code == 1
    assert "1 images stored, not committed" in done.stdout
    assert "no procedure steps (MPPS)" in done.stderr
    assert "no requests for commitment" in done.stderr
    (image,) = set(systems.received.iterdir()) - before
    found = dcmread(image)
    assert (str(found.PatientName), found.AccessionNumber) == ("Worklist^Wanda", "A1")
    assert "ReferencedPerformedProcedureStepSequence" not in found


def test_what_was_left_out_before_is_no_failure(systems: Systems, tmp_path: Path) -> None:
    done = performed(systems, tmp_path, "--mpps", "none", "--commit", "none")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith("1 images stored  1.2.826.0.1.3680043.10.999.7.77\n")
