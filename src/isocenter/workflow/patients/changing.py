"""What a message does to the tables of the workflow: the register, the worklist, the procedure steps.

Each change that concerns more than the register is a `patient_event`, with all that takes it back. The archived studies
are changed before (`handling`), by edits that bear the event's actor and reason.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert

from isocenter.database.changes import append
from isocenter.database.prepared import Prepared
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.index.level_models import dumped
from isocenter.index.tables import audit
from isocenter.workflow.patients import archived, holders, registered
from isocenter.workflow.patients.attributes import (
    ADMISSION_ID,
    Changes,
    of_patient,
    of_visit,
    supplemented,
    values,
)
from isocenter.workflow.patients.events import CANCELLED, Does, Event, Of
from isocenter.workflow.patients.following import Pair, pair_of
from isocenter.workflow.patients.holders import Before, Holder
from isocenter.workflow.patients.looking import Looked
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.patients.registered import Register, Registered, Visit
from isocenter.workflow.patients.tables import patient_event
from isocenter.workflow.patients.told import Told
from isocenter.workflow.worklist.attributes import written

REASSIGNED: Final = "reassigned"
"""Kind of change (`database.changes`): patients were merged, orders moved, or that was taken back."""
# made once: messages note events by the hundred a second
_EVENT: Final = Prepared(
    insert(patient_event).returning(patient_event.c.id),
    *("feed", "control_id", "event", "actor", "reason", "identity", "prior", "kind", "at", "undo"),
)
_AUDIT: Final = Prepared(insert(audit).inline(), "event", "actor", "detail", "at")


class Cause(NamedTuple):
    """Where a change comes from."""

    feed: str
    control_id: str
    event: str
    """As in MSH-9: `ADT^A40`."""
    actor: str
    reason: str
    """Of the edits that belong to it; no other message has the same."""


class _Done:
    """What one patient's part of a message has changed."""

    def __init__(self, kind: str, identity: str, prior: str = "") -> None:
        self.kind, self.identity, self.prior = kind, identity, prior
        self.held: dict[str, Before] = {}
        self.orders = Orders()
        """Those that it took from one patient to another."""

    def add(self, name: str, before: Before) -> None:
        if before:
            self.held.setdefault(name, []).extend(before)


