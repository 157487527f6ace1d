"""DICOMweb over one kept connection: milliseconds a request, beside Orthanc's plugin.

    python bench/figure_web.py [--peers a,b] [--runs 3]

5,000 small studies and a series of 1,000 CTs. Metadata is asked for three times over: right after ingest, once the
series has settled, and again; with and without gzip, as clients do.
"""

import argparse
import http.client
import statistics
import time
from collections.abc import Callable

from corpus import CT, FIND, corpus
from harness import Peer, Results, chosen, parts, running, send
from pydicom import Dataset, dcmread

JSON = {"Accept": "application/dicom+json"}
PACKED = {**JSON, "Accept-Encoding": "gzip"}
FRAME = {"Accept": 'multipart/related; type="application/octet-stream"'}
OBJECTS = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
SETTLE_SECONDS = 75.0
"""Longer than either server waits before it calls a series settled."""


class Client:
    """One connection, timed requests."""

    def __init__(self, peer: Peer) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", peer.http, timeout=300)
        self.root = peer.web

    def get(self, path: str, headers: dict[str, str], times: int) -> tuple[float, float]:
        """(median milliseconds, kilobytes of the last answer). Raises RuntimeError unless it is 200."""
        spans, size = [], 0
        for _ in range(times):
            started = time.perf_counter()
            self.connection.request("GET", self.root + path, headers=headers)
            answer = self.connection.getresponse()
            size = len(answer.read())
            spans.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"{path.split('?')[0].split('/')[-1]}: HTTP {answer.status}")
        return 1e3 * statistics.median(spans), size / 1e3


def cases(ct: Dataset, small: Dataset) -> dict[str, tuple[int, str, dict[str, str]]]:
    """(repetitions, path, headers) by name."""
    series = f"/studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}"
    return {
        "QIDO PatientID": (30, f"/studies?PatientID={small.PatientID}", JSON),
        "QIDO page of 50 studies": (10, "/studies?limit=50&offset=100", JSON),
        "QIDO 1000 instances": (3, f"{series}/instances", JSON),
        "metadata again": (3, f"{series}/metadata", JSON),
        "metadata again, gzip": (3, f"{series}/metadata", PACKED),
        "WADO-RS study": (2, f"/studies/{ct.StudyInstanceUID}", OBJECTS),
        "WADO-RS instance": (30, f"{series}/instances/{ct.SOPInstanceUID}", OBJECTS),
        "one frame": (30, f"{series}/instances/{ct.SOPInstanceUID}/frames/1", FRAME),
    }


def measure(peer: Peer, runs: int, results: Results, ct: Dataset, small: Dataset) -> None:
    """Ask a loaded peer for everything."""
    client = Client(peer)
    series = f"/studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}/metadata"

    def once(case: str, repeat: int, path: str, headers: dict[str, str]) -> None:
        ms, kilobytes = client.get(path, headers, repeat)
        results.add(peer.name, case, ms=ms, kilobytes=kilobytes)

    once("metadata right after ingest", 1, series, JSON)
    time.sleep(SETTLE_SECONDS)
    client.connection.close()  # servers drop a connection that was silent for so long; the next request opens another
    once("metadata, first once settled", 1, series, JSON)
    ask: Callable[..., None] = once
    for _ in range(runs):
        for case, (repeat, path, headers) in cases(ct, small).items():
            ask(case, repeat, path, headers)


def main() -> None:
    """Load each peer, then measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", default="")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    large, many = corpus(CT), corpus(FIND)
    ct = dcmread(sorted(large.rglob("*.dcm"))[0], stop_before_pixels=True)
    small = dcmread(sorted(many.rglob("*.dcm"))[0], stop_before_pixels=True)
    results = Results("web", "orthanc-sqlite")
    for peer in chosen(given.peers, "orthanc-sqlite,isocenter"):
        with running(peer):
            send(peer, parts(many, 4, 5000)[0])
            send(peer, parts(large, 1, 1000)[0])
            measure(peer, given.runs, results, ct, small)
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
