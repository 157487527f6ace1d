"""MPPS as SCP: what an N-CREATE and an N-SET do (PS3.4 F.7.2).

Each is one transaction: the step, the message as received, the state of its worklist items, the change feed and what
is to be delivered. The caller answers after it.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from isocenter.config.settings import HostedAE
from isocenter.config.steps import ProcedureSteps
from isocenter.database import Database, changes
from isocenter.declarations.procedure_step import (
    EVENTS,
    FINAL,
    IN_PROGRESS,
    NO_LONGER,
    NOT_SETTABLE,
    STATES,
    Cause,
    status_of,
)
from isocenter.dicom import dataset
from isocenter.workflow.patients import joining, moved
from isocenter.workflow.patients.holders import of_items
from isocenter.workflow.steps import attributes as of
from isocenter.workflow.steps import checking
from isocenter.workflow.steps.attributes import Model
from isocenter.workflow.steps.checking import Fault, Received, StepRefused
from isocenter.workflow.steps.deliveries import CREATE, EVENT, SET, Deliveries
from isocenter.workflow.steps.linking import MATCHED, ORDERED, UNMATCHED, UNSCHEDULED, Linking, Links, coerced
from isocenter.workflow.steps.steps import KINDS, Step, Steps
from isocenter.workflow.steps.tables import step, step_message
from isocenter.workflow.worklist.attributes import identified, written
from isocenter.workflow.worklist.entries import Worklist

_CHARACTER_SET: Final = 0x00080005
_TRIES: Final = 4
_TAKEN_BACK: Final = ("40P01", "40001")
"""SQLSTATE of a deadlock, of a serialization failure."""


class Sender(NamedTuple):
    """Who reports."""

    calling: str
    address: str
    issuer: str = ""
    """Issuer of Patient ID where the step names none."""


class Done(NamedTuple):
    """A request that was carried out: the warning to answer with, if any, and the attributes it is about."""

    cause: Cause | None = None
    tags: tuple[int, ...] = ()


class Performing:
    """Carries out the requests for the steps of one database."""

    def __init__(self, database: Database, steps: Steps | None = None) -> None:
        self._database = database
        self.steps = steps or Steps(database)
        self._worklist = Worklist(database, self.steps.clock)
        self._linking = Linking(self._worklist)
        self._deliveries = Deliveries(database, self.steps.clock)

    # --- N-CREATE

    def create(self, ae: HostedAE, sender: Sender, sop_uid: str, received: Received) -> Done:
        """Keep a new step. Raises StepRefused."""
        return _undisturbed(lambda: self._create(ae, sender, sop_uid, received))

    def _create(self, ae: HostedAE, sender: Sender, sop_uid: str, received: Received) -> Done:
        state, faults = _began(received, ae.mpps)
        done = _judged(faults, ae.mpps)
        with self._database.writing() as connection:
            known = self.steps.of_uid(connection, sop_uid, lock=True)
            if known is None:
                number = self._insert(connection, ae, sender, sop_uid, state, received)
                if number is not None:
                    self._begin(connection, ae, sender, number, sop_uid, state, received, faults)
                    return done
                known = self.steps.of_uid(connection, sop_uid, lock=True)
                assert known is not None, "somebody else has just made it"
            if ae.mpps.known == "supplement":
                self._supplement(connection, ae, sender, known, received)
                return done
            self._note_refused(connection, ae, sender, known, CREATE, received, Cause.DUPLICATE)
        raise StepRefused(Cause.DUPLICATE, "a step with this SOP Instance UID exists")

    def _insert(
        self, connection: Connection, ae: HostedAE, sender: Sender, sop_uid: str, state: str, received: Received
    ) -> int | None:
        """The row, still without content; None where somebody else has just made it."""
        at = self.steps.clock()
        dialect = sqlite if self._database.dialect == "sqlite" else postgresql
        row = {"sop_uid": sop_uid, "state": state, "ae": ae.title, "calling": sender.calling, "address": sender.address}
        making = dialect.insert(step).values(**row, character_set=received.character_set, created_at=at, changed_at=at)
        return connection.execute(making.on_conflict_do_nothing().returning(step.c.id)).scalar()

    def _begin(
        self,
        connection: Connection,
        ae: HostedAE,
        sender: Sender,
        number: int,
        sop_uid: str,
        state: str,
        received: Received,
        faults: Sequence[Fault],
    ) -> None:
        model = {**received.model, **written(of.STATUS, state)}
        wanted = ae.mpps.at(of.text(model, of.STATION))
        named = of.identity_of(model, sender.issuer)
        identity = moved.whose(connection, named, of_items(of.scheduled(model))).identity
        if identity != named:  # the number was merged away, or the order moved; what is passed on does not follow
            model = identified(model, identity)
            joining.join(connection, "steps", number, named, of_items(of.scheduled(model)), *[of.of_patient(model)] * 2)
        links = self._linked(connection, sop_uid, model, identity, wanted)
        if links.found and links.matching in (MATCHED, ORDERED):
            identity = links.found[0].identity
        data = received.data
        if ae.mpps.coercion:
            model, tags = coerced(model, links.entries)
            data = _with(received, model, tags)
        kept = {"identity": identity, "matching": links.matching, "comment": links.comment}
        self.steps.keep(connection, number, model, **kept, faults=checking.dumped(faults))
        self.steps.keep_items(connection, number, model, [entry.id if entry else None for entry in links.entries])
        self.steps.keep_series(connection, number, model)
        self._record(connection, number, sender, CREATE, received)
        if wanted.study_uid == "take":
            self._linking.take_studies(connection, links, of.scheduled(model))
        self._linking.tell(connection, links.found, state, wanted)
        self._tell(connection, sop_uid, state, of.scheduled(model), new=True)
        self._forward(connection, ae, number, sop_uid, CREATE, received._replace(data=data))
        self._notify(connection, ae, number, sop_uid, state)

    def _linked(
        self, connection: Connection, sop_uid: str, model: Model, identity: str, wanted: ProcedureSteps
    ) -> Links:
        links = self._linking.links(connection, model, identity)
        if links.matching == UNSCHEDULED:
            entry = self._linking.ordered(connection, sop_uid, model, wanted)
            return links if entry is None else Links(ORDERED, (entry, *links.entries[1:]))
        if links.matching == UNMATCHED and wanted.unmatched == "accept":
            return links._replace(matching="accepted")
        return links

    def _supplement(
        self, connection: Connection, ae: HostedAE, sender: Sender, known: Step, received: Received
    ) -> None:
        """What the step lacks is taken from the message (M-MPPS-03)."""
        empty = {tag for tag, attribute in known.model.items() if not attribute.get("Value")}
        more = {tag: attribute for tag, attribute in received.model.items() if tag not in known.model or tag in empty}
        model = {**known.model, **more}
        identity = known.identity or of.identity_of(model, sender.issuer)
        self.steps.keep(connection, known.id, model, identity=identity)
        self.steps.keep_series(connection, known.id, model)
        if of.ITEMS in more:
            links = self._linking.links(connection, model, identity)
            self.steps.keep_items(connection, known.id, model, [each.id if each else None for each in links.entries])
        self._record(connection, known.id, sender, CREATE, received)
        self._forward(connection, ae, known.id, known.sop_uid, CREATE, received)

    # --- N-SET

    def set(self, ae: HostedAE, sender: Sender, sop_uid: str, received: Received) -> Done:
        """Change a step that is in progress. Raises StepRefused."""
        return _undisturbed(lambda: self._set(ae, sender, sop_uid, received))

    def _set(self, ae: HostedAE, sender: Sender, sop_uid: str, received: Received) -> Done:
        with self._database.writing() as connection:
            known = self.steps.of_uid(connection, sop_uid, lock=True)
            if known is None:
                raise StepRefused(Cause.NO_SUCH_INSTANCE, "no step has this SOP Instance UID")
            if known.state not in FINAL:
                return self._change(connection, ae, sender, known, received)
            self._note_refused(connection, ae, sender, known, SET, received, Cause.FINAL_STATE)
        raise StepRefused(Cause.FINAL_STATE, NO_LONGER)

    def _change(self, connection: Connection, ae: HostedAE, sender: Sender, known: Step, received: Received) -> Done:
        barred = checking.not_settable(received.model)
        taken = {tag: attribute for tag, attribute in received.model.items() if int(tag, 16) not in NOT_SETTABLE}
        state = _told(received.model) or known.state
        model = {**known.model, **taken, **written(of.STATUS, state)}
        faults = [*checking.lacking(taken, "set"), *barred, *checking.out_of_range(received)]
        if state in FINAL:
            faults += checking.lacking(model, "final")
        done = _judged(faults, ae.mpps)
        told = checking.dumped(faults, known.faults)
        self.steps.keep(connection, known.id, model, state=state, faults=told)
        if of.SERIES in taken:
            self.steps.keep_series(connection, known.id, model)
        self._record(connection, known.id, sender, SET, received)
        if state != known.state:
            entries = self._worklist.of_ids(connection, self.steps.entries_of(connection, known.id))
            self._linking.tell(connection, entries, state, ae.mpps.at(known.station))
            self._tell(connection, known.sop_uid, state, of.scheduled(model))
        self._forward(connection, ae, known.id, known.sop_uid, SET, received)
        self._notify(connection, ae, known.id, known.sop_uid, state if state != known.state else "UPDATED")
        return done

    # --- what both leave behind

    def _record(
        self,
        connection: Connection,
        number: int,
        sender: Sender,
        operation: str,
        received: Received,
        status: int = 0,
    ) -> None:
        row = {"step": number, "operation": operation, "status": status, "syntax": received.syntax}
        whence = {"calling": sender.calling, "address": sender.address, "at": self.steps.clock()}
        connection.execute(insert(step_message).values(**row, **whence, data=received.data))

    def _note_refused(
        self,
        connection: Connection,
        ae: HostedAE,
        sender: Sender,
        known: Step,
        operation: str,
        received: Received,
        cause: Cause,
    ) -> None:
        """A refused message leaves a trace, and is passed on where that is wanted (I-GAP-13)."""
        self._record(connection, known.id, sender, operation, received, status_of(cause, ae.preset))
        if ae.mpps.forward_refused:
            self._forward(connection, ae, known.id, known.sop_uid, operation, received)

    def _tell(
        self, connection: Connection, sop_uid: str, state: str, items: Sequence[of.Scheduled], *, new: bool = False
    ) -> None:
        studies = list(dict.fromkeys(each.study_uid for each in items)) or [""]
        kinds = dict.fromkeys([*([KINDS[IN_PROGRESS]] if new else []), KINDS[state]])
        for kind in kinds:
            for study_uid in studies:
                changes.append(connection, kind, self.steps.clock(), study_uid=study_uid, sop_uid=sop_uid)

    def _forward(
        self, connection: Connection, ae: HostedAE, number: int, sop_uid: str, operation: str, received: Received
    ) -> None:
        message = {"sop_uid": sop_uid, "syntax": received.syntax, "data": received.data}
        self._deliveries.add(connection, number, ae.title, ae.mpps.forward, operation, **message)

    def _notify(self, connection: Connection, ae: HostedAE, number: int, sop_uid: str, event: str) -> None:
        told = {"event": EVENTS[event].number, "sop_uid": sop_uid}
        self._deliveries.add(connection, number, ae.title, ae.mpps.notify, EVENT, **told)


def _undisturbed(work: Callable[[], Done]) -> Done:
    """Do it again where PostgreSQL took it back for another transaction's sake, such as an HL7 message about the same
    patient: a modality shall not hear of that."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            return work()
        except DBAPIError as fault:
            if not left or getattr(fault.orig, "sqlstate", "") not in _TAKEN_BACK:
                raise
    raise AssertionError("the last try returns or raises")


