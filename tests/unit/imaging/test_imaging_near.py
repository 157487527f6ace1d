"""Pictures drawn in the asking process: which ones, when, and that they are the workers' own."""

import threading
from collections.abc import Iterator

import pytest

from imaging_objects import some_array
from isocenter.dicom.uids import EXPLICIT_LE, JPEG_2000_LOSSLESS
from isocenter.imaging.engine import Bounds, Engine
from isocenter.imaging.near import Near, suits
from isocenter.imaging.picture import PNG, SRGB, Picture, Window
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering.presentation import Presentation
from isocenter.imaging.rendering.request import Draw, Drawn, Icon
from isocenter.imaging.rendering.subjects import OTHER
from servers import until

GREY = Pixels(48, 64, 1, "MONOCHROME2", 16, 12, 11)
COMMON = Draw(EXPLICIT_LE, GREY, Presentation(window=Window(1000, 2000)), Picture())
FRAME = some_array(GREY).tobytes()


@pytest.fixture
def fresh() -> Iterator[Engine]:
    made = Engine(Bounds(frame=64 << 20, memory=1 << 30, patience=30.0), 1)
    yield made
    made.close()


def ready() -> Near:
    """One that has loaded what it takes."""
    near = Near()
    near.expect(COMMON)
    until(lambda: near.drawn(COMMON, FRAME) is not None)
    return near


def test_the_first_is_a_workers_and_the_next_the_same(fresh: Engine) -> None:
    near = ready()
    drawn, picture = fresh.drawn(COMMON, FRAME)
    again = near.drawn(COMMON, FRAME)
    assert again is not None
    assert (again[0], bytes(again[1])) == (drawn, bytes(picture))


@pytest.mark.parametrize(
    "request_",
    [
        Icon(OTHER, Picture()),
        COMMON._replace(syntax=JPEG_2000_LOSSLESS),
        COMMON._replace(pixels=GREY._replace(rows=2048, columns=2048)),
        COMMON._replace(pixels=GREY._replace(allocated=32, stored=32, high=31)),
        COMMON._replace(pixels=GREY._replace(allocated=32, kind="float")),
        COMMON._replace(picture=Picture(media_type=PNG)),
        COMMON._replace(picture=Picture(width=5000, height=5000)),
        COMMON._replace(picture=Picture(width=500)),
        COMMON._replace(picture=Picture(profile=SRGB)),
        COMMON._replace(text=(("A line",),)),
        COMMON._replace(presentation=Presentation(icc=b"a profile")),
        COMMON._replace(presentation=Presentation(area=(0, 0, 99999, 99999))),
    ],
)
def test_what_needs_a_decoder_or_may_grow_is_the_workers(request_: Draw | Icon) -> None:
    assert suits(COMMON)
    assert not suits(request_)
    assert ready().drawn(request_, FRAME) is None


def test_nothing_is_loaded_before_a_picture_that_suits() -> None:
    near = Near()
    assert near.drawn(COMMON, FRAME) is None
    near.expect(Icon(OTHER, Picture()))
    assert near.drawn(COMMON, FRAME) is None


def test_what_is_damaged_is_left_to_a_worker_to_refuse() -> None:
    assert ready().drawn(COMMON, FRAME[:100]) is None


def test_one_at_a_time() -> None:
    found: list[object] = []
    begun, go = threading.Event(), threading.Event()

    def lasting(*_: object) -> tuple[Drawn, bytes]:
        begun.set()
        go.wait(30)
        return Drawn("image/jpeg"), b"a picture"

    near = Near(lasting)
    slow = threading.Thread(target=lambda: found.append(near.drawn(COMMON, FRAME)))
    slow.start()
    assert begun.wait(30)
    assert near.drawn(COMMON, FRAME) is None
    go.set()
    slow.join()
    assert found == [(Drawn("image/jpeg"), b"a picture")]
