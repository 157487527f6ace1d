"""Softcopy presentation states applied to images."""

import struct

import numpy as np
import pytest

from isocenter.archive.retrieval.instances import Located
from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, uid, us
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import Reason, Refused
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import PNG, Picture, Source, Window
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.states import COLOUR, GREYSCALE
from pictures import Gallery, image, pixels_of

INSTANCE = "1.2.3.4.5"
PIXELS = Pixels(2, 3, 1, "MONOCHROME2", 16, 12, 11)
FRAME = np.array([[0, 1000, 2000], [3000, 4000, 500]], "<u2")
OWN: DataSet = {0x00281050: text("DS", "10"), 0x00281051: text("DS", "5"), 0x00281053: text("DS", "7")}
LINEAR = [[0, 64, 128], [191, 255, 32]]
"""What the frame looks like from 0 to 4000."""


def reference(*frames: int, instance: str = INSTANCE) -> Element:
    """Referenced Image Sequence."""
    image: DataSet = {0x00081150: uid("1.2.840.10008.5.1.4.1.1.7"), 0x00081155: uid(instance)}
    if frames:
        image[0x00081160] = text("IS", "\\".join(map(str, frames)))
    return sequence(image)


def voi(center: float, width: float, about: Element | None = None) -> DataSet:
    found: DataSet = {0x00281050: text("DS", f"{center:g}"), 0x00281051: text("DS", f"{width:g}")}
    return found | {0x00081140: about} if about is not None else found


STATE: DataSet = {
    0x00080016: uid(GREYSCALE),
    0x00080018: uid("1.2.99"),
    0x00081115: sequence({0x00081140: reference()}),
    0x00283110: sequence(voi(2000.5, 4001)),
    0x20500020: text("CS", "IDENTITY"),
}


def area(left: int, top: int, right: int, bottom: int, **more: Element) -> DataSet:
    """Displayed Area Selection Sequence."""
    item: DataSet = {
        0x00700052: Element("SL", struct.pack("<ii", left, top)),
        0x00700053: Element("SL", struct.pack("<ii", right, bottom)),
        0x00700100: text("CS", "SCALE TO FIT"),
    }
    return {0x0070005A: sequence(item | {int(tag, 16): element for tag, element in more.items()})}


def spatial(rotation: int, flip: str) -> DataSet:
    return {0x00700042: us(rotation), 0x00700041: text("CS", flip)}


@pytest.fixture(scope="module")
def gallery(engine: Engine) -> Gallery:
    return Gallery(engine)


@pytest.fixture(scope="module")
def located(gallery: Gallery) -> Located:
    return gallery.hang(image(PIXELS, [FRAME] * 3, OWN), EXPLICIT_LE)


def drawn(gallery: Gallery, located: Located, changes: DataSet, frame: int = 1, **asked: object) -> list[list[int]]:
    state = gallery.hang(encode(STATE | changes, EXPLICIT_LE), EXPLICIT_LE)
    picture = Picture(PNG)._replace(**asked)
    found: list[list[int]] = pixels_of(gallery.rendering.rendered(located, (frame,), picture, state).data).tolist()
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, LINEAR, id="its window in place of the image's"),
        pytest.param(
            {0x20500020: text("CS", "INVERSE")}, [[255, 191, 128], [64, 0, 223]], id="inverse"
        ),
        pytest.param(
            {0x00281052: text("DS", "1000"), 0x00281053: text("DS", "0.5"), 0x00283110: sequence(voi(2000.5, 2001))},
            [[0, 64, 128], [191, 255, 32]], id="its modality transformation",
        ),
        pytest.param(spatial(0, "Y"), [[128, 64, 0], [32, 255, 191]], id="flip"),
        pytest.param(spatial(90, "N"), [[191, 0], [255, 64], [32, 128]], id="a quarter turn"),
        pytest.param(spatial(180, "N"), [[32, 255, 191], [128, 64, 0]], id="half a turn"),
        pytest.param(spatial(270, "N"), [[128, 32], [64, 255], [0, 191]], id="three quarters"),
        pytest.param(spatial(90, "Y"), [[0, 191], [64, 255], [128, 32]], id="turn, then flip"),
        pytest.param(spatial(45, "N"), LINEAR, id="no turn of another angle"),
        pytest.param(area(2, 1, 3, 2), [[64, 128], [255, 32]], id="a part"),
        pytest.param(area(0, 0, 3, 2), [[0, 0, 0, 0], [0, *LINEAR[0]], [0, *LINEAR[1]]], id="beyond the image"),
        pytest.param(area(2, 2, 3, 1) | spatial(90, "N"), [[255, 64], [32, 128]], id="a part, turned"),
        pytest.param(
            area(1, 1, 3, 2, **{"00700102": text("IS", "2\\1")}), None, id="its pixels are no squares"
        ),
        pytest.param(
            {0x00181600: text("CS", "RECTANGULAR"), 0x00181602: text("IS", "1"), 0x00181604: text("IS", "4"),
             0x00181606: text("IS", "0"), 0x00181608: text("IS", "2"), 0x00181622: us(0x8000)},
            [[128, 64, 128], [128, 128, 128]], id="a rectangular shutter",
        ),
        pytest.param(
            {0x00181600: text("CS", "CIRCULAR"), 0x00181610: text("IS", "1\\1"), 0x00181612: text("IS", "1")},
            [[0, 64, 0], [191, 0, 0]], id="a circular shutter",
        ),
        pytest.param(
            {0x00181600: text("CS", "POLYGONAL"), 0x00181620: text("IS", "1\\2\\1\\3\\2\\3\\2\\2")},
            [[0, 64, 128], [0, 255, 32]], id="a polygonal shutter",
        ),
    ],
)  # fmt: skip
def test_a_state_says_how_the_image_is_shown(
    gallery: Gallery, located: Located, changes: DataSet, expected: list[list[int]] | None
) -> None:
    found = drawn(gallery, located, changes)
    if expected is None:
        assert len(found) == 4
    else:
        assert found == expected


