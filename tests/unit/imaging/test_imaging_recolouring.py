"""Objects on their way to a destination that wants RGB, or grey: pixels, header, and who they are then."""

import io
from collections.abc import Mapping

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_windowing, convert_color_space

from imaging_objects import EXPLICIT, SOP_INSTANCE, encapsulated_object, native_object, some_array
from isocenter.dicom import uids
from isocenter.dicom.dataset import Element, encode_element, text, us
from isocenter.dicom.part10 import outgoing_header
from isocenter.imaging.arrays import Array, to_native
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Engine
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.plan import recolours
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import Transcoding, transcoding

YBR = Pixels(20, 30, 3, "YBR_FULL", frames=2)
PALETTE = Pixels(16, 20, 1, "PALETTE COLOR")
TURNED = [
    Pixels(20, 30, 1, "MONOCHROME1", 16, 12, 11),
    Pixels(20, 30, 1, "MONOCHROME1", 16, 12, 11, signed=True),
    Pixels(20, 30, 1, "MONOCHROME1", 8, 8, 7),
]


def palette() -> dict[str, Element]:
    entries = [np.arange(256, dtype="<u2") * 257, np.arange(256, dtype="<u2")[::-1] * 257, np.full(256, 0x8080, "<u2")]
    more = {f"002811{n:02d}": us(256, 0, 16) for n in (1, 2, 3)}
    return more | {f"002812{n:02d}": Element("OW", each.tobytes()) for n, each in enumerate(entries, 1)}


def stored(pixels: Pixels, syntax: str, more: Mapping[str, Element]) -> tuple[bytes, list[Array]]:
    frames = [some_array(pixels, n, noise=True) for n in range(pixels.frames)]
    if syntax not in (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE):
        return encapsulated_object(pixels, [encoded(f, pixels, syntax, Lossy()) for f in frames], **more), frames
    data = encapsulated_object(pixels, [], **more)
    head = data[: data.rindex(b"\xe0\x7f\x10\x00OB")]
    value = b"".join(to_native(frame, pixels) for frame in frames)
    whole = head + encode_element(0x7FE00010, "OW", value + b"\0" * (len(value) % 2), EXPLICIT)
    if syntax == EXPLICIT:
        return whole, frames
    from isocenter.dicom.convert import convert

    return b"".join(convert(lambda at, n: whole[at : at + n], len(whole), EXPLICIT, syntax)), frames


def sent(engine: Engine, data: bytes, syntax: str, wanted: str, colour: str) -> tuple[Dataset, str]:
    made = transcoding(engine, lambda at, n: data[at : at + n], len(data), syntax, wanted, colour=colour)
    assert isinstance(made, Transcoding)
    file = outgoing_header(uids.SECONDARY_CAPTURE_IMAGE_STORAGE, "1.2", wanted) + b"".join(made.pieces())
    return dcmread(io.BytesIO(file)), made.sop_instance


@pytest.mark.req("X-QR-07")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.RLE_LOSSLESS, uids.JPEG_LS_LOSSLESS])
@pytest.mark.parametrize("wanted", [uids.EXPLICIT_LE, uids.JPEG_LS_LOSSLESS])
def test_a_palette_becomes_rgb(engine: Engine, syntax: str, wanted: str) -> None:
    data, (frame,) = stored(PALETTE, syntax, palette())
    found, uid = sent(engine, data, syntax, wanted, "RGB")
    assert (found.PhotometricInterpretation, found.SamplesPerPixel, found.PlanarConfiguration) == ("RGB", 3, 0)
    assert "RedPaletteColorLookupTableData" not in found
    assert (uid, found.SOPInstanceUID) == ("", SOP_INSTANCE)
    native, _ = stored(PALETTE, uids.EXPLICIT_LE, palette())
    told = dcmread(io.BytesIO(outgoing_header("1.2.3", "1.2", EXPLICIT) + native))
    assert np.array_equal(found.pixel_array, apply_color_lut(frame, told) >> 8)


