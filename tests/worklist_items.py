"""Worklist items for tests: a DICOM JSON object of a scheduled procedure step, and one with a value for every key."""

from collections.abc import Iterable
from typing import Any

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import keys
from isocenter.dicom.dataset import DataSet, Element, text, uid
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.workflow.worklist.entries import Entry, Worklist
from isocenter.workflow.worklist.states import State

STEP = 0x00400100
_NUMBERS = frozenset({"US", "UL", "SS", "SL", "FL", "FD"})
_OF_THE_STEP = frozenset(key.path[1] for key in keys().values() if len(key.path) == 2 and key.path[0] == STEP)


def attribute(tag: int, *values: Any) -> dict[str, Any]:
    """One attribute in the DICOM JSON model; text of VR PN as its alphabetic group, or all groups."""
    vr = vr_of(tag)
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        named = [dict(zip(groups, value.split("="), strict=False)) for value in values if value]
        return {"vr": vr, "Value": [{k: v for k, v in name.items() if v} for name in named]}
    return {"vr": vr, "Value": list(values)} if any(value != "" for value in values) else {"vr": vr}


def model(number: int = 1, **values: Any) -> dict[str, Any]:
    """Patient, order and step of this number; `values` by keyword, those of a step go into it."""
    plain: dict[str, Any] = {
        "PatientName": f"Family{number}^Given",
        "PatientID": f"P{number}",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "AccessionNumber": f"A{number}",
        "RequestedProcedureID": f"R{number}",
        "RequestedProcedureDescription": "Chest",
        "Modality": "CT",
        "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepStartDate": "20260105",
        "ScheduledProcedureStepStartTime": "0930",
        "ScheduledProcedureStepDescription": "Chest CT",
        "ScheduledProcedureStepID": f"S{number}",
        **values,
    }
    whole: dict[str, Any] = {}
    step: dict[str, Any] = {}
    for keyword, value in plain.items():
        tag = tag_of(keyword)
        assert tag is not None, keyword
        place = step if tag in _OF_THE_STEP else whole
        given = value if isinstance(value, tuple | list) else (value,)
        place[f"{tag:08X}"] = attribute(tag, *given)
    return {**whole, f"{STEP:08X}": {"vr": "SQ", "Value": [step]}}


def complete(seed: int) -> dict[str, Any]:
    """An entry with a value for every key of the information model, other values for each seed."""
    whole: dict[str, Any] = {}
    for number, key in enumerate(keys().values()):
        item = whole
        for tag in key.path[:-1]:
            item = item.setdefault(f"{tag:08X}", {"vr": "SQ", "Value": [{}]})["Value"][0]
        if key.vr != "SQ":
            item[f"{key.path[-1]:08X}"] = attribute(key.path[-1], sample(key.vr, seed, number))
        else:
            item.setdefault(f"{key.path[-1]:08X}", {"vr": "SQ", "Value": [{}]})
    step = whole[f"{STEP:08X}"]["Value"][0]
    step["00400020"] = attribute(0x00400020, "SCHEDULED" if seed % 2 else "ARRIVED")
    whole.pop("00080005", None)
    return whole


def sample(vr: str, seed: int, number: int) -> str | int:
    """A value of this VR."""
    match vr:
        case "PN":
            return f"Family{seed}x{number}^Given{seed}"
        case "DA":
            return f"20{seed:02d}{number % 12 + 1:02d}{number % 28 + 1:02d}"
        case "TM":
            return f"{seed % 24:02d}{number % 60:02d}30"
        case "DT":
            return f"20{seed:02d}0102{number % 24:02d}3000"
        case "UI":
            return f"1.2.826.0.1.3680043.10.999.{seed}.{number}"
        case "US":
            return seed * 100 + number % 100
        case "AS":
            return f"{seed:03d}Y"
        case "IS" | "DS":
            return str(seed * 1000 + number)
        case _:
            return f"V{seed}X{number:03d}"


def put(database: Database, *models: dict[str, Any], states: Iterable[State | None] = ()) -> list[Entry]:
    """Enter each as an order of its own."""
    worklist = Worklist(database)
    given = list(states) or [None] * len(models)
    with database.writing() as connection:
        return [
            worklist.put(connection, f"order{n}", each, state=state)
            for n, (each, state) in enumerate(zip(models, given, strict=True))
        ]


def asked(*paths: Path, **values: str) -> DataSet:
    """An identifier: return keys by path, matching keys by keyword; those of a step go into its item."""
    found: DataSet = {}
    for path in paths:
        _set(found, path, "")
    for keyword, value in values.items():
        tag = tag_of(keyword)
        assert tag is not None, keyword
        _set(found, (STEP, tag) if tag in _OF_THE_STEP else (tag,), value)
    return found


def with_value(identifier: DataSet, path: Path, value: str) -> DataSet:
    """`identifier` with one more key."""
    _set(identifier, path, value)
    return identifier


def _set(into: DataSet, path: Path, value: str) -> None:
    for tag in path[:-1]:
        element = into.setdefault(tag, Element("SQ", ({},)))
        assert isinstance(element.value, tuple)
        if not element.value:
            element = into[tag] = Element("SQ", ({},))
        into = element.value[0]  # type: ignore[assignment]
    vr = vr_of(path[-1])
    if vr == "SQ":
        into.setdefault(path[-1], Element("SQ", ()))
    elif vr in _NUMBERS:
        into[path[-1]] = Element(vr, int(value).to_bytes(2, "little") if value else b"")
    else:
        into[path[-1]] = uid(value) if vr == "UI" else text(vr, value)
