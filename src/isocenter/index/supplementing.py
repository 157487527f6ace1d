"""First received wins, missing values are supplemented: what a later object adds to its patient, study and series."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from isocenter.index.overlaying import refresh_supplemented
from isocenter.index.places import (
    PATIENT_GROUPS,
    SERIES_GROUPS,
    STUDY_GROUPS,
    Level,
    SeriesPlace,
    accessions_of,
    received,
)
from isocenter.index.records import Arrival
from isocenter.index.sessions import Session

Groups: TypeAlias = Mapping[str, tuple[str, ...]]
ATTRIBUTE_COLUMNS = ("level", "owner", "path", "item", "value", "fold")


def supplement(session: Session, arrivals: Sequence[tuple[Arrival, SeriesPlace]], now: int) -> None:
    """Add what the rows above each of `arrivals` lack; level by level and row by row, for the sake of
    the order of locks; of each row what was received first comes first.

    What was moved to a patient or study that gained something leaves with that too."""
    gained: list[tuple[str, int]] = []
    by_time = sorted(arrivals, key=lambda one: received(one[0]))
    for letter, work, row in _LEVELS:
        turns: dict[int, list[tuple[Arrival, SeriesPlace]]] = {row(place): [] for _, place in arrivals}
        for a, place in by_time:
            turns[row(place)].append((a, place))
        for row_id, turn in turns.items():
            if sum(work(session, a, place, now) for a, place in turn):
                gained.append((letter, row_id))
    if gained:
        refresh_supplemented(session, gained, now)


def _patient(session: Session, a: Arrival, place: SeriesPlace, now: int) -> bool:
    study = place.study
    level = study.patient
    values = (a.patient, a.patient_ids)
    if level.last == values or a.patient["identity"] != study.identity:
        return False
    level.last = values
    known = len(level.known)
    filled = fill(session, "patient", "P", level, PATIENT_GROUPS, a.patient, a.attributes, now)
    if filled:
        assignments, given = _assignments(filled, PATIENT_GROUPS, a.patient)
        unedited = "EXISTS (SELECT 1 FROM patient p WHERE p.id = study.patient AND p.edits = ?)"
        update = f"UPDATE study SET {assignments} WHERE patient = ? AND {unedited}"  # noqa: S608
        session.run(update, [*given, level.id, level.edits])
    others = [(level.id, value, issuer, "other") for value, issuer in a.patient_ids]
    session.append("patient_id", ("patient", "value", "issuer", "kind"), others)
    return bool(filled) or len(level.known) > known


def _study(session: Session, a: Arrival, place: SeriesPlace, now: int) -> bool:
    level = place.study.study
    values = (a.study, a.accessions)
    if level.last == values:
        return False
    level.last = values
    known = len(level.known)
    filled = fill(session, "study", "S", level, STUDY_GROUPS, a.study, a.attributes, now)
    rows = [(level.id, *pair) for pair in accessions_of(a)]
    session.append("study_accession", ("study", "accession", "issuer"), rows)
    return bool(filled) or len(level.known) > known


def _series(session: Session, a: Arrival, place: SeriesPlace, now: int) -> bool:
    level = place.level
    if level.last != a.series:
        level.last = a.series
        fill(session, "series", "E", level, SERIES_GROUPS, a.series, a.attributes, now)
    return False  # nothing else says what a series' row says


_Work: TypeAlias = Callable[[Session, Arrival, SeriesPlace, int], bool]
_LEVELS: tuple[tuple[str, _Work, Callable[[SeriesPlace], int]], ...] = (
    ("P", _patient, lambda place: place.study.patient.id),
    ("S", _study, lambda place: place.study.study.id),
    ("E", _series, lambda place: place.level.id),
)
"""What is done at each level, whether others now say more for it, and which row it concerns."""


def fill(
    session: Session,
    table: str,
    letter: str,
    level: Level,
    groups: Groups,
    source: Mapping[str, Any],
    rows: Sequence[tuple[str, str, int, str, str]],
    now: int,
) -> list[str]:
    """Fill the empty columns of one row, and its further attributes, from `source`. Gives the columns filled."""
    filled = [base for base in level.missing if source.get(base)]
    if filled:
        assignments, values = _assignments(filled, groups, source)
        if letter != "I":
            assignments, values = f"{assignments}, changed_at = ?", [*values, now]
        condition, edits = _unless_edited(letter, level)
        session.run(f"UPDATE {table} SET {assignments} WHERE id = ?{condition}", [*values, level.id, *edits])  # noqa: S608
        level.missing.difference_update(filled)
    if source.get("attributes"):
        _fill_further(session, table, letter, level, str(source["attributes"]), rows)
    return filled


def _unless_edited(letter: str, level: Level) -> tuple[str, list[str]]:
    """A condition that fails where an edit came between: what it settled, nobody may supplement."""
    return ("", []) if letter == "I" else (" AND edits = ?", [level.edits])


def _assignments(filled: Sequence[str], groups: Groups, source: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Assignments that change nothing where another writer was faster."""
    columns = [(base, column) for base in filled for column in (base, *groups[base])]
    text = ", ".join(f"{column} = CASE WHEN {base} = '' THEN ? ELSE {column} END" for base, column in columns)
    return text, [source.get(column, None if column.endswith("_value") else "") for _, column in columns]


def _fill_further(
    session: Session,
    table: str,
    letter: str,
    level: Level,
    attributes: str,
    rows: Sequence[tuple[str, str, int, str, str]],
) -> None:
    offered: dict[str, Any] = json.loads(attributes)
    if offered.keys() <= level.known:
        return
    found = session.rows(f"SELECT attributes FROM {table} WHERE id = ?", (level.id,))  # noqa: S608
    held: dict[str, Any] = json.loads(found[0][0]) if found and found[0][0] else {}
    new = offered.keys() - held.keys() - level.settled
    held.update({tag: offered[tag] for tag in new})
    level.known.update(held)
    if not found or not new:
        return
    merged = json.dumps(dict(sorted(held.items())), ensure_ascii=False, separators=(",", ":"))
    condition, edits = _unless_edited(letter, level)
    update = f"UPDATE {table} SET attributes = ? WHERE id = ? AND attributes = ?{condition}"  # noqa: S608
    if session.changed(update, (merged, level.id, found[0][0], *edits)):
        added = [(letter, level.id, *row[1:]) for row in rows if row[0] == letter and row[1][:8] in new]
        session.append("attribute", ATTRIBUTE_COLUMNS, added)
