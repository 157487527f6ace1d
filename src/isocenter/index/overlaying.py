"""What is laid over the objects of a series as they leave, worked out of the edits of its patient, study and series.

    {"at": <microseconds>, "changes": {"00100010": {"vr": "PN", "Value": [...]}, "00101000": null}}

It stands ready in `series.overlay`, so that whoever sends an object needs no further look. Objects of a study that was
moved to another patient, or of a series that was moved to another study, take on all that identifies these, and leave
nothing of the former patient's behind.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from isocenter.dicom.json_reading import Attribute
from isocenter.index import keys
from isocenter.index.level_models import PATIENT_REPEATED, Model, columns, dumped, further_tags, loaded, read
from isocenter.index.sessions import Session

_NAME, _BIRTH_DATE, _SEX = 0x00100010, 0x00100030, 0x00100040
_STUDY_DATE, _STUDY_TIME, _STUDY_ID, _REFERRING = 0x00080020, 0x00080030, 0x00200010, 0x00080090
_TIMEZONE, _INSTITUTION = 0x00080201, 0x00080080

# Type 2: without a value they stay, empty (PS3.3 C.7.1.1, C.7.2.1)
_PATIENT_EMPTY: Final = {_NAME: "PN", keys.PATIENT_ID: "LO", _BIRTH_DATE: "DA", _SEX: "CS"}
_STUDY_EMPTY: Final = {_STUDY_DATE: "DA", _STUDY_TIME: "TM", keys.ACCESSION: "SH", _STUDY_ID: "SH", _REFERRING: "PN"}
_NOT_OF_THE_STUDY: Final = frozenset({_TIMEZONE, _INSTITUTION})
"""Keys at study level that are attributes of the equipment or of the object."""

_SERIES = (
    "SELECT e.id, e.moved_from, e.edits, e.edited_at, s.id, s.study_uid, s.moved_from, s.edits, s.edited_at, "
    "p.id, p.given, p.edits, p.edited_at, e.overlay FROM series e JOIN study s ON s.id = e.study "
    "JOIN patient p ON p.id = s.patient WHERE "
)

_MOVED_TO_PATIENT: Final = "p.id = ? AND (s.moved_from <> '' OR e.moved_from <> '') ORDER BY e.id"


def refresh_study(session: Session, study: int, now: int) -> None:
    """Work out anew what concerns the study: its copy of the patient's columns, and its series' overlays."""
    assigned = ", ".join(f"{c} = (SELECT p.{c} FROM patient p WHERE p.id = study.patient)" for c in PATIENT_REPEATED)  # noqa: S608
    session.run(f"UPDATE study SET {assigned}, changed_at = ? WHERE id = ?", (now, study))  # noqa: S608
    _refresh(session, session.rows(f"{_SERIES} s.id = ?", (study,)), now)


def refresh_series(session: Session, series: int, now: int) -> None:
    """Work out one series' overlay anew."""
    _refresh(session, session.rows(f"{_SERIES} e.id = ?", (series,)), now)


def refresh_new(session: Session, studies: Sequence[str], now: int) -> None:
    """Series were made in `studies` (UIDs): those of edited studies and patients get their overlay."""
    edited = session.each(
        "SELECT s.id FROM study s JOIN patient p ON p.id = s.patient "
        "WHERE (s.edited_at > 0 OR p.edited_at > 0 OR s.moved_from <> '') AND s.study_uid {any}",
        studies,
    )
    for (study,) in sorted(set(edited)):
        refresh_study(session, study, now)
    moved = session.each(
        "SELECT e.id FROM series e JOIN study s ON s.id = e.study "
        "WHERE e.moved_from <> '' AND e.overlay = '' AND s.study_uid {any}",
        studies,
    )
    for (series,) in sorted(set(moved)):
        refresh_series(session, series, now)


def refresh_supplemented(session: Session, gained: Sequence[tuple[str, int]], now: int) -> None:
    """Patients and studies (level and row) have got values that they lacked: what was moved to them has those too."""
    for level, row_id in gained:
        moved = "s.id = ? AND e.moved_from <> ''" if level == "S" else _MOVED_TO_PATIENT
        _refresh(session, session.rows(f"{_SERIES} {moved}", (row_id,)), now)


def _refresh(session: Session, rows: Sequence[tuple[Any, ...]], now: int) -> None:
    patients: dict[int, Model] = {}
    studies: dict[int, Model] = {}
    for row in rows:
        series, moved, edits, at, study, uid, study_moved, study_edits, study_at, *of_patient, old = row
        patient, given, patient_edits, p_at = of_patient
        changes: dict[str, Attribute | None] = {}
        if moved or study_moved:
            if patient not in patients:
                patients[patient] = _whole_patient(read(session, "P", patient))
            changes.update(patients[patient])
        if moved:
            if study not in studies:
                studies[study] = _whole_study(read(session, "S", study))
            changes.update(studies[study])
            changes[f"{keys.STUDY:08X}"] = {"vr": "UI", "Value": [uid]}
        for each in (given, patient_edits, study_edits, edits):
            changes.update(loaded(each))
        overlay = dumped({"at": max(at, study_at, p_at), "changes": changes}) if changes else ""
        if overlay != old:
            session.run(
                "UPDATE series SET overlay = ?, revision = revision + 1, changed_at = ? WHERE id = ?",
                (overlay, now, series),
            )


def _whole_patient(model: Mapping[str, Attribute]) -> Model:
    tags = {*columns("P"), *further_tags("P")}
    return {f"{tag:08X}": model.get(f"{tag:08X}", _empty(tag, _PATIENT_EMPTY)) for tag in sorted(tags)}


def _whole_study(model: Mapping[str, Attribute]) -> Model:
    """What the study has; and what tells it from others, where it has none, is emptied."""
    outside = {f"{tag:08X}" for tag in _NOT_OF_THE_STUDY}
    empty = {f"{tag:08X}": _empty(tag, _STUDY_EMPTY) for tag in _STUDY_EMPTY}
    return {**empty, f"{keys.ACCESSION_ISSUER:08X}": None, **{t: a for t, a in model.items() if t not in outside}}


def _empty(tag: int, kept: Mapping[int, str]) -> Attribute | None:
    return {"vr": kept[tag]} if tag in kept else None
