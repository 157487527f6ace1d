"""Where an arrival belongs: its patient, study and series, found or made, and remembered between batches.

Rows are made in the order patient, study, series, each sorted, so that two writers wait for each other in one direction
only. First received wins: what a row lacks is supplemented from later objects, what it has stays (M-STORE-06).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isocenter.index import rejecting
from isocenter.index.level_models import loaded, locked_columns
from isocenter.index.moving import followed
from isocenter.index.overlaying import refresh_new
from isocenter.index.recent import Recent
from isocenter.index.records import Arrival
from isocenter.index.sessions import Session

PATIENT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "patient_name": ("name_fold", "name_ideographic_fold", "name_phonetic_fold"),
    "birth_date": (),
    "birth_time": (),
    "sex": (),
}
"""Columns that may be supplemented, each with those that follow it. The patient's are repeated in its studies."""
STUDY_GROUPS: Mapping[str, tuple[str, ...]] = {
    "study_date": (),
    "study_time": (),
    "study_id": (),
    "accession": ("accession_issuer",),
    "description": ("description_fold",),
    "referring_name": ("referring_fold", "referring_ideographic_fold", "referring_phonetic_fold"),
    "institution": ("institution_fold",),
    "timezone": (),
}
SERIES_GROUPS: Mapping[str, tuple[str, ...]] = {
    "modality": (),
    "series_number": ("series_number_value",),
    "description": ("description_fold",),
    "series_date": (),
    "series_time": (),
    "body_part": (),
    "laterality": (),
    "patient_position": (),
    "station": (),
    "institution": ("institution_fold",),
    "performing_name": ("performing_fold",),
    "manufacturer": (),
    "model": (),
    "protocol": ("protocol_fold",),
    "station_aet": (),
    "step_id": (),
    "step_start_date": (),
    "step_start_time": (),
}


