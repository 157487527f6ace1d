"""How long a viewer waits for its first image: a series of 1,000 CTs, the server just started again.

    python bench/figure_first.py [--runs 3]

The study is searched for, the series' metadata fetched, and one frame rendered, beside Orthanc with its DICOMweb and
GDCM plugins. The clock starts when the server answers over HTTP and DICOM; how long that takes is a row of its own.
"""

import argparse
import http.client
import time

from corpus import CT, corpus
from figure_render import JPEG, OrthancPixels
from figure_web import JSON, SETTLE_SECONDS, Client
from harness import Isocenter, Peer, Results, parts, running, send
from pydicom import Dataset, dcmread


def again(peer: Peer, results: Results) -> None:
    """Stop it and start it on what it holds; until it answers over both doors."""
    peer.stop()
    begun = time.perf_counter()
    peer.spawn(peer.command())
    peer.wait()
    while not answers(peer):
        time.sleep(0.01)
    results.add(peer.name, "start", ms=(time.perf_counter() - begun) * 1000)


def answers(peer: Peer) -> bool:
    """Whether it answers HTTP with whatever status."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.http, timeout=60)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def measure(peer: Peer, ct: Dataset, results: Results) -> None:
    """The three requests, from the start of the first to the end of the last."""
    client = Client(peer)
    series = f"/studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}"
    steps = {
        "QIDO study": (f"/studies?StudyInstanceUID={ct.StudyInstanceUID}", JSON),
        "series metadata": (f"{series}/metadata", JSON),
        "first frame": (f"{series}/instances/{ct.SOPInstanceUID}/rendered", JPEG),
    }
    spent = {name: client.get(path, headers, 1)[0] for name, (path, headers) in steps.items()}
    for name, ms in spent.items():
        results.add(peer.name, name, ms=ms)
    results.add(peer.name, "first image", ms=sum(spent.values()))


def main() -> None:
    """Load each peer once, then start it again for each run."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    large = corpus(CT)
    ct = dcmread(sorted(large.rglob("*.dcm"))[500], stop_before_pixels=True)
    results = Results("first", "orthanc-pixels")
    for peer in (OrthancPixels("orthanc-pixels"), Isocenter()):
        with running(peer):
            send(peer, parts(large, 1, 1000)[0])
            time.sleep(SETTLE_SECONDS)
            for _ in range(given.runs):
                again(peer, results)
                measure(peer, ct, results)
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
