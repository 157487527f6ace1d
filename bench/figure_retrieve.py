"""C-GET and C-MOVE of a study of 1,000 CTs, into getscu and into storescp --ignore, and how much these two can take.

python bench/figure_retrieve.py [--peers a,b] [--runs 3]

"ceiling" is the receiver fed with messages made beforehand (`ceiling.py`); no archive can be faster into it.
"""

import argparse
import re
import shutil
import subprocess
import time

from ceiling import NullArchive, Stored, feed, objects
from corpus import CT, corpus
from harness import PROMPT, ROOT, Peer, Results, StoreSCP, chosen, parts, running, send
from pydicom import dcmread

COMMANDS = {
    "get": ["getscu", "-v", "-S", "--ignore", "-pdu", "131072"],
    "move": ["movescu", "-v", "-S", "-aem", "BENCH"],
}
DONE = re.compile(rb"Completed Suboperations\s*:\s*(\d+)|Received Move Response (\d+) \(Pending\)")


def retrieve(title: str, port: int, kind: str, study: str) -> tuple[float, int]:
    """Retrieve the study once; (seconds, completed sub-operations)."""
    scratch = ROOT / "run" / "received"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    command = [*COMMANDS[kind], "-aet", "BENCH", "-aec", title, *keys, "127.0.0.1", str(port)]
    started = time.perf_counter()
    run = subprocess.run(command, env=PROMPT, capture_output=True, cwd=scratch, timeout=400)
    elapsed = time.perf_counter() - started
    said = [int(get or move) for get, move in DONE.findall(run.stdout + run.stderr)]
    return elapsed, said[-1] if said and not run.returncode else -1


def measure_ceiling(results: Results, sink: StoreSCP, stored: list[Stored], count: int, runs: int) -> None:
    """What the two receivers take from a sender that only sends."""
    with running(sink), NullArchive(stored, count) as null:
        retrieve(null.title, null.port, "get", "1.2")  # makes the messages
        for _ in range(runs):
            elapsed, done = retrieve(null.title, null.port, "get", "1.2")
            results.add("ceiling", "get", per_second=count / elapsed, done=done)
            results.add("ceiling", "move", per_second=count / feed(sink.port, sink.title, stored, count), done=count)


def measure(results: Results, peer: Peer, study: str, count: int, size: int, runs: int) -> None:
    """Retrieve the study from `peer` both ways."""
    for kind in [kind for _ in range(runs) for kind in COMMANDS]:
        before = peer.cpu()
        elapsed, done = retrieve(peer.title, peer.port, kind, study)
        results.add(peer.name, kind, per_second=count / elapsed, megabytes=size / 1e6 / elapsed, done=done,
                    cpu_ms=1e3 * (peer.cpu() - before) / count)  # fmt: skip


def main() -> None:
    """Load each peer with the study, then retrieve it `--runs` times each way."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", default="")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    files = corpus(CT)
    study = str(dcmread(next(files.rglob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)
    folders, count, size = parts(files, 1, 1000)
    results = Results("retrieve", "orthanc-sqlite")
    sink = StoreSCP("sink", "--ignore", "-pdu", "131072", title="BENCH")
    for peer in chosen(given.peers, "orthanc-sqlite,orthanc-pg,isocenter"):
        with running(sink), running(peer, sink.port):
            send(peer, folders)
            measure(results, peer, study, count, size, given.runs)
    measure_ceiling(results, sink, objects(files), count, given.runs)
    results.table("per_second")
    results.table("cpu_ms", lower_is_better=True)
    results.shares("per_second", "ceiling")


if __name__ == "__main__":
    main()