def _began(received: Received, wanted: ProcedureSteps) -> tuple[str, list[Fault]]:
    """The state that a step begins in, and what is amiss in its N-CREATE."""
    faults = [*checking.lacking(received.model, "create"), *checking.out_of_range(received)]
    state = _told(received.model) or IN_PROGRESS
    if state != IN_PROGRESS:
        if wanted.checks == "refuse":
            raise StepRefused(Cause.INVALID_VALUE, "a step begins IN PROGRESS", (int(of.STATUS, 16),))
        faults.append(Fault(Cause.INVALID_VALUE, (int(of.STATUS, 16),)))
        faults += checking.lacking(received.model, "final")
    return state, faults


def _told(model: Model) -> str:
    """The status that a message gives, '' for none. Raises StepRefused for one that no step has."""
    told = of.status(model)
    if told and told not in STATES:
        raise StepRefused(Cause.INVALID_VALUE, "no status of a performed procedure step", (int(of.STATUS, 16),))
    return told


def _judged(faults: Sequence[Fault], wanted: ProcedureSteps) -> Done:
    """What is to be answered about faults: nothing, a warning, or StepRefused."""
    if wanted.checks == "flag":
        return Done()
    for cause in (Cause.MISSING, Cause.MISSING_VALUE):
        lacking = [fault for fault in faults if fault.cause is cause]
        if lacking:
            raise StepRefused(cause, lacking[0].name, _tags(lacking))
    for cause in (Cause.NOT_SETTABLE, Cause.OUT_OF_RANGE):
        odd = [fault for fault in faults if fault.cause is cause]
        if odd:
            return Done(cause, _tags(odd))
    return Done()


def _tags(faults: Sequence[Fault]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(fault.path[0] for fault in faults))


def _with(received: Received, model: Model, tags: frozenset[int]) -> bytes:
    """The message as it is passed on: as received, but for the attributes that were coerced."""
    if not tags:
        return received.data
    coerced_ones = of.data_set(model, received.character_set, tags)
    if coerced_ones.pop(_CHARACTER_SET, None) and not of.fits_in(model, received.character_set, tags):
        return dataset.encode(of.data_set(model, of.UTF_8), received.syntax)
    return dataset.encode({**received.data_set, **coerced_ones}, received.syntax)