def _flat(groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(column for base, followers in groups.items() for column in (base, *followers))


_IDS = ("patient_id", "issuer")
_PATIENT = _flat(PATIENT_GROUPS)
_PATIENT_COLUMNS = ("identity", *_IDS, *_PATIENT, "attributes", "changed_at")
_STUDY = _flat(STUDY_GROUPS)
_STUDY_COLUMNS = (
    *("study_uid", "patient", *_IDS, *_PATIENT, *_STUDY, "attributes", "received_at", "changed_at", "moved_from"),
)
_SERIES = _flat(SERIES_GROUPS)
_SERIES_COLUMNS = ("study", "series_uid", *_SERIES, "attributes", "received_at", "changed_at", "moved_from")

_PATIENTS = 'SELECT "id", "identity", {columns}, "attributes" FROM patient WHERE {key} {{any}}'
_STUDIES = (
    f"SELECT s.study_uid, s.id, s.patient, p.identity, s.moved_from, s.attributes, p.attributes, s.edits, p.edits, "  # noqa: S608
    f"{', '.join(f's.{c}' for c in STUDY_GROUPS)}, {', '.join(f'p.{c}' for c in PATIENT_GROUPS)} "
    "FROM study s JOIN patient p ON p.id = s.patient WHERE s.study_uid {any}"
)
_SERIES_ROWS = (
    f"SELECT series_uid, study, id, sop_classes, attributes, moved_from, edits, {', '.join(SERIES_GROUPS)} "  # noqa: S608
    "FROM series WHERE series_uid {any}"
)
_REDIRECTS = "SELECT study_uid, series_uid, to_study FROM redirect WHERE series_uid {any}"
_NAMED = f"SELECT id, {', '.join((*_IDS, *_PATIENT))} FROM patient WHERE id = ?"  # noqa: S608
_IDENTITIES = f"SELECT identity, id, {', '.join((*_IDS, *_PATIENT))} FROM patient WHERE identity {{any}}"  # noqa: S608


@dataclass(slots=True)
class Level:
    """What is remembered of one row: which columns it still lacks."""

    id: int
    missing: set[str]
    known: set[str]
    """Tags that its `attributes` has."""
    last: object = None
    """The values that came last: equal ones need no look."""
    edits: str = ""
    """What edits have settled, as the row has it."""
    settled: frozenset[str] = frozenset()
    """The tags among them."""


@dataclass(slots=True)
class StudyPlace:
    """A study and its patient."""

    patient: Level
    study: Level
    identity: str
    """Of the patient: an object with another one is in conflict."""
    uid: str = ""
    """Study Instance UID."""
    accepted: set[str] = field(default_factory=set)
    """Other identities that its objects may name: of before it was moved, or merged away."""


@dataclass(slots=True)
class SeriesPlace:
    """A series, and what a batch adds to it."""

    study: StudyPlace
    level: Level
    sop_classes: set[str]
    named: Mapping[str, bool]
    """SOP Instance UIDs that rejection notes name, and whether the instance has been there."""
    moved: bool = False
    """It came from another study."""
    elsewhere: bool = False
    """Just made, and another study has a series of the same UID."""
    added: int = 0
    bytes: int = 0
    changes: int = 0
    new_classes: set[str] = field(default_factory=set)


def _tags(attributes: str) -> set[str]:
    return set(json.loads(attributes)) if attributes else set()


def _level(
    row_id: int, groups: Mapping[str, tuple[str, ...]], values: Sequence[Any], attributes: str, letter: str, edits: str
) -> Level:
    missing = {c for c, value in zip(groups, values, strict=True) if not value}
    if not edits:
        return Level(row_id, missing, _tags(attributes))
    settled = frozenset(loaded(edits))
    missing -= locked_columns(letter, edits)
    return Level(row_id, missing, _tags(attributes) | settled, edits=edits, settled=settled)


class Places:
    """Finds and makes the rows above an instance. `forget` after whatever else changed them, and after a rollback."""

    def __init__(self, session: Session, *, studies: int = 2048, series: int = 4096) -> None:
        self._session = session
        self._studies: Recent[str, StudyPlace] = Recent(studies)
        self._series: Recent[tuple[str, str], SeriesPlace] = Recent(series)

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._studies.clear()
        self._series.clear()

    def known(self, arrival: Arrival) -> SeriesPlace | None:
        """The place of `arrival` if it is remembered."""
        return self._series.get((arrival.study_uid, arrival.series_uid))

    def find(self, arrivals: Sequence[Arrival], now: int) -> list[SeriesPlace]:
        """The place of each of `arrivals`, which are sorted; made where there is none."""
        found = [self.known(a) for a in arrivals]
        unknown = [a for a, place in zip(arrivals, found, strict=True) if place is None]
        if unknown:
            series = self._find_unknown(unknown, now)
            found = [place or series[a.study_uid, a.series_uid] for a, place in zip(arrivals, found, strict=True)]
        return [place for place in found if place is not None]

    def _find_unknown(self, arrivals: Sequence[Arrival], now: int) -> dict[tuple[str, str], SeriesPlace]:
        """By the UIDs that the arrivals name; a series that was moved to another study is found there."""
        uids = list(dict.fromkeys(a.series_uid for a in arrivals))
        moved = {(row[0], row[1]): row[2] for row in self._session.each(_REDIRECTS, uids)}
        if not moved:
            return self._find_there(arrivals, {}, now)
        named = [(a.study_uid, a.series_uid) for a in arrivals]
        places: dict[tuple[str, str], SeriesPlace] = {}
        there: list[Arrival] = []
        for a in arrivals:
            to = a._replace(study_uid=moved.get((a.study_uid, a.series_uid), a.study_uid))
            place = self.known(to)
            if place is None:
                there.append(to)
            else:
                places[to.study_uid, to.series_uid] = place
        there.sort(key=lambda a: (a.patient["identity"], a.study_uid, a.series_uid, a.sop_uid))
        places.update(self._find_there(there, {(to, uid): study for (study, uid), to in moved.items()}, now))
        found = {(study, uid): places[moved.get((study, uid), study), uid] for study, uid in named}
        for key, place in found.items():
            self._series.put(key, place)
        return found

    def _find_there(
        self, arrivals: Sequence[Arrival], origins: Mapping[tuple[str, str], str], now: int
    ) -> dict[tuple[str, str], SeriesPlace]:
        if not arrivals:
            return {}
        return self._find_series(arrivals, self._find_studies(arrivals, now), origins, now)

    def _find_studies(self, arrivals: Sequence[Arrival], now: int) -> dict[str, StudyPlace]:
        first = _first(arrivals, lambda a: a.study_uid)
        found = {uid: place for uid in first if (place := self._studies.get(uid)) is not None}
        wanted = [uid for uid in first if uid not in found]
        found.update(self._read_studies(wanted))
        missing = [first[uid] for uid in wanted if uid not in found]
        if missing:
            self._make_studies(missing, self._find_patients(missing, now), now)
            found.update(self._read_studies([a.study_uid for a in missing]))
        for uid in wanted:
            self._studies.put(uid, found[uid])
        return found

    def _read_studies(self, uids: Sequence[str]) -> dict[str, StudyPlace]:
        places = {}
        n = len(STUDY_GROUPS)
        for uid, study, patient, identity, moved_from, attributes, patient_attributes, *rest in self._session.each(
            _STUDIES, uids
        ):
            edits, patient_edits, *values = rest
            places[uid] = StudyPlace(
                _level(patient, PATIENT_GROUPS, values[n:], patient_attributes, "P", patient_edits),
                _level(study, STUDY_GROUPS, values[:n], attributes, "S", edits),
                identity,
                uid,
                {moved_from} if moved_from else set(),
            )
        return places

    def _find_patients(self, arrivals: Sequence[Arrival], now: int) -> dict[str, Sequence[Any]]:
        """By identity: id, and the columns that its studies repeat."""
        first = _first(arrivals, lambda a: a.patient["identity"])
        session = self._session
        found: dict[str, Sequence[Any]] = {row[0]: row[1:] for row in session.each(_IDENTITIES, list(first))}
        missing = [first[identity] for identity in sorted(first.keys() - found.keys())]
        for a in missing:
            prior = followed(session, a.patient["identity"])
            if prior is not None:
                found[a.patient["identity"]] = session.rows(_NAMED, (prior,))[0]
        missing = [a for a in missing if a.patient["identity"] not in found]
        if missing:
            rows = [[*_values(a.patient, _PATIENT_COLUMNS[:-1]), now] for a in missing]
            made = session.insert("patient", _PATIENT_COLUMNS, rows, "identity")
            self._attributes((made[a.patient["identity"]], "P", a) for a in missing if a.patient["identity"] in made)
            self._ids((made[a.patient["identity"]], a) for a in missing if a.patient["identity"] in made)
            found.update(
                (row[0], row[1:]) for row in session.each(_IDENTITIES, [a.patient["identity"] for a in missing])
            )
        return found

    def _make_studies(self, arrivals: Sequence[Arrival], patients: Mapping[str, Sequence[Any]], now: int) -> None:
        rows = []
        for a in sorted(arrivals, key=lambda a: a.study_uid):
            patient, *repeated = patients[a.patient["identity"]]
            own = _values(a.study, (*_STUDY, "attributes"))
            identity = a.patient["identity"]
            moved_from = identity if _named_otherwise(identity, repeated) else ""
            rows.append([a.study_uid, patient, *repeated, *own, a.received_at, now, moved_from])
        made = self._session.insert("study", _STUDY_COLUMNS, rows, "study_uid")
        self._attributes((made[a.study_uid], "S", a) for a in arrivals if a.study_uid in made)
        self._accessions((made[a.study_uid], a) for a in arrivals if a.study_uid in made)

    def _find_series(
        self,
        arrivals: Sequence[Arrival],
        studies: Mapping[str, StudyPlace],
        origins: Mapping[tuple[str, str], str],
        now: int,
    ) -> dict[tuple[str, str], SeriesPlace]:
        first = _first(arrivals, lambda a: (a.study_uid, a.series_uid))
        known = self._read_series([uid for _, uid in first])
        before = set(known)
        missing = [a for (study, uid), a in first.items() if (studies[study].study.id, uid) not in known]
        made: dict[Any, int] = {}
        if missing:
            missing.sort(key=lambda a: (a.series_uid, a.study_uid))
            # a series UID may come twice in one batch, under two studies: one at a time, since ids are told by UID
            for batch in _apart(missing):
                moved = [origins.get((a.study_uid, a.series_uid), "") for a in batch]
                rows = [
                    self._series_row(a, studies[a.study_uid].study.id, origin, now)
                    for a, origin in zip(batch, moved, strict=True)
                ]
                ids = self._session.insert("series", _SERIES_COLUMNS, rows, "series_uid")
                self._attributes((ids[a.series_uid], "E", a) for a in batch if a.series_uid in ids)
                made.update({(a.study_uid, a.series_uid): ids[a.series_uid] for a in batch if a.series_uid in ids})
            refresh_new(self._session, sorted({a.study_uid for a in missing}), now)
            known.update(self._read_series([a.series_uid for a in missing]))
        named = rejecting.known(self._session, list(dict.fromkeys(uid for _, uid in first)))
        found = {}
        for key in first:
            study, uid = studies[key[0]], key[1]
            place = known[study.study.id, uid]
            place.study = study
            place.named = named.get(uid, {})
            place.elsewhere = key in made and (
                any(u == uid and s != study.study.id for s, u in before)
                or any(received(a) < received(first[key]) for a in missing if a.series_uid == uid)
            )
            found[key] = place
            self._series.put(key, place)
        return found

    def _series_row(self, a: Arrival, study: int, origin: str, now: int) -> list[Any]:
        return [study, a.series_uid, *_values(a.series, (*_SERIES, "attributes")), a.received_at, now, origin]

    def _read_series(self, uids: Sequence[str]) -> dict[tuple[int, str], SeriesPlace]:
        found = {}
        for uid, study, row_id, classes, attributes, moved_from, edits, *values in self._session.each(
            _SERIES_ROWS, list(dict.fromkeys(uids))
        ):
            level = _level(row_id, SERIES_GROUPS, values, attributes, "E", edits)
            known = set(classes.split("\\")) if classes else set()
            found[study, uid] = SeriesPlace(_NOWHERE, level, known, {}, moved=bool(moved_from))
        return found

    def _attributes(self, owners: Iterable[tuple[int, str, Arrival]]) -> None:
        rows = [(level, owner, *row[1:]) for owner, level, a in owners for row in a.attributes if row[0] == level]
        self._session.append("attribute", ("level", "owner", "path", "item", "value", "fold"), rows)

    def _ids(self, owners: Iterable[tuple[int, Arrival]]) -> None:
        rows = []
        for owner, a in owners:
            if a.patient["patient_id"]:
                rows.append((owner, a.patient["patient_id"], a.patient["issuer"], "primary"))
            rows += [(owner, value, issuer, "other") for value, issuer in a.patient_ids]
        self._session.append("patient_id", ("patient", "value", "issuer", "kind"), rows)

    def _accessions(self, owners: Iterable[tuple[int, Arrival]]) -> None:
        rows = [(owner, *pair) for owner, a in owners for pair in accessions_of(a)]
        self._session.append("study_accession", ("study", "accession", "issuer"), rows)


def accessions_of(a: Arrival) -> list[tuple[str, str]]:
    """All its accession numbers with their issuers."""
    own = [(a.study["accession"], a.study.get("accession_issuer", ""))] if a.study.get("accession") else []
    return [*own, *((accession, issuer) for accession, issuer in a.accessions)]


_NOWHERE = StudyPlace(Level(0, set(), set()), Level(0, set(), set()), "")


def _named_otherwise(identity: str, repeated: Sequence[Any]) -> bool:
    """Whether a patient (id and issuer come first) was found by an identity that it had before."""
    return not identity.startswith("\\\\") and identity != f"{repeated[1]}\\{repeated[0]}"


def _values(source: Mapping[str, Any], columns: Iterable[str]) -> list[Any]:
    return [source.get(column, None if column.endswith("_value") else "") for column in columns]


def _first(arrivals: Iterable[Arrival], key: Any) -> dict[Any, Arrival]:
    """Of each key the one that was received first, in the order in which the keys come."""
    found: dict[Any, Arrival] = {}
    for a in arrivals:
        before = found.setdefault(key(a), a)
        if received(a) < received(before):
            found[key(a)] = a
    return found


def received(a: Arrival) -> tuple[int, str]:
    """What arrivals are told apart by where the first one wins; a rebuild files them in the same order."""
    return a.received_at, a.store_key


def _apart(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    """Sorted arrivals in batches in which no series UID comes twice."""
    batches: list[list[Arrival]] = []
    seen: dict[str, int] = {}
    for a in arrivals:
        turn = seen.get(a.series_uid, 0)
        seen[a.series_uid] = turn + 1
        if turn == len(batches):
            batches.append([])
        batches[turn].append(a)
    return batches
