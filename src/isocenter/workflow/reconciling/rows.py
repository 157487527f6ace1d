"""The rows of studies that are to be reconciled: read, and changed within a transaction of the caller's."""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.errors import Reason, Refused
from isocenter.index.level_models import dumped, loaded
from isocenter.workflow.reconciling.models import Model
from isocenter.workflow.reconciling.states import UNDECIDED, Finding, Place, State
from isocenter.workflow.reconciling.tables import held_instance, held_study

PAGE: Final = 200


class Candidate(NamedTuple):
    """A worklist item that may be the study's."""

    source: str
    """The worklist that it is from: `own`, or the peer's title."""
    uid: str
    """What the own worklist calls it; '' of another's."""
    model: Model
    """With exactly one step."""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"source": self.source, "uid": self.uid, "model": self.model}


class Decision(NamedTuple):
    """What was decided of a study, by whom."""

    how: str
    """`automatic`, `chosen` (a candidate), `typed`, `unchanged` or `rejected`."""
    actor: str
    at: int
    changes: dict[str, Any]
    """DICOM JSON of what its objects become; null takes an attribute out."""
    source: str = ""
    item: str = ""
    """The worklist item, where there is one, as its worklist calls it."""
    reason: str = ""


class Study(NamedTuple):
    """A study that is to be reconciled, or was."""

    id: int
    ae: str
    place: Place
    study_uid: str
    state: State
    finding: Finding
    identity: str
    mixed: bool
    modalities: tuple[str, ...]
    source_aet: str
    model: Model
    candidates: tuple[Candidate, ...]
    decision: Decision | None
    attempts: int
    handed: int
    arrived_at: int
    last_at: int
    changed_at: int

    @property
    def decided(self) -> bool:
        """Whether nobody has to look at it any more."""
        return self.state not in UNDECIDED


class Instance(NamedTuple):
    """An object that is held."""

    id: int
    series_uid: str
    sop_uid: str
    sop_class: str
    syntax: str
    modality: str
    store_key: str
    size: int
    offset: int
    digest: str
    policy: str
    handed: bool


_STUDY: Final = (
    *("id", "ae", "place", "study_uid", "state", "finding", "patient_identity", "mixed", "modalities", "source_aet"),
    *("model", "candidates", "decision", "attempts", "handed", "arrived_at", "last_at", "changed_at"),
)


def _studies() -> Select[Any]:
    return select(*(held_study.c[name] for name in _STUDY))


def _study(row: Any) -> Study:
    (number, ae, place, uid, state, finding, identity, mixed, modalities, source, *texts, attempts, handed) = row[:-3]
    model, candidates, decision = texts
    return Study(
        *(number, ae, Place(place), uid, State(state), Finding(finding), identity, bool(mixed)),
        tuple(each for each in modalities.split("\\") if each),
        source,
        loaded(model),
        tuple(Candidate(**each) for each in json.loads(candidates or "[]")),
        Decision(**json.loads(decision)) if decision else None,
        *(attempts, handed, *row[-3:]),
    )


def by_id(connection: Connection, number: int, *, lock: bool = False) -> Study:
    """One study; with `lock` nobody else changes it before the transaction ends. Raises Refused(NOT_FOUND)."""
    query = _studies().where(held_study.c.id == number)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise Refused(Reason.NOT_FOUND, "no such study waits for reconciliation")
    return _study(row)


def of_study(connection: Connection, study_uid: str, ae: str = "") -> list[Study]:
    """Those of a Study Instance UID, of all AEs or one."""
    query = _studies().where(held_study.c.study_uid == study_uid).order_by(held_study.c.id)
    if ae:
        query = query.where(held_study.c.ae == ae)
    return [_study(row) for row in connection.execute(query)]