class Changing:
    """Carries out what messages tell, each in the transaction of its caller."""

    def __init__(self, register: Register, holding: Sequence[Holder], clock: Callable[[], int]) -> None:
        self._register, self._holders, self._clock = register, holding, clock

    def check(self, connection: Connection, event: Event, told: Told) -> None:
        """Raises MessageError for what can't be done. Nothing has been written yet."""
        if event.does in (Does.MERGE, Does.MOVE):
            if told.prior == told.identity and event.does is Does.MOVE:
                raise MessageError(
                    Condition.DUPLICATE_KEY, "the prior patient is the patient himself", Location("MRG", 1, 1)
                )
            pair_of(connection, told)
        elif event.does is Does.DELETE:
            self._check_delete(connection, told.identity)

    def _check_delete(self, connection: Connection, identity: str) -> None:
        place = Location("PID", 1, 3)
        if registered.current(connection, identity) != identity:
            raise MessageError(Condition.RECORD_LOCKED, "the patient was merged into another one", place)
        if archived.studies_of(connection, identity) or archived.follower_of(connection, identity):
            raise MessageError(Condition.RECORD_LOCKED, "the archive holds studies of this patient", place)
        for holder in self._holders:
            if any(holder.is_open(one) for one in holder.keeper.of_patient(connection, identity)):
                raise MessageError(Condition.RECORD_LOCKED, f"the {holder.name} names this patient", place)

    def apply(
        self, connection: Connection, event: Event, told: Told, cause: Cause, looked: Looked | None = None
    ) -> None:
        """Do what one patient's part of a message tells. `looked`: who is meant, where that was looked up in this
        transaction already. Raises MessageError as `check` does."""
        self.check(connection, event, told)
        if event.does is Does.UPDATE:
            self._apply_update(connection, event, told, cause, looked or Looked(connection))
            return
        concerned = self._concerned(connection, event, told)
        before = self._register.saved(connection, concerned)
        done = _DOING[event.does](self, connection, event, told, cause)
        after = self._register.saved(connection, concerned)
        if done.held or before != after:
            told_of = done.orders.told() if event.does is Does.MOVE else {}
            self._note(connection, done, cause, {"before": before, "after": after, "held": done.held, **told_of})

    def _concerned(self, connection: Connection, event: Event, told: Told) -> list[str]:
        if event.does is Does.DELETE:
            return [told.identity]
        if event.does in (Does.MERGE, Does.MOVE) and told.prior != told.identity:
            pair = pair_of(connection, told)
            return [pair.prior, pair.identity]
        if told.prior and told.prior != told.identity:
            return [told.identity, told.prior]
        return [registered.current_for_message(connection, told.identity)]

    def _apply_update(self, connection: Connection, event: Event, told: Told, cause: Cause, looked: Looked) -> None:
        """`apply` of the event that is by far the most frequent, with as few statements as it takes."""
        identity = looked.current(told.identity)
        held = self._held(connection, identity)
        if not any(held.values()) and not looked.is_archived(identity):
            # but the register nobody knows the patient: most patients of a hospital are never imaged
            self._visit(connection, self._register.put(connection, identity, told.patient, cause.feed).id, event, told)
            return
        before = self._register.saved(connection, [identity])
        person, done = self._updated(connection, event, told, cause, identity, held)
        after = self._register.saved_again(connection, person, before)
        if done.held or before != after:
            self._note(connection, done, cause, {"before": before, "after": after, "held": done.held})

    def _held(self, connection: Connection, identity: str) -> dict[Holder, Sequence[Any]]:
        return {holder: holder.keeper.of_patient(connection, identity, locked=True) for holder in self._holders}

    def _note(self, connection: Connection, done: _Done, cause: Cause, undo: Mapping[str, Any]) -> None:
        at = self._clock()
        who = {"identity": done.identity, "prior": done.prior}
        row = {**cause._asdict(), **who, "kind": done.kind, "at": at, "undo": dumped(undo)}
        number = int(_EVENT.first(connection, **row)[0])
        counted = {name: len(before) for name, before in done.held.items()}
        detail = dumped({"number": number, "reason": cause.reason, **who, **counted})
        named = {"event": f"patient.{done.kind}", "actor": cause.actor, "detail": detail, "at": at}
        _AUDIT.run(connection, [named])
        if done.kind in (Does.MERGE, Does.MOVE):
            append(connection, REASSIGNED, at)

    # --- one kind after another

    def _update(self, connection: Connection, event: Event, told: Told, cause: Cause) -> _Done:
        identity = registered.current_for_message(connection, told.identity)
        return self._updated(connection, event, told, cause, identity, self._held(connection, identity))[1]

    def _updated(
        self,
        connection: Connection,
        event: Event,
        told: Told,
        cause: Cause,
        identity: str,
        held: Mapping[Holder, Sequence[Any]],
    ) -> tuple[Registered, _Done]:
        """The patient as registered, and what became of what is `held` of him. `identity`: his by now."""
        person = self._register.put(connection, identity, told.patient, cause.feed)
        visit, gone = self._visit(connection, person.id, event, told)
        done = _Done(event.does, identity)
        for holder, listed in held.items():
            for one in listed:
                of_its = _visit_of(holder, one, told.visit_id, visit, gone=gone)
                done.add(holder.name, holders.give(connection, holder, [one], identity, {**told.patient, **of_its}))
        return person, done

    def _visit(self, connection: Connection, person: int, event: Event, told: Told) -> tuple[Changes, bool]:
        """Register what is told of the visit. What its entries are to say, and whether it is none any more."""
        if event.does is Does.FORGET_VISIT:
            self._register.drop_visit(connection, person, told.visit_id)
            return {}, bool(told.visit_id)
        if not (told.visit_id or told.visit or event.visit):
            return {}, False
        named = {ADMISSION_ID: written(ADMISSION_ID, told.visit_id)[ADMISSION_ID]} if told.visit_id else {}
        changes = {**named, **told.visit}
        self._register.put_visit(connection, person, Visit(told.visit_id, told.account, event.visit, {}), changes)
        return changes, event.visit == CANCELLED and bool(told.visit_id)

    def _merge(self, connection: Connection, event: Event, told: Told, cause: Cause) -> _Done:
        if told.prior == told.identity:
            return self._update(connection, Event(Does.UPDATE), told, cause)
        pair = pair_of(connection, told)
        done = _Done(event.does, pair.identity, pair.prior)
        known = known_of(connection, pair)
        self._register.put(connection, pair.identity, {**known, **told.patient}, cause.feed)
        if not pair.done:
            self._register.merge(connection, pair.prior, pair.identity, cause.feed)
            self._give_all(connection, pair, {**known, **told.patient}, done)
        for holder in self._holders:
            held = holder.keeper.of_patient(connection, pair.identity, locked=True)
            done.add(holder.name, holders.give(connection, holder, held, pair.identity, told.patient))
        if told.prior_account and told.account:
            self._renumber_account(connection, pair.identity, told)
        return done

    def _give_all(self, connection: Connection, pair: Pair, changes: Changes, done: _Done) -> None:
        for holder in self._holders:
            held = holder.keeper.of_patient(connection, pair.prior, locked=True)
            done.add(holder.name, holders.give(connection, holder, held, pair.identity, changes))

    def _renumber(self, connection: Connection, event: Event, told: Told, cause: Cause) -> _Done:
        identity = registered.current_for_message(connection, told.identity)
        done = _Done(event.does, identity)
        prior, number = told.number(event.of)
        person = self._register.put(connection, identity, told.patient, cause.feed)
        if event.of is Of.ACCOUNT:
            self._renumber_account(connection, identity, told)
        else:
            self._renumber_visit(connection, person.id, person.id, prior, told)
        changes = {**told.visit, ADMISSION_ID: written(ADMISSION_ID, number)[ADMISSION_ID]}
        for holder in self._holders:
            held = holder.keeper.of_patient(connection, identity, locked=True)
            done.add(holder.name, holders.give(connection, holder, held, identity, told.patient))
            again = holders.of_visit(holder.keeper.of_patient(connection, identity), prior)
            done.add(holder.name, holders.give(connection, holder, again, identity, changes))
        return done

    def _renumber_account(self, connection: Connection, identity: str, told: Told) -> None:
        person = registered.of(connection, identity, locked=True)
        for visit in registered.visits(connection, person.id) if person is not None else ():
            if person is not None and visit.account == told.prior_account:
                renumbered = Visit(visit.visit_id, told.account, "", {})
                self._register.put_visit(connection, person.id, renumbered, {})

    def _renumber_visit(self, connection: Connection, origin: int, person: int, prior: str, told: Told) -> None:
        """The registered visit of number `prior` goes to `person`, by the number that is told."""
        former = next((each for each in registered.visits(connection, origin) if each.visit_id == prior), None)
        if former is not None:
            self._register.drop_visit(connection, origin, prior)
        number = told.visit_id or prior
        changes = {**(former.model if former else {}), **written(ADMISSION_ID, number), **told.visit}
        account, state = told.account or (former.account if former else ""), former.state if former else ""
        self._register.put_visit(connection, person, Visit(number, account, state, {}), changes)

    def _move(self, connection: Connection, event: Event, told: Told, cause: Cause) -> _Done:
        pair = pair_of(connection, told)
        done = _Done(event.does, pair.identity, pair.prior)
        known = known_of(connection, pair, alone=True)
        person = self._register.put(connection, pair.identity, {**known, **told.patient}, cause.feed)
        origin = self._register.put(connection, pair.prior, {}, cause.feed)
        prior, number = told.number(event.of)
        for holder in self._holders:
            held = moving(connection, holder, event, told, pair, locked=True)
            for one in held:
                done.orders = done.orders.with_those(holder.orders(one))
            named = {**of_patient(person.model), **told.visit}
            done.add(holder.name, holders.give(connection, holder, held, pair.identity, named))
            renumbered = holders.of_visit(holder.keeper.of_patient(connection, pair.identity, locked=True), prior)
            done.add(
                holder.name,
                holders.give(connection, holder, renumbered, pair.identity, written(ADMISSION_ID, number or prior)),
            )
        for visit in _visits_of(connection, origin.id, event.of, prior or number):
            kept = told._replace(visit_id=told.visit_id or visit.visit_id, account=told.account or visit.account)
            self._renumber_visit(connection, origin.id, person.id, visit.visit_id, kept)
        return done

    def _delete(self, connection: Connection, event: Event, told: Told, _: Cause) -> _Done:
        self._register.delete(connection, told.identity)
        return _Done(event.does, told.identity)

    def _link(self, connection: Connection, event: Event, told: Told, cause: Cause) -> _Done:
        for each in (told.identity, told.prior):
            self._register.put(connection, each, {}, cause.feed)
        change = self._register.link if event.does is Does.LINK else self._register.unlink
        change(connection, told.identity, told.prior)
        return _Done(event.does, told.identity, told.prior)


