"""C-FIND at study level over 10,000 studies: milliseconds a query as findscu sees them, association and all.

    python bench/figure_find.py [--peers a,b] [--runs 3]

The floor is what the same client takes for a C-ECHO-like query without a match; long answers are read by `findscu -q`,
which is quick enough not to hide the server.
"""

import argparse
import subprocess
import time

from corpus import FIND, corpus
from harness import PROMPT, Peer, Results, chosen, parts, running, send
from pydicom import dcmread

RETURNED = ["PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
            "StudyDescription"]  # fmt: skip


def query(peer: Peer, repeat: int, **keys: str) -> float:
    """Milliseconds a query, `repeat` of them on one association."""
    wanted = {"QueryRetrieveLevel": "STUDY", **dict.fromkeys(RETURNED, ""), **keys}
    command = ["findscu", "-q", "-S", "--repeat", str(repeat), "-aet", "BENCH", "-aec", peer.title]
    for keyword, value in wanted.items():
        command += ["-k", f"{keyword}={value}"]
    started = time.perf_counter()
    subprocess.run([*command, "127.0.0.1", str(peer.port)], env=PROMPT, check=True, capture_output=True, timeout=300)
    return 1e3 * (time.perf_counter() - started) / repeat


def main() -> None:
    """Load each peer with 10,000 studies, then ask."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", default="")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    files = corpus(FIND)
    sample = dcmread(sorted(files.rglob("*.dcm"))[4321], stop_before_pixels=True)
    year = str(sample.StudyDate)[:4]
    cases: dict[str, tuple[int, dict[str, str]]] = {
        "no match": (50, {"PatientID": "NOSUCH"}),
        "PatientID": (50, {"PatientID": str(sample.PatientID)}),
        "StudyInstanceUID": (50, {"StudyInstanceUID": str(sample.StudyInstanceUID)}),
        "AccessionNumber": (50, {"AccessionNumber": str(sample.AccessionNumber)}),
        "name prefix": (20, {"PatientName": str(sample.PatientName)[:9] + "*"}),
        "one week": (20, {"StudyDate": f"{year}0301-{year}0307"}),
        "one year": (4, {"StudyDate": f"{year}0101-{year}1231"}),
    }
    results = Results("find", "orthanc-sqlite")
    for peer in chosen(given.peers, "orthanc-sqlite,orthanc-pg,isocenter"):
        with running(peer):
            folders, _, _ = parts(files, 4)
            send(peer, folders)
            for _ in range(given.runs):
                for case, (repeat, keys) in cases.items():
                    results.add(peer.name, case, ms=query(peer, repeat, **keys))
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
