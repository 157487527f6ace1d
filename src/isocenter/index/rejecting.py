"""Rejection notes at work: what a Key Object document names goes out of sight, and comes back when that is revoked.

A note names instances by their UIDs, whether they have come yet or not: rows of `rejection` keep them. An instance is
rejected by the latest note that names it and is not revoked. A note that names another note revokes that one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from isocenter.declarations.rejections import NOTE
from isocenter.index.records import Arrival, Outcome, Verdict
from isocenter.index.sessions import Session

if TYPE_CHECKING:
    from isocenter.index.ledger import Ledger

_REJECTION = ("note_uid", "study_uid", "series_uid", "sop_uid", "title", "at", "seen")
_CHANGE = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_INSTANCES: Final = (
    "SELECT i.id, i.series, s.study_uid, e.series_uid, i.sop_uid, i.store_key, i.rejected FROM instance i "
    "JOIN series e ON e.id = i.series JOIN study s ON s.id = i.study WHERE "
)
_ACTIVE: Final = "SELECT sop_uid, series_uid, title FROM rejection WHERE revoked = 0 AND sop_uid {any} ORDER BY at, id"
RECOUNT: Final = (
    "UPDATE series SET revision = revision + 1, changed_at = ?, "
    "instances = (SELECT count(*) FROM instance i WHERE i.series = series.id AND i.rejected = 0), "
    "bytes = (SELECT coalesce(sum(i.size), 0) FROM instance i WHERE i.series = series.id AND i.rejected = 0) "
    "WHERE id = ?"
)
"""A series' counts made anew."""


class _Row(NamedTuple):
    id: int
    series: int
    study_uid: str
    series_uid: str
    sop_uid: str
    store_key: str
    rejected: int


def known(session: Session, series_uids: Sequence[str]) -> dict[str, dict[str, bool]]:
    """By Series Instance UID, the SOP Instance UIDs that notes name, and whether the instance has been there."""
    found: dict[str, dict[str, bool]] = {}
    query = "SELECT series_uid, sop_uid, seen FROM rejection WHERE revoked = 0 AND series_uid {any}"
    for series_uid, sop_uid, seen in session.each(query, series_uids):
        named = found.setdefault(series_uid, {})
        named[sop_uid] = named.get(sop_uid, False) or bool(seen)
    return found


def before(session: Session, a: Arrival, named: Mapping[str, bool], ledger: "Ledger") -> Outcome | None:
    """What becomes of an object that was rejected, and has gone since; None where it is to be filed."""
    if not named.get(a.sop_uid) or a.resend == "hide":
        return None
    return resent(a, title_of(session, a.series_uid, a.sop_uid), "", ledger)


def resent(a: Arrival, title: int, existing_key: str, ledger: "Ledger") -> Outcome:
    """The answer to an object that was rejected under `title` before."""
    if a.resend == "refuse":
        ledger.remove(a, "rejected-duplicate", existing_key)
        return Outcome(Verdict.REJECTED, existing_key)
    return Outcome(Verdict.RESENT, existing_key, (str(title),))


def title_of(session: Session, series_uid: str, sop_uid: str) -> int:
    """The title that rejects an instance, 0 for none."""
    titles = [row[2] for row in session.each(_ACTIVE, [sop_uid]) if row[1] == series_uid]
    return int(titles[-1]) if titles else 0


def filed(session: Session, notes: Sequence[Arrival], late: Sequence[Arrival], now: int) -> None:
    """Rejection notes, and objects that were named before they came, have been filed: do what the notes say."""
    touched: set[int] = set()
    for note in notes:
        touched |= _hide_note(session, note)
        touched |= _reject(session, note, now)
    uids = [a.sop_uid for a in late]
    if uids:
        session.run_many(
            "UPDATE rejection SET seen = 1 WHERE sop_uid = ? AND series_uid = ?",
            [(a.sop_uid, a.series_uid) for a in late],
        )
        touched |= _settle(session, _rows(session, uids), now)
    recount(session, touched, now)


def _hide_note(session: Session, note: Arrival) -> set[int]:
    query = "SELECT id, series FROM instance WHERE store_key = ?"
    found = session.rows(query, (note.store_key,))
    session.run_many("UPDATE instance SET rejected = ? WHERE id = ?", [(NOTE, row[0]) for row in found])
    return {row[1] for row in found}


