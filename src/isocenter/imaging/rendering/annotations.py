"""The text that is drawn on a picture where it is asked for (PS3.18 8.3.5.1.2): lines for its two upper corners."""

from typing import Final

from isocenter.dicom import person_name
from isocenter.dicom.dataset import DataSet
from isocenter.imaging.picture import PATIENT, TECHNIQUE, Picture
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.header import Header
from isocenter.imaging.rendering.values import first, number, text_of

_LONGEST: Final = 64


def lines_of(header: Header, frame: int, picture: Picture) -> tuple[tuple[str, ...], ...]:
    """What identifies the patient for the upper left corner, how the image was made for the upper right."""
    if not picture.annotations:
        return ()
    found = header.attributes
    left = _patient(found) if PATIENT in picture.annotations else []
    right = _technique(found, frame, header.frames) if TECHNIQUE in picture.annotations else []
    return tuple(tuple(line[:_LONGEST] for line in lines if line) for lines in (left, right))


def _patient(found: DataSet) -> list[str]:
    name = person_name.display(text_of(found, tags.NAME))
    facts = (_date(found, tags.BIRTH_DATE), first(found, tags.SEX), first(found, tags.AGE))
    study = (_date(found, tags.STUDY_DATE), _time(found, tags.STUDY_TIME))
    return [
        name,
        text_of(found, tags.PATIENT_ID),
        _joined(*facts),
        _joined(*study),
        text_of(found, tags.STUDY_DESCRIPTION),
        text_of(found, tags.INSTITUTION),
    ]


def _technique(found: DataSet, frame: int, frames: int) -> list[str]:
    series = first(found, tags.SERIES_NUMBER)
    image = first(found, tags.INSTANCE_NUMBER)
    return [
        _joined(first(found, tags.MODALITY), text_of(found, tags.SERIES_DESCRIPTION)),
        _joined(series and f"Se {series}", image and f"Im {image}", frames > 1 and f"Fr {frame}/{frames}"),
        _joined(
            _quantity(found, tags.KVP, "kV"),
            _quantity(found, tags.TUBE_CURRENT, "mA"),
            _quantity(found, tags.EXPOSURE, "mAs"),
        ),
        _joined(_quantity(found, tags.REPETITION_TIME, "ms", "TR "), _quantity(found, tags.ECHO_TIME, "ms", "TE ")),
        _joined(_quantity(found, tags.THICKNESS, "mm"), _quantity(found, tags.LOCATION, "mm", "at ")),
        _joined(
            first(found, tags.IMAGE_LATERALITY) or first(found, tags.LATERALITY),
            first(found, tags.VIEW),
            first(found, tags.BODY_PART),
        ),
        _joined(text_of(found, tags.MANUFACTURER), text_of(found, tags.MODEL)),
    ]


def _joined(*parts: str | bool) -> str:
    return "  ".join(part for part in parts if isinstance(part, str) and part)


def _quantity(found: DataSet, tag: int, unit: str, name: str = "") -> str:
    value = number(found, tag)
    return "" if value is None else f"{name}{value:.6g} {unit}"


def _date(found: DataSet, tag: int) -> str:
    value = first(found, tag)
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == 8 and value.isdigit() else value


def _time(found: DataSet, tag: int) -> str:
    value = first(found, tag)
    return f"{value[:2]}:{value[2:4]}" if len(value) >= 4 and value[:4].isdigit() else ""
