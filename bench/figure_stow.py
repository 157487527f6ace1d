"""STOW-RS over one kept connection: requests of ten CTs of 0.5 MB, beside Orthanc's plugin.

python bench/figure_stow.py [--peers a,b] [--runs 3]
"""

import argparse
import http.client
import statistics
import time
from pathlib import Path

from corpus import CT, corpus
from harness import Peer, Results, chosen, running

HEADERS = {
    "Content-Type": 'multipart/related; type="application/dicom"; boundary=XX',
    "Accept": "application/dicom+json",
}
OBJECTS = 10
REQUESTS = 30


def bodies(folder: Path) -> list[bytes]:
    """One for each request."""
    files = sorted(folder.rglob("*.dcm"))[: OBJECTS * REQUESTS]
    lead = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"
    groups = [files[at : at + OBJECTS] for at in range(0, len(files), OBJECTS)]
    return [b"".join(lead + file.read_bytes() + b"\r\n" for file in group) + b"--XX--\r\n" for group in groups]


def measure(peer: Peer, requests: list[bytes], results: Results) -> None:
    """Store all of them."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.http, timeout=300)
    spans = []
    for body in requests:
        started = time.perf_counter()
        connection.request("POST", peer.web + "/studies", body, HEADERS)
        answer = connection.getresponse()
        answer.read()
        spans.append(time.perf_counter() - started)
        if answer.status != http.client.OK:
            raise RuntimeError(f"HTTP {answer.status}")
    results.add(peer.name, "10 x 0.5 MB", ms=1e3 * statistics.median(spans))


def main() -> None:
    """Fresh servers for each run."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", default="")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    results, requests = Results("stow", "orthanc-sqlite"), bodies(corpus(CT))
    for _ in range(given.runs):
        for peer in chosen(given.peers, "orthanc-sqlite,isocenter"):
            with running(peer):
                measure(peer, requests, results)
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