def _reject(session: Session, note: Arrival, now: int) -> set[int]:
    named = dict.fromkeys(note.rejected)
    there = [row for row in _rows(session, [sop for *_, sop in named]) if _names(session, named, row)]
    seen = {(row.series_uid, row.sop_uid) for row in there}
    rows = [
        (note.sop_uid, study, series, sop, note.rejection, note.received_at, int((series, sop) in seen))
        for study, series, sop in named
    ]
    session.append("rejection", _REJECTION, rows)
    revoked = [row.sop_uid for row in there if row.rejected == NOTE]
    return _settle(session, there, now) | _revoke_notes(session, revoked, now)


def _names(session: Session, named: Mapping[tuple[str, str, str], Any], row: _Row) -> bool:
    """Whether the instance is meant: by the study where it is, or by the one that it came from."""
    if (row.study_uid, row.series_uid, row.sop_uid) in named:
        return True
    query = "SELECT study_uid FROM redirect WHERE series_uid = ? AND to_study = ?"
    former = session.rows(query, (row.series_uid, row.study_uid))
    return any((study, row.series_uid, row.sop_uid) in named for (study,) in former)


def _rows(session: Session, sop_uids: Sequence[str]) -> list[_Row]:
    return [_Row(*row) for row in session.each(f"{_INSTANCES} i.sop_uid {{any}}", sop_uids)] if sop_uids else []


def _settle(session: Session, rows: Iterable[_Row], now: int) -> set[int]:
    """Give each instance the title that rejects it, or none; the series where that changed something."""
    rows = [row for row in rows if row.rejected != NOTE]
    active = {(series, sop): title for sop, series, title in session.each(_ACTIVE, [row.sop_uid for row in rows])}
    changed = [(row, title) for row in rows if (title := active.get((row.series_uid, row.sop_uid), 0)) != row.rejected]
    session.run_many("UPDATE instance SET rejected = ? WHERE id = ?", [(title, row.id) for row, title in changed])
    kinds = [("rejected" if title else "restored", row) for row, title in changed if bool(title) != bool(row.rejected)]
    told = [(kind, row.study_uid, row.series_uid, row.sop_uid, row.store_key, now) for kind, row in kinds]
    session.append("change", _CHANGE, told)
    return {row.series for row, _ in changed}


def _revoke_notes(session: Session, note_uids: Sequence[str], now: int) -> set[int]:
    named = session.each("SELECT sop_uid FROM rejection WHERE revoked = 0 AND note_uid {any}", note_uids)
    session.run_many("UPDATE rejection SET revoked = 1 WHERE note_uid = ?", [(uid,) for uid in note_uids])
    return _settle(session, _rows(session, [uid for (uid,) in named]), now)


def withdraw(session: Session, note_uids: Sequence[str], now: int) -> None:
    """These notes were deleted: what they named comes back, and nothing remembers them."""
    named = session.each("SELECT sop_uid FROM rejection WHERE note_uid {any}", note_uids)
    session.run_many("DELETE FROM rejection WHERE note_uid = ?", [(uid,) for uid in note_uids])
    recount(session, _settle(session, _rows(session, [uid for (uid,) in named]), now), now)


def revoke(session: Session, arguments: Mapping[str, Any], at: int, now: int) -> int:
    """Bring back what was rejected of a study, a series or an instance until `at`; how many instances that were."""
    study, series, sop = (str(arguments.get(name, "")) for name in ("study_uid", "series_uid", "sop_uid"))
    conditions = [("s.study_uid", study), ("e.series_uid", series), ("i.sop_uid", sop)]
    where = " AND ".join(f"{column} = ?" for column, value in conditions if value)
    values = [value for _, value in conditions if value]
    rows = [_Row(*row) for row in session.rows(f"{_INSTANCES} {where} ORDER BY i.id", values)]
    revoking = "UPDATE rejection SET revoked = 1 WHERE at <= ? AND revoked = 0 AND "
    session.run_many(f"{revoking} series_uid = ? AND sop_uid = ?", [(at, row.series_uid, row.sop_uid) for row in rows])
    absent = where.replace("s.study_uid", "study_uid").replace("e.series_uid", "series_uid")
    session.run(revoking + absent.replace("i.sop_uid", "sop_uid"), [at, *values])
    before = [row for row in rows if row.rejected not in (0, NOTE)]
    recount(session, _settle(session, rows, now), now)
    return len(before)


def recount(session: Session, series: Iterable[int], now: int) -> None:
    """Count what is in force in these series."""
    session.run_many(RECOUNT, [(now, row_id) for row_id in sorted(series)])
