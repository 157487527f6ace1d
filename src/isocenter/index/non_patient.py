"""Filing instances that belong to no patient (`declarations.non_patient`): a table of their own, by SOP Instance UID.

Such an arrival names no study; `Arrival.study_uid` is ''. There are few of them, so that each is asked for by itself.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, exists

from isocenter.index.non_patient_tables import non_patient_instance
from isocenter.index.records import Arrival, Deletion, DuplicatePolicy, Likeness, Outcome, Verdict
from isocenter.index.sessions import Session

if TYPE_CHECKING:
    from isocenter.index.ledger import Ledger

_TABLE: Final = "non_patient_instance"
_COLUMNS: Final = (
    *("sop_uid", "sop_class", "verdict", "syntax", "store_key", "size", "offset", "digest", "character_set"),
    *("attributes", "source_aet", "received_at"),
)
_HELD = "SELECT id, store_key, digest, verdict, received_at FROM non_patient_instance WHERE sop_uid = ?"
_OUT_OF_FORCE = "UPDATE non_patient_instance SET verdict = 'superseded' WHERE id = ? AND verdict = ''"
_CONFLICTS = "SELECT kind FROM conflict WHERE study_uid = '' AND store_key = ?"
_SETTLE = "UPDATE conflict SET settled_at = ? WHERE study_uid = '' AND settled_at IS NULL AND store_key = ?"

_CHANGE = ("kind", "study_uid", "series_uid", "sop_uid", "store_key", "at")
_REMOVAL = ("store_key", "reason", "not_before")


class _Held(NamedTuple):
    """A row of the table."""

    id: int
    store_key: str
    digest: str
    verdict: str
    received_at: int


class NonPatientFiling:
    """Files such arrivals over one session, inside its transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def file(self, arrivals: Sequence[Arrival], ledger: "Ledger") -> Iterator[tuple[str, Outcome | None]]:
        """What became of each, by store key; None if another writer was faster."""
        for a in arrivals:
            yield a.store_key, self._one(a, ledger)

    def _one(self, a: Arrival, ledger: "Ledger") -> Outcome | None:
        held = [_Held._make(row) for row in self._session.rows(_HELD, (a.sop_uid,))]
        mine = next((one for one in held if one.store_key == a.store_key), None)
        if mine is not None:
            return self._again(a, mine, held)
        ours = next((one for one in held if not one.verdict), None)
        if ours is None:
            return self._fresh(a, ledger)
        if a.digest == ours.digest or a.likeness == Likeness.EQUAL:
            return self._equal(a, ours.store_key, ledger)
        if a.received and a.likeness == Likeness.UNKNOWN:
            return Outcome(Verdict.DIFFERS, ours.store_key)
        if a.policy == DuplicatePolicy.REPLACE:
            return self._replace(a, ours, ledger)
        same = next((one for one in held if one.digest == a.digest), None)
        if same is not None:
            return self._equal(a, same.store_key, ledger)
        if a.policy == DuplicatePolicy.REJECT:
            ledger.remove(a, "rejected-duplicate", ours.store_key)
            return Outcome(Verdict.REJECTED, ours.store_key)
        if a.likeness == Likeness.UNKNOWN or a.policy == DuplicatePolicy.NEW_UID:
            return Outcome(Verdict.DIFFERS, ours.store_key)
        return self._keep(a, ours, ledger)

    def _again(self, a: Arrival, mine: _Held, held: Sequence[_Held]) -> Outcome:
        """The same arrival came before: the same answer."""
        kinds = tuple(row[0] for row in self._session.rows(_CONFLICTS, (a.store_key,)))
        if not mine.verdict:
            replaced = any(one.verdict == "superseded" for one in held)
            return Outcome(Verdict.REPLACED if replaced else Verdict.STORED, "", kinds)
        existing = next((one.store_key for one in held if not one.verdict), "")
        return Outcome(Verdict.STORED if mine.verdict == "superseded" else mine.verdict, existing, kinds)

    def _insert(self, a: Arrival, verdict: str) -> bool:
        own = a.instance.get
        row = (
            *(a.sop_uid, a.sop_class, verdict, a.syntax, a.store_key, a.size, a.offset, a.digest),
            *(own("character_set", ""), own("attributes", ""), a.source_aet, a.received_at),
        )
        return bool(self._session.insert(_TABLE, _COLUMNS, [row], "store_key"))

    def _fresh(self, a: Arrival, ledger: "Ledger") -> Outcome | None:
        if not self._insert(a, ""):
            return None
        for kind in a.flags:
            ledger.conflict(kind, a)
        ledger.change("stored", a)
        return Outcome(Verdict.STORED, "", a.flags)

    def _equal(self, a: Arrival, existing_key: str, ledger: "Ledger") -> Outcome:
        ledger.remove(a, "equal-duplicate", existing_key)
        return Outcome(Verdict.EQUAL, existing_key)

    def _replace(self, a: Arrival, ours: _Held, ledger: "Ledger") -> Outcome | None:
        if not self._session.changed(_OUT_OF_FORCE, (ours.id,)) or not self._insert(a, ""):
            return None
        ledger.change("replaced", a)
        return Outcome(Verdict.REPLACED, ours.store_key, a.flags)

    def _keep(self, a: Arrival, ours: _Held, ledger: "Ledger") -> Outcome | None:
        """Beside the one in force: a version of it where only the encoding differs, else a conflict with it."""
        same = a.likeness == Likeness.SAME_PIXELS
        verdict = str(Verdict.VERSION if same else Verdict.CONFLICT)
        if not self._insert(a, verdict):
            return None
        kinds = a.flags if same else (*a.flags, "object-differs")
        for kind in kinds:
            ledger.conflict(kind, a)
        ledger.change(verdict, a)
        return Outcome(verdict, ours.store_key, kinds)


def delete(session: Session, what: Deletion, now: int) -> Outcome:
    """Carry out the deletion of one, inside a transaction; see `index.deletion.delete`."""
    rows = session.rows(f"{_HELD} ORDER BY received_at, id", (what.sop_uid,))
    found = [_Held._make(row) for row in rows]
    leaving = [one for one in found if not what.received_until or one.received_at <= what.received_until]
    staying = [one for one in found if one not in leaving]
    session.run_many("DELETE FROM non_patient_instance WHERE id = ?", [(one.id,) for one in leaving])
    if staying and all(one.verdict for one in staying):
        session.run("UPDATE non_patient_instance SET verdict = '' WHERE id = ?", (staying[0].id,))
    keys = [one.store_key for one in leaving]
    session.append("removal", _REMOVAL, [(key, "deleted", what.not_before) for key in keys])
    changes: list[tuple[Any, ...]] = [("deleted", "", "", what.sop_uid, key, what.at or now) for key in keys]
    session.append("change", _CHANGE, changes)
    session.run_many(_SETTLE, [(now, key) for key in keys])
    return Outcome(Verdict.DELETED, objects=len(keys))


def deletable(what: Deletion) -> ColumnElement[bool]:
    """Something that a deletion names and that was received until then is there."""
    named = non_patient_instance.c.sop_uid == what.sop_uid
    if what.received_until:
        return exists().where(named, non_patient_instance.c.received_at <= what.received_until)
    return exists().where(named)
