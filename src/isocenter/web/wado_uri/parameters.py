"""The query parameters of the URI service (PS3.18 9.1.2, 9.4.1.2, 9.5.1.2) read into what is asked for.

A parameter that contradicts another, is there twice or has a value it can't have is told in words, as 400. Names that
the standard doesn't know are passed over (PS3.18 8.3.2), and the case of names does not matter, since clients differ.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from isocenter.imaging.picture import Picture, Region, Window
from isocenter.web import media
from isocenter.web.picture_parameters import annotations_of, number_of, quality_of, size_of, window_with
from isocenter.web.problem import bad_request

REQUIRED: Final = ("requestType", "studyUID", "seriesUID", "objectUID")
OBJECT: Final = ("anonymize", "transferSyntax")
"""Parameters of objects; `anonymize` is heeded for pictures as well."""
PICTURE: Final = (
    "annotation",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "frameNumber",
    "imageQuality",
    "presentationSeriesUID",
    "presentationUID",
)
"""Parameters of pictures."""
PARAMETERS: Final = (*REQUIRED, "contentType", "charset", *OBJECT, *PICTURE)
_NAMES: Final = {name.lower(): name for name in PARAMETERS}
_NOT_WITH_PRESENTATION: Final = ("annotation", "region", "windowCenter", "windowWidth")
_LONGEST_UID: Final = 256
"""Characters of a UID that is looked for; the standard allows 64, objects of the field have more."""
_MOST_FRAMES: Final = 10
"""Digits of a frame number."""


class Asked(NamedTuple):
    """One request of the URI service."""

    study_uid: str
    series_uid: str
    sop_uid: str
    types: tuple[media.MediaType, ...]
    """`contentType`, best first; empty: not given."""
    anonymize: bool
    syntaxes: tuple[str, ...]
    """`transferSyntax`, as the client orders them."""
    frame: int | None
    """`frameNumber`, from 1."""
    picture: Picture
    """Without its media type."""
    presentation: tuple[str, str] | None
    """Series and SOP Instance UID of the presentation state."""
    drawn: tuple[str, ...]
    """The parameters of pictures that are there."""


def asked_of(query: Sequence[tuple[str, str]]) -> Asked:
    """What a query asks for. Raises Problem 400."""
    given = _given(query)
    for name in REQUIRED:
        if not given.get(name):
            raise bad_request(f"{name} is missing; the URI service needs {', '.join(REQUIRED)}")
    if given["requestType"].upper() != "WADO":
        raise bad_request("requestType must be WADO")
    asked = Asked(
        _uid("studyUID", given),
        _uid("seriesUID", given),
        _uid("objectUID", given),
        tuple(media.accepted((), given.get("contentType", ""))),
        _anonymize(given),
        tuple(part for part in _parts(given.get("transferSyntax", "")) if part),
        _frame(given),
        _picture(given),
        _presentation(given),
        tuple(name for name in PICTURE if name in given),
    )
    _check(asked, given)
    return asked


def _given(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters that are known, by the standard's names; one without a value counts as not given."""
    found: dict[str, str] = {}
    for key, value in query:
        name = _NAMES.get(key.lower())
        if name is None or not value.strip():
            continue
        if name in found:
            raise bad_request(f"{name} is given twice")
        found[name] = value.strip()
    return found


def _check(asked: Asked, given: Mapping[str, str]) -> None:
    """What may not stand together (PS3.18 9.4.1.2, 9.5.1.2)."""
    objects = bool(asked.types) and all(one.name == media.DICOM for one in asked.types)
    if objects:
        lossy = "imageQuality" in given and bool(asked.syntaxes)
        wrong = [name for name in asked.drawn if not (lossy and name == "imageQuality")]
        if wrong:
            raise bad_request(f"{wrong[0]} is for pictures and can't stand with contentType={media.DICOM}")
    if asked.syntaxes and asked.types and not any(media.covers(one.name, media.DICOM) for one in asked.types):
        raise bad_request(f"transferSyntax is for contentType={media.DICOM} alone")
    if asked.presentation:
        wrong = [name for name in _NOT_WITH_PRESENTATION if name in given]
        if wrong:
            raise bad_request(f"{wrong[0]} can't stand with presentationUID, which says what is shown")
        if asked.anonymize:
            raise bad_request("presentationUID can't stand with anonymize: its graphics may name the patient")


def _uid(name: str, given: Mapping[str, str]) -> str:
    value = given[name].strip(" \0")
    if len(value) > _LONGEST_UID:
        raise bad_request(f"{name} is no UID")
    return value


def _anonymize(given: Mapping[str, str]) -> bool:
    value = given.get("anonymize")
    if value is not None and value.lower() != "yes":
        raise bad_request("anonymize has no other value than yes; leave it out to have the object as it is")
    return value is not None


def _frame(given: Mapping[str, str]) -> int | None:
    text = given.get("frameNumber")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_FRAMES and int(text)):
        raise bad_request("frameNumber is one whole number from 1")
    return int(text)


def _picture(given: Mapping[str, str]) -> Picture:
    picture = Picture(region=_region(given), window=_window(given))
    if "imageQuality" in given:
        picture = picture._replace(quality=quality_of(given["imageQuality"], "imageQuality"))
    if "annotation" in given:
        picture = picture._replace(annotations=annotations_of(given["annotation"]))
    height = size_of(given["rows"], "rows") if "rows" in given else 0
    width = size_of(given["columns"], "columns") if "columns" in given else 0
    return picture._replace(width=width, height=height)


def _region(given: Mapping[str, str]) -> Region | None:
    text = given.get("region")
    if text is None:
        return None
    form = "region is XMIN,YMIN,XMAX,YMAX, from 0.0 to 1.0 of the image"
    parts = _parts(text)
    if len(parts) != 4:
        raise bad_request(form)
    left, top, right, bottom = (number_of(part, form) for part in parts)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise bad_request(f"{form}, the maxima above the minima")
    return Region(left, top, right, bottom)


def _window(given: Mapping[str, str]) -> Window | None:
    center, width = given.get("windowCenter"), given.get("windowWidth")
    if center is None and width is None:
        return None
    if center is None or width is None:
        raise bad_request("windowCenter and windowWidth come together")
    form = "windowCenter and windowWidth are decimal numbers"
    return window_with(number_of(center, form), number_of(width, form))


def _presentation(given: Mapping[str, str]) -> tuple[str, str] | None:
    series, state = given.get("presentationSeriesUID"), given.get("presentationUID")
    if series is None and state is None:
        return None
    if series is None or state is None:
        raise bad_request("presentationSeriesUID and presentationUID come together")
    return _uid("presentationSeriesUID", given), _uid("presentationUID", given)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]
