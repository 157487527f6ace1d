"""Frames that workers read by themselves: from the places that are named, and no others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isocenter.dicom import uids
from isocenter.errors import Reason, Refused
from isocenter.imaging.engine import Bounds, Engine
from isocenter.imaging.frames import Frames
from isocenter.imaging.picture import PNG, Picture, Window
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Recode
from isocenter.imaging.rendering.cells import shown
from isocenter.imaging.rendering.presentation import Presentation
from isocenter.imaging.rendering.request import Draw
from isocenter.imaging.stored import Stored, fetched

PIXELS = Pixels(16, 16)
FRAME = bytes(range(256))
REQUEST = Recode(uids.EXPLICIT_LE, uids.EXPLICIT_LE, PIXELS)
DRAW = Draw(uids.EXPLICIT_LE, PIXELS, Presentation(full=255.0), Picture(media_type=PNG))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(Bounds(frame=1 << 16), 1)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The frame in two pieces, the second one first."""
    made = tmp_path / "object"
    made.write_bytes(b"head" + FRAME[100:] + b"between" + FRAME[:100] + b"behind")
    return made


def pieces(file: Path) -> Stored:
    return Stored(str(file), ((4 + 156 + 7, 100), (4, 156)))


def test_pieces_are_joined_in_their_order(file: Path) -> None:
    assert fetched(pieces(file)) == FRAME
    assert fetched(Stored(str(file), ((0, 4),))) == b"head"
    assert pieces(file).length == 256


def test_a_frame_read_by_the_worker_is_the_frame_that_is_sent(engine: Engine, file: Path) -> None:
    assert bytes(engine.recoded(REQUEST, pieces(file)).data) == FRAME
    assert bytes(engine.drawn(DRAW, pieces(file))[1]) == bytes(engine.drawn(DRAW, FRAME)[1])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda file: Stored(str(file), ((0, 1000),)), Reason.PROCESSING_FAILURE),
        (lambda file: Stored(str(file) + "x", ((0, 256),)), Reason.NOT_FOUND),
        (lambda file: Stored(str(file.parent), ((0, 256),)), Reason.PROCESSING_FAILURE),
        (lambda file: Stored(str(file), ((0, 1 << 40),)), Reason.TOO_LARGE),
    ],
    ids=["short", "gone", "no file", "huge"],
)
def test_what_can_not_be_read(engine: Engine, file: Path, wrong, reason: Reason) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Refused) as refused:
        engine.recoded(REQUEST, wrong(file))
    assert refused.value.reason is reason
    with pytest.raises(Refused) as refused:
        engine.drawn(DRAW, wrong(file))
    assert refused.value.reason is reason
    assert bytes(engine.recoded(REQUEST, FRAME).data) == FRAME


def test_where_frames_lie_as_they_are() -> None:
    places = (((8, 4),), ((12, 2), (20, 2)))
    plain = Frames(uids.EXPLICIT_LE, places, lambda offset, n: bytes(n))
    assert [plain.pieces(1), plain.pieces(2)] == list(places)
    assert not Frames(uids.EXPLICIT_LE, places, lambda offset, n: bytes(n), word=2).pieces(1)
    assert not Frames(uids.EXPLICIT_LE, (((0, 9),),), lambda offset, n: bytes(n), 1, 7, 10).pieces(3)


def test_more_pixels_than_are_looked_up_at_once() -> None:
    pixels = Pixels(300, 301, 1, "MONOCHROME2", 16, 12, 11)
    array = np.random.default_rng(1).integers(0, 4096, (300, 301)).astype("<u2")
    made = shown(array, pixels, Presentation(window=Window(2048, 4096)))
    wanted = np.clip((array - 2047.5) / 4095 + 0.5, 0, 1) * 255 + 0.5
    assert np.array_equal(made, wanted.astype(np.uint8))


def test_expected_pictures_find_a_process() -> None:
    made = Engine(Bounds(), 1)
    try:
        made.expect()
        made.expect()
        assert bytes(made.recoded(REQUEST, FRAME).data) == FRAME
    finally:
        made.close()
