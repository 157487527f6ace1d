"""C-GET and C-MOVE of a study of 1,000 CTs, into getscu and into storescp --ignore.

python bench/figure_retrieve.py [--peers a,b] [--runs 3]
"""

import argparse
import re
import shutil
import subprocess
import time

from corpus import CT, corpus
from harness import PROMPT, ROOT, Peer, Results, StoreSCP, chosen, parts, running, send
from pydicom import dcmread

COMMANDS = {
    "get": ["getscu", "-v", "-S", "--ignore", "-pdu", "131072"],
    "move": ["movescu", "-v", "-S", "-aem", "BENCH"],
}


def retrieve(peer: Peer, kind: str, study: str) -> tuple[float, int]:
    """Retrieve the study once; (seconds, completed sub-operations)."""
    scratch = ROOT / "run" / "received"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    command = [*COMMANDS[kind], "-aet", "BENCH", "-aec", peer.title, *keys, "127.0.0.1", str(peer.port)]
    started = time.perf_counter()
    run = subprocess.run(command, env=PROMPT, capture_output=True, cwd=scratch, timeout=400)
    elapsed = time.perf_counter() - started
    said = re.findall(rb"Completed Suboperations\s*:\s*(\d+)", run.stdout + run.stderr)
    return elapsed, int(said[-1]) if said else -1


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
            for kind in [kind for _ in range(given.runs) for kind in COMMANDS]:
                before = peer.cpu()
                elapsed, done = retrieve(peer, kind, study)
                results.add(peer.name, kind, per_second=count / elapsed, megabytes=size / 1e6 / elapsed, done=done,
                            cpu_ms=1e3 * (peer.cpu() - before) / count)  # fmt: skip
    results.table("per_second")
    results.table("cpu_ms", lower_is_better=True)


if __name__ == "__main__":
    main()
