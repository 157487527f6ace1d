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
from material import SHARED, packaged_files

SAMPLES = SHARED / "data" / "wg04"
KINDS = {"RLE": None, "JPLL": None, "JLSL": None, "J2KR": None, "JLSN": 43.0, "JPLY": 28.0, "J2KI": 28.0}
"""Folders, and how near (PSNR in dB of the reference's range) those come that lose; None: exactly."""
NO_REFERENCE = {"MG1", "RG1", "VL4", "VL5"}


def compressed() -> list[Path]:
    return sorted(path for kind in KINDS for path in (SAMPLES / kind).glob("*")) if SAMPLES.is_dir() else []


@cache
def reference(name: str) -> tuple[Array, str]:
    (found,) = frames_in(*data_set_of(SAMPLES / "REF" / f"{name}_UNC"))
    return found[0], found[1].photometric


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="NEMA's compression samples are not beside the checkout")
def test_the_samples_are_there() -> None:
    assert len(compressed()) > 80


@pytest.mark.parametrize("path", compressed(), ids=lambda path: path.name)
def test_nema_samples(path: Path) -> None:
    ((array, described),) = frames_in(*data_set_of(path))
    name, kind = path.name.split("_")
    if name in NO_REFERENCE:
        assert array.shape[:2] == (described.rows, described.columns)
        assert int(array.max()) > int(array.min())
        return
    original, photometric = reference(name)
    assert described.photometric == photometric
    bound = KINDS[kind]
    if bound is None:
        assert np.array_equal(array, original)
        return
    error = float(np.mean((array.astype(float) - original) ** 2))
    assert 10 * np.log10(float(np.ptp(original.astype(float))) ** 2 / error) > bound


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