_DOING: Mapping[Does, Callable[[Changing, Connection, Event, Told, Cause], _Done]] = {
    Does.UPDATE: Changing._update,
    Does.FORGET_VISIT: Changing._update,
    Does.MERGE: Changing._merge,
    Does.RENUMBER: Changing._renumber,
    Does.MOVE: Changing._move,
    Does.DELETE: Changing._delete,
    Does.LINK: Changing._link,
    Does.UNLINK: Changing._link,
}


def known_of(connection: Connection, pair: Pair, *, alone: bool = False) -> dict[str, Any]:
    """What is known of the patient who stays: registered, else archived; and if nothing is, what is known of the other
    (`alone`: not that). One who takes a number back that was merged into his own stays who he is."""
    stays = registered.of(connection, pair.identity)
    prior = registered.of(connection, pair.prior)
    if stays is not None and stays.merged_into and prior is not None:
        return of_patient({**stays.model, **prior.model})
    found = supplemented(stays.model if stays else {}, archived.model_of(connection, pair.identity) or {})
    if of_patient(found) or alone:
        return of_patient(found)
    return of_patient(prior.model if prior else archived.model_of(connection, pair.prior) or {})


def moving(
    connection: Connection, holder: Holder, event: Event, told: Told, pair: Pair, *, locked: bool = False
) -> list[Any]:
    """What of the prior patient's a move takes along; `locked` until the transaction ends."""
    prior, number = told.number(event.of)
    origin = registered.of(connection, pair.prior)
    listed = _visits_of(connection, origin.id, event.of, prior or number) if origin is not None else ()
    numbers = [each.visit_id for each in listed]
    held = holder.keeper.of_patient(connection, pair.prior, locked=locked)
    return holders.of_visit(held, prior or number, *numbers)


def _visits_of(connection: Connection, person: int, of: Of, number: str) -> list[Visit]:
    found = registered.visits(connection, person)
    return [each for each in found if (each.account if of is Of.ACCOUNT else each.visit_id) == number]


def _visit_of(holder: Holder, one: Any, visit_id: str, changes: Changes, *, gone: bool) -> Changes:
    """What is of the visit, or to be done and of none, says what the visit does; of one that is `gone`, nothing."""
    mine = bool(holders.of_visit([one], visit_id))
    if gone:
        return {tag: None for tag in of_visit(one.model) if values(one.model[tag])} if mine else {}
    return changes if mine or holders.of_none(holder, [one]) else {}