@pytest.mark.req("X-QR-07")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.RLE_LOSSLESS])
def test_luminance_and_chrominance_become_rgb(engine: Engine, syntax: str) -> None:
    data, frames = stored(YBR, syntax, {})
    found, uid = sent(engine, data, syntax, uids.EXPLICIT_LE, "RGB")
    assert (found.PhotometricInterpretation, uid) == ("RGB", "")
    expected = np.stack([convert_color_space(frame, "YBR_FULL", "RGB") for frame in frames])
    assert np.abs(found.pixel_array.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.req("X-QR-07")
@pytest.mark.parametrize("pixels", [PALETTE, YBR, Pixels(20, 30, 3, "RGB")])
def test_colours_that_become_grey_are_another_instance(engine: Engine, pixels: Pixels) -> None:
    data, _ = stored(pixels, uids.EXPLICIT_LE, palette() if pixels is PALETTE else {})
    found, uid = sent(engine, data, uids.EXPLICIT_LE, uids.EXPLICIT_LE, "MONOCHROME2")
    assert (found.PhotometricInterpretation, found.SamplesPerPixel, found.BitsStored) == ("MONOCHROME2", 1, 8)
    assert "PlanarConfiguration" not in found
    assert found.SOPInstanceUID == uid != SOP_INSTANCE
    assert found.ImageType[0] == "DERIVED"
    assert found.SourceImageSequence[0].ReferencedSOPInstanceUID == SOP_INSTANCE
    assert sent(engine, data, uids.EXPLICIT_LE, uids.EXPLICIT_LE, "MONOCHROME2")[1] == uid  # the same each time
    in_colour = sent(engine, data, uids.EXPLICIT_LE, uids.EXPLICIT_LE, "RGB")[0] if pixels is not TURNED else None
    assert in_colour is not None
    grey = in_colour.pixel_array.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(found.pixel_array - grey).max() <= 1


@pytest.mark.req("X-QR-07")
@pytest.mark.parametrize("function", ["", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("pixels", TURNED)
def test_monochrome1_is_turned_round_and_looks_the_same(engine: Engine, pixels: Pixels, function: str) -> None:
    more = {
        "00281050": text("DS", "300\\40"), "00281051": text("DS", "1000\\80"), "00281052": text("DS", "-100"),
        "00281053": text("DS", "2"), "00280120": us(7), "20500020": text("CS", "INVERSE"),
    } | ({"00281056": text("CS", function)} if function else {})  # fmt: skip
    data, (frame,) = stored(pixels, uids.EXPLICIT_LE, more)
    found, uid = sent(engine, data, uids.EXPLICIT_LE, uids.EXPLICIT_LE, "MONOCHROME2")
    assert (found.PhotometricInterpretation, uid, found.SOPInstanceUID) == ("MONOCHROME2", "", SOP_INSTANCE)
    total = -1 if pixels.signed else (1 << pixels.stored) - 1
    assert np.array_equal(found.pixel_array, total - frame.astype(int))
    assert found.PixelPaddingValue == total - 7
    assert found.PresentationLUTShape == "IDENTITY"
    before = dcmread(io.BytesIO(outgoing_header("1.2.3", "1.2", EXPLICIT) + data))
    for index in (0, 1):
        one = apply_windowing(frame * 2.0 - 100, before, index)
        other = apply_windowing(found.pixel_array * 2.0 - 100, found, index)
        low, high = min(one.min(), other.min()), max(one.max(), other.max())
        assert np.allclose(low + high - one, other, atol=(high - low) * 1e-3)


@pytest.mark.parametrize(
    ("pixels", "colour", "more"),
    [
        (Pixels(4, 4), "RGB", {}),
        (Pixels(4, 4), "MONOCHROME2", {}),
        (Pixels(4, 4, 3, "RGB"), "RGB", {}),
        (TURNED[0], "RGB", {}),
        (TURNED[0], "MONOCHROME2", {"00283010": Element("SQ", ())}),
        (TURNED[0], "", {}),
    ],
)
def test_what_stays_as_it_is(pixels: Pixels, colour: str, more: Mapping[str, Element]) -> None:
    data, _ = stored(pixels, uids.EXPLICIT_LE, more)
    assert not recolours(lambda at, n: data[at : at + n], len(data), uids.EXPLICIT_LE, colour)


def test_bits_above_those_stored_stay(engine: Engine) -> None:
    pixels = TURNED[0]
    frame = some_array(pixels) | np.uint16(0x4000)
    data = native_object(pixels, to_native(frame, pixels))
    found, _ = sent(engine, data, uids.EXPLICIT_LE, uids.EXPLICIT_LE, "MONOCHROME2")
    cells = np.frombuffer(found.PixelData, "<u2").reshape(frame.shape)
    assert np.array_equal(cells, (0xFFF - (frame & 0xFFF)) | 0x4000)
