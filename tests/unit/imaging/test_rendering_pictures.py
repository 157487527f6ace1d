"""Pictures as files: media types, animations, text, thumbnails and icons, and what is refused."""

import io
import json

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from imaging_objects import encapsulated_object, some_array
from isocenter.archive.retrieval.instances import Located
from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, uid, us
from isocenter.dicom.uids import (
    EXPLICIT_LE,
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from isocenter.errors import Reason, Refused
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Engine
from isocenter.imaging.picture import (
    GIF,
    JP2,
    JPEG,
    JPH,
    JPHC,
    MEDIA_TYPES,
    PATIENT,
    PNG,
    TECHNIQUE,
    Picture,
    Source,
    Window,
)
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Lossy
from isocenter.imaging.rendering.request import Limits
from isocenter.imaging.rendering.subjects import SUBJECTS, subject_of
from pictures import Gallery, far, image, pixels_of

GREY = Pixels(48, 64, 1, "MONOCHROME2")
COLOUR = Pixels(48, 64, 3, "RGB")
MOVIE = GREY._replace(frames=4)
BIG = Pixels(1024, 768, 1, "MONOCHROME2", 16, 12, 11)
PDF, SR, ECG, VIDEO_CLASS = (
    f"1.2.840.10008.5.1.4.1.1.{rest}" for rest in ("104.1", "88.33", "9.1.1", "77.1.4.1")
)  # fmt: skip
MPEG4 = "1.2.840.10008.1.2.4.102"


@pytest.fixture(scope="module")
def gallery(engine: Engine) -> Gallery:
    return Gallery(engine)


@pytest.fixture(scope="module")
def grey(gallery: Gallery) -> Located:
    return gallery.hang(image(GREY, [some_array(GREY)]), EXPLICIT_LE)


@pytest.fixture(scope="module")
def colour(gallery: Gallery) -> Located:
    return gallery.hang(image(COLOUR, [some_array(COLOUR)]), EXPLICIT_LE)


@pytest.fixture(scope="module")
def movie(gallery: Gallery) -> Located:
    frames = [np.full((48, 64), 60 * number, np.uint8) for number in range(4)]
    elements: DataSet = {0x00181063: text("DS", "40"), 0x00286010: us(3)}
    return gallery.hang(image(MOVIE, frames, elements), EXPLICIT_LE)


def plain(gallery: Gallery, sop_class: str, syntax: str = EXPLICIT_LE) -> Located:
    """An object without pixel data."""
    return gallery.hang(encode({0x00080016: uid(sop_class), 0x00080018: uid("1.2.3")}, EXPLICIT_LE), syntax)


def content(data: bytes, media_type: str) -> np.ndarray:
    """The pixels of a picture by another reader than wrote it, where there is one."""
    if media_type == JPHC:
        return np.asarray(imagecodecs.htj2k_decode(data, planar=False))
    if media_type == JPH:
        return np.asarray(imagecodecs.jpeg2k_decode(data))
    return pixels_of(data)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_every_media_type_holds_the_picture(gallery: Gallery, grey: Located, colour: Located, media_type: str) -> None:
    for located in (grey, colour):
        found = gallery.rendered(located, media_type=media_type, quality=100)
        assert found.media_type == media_type
        seen = content(found.data, media_type)
        seen = seen[:, :, 0] if media_type == GIF and located is grey else seen  # GIF has palettes only
        off = np.abs(seen.astype(int) - gallery.pixels(located)).mean()
        exact = media_type in (PNG, JP2, JPH, JPHC) or (media_type == GIF and located is grey)
        assert off <= (0 if exact else 2 if media_type == JPEG else 16)


@pytest.mark.parametrize("media_type", [JPEG, JP2, JPH, JPHC])
def test_quality_is_a_matter_of_bytes(gallery: Gallery, colour: Located, media_type: str) -> None:
    sizes = [len(gallery.rendered(colour, media_type=media_type, quality=q).data) for q in (1, 50, 95, 100)]
    assert sizes[:3] == sorted(set(sizes[:3]))
    rough = content(gallery.rendered(colour, media_type=media_type, quality=95).data, media_type)
    assert np.abs(rough.astype(int) - gallery.pixels(colour)).mean() < 3


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_the_same_request_gives_the_same_bytes(gallery: Gallery, movie: Located, media_type: str) -> None:
    asked = {"media_type": media_type, "annotations": (PATIENT, TECHNIQUE), "width": 40, "profile": "srgb"}
    assert gallery.rendered(movie, **asked).data == gallery.rendered(movie, **asked).data


def test_an_animation_shows_all_frames_in_their_time(gallery: Gallery, movie: Located) -> None:
    with Image.open(io.BytesIO(gallery.rendered(movie, media_type=GIF).data)) as found:
        shown = []
        for number in range(found.n_frames):  # type: ignore[attr-defined]
            found.seek(number)
            shown.append((found.info["duration"], int(np.asarray(found.convert("L"))[0, 0])))
    assert shown == [(40, 0), (40, 60), (40, 120), (40, 180)]


def test_an_animation_of_some_frames(gallery: Gallery, movie: Located) -> None:
    with Image.open(io.BytesIO(gallery.rendered(movie, 4, 2, media_type=GIF, width=32).data)) as found:
        assert (found.n_frames, found.size) == (2, (32, 24))  # type: ignore[attr-defined]
        assert int(np.asarray(found.convert("L"))[0, 0]) == 180


@pytest.mark.parametrize(
    ("elements", "durations"),
    [
        ({0x00181065: text("DS", "0\\100\\300")}, [100, 300, 300]),
        ({0x00082144: text("IS", "5")}, [200] * 3),
        ({0x00180040: text("IS", "20"), 0x00181063: text("DS", "500")}, [50] * 3),
        ({}, [100] * 3),
    ],
)
def test_times_of_frames_come_from_the_object(gallery: Gallery, elements: DataSet, durations: list[int]) -> None:
    frames = [np.full((4, 4), 80 * number, np.uint8) for number in range(3)]
    located = gallery.hang(image(Pixels(4, 4), frames, elements), EXPLICIT_LE)
    with Image.open(io.BytesIO(gallery.rendered(located, media_type=GIF).data)) as found:
        seen = []
        for number in range(3):
            found.seek(number)
            seen.append(found.info["duration"])
    assert seen == durations


def test_a_frame_that_stands_for_all_is_the_one_the_object_names(gallery: Gallery, movie: Located) -> None:
    assert gallery.pixels(movie)[0, 0] == 120
    assert gallery.pixels(movie, 1)[0, 0] == 0


def test_pixels_become_square(gallery: Gallery) -> None:
    for elements in (
        {0x00280034: text("IS", "2\\1")},
        {0x00280030: text("DS", "0.8\\0.4")},
        {0x00181164: text("DS", "0.4\\0.2")},
        {0x52009229: sequence({0x00289110: sequence({0x00280030: text("DS", "1\\0.5")})})},
    ):
        located = gallery.hang(image(GREY, [some_array(GREY)], elements), EXPLICIT_LE)
        assert gallery.pixels(located).shape == (96, 64)


def test_parts_are_turned_over_and_scaled(gallery: Gallery, grey: Located) -> None:
    whole = gallery.pixels(grey)
    turned = gallery.pixels(grey, source=Source(10, 5, -20, -30))
    assert np.array_equal(turned, whole[5:35, 10:30][::-1, ::-1])
    assert gallery.pixels(grey, source=Source(10, 5, 20, 30), width=40, height=400).shape == (60, 40)
    halved = gallery.pixels(grey, width=32)
    assert far(halved, whole.reshape(24, 2, 32, 2).mean(axis=(1, 3)).astype(np.uint8)) < 40


NAMED: DataSet = {
    0x00080060: text("CS", "MR"),
    0x00100010: text("PN", "Doe^Jane"),
    0x00100020: text("LO", "P1"),
    0x00180081: text("DS", "90"),
}


def test_text_is_drawn_where_it_is_asked_for(gallery: Gallery) -> None:
    pixels = Pixels(256, 512)
    located = gallery.hang(image(pixels, [np.zeros((256, 512), np.uint8)], NAMED), EXPLICIT_LE)
    none, left, right, both = (
        gallery.pixels(located, annotations=asked) > 128
        for asked in ((), (PATIENT,), (TECHNIQUE,), (PATIENT, TECHNIQUE))
    )
    assert not none.any()
    assert left[:, :256].any()
    assert not left[:, 256:].any()
    assert right[:, 256:].any()
    assert not right[:, :256].any()
    assert np.array_equal(both, left | right)


def test_a_font_that_isnt_there_is_warned_of(engine: Engine) -> None:
    other = Gallery(engine, Limits(font="/no/such/font.ttf"))
    located = other.hang(image(Pixels(128, 256), [np.zeros((128, 256), np.uint8)], NAMED), EXPLICIT_LE)
    found = other.rendered(located, annotations=(PATIENT,))
    assert found.warnings
    assert pixels_of(found.data).any()


def test_an_edited_name_is_what_is_drawn(gallery: Gallery) -> None:
    pixels = Pixels(128, 512)
    black = np.zeros((128, 512), np.uint8)
    renamed = {**NAMED, 0x00100010: text("PN", "Roe^Richard")}
    edit = {"at": 0, "changes": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Roe^Richard"}]}}}
    corrected = gallery.hang(image(pixels, [black], NAMED), EXPLICIT_LE, json.dumps(edit))
    stored, other = (gallery.hang(image(pixels, [black], elements), EXPLICIT_LE) for elements in (NAMED, renamed))
    asked = {"annotations": (PATIENT,)}
    assert np.array_equal(gallery.pixels(corrected, **asked), gallery.pixels(other, **asked))
    assert not np.array_equal(gallery.pixels(corrected, **asked), gallery.pixels(stored, **asked))


# --- reduced resolution


def stored_as(pixels: Pixels, syntax: str) -> bytes:
    frame = some_array(pixels, 3)
    shape = np.add.outer(np.arange(pixels.rows), np.arange(pixels.columns)) % 1500
    frame = (np.stack([shape >> 3] * 3, -1) if pixels.samples == 3 else shape * 2).astype(frame.dtype)
    data = encoded(frame, pixels, syntax, Lossy(quality=95))
    photometric = "YBR_FULL_422" if syntax == JPEG_BASELINE and pixels.samples == 3 else pixels.photometric
    return encapsulated_object(
        pixels._replace(photometric=photometric), [data],
        **{"00281050": text("DS", "1500"), "00281051": text("DS", "3000")},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pixels", "syntax"),
    [
        (BIG, JPEG_2000_LOSSLESS),
        (BIG._replace(signed=True, stored=13, high=12), JPEG_2000_LOSSLESS),
        (BIG, HTJ2K_LOSSLESS),
        (Pixels(1024, 768, 3, "RGB"), JPEG_2000_LOSSLESS),
        (Pixels(1024, 768, 3, "RGB"), HTJ2K_LOSSLESS),
        (Pixels(1024, 768, 3, "RGB"), JPEG_BASELINE),
        (Pixels(1024, 768), JPEG_BASELINE),
        (BIG, JPEG_LS_LOSSLESS),
        (BIG, RLE_LOSSLESS),
    ],
)
def test_a_small_picture_of_a_large_frame_looks_like_the_large_one(
    gallery: Gallery, pixels: Pixels, syntax: str
) -> None:
    located = gallery.hang(stored_as(pixels, syntax), syntax)
    with Image.fromarray(gallery.pixels(located)) as whole:
        wanted = np.asarray(whole.resize((96, 128), Image.Resampling.BOX)).astype(int)
    small = gallery.pixels(located, width=128, height=128)
    assert small.shape == wanted.shape
    assert np.abs(small - wanted).mean() < 6


# --- thumbnails and icons


@pytest.mark.parametrize(
    ("sop_class", "syntax"), [(PDF, EXPLICIT_LE), (SR, EXPLICIT_LE), (ECG, EXPLICIT_LE), (VIDEO_CLASS, MPEG4)]
)
@pytest.mark.parametrize("media_type", [JPEG, PNG])
def test_what_is_no_image_has_an_icon(gallery: Gallery, sop_class: str, syntax: str, media_type: str) -> None:
    located = plain(gallery, sop_class)._replace(syntax=syntax)
    found = gallery.rendering.thumbnail(located, None, Picture(media_type, width=64, height=80))
    assert found.media_type == media_type
    assert pixels_of(found.data).shape == (64, 64, 3)
    assert gallery.rendering.renderable(located) == ()


def test_icons_differ(gallery: Gallery) -> None:
    classes = [PDF, SR, ECG, VIDEO_CLASS, *(f"1.2.840.10008.5.1.4.1.1.{rest}" for rest in ("104.3", "11.1", "481.5"))]
    found = {gallery.rendering.thumbnail(plain(gallery, each), None, Picture(PNG)).data for each in classes}
    assert len(found) == len(classes)
    assert {subject_of(each, EXPLICIT_LE) for each in classes} <= set(SUBJECTS)


def test_a_thumbnail_of_an_image_is_small(gallery: Gallery, movie: Located) -> None:
    asked = Picture(PNG, width=16, height=16, enlarge=False)
    assert pixels_of(gallery.rendering.thumbnail(movie, None, asked).data).tolist() == [[120] * 16] * 12
    assert pixels_of(gallery.rendering.thumbnail(movie, 2, asked).data)[0, 0] == 60
    still = gallery.rendering.thumbnail(movie, None, asked._replace(media_type=GIF))
    assert still.media_type == GIF
    assert pixels_of(still.data)[0, 0].tolist() == [120] * 3


# --- refusals


@pytest.mark.parametrize(
    ("asked", "frames", "reason"),
    [
        ({}, (5,), Reason.NOT_FOUND),
        ({}, (0,), Reason.NOT_FOUND),
        ({"media_type": "image/webp"}, (), Reason.NOT_ACCEPTABLE),
        ({"width": 50_000, "height": 50_000}, (), Reason.TOO_LARGE),
        ({"source": Source(64, 0, 5, 5)}, (), Reason.BAD_REQUEST),
    ],
)
def test_pictures_that_cant_be(
    gallery: Gallery, movie: Located, asked: dict[str, object], frames: tuple[int, ...], reason: Reason
) -> None:
    with pytest.raises(Refused) as refused:
        gallery.rendered(movie, *frames, **asked)
    assert refused.value.reason == reason


def test_an_object_without_pixels_has_no_picture(gallery: Gallery) -> None:
    with pytest.raises(Refused) as refused:
        gallery.rendered(plain(gallery, SR))
    assert refused.value.reason == Reason.NOT_ACCEPTABLE


def test_an_animation_that_is_too_large_is_refused(engine: Engine, movie: Located, gallery: Gallery) -> None:
    small = Gallery(engine, Limits(animation=3 * 48 * 64))
    small.store.objects |= gallery.store.objects
    with pytest.raises(Refused) as refused:
        small.rendered(movie, media_type=GIF)
    assert refused.value.reason == Reason.TOO_LARGE
    assert small.rendered(movie, 1, 2, 3, media_type=GIF).data


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG_BASELINE, b"\xff\xd8\xff\xd9"),
        (JPEG_2000_LOSSLESS, b"nothing of the kind"),
        (RLE_LOSSLESS, b"\1" + bytes(80)),
    ],
)
def test_damaged_pixels_cost_their_own_picture(gallery: Gallery, movie: Located, syntax: str, frame: bytes) -> None:
    located = gallery.hang(encapsulated_object(BIG, [frame]), syntax)
    with pytest.raises(Refused) as refused:
        gallery.rendered(located, width=64)
    assert refused.value.reason == Reason.CANNOT_UNDERSTAND
    assert gallery.rendered(movie).data


