"""Every coder gives back what it was given: bit depths, signs, colours, sizes."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging_objects import some_array
from isocenter.dicom import uids
from isocenter.errors import Refused
from isocenter.imaging import codestreams
from isocenter.imaging.arrays import from_native, to_native
from isocenter.imaging.codecs import DEFLATED_FRAME, JPEG_XL_LOSSLESS, can_write, codec, syntaxes
from isocenter.imaging.colour import after_decoding
from isocenter.imaging.decoding import decoded
from isocenter.imaging.encoding import encoded
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy

LOSSLESS = [uid for uid in syntaxes() if (writes := codec(uid).writes) is not None and not writes.lossy]  # type: ignore[union-attr]
COLOURS = {1: ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"], 3: ["RGB", "YBR_FULL"]}


@st.composite
def descriptions(draw: st.DrawFn) -> Pixels:
    allocated = draw(st.sampled_from([1, 8, 16, 24, 32, 64]))
    stored = draw(st.integers(1, allocated))
    samples = draw(st.sampled_from([1, 3])) if allocated > 1 else 1
    return Pixels(
        rows=draw(st.integers(1, 40)),
        columns=draw(st.integers(1, 40)),
        samples=samples,
        photometric=draw(st.sampled_from(COLOURS[samples])),
        allocated=allocated,
        stored=stored,
        high=draw(st.integers(stored - 1, allocated - 1)),
        signed=allocated > 1 and draw(st.booleans()),
    )


@pytest.mark.parametrize("syntax", LOSSLESS)
@settings(max_examples=60, deadline=None)
@given(pixels=descriptions(), seed=st.integers(0, 99), noise=st.booleans(), beyond=st.booleans())
def test_a_frame_comes_back_bit_for_bit(syntax: str, pixels: Pixels, seed: int, noise: bool, beyond: bool) -> None:
    if not can_write(syntax, pixels):
        with pytest.raises(Refused):
            encoded(some_array(pixels), pixels, syntax, Lossy())
        return
    # bits outside of those stored are overlays of old: they are kept too
    filled = pixels._replace(stored=pixels.allocated) if beyond and pixels.allocated <= 16 else pixels
    array = some_array(filled, seed, noise=noise)
    frame = encoded(array, pixels, syntax, Lossy())
    written = pixels
    if syntax in (uids.JPEG_2000_LOSSLESS, uids.HTJ2K_LOSSLESS, uids.HTJ2K_LOSSLESS_RPCL) and pixels.samples == 3:
        written = pixels._replace(photometric="YBR_RCT" if pixels.photometric == "RGB" else pixels.photometric)
    back, described = decoded(frame + b"\0" * (len(frame) % 2), syntax, written)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert described == pixels


@settings(max_examples=60, deadline=None)
@given(pixels=descriptions(), seed=st.integers(0, 99))
def test_native_frames_and_arrays(pixels: Pixels, seed: int) -> None:
    array = some_array(pixels, seed, noise=True)
    data = to_native(array, pixels)
    assert len(data) == pixels.frame_bytes
    assert np.array_equal(from_native(data, pixels), array)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), wide=st.booleans())
def test_colour_by_plane(rows: int, columns: int, wide: bool) -> None:
    bits = 16 if wide else 8
    pixels = Pixels(rows, columns, 3, "RGB", bits, bits, bits - 1, planar=1)
    array = some_array(pixels, noise=True)
    planes = np.ascontiguousarray(array.transpose(2, 0, 1)).tobytes()
    assert np.array_equal(from_native(planes, pixels), array)


def test_shared_chrominance_is_given_to_each_pixel() -> None:
    pixels = Pixels(2, 2, 3, "YBR_FULL_422")
    data = bytes([10, 20, 100, 200, 30, 40, 110, 210])
    array, described = decoded(data, uids.EXPLICIT_LE, pixels)
    assert array.tolist() == [[[10, 100, 200], [20, 100, 200]], [[30, 110, 210], [40, 110, 210]]]
    assert described.photometric == "YBR_FULL"
    with pytest.raises(Refused):
        decoded(bytes(6), uids.EXPLICIT_LE, Pixels(2, 2, 3, "YBR_PARTIAL_420"))


MONOCHROME_8, MONOCHROME_12 = Pixels(40, 60), Pixels(40, 60, 1, "MONOCHROME2", 16, 12, 11)
COLOUR = Pixels(40, 60, 3, "RGB")


@pytest.mark.parametrize(
    ("syntax", "pixels", "becomes", "bound"),
    [
        (uids.JPEG_BASELINE, MONOCHROME_8, "MONOCHROME2", 40),
        (uids.JPEG_BASELINE, COLOUR, "YBR_FULL_422", 20),
        (uids.JPEG_EXTENDED, MONOCHROME_8, "MONOCHROME2", 40),
        (uids.JPEG_EXTENDED, MONOCHROME_12, "MONOCHROME2", 40),
        (uids.JPEG_LS_NEAR_LOSSLESS, MONOCHROME_12, "MONOCHROME2", 60),
        (uids.JPEG_LS_NEAR_LOSSLESS, COLOUR, "RGB", 35),
        (uids.JPEG_2000, MONOCHROME_12, "MONOCHROME2", 30),
        (uids.JPEG_2000, COLOUR, "YBR_ICT", 40),
        (uids.HTJ2K, MONOCHROME_12, "MONOCHROME2", 30),
        (uids.HTJ2K, COLOUR, "YBR_ICT", 40),
    ],
)
def test_lossy_coders_stay_near(syntax: str, pixels: Pixels, becomes: str, bound: float) -> None:
    array = some_array(pixels) // 2
    frame = encoded(array, pixels, syntax, Lossy())
    back, described = decoded(frame, syntax, pixels._replace(photometric=becomes))
    assert described.photometric == pixels.photometric
    error = float(np.mean((back.astype(float) - array) ** 2))
    assert 10 * np.log10(float(np.ptp(array)) ** 2 / max(error, 1e-9)) > bound


def test_htj2k_has_tile_part_lengths_and_the_order_rpcl() -> None:
    frame = encoded(some_array(MONOCHROME_12), MONOCHROME_12, uids.HTJ2K_LOSSLESS_RPCL, Lossy())
    assert frame[4:6] == b"\0\x29"
    markers = dict(codestreams._segments(frame))
    assert 0x55 in markers  # TLM
    assert markers[0x52][1] == 2  # RPCL
    assert markers[0x50][:4] == b"\0\2\0\0"  # Part 15 capabilities
    assert markers[0x51][36] == 11  # 12 bits, unsigned


def test_the_predictor_of_sv1() -> None:
    frame = encoded(some_array(MONOCHROME_12), MONOCHROME_12, uids.JPEG_LOSSLESS_SV1, Lossy())
    scan = frame.index(b"\xff\xda")
    assert frame[scan + 4 : scan + 9] == b"\x01" + frame[scan + 5 : scan + 6] + b"\0\x01\0"
    assert codestreams.described(frame) == codestreams.Stream("jpeg-lossless", 40, 60, 1, 12, transform=True)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_all_predictors_of_jpeg_lossless(predictor: int) -> None:
    array = some_array(MONOCHROME_12)
    frame = imagecodecs.jpeg8_encode(array, lossless=True, predictor=predictor, bitspersample=12)
    back, _ = decoded(frame, uids.JPEG_LOSSLESS, MONOCHROME_12)
    assert np.array_equal(back, array)


def test_jpeg_xl_is_decoded() -> None:
    for pixels in (MONOCHROME_8, MONOCHROME_12, COLOUR):
        array = some_array(pixels)
        frame = imagecodecs.jpegxl_encode(array, lossless=True, usecontainer=False)
        back, _ = decoded(frame, JPEG_XL_LOSSLESS, pixels)
        assert np.array_equal(back, array)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB"])
def test_jpeg_that_lies_about_its_colour(subsampling: str, photometric: str) -> None:
    """The stream's own markers and subsampling count, not what the object says."""
    array = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    frame = imagecodecs.jpeg8_encode(array, 98, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling)
    back, described = decoded(frame, uids.JPEG_BASELINE, Pixels(32, 32, 3, photometric))
    assert described.photometric == "RGB"
    assert np.abs(back.astype(int) - array).max() < 8


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
def test_jpeg_of_rgb_that_says_so_by_its_marker(photometric: str) -> None:
    array = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    frame = imagecodecs.jpeg8_encode(array, 98, colorspace="RGB", outcolorspace="RGB")
    back, _ = decoded(frame, uids.JPEG_BASELINE, Pixels(32, 32, 3, photometric))
    assert np.abs(back.astype(int) - array).max() < 8


