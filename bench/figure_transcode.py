"""A series of CTs transcoded as it is retrieved (WADO-RS): all processes on one core, then on all cores.

    python bench/figure_transcode.py [--instances 1000] [--runs 3]

The client is pinned along with the server, since it takes its part of a core too.
"""

import argparse
import http.client
import os
import time

import psutil
from corpus import CT, corpus
from harness import Isocenter, Peer, Results, parts, running, send
from pydicom import dcmread

SYNTAXES = {
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "HTJ2K": "1.2.840.10008.1.2.4.201",
    "as stored": "*",
}


def pin(peer: Peer, cores: set[int]) -> None:
    """Let every thread of the server and this process run on these cores only."""
    for process in [*peer.tree(), psutil.Process()]:
        for thread in process.threads():
            try:
                os.sched_setaffinity(thread.id, cores)
            except ProcessLookupError:
                continue  # it has just ended


def fetch(peer: Peer, path: str, syntax: str) -> tuple[float, int]:
    """Seconds for the answer, and its bytes. Raises RuntimeError unless it is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.http, timeout=300)
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
    started, size = time.perf_counter(), 0
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    while piece := answer.read(1 << 20):
        size += len(piece)
    elapsed = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"HTTP {answer.status}")
    return elapsed, size


def main() -> None:
    """Each syntax on one core and on all of them, in turn."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--instances", type=int, default=1000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    files = corpus(CT)
    first = dcmread(sorted(files.rglob("*.dcm"))[0], stop_before_pixels=True)
    every = os.sched_getaffinity(0)
    results, peer = Results("transcode", "one core"), Isocenter()
    with running(peer):
        send(peer, parts(files, 1, given.instances)[0])
        path = f"{peer.web}/studies/{first.StudyInstanceUID}"
        for syntax in SYNTAXES.values():
            fetch(peer, path, syntax)  # starts the workers, warms the page cache
        for _ in range(given.runs):
            for name, syntax in SYNTAXES.items():
                for case, cores in (("one core", {min(every)}), ("all cores", every)):
                    pin(peer, cores)
                    seconds, size = fetch(peer, path, syntax)
                    results.add(case, name, seconds=seconds, megabytes=size / 1e6)
        pin(peer, every)
    results.table("seconds", lower_is_better=True)


if __name__ == "__main__":
    main()
