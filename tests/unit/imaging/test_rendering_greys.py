"""From stored values to grey: every transformation of PS3.3 C.11 on objects made for it."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, us
from isocenter.dicom.uids import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import LINEAR_EXACT, SIGMOID, Window
from isocenter.imaging.pixels import Pixels
from pictures import Gallery, image

DEEP = Pixels(1, 5, 1, "MONOCHROME2", 16, 12, 11)
SIGNED = DEEP._replace(signed=True)
BYTES = Pixels(1, 5, 1, "MONOCHROME2", 8, 8, 7)
VALUES = (0, 1000, 2000, 3000, 4000)


def ds(*values: float) -> Element:
    return text("DS", "\\".join(f"{value:g}" for value in values))


def lut(first: int, entries: Sequence[int], bits: int = 16) -> Element:
    """An item of a sequence with a LUT."""
    descriptor = struct.pack("<HhH", len(entries) % 65536, first, bits)
    return sequence(
        {
            0x00283002: Element("US", descriptor),
            0x00283006: Element("OW", struct.pack(f"<{len(entries)}H", *entries)),
        }
    )


@pytest.fixture(scope="module")
def gallery(engine: Engine) -> Gallery:
    return Gallery(engine)


def shades(
    gallery: Gallery, pixels: Pixels, values: Sequence[float], elements: DataSet | None = None, **asked: object
) -> list[int]:
    """The grey that values become."""
    kind = {"float": "<f4", "double": "<f8"}.get(pixels.kind, f"<{'i' if pixels.signed else 'u'}{pixels.cell}")
    frame = np.array([values], kind)
    located = gallery.hang(image(pixels, [frame], elements), EXPLICIT_LE)
    found: list[int] = gallery.pixels(located, **asked)[0].tolist()
    return found


WINDOWED: DataSet = {0x00281050: ds(2000), 0x00281051: ds(2001)}
RESCALED: DataSet = {0x00281052: ds(-1000), 0x00281053: ds(2)}
EXACT: DataSet = {0x00281056: text("CS", LINEAR_EXACT)}
SMOOTH: DataSet = {0x00281056: text("CS", SIGMOID)}
INVERSE: DataSet = {0x20500020: text("CS", "INVERSE")}


@pytest.mark.parametrize(
    ("pixels", "values", "elements", "expected"),
    [
        pytest.param(DEEP, VALUES, {}, [0, 64, 128, 191, 255], id="least to greatest"),
        pytest.param(SIGNED, (-1000, 0, 0, 0, 1000), {}, [0, 128, 128, 128, 255], id="of signed values"),
        pytest.param(DEEP, (7, 7, 7, 7, 7), {}, [0] * 5, id="all the same"),
        pytest.param(BYTES, (10, 20, 100, 200, 255), {}, [10, 20, 100, 200, 255], id="8 bits as they are"),
        pytest.param(DEEP, VALUES, WINDOWED, [0, 0, 128, 255, 255], id="window"),
        pytest.param(
            DEEP, (1000, 1500, 2000, 2500, 3000), WINDOWED, [0, 64, 128, 191, 255], id="within the window"
        ),
        pytest.param(
            DEEP, (999, 1000, 2000, 2999, 3000), WINDOWED | EXACT | {0x00281051: ds(2000)},
            [0, 0, 128, 255, 255], id="linear exact",
        ),
        pytest.param(
            DEEP, (0, 1500, 2000, 2500, 4000), WINDOWED | SMOOTH | {0x00281051: ds(2000)},
            [5, 69, 128, 186, 250], id="sigmoid",
        ),
        pytest.param(
            DEEP, (1998, 1999, 2000, 2001, 2002), {0x00281050: ds(2000), 0x00281051: ds(1)},
            [0, 0, 255, 255, 255], id="a window of one value",
        ),
        pytest.param(
            DEEP, VALUES, {0x00281050: ds(2000, 50), 0x00281051: ds(2001, 1)}, [0, 0, 128, 255, 255],
            id="the first of several",
        ),
        pytest.param(
            DEEP, VALUES, {0x00281050: ds(2000), 0x00281051: ds(0)}, [0, 64, 128, 191, 255], id="no window at all"
        ),
        pytest.param(DEEP, (0, 500, 1000, 1500, 2000), WINDOWED | RESCALED, [0, 0, 0, 128, 255], id="rescaled"),
        pytest.param(
            SIGNED, (-2000, -1000, 0, 1000, 2000), {0x00281050: ds(0), 0x00281051: ds(2001)}, [0, 0, 128, 255, 255],
            id="signed in a window",
        ),
        pytest.param(
            DEEP, (0, 1, 2, 3, 9), {0x00283000: lut(1, [0, 50, 100])}, [0, 0, 128, 255, 255], id="modality LUT"
        ),
        pytest.param(
            DEEP, (0, 1, 2, 3, 4), {0x00283010: lut(1, [0, 0x8000, 0xFFFF])}, [0, 0, 128, 255, 255], id="VOI LUT"
        ),
        pytest.param(
            DEEP, (0, 1, 2, 3, 4), {0x00283010: lut(1, [0, 512, 1023], 10)} | WINDOWED, [0, 0, 128, 255, 255],
            id="VOI LUT of ten bits before a window",
        ),
        pytest.param(
            DEEP, (500, 501, 502, 503, 504), {0x00283010: lut(4, [0, 0x4000, 0xFFFF])} | RESCALED,
            [0, 0, 0, 255, 255], id="VOI LUT behind rescaling",
        ),
        pytest.param(
            SIGNED, (-3, -2, -1, 0, 1), {0x00283010: lut(-2, [0, 0x8000, 0xFFFF])}, [0, 0, 128, 255, 255],
            id="VOI LUT from a negative value",
        ),
        pytest.param(
            DEEP, VALUES, {0x20500010: lut(0, [0, 0, 0xFFFF])}, [0, 0, 0, 255, 255], id="presentation LUT"
        ),
        pytest.param(DEEP, VALUES, WINDOWED | INVERSE, [255, 255, 127, 0, 0], id="inverse"),
        pytest.param(
            DEEP._replace(photometric="MONOCHROME1"), VALUES, WINDOWED, [255, 255, 127, 0, 0], id="MONOCHROME1"
        ),
        pytest.param(
            DEEP._replace(photometric="MONOCHROME1"), VALUES, WINDOWED | INVERSE, [255, 255, 127, 0, 0],
            id="MONOCHROME1 is not inverted twice",
        ),
        pytest.param(
            DEEP, (4000, 1000, 2000, 3000, 2000), {0x00280120: us(4000)}, [0, 0, 128, 255, 128], id="padding"
        ),
        pytest.param(
            DEEP._replace(photometric="MONOCHROME1"), (0, 10, 2000, 4000, 1000),
            {0x00280120: us(0), 0x00280121: us(10)} | WINDOWED, [0, 0, 127, 0, 255], id="a range of padding, inverted",
        ),
        pytest.param(
            SIGNED, (-2000, 0, 1000, 500, -2000), {0x00280120: Element("SS", struct.pack("<h", -2000))},
            [0, 0, 255, 128, 0], id="negative padding",
        ),
        pytest.param(
            Pixels(1, 5, 1, "MONOCHROME2", 16, 12, 15), (0, 1000 << 4, 2000 << 4, 3000 << 4, 4000 << 4 | 15), {},
            [0, 64, 128, 191, 255], id="stored in the upper bits",
        ),
        pytest.param(
            DEEP, (0xF000, 0xA000 | 1000, 2000, 3000, 0x1000 | 4000), {}, [0, 64, 128, 191, 255],
            id="other bits above those stored",
        ),
        pytest.param(
            Pixels(1, 5, 1, "MONOCHROME2", 32, 32, 31), (0, 10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9), {},
            [0, 64, 128, 191, 255], id="32 bits",
        ),
        pytest.param(
            Pixels(1, 5, 1, "MONOCHROME2", 32, 32, 31, signed=True), (-(10**9), 0, 0, 0, 10**9),
            {0x00281050: ds(0), 0x00281051: ds(4), 0x00281053: ds(1e-9), 0x00281052: ds(0)} | EXACT,
            [64, 128, 128, 128, 191], id="32 bits, signed, rescaled",
        ),
    ],
)  # fmt: skip
def test_stored_values_become_grey(
    gallery: Gallery, pixels: Pixels, values: Sequence[int], elements: DataSet, expected: list[int]
) -> None:
    assert shades(gallery, pixels, values, elements) == expected


@pytest.mark.parametrize(
    ("kind", "values", "elements", "expected"),
    [
        ("float", (0.0, 0.25, 0.5, 0.75, 1.0), {}, [0, 64, 128, 191, 255]),
        ("double", (-1e9, 0.0, 0.0, 0.0, 1e9), {}, [0, 128, 128, 128, 255]),
        ("float", (0.0, 0.1, 0.2, 0.3, 0.4), {0x00281050: ds(0.2), 0x00281051: ds(0.2)}, [0, 0, 128, 255, 255]),
        ("float", (0.0, float("nan"), 2.0, 3.0, 4.0), {}, [0, 0, 128, 191, 255]),
        ("float", (0.0, float("inf"), 2.0, 3.0, 4.0), {}, [0, 255, 128, 191, 255]),
        ("float", (float("nan"),) * 5, {}, [0] * 5),
    ],
)
def test_real_numbers_become_grey(
    gallery: Gallery, kind: str, values: Sequence[float], elements: DataSet, expected: list[int]
) -> None:
    width = 32 if kind == "float" else 64
    pixels = Pixels(1, 5, 1, "MONOCHROME2", width, width, width - 1, kind=kind)
    assert shades(gallery, pixels, values, elements) == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(2000, 2001), [0, 0, 128, 255, 255]),
        (Window(2000, 4000, LINEAR_EXACT), [0, 64, 128, 191, 255]),
        (Window(2000, 4000, SIGMOID), [30, 69, 128, 186, 225]),
    ],
)
def test_the_window_of_the_request_replaces_the_objects_own(
    gallery: Gallery, window: Window, expected: list[int]
) -> None:
    own = {0x00281050: ds(0), 0x00281051: ds(10), 0x00283010: lut(0, [5, 6, 7])}
    assert shades(gallery, DEEP, VALUES, own, window=window) == expected


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE])
def test_the_way_it_is_encoded_changes_nothing(gallery: Gallery, syntax: str) -> None:
    elements = {0x00283000: lut(-1000, list(range(0, 8000, 2))), 0x00283010: lut(0, list(range(0, 0x8000, 4)))}
    frame = np.array([[-1000, -500, 0, 500, 1000]], "<i2")
    data = [image(SIGNED, [frame], elements, each) for each in (EXPLICIT_LE, syntax)]
    plain = gallery.pixels(gallery.hang(data[0], EXPLICIT_LE))
    other = gallery.hang(data[1], syntax)._replace(rows=1)
    assert plain.tolist() == gallery.pixels(other).tolist() != [[0] * 5]


def groups(*frames: DataSet) -> DataSet:
    """Functional groups a frame."""
    return {0x52009230: sequence(*frames)}


def window_group(center: float, width: float) -> DataSet:
    return {0x00289132: sequence({0x00281050: ds(center), 0x00281051: ds(width)})}


def rescale_group(slope: float, intercept: float) -> DataSet:
    return {0x00289145: sequence({0x00281052: ds(intercept), 0x00281053: ds(slope)})}


def test_functional_groups_of_a_frame_come_before_shared_ones(gallery: Gallery) -> None:
    frame = np.array([VALUES], "<u2")
    elements = groups(window_group(2000, 2001) | rescale_group(2, 0), {}, window_group(1, 1)) | {
        0x52009229: sequence(window_group(3000, 2001) | rescale_group(1, 0)),
        0x00281050: ds(7),
        0x00281051: ds(7),
    }
    located = gallery.hang(image(DEEP, [frame] * 4, elements), EXPLICIT_LE)
    found = [gallery.pixels(located, number)[0].tolist() for number in (1, 2, 3, 4)]
    shared = [0, 0, 0, 128, 255]
    assert found == [[0, 128, 255, 255, 255], shared, [0, 255, 255, 255, 255], shared]


def test_fractions_and_single_bits_of_segmentations_are_not_stretched(gallery: Gallery) -> None:
    fractional = {0x00620001: text("CS", "FRACTIONAL"), 0x0062000E: us(200)}
    assert shades(gallery, BYTES, (0, 50, 100, 150, 200), fractional) == [0, 64, 128, 191, 255]
    bits = Pixels(1, 5, 1, "MONOCHROME2", 1, 1, 0)
    located = gallery.hang(image(bits, [np.array([[0, 1, 1, 0, 1]], np.uint8)]), EXPLICIT_LE)
    assert gallery.pixels(located).tolist() == [[0, 255, 255, 0, 255]]


def undefined(content: bytes, tag: bytes = b"\xfe\xff\x00\xe0", end: bytes = b"\xfe\xff\x0d\xe0") -> bytes:
    """An item of undefined length, or with other tags a sequence."""
    return tag + b"\xff\xff\xff\xff" + content + end + bytes(4)


def test_functional_groups_of_undefined_length_are_read(gallery: Gallery) -> None:
    windows = [encode({0x00281050: ds(center), 0x00281051: ds(2001)}, EXPLICIT_LE) for center in (1000, 2000, 3000)]
    voi = b"\x28\x00\x32\x91SQ\0\0"
    value = b"".join(
        undefined(undefined(undefined(window), voi, b"\xfe\xff\xdd\xe0") + encode({0x52009999: ds(1)}, EXPLICIT_LE))
        for window in windows
    )
    frame = np.array([VALUES], "<u2")
    located = gallery.hang(image(DEEP, [frame] * 3, {0x52009230: Element("SQ", value)}), EXPLICIT_LE)
    found = [gallery.pixels(located, number)[0].tolist() for number in (1, 2, 3)]
    assert found == [[0, 128, 255, 255, 255], [0, 0, 128, 255, 255], [0, 0, 0, 128, 255]]
