"""The worklist: one entry for each scheduled procedure step, what it is made of and what becomes of it.

Every writing method takes the connection of an open `Database.writing()`, so that a message or a request is one
transaction, and appends a row to the change feed: `scheduled` for an entry that is new or changed, `unscheduled` for
one that was cancelled or taken out. An order is known by its `order_key`, which is the caller's own.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database import Database, changes
from isocenter.database.prepared import Prepared
from isocenter.dicom.folding import fold
from isocenter.dicom.uids import MODALITY_WORKLIST_FIND, new_uid
from isocenter.errors import Reason, Refused
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.rows import COLUMNS, Entry, entry_of
from isocenter.workflow.worklist.searching import Query, search
from isocenter.workflow.worklist.states import OVER, State, state_named
from isocenter.workflow.worklist.tables import worklist_item as item
from isocenter.workflow.worklist.tables import worklist_station as station

SCHEDULED, UNSCHEDULED = "scheduled", "unscheduled"
"""Kinds of change (`database.changes`)."""
_BINDS: Final = 500
_DIGITS: Final = 11
_IDENTITY: Final = frozenset({of.PATIENT_ID, of.ISSUER, of.STEPS})
# made once: messages put entries by the hundred a second
_ORDER: Final = select(*COLUMNS).where(item.c.order_key == bindparam("named")).order_by(item.c.id)
_OF_ORDER, _OF_ORDER_LOCKED = Prepared(_ORDER), Prepared(_ORDER.with_for_update())
_ALONE: Final = Prepared(text("SELECT pg_advisory_xact_lock(hashtextextended(:named, 0))"))
_PATIENT: Final = select(*COLUMNS).where(item.c.identity == bindparam("named")).order_by(item.c.id)
_OF_PATIENT, _OF_PATIENT_LOCKED = Prepared(_PATIENT), Prepared(_PATIENT.with_for_update())
_WRITTEN: Final = (
    *("step_id", "identity", "patient_fold", "name_fold", "name_ideographic_fold", "name_phonetic_fold", "accession"),
    *("study_uid", "procedure_id", "modality", "start_date", "start_time", "state", "attributes", "changed_at"),
)
_INSERT: Final = {
    name: Prepared(
        made(item).on_conflict_do_nothing(index_elements=["order_key", "step_id"]).returning(item.c.id),
        *(*_WRITTEN, "uid", "order_key", "created_at", "source"),
    )
    for name, made in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}
_INSERT_STATIONS: Final = Prepared(insert(station).inline(), "item", "station", "start_date")
_UPDATE: Final = Prepared(update(item).where(item.c.id == bindparam("named")), *_WRITTEN)


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Worklist:
    """The entries of one installation. What is not found is no error."""

    def __init__(self, database: Database, clock: Callable[[], int] = now) -> None:
        self.database = database
        self._clock = clock

    def put(
        self,
        connection: Connection,
        order_key: str,
        model: Model,
        *,
        state: State | None = None,
        source: str = "",
        known: Sequence[Entry] | None = None,
    ) -> Entry:
        """Make an entry of `model`, or put it in the place of the one of the same order and step.

        `model` is whole and has one item in Scheduled Procedure Step Sequence. Study Instance UID, Requested Procedure
        ID and Scheduled Procedure Step ID are given where they are absent, the same ones again for the same order. The
        state stays if `state` is None; a new one is as the model says, else SCHEDULED. `known`: the entries of the
        order that stand as they were read, locked, in this transaction. Raises Refused(BAD_REQUEST).
        """
        of.check(model)
        named = of.text(of.step_of(model), of.STEP_ID)
        given = bool(named and of.text(model, of.PROCEDURE) and of.text(model, of.STUDY))
        siblings = known if known is not None and given else self._siblings(connection, order_key, named, given=given)
        former = _meant(siblings, named)
        step_id = former.step_id if former is not None else named or f"S{_number()}"
        becomes = state or (former.state if former else _told(model))
        uid = former.uid if former is not None else new_uid()
        whole = {**_whole(model, step_id, becomes, former, siblings), **_instance(uid)}
        if former is None:
            made = self._insert(connection, (order_key, uid), whole, becomes, source)
            # where another was faster it is there now
            return made or self.put(connection, order_key, model, state=state, source=source)
        if former.model == whole and former.state is becomes:
            return former
        return self._update(connection, former, whole, becomes)

    def _siblings(self, connection: Connection, order_key: str, named: str, *, given: bool) -> list[Entry]:
        """The entries of an order, of which a step is to be put. Two may make steps of one order at once, and where not
        all identifiers are `given` the second one has to wait, for a row of the order or, where there is none, for its
        number, to find what the first one gave."""
        found = self.of_order(connection, order_key, locked=True)
        if given or connection.dialect.name != "postgresql" or _meant(found, named) is not None:
            return found
        if not found:
            _ALONE.rows(connection, named=order_key)
        return self.of_order(connection, order_key, locked=True)

    def of_order(self, connection: Connection, order_key: str, *, locked: bool = False) -> list[Entry]:
        """The entries of an order, in the order in which they were made; `locked` until the transaction ends."""
        wanted = _OF_ORDER_LOCKED if locked else _OF_ORDER
        return [entry_of(row) for row in wanted.rows(connection, named=order_key)]

    def of_study(self, connection: Connection, study_uid: str) -> list[Entry]:
        """Those of a study."""
        return _entries(connection, item.c.study_uid == study_uid) if study_uid else []

    def of_patient(self, connection: Connection, identity: str, *, locked: bool = False) -> list[Entry]:
        """Those of a patient: issuer, backslash, id; `locked` until the transaction ends."""
        wanted = _OF_PATIENT_LOCKED if locked else _OF_PATIENT
        return [entry_of(row) for row in wanted.rows(connection, named=identity)]

    def of_ids(self, connection: Connection, ids: Iterable[int], *, locked: bool = False) -> list[Entry]:
        """Those with these ids; `locked` until the transaction ends."""
        wanted = sorted(set(ids))
        pages = (wanted[start : start + _BINDS] for start in range(0, len(wanted), _BINDS))
        return [entry for page in pages for entry in _entries(connection, item.c.id.in_(page), locked=locked)]

    def of_uid(self, connection: Connection, uid: str) -> Entry | None:
        """The one with this UID."""
        return next(iter(_entries(connection, item.c.uid == uid)), None)

    def referenced(
        self,
        connection: Connection,
        *,
        accession: str = "",
        requested_procedure_id: str = "",
        step_id: str = "",
        study_uid: str = "",
        patient_id: str = "",
    ) -> list[Entry]:
        """What a procedure step or an object refers to: the entries to which all that is given applies; none where
        nothing is given."""
        given = (
            *((item.c.accession, accession), (item.c.procedure_id, requested_procedure_id)),
            *((item.c.step_id, step_id), (item.c.study_uid, study_uid), (item.c.patient_fold, fold(patient_id))),
        )
        conditions = [column == of.plain(value) for column, value in given if value.strip()]
        found = _entries(connection, *conditions) if conditions else []
        return [one for one in found if not patient_id or of.text(one.model, of.PATIENT_ID) == patient_id.strip()]

    def matching(self, query: Query) -> Iterator[list[Entry]]:
        """What a query finds, in pages, by start; no connection is held between them. Raises
        Refused(IDENTIFIER_MISMATCH) at once for values that can't be read."""
        pages = search(self.database, query)
        return ([entry_of(row) for row in page] for page in pages)

    def set_state(self, connection: Connection, ids: Iterable[int], state: State) -> None:
        """Bring entries into a state."""
        for entry in self.of_ids(connection, ids, locked=True):
            if entry.state is not state:
                self._update(connection, entry, _whole(entry.model, entry.step_id, state, entry), state)

    def remove(self, connection: Connection, ids: Iterable[int]) -> None:
        """Take entries out for good."""
        for entry in self.of_ids(connection, ids, locked=True):
            connection.execute(delete(station).where(station.c.item == entry.id))
            connection.execute(delete(item).where(item.c.id == entry.id))
            if entry.state not in OVER:
                self._tell(connection, UNSCHEDULED, entry.study_uid)

    def update_patient(self, connection: Connection, identity: str, changes: Mapping[str, Any]) -> int:
        """Change what the entries of a patient say of him, or of his visit: attributes by tag, None to take one out.
        What identifies him stays. Returns how many entries there are."""
        wanted = {tag: attribute for tag, attribute in changes.items() if tag not in _IDENTITY}
        found = self.of_patient(connection, identity, locked=True)
        for entry in found:
            self._change(connection, entry, of.changed(entry.model, wanted))
        return len(found)

    def merge_patients(
        self, connection: Connection, prior: str, identity: str, changes: Mapping[str, Any]
    ) -> list[int]:
        """Give all entries of the patient `prior` to the patient `identity`, with `changes` to what they say of him.
        Returns their ids, for `give` to undo it."""
        ids = [entry.id for entry in self.of_patient(connection, prior)]
        self.give(connection, ids, identity, changes)
        return ids

    def give(self, connection: Connection, ids: Iterable[int], identity: str, changes: Mapping[str, Any]) -> None:
        """Give these entries to the patient `identity`, with `changes` to what they say of him."""
        for entry in self.of_ids(connection, ids, locked=True):
            self.give_entry(connection, entry, identity, changes)

    def give_entry(self, connection: Connection, entry: Entry, identity: str, changes: Mapping[str, Any]) -> None:
        """The same with an entry that was read, locked, in this transaction and not changed since."""
        wanted = {tag: attribute for tag, attribute in changes.items() if tag not in _IDENTITY}
        self._change(connection, entry, of.identified(of.changed(entry.model, wanted), identity))

    def _change(self, connection: Connection, entry: Entry, model: Model) -> None:
        if model != entry.model:
            of.check({tag: new for tag, new in model.items() if new is not entry.model.get(tag)})
            self._update(connection, entry, model, entry.state)

    def _insert(
        self, connection: Connection, names: tuple[str, str], model: Model, state: State, source: str
    ) -> Entry | None:
        """A new entry; None where there is one of this order and step."""
        at, (order_key, uid) = self._clock(), names
        columns = of.columns_of(model)
        row = {**columns, "uid": uid, "order_key": order_key, "state": state.value, "attributes": _dumped(model)}
        times = {"created_at": at, "changed_at": at, "source": source}
        found = _INSERT[connection.dialect.name].first(connection, **row, **times)
        if found is None:
            return None
        made = int(found[0])
        self._stations(connection, made, model, columns["start_date"])
        self._tell(connection, UNSCHEDULED if state is State.CANCELLED else SCHEDULED, columns["study_uid"])
        known = (columns["step_id"], columns["study_uid"], columns["identity"])
        return Entry(made, uid, order_key, *known, state, model, at)

    def _update(self, connection: Connection, entry: Entry, model: Model, state: State) -> Entry:
        at, columns = self._clock(), of.columns_of(model)
        values = {**columns, "state": state.value, "attributes": _dumped(model), "changed_at": at}
        _UPDATE.run(connection, [{**values, "named": entry.id}])
        if _places(model) != _places(entry.model):
            connection.execute(delete(station).where(station.c.item == entry.id))
            self._stations(connection, entry.id, model, columns["start_date"])
        if columns["study_uid"] != entry.study_uid:
            self._tell(connection, UNSCHEDULED, entry.study_uid)
        self._tell(connection, UNSCHEDULED if state is State.CANCELLED else SCHEDULED, columns["study_uid"])
        changed = entry._replace(study_uid=columns["study_uid"], identity=columns["identity"])
        return changed._replace(state=state, model=model, changed_at=at)

    def _stations(self, connection: Connection, owner: int, model: Model, start_date: str) -> None:
        rows = [{"item": owner, "station": title, "start_date": start_date} for title in of.stations_of(model)]
        if rows:
            _INSERT_STATIONS.run(connection, rows)

    def _tell(self, connection: Connection, kind: str, study_uid: str) -> None:
        changes.append(connection, kind, self._clock(), study_uid=study_uid)


