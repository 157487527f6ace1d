"""Performed procedure steps as they are kept: reading them, and following what becomes of their patients.

Methods that take a connection are for an open `Database.reading()`, or `Database.writing()` where they change rows.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, insert, select, update

from isocenter.database import Database
from isocenter.database.prepared import Prepared
from isocenter.workflow.steps import attributes as of
from isocenter.workflow.steps.attributes import Model, Performed
from isocenter.workflow.steps.tables import step, step_item, step_series
from isocenter.workflow.worklist.attributes import changed, identified

UNMATCHED: Final = "unmatched"
"""`matching` of a step that waits for a person."""

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"IN PROGRESS": "step-created", "COMPLETED": "step-completed", "DISCONTINUED": "step-discontinued"}
)
"""Kinds of change (`database.changes`) by the status that a step takes on: one row for each study of it; `sop_uid` is
the step's."""


class Step(NamedTuple):
    """A performed procedure step; times in microseconds UTC."""

    id: int
    sop_uid: str
    state: str
    """Performed Procedure Step Status."""
    ae: str
    calling: str
    address: str
    station: str
    modality: str
    performed_id: str
    identity: str
    """Issuer, backslash, id of the patient; '' without a Patient ID."""
    character_set: str
    matching: str
    """How it belongs to the worklist: matched, unscheduled, ordered (by us), unmatched (an exception), resolved,
    accepted."""
    comment: str
    created_at: int
    changed_at: int
    model: Model
    faults: tuple[tuple[str, str], ...]
    """What is amiss: why, and the attribute."""

    @property
    def study_uids(self) -> tuple[str, ...]:
        """The studies of its items, each once."""
        return tuple(dict.fromkeys(each.study_uid for each in of.scheduled(self.model) if each.study_uid))

    @property
    def performed(self) -> list[Performed]:
        """The series that it made."""
        return of.performed(self.model)


_NAMES: Final = tuple(name for name in Step._fields if name not in ("model", "faults"))
COLUMNS: Final = (*(step.c[name] for name in _NAMES), step.c.attributes, step.c.faults)
"""What `step_of` reads."""
# made once: each message about a patient asks for her steps
_PATIENT: Final = select(*COLUMNS).where(step.c.identity == bindparam("named")).order_by(step.c.id)
_OF_PATIENT, _OF_PATIENT_LOCKED = Prepared(_PATIENT), Prepared(_PATIENT.with_for_update())


def step_of(row: Any) -> Step:
    """The step in a row of `COLUMNS`."""
    return _step(tuple(getattr(row, each.name) for each in COLUMNS))


def _step(row: Sequence[Any]) -> Step:
    """The step in the values of `COLUMNS`."""
    *plain, attributes, faults = row
    told = tuple((cause, name) for cause, name in json.loads(faults)) if faults else ()
    model = json.loads(attributes) if attributes else {}
    return Step(**dict(zip(_NAMES, plain, strict=True)), model=model, faults=told)


