"""Pictures over one kept connection: milliseconds each, beside Orthanc with its DICOMweb and GDCM plugins.

    python bench/figure_render.py [--runs 3]

A CT of 512x512, uncompressed and in JPEG 2000, and an image of 2048x2048 in JPEG 2000: the first time that it is asked
for, again and again, with another window each time, and as a thumbnail; and a walk through a series. Orthanc has no
thumbnails over DICOMweb; it is asked for a rendering of that size.
"""

import argparse
import http.client
import statistics
import time

import imagecodecs
from corpus import Shape, corpus
from figure_web import Client
from harness import Isocenter, Orthanc, Peer, Results, running
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import JPEG2000Lossless

IMAGES = (Shape("render", "CT", 1, 1, 1, 32, 512), Shape("render-large", "CT", 1, 1, 1, 8, 2048))
JPEG = {"Accept": "image/jpeg"}
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX', "Accept": "application/dicom+json"}
TIMES = 30
LARGE = 8
LOADING = 2.0
"""Seconds after the first pictures, in which ours loads what it takes to draw the next ones by itself."""


class OrthancPixels(Orthanc):
    """Orthanc that decodes JPEG 2000."""

    plugins = (*Orthanc.plugins, "libOrthancGdcm.so")


def images() -> dict[str, list[Dataset]]:
    """What is drawn."""
    small, large = (sorted(corpus(shape).rglob("*.dcm")) for shape in IMAGES)
    return {
        "CT 512": [dcmread(path) for path in small[:TIMES]],
        "CT 512, JPEG 2000": [compressed(dcmread(path), "1") for path in small[:TIMES]],
        "2048, JPEG 2000": [compressed(dcmread(path), "1") for path in large[:LARGE]],
    }


def compressed(image: Dataset, more: str) -> Dataset:
    """In JPEG 2000, lossless, in a series of its own."""
    stream = imagecodecs.jpeg2k_encode(image.pixel_array, level=0, codecformat="J2K", bitspersample=12, reversible=True)
    image.PixelData = encapsulate([bytes(stream)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    image.SeriesInstanceUID += more
    image.SOPInstanceUID += more
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def store(client: Client, image: Dataset) -> None:
    """Raises RuntimeError unless it is taken."""
    file = DicomBytesIO()
    image.save_as(file, enforce_file_format=True)
    body = b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue() + b"\r\n--XX--\r\n"
    client.connection.request("POST", client.root + "/studies", body, STOW)
    answer = client.connection.getresponse()
    answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"STOW-RS: HTTP {answer.status}")


def path(image: Dataset) -> str:
    """Where an instance is."""
    return f"/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}"


def measure(peer: Peer, client: Client, images: dict[str, list[Dataset]], results: Results) -> None:
    """Ask for everything."""

    def ask(case: str, paths: list[str]) -> None:
        spans = [client.get(each, JPEG, 1) for each in paths]
        results.add(peer.name, case, ms=statistics.median(span for span, _ in spans), kilobytes=spans[-1][1])

    thumbnail = "/thumbnail" if isinstance(peer, Isocenter) else "/rendered"
    for name, many in images.items():
        one = path(many[0])
        ask(f"{name}, thumbnails", [f"{path(image)}{thumbnail}?viewport=128,128" for image in many])
        ask(f"{name}, one after the other", [f"{path(image)}/rendered" for image in many])
        ask(f"{name}, again", [f"{one}/rendered"] * LARGE)
        ask(f"{name}, another window", [f"{one}/rendered?window={40 + n},400,linear" for n in range(LARGE)])


def main() -> None:
    """Load each peer, then measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    results, made = Results("render", "orthanc-pixels"), images()
    for _ in range(given.runs):
        for peer in (OrthancPixels("orthanc-pixels"), Isocenter()):
            with running(peer):
                client = Client(peer)
                for image in (image for many in made.values() for image in many):
                    store(client, image)
                client.get(f"{path(made['CT 512'][-1])}/rendered?viewport=16,16", JPEG, 3)
                time.sleep(LOADING)
                client = Client(peer)  # by now Orthanc has closed the other connection
                measure(peer, client, made, results)
    results.table("ms", lower_is_better=True)


if __name__ == "__main__":
    main()