def test_an_attribute_that_is_no_number_is_passed_over(gallery: Gallery) -> None:
    elements: DataSet = {
        0x00281050: text("DS", "much"), 0x00281051: text("DS", "1e999"), 0x00281053: text("DS", "nan"),
        0x00280030: text("DS", "0\\0"), 0x00283010: sequence({}), 0x00280120: Element("US", b"\1"),
        0x60000010: us(8), 0x60000011: us(8), 0x60003000: Element("OW", b"\xff\xff"),
    }  # fmt: skip
    located = gallery.hang(image(GREY, [some_array(GREY)], elements), EXPLICIT_LE)
    assert np.array_equal(gallery.pixels(located), some_array(GREY))


def test_more_objects_than_are_remembered_are_drawn_all_the_same(gallery: Gallery) -> None:
    shapes = Pixels(2, 2)
    hung = [gallery.hang(image(shapes, [np.full((2, 2), n, np.uint8)]), EXPLICIT_LE) for n in range(70)]
    assert [int(gallery.pixels(one)[0, 0]) for one in (*hung, hung[0])] == [*range(70), 0]


def test_frames_that_are_asked_for_again_stay_their_own(gallery: Gallery) -> None:
    """A worker keeps what it decoded last: by frame and by resolution."""
    flat = [np.full((1024, 768), 1000 * number, np.uint16) for number in range(3)]
    frames = [encoded(frame, BIG, JPEG_2000_LOSSLESS, Lossy()) for frame in flat]
    located = gallery.hang(encapsulated_object(BIG._replace(frames=3), frames), JPEG_2000_LOSSLESS)
    found = [
        int(gallery.pixels(located, number, window=Window(center, 2001), width=width)[5, 5])
        for center in (1000, 2000)
        for width in (768, 64)
        for number in (1, 2, 3, 2)
    ]
    assert found == [0, 128, 255, 128] * 2 + [0, 0, 128, 0] * 2
