"""PS3.18 8.3.5: what the parameters of rendering may be, and what is told where they are something else."""

from typing import Any
from urllib.parse import urlencode

import pytest

from isocenter.imaging.picture import Picture, Source, Window
from isocenter.web.picture_parameters import (
    annotations_of,
    picture_of,
    profile_of,
    quality_of,
    thumbnail_of,
    thumbnail_viewport_of,
    viewport_of,
    window_of,
)
from isocenter.web.problem import Problem


class _Asked:
    """As much of a call as is looked at."""

    def __init__(self, *query: tuple[str, str]) -> None:
        self.query = list(query)


RIGHT: list[tuple[Any, str, Any]] = [
    (quality_of, "1", 1),
    (quality_of, "100", 100),
    (annotations_of, "patient", ("patient",)),
    (annotations_of, "technique,patient", ("technique", "patient")),
    (annotations_of, "patient, PATIENT", ("patient",)),
    (window_of, "40,400,linear", Window(40, 400, "LINEAR")),
    (window_of, "40,400", Window(40, 400, "LINEAR")),
    (window_of, "-600.5,1.6e3,linear-exact", Window(-600.5, 1600, "LINEAR_EXACT")),
    (window_of, "0,.5,LINEAR_EXACT", Window(0, 0.5, "LINEAR_EXACT")),
    (window_of, "+1,2,SIGMOID", Window(1, 2, "SIGMOID")),
    (viewport_of, "512,256", (512, 256, None)),
    (viewport_of, "512,256,,,,", (512, 256, None)),
    (viewport_of, "512,256,10,20", (512, 256, Source(10, 20))),
    (viewport_of, "512,256,10.5,20,-30,40", (512, 256, Source(10.5, 20, -30, 40))),
    (viewport_of, "512,256,,,30,", (512, 256, Source(0, 0, 30, 0))),
    (thumbnail_viewport_of, "64,64", (64, 64)),
    (profile_of, "sRGB", "srgb"),
    (profile_of, "no", "no"),
]


@pytest.mark.parametrize(("reading", "text", "value"), RIGHT)
def test_what_is_right_is_understood(reading: Any, text: str, value: Any) -> None:
    assert reading(text) == value


WRONG: list[tuple[Any, str]] = [
    *((quality_of, text) for text in ("", "0", "101", "-1", "50.5", "x", "1e1", "\u0661")),
    *((annotations_of, text) for text in ("", "name", "patient,", "patient;technique")),
    *((window_of, text) for text in ("", "40", "40,400,cubic", "40,400,linear,1", "x,400,linear", "40,,linear",
                                     "40,0,linear", "40,0.5,linear", "40,-1,sigmoid", "nan,1,linear", "inf,1,linear",
                                     "1_0,20,linear")),
    *((viewport_of, text) for text in ("", "512", "512,", "0,0", "-1,5", "512,256,1,2,3,4,5", "512,256,a", "1e2,5",
                                       "512,256,0,0,0,10", "99999999,1", "65537,1")),
    *((thumbnail_viewport_of, text) for text in ("64", "64,64,0,0", "64,x", "64,0")),
    *((profile_of, text) for text in ("", "true", "cmyk", "srgb,no")),
]  # fmt: skip


@pytest.mark.parametrize(("reading", "text"), WRONG)
def test_what_is_wrong_is_a_bad_request_in_words(reading: Any, text: str) -> None:
    with pytest.raises(Problem) as told:
        reading(text)
    assert told.value.status == 400
    assert len(told.value.detail) > 20


def test_a_picture_is_made_of_all_parameters() -> None:
    query = [("quality", "70"), ("viewport", "100,50"), ("window", "1,2"), ("iccprofile", "yes"), ("colour", "red"),
             ("accept", "image/png"), ("annotation", "patient")]  # fmt: skip
    picture, unknown = picture_of(_Asked(*query))  # type: ignore[arg-type]
    expected = Picture(quality=70, width=100, height=50, window=Window(1, 2), profile="yes", annotations=("patient",))
    assert picture == expected
    assert unknown == ["colour"], urlencode(query)


def test_a_parameter_that_is_given_twice_is_no_guess() -> None:
    with pytest.raises(Problem, match="quality is given twice"):
        picture_of(_Asked(("quality", "70"), ("quality", "80")))  # type: ignore[arg-type]


def test_a_thumbnail_has_a_viewport_alone() -> None:
    assert thumbnail_of(_Asked(), 200) == (Picture(width=200, height=200), [])  # type: ignore[arg-type]
    asked = _Asked(("viewport", "64,32"), ("window", "1,2"))
    assert thumbnail_of(asked, 200) == (Picture(width=64, height=32), ["window"])  # type: ignore[arg-type]