def test_the_request_is_about_what_the_state_shows(gallery: Gallery, located: Located) -> None:
    turned = spatial(90, "N")
    assert drawn(gallery, located, turned, source=Source(0, 0, 1, 2)) == [[191], [255]]
    assert drawn(gallery, located, {}, window=Window(2000, 1)) == [[0, 0, 255], [255, 255, 0]]


def test_windows_are_chosen_by_the_frame(gallery: Gallery, located: Located) -> None:
    items = sequence(voi(2000, 1, about=reference(2)), voi(2000.5, 4001, about=reference(1, 3)))
    found = [drawn(gallery, located, {0x00283110: items}, frame) for frame in (1, 2, 3)]
    assert found == [LINEAR, [[0, 0, 255], [255, 255, 0]], LINEAR]


def test_overlays_are_those_that_the_state_activates(gallery: Gallery) -> None:
    plane: DataSet = {
        0x60000010: us(2), 0x60000011: us(3), 0x60000050: Element("SS", struct.pack("<hh", 1, 1)),
        0x60000100: us(1), 0x60000102: us(0), 0x60003000: Element("OW", b"\1\0"),
    }  # fmt: skip
    other = plane | {0x60003000: Element("OW", b"\2\0")}
    active: DataSet = {0x60001001: text("CS", "LAYER")}
    located = gallery.hang(image(PIXELS, [FRAME], plane), EXPLICIT_LE)
    assert drawn(gallery, located, {})[0] == [0, 64, 128]
    assert drawn(gallery, located, active)[0] == [255, 64, 128]
    assert drawn(gallery, located, active | other)[0] == [0, 255, 128]


def test_a_colour_state_turns_and_leaves_colours_alone(gallery: Gallery) -> None:
    pixels = Pixels(1, 2, 3, "RGB")
    located = gallery.hang(image(pixels, [np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)]), EXPLICIT_LE)
    found = drawn(gallery, located, {0x00080016: uid(COLOUR)} | spatial(180, "N"))
    assert found == [[[4, 5, 6], [1, 2, 3]]]


def test_graphics_that_are_left_out_are_warned_of(gallery: Gallery, located: Located) -> None:
    data = encode(STATE | {0x00700001: sequence({0x00700002: text("CS", "LAYER")})}, EXPLICIT_LE)
    found = gallery.rendering.rendered(located, (1,), Picture(PNG), gallery.hang(data, EXPLICIT_LE))
    assert found.warnings


@pytest.mark.parametrize(
    "changes",
    [
        {0x00081115: sequence({0x00081140: reference(instance="1.2.3")})},
        {0x00081115: sequence({0x00081140: reference(2, 3)})},
        {0x00081115: sequence()},
        {0x00080016: uid("1.2.840.10008.5.1.4.1.1.11.8")},
        {0x00280010: us(5)},
    ],
)
def test_a_state_that_is_not_about_the_image_is_refused(gallery: Gallery, located: Located, changes: DataSet) -> None:
    with pytest.raises(Refused) as refused:
        drawn(gallery, located, changes)
    assert refused.value.reason == Reason.BAD_REQUEST
