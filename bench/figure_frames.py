"""Frames of a compressed object of 500 frames (WADO-RS): the first and the last must cost the same.

As stored, decoded and transcoded:

python bench/figure_frames.py [--runs 5]
"""

import argparse
import http.client
import io
import statistics
import time

import numpy as np
from harness import Isocenter, Peer, Results, running
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from isocenter.imaging.encoding import encoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy

SYNTAX, FRAMES, ASKED = "1.2.840.10008.1.2.4.80", 500, 40
ACCEPT = {"as stored": "image/jls", "decoded": "application/octet-stream", "as HTJ2K": "image/jphc"}


def cine() -> bytes:
    """A Part 10 file of so many frames in JPEG-LS."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = SYNTAX
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "2.25.3"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.PatientID = "2.25.1", "2.25.2", "CINE"
    made.Modality, made.NumberOfFrames = "US", FRAMES
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = 256, 256, 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    noise, pixels = np.random.default_rng(1), Pixels(256, 256)
    frames = [encoded(noise.integers(0, 90, (256, 256), np.uint8), pixels, SYNTAX, Lossy()) for _ in range(FRAMES)]
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def ask(connection: http.client.HTTPConnection, peer: Peer, number: int, accept: str) -> float:
    """Median milliseconds for a frame. Raises RuntimeError unless it is 200."""
    spans = []
    for _ in range(ASKED):
        started = time.perf_counter()
        path = f"{peer.web}/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/{number}"
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        answer.read()
        spans.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}")
    return 1e3 * statistics.median(spans)


def main() -> None:
    """First and last frame in turn."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    results, peer = Results("frames", "frame 1"), Isocenter()
    with running(peer):
        connection = http.client.HTTPConnection("127.0.0.1", peer.http, timeout=60)
        connection.request("POST", f"{peer.web}/studies", cine(), {"Content-Type": "application/dicom"})
        answer = connection.getresponse()
        answer.read()
        for _ in range(given.runs):
            for name, accept in ACCEPT.items():
                for number in (1, FRAMES):
                    results.add(f"frame {number}", name, ms=ask(connection, peer, number, accept))
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
