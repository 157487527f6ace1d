"""Series that move to another study, and where their later objects go (`redirect`)."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from isocenter.errors import Reason, Refused
from isocenter.index import moving
from isocenter.index.level_models import dumped, loaded, read, write
from isocenter.index.overlaying import refresh_study
from isocenter.index.sessions import Session
from isocenter.index.tables import series as series_table

_COPIED: Final = tuple(
    column.name for column in series_table.columns if column.name not in ("id", "study", "moved_from", "edited_at")
)
_STUDY: Final = ("study_uid", "patient", "received_at", "changed_at")


class Moved(NamedTuple):
    """What a split did."""

    to_study: str
    objects: int
    old: Mapping[str, Any]


def required_study(session: Session, uid: str) -> int:
    """The study of this UID, locked. Raises Refused(NOT_FOUND)."""
    found = session.rows("SELECT id FROM study WHERE study_uid = ?", (uid,))
    if not found:
        raise Refused(Reason.NOT_FOUND, "there is no such study")
    session.lock("study", [found[0][0]])
    return int(found[0][0])


def required_series(session: Session, study: int, uid: str) -> int:
    """The series of this UID in the study, locked. Raises Refused(NOT_FOUND)."""
    found = session.rows("SELECT id FROM series WHERE study = ? AND series_uid = ?", (study, uid))
    if not found:
        raise Refused(Reason.NOT_FOUND, "there is no such series in the study")
    session.lock("series", [found[0][0]])
    return int(found[0][0])


def split(session: Session, arguments: Mapping[str, Any], at: int, now: int) -> Moved:
    """Move a series to the study `to_study`, made like the one it comes from, or as `study` says, if there is none.

    The series gets a new row, so that a writer that remembers the former one finds it gone and looks again."""
    uid, series_uid, target = (str(arguments[name]) for name in ("study_uid", "series_uid", "to_study"))
    if uid == target:
        raise Refused(Reason.BAD_REQUEST, "the series is in this study already")
    study = required_study(session, uid)
    series = required_series(session, study, series_uid)
    old = {"study_uid": target, "series_uid": series_uid, "to_study": uid, "study": saved(session, study), "back": True}
    to = _target(session, study, target, arguments.get("study"), at, now)
    if session.rows("SELECT 1 FROM series WHERE study = ? AND series_uid = ?", (to, series_uid)):
        raise Refused(Reason.BAD_REQUEST, "that study has a series of this UID already")
    origin = session.rows("SELECT moved_from FROM series WHERE id = ?", (series,))[0][0] or uid
    back = origin == target and "back" in arguments and saved(session, to) == arguments["study"]
    row = _moved_row(session, series, "" if back else origin, to, at)
    session.run("UPDATE instance SET series = ?, study = ? WHERE series = ?", (row, to, series))
    session.run("UPDATE attribute SET owner = ? WHERE level = 'E' AND owner = ?", (row, series))
    session.run("DELETE FROM series WHERE id = ?", (series,))
    _redirect(session, uid, series_uid, target)
    objects = int(session.rows("SELECT count(*) FROM instance WHERE series = ?", (row,))[0][0])
    refresh_study(session, to, now)
    if session.rows("SELECT 1 FROM series WHERE study = ? LIMIT 1", (study,)):
        session.run("UPDATE study SET changed_at = ? WHERE id = ?", (now, study))
    else:
        drop_study(session, study)
    return Moved(target, objects, old)


def saved(session: Session, study: int) -> dict[str, Any]:
    """What it takes to make the study again."""
    edits, moved_from, patient = session.rows("SELECT edits, moved_from, patient FROM study WHERE id = ?", (study,))[0]
    return {
        "model": read(session, "S", study),
        "edits": loaded(edits),
        "moved_from": moved_from,
        "patient": moving.saved(session, patient),
    }


def drop_study(session: Session, study: int) -> None:
    """Take an empty study out, and its patient if that was the last one."""
    patient = session.rows("SELECT patient FROM study WHERE id = ?", (study,))[0][0]
    session.run("DELETE FROM study_accession WHERE study = ?", (study,))
    session.run("DELETE FROM attribute WHERE level = 'S' AND owner = ?", (study,))
    session.run("DELETE FROM study WHERE id = ?", (study,))
    moving.drop_if_empty(session, patient)


def _target(session: Session, source: int, uid: str, described: Mapping[str, Any] | None, at: int, now: int) -> int:
    found = session.rows("SELECT id FROM study WHERE study_uid = ?", (uid,))
    if found:
        session.lock("study", [found[0][0]])
        session.run("UPDATE study SET edited_at = ? WHERE id = ?", (at, found[0][0]))
        return int(found[0][0])
    like = described or saved(session, source)
    patient = moving.made(session, like["patient"], at, now)
    row_id = session.insert("study", _STUDY, [(uid, patient, now, now)], "study_uid")[uid]
    write(session, "S", row_id, like["model"])
    access = session.rows("SELECT access_group, received_at FROM study WHERE id = ?", (source,))[0]
    edits = like.get("edits") or {}
    session.run(
        "UPDATE study SET edits = ?, edited_at = ?, moved_from = ?, access_group = ?, received_at = ? WHERE id = ?",
        (dumped(edits) if edits else "", at, like.get("moved_from", ""), *access, row_id),
    )
    _copy_accessions(session, row_id)
    return row_id


def _copy_accessions(session: Session, study: int) -> None:
    row = session.rows("SELECT accession, accession_issuer FROM study WHERE id = ?", (study,))[0]
    if row[0]:
        session.append("study_accession", ("study", "accession", "issuer"), [(study, *row)])


def _moved_row(session: Session, series: int, origin: str, to: int, at: int) -> int:
    names = ", ".join(_COPIED)
    session.run(
        f"INSERT INTO series (study, moved_from, edited_at, {names}) "  # noqa: S608
        f"SELECT CAST(? AS BIGINT), ?, CAST(? AS BIGINT), {names} FROM series WHERE id = ?",
        (to, origin, at, series),
    )
    found = session.rows(
        "SELECT n.id FROM series n JOIN series o ON o.series_uid = n.series_uid WHERE n.study = ? AND o.id = ?",
        (to, series),
    )
    return int(found[0][0])


def _redirect(session: Session, source: str, series_uid: str, target: str) -> None:
    """Objects that name the former study go where the series is now; those who name the new one stay there."""
    session.run("DELETE FROM redirect WHERE study_uid = ? AND series_uid = ?", (target, series_uid))
    session.run("UPDATE redirect SET to_study = ? WHERE to_study = ? AND series_uid = ?", (target, source, series_uid))
    session.append("redirect", ("study_uid", "series_uid", "to_study"), [(source, series_uid, target)])
