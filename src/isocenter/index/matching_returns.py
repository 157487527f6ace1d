"""What a search returns: the columns to select and how to read the values of a row.

A row is a tuple with the primary key first. A `Field` says where in it a return key's value stands; what needs more
than reading (JSON of further attributes, joined values) is done by `Layout.value`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement

from isocenter.declarations.query_keys import Key, Level, Path, Place, key
from isocenter.dicom.dictionary import vr_of
from isocenter.index.matching_computed import counted, gathered
from isocenter.index.matching_sql import Dialect
from isocenter.index.matching_tables import Frame


class Kind(Enum):
    """How a field's value stands in a row."""

    TEXT = "text"
    """Text as written; several values joined by backslashes; '' if absent."""
    NUMBER = "number"
    """An integer or None."""
    GATHERED = "gathered"
    """Distinct values joined by commas or backslashes."""
    JSON = "json"
    """Inside the DICOM JSON object of further attributes at `position`; '' for an empty one."""
    SERVICE = "service"
    """Known to the service alone (RetrieveAETitle, RetrieveURL, SpecificCharacterSet, InstanceAvailability above image
    level) or never returned; no position."""
    EMPTY = "empty"
    """Not supported at this level; no position."""


class Field(NamedTuple):
    """One top-level element of an answer."""

    tag: int
    vr: str
    kind: Kind
    position: int
    wanted: tuple[Path, ...]
    """Of a sequence: the paths asked for inside it, without its own tag; () stands for everything."""
    unsupported: tuple[Path, ...] = ()
    """Paths asked for below `tag` that are no keys."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of every row of a search, by ascending tag."""

    fields: tuple[Field, ...]

    @property
    def unsupported(self) -> bool:
        """A key was asked for that the level does not support (pending FF01, PS3.4 C.4.1.1.4)."""
        return any(field.kind is Kind.EMPTY or field.unsupported for field in self.fields)

    def field(self, tag: int) -> Field | None:
        """The field of a top-level element."""
        return next((field for field in self.fields if field.tag == tag), None)

    def value(self, row: Sequence[Any], field: Field) -> Any:
        """The value of `field`: str, int or None; for JSON the attribute ({"vr":..., "Value":...}) or None."""
        match field.kind:
            case Kind.TEXT | Kind.NUMBER:
                return row[field.position]
            case Kind.GATHERED:
                return "\\".join(distinct(row[field.position]))
            case Kind.JSON:
                text = row[field.position]
                return msgspec.json.decode(text).get(f"{field.tag:08X}") if text else None
            case Kind.SERVICE | Kind.EMPTY:
                return None


def distinct(gathered_values: str) -> list[str]:
    """The values of a GATHERED field, sorted."""
    values = gathered_values.replace(",", "\\").split("\\")
    return sorted({value for value in values if value})


class Selection:
    """The columns that the fields need, each selected once."""

    def __init__(self, frame: Frame, dialect: Dialect) -> None:
        self.frame = frame
        self.dialect = dialect
        self.columns: list[ColumnElement[Any]] = []
        self.tables: set[str] = set()
        self._positions: dict[str, int] = {}

    def add(self, name: str, column: ColumnElement[Any], table: str) -> int:
        """The position of `column` in a row; `name` tells columns apart."""
        if name not in self._positions:
            self.columns.append(column.label(f"v{len(self.columns)}"))
            self.tables.add(table)
            self._positions[name] = len(self.columns)
        return self._positions[name]

    def attributes(self, level: Level) -> int:
        """The position of a level's further attributes."""
        column, table = self.frame.attributes(level)
        return self.add(level.code, column, table)


def layout_of(level: Level, returns: Iterable[Path], selection: Selection, more: tuple[Key, ...] = ()) -> Layout:
    """The fields for the paths of `returns`; the columns they need are added to `selection`."""
    asked: dict[int, list[Path]] = {}
    for path in returns:
        asked.setdefault(path[0], []).append(path)
    return Layout(tuple(_field(level, tag, paths, selection, more) for tag, paths in sorted(asked.items())))


def _field(level: Level, tag: int, paths: list[Path], selection: Selection, more: tuple[Key, ...]) -> Field:
    found = key(level, (tag,), more)
    if found is not None and not found.returned:
        return Field(tag, found.vr, Kind.SERVICE, -1, ())
    if found is None:
        return Field(tag, vr_of(tag), Kind.EMPTY, -1, tuple(path[1:] for path in paths if len(path) > 1))
    if found.vr == "SQ":
        return _sequence(level, found, paths, selection, more)
    if found.place is Place.ATTRIBUTE:
        return Field(tag, found.vr, Kind.JSON, selection.attributes(found.level), ())
    if found.place is Place.COLUMN:
        column, table = selection.frame.column(found)
        kind = Kind.NUMBER if column.type.python_type is int else Kind.TEXT
        return Field(tag, found.vr, kind, selection.add(found.keyword, column, table), ())
    return _computed(found, selection)


def _sequence(level: Level, found: Key, paths: list[Path], selection: Selection, more: tuple[Key, ...]) -> Field:
    inner = [path for path in paths if len(path) > 1]
    whole = len(inner) < len(paths)
    wanted = () if whole else tuple(path[1:] for path in inner)
    unsupported = tuple(path[1:] for path in inner if key(level, path, more) is None)
    return Field(found.path[0], "SQ", Kind.JSON, selection.attributes(found.level), wanted, unsupported)


def _computed(found: Key, selection: Selection) -> Field:
    tag = found.path[0]
    if found.keyword.startswith("NumberOf"):
        column, table = counted(selection.frame, found)
        return Field(tag, found.vr, Kind.NUMBER, selection.add(found.keyword, column, table), ())
    if found.keyword in ("ModalitiesInStudy", "SOPClassesInStudy", "PerformedStationAETitle"):
        column, table = gathered(selection.frame, found, selection.dialect)
        return Field(tag, found.vr, Kind.GATHERED, selection.add(found.keyword, column, table), ())
    if found.keyword == "InstanceAvailability" and found.level is Level.IMAGE:
        column, table = selection.frame.named(Level.IMAGE, "availability")
        return Field(tag, found.vr, Kind.TEXT, selection.add(found.keyword, column, table), ())
    return Field(tag, found.vr, Kind.SERVICE, -1, ())
