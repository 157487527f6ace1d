"""What messages did to patients, listed and taken back: archived studies, register, worklist and procedure steps."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from isocenter import telemetry
from isocenter.archive.edits.history import past_of
from isocenter.archive.edits.making import Who
from isocenter.database import Database
from isocenter.database.changes import append
from isocenter.errors import Reason, Refused
from isocenter.index.level_models import dumped, loaded
from isocenter.index.tables import audit
from isocenter.workflow.patients import holders, registered
from isocenter.workflow.patients.archived import Archived, edits_by, moved_by
from isocenter.workflow.patients.changing import REASSIGNED
from isocenter.workflow.patients.events import Does
from isocenter.workflow.patients.holders import Holder
from isocenter.workflow.patients.late import Late, astray, strayed
from isocenter.workflow.patients.rebasing import rebase
from isocenter.workflow.patients.registered import Register
from isocenter.workflow.patients.tables import patient_event

log = telemetry.logger("patients.undo")

_STRUCTURAL: Final = frozenset({Does.MERGE, Does.MOVE, Does.DELETE, Does.RENUMBER})
_MARGIN: Final = 600_000_000
"""Microseconds before an event's note in which its edits may have been made: they come first."""


class Done(NamedTuple):
    """What one patient's part of a message did."""

    id: int
    at: int
    feed: str
    control_id: str
    event: str
    kind: str
    identity: str
    prior: str
    actor: str
    reason: str
    undone_at: int
    undone_by: str
    undo: Mapping[str, Any]

    @property
    def counted(self) -> Mapping[str, int]:
        """How many entries and steps it changed."""
        return {name: len(before) for name, before in self.undo.get("held", {}).items()}


_COLUMNS: Final = tuple(patient_event.c[name] for name in Done._fields)


def listed(connection: Connection, *, identity: str = "", limit: int = 100) -> list[Done]:
    """What was done, the latest first; of one patient where `identity` is given."""
    c = patient_event.c
    query = select(*_COLUMNS).order_by(c.id.desc()).limit(limit)
    if identity:
        query = query.where((c.identity == identity) | (c.prior == identity))
    return [_done(row) for row in connection.execute(query)]


def event_of(connection: Connection, number: int, *, locked: bool = False) -> Done:
    """One of them. Raises Refused(NOT_FOUND)."""
    query = select(*_COLUMNS).where(patient_event.c.id == number)
    row = connection.execute(query.with_for_update() if locked else query).first()
    if row is None:
        raise Refused(Reason.NOT_FOUND, "there is no such event")
    return _done(row)


def of_edit(connection: Connection, uid: str) -> Done | None:
    """The event that an edit of archived studies belongs to, by the beginning of its uid; None for an edit that no
    message made. Raises Refused(NOT_FOUND)."""
    past = past_of(connection, uid)
    c = patient_event.c
    query = select(*_COLUMNS).where(c.actor == past.actor, c.reason == past.reason, c.undone_at == 0)
    row = connection.execute(query.order_by(c.id.desc())).first()
    return _done(row) if row is not None else None


def _done(row: Any) -> Done:
    return Done._make((*row[:-1], loaded(row[-1])))