def dumped(model: Model) -> str:
    """Attributes as the column holds them."""
    return json.dumps(model, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Steps:
    """The steps of one installation. What is not found is no error."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self.database, self.clock = database, clock

    # --- reading

    def get(self, connection: Connection, number: int) -> Step | None:
        """The one with this id."""
        return next(iter(self._found(connection, step.c.id == number)), None)

    def of_uid(self, connection: Connection, sop_uid: str, *, lock: bool = False) -> Step | None:
        """The one with this SOP Instance UID. `lock`: no other transaction changes it before this one ends."""
        query = select(*COLUMNS).where(step.c.sop_uid == sop_uid)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        return step_of(row) if row else None

    def of_study(self, connection: Connection, study_uid: str) -> list[Step]:
        """Those that say that they belong to a study."""
        mine = exists().where(step_item.c.step == step.c.id, step_item.c.study_uid == study_uid)
        return self._found(connection, mine) if study_uid else []

    def of_series(self, connection: Connection, series_uid: str) -> list[Step]:
        """Those that made a series: one, but for modalities that append to a series."""
        mine = exists().where(step_series.c.step == step.c.id, step_series.c.series_uid == series_uid)
        return self._found(connection, mine) if series_uid else []

    def of_entry(self, connection: Connection, entry: int) -> list[Step]:
        """Those in which a worklist item was performed."""
        return self._found(connection, exists().where(step_item.c.step == step.c.id, step_item.c.entry == entry))

    def of_patient(self, connection: Connection, identity: str, *, locked: bool = False) -> list[Step]:
        """Those of a patient: issuer, backslash, id; `locked` until the transaction ends."""
        wanted = _OF_PATIENT_LOCKED if locked else _OF_PATIENT
        return [_step(row) for row in wanted.rows(connection, named=identity)] if identity else []

    def entries_of(self, connection: Connection, number: int) -> list[int]:
        """The worklist items that a step is linked to."""
        found = connection.execute(select(step_item.c.entry).where(step_item.c.step == number).order_by(step_item.c.id))
        return [entry for entry in found.scalars() if entry is not None]

    def listed(
        self,
        *,
        state: str = "",
        matching: str = "",
        station: str = "",
        study_uid: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[Step]:
        """The newest that fit; `before`: the id below which the page begins."""
        given = ((step.c.state, state), (step.c.matching, matching), (step.c.station, station))
        wanted = [column == value for column, value in given if value]
        if study_uid:
            wanted.append(exists().where(step_item.c.step == step.c.id, step_item.c.study_uid == study_uid))
        if before:
            wanted.append(step.c.id < before)
        query = select(*COLUMNS).where(*wanted).order_by(step.c.id.desc()).limit(limit)
        with self.database.reading() as connection:
            return [step_of(row) for row in connection.execute(query)]

    # --- patients

    def update_patient(self, connection: Connection, identity: str, changes: Mapping[str, Any]) -> int:
        """Change what the steps of a patient say of him: attributes by tag, None to take one out. What identifies him
        stays, and what is no attribute of a step is passed over. Returns how many steps there are."""
        found = self.of_patient(connection, identity)
        for each in found:
            self._rewrite(connection, each, changed(each.model, of.of_patient(changes)), identity)
        return len(found)

    def merge_patients(
        self, connection: Connection, prior: str, identity: str, changes: Mapping[str, Any]
    ) -> list[int]:
        """Give all steps of the patient `prior` to the patient `identity`, with `changes` to what they say of him.
        Returns their ids, for `give` to undo it."""
        ids = [each.id for each in self.of_patient(connection, prior)]
        self.give(connection, ids, identity, changes)
        return ids

    def give(self, connection: Connection, ids: Iterable[int], identity: str, changes: Mapping[str, Any]) -> None:
        """Give these steps to the patient `identity`, with `changes` to what they say of him."""
        for number in sorted(set(ids)):
            if (each := self.get(connection, number)) is not None:
                model = identified(changed(each.model, of.of_patient(changes)), identity)
                self._rewrite(connection, each, model, identity)

    def _rewrite(self, connection: Connection, each: Step, model: Model, identity: str) -> None:
        if model != each.model or identity != each.identity:
            self.keep(connection, each.id, model, identity=identity)

    # --- writing

    def keep(self, connection: Connection, number: int, model: Model, **values: Any) -> None:
        """Give a step this content, and `values` to its further columns."""
        row = {**of.columns_of(model), "attributes": dumped(model), "changed_at": self.clock(), **values}
        connection.execute(update(step).where(step.c.id == number).values(**row))

    def keep_series(self, connection: Connection, number: int, model: Model) -> None:
        """The series that it made, in the place of those known so far."""
        connection.execute(delete(step_series).where(step_series.c.step == number))
        rows = [
            {"step": number, "series_uid": each.series_uid, "instances": len(each.sop_uids)}
            for each in of.performed(model)
        ]
        if rows:
            connection.execute(insert(step_series), rows)

    def keep_items(self, connection: Connection, number: int, model: Model, entries: Iterable[int | None]) -> None:
        """What it refers to, with the worklist items that these are. `entries` beyond the items are linked too."""
        connection.execute(delete(step_item).where(step_item.c.step == number))
        known, linked = of.scheduled(model), list(entries)
        blank = of.Scheduled("", "", "", "")
        pairs = [
            (known[n] if n < len(known) else blank, linked[n] if n < len(linked) else None)
            for n in range(max(len(known), len(linked)))
        ]
        if pairs:
            connection.execute(
                insert(step_item), [{"step": number, **each._asdict(), "entry": entry} for each, entry in pairs]
            )

    def _found(self, connection: Connection, wanted: ColumnElement[bool]) -> list[Step]:
        rows = connection.execute(select(*COLUMNS).where(and_(wanted)).order_by(step.c.id))
        return [step_of(row) for row in rows]
