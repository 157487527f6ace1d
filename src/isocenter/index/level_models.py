"""The attributes of a patient, a study or a series as the index holds them, read and written as a DICOM JSON object.

Levels are called as in `attribute.level`: P, S and E.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from isocenter.declarations.query_keys import Key, Level, Place, keys_at
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.folding import FOLD_LENGTH
from isocenter.dicom.json_reading import Attribute, element_of, text_of
from isocenter.dicom.person_name import GROUPS
from isocenter.dicom.scan import RawElement
from isocenter.index import extract, keys
from isocenter.index.further import further_of
from isocenter.index.sessions import Session

Model: TypeAlias = Mapping[str, Attribute | None]
"""Attributes by tag (eight hexadecimal digits); None for one that is taken out."""

PATIENT_REPEATED: Final = (
    *("patient_id", "issuer", "patient_name", "name_fold", "name_ideographic_fold", "name_phonetic_fold"),
    *("birth_date", "birth_time", "sex"),
)
"""The patient's columns that its studies repeat."""
_ROW: Final = ("level", "owner", "path", "item", "value", "fold")
TABLES: Final = {"P": "patient", "S": "study", "E": "series"}
_LEVELS: Final = {"P": Level.PATIENT, "S": Level.STUDY, "E": Level.SERIES}
_WHOLE: Final = frozenset({"LT", "ST", "UT", "UR"})
_IDENTIFYING: Final = frozenset({keys.PATIENT_ID, keys.ISSUER})


def dumped(value: Any) -> str:
    """JSON as the index keeps it: the same text for the same content."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def loaded(text: str) -> dict[str, Any]:
    """The object in `text`; {} for ''."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


@cache
def columns(level: str) -> Mapping[int, Key]:
    """The keys with a column of their own, by tag, but the unique ones that are UIDs."""
    found = keys_at(_LEVELS[level]).values()
    return {key.path[0]: key for key in found if key.place is Place.COLUMN and key.vr != "UI"}


@cache
def further_tags(level: str) -> frozenset[int]:
    """The attributes of the level that the index keeps beside its columns."""
    return frozenset(keys.FURTHER[level])


def read(session: Session, level: str, row_id: int) -> dict[str, Attribute]:
    """All that the index knows of the row, without its UID."""
    known = columns(level)
    names = ", ".join(key.column for key in known.values())
    row = session.rows(f"SELECT {names}, attributes FROM {TABLES[level]} WHERE id = ?", (row_id,))[0]  # noqa: S608
    found: dict[str, Attribute] = loaded(row[-1])
    for (tag, key), text in zip(known.items(), row, strict=False):
        if text:
            found[f"{tag:08X}"] = from_column(key.vr, str(text))
    return found


def from_column(vr: str, text: str) -> Attribute:
    """What the text of a column stands for."""
    values = [text] if vr in _WHOLE else text.split("\\")
    if vr == "PN":
        named = [dict(zip(GROUPS, value.split("="), strict=False)) for value in values]
        return {"vr": vr, "Value": [{group: part for group, part in name.items() if part} for name in named]}
    return {"vr": vr, "Value": list(values)}


def write(session: Session, level: str, row_id: int, changes: Model) -> None:
    """Give the row these values; what the index does not keep at the level is passed over, and so is what identifies a
    patient: see `index.moving`."""
    elements = {tag: _raw(tag, attribute) for tag, attribute in _by_tag(changes).items() if tag in columns(level)}
    values = extract.columns(level, elements)
    if values:
        assigned = ", ".join(f"{column} = ?" for column in values)
        session.run(f"UPDATE {TABLES[level]} SET {assigned} WHERE id = ?", [*values.values(), row_id])  # noqa: S608
    _write_further(session, level, row_id, _by_tag(changes))


def _by_tag(changes: Model) -> dict[int, Attribute | None]:
    return {int(tag, 16): attribute for tag, attribute in changes.items()}


def _raw(tag: int, attribute: Attribute | None) -> RawElement:
    if attribute is None:
        return RawElement("LO", b"")
    element = element_of(attribute)
    assert isinstance(element.value, bytes), tag
    return RawElement(element.vr, element.value)


def _write_further(session: Session, level: str, row_id: int, changes: Mapping[int, Attribute | None]) -> None:
    """Attributes beside the columns: their JSON to be returned, their rows to be matched."""
    table = TABLES[level]
    held = loaded(session.rows(f"SELECT attributes FROM {table} WHERE id = ?", (row_id,))[0][0])  # noqa: S608
    concerned = [tag for tag in changes if tag in further_tags(level) or f"{tag:08X}" in held]
    if not concerned:
        return
    present: DataSet = {}
    for tag in concerned:
        held.pop(f"{tag:08X}", None)
        attribute = changes[tag]
        if attribute is not None and attribute.get("Value"):
            present[tag] = element_of(attribute)
            held[f"{tag:08X}"] = attribute
    wanted = {tag: keys.FURTHER[level].get(tag) for tag in present}
    found = further_of(level, wanted, present, extract.UTF_8)
    update = f"UPDATE {table} SET attributes = ? WHERE id = ?"  # noqa: S608
    session.run(update, (dumped(held) if held else "", row_id))
    for tag in concerned:
        forget(session, level, row_id, tag)
    session.append("attribute", _ROW, [(level, row_id, *row[1:]) for row in found.rows])


def forget(session: Session, level: str, row_id: int, tag: int) -> None:
    """Take out the rows that an attribute is matched by, those of the sequence's items too."""
    path = f"{tag:08X}"
    session.run(
        "DELETE FROM attribute WHERE level = ? AND owner = ? AND path >= ? AND path < ?",
        (level, row_id, path, f"{path}/"),
    )


def locked(edits: str) -> frozenset[int]:
    """The tags that edits have settled: no arrival changes them."""
    return frozenset(int(tag, 16) for tag in loaded(edits))


def locked_columns(level: str, edits: str) -> frozenset[str]:
    """The columns among them."""
    if not edits:
        return frozenset()
    known = columns(level)
    return frozenset(known[tag].column for tag in locked(edits) if tag in known)


def identity_of(model: Model) -> tuple[str, str, str]:
    """(identity, id, issuer) of the patient that `model` describes. Raises ValueError where it has no Patient ID."""
    patient_id = text_of(model.get(f"{keys.PATIENT_ID:08X}")).strip()[:FOLD_LENGTH]
    issuer = text_of(model.get(f"{keys.ISSUER:08X}")).strip()[:FOLD_LENGTH]
    if not patient_id:
        raise ValueError("a patient needs a Patient ID")
    return f"{issuer}\\{patient_id}", patient_id, issuer


def without(model: Model, tags: Iterable[int] = _IDENTIFYING) -> dict[str, Attribute | None]:
    """`model` but for `tags`."""
    names = {f"{tag:08X}" for tag in tags}
    return {tag: attribute for tag, attribute in model.items() if tag not in names}
