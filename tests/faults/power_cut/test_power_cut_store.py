"""The store under power cuts: what `commit` called durable is there, and nothing is there in halves."""

import os
import random
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from faults.power_cut.twin import PowerCut
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.verify import verify

WRITER = Path(__file__).with_name("store_writer.py")
ENOUGH = 250


@pytest.fixture
def cut(tmp_path: Path, power_cut_shim: Path) -> PowerCut:
    return PowerCut(tmp_path / "data", power_cut_shim)


def write_and_kill(cut: PowerCut, durability: str, lines: int) -> list[str]:
    """Run the writer, kill all its processes after about `lines` lines; all that it said."""
    writer = subprocess.Popen(
        [sys.executable, str(WRITER), str(cut.root), durability, "2", "3"],
        env={**os.environ, **cut.environment},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert writer.stdout is not None
    output = b""
    with writer, selectors.DefaultSelector() as selector:
        selector.register(writer.stdout, selectors.EVENT_READ)
        while output.count(b"\n") < lines:
            assert selector.select(timeout=60), "the writer has stopped"
            assert writer.poll() is None, "the writer has ended"
            output += os.read(writer.stdout.fileno(), 65536)
        os.killpg(writer.pid, signal.SIGKILL)
        output += writer.stdout.read()
    return output.decode().splitlines()


def said(lines: list[str], what: str) -> set[str]:
    """The keys or records of the lines of one kind."""
    return {line.split(" ")[1] for line in lines if line.startswith(f"{what} ")}


def check(root: Path, lines: list[str]) -> None:
    """After the cut: a start as the server's, then everything is sound and what was acknowledged is there."""
    keys, settled, records = said(lines, "object"), said(lines, "settled"), said(lines, "journal")
    store = FilesystemStore(root, floor_bytes=0)
    with store.exclusive():
        report = store.recover()
    findings = {finding.key: finding.verdict for finding in verify(store)}
    assert keys <= findings.keys()
    assert set(findings.values()) <= {"sound"}
    assert not keys & {entry.key for entry in store.exceptions()}
    assert keys - settled <= set(report.recovered) <= findings.keys()
    assert records <= {f"{record['seed']}.{record['number']}" for record in store.journal()}
    store.settle(report.recovered)
    assert list((root / "spool").iterdir()) == []
    leftovers = {path.name for path in (root / "objects").rglob("*") if path.is_file()} - findings.keys()
    assert all((root / "objects" / name[:2] / name[2:4] / name).stat().st_size == 0 for name in leftovers)


@pytest.mark.parametrize("torn", [None, 1], ids=["strict", "torn"])
def test_what_was_acknowledged_survives_power_cuts(cut: PowerCut, torn: int | None) -> None:
    lines: list[str] = []
    for turn in range(3):
        lines += write_and_kill(cut, "power", ENOUGH + 37 * turn)
        cut.cut(torn=None if torn is None else random.Random(torn * 10 + turn))
        check(cut.root, lines)
        lines += [line.replace("object", "settled") for line in lines if line.startswith("object")]
        cut.settle()


def test_without_syncs_the_shim_does_lose_objects(cut: PowerCut) -> None:
    keys = said(write_and_kill(cut, "process", ENOUGH), "object")
    assert keys
    cut.cut()
    assert not any((cut.root / "objects" / key[:2] / key[2:4] / key).exists() for key in keys)


@pytest.mark.parametrize("durability", ["power", "process"])
def test_what_was_acknowledged_survives_a_kill(cut: PowerCut, durability: str) -> None:
    check(cut.root, write_and_kill(cut, durability, ENOUGH))
    assert not list((cut.root / "exceptions").iterdir())
