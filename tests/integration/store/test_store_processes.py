"""One store, several processes: they share it, they end at any moment, one server at a time holds it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isocenter.errors import ConfigurationError
from isocenter.store.filesystem import FilesystemStore

PRELUDE = """
import json, os, sys, threading
from isocenter.errors import ConfigurationError
from isocenter.store.filesystem import FilesystemStore
store = FilesystemStore(sys.argv[1], floor_bytes=0)
def keep(data):
    spool = store.reserve(); spool.begin(200); spool.write([data]); spool.commit(b"H" * 200); spool.settle()
    return spool.key
def say(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())
"""


def start(root: Path, body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + body, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def output(root: Path, body: str) -> list[list[str]]:
    process = start(root, body)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [json.loads(line) for line in text.splitlines()]


def test_forked_processes_share_a_store_that_the_parent_used(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        """
say(keep(b"parent"))
children = []
for n in range(3):
    child = os.fork()
    if child == 0:
        for m in range(50): say(keep(b"%d %d" % (n, m)))
        store.close()
        os._exit(0)
    children.append(child)
say(keep(b"parent again"))
for child in children: assert os.waitpid(child, 0)[1] == 0
store.close()
""",
    )
    keys = [key for (key,) in said]
    assert len(set(keys)) == 152
    store = FilesystemStore(tmp_path, floor_bytes=0)
    assert set(store.keys()) == set(keys)
    assert list((tmp_path / "spool").iterdir()) == []


def test_new_folders_are_made_by_all_at_once(tmp_path: Path) -> None:
    body = "say(store.archive_id, keep(b'x'), os.getpid()); store.append_journal({'by': os.getpid()})"
    root = tmp_path / "new"
    processes = [start(root, body) for _ in range(4)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert len({archive_id for archive_id, _, _ in said}) == 1
    store = FilesystemStore(root, floor_bytes=0)
    assert set(store.keys()) == {key for _, key, _ in said}
    assert {record["by"] for record in store.journal()} == {pid for _, _, pid in said}


def test_a_second_server_is_refused_until_the_last_process_of_the_first_is_gone(tmp_path: Path) -> None:
    server = start(
        tmp_path,
        """
held = store.exclusive(); held.__enter__()
worker = os.fork()
if worker == 0:
    say("worker", os.getpid()); sys.stdin.read(); os._exit(0)
say("server", os.getpid())
import signal; signal.pause()
""",
    )
    assert server.stdout is not None
    assert server.stdin is not None
    ids = dict(json.loads(server.stdout.readline()) for _ in range(2))
    second = FilesystemStore(tmp_path, floor_bytes=0)
    with pytest.raises(ConfigurationError), second.exclusive():
        pass
    os.kill(ids["server"], signal.SIGKILL)
    server.wait(timeout=30)
    with pytest.raises(ConfigurationError), second.exclusive():
        pass
    worker = os.pidfd_open(ids["worker"])
    server.stdin.close()
    _gone(worker)
    with second.exclusive():
        pass
    server.stdout.close()


def _gone(pidfd: int) -> None:
    """Wait until a process that is not our child has ended, and its files are closed with it."""
    import select

    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_a_killed_worker_leaves_what_recovery_finds_by_its_id(tmp_path: Path) -> None:
    worker = start(
        tmp_path,
        """
done = keep(b"done")
spool = store.reserve(); spool.begin(200); spool.write([b"half"])
orphan = store.reserve(); orphan.begin(200); orphan.write([b"no row"]); orphan.commit(b"H" * 200)
say(done, spool.key, orphan.key)
sys.stdin.read()
""",
    )
    assert worker.stdout is not None
    done, half, orphan = json.loads(worker.stdout.readline())
    store = FilesystemStore(tmp_path, floor_bytes=0)
    mine = store.reserve()
    mine.begin(200)
    worker.kill()
    worker.communicate()
    with store.exclusive():
        report = store.recover(lambda _: None, owner=worker.pid)
        assert orphan in report.recovered
        assert report.unfinished == 1
        store.settle(report.recovered)
        assert store.recover(lambda _: None, owner=worker.pid).recovered == ()
    assert set(store.keys()) == {done, orphan}
    assert not store.exists(half)
    mine.commit(b"H" * 200)
    store.close()
    assert set(store.keys()) == {done, orphan, mine.key}


def test_several_processes_read_while_one_writes(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path, floor_bytes=0)
    keys = []
    for number in range(20):
        spool = store.reserve()
        spool.begin(200)
        spool.write([b"%d" % number])
        spool.commit(b"H" * 200)
        keys.append(spool.key)
    said = output(tmp_path, "say(*[store.open(key).pread(9, 200).decode() for key in sorted(store.keys())])")
    assert sorted(said[0], key=int) == [str(number) for number in range(20)]
    store.close()
