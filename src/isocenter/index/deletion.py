"""Taking objects out of the index, and choosing which version is in force: the explicit changes to what is filed."""

from collections.abc import Sequence
from typing import Any

from isocenter.declarations.rejections import NOTE
from isocenter.index import non_patient, rejecting, substituting
from isocenter.index.duplicates import Duplicates, Held
from isocenter.index.ledger import Ledger
from isocenter.index.places import Places
from isocenter.index.records import Choice, Deletion, Outcome, Verdict
from isocenter.index.sessions import Session
from isocenter.index.splitting import drop_study

_CHANGE = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_REMOVAL = ("store_key", "reason", "not_before")

_FIND = (
    "SELECT i.id, i.series, i.study, i.sop_uid, i.store_key, e.series_uid, i.received_at, i.rejected FROM instance i "
    "JOIN series e ON e.id = i.series JOIN study s ON s.id = i.study WHERE s.study_uid = ?"
)
_FIND_VERSIONS = "SELECT id, store_key, received_at FROM instance_version WHERE instance = ? ORDER BY received_at, id"
_OWN = 'syntax, store_key, size, "offset", digest, source_aet, received_at'
_TAKE_PLACE = (
    'UPDATE instance SET syntax = ?, store_key = ?, size = ?, "offset" = ?, digest = ?, source_aet = ?, '
    "received_at = ?, frame_table = NULL WHERE id = ?"
)
_VERSION_OF = (
    "SELECT i.sop_uid, i.id, i.series, i.study, i.store_key, i.digest FROM instance i "
    "JOIN instance_version v ON v.instance = i.id WHERE v.store_key = ?"
)


def delete(session: Session, what: Deletion, now: int) -> Outcome:
    """Carry out a deletion, inside a transaction: rows go, the store's copies are marked for removal.

    With `received_until`, what was received later stays; a later version of an object that goes takes its place.
    """
    if not what.study_uid:
        return non_patient.delete(session, what, now)
    found = _instances(session, what)
    gone: list[tuple[str, str, str, str]] = []
    notes: list[str] = []
    for row_id, _, _, sop_uid, store_key, series_uid, received_at, rejected in found:
        versions = session.rows(_FIND_VERSIONS, (row_id,))
        leaving = [row for row in versions if _goes(what, row[2])]
        staying = [row for row in versions if not _goes(what, row[2])]
        session.run_many("DELETE FROM instance_version WHERE id = ?", [(row[0],) for row in leaving])
        keys = [row[1] for row in leaving]
        if _goes(what, received_at):
            keys.insert(0, store_key)
            if staying:
                _promote(session, row_id, staying[0][0])
            else:
                _delete(session, "instance", "I", row_id)
                notes += [sop_uid] if rejected == NOTE else []
        gone += [(what.study_uid, series_uid, sop_uid, key) for key in keys]
    session.append("removal", _REMOVAL, [(key, "deleted", what.not_before) for *_, key in gone])
    session.append("change", _CHANGE, [("deleted", *row, what.at or now) for row in gone])
    substituting.forget(session, [key for *_, key in gone], what.not_before)
    _settle_conflicts(session, what, [key for *_, key in gone], now)
    _prune(session, found, now)
    if notes:
        rejecting.withdraw(session, notes, now)
    return Outcome(Verdict.DELETED, objects=len(gone))


def _goes(what: Deletion, received_at: int) -> bool:
    return not what.received_until or received_at <= what.received_until


def _promote(session: Session, instance: int, version: int) -> None:
    """Put a version in force in the place of what goes. Where its frames lie is found out again by who reads it."""
    row = session.rows(f"SELECT {_OWN} FROM instance_version WHERE id = ?", (version,))[0]  # noqa: S608
    session.run("DELETE FROM instance_version WHERE id = ?", (version,))
    session.run(_TAKE_PLACE, [*row, instance])


def _instances(session: Session, what: Deletion) -> list[tuple[Any, ...]]:
    sql, values = _FIND, [what.study_uid]
    if what.series_uid:
        sql += " AND e.series_uid = ?"
        values.append(what.series_uid)
    if what.sop_uid:
        sql += " AND i.sop_uid = ?"
        values.append(what.sop_uid)
    rows = session.rows(sql + " ORDER BY i.id", values)
    if what.rejected:
        # what was brought back since somebody looked stays: nobody may bring it back from here on
        session.lock("instance", [row[0] for row in rows])
        rows = [row for row in session.rows(sql + " ORDER BY i.id", values) if row[7] == what.rejected]
    if not what.sop_uids:
        return rows
    named = frozenset(what.sop_uids)
    return [row for row in rows if row[3] in named]


def _delete(session: Session, table: str, level: str, row_id: int) -> None:
    session.run("DELETE FROM attribute WHERE level = ? AND owner = ?", (level, row_id))
    session.run(f"DELETE FROM {table} WHERE id = ?", (row_id,))  # noqa: S608


def _settle_conflicts(session: Session, what: Deletion, keys: Sequence[str], now: int) -> None:
    settle = "UPDATE conflict SET settled_at = ? WHERE study_uid = ? AND settled_at IS NULL AND store_key = ?"
    session.run_many(settle, [(now, what.study_uid, key) for key in keys])


def _prune(session: Session, found: Sequence[tuple[Any, ...]], now: int) -> None:
    """Count again, and take out the series, studies and patients that are empty now."""
    for series in sorted({row[1] for row in found}):
        if session.rows("SELECT 1 FROM instance WHERE series = ? LIMIT 1", (series,)):
            session.run(rejecting.RECOUNT, (now, series))
        else:
            _delete(session, "series", "E", series)
    for study in sorted({row[2] for row in found}):
        if session.rows("SELECT 1 FROM series WHERE study = ? LIMIT 1", (study,)):
            session.run("UPDATE study SET changed_at = ? WHERE id = ?", (now, study))
        else:
            drop_study(session, study)


def choose(session: Session, places: Places, choice: Choice, now: int) -> Outcome | None:
    """Put a kept version in force, inside a transaction. None if another writer was faster."""
    a = choice.arrival
    if session.rows("SELECT 1 FROM instance WHERE store_key = ?", (a.store_key,)):
        return Outcome(Verdict.REPLACED)
    found = session.rows(_VERSION_OF, (a.store_key,))
    if not found:
        return Outcome(Verdict.MISSING)
    place = places.find([a], now)[0]
    ledger = Ledger(session, now)
    session.run("DELETE FROM instance_version WHERE store_key = ?", (a.store_key,))
    outcome = Duplicates(session, ledger, now).replace(a, place, Held(*found[0]))
    if outcome is not None:
        settle = "UPDATE conflict SET settled_at = ? WHERE study_uid = ? AND settled_at IS NULL AND sop_uid = ?"
        session.run(settle, (now, a.study_uid, a.sop_uid))
    ledger.close()
    return outcome
