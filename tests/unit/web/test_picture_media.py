"""PS3.18 8.7.4 and 8.7.5: which type a client gets that says what it takes."""

import pytest

from isocenter.web import media
from isocenter.web.dicomweb.picture_media import Wish, picture_type, wishes

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"

ROWS = [
    ("", "image/jpeg"),
    ("*/*", "image/jpeg"),
    (CHROMIUM, "image/jpeg"),
    ("image/*", "image/jpeg"),
    ("image/jpg", "image/jpeg"),
    ("image/png", "image/png"),
    ("image/jpeg;q=0.5, image/png", "image/png"),
    ("image/jpeg;q=0, image/gif;q=0.1", "image/gif"),
    ("text/html, image/jp2", "image/jp2"),
    ('multipart/related; type="image/png"', "image/png"),
    ("multipart/*", "image/jpeg"),
    ("image/webp", None),
    ("application/dicom", None),
    ("text/html, application/pdf", None),
]


@pytest.mark.parametrize(("accept", "expected"), ROWS)
def test_a_picture_comes_in_the_first_type_that_is_taken(accept: str, expected: str | None) -> None:
    assert picture_type(media.accepted([accept])) == expected


def test_parts_are_told_from_a_single_answer() -> None:
    accept = 'image/png, multipart/related; type="video/mp4"; q=0.5, multipart/*;q=0.1'
    assert wishes(media.accepted([accept])) == [
        Wish("image/png", multipart=False),
        Wish("video/mp4", multipart=True),
        Wish("*/*", multipart=True),
    ]
    assert wishes([]) == [Wish("*/*", multipart=False)]
