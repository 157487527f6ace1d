"""Header scan against pydicom: microseconds an object, and how many times faster.

    .venv/bin/python bench/scan.py [FILE ...]

Each file's data set is scanned for 48 top level attributes from memory, and read with
`pydicom.dcmread(stop_before_pixels=True)` followed by reading the same attributes. Best of several rounds, in turns.
"""

import io
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import pydicom.data

from isocenter.dicom.headers import MalformedDataSet
from isocenter.dicom.part10 import read_header
from isocenter.dicom.scan import scan

WANTED = """
    00080005 00080008 00080016 00080018 00080020 00080021 00080022 00080023 00080030 00080031 00080032 00080033
    00080050 00080060 00080070 00080080 00080090 00081010 00081030 0008103E 00081040 00081090 00081140 00100010
    00100020 00100021 00100030 00100040 00101010 00101030 00180015 00181030 00185100 0020000D 0020000E 00200010
    00200011 00200012 00200013 00200052 00280002 00280004 00280008 00280010 00280011 00280100 00400241 00400275
"""
TAGS = frozenset(int(tag, 16) for tag in WANTED.split())
ROUNDS = 7


def best(action: Callable[[], object], calls: int) -> float:
    """Seconds a call, in the best of some rounds."""
    action()
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            action()
        rounds.append((time.perf_counter() - started) / calls)
    return min(rounds)


def by_pydicom(content: bytes) -> None:
    """What an index would do with pydicom."""
    read = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    for tag in TAGS:
        element = read.get(tag)
        if element is not None:
            _ = element.value


def measure(path: Path) -> tuple[float, float]:
    """Seconds for our scan and for pydicom."""
    content = path.read_bytes()
    header = read_header(content)
    data = content[header.offset :][: 1 << 18]
    whole = len(content) - header.offset == len(data)
    ours = best(lambda: scan(data, header.syntax, TAGS, whole=whole), 200)
    return ours, best(lambda: by_pydicom(content), 10)


def main() -> None:
    """Print a table of the files given, else of pydicom's own."""
    root = Path(pydicom.data.__file__).parent / "test_files"
    names = ("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "rtplan.dcm")
    for path in [Path(arg) for arg in sys.argv[1:]] or [root / name for name in names if (root / name).exists()]:
        try:
            ours, theirs = measure(path)
        except MalformedDataSet as error:
            print(f"{path.name}: {error}")
            continue
        print(f"{path.name:32s} ours {ours * 1e6:8.1f} us   pydicom {theirs * 1e6:9.1f} us   {theirs / ours:6.1f} x")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
