"""A compressed object takes the place of the one that it was made of: the same instance, the same samples.

The compressed object says itself what it was (`dicom.part10.Compressed`), so that an index that is made anew, or that a
crash kept from knowing it, comes to the same. Only where the instance lies changes: what is known of it, its versions,
edits and rejections stay. The former object goes later, by a row of `removal`.
"""

from collections.abc import Collection
from typing import Final

from isocenter.index.ledger import Ledger
from isocenter.index.records import Arrival, Outcome, Verdict
from isocenter.index.sessions import Session

_COMPRESSION: Final = (
    *("original_key", "store_key", "original_digest", "original_syntax", "original_size", "size", "pixels", "at"),
)
_REMOVAL: Final = ("store_key", "reason", "kept_key", "not_before")
_CHANGE: Final = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_PLACE: Final = 'syntax = ?, store_key = ?, size = ?, "offset" = ?, digest = ?'
_IN_FORCE: Final = f"UPDATE instance SET {_PLACE}, frame_table = ? WHERE store_key = ?"  # noqa: S608 - constants of ours
_VERSION: Final = f"UPDATE instance_version SET {_PLACE} WHERE store_key = ?"  # noqa: S608 - constants of ours
_HELD: Final = (
    "SELECT i.series, i.size, i.rejected, s.study_uid, e.series_uid, i.sop_uid FROM instance i "
    "JOIN series e ON e.id = i.series JOIN study s ON s.id = i.study WHERE i.store_key = ?"
)
_HELD_VERSION: Final = (
    "SELECT s.study_uid, e.series_uid, i.sop_uid FROM instance_version v JOIN instance i ON i.id = v.instance "
    "JOIN series e ON e.id = i.series JOIN study s ON s.id = i.study WHERE v.store_key = ?"
)
_SERIES: Final = "UPDATE series SET bytes = bytes + ?, revision = revision + 1, changed_at = ? WHERE id = ?"
_FURTHER: Final = "UPDATE compression SET store_key = ?, size = ? WHERE store_key = ?"
_FOLLOW: Final = (
    "UPDATE removal SET kept_key = ? WHERE kept_key = ?",
    "UPDATE conflict SET store_key = ? WHERE store_key = ?",
)
"""What names an object names the one in its place."""


def substitute(session: Session, a: Arrival, now: int) -> Outcome | None:
    """Put `a` where the object is that it was made of, inside a transaction. None where the index knows no such object:
    then `a` is to be filed as one that arrives."""
    if successor(session, a.compressed[-1].original_key) == a.store_key:
        return Outcome(Verdict.COMPRESSED)
    original = a.compressed[-1].original_key
    if not (_put(session, a, original, now) or _put_version(session, a, original, now)):
        return _too_late(session, a, original, now)
    session.run(_FURTHER, (a.store_key, a.size, original))
    for statement in _FOLLOW:
        session.run(statement, (a.store_key, original))
    row = (original, "compressed", a.store_key, a.compressed[-1].until)
    session.append("removal", _REMOVAL, [row])
    note(session, a)
    return Outcome(Verdict.COMPRESSED, original)


def note(session: Session, a: Arrival) -> None:
    """Record what `a`, which is filed now, was before."""
    rows = [
        (each.original_key, a.store_key, each.digest, each.syntax, each.size, a.size, each.pixels, each.at)
        for each in a.compressed
    ]
    session.append("compression", _COMPRESSION, rows)


def successor(session: Session, key: str) -> str:
    """The object that stands in the place of the object `key`; '' where it was not compressed."""
    found = session.rows("SELECT store_key FROM compression WHERE original_key = ?", (key,))
    return str(found[0][0]) if found else ""


def made_of(session: Session, digest: str, keys: Collection[str]) -> str:
    """Which of the objects `keys` was made of a data set with this digest; '' for none."""
    found = session.rows("SELECT store_key FROM compression WHERE original_digest = ?", (digest,))
    return next((str(row[0]) for row in found if row[0] in keys), "")


def forget(session: Session, keys: Collection[str], not_before: int) -> None:
    """The objects `keys` were deleted: what they were made of goes with them."""
    rows = [(key,) for key in keys]
    session.run_many("DELETE FROM compression WHERE store_key = ?", rows)
    gone = "UPDATE removal SET reason = 'deleted', not_before = ? WHERE reason = 'compressed' AND kept_key = ?"
    session.run_many(gone, [(not_before, key) for key in keys])


def _put(session: Session, a: Arrival, original: str, now: int) -> bool:
    values = (a.syntax, a.store_key, a.size, a.offset, a.digest, a.instance.get("frame_table"), original)
    held = session.rows(_HELD, (original,))
    if not held or not session.changed(_IN_FORCE, values):
        return False
    series, size, rejected, *uids = held[0]
    session.run(_SERIES, (0 if rejected else a.size - size, now, series))
    session.append("change", _CHANGE, [("compressed", *uids, a.store_key, now)])
    return True


def _put_version(session: Session, a: Arrival, original: str, now: int) -> bool:
    held = session.rows(_HELD_VERSION, (original,))
    if not held or not session.changed(_VERSION, (a.syntax, a.store_key, a.size, a.offset, a.digest, original)):
        return False
    session.append("change", _CHANGE, [("compressed", *held[0], a.store_key, now)])
    return True


def _too_late(session: Session, a: Arrival, original: str, now: int) -> Outcome | None:
    """What becomes of `a` where the other one is not there any more: it was deleted, or `a` is a second copy."""
    kept = successor(session, original)
    removed = session.rows("SELECT reason, kept_key FROM removal WHERE store_key = ?", (original,))
    if not kept and not removed:
        return None
    ledger = Ledger(session, now)
    if not kept and removed[0][0] == "deleted":
        ledger.remove(a, "deleted")
        ledger.close()
        return Outcome(Verdict.DELETED)
    kept = kept or str(removed[0][1])
    ledger.remove(a, "equal-duplicate", kept)
    ledger.close()
    return Outcome(Verdict.EQUAL, kept)
