"""A second object with the identity of one in force: equal, a version, a conflict, or what the AE's policy says."""

from typing import Any, NamedTuple

from isocenter.declarations.rejections import NOTE
from isocenter.index.ledger import Ledger
from isocenter.index.places import Level, SeriesPlace
from isocenter.index.records import Arrival, DuplicatePolicy, Likeness, Outcome, Verdict
from isocenter.index.rejecting import resent
from isocenter.index.sessions import Session
from isocenter.index.substituting import made_of
from isocenter.index.supplementing import ATTRIBUTE_COLUMNS, fill, supplement

_VERSION = ("instance", "verdict", "syntax", "store_key", "size", "offset", "digest", "source_aet", "received_at")
_OLD = 'SELECT syntax, store_key, size, "offset", digest, source_aet, received_at FROM instance WHERE id = ?'
_VERSIONS = "SELECT store_key, verdict, digest FROM instance_version WHERE instance = ?"
_CONFLICTS = "SELECT kind FROM conflict WHERE study_uid = ? AND store_key = ?"

INSTANCE_GROUPS: dict[str, tuple[str, ...]] = {
    "instance_number": ("instance_number_value",),
    "image_type": (),
    "content_date": (),
    "content_time": (),
}
_FACTS = ("sop_class", "syntax", "store_key", "size", "offset", "digest", "source_aet", "received_at")
_TEXT = ("instance_number", "image_type", "content_date", "content_time", "attributes", "character_set")
_NULLABLE = ("instance_number_value", "rows", "columns", "bits_allocated", "frames", "frame_table")
_ASSIGNED = ", ".join(f'"{column}" = ?' for column in (*_FACTS, *_TEXT, *_NULLABLE))
_REPLACE = f"UPDATE instance SET {_ASSIGNED} WHERE id = ? AND store_key = ?"  # noqa: S608


class Held(NamedTuple):
    """The object in force."""

    sop_uid: str
    id: int
    series: int
    study: int
    store_key: str
    digest: str
    rejected: int = 0
    """The title of the note that took it out of sight."""


class Duplicates:
    """Decides on arrivals whose identity is taken."""

    def __init__(self, session: Session, ledger: Ledger, now: int) -> None:
        self._session = session
        self._ledger = ledger
        self._now = now

    def file(self, a: Arrival, place: SeriesPlace, held: Held) -> Outcome | None:
        """What became of `a`; None if another writer changed the object in force meanwhile."""
        versions = {key: (verdict, digest) for key, verdict, digest in self._session.rows(_VERSIONS, (held.id,))}
        if a.store_key == held.store_key:
            replaced = any(verdict == "superseded" for verdict, _ in versions.values())
            return self._again(a, Verdict.REPLACED if replaced else Verdict.STORED, "")
        if a.store_key in versions:
            verdict = versions[a.store_key][0]
            return self._again(a, Verdict.STORED if verdict == "superseded" else Verdict(verdict), held.store_key)
        if held.rejected not in (0, NOTE) and a.resend != "hide":
            return resent(a, held.rejected, held.store_key, self._ledger)
        if a.digest == held.digest or a.likeness == Likeness.EQUAL:
            return self._equal(a, held.store_key)
        if kept := made_of(self._session, a.digest, {held.store_key, *versions}):
            return self._equal(a, kept)  # it came before, and is kept compressed
        if a.received and a.likeness == Likeness.UNKNOWN:
            return Outcome(Verdict.DIFFERS, held.store_key)
        if a.policy == DuplicatePolicy.REPLACE:
            return self.replace(a, place, held)
        for key, (_, digest) in versions.items():
            if digest == a.digest:
                return self._equal(a, key)
        if a.policy == DuplicatePolicy.REJECT:
            self._ledger.remove(a, "rejected-duplicate", held.store_key)
            return Outcome(Verdict.REJECTED, held.store_key)
        if a.likeness == Likeness.UNKNOWN or a.policy == DuplicatePolicy.NEW_UID:
            return Outcome(Verdict.DIFFERS, held.store_key)
        return self._keep(a, place, held)

    def _again(self, a: Arrival, verdict: Verdict, existing_key: str) -> Outcome:
        """The same arrival came before: the same answer."""
        kinds = tuple(row[0] for row in self._session.rows(_CONFLICTS, (a.study_uid, a.store_key)))
        return Outcome(verdict, existing_key, kinds)

    def _equal(self, a: Arrival, existing_key: str) -> Outcome:
        self._ledger.remove(a, "equal-duplicate", existing_key)
        return Outcome(Verdict.EQUAL, existing_key)

    def _keep(self, a: Arrival, place: SeriesPlace, held: Held) -> Outcome:
        """Beside the object in force, as a version of it or as a conflict with it."""
        same = a.likeness == Likeness.SAME_PIXELS
        verdict = Verdict.VERSION if same else Verdict.CONFLICT
        kinds = a.flags if same else (*a.flags, "object-differs")
        if place.study.identity != a.patient["identity"]:
            kinds = (*kinds, "patient-differs")
        self._session.append("instance_version", _VERSION, [_version(held.id, verdict, a)])
        for kind in kinds:
            self._ledger.conflict(kind, a)
        self._ledger.change(str(verdict), a)
        self._ledger.touch(place)
        if a.policy == DuplicatePolicy.KEEP_FIRST_SUPPLEMENT:
            self._supplement(a, place, held.id)
        return Outcome(verdict, held.store_key, kinds)

    def _supplement(self, a: Arrival, place: SeriesPlace, instance: int) -> None:
        """What the records lack comes from the later object (M-STORE-06)."""
        supplement(self._session, [(a, place)], self._now)
        columns = ", ".join(INSTANCE_GROUPS)
        row = self._session.rows(f"SELECT {columns} FROM instance WHERE id = ?", (instance,))[0]  # noqa: S608
        level = Level(instance, {c for c, value in zip(INSTANCE_GROUPS, row, strict=True) if not value}, set())
        fill(self._session, "instance", "I", level, INSTANCE_GROUPS, a.instance, a.attributes, self._now)

    def replace(self, a: Arrival, place: SeriesPlace, held: Held) -> Outcome | None:
        """`a` in force from now on, the former one a superseded version."""
        old = self._session.rows(_OLD, (held.id,))
        values = [*_own(a), held.id, held.store_key]
        if not old or not self._session.changed(_REPLACE, values):
            return None
        self._session.append("instance_version", _VERSION, [(held.id, "superseded", *old[0])])
        self._session.run("DELETE FROM attribute WHERE level = 'I' AND owner = ?", (held.id,))
        rows = [("I", held.id, *row[1:]) for row in a.attributes if row[0] == "I"]
        self._session.append("attribute", ATTRIBUTE_COLUMNS, rows)
        self._ledger.touch(place, a.size - old[0][2])
        if a.sop_class not in place.sop_classes:
            place.new_classes.add(a.sop_class)
        kinds = (*a.flags, "patient-differs") if place.study.identity != a.patient["identity"] else a.flags
        for kind in kinds:
            self._ledger.conflict(kind, a)
        self._ledger.change("replaced", a)
        return Outcome(Verdict.REPLACED, held.store_key, kinds)


def _version(instance: int, verdict: str, a: Arrival) -> tuple[Any, ...]:
    return instance, str(verdict), a.syntax, a.store_key, a.size, a.offset, a.digest, a.source_aet, a.received_at


def _own(a: Arrival) -> list[Any]:
    facts = [getattr(a, name) for name in _FACTS]
    return [*facts, *(a.instance.get(name, "") for name in _TEXT), *(a.instance.get(name) for name in _NULLABLE)]
