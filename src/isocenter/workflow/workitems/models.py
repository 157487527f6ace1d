"""Workitems as DICOM JSON models: brought to one form, checked against the attribute table, and encoded again."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import ENUMERATED, MAY_BE_EMPTY, PUSH, Attribute, State, Status, attributes
from isocenter.dicom import dictionary, json_model
from isocenter.dicom.assembling import Assembly
from isocenter.dicom.dataset import DataSet, encode
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import IsocenterError, Reason, Refused

Model: TypeAlias = dict[str, Any]
"""A DICOM JSON object (PS3.18 F)."""

CHARACTER_SET, SOP_CLASS, SOP_INSTANCE = "00080005", "00080016", "00080018"
TRANSACTION_UID: Final = "00081195"
STATE, PROGRESS, PERFORMED = "00741000", "00741002", "00741216"
MODIFIED, LABEL = "00404010", "00741202"
READINESS, STATION, PERFORMERS = "00404041", "00404025", "00404034"
CANCELLED_AT, REASON, REASON_CODE = "00404052", "00741238", "0074100E"
_INLINE: Final = 1 << 30
_DATE_TIME: Final = re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?")
_OWN: Final = frozenset({CHARACTER_SET, SOP_CLASS, SOP_INSTANCE, TRANSACTION_UID, MODIFIED})
"""What we say ourselves, whatever comes."""


class Rejected(Refused):
    """A request that breaks a rule of the unified worklist; `status` is the answer."""

    def __init__(self, status: Status, comment: str) -> None:
        super().__init__(Reason.BAD_REQUEST, comment)
        self.status = status


# --- in and out


def canonical(model: Mapping[str, Any]) -> Model:
    """`model` as we write models: tags in capitals and in order, VRs of the dictionary, no padding, text in UTF-8.

    Raises Rejected for what is no data set, or holds a value by reference.
    """
    try:
        encoded = b"".join(Assembly(model, lambda _: ()).pieces())
    except (IsocenterError, RecursionError, OverflowError) as fault:
        comment = fault.comment if isinstance(fault, IsocenterError) else "the data set is nested too deep"
        raise Rejected(Status.PROCESSING_FAILURE, comment) from fault
    return decoded(encoded, EXPLICIT_LE)


def decoded(data: bytes, syntax: str, charset: str = "") -> Model:
    """The model of an encoded data set; `charset` is assumed where it names none. Raises Rejected."""
    try:
        text = json_model.write(data, syntax, bulk_uri=None, threshold=_INLINE, default_charset=charset)
        found: Model = json.loads(text)
    except (MalformedDataSet, IsocenterError, ValueError, RecursionError) as fault:
        raise Rejected(Status.PROCESSING_FAILURE, "the data set can't be read") from fault
    for path, attribute in _walk(found):
        _check_vr(path, attribute)
    return found


def encoded(model: Mapping[str, Any], syntax: str) -> bytes:
    """`model` in transfer syntax `syntax`; Specific Character Set only where it is needed."""
    text = json.dumps(model, ensure_ascii=False)
    data_set: DataSet = {int(tag, 16): element_of(each) for tag, each in model.items() if tag != CHARACTER_SET}
    if not text.isascii():
        data_set[int(CHARACTER_SET, 16)] = element_of(text_attribute("CS", "ISO_IR 192"))
    return encode(data_set, syntax)


def dumped(model: Mapping[str, Any]) -> str:
    """As it is kept."""
    return json.dumps(model, ensure_ascii=False, separators=(",", ":"))


def text_attribute(vr: str, *values: str) -> dict[str, Any]:
    """An attribute of a text VR."""
    return {"vr": vr, "Value": list(values)} if any(values) else {"vr": vr}


def value(model: Mapping[str, Any], tag: str) -> str:
    """The first value of a text attribute, '' where there is none."""
    values = (model.get(tag) or {}).get("Value") or [""]
    return values[0].strip() if isinstance(values[0], str) else ""


def items(model: Mapping[str, Any], tag: str) -> list[Model]:
    """The items of a sequence."""
    return [item for item in (model.get(tag) or {}).get("Value", ()) if isinstance(item, dict)]


def pruned(model: Mapping[str, Any]) -> Model:
    """`model` without what we say ourselves."""
    return {tag: attribute for tag, attribute in model.items() if tag not in _OWN}


def completed(model: Mapping[str, Any], uid: str, state: State, modified: str) -> Model:
    """A workitem as it is kept: `model` with what we say ourselves, in the order of the tags."""
    text = json.dumps(model, ensure_ascii=False)
    whole = {
        **model,
        SOP_CLASS: text_attribute("UI", PUSH),
        SOP_INSTANCE: text_attribute("UI", uid),
        STATE: text_attribute("CS", state),
        MODIFIED: text_attribute("DT", modified),
    }
    if not text.isascii():
        whole[CHARACTER_SET] = text_attribute("CS", "ISO_IR 192")
    return {tag: whole[tag] for tag in sorted(whole)}


# --- checks


def check_creation(model: Model) -> list[Path]:
    """Raise Rejected for what N-CREATE must not send, or must send with a value (CC.2.5.1.3). Gives the attributes of
    type 2 that are absent at the top."""
    state = value(model, STATE)
    if state and state != State.SCHEDULED:
        raise Rejected(Status.NOT_SCHEDULED, "the state must be SCHEDULED")
    _check_values(model)
    missing: list[Path] = []
    for row in attributes().values():
        if row.path[-1] in _OWN_TAGS:
            continue
        for holder, tag in _holders(model, row.path):
            if row.create == "2" and tag not in holder and len(row.path) == 1:
                missing.append(row.path)
            _check_one(row, row.create, holder, tag)
    for tag in (PROGRESS, PERFORMED):
        if items(model, tag):
            raise Rejected(Status.INVALID_VALUE, f"{dictionary.keyword_of(int(tag, 16))} must be empty")
    return missing


def check_change(model: Model) -> None:
    """Raise Rejected for what N-SET must not send (CC.2.6)."""
    if STATE in model:
        wanted = value(model, STATE)
        status = Status.ONLY_CREATED_SCHEDULED if wanted == State.SCHEDULED else Status.INVALID_VALUE
        raise Rejected(status, "the state is changed by N-ACTION")
    _check_values(model)
    for row in attributes().values():
        if row.path[-1] in _OWN_TAGS:
            continue
        for holder, tag in _holders(model, row.path):
            if row.change == "N" and tag in holder:
                raise Rejected(Status.INVALID_VALUE, f"{row.keyword} can't be changed")
            if len(row.path) == 1 and row.create == "1" and tag in holder:
                _check_one(row, "1", holder, tag)


def unmet(model: Model, wanted: State) -> list[str]:
    """The attributes without the value that the final state needs (CC.2.5.1.1)."""
    needed = {"R", "P" if wanted is State.COMPLETED else "X"}
    found = []
    for row in attributes().values():
        if row.final not in needed:
            continue
        for holder, tag in _holders(model, row.path):
            if not (_has_value(holder, tag) or (row.path == MAY_BE_EMPTY and tag in holder)):
                found.append(row.keyword)
    return found


_OWN_TAGS: Final = frozenset(int(tag, 16) for tag in _OWN)


def _check_one(row: Attribute, kind: str, holder: Model, tag: str) -> None:
    if kind == "N" and tag in holder:
        raise Rejected(Status.INVALID_VALUE, f"{row.keyword} must not be sent")
    if kind == "1" and tag not in holder:
        raise Rejected(Status.MISSING_ATTRIBUTE, f"no {row.keyword}")
    if kind == "1" and not _has_value(holder, tag):
        raise Rejected(Status.MISSING_VALUE, f"no value of {row.keyword}")


def _holders(model: Model, path: Path) -> Iterator[tuple[Model, str]]:
    """The data sets in which the attribute at `path` would lie, with its tag."""
    if len(path) == 1:
        yield model, f"{path[0]:08X}"
        return
    for item in items(model, f"{path[0]:08X}"):
        yield from _holders(item, path[1:])


def _has_value(holder: Model, tag: str) -> bool:
    attribute = holder.get(tag) or {}
    return bool(attribute.get("InlineBinary")) or any(each not in (None, "", {}) for each in attribute.get("Value", ()))


def _check_values(model: Model) -> None:
    for tag, allowed in ENUMERATED.items():
        found = value(model, f"{tag:08X}")
        if found and found not in allowed:
            raise Rejected(Status.INVALID_VALUE, f"no value of {dictionary.keyword_of(tag)}")
    for path, attribute in _walk(model):
        if attribute["vr"] == "DT" and path in attributes():
            for moment in attribute.get("Value", ()):
                if moment is not None and not _DATE_TIME.fullmatch(str(moment).strip()):
                    raise Rejected(Status.INVALID_VALUE, f"no date and time: {attributes()[path].keyword}")


def _walk(model: Model, above: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    for tag, attribute in model.items():
        path = (*above, int(tag, 16))
        yield path, attribute
        if attribute.get("vr") == "SQ":
            for item in attribute.get("Value", ()):
                if isinstance(item, dict):
                    yield from _walk(item, path)


def _check_vr(path: Path, attribute: dict[str, Any]) -> None:
    known = dictionary.entry_of(path[-1])
    if known is None:
        return
    if attribute["vr"] not in known.vr.split(" or "):
        raise Rejected(Status.INVALID_VALUE, f"{known.keyword} is of another value representation")