class Undoing:
    """Takes events back."""

    def __init__(
        self,
        database: Database,
        archive: Archived,
        register: Register,
        holding: Iterable[Holder],
        late: Late,
        clock: Callable[[], int],
    ) -> None:
        self._database, self._archive, self._register = database, archive, register
        self._holders, self._late, self._clock = tuple(holding), late, clock

    def undo(self, number: int, who: Who) -> list[Done]:
        """Take an event back with all that its message did: the edits of archived studies first, then the rest in one
        transaction. Done again, because the program ended in between, it does what is left.

        Raises Refused(BAD_REQUEST) where a later one stands on it, or it was taken back already.
        """
        with self._database.reading() as connection:
            together = self._together(connection, number)
            self._check(connection, together)
            at, cause = min(one.at for one in together), Who(together[0].actor, together[0].reason)
            edits = edits_by(connection, *cause, at - _MARGIN)
            instead, numbers = _merged_before(together), frozenset(one.id for one in together)
            followed = astray(connection, instead, cause, at)
            strayed_ones = strayed(connection, instead, numbers, at)
            moved = [*moved_by(connection, *cause, at), *(uid for each in strayed_ones for uid in each.studies)]
        for later in (*(each.edits for each in strayed_ones), *(each.edits for each in followed)):
            self._archive.revert(later, who, structural=True)
        structural = any(one.kind in _STRUCTURAL for one in together)
        self._archive.revert(edits, who, structural=structural)
        for each in followed:
            for former, target in each.to.items():
                self._late.follow(former, target, each.who)
        self._late.place(moved, instead, numbers)
        with self._database.writing() as connection:
            for one in together:
                self._take_back(connection, event_of(connection, one.id, locked=True), who)
        log.info("patients.undone", number=number, edits=len(edits))
        return together

    def _together(self, connection: Connection, number: int) -> list[Done]:
        """The event and the others of its message, the latest first: several patients may have been merged by one."""
        one = event_of(connection, number)
        if one.undone_at:
            raise Refused(Reason.BAD_REQUEST, "the event was taken back already")
        c = patient_event.c
        same = (c.actor == one.actor) & (c.reason == one.reason) & (c.undone_at == 0)
        return [_done(row) for row in connection.execute(select(*_COLUMNS).where(same).order_by(c.id.desc()))]

    def _check(self, connection: Connection, together: Iterable[Done]) -> None:
        listed = list(together)
        numbers = {one.id for one in listed}
        for one in listed:
            for later in _later(connection, one):
                if later.id not in numbers:
                    raise Refused(Reason.BAD_REQUEST, f"event {later.id} came later: take that back first")

    def _take_back(self, connection: Connection, one: Done, who: Who) -> None:
        if one.undone_at:
            return
        for holder in self._holders:
            before = one.undo.get("held", {}).get(holder.name, [])
            holders.take_back(connection, holder, one.identity, before)
        self._register.take_back(connection, one.undo["before"], one.undo["after"])
        names = [each for each in (one.identity, one.prior) if each]
        rebase(connection, one.id, [each for name in names for each in registered.family(connection, name)], one.undo)
        at = self._clock()
        connection.execute(
            update(patient_event).where(patient_event.c.id == one.id).values(undone_at=at, undone_by=who.actor)
        )
        if one.kind in (Does.MERGE, Does.MOVE):
            append(connection, REASSIGNED, at)
        detail = dumped({"number": one.id, "reason": who.reason, "identity": one.identity, "prior": one.prior})
        connection.execute(insert(audit).values(event="patient.undo", actor=who.actor, detail=detail, at=at))


def _merged_before(together: Iterable[Done]) -> dict[str, str]:
    """Whom those were merged into, '' for nobody, of whom these say something else; `together` as the latest first."""
    found = {}
    for one in together:
        nobody = {"merged_into": ""}
        before, after = one.undo.get("before", {}), one.undo.get("after", {})
        for identity in before:
            was, then = ((state.get(identity) or nobody)["merged_into"] for state in (before, after))
            if was != then:
                found[identity] = was
    return found


def _later(connection: Connection, one: Done) -> list[Done]:
    """Events that stand on what `one` did: later ones of the same patients that say who is who; and where `one` says
    what patients are called, or gave one a number back, all later ones."""
    c = patient_event.c
    every = one.kind not in _STRUCTURAL or _gave_back(one)
    names = [each for each in (one.identity, one.prior) if each]
    if every:  # by whatever number they name her
        names = sorted({each for name in names for each in registered.family(connection, name)})
    query = select(*_COLUMNS).where(c.id > one.id, c.undone_at == 0, c.identity.in_(names) | c.prior.in_(names))
    found = [_done(row) for row in connection.execute(query.order_by(c.id.desc()))]
    return [each for each in found if every or each.kind in _STRUCTURAL]


def _gave_back(one: Done) -> bool:
    """Whether a patient has got a number by this merge that had been merged into his own. Both numbers are of one
    patient, before and after: which of the two who were merged a later update is of can't be told."""
    was = one.undo.get("before", {}).get(one.identity)
    return one.kind == Does.MERGE and was is not None and bool(was["merged_into"])
