"""Rows of a search as DICOM JSON objects, written as bytes from the columns.

Each field keeps the bytes of the values it has met, since most columns of most answers hold few different ones.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from isocenter.archive.query import Field, Kind, Layout
from isocenter.declarations.query_keys import Level
from isocenter.dicom import json_model
from isocenter.dicom.json_values import WHOLE_VRS
from isocenter.web.root import study_url

_CHARACTER_SET, _AVAILABILITY = 0x00080005, 0x00080056
_RETRIEVE_TITLE, _RETRIEVE_URL = 0x00080054, 0x00081190
_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
_REMEMBERED = 4096

Row = Sequence[Any]
Member = Callable[[Row], bytes | None]
"""Writes one member of a row's object; None leaves it out."""


def writer(layout: Layout, level: Level, root: str, title: str) -> Callable[[Iterable[Row]], list[bytes]]:
    """What writes pages of a search at `level`. `title` is the AE title to retrieve from."""
    members = [member for field in layout.fields if (member := _member(layout, field, level, root, title))]

    def write(page: Iterable[Row]) -> list[bytes]:
        return [b"{%b}" % b",".join([text for member in members if (text := member(row)) is not None]) for row in page]

    return write


def _member(layout: Layout, field: Field, level: Level, root: str, title: str) -> Member | None:
    if field.kind in (Kind.TEXT, Kind.NUMBER, Kind.GATHERED):
        return _column(layout, field)
    if field.kind is Kind.JSON:
        return _further(field)
    if field.tag == _RETRIEVE_URL:
        return _retrieve_url(layout, level, root)
    known = {_CHARACTER_SET: ("CS", "ISO_IR 192"), _AVAILABILITY: ("CS", "ONLINE"), _RETRIEVE_TITLE: ("AE", title)}
    if field.tag not in known:
        return None
    constant = json_model.element(field.tag, *known[field.tag])
    return lambda row: constant


def _column(layout: Layout, field: Field) -> Member:
    tag, vr, position = field.tag, field.vr, field.position
    met: dict[Any, bytes] = {}
    gathered, whole = field.kind is Kind.GATHERED, vr in WHOLE_VRS

    def member(row: Row) -> bytes:
        value = row[position]
        text = met.get(value)
        if text is None:
            if len(met) > _REMEMBERED:
                met.clear()
            shown = layout.value(row, field) if gathered else value
            if isinstance(shown, str) and "\\" in shown and not whole:
                shown = shown.split("\\")
            text = met[value] = json_model.element(tag, vr, shown)
        return text

    return member


def _further(field: Field) -> Member:
    position, name = field.position, f"{field.tag:08X}"
    empty = json_model.element(field.tag, field.vr, None)
    met: dict[str, bytes] = {"": empty}

    def member(row: Row) -> bytes:
        held = row[position] or ""
        text = met.get(held)
        if text is None:
            if len(met) > _REMEMBERED:
                met.clear()
                met[""] = empty
            found = msgspec.json.decode(held, type=dict[str, msgspec.Raw]).get(name)
            text = met[held] = empty if found is None else b'"%b":%b' % (name.encode(), bytes(found))
        return text

    return member


def _retrieve_url(layout: Layout, level: Level, root: str) -> Member | None:
    """RetrieveURL of a row, which has the UIDs of its level and of those above."""
    tags = {Level.STUDY: (_STUDY,), Level.SERIES: (_STUDY, _SERIES), Level.IMAGE: (_STUDY, _SERIES, _INSTANCE)}
    fields = [layout.field(tag) for tag in tags.get(level, ())]
    positions = [field.position for field in fields if field is not None]
    if not positions or len(positions) < len(fields):
        return None

    def member(row: Row) -> bytes:
        return json_model.element(_RETRIEVE_URL, "UR", study_url(root, *[row[position] for position in positions]))

    return member
