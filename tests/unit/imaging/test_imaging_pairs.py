"""Whole objects from every transfer syntax into every other without loss: samples, description, and their digest."""

import hashlib
from functools import cache

import numpy as np
import pytest

from imaging_objects import encapsulated_object, frames_in, native_frames, native_object
from inline_engine import Inline
from isocenter.dicom import uids
from isocenter.dicom.headers import Read
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused
from isocenter.imaging.arrays import Array
from isocenter.imaging.codecs import can_write, codec, is_native, syntaxes
from isocenter.imaging.encoding import encoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.proving import pixel_digest, signal_to_noise
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import transcoding

LOSSLESS = [uid for uid in syntaxes() if (writes := codec(uid).writes) is not None and not writes.lossy]  # type: ignore[union-attr]
ENCAPSULATED = [uid for uid in LOSSLESS if not is_native(uid)]
GREY = Pixels(9, 14, frames=2)
KINDS = {
    "8 bit": GREY,
    "8 bit signed": GREY._replace(signed=True),
    "12 of 16 bit": GREY._replace(allocated=16, stored=12, high=11),
    "12 of 16 bit signed": GREY._replace(allocated=16, stored=12, high=11, signed=True),
    "12 bit at the top": GREY._replace(allocated=16, stored=12, high=15),
    "16 bit": GREY._replace(allocated=16, stored=16, high=15),
    "16 bit signed": GREY._replace(allocated=16, stored=16, high=15, signed=True),
    "32 bit": GREY._replace(allocated=32, stored=32, high=31),
    "32 bit signed": GREY._replace(allocated=32, stored=32, high=31, signed=True),
    "20 of 32 bit": GREY._replace(allocated=32, stored=20, high=19),
    "one bit": GREY._replace(allocated=1, stored=1, high=0),
    "white is low": GREY._replace(photometric="MONOCHROME1"),
    "palette": GREY._replace(photometric="PALETTE COLOR"),
    "palette of 16 bit": GREY._replace(photometric="PALETTE COLOR", allocated=16, stored=16, high=15),
    "colour": GREY._replace(samples=3, photometric="RGB"),
    "colour of 16 bit": GREY._replace(samples=3, photometric="RGB", allocated=16, stored=16, high=15),
    "luminance and chrominance": GREY._replace(samples=3, photometric="YBR_FULL"),
}
ENGINE = Inline()


@cache
def samples(kind: str) -> tuple[list[Array], str]:
    """Frames, and the digest that all objects of them must have."""
    pixels = KINDS[kind]
    arrays, value = native_frames(pixels, noise=True)
    return arrays, f"{pixels.photometric} {hashlib.sha256(value).hexdigest()}"


@cache
def held(kind: str, syntax: str) -> bytes:
    """The object in a transfer syntax, or b'' where that can't hold it."""
    pixels, (arrays, _) = KINDS[kind], samples(kind)
    if not can_write(syntax, pixels):
        return b""
    if is_native(syntax):
        return native_object(pixels, native_value(pixels, arrays), syntax)
    writes = codec(syntax).writes  # type: ignore[union-attr]
    assert writes is not None
    written = pixels._replace(photometric=writes.colour) if pixels.photometric == "RGB" else pixels
    return encapsulated_object(written, [encoded(array, pixels, syntax, Lossy()) for array in arrays])


def native_value(pixels: Pixels, arrays: list[Array]) -> bytes:
    """Frames of single bits follow each other without a gap."""
    if pixels.allocated > 1:
        return native_frames(pixels, noise=True)[1]
    return np.packbits(np.concatenate([array.reshape(-1) for array in arrays]), bitorder="little").tobytes()


def into(data: bytes, syntax: str, wanted: str) -> bytes:
    made = transcoding(ENGINE, lambda at, n: data[at : at + n], len(data), syntax, wanted)
    return b"".join(made.pieces())


def digest(data: bytes, syntax: str) -> str:
    return pixel_digest(ENGINE, lambda at, n: data[at : at + n], len(data), syntax)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_keeps_every_sample(kind: str) -> None:
    arrays, expected = samples(kind)
    tried = 0
    for stored in LOSSLESS:
        data = held(kind, stored)
        if not data:
            continue
        assert digest(data, stored) == expected
        for wanted in ENCAPSULATED + [uids.EXPLICIT_LE] * (not is_native(stored)):
            if wanted == stored:
                continue
            if not can_write(wanted, KINDS[kind]):
                with pytest.raises(Refused) as refused:
                    into(data, stored, wanted)
                assert refused.value.reason == Reason.TRANSFER_SYNTAX_NOT_SUPPORTED
                continue
            there = into(data, stored, wanted)
            found = frames_in(there, wanted)
            assert all(np.array_equal(a, b) for a, (b, _) in zip(arrays, found, strict=True)), (stored, wanted)
            assert digest(there, wanted) == expected, (stored, wanted)
            tried += 1
    assert tried >= 12


def test_colour_by_plane_has_the_digest_of_colour_by_pixel() -> None:
    kind = "colour"
    arrays, expected = samples(kind)
    planes = b"".join(np.ascontiguousarray(array.transpose(2, 0, 1)).tobytes() for array in arrays)
    data = native_object(KINDS[kind]._replace(planar=1), planes)
    assert digest(data, uids.EXPLICIT_LE) == expected
    for wanted in ENCAPSULATED:
        assert digest(into(data, uids.EXPLICIT_LE, wanted), wanted) == expected


def test_the_order_of_bytes_is_no_matter() -> None:
    for kind in ("16 bit", "32 bit signed", "colour of 16 bit"):
        _, expected = samples(kind)
        for syntax in (uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE):
            assert digest(held(kind, syntax), syntax) == expected


def test_one_bit_that_differs_is_another_digest() -> None:
    data = bytearray(held("16 bit", uids.EXPLICIT_LE))
    data[-1] ^= 1
    assert digest(bytes(data), uids.EXPLICIT_LE) != samples("16 bit")[1]


@pytest.mark.parametrize(("cut", "reason"), [(1, Reason.NOT_ACCEPTABLE), (300, Reason.NOT_ACCEPTABLE)])
def test_of_an_object_that_lacks_frames_there_is_no_digest(cut: int, reason: Reason) -> None:
    data = held("16 bit", uids.EXPLICIT_LE)[:-cut]
    with pytest.raises(Refused) as refused:
        digest(data, uids.EXPLICIT_LE)
    assert refused.value.reason == reason


def test_how_near_a_copy_comes() -> None:
    pixels = Pixels(40, 60)
    arrays, value = native_frames(pixels)
    near = np.clip(arrays[0].astype(int) + 2, 0, 255).astype(np.uint8).tobytes()

    def whole(described: Pixels, value: bytes) -> tuple[Read, int, str]:
        data = native_object(described, value)
        return (lambda at, n: data[at : at + n]), len(data), uids.EXPLICIT_LE

    assert signal_to_noise(ENGINE, whole(pixels, value), whole(pixels, value)) == float("inf")
    assert 42 < signal_to_noise(ENGINE, whole(pixels, value), whole(pixels, near)) < 43
    with pytest.raises(Refused):
        signal_to_noise(ENGINE, whole(pixels, value), whole(GREY, bytes(252)))


def test_tables_of_syntaxes_agree() -> None:
    """What the codec table calls lossless, the registry does too."""
    assert not [uid for uid in LOSSLESS if transfer_syntax(uid).lossy]