def _entries(connection: Connection, *conditions: ColumnElement[bool], locked: bool = False) -> list[Entry]:
    query = select(*COLUMNS).where(*conditions).order_by(item.c.id)
    return [entry_of(row) for row in connection.execute(query.with_for_update() if locked else query)]


def _places(model: Model) -> tuple[list[str], str]:
    return of.stations_of(model), of.text(of.step_of(model), of.START_DATE)


def _meant(entries: Sequence[Entry], step_id: str) -> Entry | None:
    """The entry of a step; where none is named, the only one that the order has."""
    if not step_id:
        return entries[0] if len(entries) == 1 else None
    return next((one for one in entries if one.step_id == step_id), None)


def _told(model: Model) -> State:
    return state_named(of.text(of.step_of(model), of.STATUS)) or State.SCHEDULED


def _whole(model: Model, step_id: str, state: State, former: Entry | None, siblings: Sequence[Entry] = ()) -> Model:
    """`model` with what every answer has to hold; identifiers once given stay."""
    step = {**of.step_of(model), **of.written(of.STEP_ID, step_id), **of.written(of.STATUS, state.value)}
    whole = {**model, of.STEPS: {"vr": "SQ", "Value": [step]}}
    kin = [former] if former is not None else list(siblings)
    if not of.text(model, of.PROCEDURE):
        known = _procedure(kin[0]) if kin else of.text(model, of.ACCESSION)
        whole.update(of.written(of.PROCEDURE, known or f"P{_number()}"))
    if not of.text(model, of.STUDY):
        wanted = of.text(whole, of.PROCEDURE)
        studies = [one.study_uid for one in kin if one is former or _procedure(one) == wanted]
        whole.update(of.written(of.STUDY, studies[0] if studies else new_uid()))
    return whole


def _instance(uid: str) -> Model:
    """The unique key of I-WLM-05."""
    return {**of.written(of.SOP_CLASS, MODALITY_WORKLIST_FIND), **of.written(of.SOP_INSTANCE, uid)}


def _procedure(entry: Entry) -> str:
    return of.text(entry.model, of.PROCEDURE)


def _number() -> str:
    """Digits that nothing else has, for an identifier of at most 16 characters."""
    return str(secrets.randbelow(10**_DIGITS)).zfill(_DIGITS)


def _dumped(model: Model) -> str:
    try:
        return msgspec.json.encode(model, order="sorted").decode()
    except (UnicodeEncodeError, TypeError) as fault:
        raise Refused(Reason.BAD_REQUEST, "a value that no text can hold") from fault