def test_jpeg_without_any_marker_is_what_the_object_says() -> None:
    array = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    frame = imagecodecs.jpeg8_encode(array, 98, colorspace="RGB", outcolorspace="RGB")
    at = frame.index(b"\xff\xee")
    bare = frame[:at] + frame[at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big") :]
    # component ids R, G, B would tell as well
    bare = bare.replace(b"R\x11\0G\x11\0B\x11\0", b"\1\x11\0\2\x11\0\3\x11\0").replace(
        b"\3R\0G\0B\0", b"\3\1\0\2\0\3\0"
    )
    assert codestreams.described(bare).transform is None
    back, _ = decoded(bare, uids.JPEG_BASELINE, Pixels(32, 32, 3, "RGB"))
    assert np.abs(back.astype(int) - array).max() < 8
    turned, _ = decoded(bare, uids.JPEG_BASELINE, Pixels(32, 32, 3, "YBR_FULL"))
    assert np.abs(turned.astype(int) - array).max() > 30


@pytest.mark.parametrize("samples", [1, 3])
def test_progressive_jpeg_of_old(samples: int) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8) * 2
    array = ramp if samples == 1 else np.stack([ramp, ramp[::-1], ramp], -1)
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, "JPEG", quality=95, progressive=True, subsampling=0)
        frame = file.getvalue()
    assert b"\xff\xc2" in frame
    pixels = Pixels(40, 60, samples, "MONOCHROME2" if samples == 1 else "YBR_FULL")
    back, described = decoded(frame, "1.2.840.10008.1.2.4.55", pixels)
    assert described.photometric == ("MONOCHROME2" if samples == 1 else "RGB")
    assert np.abs(back.astype(int) - array).max() <= 2


