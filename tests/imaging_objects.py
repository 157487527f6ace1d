"""Made up objects with pixels, and what reads them in a test."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isocenter.dicom import uids
from isocenter.dicom.convert import convert
from isocenter.dicom.dataset import DataSet, Element, encode, encode_element, text, uid, us
from isocenter.dicom.deflate import inflate
from isocenter.dicom.part10 import read_header
from isocenter.dicom.uids import transfer_syntax
from isocenter.imaging.arrays import Array, dtype_of, to_native
from isocenter.imaging.codecs import is_native
from isocenter.imaging.decoding import decoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import Source, source

SOP_CLASS, SOP_INSTANCE = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4.5"


def header(pixels: Pixels, **more: Element) -> DataSet:
    """The elements before the pixel data."""
    found: DataSet = {
        0x00080016: uid(SOP_CLASS),
        0x00080018: uid(SOP_INSTANCE),
        0x00280002: us(pixels.samples),
        0x00280004: text("CS", pixels.photometric),
        0x00280008: text("IS", str(pixels.frames)),
        0x00280010: us(pixels.rows),
        0x00280011: us(pixels.columns),
        0x00280100: us(pixels.allocated),
        0x00280101: us(pixels.stored),
        0x00280102: us(pixels.high),
        0x00280103: us(int(pixels.signed)),
    }
    if pixels.samples > 1:
        found[0x00280006] = us(pixels.planar)
    return found | {int(tag, 16): element for tag, element in more.items()}


def native_object(pixels: Pixels, value: bytes, syntax: str = uids.EXPLICIT_LE, *, behind: bytes = b"") -> bytes:
    """A data set with native pixel data: `value` is little endian."""
    vr = "OW" if pixels.allocated > 8 else "OB"
    data = encode(header(pixels), EXPLICIT) + encode_element(0x7FE00010, vr, value, EXPLICIT) + behind
    return b"".join(convert(lambda offset, n: data[offset : offset + n], len(data), EXPLICIT, syntax))


EXPLICIT = uids.EXPLICIT_LE


def items(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    """The value of encapsulated pixel data with its header and delimiter."""
    out = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    for fragment in (table, *fragments):
        out += struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment) + len(fragment) % 2) + fragment
        out += b"\0" * (len(fragment) % 2)
    return out + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def encapsulated_object(pixels: Pixels, fragments: Sequence[bytes], table: bytes = b"", **more: Element) -> bytes:
    """A data set with compressed pixel data."""
    return encode(header(pixels, **more), EXPLICIT) + items(fragments, table)


def some_array(pixels: Pixels, seed: int = 0, *, noise: bool = False) -> Array:
    """A frame: a ramp with edges, or noise over the whole range of the stored bits."""
    shape = (pixels.rows, pixels.columns, pixels.samples)[: 3 if pixels.samples > 1 else 2]
    low = -(1 << pixels.stored - 1) if pixels.signed else 0
    high = low + (1 << pixels.stored)
    random = np.random.default_rng(seed)
    if noise or pixels.stored > 48:
        values = random.integers(low, high, shape, dtype_of(pixels))
    else:
        ramp = np.add.outer(np.arange(pixels.rows), np.arange(pixels.columns)) * max((high - low) // 97, 1)
        values = ramp if pixels.samples == 1 else np.stack([ramp * (n + 1) for n in range(pixels.samples)], axis=-1)
        values = values % (high - low) + low
    return values.astype(dtype_of(pixels))


def native_frames(pixels: Pixels, *, noise: bool = False) -> tuple[list[Array], bytes]:
    """Frames as arrays, and as one native value of samples by pixel."""
    arrays = [some_array(pixels, number, noise=noise) for number in range(pixels.frames)]
    plain = pixels._replace(planar=0)
    return arrays, b"".join(to_native(array, plain) for array in arrays)


def opened(data: bytes, syntax: str) -> Source | None:
    """A data set as a source, None without pixel data."""
    if transfer_syntax(syntax).deflated:
        data, syntax = inflate(data), EXPLICIT
    return source(lambda offset, n: data[offset : offset + n], len(data), syntax)


def frames_in(data: bytes, syntax: str) -> list[tuple[Array, Pixels]]:
    """The decoded frames of a data set, in this process; none without pixel data."""
    found = opened(data, syntax)
    if found is None:
        return []
    frames = found.frames
    assert is_native(syntax) == is_native(frames.syntax)
    return [decoded(frame, frames.syntax, frames.pixels) for frame in frames]


def data_set_of(path: Path) -> tuple[bytes, str]:
    """The data set of a file and its transfer syntax."""
    raw = path.read_bytes()
    found = read_header(raw)
    return raw[found.offset :], found.syntax
