"""Real files: NEMA's compression samples against their references, pydicom's own files against pydicom's decoders."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from imaging_objects import data_set_of, frames_in
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError
from isocenter.imaging.arrays import Array
from isocenter.imaging.codecs import codec
from isocenter.imaging.pixels import Pixels
from material import SHARED, packaged_files

SAMPLES = SHARED / "data" / "wg04"
LOSSLESS = ("RLE", "JPLL", "JLSL", "J2KR")
LEAST = {
    "JLSN": {
        "CT1": 64, "CT2": 62, "MR1": 63, "MR2": 48, "MR3": 56, "MR4": 59, "NM1": 43, "RG2": 51, "RG3": 53, "SC1": 62,
        "XA1": 46,
    },
    "JPLY": {
        "MR1": 48, "MR2": 37, "MR3": 46, "MR4": 54, "NM1": 37, "RG2": 43, "RG3": 52, "SC1": 51, "XA1": 42,
    },
    "J2KI": {
        "CT1": 41, "CT2": 41, "MR1": 38, "MR2": 40, "MR3": 32, "MR4": 53, "NM1": 31, "RG2": 53, "RG3": 57, "SC1": 58,
        "US1": 36, "VL1": 40, "VL2": 39, "VL3": 39, "VL6": 32, "XA1": 49,
    },
}  # fmt: skip
"""Folders of those that lose, and how near each file comes (PSNR in dB of the reference's range, rounded down)."""
NO_REFERENCE = {"MG1", "RG1", "VL4", "VL5"}
THEIRS = ("JLSN", "J2KI")
"""Of those that lose, what pydicom's plugins that are here decode: no JPEG of 12 bits."""
BOTH = {"MG1": ("JPLY", "J2KI", 47), "RG1": ("JLSN", "J2KI", 52)}
"""Of these there are two that lose and no reference: how near they come to each other."""


def compressed() -> list[Path]:
    return (
        sorted(path for kind in (*LOSSLESS, *LEAST) for path in (SAMPLES / kind).glob("*")) if SAMPLES.is_dir() else []
    )


@cache
def reference(name: str) -> tuple[Array, str]:
    (found,) = frames_in(*data_set_of(SAMPLES / "REF" / f"{name}_UNC"))
    return found[0], found[1].photometric


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="NEMA's compression samples are not beside the checkout")
def test_the_samples_are_there() -> None:
    assert len(compressed()) > 80


def decoded(path: Path) -> tuple[Array, Pixels]:
    (found,) = frames_in(*data_set_of(path))
    return found


def pydicoms(path: Path, described: Pixels) -> Array:
    """The frame as pydicom decodes it."""
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    (frame,) = iter_pixels(dcmread(path), raw=described.photometric != "RGB")
    return frame


def nearness(original: Array, array: Array) -> float:
    """PSNR in dB of the range of the original."""
    error = float(np.mean((array.astype(float) - original) ** 2))
    return float(10 * np.log10(float(np.ptp(original.astype(float))) ** 2 / error))


@pytest.mark.parametrize("path", compressed(), ids=lambda path: path.name)
def test_nema_samples(path: Path) -> None:
    array, described = decoded(path)
    name, kind = path.name.split("_")
    if kind in THEIRS and name not in ("MG1", "VL5"):  # the largest
        off = np.abs(array.astype(int) - pydicoms(path, described).astype(int)).max()
        assert off <= (1 if described.photometric == "RGB" else 0), "but for the rounding of the colour transform"
    if name in NO_REFERENCE:
        assert array.shape[:2] == (described.rows, described.columns)
        assert int(array.max()) > int(array.min())
        return
    original, photometric = reference(name)
    assert described.photometric == photometric
    if kind in LOSSLESS:
        assert np.array_equal(array, original)
    else:
        assert nearness(original, array) > LEAST[kind][name]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="NEMA's compression samples are not beside the checkout")
@pytest.mark.parametrize("name", BOTH)
def test_two_compressions_of_one_image(name: str) -> None:
    one, other, least = BOTH[name]
    first, second = (decoded(SAMPLES / kind / f"{name}_{kind}")[0] for kind in (one, other))
    assert nearness(first, second) > least


def decodable() -> list[Path]:
    return [path for path in packaged_files() if b"DICM" in path.read_bytes()[128:132]]


@pytest.mark.parametrize("path", decodable(), ids=lambda path: path.name)
def test_as_pydicom_decodes(path: Path) -> None:
    """Every file of pydicom's package whose pixels it decodes here; those that it can't are no crash of ours."""
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    theirs = None
    data, syntax = data_set_of(path)
    try:
        mine = frames_in(data, syntax) if codec(syntax) else []
    except IsocenterError:
        mine = []
    try:
        source = dcmread(path)
        rgb = bool(mine) and mine[0][1].photometric == "RGB"
        theirs = [np.array(frame) for frame in iter_pixels(source, raw=not rgb)]
    except Exception:
        # neither it nor its plugins that are there decode this one: then there is nothing to compare with
        assert theirs is None
        return
    assert len(mine) == len(theirs)
    for (array, described), frame in zip(mine, theirs, strict=True):
        cells = array
        if described.stored < described.allocated and not transfer_syntax(syntax).encapsulated:
            cells = samples(array, described.stored, described.high, signed=described.signed)
        assert np.array_equal(cells, frame)


def samples(array: Array, stored: int, high: int, *, signed: bool) -> Array:
    """The values in cells: the stored bits alone, as pydicom gives them."""
    spare = 8 * array.dtype.itemsize - high - 1
    moved = np.left_shift(array, spare) if array.dtype.kind in "iu" else array
    return np.right_shift(moved, 8 * array.dtype.itemsize - stored) if array.dtype.kind in "iu" else moved
