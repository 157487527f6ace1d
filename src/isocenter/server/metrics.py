"""The numbers of all processes as Prometheus text.

Each worker answers with a snapshot of its registry on a socket of its own in the run folder, when it is asked and only
then: an idle server does not wake up for its metrics. Counters and histograms are summed over the processes; a gauge
carries the process it is of.
"""

import contextlib
import os
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from isocenter import __version__, telemetry
from isocenter.server.board import Board, State
from isocenter.server.process import guarded

Labels = tuple[tuple[str, str], ...]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE = 1.0  # seconds for a process to answer; a stuck one is left out
_LIMIT = 16 << 20
HEAVY = ("PIL", "alembic", "fastapi", "imagecodecs", "lxml", "numpy", "pydicom")
"""Packages that cost a process tens of megabytes; the server's own processes are meant to do without."""


class Snapshot(msgspec.Struct):
    """What `telemetry.Registry.snapshot` gives, from one process."""

    process: str = ""
    counters: list[tuple[str, list[tuple[str, str]], float]] = []
    gauges: list[tuple[str, list[tuple[str, str]], float]] = []
    histograms: list[tuple[str, list[tuple[str, str]], list[float]]] = []


def socket_path(folder: Path, slot: int) -> Path:
    """Where the worker in `slot` answers."""
    return folder / f"metrics-{slot}.sock"


def publish(folder: Path, slot: int, process: str) -> None:
    """Answer from now on, on a thread of its own."""
    path = socket_path(folder, slot)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(8)

    def answer() -> None:
        while True:
            caller, _ = listener.accept()
            with caller, contextlib.suppress(OSError):  # who asked has gone
                caller.settimeout(_PATIENCE)
                caller.sendall(msgspec.msgpack.encode({"process": process, **own()}))

    threading.Thread(target=guarded(answer), name="metrics", daemon=True).start()


def own() -> dict[str, Any]:
    """This process's numbers, with what the system says of it."""
    usage = os.times()
    telemetry.gauge("isocenter_process_cpu_seconds", usage.user + usage.system)
    with contextlib.suppress(OSError):  # a system without /proc
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        telemetry.gauge("isocenter_process_resident_bytes", resident)
    telemetry.gauge("isocenter_process_threads", threading.active_count())
    for name in HEAVY:
        if name in sys.modules:
            telemetry.gauge("isocenter_process_heavy_module", 1, module=name)
    return telemetry.registry.snapshot()


def collect(folder: Path, board: Board) -> list[Snapshot]:
    """Ask every worker there is."""
    snapshots = []
    for entry in board.entries():
        with contextlib.suppress(OSError, msgspec.DecodeError):  # a worker that is just ending has no numbers
            snapshots.append(msgspec.msgpack.decode(_ask(socket_path(folder, entry.slot)), type=Snapshot))
    return snapshots


def _ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_PATIENCE)
        caller.connect(str(path))
        answer = bytearray()
        while piece := caller.recv(65536):
            answer += piece
            if len(answer) > _LIMIT:
                break
        return bytes(answer)


def text(snapshots: Iterable[Snapshot], board: Board) -> str:
    """The Prometheus exposition format, version 0.0.4."""
    lines = [*_board_lines(board)]
    counters: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
    gauges: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
    histograms: defaultdict[str, dict[Labels, list[float]]] = defaultdict(dict)
    for snapshot in snapshots:
        for name, labels, value in snapshot.counters:
            counters[name][tuple(labels)] += value
        for name, labels, value in snapshot.gauges:
            gauges[name][(*labels, ("process", snapshot.process))] = value
        for name, labels, row in snapshot.histograms:
            known = histograms[name].get(tuple(labels))
            histograms[name][tuple(labels)] = [a + b for a, b in zip(known, row, strict=True)] if known else row
    lines += _values(counters, "counter")
    lines += _values(gauges, "gauge")
    for name in sorted(histograms):
        lines.append(f"# TYPE {name} histogram")
        for key, row in sorted(histograms[name].items()):
            lines += _histogram(name, key, row)
    return "\n".join(lines) + "\n"


def _board_lines(board: Board) -> Iterator[str]:
    entries = board.entries()
    yield "# TYPE isocenter_info gauge"
    yield _line("isocenter_info", (("version", __version__),), 1)
    yield "# TYPE isocenter_process_up gauge"
    for entry in entries:
        yield _line("isocenter_process_up", _who(entry.kind.label, entry.slot), int(entry.state == State.READY))
    yield "# TYPE isocenter_process_restarts_total counter"
    for entry in entries:
        yield _line("isocenter_process_restarts_total", _who(entry.kind.label, entry.slot), entry.restarts)
    yield "# TYPE isocenter_associations_open gauge"
    yield _line("isocenter_associations_open", (), board.total())


def _who(kind: str, slot: int) -> Labels:
    return (("process", f"{kind}-{slot}"),)


def _values(families: "dict[str, Any]", kind: str) -> Iterator[str]:
    for name in sorted(families):
        yield f"# TYPE {name} {kind}"
        for labels, value in sorted(families[name].items()):
            yield _line(name, labels, value)


def _histogram(name: str, labels: Labels, row: list[float]) -> Iterator[str]:
    *buckets, total, count = row
    for bound, value in zip(telemetry.BUCKETS, buckets, strict=True):
        yield _line(f"{name}_bucket", (*labels, ("le", f"{bound:g}")), value)
    yield _line(f"{name}_bucket", (*labels, ("le", "+Inf")), count)
    yield _line(f"{name}_sum", labels, total)
    yield _line(f"{name}_count", labels, count)


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    number = int(value) if float(value).is_integer() else value
    return f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
