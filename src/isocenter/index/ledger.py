"""What a batch leaves beside its objects: changes, conflicts, removals and what its series gained."""

from isocenter.index.places import SeriesPlace
from isocenter.index.records import Arrival
from isocenter.index.sessions import Session

_CHANGE = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_CONFLICT = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "detail", "opened_at")
_REMOVAL = ("store_key", "reason", "kept_key", "not_before")

_ADD = (
    "UPDATE series SET instances = instances + ?, bytes = bytes + ?, revision = revision + ?, changed_at = ? "
    "WHERE id = ?"
)
# two writers may add to the list: the row itself is asked, not what is remembered of it
_ADD_CLASS = (
    "UPDATE series SET sop_classes = CASE WHEN sop_classes = '' THEN ? ELSE sop_classes || '\\' || ? END WHERE id = ? "
    "AND replace('\\' || sop_classes || '\\', ?, '') = '\\' || sop_classes || '\\'"
)

GRACE = 60_000_000
"""Microseconds before a redundant copy may go: nothing that still works with it is surprised."""


class Ledger:
    """One batch's account."""

    def __init__(self, session: Session, now: int) -> None:
        self._session = session
        self._now = now
        self._changes: list[tuple[object, ...]] = []
        self._conflicts: list[tuple[object, ...]] = []
        self._removals: list[tuple[object, ...]] = []
        self._series: dict[int, SeriesPlace] = {}

    def change(self, kind: str, a: Arrival) -> None:
        """A row of the change feed."""
        self._changes.append((kind, a.study_uid, a.series_uid, a.sop_uid, a.store_key, self._now))

    def conflict(self, kind: str, a: Arrival) -> None:
        """A conflict about this object."""
        self._conflicts.append((kind, a.study_uid, a.series_uid, a.sop_uid, a.store_key, "", self._now))

    def series_conflict(self, a: Arrival) -> None:
        """The Series Instance UID of `a` is in use under another study."""
        self._conflicts.append(("uid-in-other-study", a.study_uid, a.series_uid, "", "", "", self._now))

    def remove(self, a: Arrival, reason: str, kept_key: str = "") -> None:
        """The received copy is not kept; `kept_key` is the object that makes it redundant."""
        self._removals.append((a.store_key, reason, kept_key, self._now + GRACE))

    def add(self, place: SeriesPlace, a: Arrival) -> None:
        """The series gained an object."""
        place.added += 1
        place.bytes += a.size
        if a.sop_class not in place.sop_classes:
            place.new_classes.add(a.sop_class)
        self.touch(place)

    def touch(self, place: SeriesPlace, bytes_more: int = 0) -> None:
        """Something in the series changed: what was derived from it is out of date."""
        place.changes = 1
        place.bytes += bytes_more
        self._series[place.level.id] = place

    def close(self) -> None:
        """Write it all."""
        session = self._session
        session.append("change", _CHANGE, self._changes)
        session.append("conflict", _CONFLICT, self._conflicts)
        session.append("removal", _REMOVAL, self._removals)
        series = [self._series[row_id] for row_id in sorted(self._series)]
        if series:
            session.run_many(_ADD, [(p.added, p.bytes, p.changes, self._now, p.level.id) for p in series])
        for place in series:
            for sop_class in sorted(place.new_classes):
                session.run(_ADD_CLASS, (sop_class, sop_class, place.level.id, f"\\{sop_class}\\"))
            place.sop_classes |= place.new_classes
            place.added = place.bytes = place.changes = 0
            place.new_classes.clear()
