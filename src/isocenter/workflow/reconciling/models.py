"""Studies and worklist items as DICOM JSON objects: reading values out of them, and comparing these.

Values are compared as PS3.4 C.2.2.2 matches them: person names without regard to case, marks and empty components.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from isocenter.declarations.reconciling import COMPARED, MODALITY, STATION, STEPS, Compared
from isocenter.dicom.folding import fold
from isocenter.dicom.json_reading import text_of
from isocenter.dicom.person_name import parse
from isocenter.index.level_models import columns, from_column, loaded
from isocenter.index.records import Arrival

Model: TypeAlias = dict[str, Any]
"""Attributes by tag, eight hexadecimal digits in capitals (PS3.18 F)."""

_NOT_OF_THE_STUDY: Final = frozenset({"00080201", "00080080"})
"""Keys at study level that are attributes of the equipment."""


def model_of(arrival: Arrival) -> Model:
    """Patient and study as the first object has them, with its modality and the AE that sent it."""
    found: Model = {}
    for level, values in (("P", arrival.patient), ("S", arrival.study)):
        found |= of_columns(level, values)
    modality = str(arrival.series.get("modality") or "")
    return {**found, **_text(MODALITY, "CS", modality), **_text(STATION, "AE", arrival.source_aet)}


def of_columns(level: str, values: Mapping[str, Any]) -> Model:
    """The attributes that the columns of a level stand for, and those in its `attributes`."""
    found: Model = {**loaded(str(values.get("attributes") or ""))}
    for tag, key in columns(level).items():
        if (text := str(values.get(key.column) or "")) and f"{tag:08X}" not in _NOT_OF_THE_STUDY:
            found[f"{tag:08X}"] = from_column(key.vr, text)
    return found


def _text(tag: str, vr: str, value: str) -> Model:
    return {tag: {"vr": vr, "Value": [value]}} if value else {}


def text(model: Mapping[str, Any], tag: str) -> str:
    """The values of an attribute as one text; '' for none, and for a sequence."""
    attribute = model.get(tag)
    if attribute is None or attribute.get("vr") == "SQ":
        return ""
    return text_of(attribute).strip(" \0")


def steps_of(item: Mapping[str, Any]) -> list[Model]:
    """The items of Scheduled Procedure Step Sequence."""
    return [step for step in item.get(STEPS, {}).get("Value", ()) if isinstance(step, dict)]


def study_value(model: Mapping[str, Any], keyword: str) -> str:
    """What a study has of an attribute that is compared (`declarations.reconciling.COMPARED`)."""
    return text(model, COMPARED[keyword].of_study)


def item_value(item: Mapping[str, Any], keyword: str) -> str:
    """What a worklist item of one step has of it."""
    compared = COMPARED[keyword]
    if not compared.step:
        return text(item, compared.tag)
    return next((text(step, compared.tag) for step in steps_of(item)), "")


def same(compared: Compared, ours: str, theirs: str) -> bool:
    """Whether two values match. Of several values of the item one has to."""
    if compared.vr == "PN":
        return _name(ours) == _name(theirs)
    return any(_plain(ours) == _plain(each) for each in theirs.split("\\"))


def _plain(value: str) -> str:
    return fold(value.strip())


def _name(value: str) -> tuple[str, ...]:
    return tuple(fold(group).rstrip("^ ") for group in parse(value).groups)