def listed(
    connection: Connection,
    *,
    states: Collection[State] = UNDECIDED,
    ae: str = "",
    patient_ids: Collection[str] = (),
    after: int = 0,
    limit: int = PAGE,
) -> list[Study]:
    """A page of them, the oldest first; `after` is the id of the last one of the page before. `patient_ids`: as their
    objects name the patient."""
    query = _studies().where(held_study.c.id > after, held_study.c.state.in_([str(state) for state in states]))
    if ae:
        query = query.where(held_study.c.ae == ae)
    if patient_ids:
        query = query.where(held_study.c.patient_id.in_(list(patient_ids)))
    return [_study(row) for row in connection.execute(query.order_by(held_study.c.id).limit(limit))]


def change(connection: Connection, number: int, at: int, **values: Any) -> None:
    """Give a study these columns."""
    connection.execute(update(held_study).where(held_study.c.id == number).values(**values, changed_at=at))


def candidates_text(candidates: Collection[Candidate]) -> str:
    """As the column has them."""
    return json.dumps([one.told() for one in candidates], ensure_ascii=False, separators=(",", ":"))


def decision_text(decision: Decision) -> str:
    """As the column has it."""
    return dumped(decision._asdict())


def open_study(connection: Connection, ae: str, place: Place, study_uid: str, first: dict[str, Any], at: int) -> Study:
    """The study, locked; made with what its `first` object says where it is not there yet."""
    make = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(held_study)
    own = {"ae": ae, "place": str(place), "study_uid": study_uid, "state": str(State.ARRIVING)}
    values = {**own, **first, "arrived_at": at, "last_at": at, "changed_at": at}
    connection.execute(make.values(**values).on_conflict_do_nothing())
    query = _studies().where(held_study.c.ae == ae, held_study.c.study_uid == study_uid).with_for_update()
    return _study(connection.execute(query).one())


# --- objects


def digests(connection: Connection, study: int, series_uid: str, sop_uid: str) -> dict[str, str]:
    """Digest by store key of the held objects of these UIDs."""
    i = held_instance.c
    query = select(i.store_key, i.digest).where(i.study == study, i.series_uid == series_uid, i.sop_uid == sop_uid)
    return {key: digest for key, digest in connection.execute(query.where(i.handed == 0))}  # noqa: C416


def add_instance(connection: Connection, study: int, values: dict[str, Any]) -> None:
    """Note an object that is held."""
    connection.execute(insert(held_instance).values(study=study, **values))


def instances(connection: Connection, study: int, after: int = 0, limit: int = PAGE) -> list[Instance]:
    """A page of its objects, in the order in which they came."""
    i = held_instance.c
    columns = (i.id, i.series_uid, i.sop_uid, i.sop_class, i.syntax, i.modality, i.store_key, i.size, i.offset)
    query = select(*columns, i.digest, i.policy, i.handed).where(i.study == study, i.id > after)
    found = connection.execute(query.order_by(i.id).limit(limit)).all()
    return [Instance._make((*row[:-1], bool(row[-1]))) for row in found]


def waiting(connection: Connection, studies: Collection[int]) -> dict[int, tuple[int, int]]:
    """How many objects, and series, of each study are held."""
    i = held_instance.c
    query = select(i.study, func.count(), func.count(i.series_uid.distinct())).where(i.study.in_(studies))
    rows = connection.execute(query.where(i.handed == 0).group_by(i.study))
    return {study: (objects, series) for study, objects, series in rows}


def mark_handed(connection: Connection, study: int, numbers: Collection[int]) -> None:
    """The archive, or the exceptions area, has these objects."""
    i = held_instance.c
    taken = update(held_instance).where(i.id.in_(numbers), i.handed == 0).values(handed=1)
    done = connection.execute(taken).rowcount
    more = update(held_study).where(held_study.c.id == study)
    connection.execute(more.values(handed=held_study.c.handed + done))


def drop(connection: Connection, numbers: Collection[int]) -> None:
    """Forget objects whose files are gone."""
    connection.execute(delete(held_instance).where(held_instance.c.id.in_(numbers)))


def known_keys(connection: Connection) -> Iterator[str]:
    """The store keys of all that is held."""
    return iter(connection.execute(select(held_instance.c.store_key)).scalars().all())
