"""The observations of a result: lines of text and PDFs (HL7 2.8 7.4.2, OBX; 2.A.24, ED)."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Repetition, Segment
from isocenter.workflow.documents.codes import Code, code_of, heading_of

_LEFT_OUT: Final = frozenset({"D", "W", "X", "N"})
"""OBX-11: deleted, wrong, can't be obtained, not asked."""
_CODED: Final = frozenset({"CE", "CWE", "CNE", "CF"})
_STUDY: Final = frozenset({"113014", "DICOM STUDY", "STUDY INSTANCE UID", "STUDYINSTANCEUID", "0020000D"})
_MARK: Final = b"%PDF-"
_LOOK: Final = 1024


class Line(NamedTuple):
    """What one heading says, line by line."""

    heading: Code
    text: str
    value: Code | None = None
    """Where the observation is a code."""


def is_study(observation: Segment) -> bool:
    """Whether an OBX names the study that the others are about."""
    return any(observation.value(3, number).strip().upper() in _STUDY for number in (1, 2))


def lines_of(observations: Sequence[Segment]) -> list[Line]:
    """The texts, those that follow one another under one heading together. Raises MessageError for an observation that
    can't be kept."""
    found: list[Line] = []
    for number, obx in enumerate(observations, 1):
        kind = obx.value(2).strip().upper()
        if kind == "ED" or is_study(obx) or _left_out(obx):
            continue
        heading, text = heading_of(obx), _text(obx, kind, number)
        if kind in _CODED and code_of(obx, 5).value:
            found.append(Line(heading, text, code_of(obx, 5)))
        elif found and found[-1].heading == heading and found[-1].value is None:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{text}")
        elif text:
            found.append(Line(heading, text))
    return [line._replace(text=line.text.rstrip()) for line in found if line.text.strip()]


def pdfs_of(observations: Sequence[Segment]) -> list[bytes]:
    """The PDFs. Raises MessageError for another kind of data, and for data that can't be decoded."""
    found = []
    for number, obx in enumerate(observations, 1):
        if obx.value(2).strip().upper() == "ED" and not _left_out(obx):
            found += [_pdf(each, number) for each in obx.field(5)]
    return found


def _left_out(obx: Segment) -> bool:
    return obx.value(11).strip().upper() in _LEFT_OUT


def _text(obx: Segment, kind: str, number: int) -> str:
    if kind in ("RP", "HD", "UID", "EI", "AD", "XAD"):
        return " ".join(part for component in _first(obx) for part in component if part)
    if kind in _CODED:
        code = code_of(obx, 5)
        return code.meaning or code.value
    if kind in ("SN", "CQ", "MO", "NR"):
        return _with_units(obx, " ".join(part for component in _first(obx) for part in component if part))
    if kind in ("NM", "DT", "TM", "TS", "DTM", "XPN", "XCN", "PN", "CN"):
        words = [part for component in _first(obx) for part in component if part]
        return _with_units(obx, " ".join(words))
    if kind in ("", "TX", "FT", "ST"):
        # a caret or ampersand in a text that was not escaped is one
        return "\n".join("^".join("&".join(component) for component in each) for each in obx.field(5) if each != _NULL)
    raise MessageError(Condition.DATA_TYPE, "a value of this type can't be kept", Location("OBX", number, 2))


_NULL: Final[Repetition] = ((NULL,),)


def _first(obx: Segment) -> Repetition:
    field = obx.field(5)
    return field[0] if field and field[0] != _NULL else ()


def _with_units(obx: Segment, text: str) -> str:
    unit = obx.value(6).strip()
    return f"{text} {unit}" if text and unit and unit != NULL else text


def _pdf(value: Repetition, number: int) -> bytes:
    """What an ED holds: source, type, subtype, encoding, data."""
    parts = [component[0] if component else "" for component in value]
    kind, subtype, encoding, data = (*parts[1:5], "", "", "", "")[:4]
    place = Location("OBX", number, 5)
    if "PDF" not in (kind.strip().upper(), subtype.strip().upper().removeprefix("APPLICATION/")):
        raise MessageError(Condition.DATA_TYPE, "only encapsulated data of subtype PDF is kept", place)
    try:
        found = _decoded(encoding.strip().upper(), data)
    except (binascii.Error, ValueError) as wrong:
        raise MessageError(Condition.DATA_TYPE, "the data is not of its encoding", place) from wrong
    if _MARK not in found[:_LOOK]:
        raise MessageError(Condition.DATA_TYPE, "the data is no PDF", place)
    return found


def _decoded(encoding: str, data: str) -> bytes:
    packed = "".join(data.split())
    if encoding == "HEX":
        return bytes.fromhex(packed)
    if encoding not in ("BASE64", ""):
        raise ValueError("an encoding that is not known")
    return base64.b64decode(packed, validate=True)
