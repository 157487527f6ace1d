"""What was performed in a step, gathered from its attributes (PS3.3 C.4.14 to C.4.18): protocol, operators, series,
dose, films, supplies and what is to be billed (X-RIS-36, X-RIS-39).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from isocenter.dicom.dictionary import keyword_of
from isocenter.workflow.steps.attributes import Model, items, performed, text

_DOSE: Final = (
    *("00400300", "00400301", "00181110", "00400306", "00400302", "00408302", "00400303", "0018115E", "00400310"),
)
"""Radiation Dose, but for the items of Exposure Dose Sequence (PS3.3 C.4.16)."""
_EXPOSURES, _FILMS, _SUPPLIES = "0040030E", "00400321", "00400324"
_EXPOSURE: Final = ("0040A124", "00180060", "00181150", "00181151", "00181152", "00189323", "00187050", "00400312")
_PROTOCOLS, _PROCEDURES, _BILLED, _REASONS = "00400260", "00081032", "00400320", "00400281"
_PHYSICIAN, _OPERATOR, _PROTOCOL, _DESCRIPTION = "00081050", "00081070", "00181030", "0008103E"


def content(model: Mapping[str, Any]) -> dict[str, Any]:
    """It as JSON; what the step does not say is left out."""
    series = items(model, "00400340")
    found = {
        "procedures": [_code(each) for each in items(model, _PROCEDURES)],
        "protocols": [_code(each) for each in items(model, _PROTOCOLS)],
        "discontinued_for": [_code(each) for each in items(model, _REASONS)],
        "performing_physicians": _names(series, _PHYSICIAN),
        "operators": _names(series, _OPERATOR),
        "series": _series(model, series),
        "dose": _named(model, _DOSE),
        "exposures": [_named(each, _EXPOSURE) for each in items(model, _EXPOSURES)],
        "films": [_film(each) for each in items(model, _FILMS)],
        "supplies": [_supply(each) for each in items(model, _SUPPLIES)],
        "billed": [_code(each) for each in items(model, _BILLED)],
    }
    return {name: value for name, value in found.items() if value}


def _series(model: Mapping[str, Any], described: list[Model]) -> list[dict[str, Any]]:
    return [
        {
            "series_uid": one.series_uid,
            "protocol": text(item, _PROTOCOL),
            "description": text(item, _DESCRIPTION),
            "instances": len(one.sop_uids),
        }
        for one, item in zip(performed(model), described, strict=True)
    ]


def _code(item: Model) -> dict[str, str]:
    return {"value": text(item, "00080100"), "scheme": text(item, "00080102"), "meaning": text(item, "00080104")}


def _names(series: Iterable[Model], tag: str) -> list[str]:
    return [each for each in dict.fromkeys(text(item, tag) for item in series) if each]


def _named(model: Mapping[str, Any], tags: Iterable[str]) -> dict[str, str]:
    """Values by keyword, units as PS3.3 has them."""
    return {keyword_of(int(tag, 16)): value for tag in tags if (value := text(model, tag))}


def _film(item: Model) -> dict[str, str]:
    return {"number": text(item, "21000170"), "medium": text(item, "20000030"), "size": text(item, "20100050")}


def _supply(item: Model) -> dict[str, Any]:
    """An item of Billing Supplies and Devices Sequence: what, how many, and of what unit."""
    quantity: Model = next(iter(items(item, "00400293")), {})
    billed = [_code(each) for each in items(item, "00400296")]
    units = [_code(each) for each in items(quantity, "00400295")]
    told = {"item": billed[0] if billed else {}, "quantity": text(quantity, "00400294")}
    return {**told, "unit": units[0] if units else {}}
