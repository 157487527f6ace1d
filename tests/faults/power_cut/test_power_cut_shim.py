"""The shim itself: what it keeps is what POSIX promises after a power cut, and no more."""

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from faults.power_cut.twin import PowerCut


@pytest.fixture
def cut(tmp_path: Path, power_cut_shim: Path) -> PowerCut:
    return PowerCut(tmp_path / "data", power_cut_shim)


PRELUDE = """
import os, sys
root = os.environ["POWER_CUT_ROOT"]
def write(name, data, flags=os.O_CREAT | os.O_RDWR):
    file = os.open(f"{root}/{name}", flags, 0o600)
    os.write(file, data)
    return file
def sync_folder(name="."):
    folder = os.open(f"{root}/{name}", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
"""


def run(cut: PowerCut, body: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **cut.environment}
    command = [sys.executable, "-c", PRELUDE + body]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def files(cut: PowerCut) -> dict[str, bytes]:
    paths = (path for path in cut.root.rglob("*") if path.is_file())
    return {str(path.relative_to(cut.root)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("write('a', b'1')", {}),
        ("os.fsync(write('a', b'1'))", {}),
        ("write('a', b'1'); sync_folder()", {"a": b""}),
        ("os.fsync(write('a', b'1')); sync_folder()", {"a": b"1"}),
        ("os.fdatasync(write('a', b'1', os.O_CREAT | os.O_WRONLY)); sync_folder()", {"a": b"1"}),
        ("f = write('a', b'1'); os.fsync(f); sync_folder(); os.write(f, b'2')", {"a": b"1"}),
        ("f = write('a', b'123'); os.fsync(f); sync_folder(); os.ftruncate(f, 1)", {"a": b"123"}),
        ("f = write('a', b'123'); os.fsync(f); sync_folder(); os.ftruncate(f, 1); os.fdatasync(f)", {"a": b"1"}),
        ("os.fsync(write('a', b'1')); sync_folder(); os.rename(root + '/a', root + '/b')", {"a": b"1"}),
        ("os.fsync(write('a', b'1')); os.rename(root + '/a', root + '/b'); sync_folder()", {"b": b"1"}),
        ("os.fsync(write('a', b'1')); sync_folder(); os.unlink(root + '/a')", {"a": b"1"}),
        ("os.fsync(write('a', b'1')); sync_folder(); os.unlink(root + '/a'); sync_folder()", {}),
        ("os.fsync(write('a', b'1')); os.link(root + '/a', root + '/b'); sync_folder()", {"a": b"1", "b": b"1"}),
        ("os.mkdir(root + '/d'); os.fsync(write('d/a', b'1')); sync_folder('d')", {}),
        ("os.mkdir(root + '/d'); os.fsync(write('d/a', b'1')); sync_folder('d'); sync_folder()", {"d/a": b"1"}),
    ],
)
def test_only_what_was_synced_is_left(cut: PowerCut, body: str, left: dict[str, bytes]) -> None:
    assert run(cut, body).returncode == 0
    cut.cut()
    assert files(cut) == left


def test_an_inode_number_that_is_used_again_is_another_file(cut: PowerCut) -> None:
    body = """
for n in range(20):
    f = write('a', str(n).encode()); os.fsync(f)
    if n == 0: sync_folder()
    os.close(f); os.unlink(root + '/a')
"""
    assert run(cut, body).returncode == 0
    cut.cut()
    assert files(cut) == {"a": b"0"}


def test_what_was_there_before_is_durable_and_so_is_what_a_cut_left(cut: PowerCut) -> None:
    (cut.root / "d").mkdir()
    (cut.root / "d" / "old").write_bytes(b"old")
    cut.settle()
    run(cut, "write('d/old', b'new'); write('d/b', b'x')")
    cut.cut()
    assert files(cut) == {"d/old": b"old"}
    run(cut, "os.fsync(write('d/old', b'new')); write('d/b', b'x')")
    cut.cut()
    assert files(cut) == {"d/old": b"new"}


def test_children_are_followed(cut: PowerCut) -> None:
    run(cut, "if os.fork() == 0:\n    os.fsync(write('a', b'1')); sync_folder(); os._exit(0)\nos.wait()")
    cut.cut()
    assert files(cut) == {"a": b"1"}


def test_a_torn_cut_keeps_what_was_synced_and_some_of_the_rest(cut: PowerCut) -> None:
    body = """
f = write('a', b's' * 40960); os.fsync(f); sync_folder()
os.pwrite(f, b'n' * 40960, 0)
for n in range(20): write(f'new{n}', b'x')
os.fsync(write('kept', b'k')); os.rename(root + '/kept', root + '/kept2'); sync_folder()
for n in range(20): write(f'newer{n}', b'x')
"""
    assert run(cut, body).returncode == 0
    cut.cut(torn=random.Random(7))
    left = files(cut)
    assert left["kept2"] == b"k"
    pages = {left["a"][at : at + 4096][:1] for at in range(0, 40960, 4096)}
    assert pages == {b"s", b"n"}
    assert 0 < len([name for name in left if name.startswith("newer")]) < 20


def test_syncs_can_be_made_to_fail(cut: PowerCut) -> None:
    cut.fail_syncs()
    assert "Input/output error" in run(cut, "os.fsync(write('a', b'1'))").stderr
    cut.fail_syncs(False)
    assert run(cut, "os.fsync(write('a', b'1'))").returncode == 0


SQLITE = """
import sqlite3, signal
connection = sqlite3.connect(root + "/index.db", isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("PRAGMA synchronous=%s")
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.execute("CREATE TABLE t (n INTEGER)")
for n in range(50):
    connection.execute("INSERT INTO t VALUES (?)", (n,))
    if n == 30: connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
print(n, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("torn", [None, 1, 2])
def test_sqlite_keeps_every_commit_with_full_syncs(cut: PowerCut, torn: int | None) -> None:
    assert run(cut, SQLITE % "FULL").stdout == "49\n"
    cut.cut(torn=None if torn is None else random.Random(torn))
    assert _rows(cut) == 50


def test_sqlite_loses_commits_without_them(cut: PowerCut) -> None:
    assert run(cut, SQLITE % "NORMAL").stdout == "49\n"
    cut.cut()
    assert _rows(cut) < 50


def _rows(cut: PowerCut) -> int:
    connection = sqlite3.connect(cut.root / "index.db")
    try:
        count: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        connection.close()
    return count
