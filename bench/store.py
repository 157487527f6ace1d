"""How fast objects become durable: the store beside a naive file a object, on the disk that holds `--root`.

    python bench/store.py                       the table of sizes, threads and durabilities
    python bench/store.py --strides             write-back strides, data arriving over a socket as from a peer
    python bench/store.py --preparation         what preparing the reserved files could gain (bare system calls)

Each figure is the median of `--runs`, the ways taken in turn within a run, so that other load meets all of them.
`last byte` is the time from the last byte of an object to its being durable. CPU is of the whole process.
"""

import argparse
import ctypes
import hashlib
import os
import resource
import secrets
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from isocenter.store.filesystem import FilesystemStore

HEADER = bytes(128) + b"DICM" + b"." * 380
SIZES = {"11 kB": 11_264, "0.5 MB": 528_000}
PIECE = 131_072


class Figure(NamedTuple):
    """One run of one way."""

    rate: float
    median_ms: float
    late_ms: float
    last_byte_ms: float
    cpu_ms: float


Way = Callable[[Path, int, list[memoryview]], float]
"""Stores the pieces as object `number` under a folder; gives the time at which the last byte was there."""


def naive(folder: Path, number: int, pieces: list[memoryview]) -> float:
    """Create, write, sync, rename, sync the folder."""
    path = f"{folder}/{number}-{threading.get_ident()}"
    digest = hashlib.sha256()
    file = os.open(f"{path}.new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    for piece in pieces:
        os.write(file, piece)
        digest.update(piece)
    last = time.perf_counter()
    os.fsync(file)
    os.close(file)
    os.rename(f"{path}.new", path)
    _sync_folder(folder)
    return last


def ours(store: FilesystemStore) -> Way:
    """As ingest does."""

    def way(_folder: Path, _number: int, pieces: list[memoryview]) -> float:
        spool = store.reserve()
        spool.begin(len(HEADER))
        for piece in pieces:
            spool.write([piece])
        last = time.perf_counter()
        spool.finish_data()
        spool.commit(HEADER)
        spool.settle()
        return last

    return way


def measure(way: Way, folder: Path, size: int, threads: int, objects: int) -> Figure:
    """Store `objects` of `size` bytes from `threads` threads."""
    data = memoryview(secrets.token_bytes(size))
    pieces = [data[at : at + PIECE] for at in range(0, size, PIECE)]
    whole: list[float] = []
    ends: list[float] = []
    barrier = threading.Barrier(threads)

    def work(thread: int) -> None:
        barrier.wait()
        for number in range(objects // threads):
            begin = time.perf_counter()
            last = way(folder, thread * objects + number, pieces)
            end = time.perf_counter()
            whole.append(end - begin)
            ends.append(end - last)

    way(folder, -1, pieces)
    cpu = _cpu()
    begin = time.perf_counter()
    _run(work, threads)
    elapsed = time.perf_counter() - begin
    return _figure(whole, ends, elapsed, _cpu() - cpu)


def _figure(whole: list[float], ends: list[float], elapsed: float, cpu: float) -> Figure:
    whole.sort()
    return Figure(
        len(whole) / elapsed,
        whole[len(whole) // 2] * 1e3,
        whole[int(len(whole) * 0.95)] * 1e3,
        statistics.median(ends) * 1e3,
        cpu / len(whole) * 1e3,
    )


def table(root: Path, runs: int) -> None:
    """The ways side by side."""
    _head("way")
    for label, size in SIZES.items():
        for threads in (1, 4):
            objects = 1200 if size < PIECE else 300
            _compare(f"{label:7} {threads:7}", root, runs, _ways(root), size, threads, objects)


Start = Callable[[], tuple[Way, Callable[[], None]]]
"""Makes a way and what ends it."""


def _ways(root: Path) -> dict[str, Start]:
    def with_store(durability: str) -> tuple[Way, Callable[[], None]]:
        store = FilesystemStore(root / durability, durability=durability, floor_bytes=0)
        return ours(store), store.close

    return {
        "naive": lambda: (naive, lambda: None),
        "store, power": lambda: with_store("power"),
        "store, process": lambda: with_store("process"),
    }


def _compare(
    label: str,
    root: Path,
    runs: int,
    ways: dict[str, Start],
    size: int,
    threads: int,
    objects: int,
) -> None:
    figures: dict[str, list[Figure]] = {}
    for _ in range(runs):
        for name, start in ways.items():
            way, close = start()
            figures.setdefault(name, []).append(measure(way, root / "naive", size, threads, objects))
            close()
            _clear(root)
    for name, rows in figures.items():
        _print(label, name, Figure(*(statistics.median(column) for column in zip(*rows, strict=True))))


def _head(what: str) -> None:
    columns = f"{'objects/s':>9} {'p50 ms':>7} {'p95 ms':>7} {'last byte':>9} {'CPU ms':>7}"
    print(f"{'size':7} {'threads':>7}  {what:22} {columns}")


def _print(label: str, name: str, figure: Figure) -> None:
    rate, *times = figure
    print(f"{label}  {name:22} {rate:9.0f} {times[0]:7.2f} {times[1]:7.2f} {times[2]:9.2f} {times[3]:7.2f}", flush=True)


# --- write-back strides


def strides(root: Path, runs: int) -> None:
    """A peer sends objects over a socket and waits for each answer; the receiver stores as they come."""
    _head("stride")
    for label, size in {"0.5 MB": 528_000, "16 MB": 16 << 20}.items():
        for threads in (1, 4):
            figures: dict[str, list[Figure]] = {}
            for _ in range(runs):
                for stride in (1 << 40, 1 << 17, 1 << 18, 1 << 20, 1 << 22):
                    store = FilesystemStore(root / "power", floor_bytes=0, stride=stride)
                    name = "none" if stride == 1 << 40 else f"{stride >> 10} KiB"
                    objects = 40 if size > 1 << 20 else 300
                    figures.setdefault(name, []).append(received(store, size, threads, objects))
                    store.close()
                    _clear(root)
            for name, rows in figures.items():
                _print(f"{label:7} {threads:7}", name, Figure(*(statistics.median(c) for c in zip(*rows, strict=True))))


def received(store: FilesystemStore, size: int, threads: int, objects: int) -> Figure:
    """One run; the senders are processes of their own."""
    pairs = [socket.socketpair() for _ in range(threads)]
    children = [_sender(ours_end, theirs, size, objects // threads) for ours_end, theirs in pairs]
    whole: list[float] = []
    ends: list[float] = []

    def work(thread: int) -> None:
        peer = pairs[thread][0]
        slab = memoryview(bytearray(1 << 20))
        for _ in range(objects // threads):
            begin = time.perf_counter()
            spool = store.reserve()
            spool.begin(len(HEADER))
            left = size
            while left:
                n = peer.recv_into(slab[: min(left, PIECE)])
                spool.write([slab[:n]])
                left -= n
            last = time.perf_counter()
            spool.finish_data()
            spool.commit(HEADER)
            end = time.perf_counter()
            peer.send(b"!")
            spool.settle()
            whole.append(end - begin)
            ends.append(end - last)

    cpu = _cpu()
    begin = time.perf_counter()
    _run(work, threads)
    elapsed = time.perf_counter() - begin
    cpu = _cpu() - cpu
    for child in children:
        os.waitpid(child, 0)
    for pair in pairs:
        pair[0].close()
    return _figure(whole, ends, elapsed, cpu)


def _sender(ours_end: socket.socket, theirs: socket.socket, size: int, objects: int) -> int:
    child = os.fork()
    if child:
        theirs.close()
        return child
    ours_end.close()
    data = secrets.token_bytes(size)
    for _ in range(objects):
        theirs.sendall(data)
        theirs.recv(1)
    os._exit(0)


# --- preparation of the reserved files


def preparation(root: Path, runs: int) -> None:
    """Bare system calls: what a file prepared in some way takes to write and sync."""
    call = ctypes.CDLL(None).fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    prepared: dict[str, tuple[Callable[[int, int], object], bool]] = {
        "empty": (lambda file, size: None, False),
        "fallocate, keep size": (lambda file, size: call(file, 1, 0, size + 4096), False),
        "the same, truncated": (lambda file, size: call(file, 1, 0, size + 4096), True),
        "fallocate": (lambda file, size: call(file, 0, 0, size + 4096), True),
        "zeros, not truncated": (lambda file, size: (os.write(file, bytes(size + 4096)), os.fdatasync(file)), False),
        "zeros": (lambda file, size: (os.write(file, bytes(size + 4096)), os.fdatasync(file)), True),
    }
    for label, size in SIZES.items():
        for threads in (1, 4):
            objects = 800 if size < PIECE else 160
            figures: dict[str, list[Figure]] = {}
            for _ in range(runs):
                for name, (prepare, cut) in prepared.items():
                    files = _prepared(root, prepare, size, objects + threads + 1)
                    figures.setdefault(name, []).append(measure(_bare(files, cut), root, size, threads, objects))
                    _clear(root)
            for name, rows in figures.items():
                _print(f"{label:7} {threads:7}", name, Figure(*(statistics.median(c) for c in zip(*rows, strict=True))))


def _prepared(root: Path, prepare: Callable[[int, int], object], size: int, count: int) -> list[str]:
    folder = root / "naive"
    folder.mkdir(exist_ok=True)
    paths = [f"{folder}/{number}" for number in range(count)]
    for path in paths:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        prepare(file, size)
        os.close(file)
    _sync_folder(folder)
    return paths


def _bare(paths: list[str], cut: bool) -> Way:
    def way(_folder: Path, _number: int, pieces: list[memoryview]) -> float:
        file = os.open(paths.pop(), os.O_WRONLY)
        os.writev(file, pieces)
        if cut:
            os.ftruncate(file, sum(map(len, pieces)))
        last = time.perf_counter()
        os.fdatasync(file)
        os.close(file)
        return last

    return way


# --- the ground


def _run(work: Callable[[int], None], threads: int) -> None:
    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def _clear(root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path)
    (root / "naive").mkdir()
    os.sync()


def main() -> None:
    """Read the arguments, measure in a fresh folder, remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="a folder on the disk to measure")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--strides", action="store_true")
    parser.add_argument("--preparation", action="store_true")
    arguments = parser.parse_args()
    with closing(_Folder(arguments.root)) as folder:
        _clear(folder.path)
        what = strides if arguments.strides else preparation if arguments.preparation else table
        what(folder.path, arguments.runs)


class _Folder:
    def __init__(self, where: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="store-bench-", dir=where))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


if __name__ == "__main__":
    main()
