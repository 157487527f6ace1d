"""Filing arrivals: what becomes of each, in one transaction for a batch (docs/design.md section 4, duplicates).

The common object, new in a known series, costs one row of `instance` and one of `change`, and the series is written
once a batch. All the rest is the exception.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from isocenter.index import rejecting, substituting
from isocenter.index.duplicates import Duplicates, Held
from isocenter.index.ledger import Ledger
from isocenter.index.moving import followed
from isocenter.index.non_patient import NonPatientFiling
from isocenter.index.places import Places, SeriesPlace
from isocenter.index.plain import PlainFiling
from isocenter.index.records import Arrival, Outcome, Verdict
from isocenter.index.rows import INSTANCE_COLUMNS, instance_row
from isocenter.index.sessions import Session, SqliteSession
from isocenter.index.supplementing import ATTRIBUTE_COLUMNS, supplement

_SAME_UID = "SELECT sop_uid, id, series, study, store_key, digest, rejected FROM instance WHERE sop_uid {any}"
_REMOVED = "SELECT store_key, reason, kept_key FROM removal WHERE store_key {any}"
_KEPT = frozenset({Verdict.STORED, Verdict.VERSION, Verdict.CONFLICT, Verdict.REPLACED})
_REMOVED_AS = {"equal-duplicate": Verdict.EQUAL, "rejected-duplicate": Verdict.REJECTED}

_FEW = 8
"""Arrivals that are filed one by one where they are plain; of more the same rows are written together."""


class Filing:
    """Files batches of arrivals over one session, inside its transaction."""

    def __init__(self, session: Session, places: Places) -> None:
        self._session = session
        self._places = places
        # where others write too, the order of rows is the order of locks
        self._plain = PlainFiling(session, places) if isinstance(session, SqliteSession) else None
        self._non_patient = NonPatientFiling(session)
        self._late: list[Arrival] = []

    def file(self, arrivals: Sequence[Arrival], now: int) -> list[Outcome | None]:
        """What became of each. No two may have the same SOP Instance UID. `now` in microseconds UTC."""
        outcomes: list[Outcome | None] = [None] * len(arrivals)
        left = list(range(len(arrivals)))
        if self._plain is not None and len(left) <= _FEW:
            for i, a in enumerate(arrivals):
                outcomes[i] = self._plain.file(a, now)
            left = [i for i in left if outcomes[i] is None]
            if not left:
                return outcomes
        ledger = Ledger(self._session, now)
        order = sorted(left, key=lambda i: _sort_key(arrivals[i]))
        filed = self._file_sorted([arrivals[i] for i in order], ledger, now)
        ledger.close()
        self._settle_rejections([arrivals[i] for i in order], filed, now)
        for i, outcome in zip(order, filed, strict=True):
            outcomes[i] = outcome
        return outcomes

    def _file_sorted(self, arrivals: list[Arrival], ledger: Ledger, now: int) -> list[Outcome | None]:
        session = self._session
        held: defaultdict[str, list[Held]] = defaultdict(list)
        for row in session.each(_SAME_UID, [a.sop_uid for a in arrivals]):
            held[row[0]].append(Held(*row))
        outcomes: dict[str, Outcome | None] = {
            key: Outcome(_REMOVED_AS.get(reason, Verdict.DELETED), kept_key)
            for key, reason, kept_key in session.each(_REMOVED, [a.store_key for a in arrivals])
        }
        for a in arrivals:
            if a.compressed and a.store_key not in outcomes:
                substituted = substituting.substitute(session, a, now)
                if substituted is not None:
                    outcomes[a.store_key] = substituted
        wanted = [a for a in arrivals if a.store_key not in outcomes]
        if wanted and not wanted[0].study_uid:  # they sort before all others
            apart = [a for a in wanted if not a.study_uid]
            wanted = wanted[len(apart) :]
            outcomes.update(self._non_patient.file(apart, ledger))
        placed = [
            (a if a.study_uid == place.study.uid else a._replace(study_uid=place.study.uid), place)
            for a, place in zip(wanted, self._places.find(wanted, now), strict=True)
        ]
        duplicates = Duplicates(session, ledger, now)
        fresh = []
        for a, place in placed:
            same = next((h for h in held[a.sop_uid] if h.series == place.level.id), None)
            if same is None:
                before = rejecting.before(session, a, place.named, ledger) if place.named else None
                if before is None:
                    fresh.append((a, place))
                else:
                    outcomes[a.store_key] = before
            else:
                outcomes[a.store_key] = duplicates.file(a, place, same)
        if fresh:
            supplement(session, fresh, now)
            outcomes.update(self._file_fresh(fresh, held, ledger))
        for a, (there, _) in zip(wanted, placed, strict=True):
            outcome = outcomes[a.store_key]
            if a.compressed and outcome is not None and outcome.verdict in _KEPT:
                substituting.note(session, a)
            if outcome is not None and there is not a:
                outcomes[a.store_key] = outcome._replace(study_uid=there.study_uid)
        return [outcomes[a.store_key] for a in arrivals]

    def _file_fresh(
        self, fresh: Sequence[tuple[Arrival, SeriesPlace]], held: dict[str, list[Held]], ledger: Ledger
    ) -> Iterable[tuple[str, Outcome | None]]:
        rows = [instance_row(a, place) for a, place in fresh]
        made = self._session.insert("instance", INSTANCE_COLUMNS, rows, "store_key")
        further = []
        for a, place in fresh:
            row_id = made.get(a.store_key)
            if row_id is None:
                yield a.store_key, None
                continue
            if a.attributes and a.attributes[-1][0] == "I":
                further += [("I", row_id, *row[1:]) for row in a.attributes if row[0] == "I"]
            conflicts = tuple(self._conflicts(a, place, held[a.sop_uid]))
            if place.named and a.sop_uid in place.named:
                self._late.append(a)
            for kind in conflicts:
                ledger.conflict(kind, a)
            self._series_conflict(a, place, ledger)
            ledger.add(place, a)
            ledger.change("stored", a)
            yield a.store_key, Outcome(Verdict.STORED, "", conflicts)
        self._session.append("attribute", ATTRIBUTE_COLUMNS, further)

    def _settle_rejections(self, arrivals: Sequence[Arrival], filed: Sequence[Outcome | None], now: int) -> None:
        """What rejection notes among `arrivals` name goes out of sight, and what earlier notes named."""
        late, self._late = self._late, []
        notes = [a for a, outcome in zip(arrivals, filed, strict=True) if a.rejection and _is_new(outcome)]
        if notes or late:
            rejecting.filed(self._session, notes, late, now)
            self._places.forget()

    def _conflicts(self, a: Arrival, place: SeriesPlace, others: Sequence[Held]) -> Iterable[str]:
        yield from a.flags
        if place.study.identity != a.patient["identity"] and not self._follows(a, place):
            yield "patient-differs"
        if others:
            here = any(other.study == place.study.study.id for other in others)
            yield "uid-in-other-series" if here else "uid-in-other-study"

    def _follows(self, a: Arrival, place: SeriesPlace) -> bool:
        """Whether another patient is named because of an edit: the study or the series was moved, or that patient was
        merged into this one."""
        identity = a.patient["identity"]
        if identity in place.study.accepted:
            return True
        if place.moved or followed(self._session, identity) == place.study.patient.id:
            place.study.accepted.add(identity)
            return True
        return False

    def _series_conflict(self, a: Arrival, place: SeriesPlace, ledger: Ledger) -> None:
        if place.elsewhere:
            place.elsewhere = False
            ledger.series_conflict(a)


def _sort_key(a: Arrival) -> tuple[str, str, str, str]:
    return a.patient["identity"], a.study_uid, a.series_uid, a.sop_uid


def _is_new(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.verdict in (Verdict.STORED, Verdict.REPLACED)