def test_jpeg_2000_whose_sign_is_not_the_objects() -> None:
    values = np.array([[-3, 5], [-2048, 2047]], np.int16)
    signed = imagecodecs.jpeg2k_encode(values, codecformat="J2K", level=0, reversible=True, bitspersample=12)
    unsigned = imagecodecs.jpeg2k_encode(
        (values & 0xFFF).astype(np.uint16), codecformat="J2K", level=0, reversible=True, bitspersample=12
    )
    described = Pixels(2, 2, 1, "MONOCHROME2", 16, 12, 11, signed=True)
    assert np.array_equal(decoded(unsigned, uids.JPEG_2000_LOSSLESS, described)[0], values)
    back, _ = decoded(signed, uids.JPEG_2000_LOSSLESS, described._replace(signed=False))
    assert np.array_equal(back, values & 0xFFF)


def test_jpeg_2000_in_a_file_of_its_own() -> None:
    array = some_array(COLOUR)
    boxed = imagecodecs.jpeg2k_encode(array, codecformat="JP2", level=0, reversible=True, mct=True)
    assert boxed[4:8] == b"jP  "
    assert np.array_equal(decoded(boxed, uids.JPEG_2000_LOSSLESS, COLOUR)[0], array)


@pytest.mark.parametrize(
    "wrong",
    [
        MONOCHROME_12._replace(rows=39),
        MONOCHROME_12._replace(samples=3, photometric="RGB"),
        MONOCHROME_12._replace(allocated=8, stored=8, high=7),
    ],
)
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(wrong: Pixels) -> None:
    for syntax in (uids.JPEG_LS_LOSSLESS, uids.JPEG_2000_LOSSLESS, uids.HTJ2K_LOSSLESS, uids.JPEG_LOSSLESS_SV1):
        frame = encoded(some_array(MONOCHROME_12), MONOCHROME_12, syntax, Lossy())
        with pytest.raises(Refused, match="than the object says"):
            decoded(frame, syntax, wrong)


def test_rle_rows_are_coded_each_by_itself() -> None:
    """PS3.5 G.3.1: a run does not go on in the next row."""
    pixels = Pixels(3, 200)
    frame = encoded(np.zeros((3, 200), np.uint8), pixels, uids.RLE_LOSSLESS, Lossy())
    assert frame[:8] == b"\1\0\0\0\x40\0\0\0"
    assert frame[64:] == b"\x81\0\xb9\0" * 3


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0", b"\0\0\0\0", b"\x80\0"])
def test_rle_segments_with_more_padding_than_allowed(padding: bytes) -> None:
    pixels = Pixels(2, 3)
    segment = b"\xfe\7\2\1\2\3"
    frame = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + segment + padding
    assert decoded(frame, uids.RLE_LOSSLESS, pixels)[0].tolist() == [[7, 7, 7], [1, 2, 3]]


def test_a_deflated_frame_inflates_no_further_than_the_frame() -> None:
    pixels = Pixels(4, 4)
    bomb = encoded(np.zeros((4000, 4000), np.uint8), Pixels(4000, 4000), DEFLATED_FRAME, Lossy())
    assert decoded(bomb, DEFLATED_FRAME, pixels)[0].shape == (4, 4)
    with pytest.raises(Refused):
        decoded(encoded(some_array(Pixels(2, 2)), Pixels(2, 2), DEFLATED_FRAME, Lossy()), DEFLATED_FRAME, pixels)


def test_colours_after_decoding() -> None:
    stream = codestreams.Stream("j2k", 1, 1, 3, 8, transform=False)
    assert after_decoding("YBR_RCT", 3, stream) == "RGB"
    assert after_decoding("YBR_FULL", 3, stream) == "YBR_FULL"
    assert after_decoding("YBR_FULL_422", 3, stream) == "YBR_FULL"
    assert after_decoding("YBR_FULL", 3, stream._replace(transform=True)) == "RGB"
    assert after_decoding("PALETTE COLOR", 1, None) == "PALETTE COLOR"
