"""Current values of the index, to be laid over objects as they leave (M-SEND-07, M-DWSEND-04), and the objects that
they must not be laid over: those in an unsettled conflict of patient or study.

The index is asked once a series; what it has no value for stays as the object has it.
"""

import json
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, select

from isocenter.archive.retrieval.instances import Located
from isocenter.database import Database
from isocenter.declarations.merging import MERGED, Extent
from isocenter.dicom.json_reading import Attribute
from isocenter.index.level_models import columns, dumped, from_column, loaded
from isocenter.index.tables import conflict, patient, series, study

_LEVELS: Final = (("P", patient), ("S", study), ("E", series))
_DISPUTED: Final = ("patient-differs", "uid-in-other-study")
"""Kinds of conflict of which patient or study is the subject."""


class _Series(NamedTuple):
    """What holds for the objects of a series. `disputed`: store keys of those in conflict, '' for all of them."""

    id: int
    overlay: str
    disputed: frozenset[str]


class CurrentValues:
    """The index's values for what one request sends. `extent` None: only conflicts are looked up."""

    def __init__(self, database: Database, extent: Extent | None) -> None:
        self._database = database
        self._tags = MERGED[extent] if extent else frozenset[int]()
        self._known = _Series(-1, "", frozenset())

    def overlay(self, located: Located) -> str:
        """What is to be laid over an object, as `archive.covering.changes_to` reads it: current values, and the edits
        that cover it. '' for nothing."""
        known = self._series(located)
        if not known.overlay or not located.overlay:
            return known.overlay or located.overlay
        ours, edits = json.loads(known.overlay), json.loads(located.overlay)
        return dumped({"at": edits["at"], "changes": {**ours["changes"], **edits["changes"]}})

    def is_disputed(self, located: Located) -> bool:
        """Whether the object is in an unsettled conflict of patient or study."""
        disputed = self._series(located).disputed
        return located.store_key in disputed or "" in disputed

    def _series(self, located: Located) -> _Series:
        if self._known.id != located.series:
            self._known = _Series(located.series, self._read(located.series), self._disputed(located))
        return self._known

    def _disputed(self, located: Located) -> frozenset[str]:
        query = select(conflict.c.store_key).where(
            conflict.c.study_uid == located.study_uid,
            conflict.c.series_uid == located.series_uid,
            conflict.c.kind.in_(_DISPUTED),
            conflict.c.settled_at.is_(None),
        )
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def _read(self, series_id: int) -> str:
        """The values of patient, study and series, '' where nothing is merged."""
        if not self._tags:
            return ""
        with self._database.reading() as connection:
            row = connection.execute(_query().where(series.c.id == series_id)).mappings().first()
        if row is None:
            return ""
        values: dict[str, Attribute] = {}
        for level, _ in _LEVELS:
            values.update(loaded(row[f"{level}_attributes"]))
            for tag, key in columns(level).items():
                text = row[f"{level}_{key.column}"]
                if text:
                    values[f"{tag:08X}"] = from_column(key.vr, str(text))
        merged = {tag: value for tag, value in values.items() if int(tag, 16) in self._tags}
        at = max(row[f"{level}_changed_at"] for level, _ in _LEVELS)
        return dumped({"at": at, "changes": merged}) if merged else ""


def _query() -> Select[Any]:
    """All that the index knows of a series, each column under its level's letter."""
    asked = []
    for level, table in _LEVELS:
        names = {key.column for key in columns(level).values()} & set(table.c.keys()) | {"attributes", "changed_at"}
        asked += [table.c[name].label(f"{level}_{name}") for name in sorted(names)]
    return (
        select(*asked)
        .select_from(series)
        .join(study, series.c.study == study.c.id)
        .join(patient, study.c.patient == patient.c.id)
    )
