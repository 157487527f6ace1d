"""Which part of an image a picture shows and how large it becomes."""

import pytest

from isocenter.errors import Reason, Refused
from isocenter.imaging.picture import Picture, Region, Source
from isocenter.imaging.rendering.geometry import Box, layout_of
from isocenter.imaging.rendering.presentation import Presentation

PLAIN = Presentation()
TALL = Presentation(aspect=2.0)
WIDE = Presentation(aspect=0.5)
TURNED = Presentation(rotation=90)
PART = Presentation(area=(10, 20, 50, 40))
MOST = 10_000


@pytest.mark.parametrize(
    ("presentation", "picture", "size"),
    [
        (PLAIN, Picture(), (100, 60)),
        (PLAIN, Picture(width=50, height=50), (50, 30)),
        (PLAIN, Picture(width=200, height=60), (100, 60)),
        (PLAIN, Picture(width=150, height=200), (150, 90)),
        (PLAIN, Picture(width=150, height=200, enlarge=False), (100, 60)),
        (PLAIN, Picture(width=50), (50, 30)),
        (PLAIN, Picture(height=30), (50, 30)),
        (PLAIN, Picture(width=1, height=1), (1, 1)),
        (PLAIN, Picture(source=Source(0, 0, 10, 20)), (10, 20)),
        (PLAIN, Picture(source=Source(90, 50, 20, 20), width=40, height=40), (40, 40)),
        (PLAIN, Picture(source=Source(40, 0)), (60, 60)),
        (PLAIN, Picture(region=Region(0.5, 0.5, 1, 1), width=100), (100, 60)),
        (TALL, Picture(), (100, 120)),
        (WIDE, Picture(), (200, 60)),
        (WIDE, Picture(width=100, height=100), (100, 30)),
        (TURNED, Picture(), (60, 100)),
        (TURNED, Picture(width=30), (30, 50)),
        (PART, Picture(), (40, 20)),
        (PART._replace(rotation=270), Picture(), (20, 40)),
    ],
)
def test_the_picture_fits_the_viewport_and_is_not_distorted(
    presentation: Presentation, picture: Picture, size: tuple[int, int]
) -> None:
    assert layout_of(100, 60, presentation, picture, 30_000).size == size


@pytest.mark.parametrize(
    ("presentation", "picture", "box"),
    [
        (PLAIN, Picture(), (0, 0, 100, 60)),
        (PLAIN, Picture(source=Source(10, 20, 30, 15)), (10, 20, 40, 35)),
        (PLAIN, Picture(source=Source(10, 20, -30, -15)), (10, 20, 40, 35)),
        (PLAIN, Picture(source=Source(90, 50, 30, 30)), (90, 50, 100, 60)),
        (PLAIN, Picture(source=Source(-10, -10, 30, 30)), (0, 0, 20, 20)),
        (PLAIN, Picture(region=Region(0.1, 0.5, 0.2, 1.0)), (10, 30, 20, 60)),
        (PART, Picture(source=Source(5, 5, 10, 10)), (15, 25, 25, 35)),
        (Presentation(flip=True), Picture(source=Source(0, 0, 10, 60)), (90, 0, 100, 60)),
        (TURNED, Picture(source=Source(0, 0, 10, 20)), (0, 50, 20, 60)),
        (Presentation(rotation=180), Picture(source=Source(0, 0, 10, 20)), (90, 40, 100, 60)),
        (Presentation(rotation=270), Picture(source=Source(0, 0, 10, 20)), (80, 0, 100, 10)),
    ],
)
def test_a_part_is_found_in_the_image_as_it_is_shown(
    presentation: Presentation, picture: Picture, box: tuple[float, ...]
) -> None:
    assert layout_of(100, 60, presentation, picture, MOST).box == Box(*box)


@pytest.mark.parametrize(
    ("presentation", "source", "turned"),
    [
        (PLAIN, Source(0, 0, 10, 10), (False, False)),
        (PLAIN, Source(0, 0, -10, 10), (True, False)),
        (PLAIN, Source(0, 0, 10, -10), (False, True)),
        (PLAIN, Source(0, 0, -10, -10), (True, True)),
        (Presentation(flip=True), Source(0, 0, 10, 10), (True, False)),
        (Presentation(flip=True), Source(0, 0, -10, 10), (False, False)),
    ],
)
def test_negative_sides_turn_the_part_over(
    presentation: Presentation, source: Source, turned: tuple[bool, bool]
) -> None:
    layout = layout_of(100, 60, presentation, Picture(source=source), MOST)
    assert (layout.mirrored, layout.upended) == turned


@pytest.mark.parametrize("source", [Source(100, 0, 10, 10), Source(-20, 0, 10, 10), Source(0, 60, 5, 5)])
def test_a_part_outside_of_the_image_is_refused(source: Source) -> None:
    with pytest.raises(Refused) as refused:
        layout_of(100, 60, PLAIN, Picture(source=source), MOST)
    assert refused.value.reason == Reason.BAD_REQUEST


def test_a_picture_of_too_many_pixels_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        layout_of(100, 60, PLAIN, Picture(width=1000), MOST)
    assert refused.value.reason == Reason.TOO_LARGE
