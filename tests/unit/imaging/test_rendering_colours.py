"""Colours: palettes, colour spaces, profiles, and graphics in the picture."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageCms

from isocenter.dicom.dataset import DataSet, Element, sequence, text, uid, us
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import Reason, Refused
from isocenter.imaging.arrays import Array
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import ADOBE_RGB, DISPLAY_P3, JP2, JPEG, JPH, PNG, PROFILE, ROMM_RGB, SRGB
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.profiles import profile
from pictures import Gallery, far, image

PALETTE = Pixels(1, 4, 1, "PALETTE COLOR", 8, 8, 7)
DEEP_PALETTE = Pixels(1, 4, 1, "PALETTE COLOR", 16, 16, 15)
RGB = Pixels(1, 2, 3, "RGB")
SQUARE = Pixels(8, 8, 1, "MONOCHROME2")


@pytest.fixture(scope="module")
def gallery(engine: Engine) -> Gallery:
    return Gallery(engine)


def drawn(gallery: Gallery, pixels: Pixels, frame: object, elements: DataSet | None = None) -> list[object]:
    """The picture of a frame, row by row."""
    array: Array = np.array(frame, f"<{'i' if pixels.signed else 'u'}{pixels.cell}")
    found: list[object] = gallery.pixels(gallery.hang(image(pixels, [array], elements), EXPLICIT_LE)).tolist()
    return found


def palette(first: int, bits: int, *tables: Sequence[int], count: int = 0, packed: bool = False) -> DataSet:
    """The elements of a palette: red, green, blue."""
    found: DataSet = {}
    for number, table in enumerate(tables):
        descriptor = struct.pack("<HhH", (count or len(table)) % 65536, first, bits)
        found[0x00281101 + number] = Element("US", descriptor)
        form = "B" if packed else "H"
        found[0x00281201 + number] = Element("OW", struct.pack(f"<{len(table)}{form}", *table))
    return found


RED, GREEN, BLUE = (0, 0xFFFF, 0, 0x8000), (0, 0, 0xFFFF, 0x8000), (0, 0, 0, 0xFFFF)
SEEN = [[[0, 0, 0], [255, 0, 0], [0, 255, 0], [128, 128, 255]]]


@pytest.mark.parametrize(
    ("pixels", "values", "elements"),
    [
        pytest.param(PALETTE, (0, 1, 2, 3), palette(0, 16, RED, GREEN, BLUE), id="16 bits"),
        pytest.param(DEEP_PALETTE, (0, 1, 2, 3), palette(0, 16, RED, GREEN, BLUE), id="of 16 bit samples"),
        pytest.param(
            PALETTE, (0, 11, 12, 255), palette(10, 16, RED, GREEN, BLUE), id="values outside of the table"
        ),
        pytest.param(
            PALETTE._replace(signed=True), (-5, -1, 0, 1), palette(-2, 16, RED, GREEN, BLUE), id="of negative values"
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 8, (0, 255, 0, 128), (0, 0, 255, 128), (0, 0, 0, 255)),
            id="8 bits a word",
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 8, (0, 255, 0, 128), (0, 0, 255, 128), (0, 0, 0, 255), packed=True),
            id="8 bits a byte",
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 16, (0, 255, 0, 128), (0, 0, 255, 128), (0, 0, 0, 255)),
            id="8 bits that are said to be 16",
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 8, (0, 0xFF00, 0, 0x8000), (0, 0, 0xFF00, 0x8000), (0, 0, 0, 0xFF00)),
            id="8 bits in the upper half of words",
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 12, (0, 4095, 0, 2048), (0, 0, 4095, 2048), (0, 0, 0, 4095)),
            id="12 bits",
        ),
        pytest.param(
            PALETTE, (0, 1, 2, 3), palette(0, 16, RED, GREEN, BLUE, count=65536), id="shorter than it says"
        ),
    ],
)  # fmt: skip
def test_palettes_give_colours(gallery: Gallery, pixels: Pixels, values: Sequence[int], elements: DataSet) -> None:
    assert drawn(gallery, pixels, [values], elements) == SEEN


def segments(count: int, bits: int, *tables: Sequence[int]) -> DataSet:
    """A segmented palette."""
    found: DataSet = {}
    for number, table in enumerate(tables):
        found[0x00281101 + number] = Element("US", struct.pack("<HHH", count, 0, bits))
        found[0x00281221 + number] = Element("OW", struct.pack(f"<{len(table)}{'B' if bits == 8 else 'H'}", *table))
    return found


DISCRETE = (0, 4, 0, 0x4000, 0x8000, 0xFFFF)
RAMP = (0, 1, 0, 1, 3, 0xC000)
REPEATED = (0, 2, 0xFFFF, 0, 2, 1, 0, 0)
"""Two values, then a copy of the segment that gave them (at byte 0)."""


def test_segments_make_a_palette(gallery: Gallery) -> None:
    found = drawn(gallery, PALETTE, [(0, 1, 2, 3)], segments(4, 16, DISCRETE, RAMP, REPEATED))
    assert found == [[[0, 0, 255], [64, 64, 0], [128, 128, 255], [255, 192, 0]]]


@pytest.mark.parametrize(
    "wrong", [(0, 9, 1), (7, 1, 0), (2, 1, 0, 0), (1, 0), (0, 0), (2, 1, 500, 0), (0, 1, 0, 2, 9, 6, 0)]
)
def test_wrong_segments_are_refused(gallery: Gallery, wrong: tuple[int, ...]) -> None:
    with pytest.raises(Refused) as refused:
        drawn(gallery, PALETTE, [(0, 1, 2, 3)], segments(4, 16, wrong, wrong, wrong))
    assert refused.value.reason == Reason.CANNOT_UNDERSTAND


def test_an_image_without_its_palette_is_refused(gallery: Gallery) -> None:
    with pytest.raises(Refused) as refused:
        drawn(gallery, PALETTE, [(0, 1, 2, 3)])
    assert refused.value.reason == Reason.CANNOT_UNDERSTAND


def test_a_supplemental_palette_colours_what_lies_above_the_greys(gallery: Gallery) -> None:
    pixels = Pixels(1, 4, 1, "MONOCHROME2", 16, 12, 11)
    elements = palette(1000, 16, (0xFFFF, 0), (0, 0xFFFF), (0, 0)) | {
        0x00089205: text("CS", "MIXED"), 0x00281050: text("DS", "500"), 0x00281051: text("DS", "1001"),
    }  # fmt: skip
    assert drawn(gallery, pixels, [(0, 500, 1000, 1001)], elements) == [
        [[0, 0, 0], [128, 128, 128], [255, 0, 0], [0, 255, 0]]
    ]


@pytest.mark.parametrize(
    ("pixels", "frame", "expected"),
    [
        pytest.param(RGB, [[[255, 0, 10], [1, 2, 3]]], [[[255, 0, 10], [1, 2, 3]]], id="RGB"),
        pytest.param(
            RGB._replace(photometric="YBR_FULL"), [[[76, 85, 255], [255, 128, 128]]], [[[254, 0, 0], [255, 255, 255]]],
            id="YBR_FULL",
        ),
        pytest.param(
            RGB._replace(photometric="YBR_PARTIAL_422"), [16, 235, 128, 128], [[[0, 0, 0], [255, 255, 255]]],
            id="YBR_PARTIAL_422",
        ),
        pytest.param(
            RGB._replace(photometric="YBR_FULL_422"), [100, 200, 128, 128], [[[100, 100, 100], [200, 200, 200]]],
            id="YBR_FULL_422",
        ),
        pytest.param(
            Pixels(1, 2, 3, "RGB", 16, 16, 15), [[[0xFFFF, 0, 0x8000], [0x0100, 0x0200, 0x0300]]],
            [[[255, 0, 128], [1, 2, 3]]], id="16 bits a sample",
        ),
        pytest.param(
            Pixels(1, 2, 3, "RGB", 16, 8, 7), [[[255, 0, 10], [1, 2, 3]]], [[[255, 0, 10], [1, 2, 3]]],
            id="8 bits stored in 16",
        ),
        pytest.param(
            Pixels(1, 2, 4, "CMYK"), [[[0, 255, 255, 0], [0, 0, 0, 255]]], [[[255, 0, 0], [0, 0, 0]]], id="CMYK",
        ),
        pytest.param(
            Pixels(1, 2, 4, "ARGB"), [[[9, 255, 0, 0], [9, 1, 2, 3]]], [[[255, 0, 0], [1, 2, 3]]], id="ARGB"
        ),
        pytest.param(RGB._replace(photometric="HSV"), [[[0, 255, 255], [0, 0, 77]]], [[[255, 0, 0], [77, 77, 77]]],
                     id="HSV"),
    ],
)  # fmt: skip
def test_colours_are_red_green_and_blue(
    gallery: Gallery, pixels: Pixels, frame: object, expected: list[object]
) -> None:
    found = drawn(gallery, pixels, frame)
    assert far(np.array(found, np.uint8), expected) <= 1  # type: ignore[arg-type]


# --- profiles


SWATCH = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [120, 130, 140]]], np.uint8)
COLOURS = Pixels(2, 2, 3, "RGB")


def told(data: bytes) -> bytes:
    """The ICC profile in a picture."""
    with Image.open(io.BytesIO(data)) as opened:
        return bytes(opened.info.get("icc_profile") or b"")


@pytest.mark.parametrize(("name", "bound"), [(SRGB, 1), (DISPLAY_P3, 4), (ADOBE_RGB, 4), (ROMM_RGB, 8)])
def test_colours_are_converted_to_the_space_that_is_asked_for(gallery: Gallery, name: str, bound: int) -> None:
    """Going there and back with another maker's profile of sRGB gives the colours again, as far as 8 bits of a wider
    space tell them."""
    located = gallery.hang(image(COLOURS, [SWATCH]), EXPLICIT_LE)
    found = gallery.rendered(located, profile=name)
    assert told(found.data) == profile(name)
    with Image.open(io.BytesIO(found.data)) as opened:
        back = ImageCms.profileToProfile(opened, io.BytesIO(told(found.data)), ImageCms.createProfile("sRGB"))
    assert back is not None
    assert far(np.asarray(back), SWATCH) <= bound


def test_a_profile_of_the_object_is_told_or_converted_from(gallery: Gallery) -> None:
    own = profile(ADOBE_RGB)
    located = gallery.hang(image(COLOURS, [SWATCH], {0x00282000: Element("OB", own)}), EXPLICIT_LE)
    as_stored, plain, converted = (gallery.rendered(located, profile=name) for name in (PROFILE, "no", SRGB))
    assert told(as_stored.data).startswith(own)
    assert told(plain.data) == b""
    assert told(converted.data) == profile(SRGB)
    stored, srgb = (gallery.pixels(located, profile=name) for name in (PROFILE, SRGB))
    assert far(stored, SWATCH) == 0
    # a grey is the same in both, a green of Adobe RGB lies outside of sRGB, a less saturated one moves
    assert far(srgb[1, 1:], SWATCH[1, 1:]) > 0


def test_the_profile_of_a_frames_optical_path_is_used(gallery: Gallery) -> None:
    paths = sequence(
        {0x00480106: text("SH", "1"), 0x00282000: Element("OB", profile(SRGB))},
        {0x00480106: text("SH", "2"), 0x00282000: Element("OB", profile(ADOBE_RGB))},
    )
    group: DataSet = {0x00480207: sequence({0x00480106: text("SH", "2")})}
    data = image(COLOURS, [SWATCH] * 2, {0x00480105: paths, 0x52009230: sequence({}, group)})
    located = gallery.hang(data, EXPLICIT_LE)
    found = [told(gallery.rendered(located, number, profile=PROFILE).data) for number in (1, 2)]
    assert [each.rstrip(b"\0") for each in found] == [profile(name).rstrip(b"\0") for name in (SRGB, ADOBE_RGB)]


def test_without_a_profile_of_its_own_the_colours_are_taken_for_srgb(gallery: Gallery) -> None:
    located = gallery.hang(image(COLOURS, [SWATCH]), EXPLICIT_LE)
    for name in (PROFILE, SRGB):
        assert told(gallery.rendered(located, profile=name).data) == profile(SRGB)
        assert far(gallery.pixels(located, profile=name), SWATCH) == 0


def test_a_profile_that_cant_be_read_is_warned_of(gallery: Gallery) -> None:
    located = gallery.hang(image(COLOURS, [SWATCH], {0x00282000: Element("OB", b"\1\2" * 200)}), EXPLICIT_LE)
    found = gallery.rendered(located, profile=ADOBE_RGB)
    assert found.warnings
    assert far(gallery.pixels(located, profile=ADOBE_RGB), SWATCH) == 0


@pytest.mark.parametrize("media_type", [JPEG, PNG, JP2, JPH])
def test_a_profile_goes_into_files_that_have_room_for_it(gallery: Gallery, media_type: str) -> None:
    located = gallery.hang(image(COLOURS, [SWATCH]), EXPLICIT_LE)
    data = gallery.rendered(located, profile=DISPLAY_P3, media_type=media_type).data
    if media_type in (JPEG, PNG):
        assert told(data) == profile(DISPLAY_P3)
    else:
        assert profile(DISPLAY_P3) in data


# --- overlays


def overlay(plane: object, row: int = 1, column: int = 1, group: int = 0x60000000, **more: Element) -> DataSet:
    bits = np.array(plane, np.uint8)
    return {
        group | 0x10: us(bits.shape[-2]),
        group | 0x11: us(bits.shape[-1]),
        group | 0x40: text("CS", "G"),
        group | 0x50: Element("SS", struct.pack("<hh", row, column)),
        group | 0x100: us(1),
        group | 0x102: us(0),
        group | 0x3000: Element("OW", np.packbits(bits.reshape(-1), bitorder="little").tobytes()),
        **{group | int(tag, 16): element for tag, element in more.items()},
    }


def lit(gallery: Gallery, elements: DataSet, frame: int = 1, frames: int = 1, **asked: object) -> list[tuple[int, int]]:
    """Row and column of the white pixels, from 0, of a black image with overlays."""
    black = [np.zeros((8, 8), np.uint8)] * frames
    found = gallery.pixels(gallery.hang(image(SQUARE, black, elements), EXPLICIT_LE), frame, **asked)
    return [(int(row), int(column)) for row, column in np.argwhere(found == 255)]


CORNER = [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param(overlay(CORNER), [(0, 0), (1, 1)], id="at the corner"),
        pytest.param(overlay(CORNER, 4, 6), [(3, 5), (4, 6)], id="elsewhere"),
        pytest.param(overlay(CORNER, 0, 0), [(0, 0)], id="beginning outside"),
        pytest.param(overlay(CORNER, 8, 8), [(7, 7)], id="reaching out"),
        pytest.param(overlay(CORNER, 100, -100), [], id="far away"),
        pytest.param(overlay(CORNER, 1, 1) | overlay(CORNER, 3, 3, 0x601E0000), [(0, 0), (1, 1), (2, 2), (3, 3)],
                     id="two of them"),
        pytest.param(overlay(CORNER) | {0x60003000: Element("OW", b"")}, [], id="without data"),
    ],
)  # fmt: skip
def test_overlays_are_white_where_they_are_set(
    gallery: Gallery, elements: DataSet, expected: list[tuple[int, int]]
) -> None:
    assert lit(gallery, elements) == expected
    assert lit(gallery, elements, overlays=False) == []


def test_overlays_have_frames(gallery: Gallery) -> None:
    planes = np.zeros((2, 3, 3), np.uint8)
    planes[0, 0, 0] = planes[1, 2, 2] = 1
    elements = overlay(planes, **{"0015": text("IS", "2"), "0051": us(2)})
    assert [lit(gallery, elements, frame, 4) for frame in (1, 2, 3, 4)] == [[], [(0, 0)], [(2, 2)], []]
    single = overlay(CORNER)
    assert [lit(gallery, single, frame, 2) for frame in (1, 2)] == [[(0, 0), (1, 1)]] * 2


def test_overlays_within_the_pixel_data_are_drawn(gallery: Gallery) -> None:
    pixels = Pixels(2, 2, 1, "MONOCHROME2", 16, 12, 11)
    frame = np.array([[0x8000, 0x0FFF], [0x0000, 0x1000]], "<u2")
    elements: DataSet = {
        0x60000010: us(2), 0x60000011: us(2), 0x60000040: text("CS", "G"),
        0x60000050: Element("SS", struct.pack("<hh", 1, 1)), 0x60000100: us(16), 0x60000102: us(15),
        0x00281050: text("DS", "4000"), 0x00281051: text("DS", "8001"),
    }  # fmt: skip
    located = gallery.hang(image(pixels, [frame], elements), EXPLICIT_LE)
    assert gallery.pixels(located).tolist() == [[255, 131], [0, 0]]
    assert gallery.pixels(located, overlays=False).tolist() == [[0, 131], [0, 0]]


def test_a_private_class_of_image_is_drawn_like_any_other(gallery: Gallery) -> None:
    assert lit(gallery, overlay(CORNER) | {0x00080016: uid("1.2.3.4")}) == [(0, 0), (1, 1)]
