"""Headers that no scanner wrote: whatever they say there is a picture, or a reason why not."""

import random

import numpy as np
import pytest

from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, uid
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import IsocenterError, Reason
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import GIF, JPEG, PATIENT, PNG, SIGMOID, TECHNIQUE, Picture, Source, Window
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.states import STATES
from pictures import Gallery, image

KINDS = (
    Pixels(9, 7, 1, "MONOCHROME2", 16, 12, 11),
    Pixels(9, 7, 1, "MONOCHROME1", 8, 8, 7),
    Pixels(9, 7, 1, "PALETTE COLOR", 16, 16, 15, signed=True),
    Pixels(9, 7, 3, "RGB"),
    Pixels(9, 7, 1, "MONOCHROME2", 32, 32, 31, signed=True),
    Pixels(9, 7, 1, "MONOCHROME2", 1, 1, 0),
    Pixels(9, 7, 1, "MONOCHROME2", 32, 32, 31, kind="float"),
    Pixels(9, 7, 2, "NONE", 16, 12, 14),
)
ASKED = (
    Picture(PNG),
    Picture(JPEG, annotations=(PATIENT, TECHNIQUE), width=100),
    Picture(GIF, width=20),
    Picture(PNG, source=Source(-3, 2, -6, 0), profile="srgb", width=80),
    Picture(PNG, window=Window(40, 400, SIGMOID), profile="adobergb"),
)
WORDS = (
    "", "0", "-1", "1e400", "nan", "1\\2", "-5\\-7", "99999999999", "1e-300", "x", "Y", "MIXED", "FRACTIONAL",
    "RECTANGULAR\\CIRCULAR\\POLYGONAL", "SIGMOID", "LINEAR_EXACT", "INVERSE", "1\\2\\3\\4\\5\\6\\7\\8", "-1e30\\1e30",
)  # fmt: skip
OF_STATES = (
    0x00283110, 0x0070005A, 0x00700042, 0x00700041, 0x00700052, 0x00700053, 0x00700101, 0x00181600, 0x00181602,
    0x00181604, 0x00181606, 0x00181608, 0x00181610, 0x00181612, 0x00181620, 0x00181622, 0x60001001,
)  # fmt: skip
POOL = (
    *sorted(tags.WANTED), *OF_STATES, tags.FRAME_TRANSFORMATION, tags.FRAME_VOI, tags.FRAME_MEASURES,
    tags.OPTICAL_PATH, *(tags.LUT_DESCRIPTOR, tags.LUT_DATA, tags.MODALITY_LUT, tags.VOI_LUT) * 4,
)  # fmt: skip


def element(luck: random.Random, tag: int, depth: int) -> Element:
    vr = vr_of(tag)
    if vr == "SQ":
        return sequence(*(data_set(luck, luck.randrange(6), depth + 1) for _ in range(luck.randrange(3))))
    if vr in ("DS", "IS", "CS", "DA", "TM", "PN", "LO", "SH", "AS"):
        return text(vr, luck.choice(WORDS))
    size = luck.choice([0, 1, 2, 4, 6, 8, 12, 64, 1000])
    return Element(vr, bytes(luck.choice([0, 1, 8, 16, 255, luck.randrange(256)]) for _ in range(size)))


def data_set(luck: random.Random, count: int, depth: int = 0) -> DataSet:
    return {tag: element(luck, tag, depth) for tag in luck.sample(POOL, count)} if depth < 4 else {}


def frame(pixels: Pixels, luck: random.Random) -> np.ndarray:
    shape = (9, 7) if pixels.samples == 1 else (9, 7, pixels.samples)
    values = np.random.default_rng(luck.randrange(1 << 30)).integers(0, 2 if pixels.allocated == 1 else 200, shape)
    return values.astype("f4" if pixels.kind == "float" else f"u{pixels.cell}")


@pytest.mark.parametrize("seed", range(5))
def test_there_is_a_picture_or_a_reason(engine: Engine, seed: int) -> None:
    luck, gallery, drawn = random.Random(seed), Gallery(engine), 0
    own = {0x00080016: uid(STATES[0] + ".9"), 0x00080018: uid("1.2.3.4.5")}
    about: DataSet = {0x00081115: sequence({0x00081140: sequence({0x00081155: uid("1.2.3.4.5")})})}
    for _ in range(10):
        pixels = luck.choice(KINDS)
        data = image(
            pixels, [frame(pixels, luck)] * luck.choice([1, 3]), data_set(luck, luck.choice([3, 12, 40])) | own
        )
        said = data_set(luck, 20) | about | own | {0x00080016: uid(luck.choice(STATES))}
        said.pop(0x00280010, None)
        located = gallery.hang(data, EXPLICIT_LE)
        state = gallery.hang(encode(said, EXPLICIT_LE), EXPLICIT_LE) if luck.random() < 0.5 else None
        try:
            drawn += bool(gallery.rendering.rendered(located, (), luck.choice(ASKED), state).data)
        except IsocenterError as refused:
            assert refused.reason in (Reason.BAD_REQUEST, Reason.CANNOT_UNDERSTAND)  # noqa: PT017
            assert "Error" not in refused.comment  # noqa: PT017 - nothing is left to a codec's words
    assert drawn
