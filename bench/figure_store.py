"""C-STORE, side by side: instances a second and server CPU an instance, senders with and without Nagle's algorithm.

python bench/figure_store.py [--peers a,b] [--runs 3] [--case ct/1,ct/4,small/1,small/4,ct/nagle,small/nagle]
"""

import argparse
from pathlib import Path

from corpus import CT, SMALL, corpus
from harness import NAGLE, PROMPT, Peer, Results, chosen, parts, running, send

CASES: dict[str, tuple[str, int, int | None, dict[str, str]]] = {
    "ct/1": ("ct", 1, None, PROMPT),
    "ct/4": ("ct", 4, None, PROMPT),
    "small/1": ("small", 1, None, PROMPT),
    "small/4": ("small", 4, None, PROMPT),
    "ct/nagle": ("ct", 1, 200, NAGLE),
    "small/nagle": ("small", 1, 200, NAGLE),
}


def measure(peer: Peer, case: str, corpora: dict[str, Path], results: Results) -> None:
    """Send the case's files to a fresh `peer`."""
    which, senders, limit, env = CASES[case]
    folders, count, size = parts(corpora[which], senders, limit)
    with running(peer):
        before = peer.cpu()
        elapsed, wrong = send(peer, folders, env)
        cpu = peer.cpu() - before
    results.add(peer.name, case, per_second=count / elapsed, megabytes=size / 1e6 / elapsed, cpu_ms=1e3 * cpu / count,
                errors=wrong)  # fmt: skip


def main() -> None:
    """Run the cases, every peer in turn, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", default="")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--case", default=",".join(CASES))
    given = options.parse_args()
    peers = chosen(given.peers, "null,storescp,orthanc-sqlite,isocenter,isocenter-process")
    corpora = {"ct": corpus(CT), "small": corpus(SMALL)}
    results = Results("store", "orthanc-sqlite")
    for _ in range(given.runs):
        for case in given.case.split(","):
            for peer in peers:
                measure(peer, case, corpora, results)
    results.table("per_second")
    results.table("cpu_ms", lower_is_better=True)


if __name__ == "__main__":
    main()
