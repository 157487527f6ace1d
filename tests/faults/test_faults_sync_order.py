"""The system calls of a store, as strace sees them: object, then index, then response, each synced before the next."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from senders import Book, sample, send
from servers import Server, until

CALLS = "openat,unlink,unlinkat,fsync,fdatasync,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg"
SYNCS = ("fsync", "fdatasync")
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("sendto", "sendmsg", *WRITES)
NAMES = ("openat", "unlink", "unlinkat")
P_DATA = '"\\x04'
OBJECTS, AGAIN = 40, 2


class Call(NamedTuple):
    """One end of a system call."""

    begins: bool
    ends: bool
    name: str
    target: str
    """Path or connection of the descriptor."""
    text: str


_LINE = re.compile(r"^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_TARGET = re.compile(r"^\d+<(.*?)>[,)\s]")
_OPENED = re.compile(r" = \d+<(.*?)>$")
_UNLINKED = re.compile(r'"(/.*?)".* = 0$')


def calls(trace: Path) -> Iterator[Call]:
    """The calls in the order of the trace; one that another thread interrupted gives its begin and its end apart."""
    begun: dict[str, tuple[str, str, str]] = {}
    for line in trace.read_text("utf-8", "replace").splitlines():
        if (found := _LINE.match(line)) is None:
            continue
        pid, name, text, resumed, rest = found.groups()
        if resumed:
            if resumed in SYNCS or resumed in SENDS or resumed in NAMES:
                name, target, text = begun.pop(pid)
                yield Call(False, True, name, target, text + rest)
            continue
        opened = _TARGET.match(text)
        target = opened.group(1) if opened else ""
        if text.endswith("<unfinished ...>"):
            begun[pid] = (name, target, text)
            yield Call(True, False, name, target, text)
        else:
            yield Call(True, True, name, target, text)


Change = tuple[str, str]
"""What a sync makes durable: ("content", path) of a file, ("name", path) of what a folder holds."""


@dataclass
class Disk:
    """What is durable, followed call by call."""

    dirty: set[Change] = field(default_factory=set)
    """What changed since the last sync that covers it began."""
    syncing: dict[str, set[Change]] = field(default_factory=dict)
    """Syncs under way, by path, and what they will have made durable: not what changes meanwhile."""
    named: set[str] = field(default_factory=set)
    """Files that exist: to open one of them again, O_CREAT or not, makes no name."""
    story: list[tuple[str, str]] = field(default_factory=list)
    """Since the last response: ("write", path) and, where they end, ("sync", path)."""

    def follow(self, call: Call) -> None:
        """Take one call into account."""
        if call.name in SYNCS:
            self._sync(call)
        elif call.name in NAMES:
            self._name(call)
        elif call.target.startswith("/"):
            self._change(("content", call.target))
            self.story.append(("write", call.target))

    def _sync(self, call: Call) -> None:
        if call.begins:
            self.syncing[call.target] = {change for change in self.dirty if _covers(call.target, change)}
        if call.ends and call.text.rstrip().endswith("= 0"):
            self.dirty -= self.syncing.pop(call.target, set())
            self.story.append(("sync", call.target))

    def _name(self, call: Call) -> None:
        if not call.ends:
            return
        if call.name == "openat":
            opened = _OPENED.search(call.text)
            if opened and opened.group(1) not in self.named and "O_CREAT" in call.text:
                self._change(("name", opened.group(1)))
            if opened:
                self.named.add(opened.group(1))
        elif gone := _UNLINKED.search(call.text):
            self.named.discard(gone.group(1))

    def _change(self, change: Change) -> None:
        self.dirty.add(change)
        for covered in self.syncing.values():
            covered.discard(change)


def _covers(synced: str, change: Change) -> bool:
    kind, path = change
    return synced == (path if kind == "content" else path.rpartition("/")[0])


def is_response(call: Call, port: int) -> bool:
    """A P-DATA-TF that leaves over the DICOM port."""
    return call.begins and call.name in SENDS and f":{port}->" in call.target and P_DATA in call.text


def responses(trace: Path, port: int, data: Path, look: Callable[[Disk, str], None]) -> int:
    """Call `look` with the disk's state, and the object written, at each response; how many there were."""
    disk, n = Disk(), 0
    objects = f"{data}/store/objects/"
    for call in calls(trace):
        if is_response(call, port):
            stored = {path for what, path in disk.story if what == "write" and path.startswith(objects)}
            assert len(stored) == 1, f"response {n} came with {len(stored)} objects written"
            look(disk, stored.pop())
            disk.story.clear()
            n += 1
        elif call.target.startswith("TCP") or call.target.startswith("UNIX"):
            continue
        else:
            disk.follow(call)
    return n


def in_order(story: list[tuple[str, str]], stored: str, wal: str) -> bool:
    """Object written, object synced, index written, index synced. Whether the index was written before that too, as it
    may be for something else: by the housekeeping, or by another process that the machine gave its time to."""
    complete = len(story) - story[::-1].index(("write", stored))
    synced = story.index(("sync", stored), complete)
    filed = story.index(("write", wal), synced)
    assert ("sync", wal) in story[filed:]
    return ("write", wal) in story[:synced]


