"""Backup while objects arrive, restore elsewhere, verify; rebuild; an index that is older than the store or lost."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from material import packaged_files

Cli = Callable[..., Any]


def make_series(folder: Path, n: int) -> None:
    """`n` small objects with UIDs of their own."""
    folder.mkdir()
    sample = dcmread(next(path for path in packaged_files() if path.name == "MR_small.dcm"))
    sample.StudyInstanceUID, sample.SeriesInstanceUID = generate_uid(), generate_uid()
    for i in range(n):
        sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        sample.InstanceNumber = i
        sample.save_as(folder / f"{i:04}.dcm")


def instances(server: Any, cli: Cli) -> int:
    """How many instances C-FIND counts."""
    studies = json.loads(cli("find", server.peer, "--json").stdout)
    return sum(int(study["00201208"]["Value"][0]) for study in studies)


def test_a_backup_under_load_restores_elsewhere(start: Callable[..., Any], cli: Cli, tmp_path: Path) -> None:
    first, later = tmp_path / "first", tmp_path / "later"
    make_series(first, 60)
    make_series(later, 150)
    server = start().ready()
    cli("send", server.peer, str(first))
    loading = threading.Thread(target=cli, args=("send", server.peer, str(later)))
    loading.start()
    copied = json.loads(cli("backup", str(tmp_path / "copy"), "--data", str(server.data), "--json").stdout)
    loading.join()
    assert copied["objects"] >= 60
    assert server.stop() == 0

    restored = json.loads(cli("restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new"), "--json").stdout)
    assert restored["objects"] == copied["objects"]
    assert (restored["unsound"], restored["missing"]) == ([], 0)
    again = start(data=tmp_path / "new").ready()
    assert instances(again, cli) == copied["objects"]
    assert json.loads(cli("store", "verify", "--data", str(again.data), "--json").stdout)["bad"] == []


def test_a_backup_wants_a_new_folder_and_a_restore_an_empty_one(
    start: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    server = start().ready()
    cli("backup", str(tmp_path / "copy"), "--data", str(server.data))
    assert cli("backup", str(tmp_path / "copy"), "--data", str(server.data), check=False).returncode == 2
    assert cli("restore", str(tmp_path / "copy"), "--data", str(server.data), check=False).returncode == 2
    assert cli("restore", str(tmp_path), "--data", str(tmp_path / "new"), check=False).returncode == 2
    (tmp_path / "copy" / "backup.json").unlink()
    assert cli("restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new"), check=False).returncode == 2


def test_an_index_older_than_the_store_adopts_what_it_lacks(
    start: Callable[..., Any], cli: Cli, tmp_path: Path
) -> None:
    make_series(tmp_path / "one", 5)
    make_series(tmp_path / "two", 7)
    server = start().ready()
    cli("send", server.peer, str(tmp_path / "one"))
    server.stop()
    older = tmp_path / "older.db"
    shutil.copyfile(server.data / "index.db", older)

    server = start().ready()
    cli("send", server.peer, str(tmp_path / "two"))
    server.stop()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (server.data / name).unlink(missing_ok=True)
    shutil.copyfile(older, server.data / "index.db")

    server = start().ready()
    assert instances(server, cli) == 12


def test_a_lost_index_is_made_anew_at_the_start(start: Callable[..., Any], cli: Cli, tmp_path: Path) -> None:
    make_series(tmp_path / "one", 5)
    server = start().ready()
    cli("send", server.peer, str(tmp_path / "one"))
    server.stop()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (server.data / name).unlink(missing_ok=True)
    assert instances(start().ready(), cli) == 5


def test_rebuild_gives_the_same_answers(start: Callable[..., Any], cli: Cli, tmp_path: Path) -> None:
    make_series(tmp_path / "one", 5)
    server = start().ready()
    cli("send", server.peer, str(tmp_path / "one"))
    before = json.loads(cli("find", server.peer, "--json").stdout)
    refused = cli("index", "rebuild", "--data", str(server.data), check=False)
    assert refused.returncode == 2
    assert "another server" in refused.stderr
    server.stop()
    report = json.loads(cli("index", "rebuild", "--data", str(server.data), "--json").stdout)
    assert report["objects"] == {"stored": 5}
    assert json.loads(cli("find", start().ready().peer, "--json").stdout) == before


def test_verify_finds_what_was_altered_and_what_is_missing(start: Callable[..., Any], cli: Cli, tmp_path: Path) -> None:
    make_series(tmp_path / "one", 3)
    server = start().ready()
    cli("send", server.peer, str(tmp_path / "one"))
    server.stop()
    altered, missing = [p for p in sorted((server.data / "store" / "objects").rglob("*")) if is_object(p)][:2]
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.chmod(0o600)
    altered.write_bytes(content)
    missing.unlink()
    done = cli("store", "verify", "--data", str(server.data), "--json", check=False)
    assert done.returncode == 1
    bad = {one["key"]: one["verdict"] for one in json.loads(done.stdout)["bad"]}
    assert bad == {altered.name: "altered", missing.name: "missing"}


def is_object(path: Path) -> bool:
    return path.is_file() and any(path.read_bytes()[:132])


@pytest.mark.parametrize("kind", ["owner", "dicom", "web", "jobs"])
def test_each_kind_of_process_killed_under_load_costs_nothing(
    start: Callable[..., Any], cli: Cli, tmp_path: Path, kind: str
) -> None:
    make_series(tmp_path / "one", 120)
    server = start().ready()
    done: list[Any] = []
    loading = threading.Thread(
        target=lambda: done.append(cli("send", server.peer, str(tmp_path / "one"), "--retries", "6", "--json"))
    )
    loading.start()
    for pid in server.pids(kind):
        os.kill(pid, signal.SIGKILL)
    loading.join()
    assert json.loads(done[0].stdout)["sent"] == 120
    assert instances(server, cli) == 120