def traced(make_server: Callable[..., Server], book: Book, tmp_path: Path, **settings: object) -> tuple[Path, Server]:
    """The calls of a server that takes objects, some of them twice, and stops."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace (apt-get install strace)")
    trace = tmp_path / "trace"
    wrapper = (strace, "-f", "-qq", "-yy", "-x", "-s", "8", "-e", f"trace={CALLS}", "-o", str(trace))
    server = make_server(settings={"processes__dicom": 1, **settings}, wrapper=wrapper)
    try:
        server.start()
    except AssertionError:
        if "ptrace" in server.whole_log():
            pytest.skip("strace may not trace here")
        raise
    pixels = (b"\1\2" * 64, b"\3\4" * 5_500, b"\5\6" * 300_000)
    samples = [sample(n, run=910, pixels=pixels[n % 3]) for n in range(OBJECTS)]
    send(server.dicom_port, book, [*samples, *samples[:AGAIN]])
    assert len(book.acknowledged) == OBJECTS
    assert server.stop() == 0
    until(lambda: not server.running)
    return trace, server


@pytest.mark.req("M-STORE-09", "I-STORE-05")
def test_object_and_index_are_synced_in_this_order_before_each_response(
    make_server: Callable[..., Server], book: Book, tmp_path: Path
) -> None:
    trace, server = traced(make_server, book, tmp_path)
    wal = str(server.data / "index.db-wal")
    early: list[bool] = []

    def look(disk: Disk, stored: str) -> None:
        assert ("content", stored) not in disk.dirty, "the response left before the object was synced"
        assert ("name", stored) not in disk.dirty, "the response left before the object's name was synced"
        assert ("content", wal) not in disk.dirty, "the response left before the index was synced"
        assert ("name", wal) not in disk.dirty, "the response left before the index's name was synced"
        early.append(in_order(disk.story, stored, wal))

    assert responses(trace, server.dicom_port, server.data, look) == OBJECTS + AGAIN
    assert not all(early), "the index is written before the object is synced"


@pytest.mark.req("M-STORE-09", "I-STORE-05")
def test_the_object_is_synced_before_each_response_where_the_index_follows(
    make_server: Callable[..., Server], book: Book, tmp_path: Path
) -> None:
    """Its name too. That is all which recovery needs, so the index may be written after the response."""
    trace, server = traced(make_server, book, tmp_path, index__behind=True)
    wal = str(server.data / "index.db-wal")
    behind: list[bool] = []

    def look(disk: Disk, stored: str) -> None:
        assert ("content", stored) not in disk.dirty, "the response left before the object was synced"
        assert ("name", stored) not in disk.dirty, "the response left before the object's name was synced"
        behind.append(("write", wal) not in disk.story)

    assert responses(trace, server.dicom_port, server.data, look) == OBJECTS + AGAIN
    assert any(behind), "each answer waits for the index"


def test_the_order_test_would_notice(tmp_path: Path) -> None:
    """Traces with a sync too late, too early, or interrupted by a write are refused."""
    data, port = tmp_path / "data", 104
    stored, wal = f"{data}/store/objects/ab/cd/abcd", f"{data}/index.db-wal"

    def look(disk: Disk, path: str) -> None:
        assert not disk.dirty & {("content", path), ("content", wal), ("name", path)}
        assert not in_order(disk.story, path, wal)

    def verdict(*lines: str) -> bool:
        trace = tmp_path / "trace"
        trace.write_text("".join(f"{line}\n" for line in lines))
        try:
            return responses(trace, port, data, look) == 1
        except (AssertionError, ValueError):
            return False

    write, sync = f'1  pwrite64(5<{stored}>, "x", 1, 0) = 1', f"1  fdatasync(5<{stored}>) = 0"
    log, log_sync = f'2  pwrite64(6<{wal}>, "x", 1, 0) = 1', f"2  fdatasync(6<{wal}>) = 0"
    answer = f'1  sendmsg(7<TCP:[127.0.0.1:{port}->127.0.0.1:9]>, {{msg_iov=[{{iov_base="\\x04\\x00"...}}]}}) = 9'
    begun, ended = f"2  fdatasync(6<{wal}> <unfinished ...>", "2  <... fdatasync resumed>) = 0"
    create = f'1  openat(AT_FDCWD, "x", O_RDWR|O_CREAT|O_EXCL, 0600) = 5<{stored}>'
    folder = f"3  fsync(8<{data}/store/objects/ab/cd>) = 0"
    assert verdict(write, sync, log, log_sync, answer)
    assert verdict(create, folder, write, sync, log, log_sync, answer)
    assert not verdict(create, write, sync, log, log_sync, answer)
    again = f'9  openat(AT_FDCWD, "x", O_RDWR|O_CREAT, 0600) = 6<{stored}>'
    gone = f'9  unlink("{stored}") = 0'
    assert verdict(create, folder, again, write, sync, log, log_sync, answer)
    assert not verdict(create, folder, gone, again, write, sync, log, log_sync, answer)
    assert verdict(write, sync, log, begun, ended, answer)
    assert not verdict(write, log, log_sync, answer)
    assert not verdict(write, sync, log, answer)
    assert not verdict(write, log, log_sync, sync, answer)
    assert not verdict(write, sync, log, begun, answer, ended)
    assert not verdict(write, sync, log, begun, log, ended, answer)
    assert not verdict(write, sync, write, log, log_sync, answer)
