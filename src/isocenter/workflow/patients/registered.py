"""Registered patients: their demographics and visits, and whose place another has taken.

A patient's identity is issuer, backslash, id. One who was merged into another stays as a row that names the other: a
later order, object or message under the former identity is the other's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isocenter.database.prepared import Prepared
from isocenter.index.level_models import dumped, loaded
from isocenter.workflow.messages import turns
from isocenter.workflow.patients.attributes import Changes, parts_of
from isocenter.workflow.patients.tables import registered_link, registered_patient, registered_visit
from isocenter.workflow.worklist.attributes import Model, changed, identified

_MOST = 100
"""Merges one after another that are followed; more would be a circle, which `merge` never makes."""


# made once: building a statement costs more than the database does with it
_p, _v = registered_patient.c, registered_visit.c
_ONE: Final = select(_p.id, _p.identity, _p.attributes, _p.merged_into, _p.source).where(
    _p.identity == bindparam("wanted")
)
_OF, _OF_LOCKED = Prepared(_ONE), Prepared(_ONE.with_for_update())
_FOLLOWING: Final = Prepared(select(_p.merged_into).where(_p.identity == bindparam("wanted")))
_VISITS: Final = Prepared(
    select(_v.visit_id, _v.account, _v.state, _v.attributes)
    .where(_v.patient == bindparam("wanted"))
    .order_by(_v.changed_at.desc(), _v.id.desc())
)
_VISIT: Final = Prepared(
    select(_v.account, _v.state, _v.attributes)
    .where(_v.patient == bindparam("wanted"), _v.visit_id == bindparam("named"))
    .with_for_update()
)
_REWRITE: Final = Prepared(
    update(registered_patient).where(_p.id == bindparam("wanted")), *("attributes", "source", "changed_at")
)
_REVISIT: Final = Prepared(
    update(registered_visit).where(_v.patient == bindparam("wanted"), _v.visit_id == bindparam("named")),
    *("account", "state", "attributes", "changed_at"),
)
_l = registered_link.c
_LINKS: Final = Prepared(
    select(_l.other)
    .where(_l.identity == bindparam("wanted"))
    .union(select(_l.identity).where(_l.other == bindparam("named")))
)


class Visit(NamedTuple):
    """A visit, or an encounter (PS3.3 C.3)."""

    visit_id: str
    account: str
    state: str
    model: Model


class Registered(NamedTuple):
    """A patient as registered."""

    id: int
    identity: str
    model: Model
    merged_into: str
    source: str = ""
    """The feed that spoke last."""


def of(connection: Connection, identity: str, *, locked: bool = False) -> Registered | None:
    """The patient of exactly this identity, `locked` until the transaction ends."""
    row = (_OF_LOCKED if locked else _OF).first(connection, wanted=identity)
    return Registered(row[0], row[1], loaded(row[2]), row[3], row[4]) if row is not None else None


def current(connection: Connection, identity: str, instead: Mapping[str, str] = MappingProxyType({})) -> str:
    """The identity that `identity` goes by now: itself, or that of the patient it was merged into. `instead`: what some
    are taken to be merged into, '' for nobody, whatever is registered."""
    return path(connection, identity, instead)[-1]


def current_for_message(connection: Connection, identity: str) -> str:
    """The same in the transaction of a message. Where it is another, what other nodes do with messages about him is
    waited for: they may call him by his own number."""
    found = current(connection, identity)
    while found != identity:
        turns.take_patient(connection, parts_of(found)[0])
        before, found = found, current(connection, identity)
        if found == before:
            break
    return found


def path(connection: Connection, identity: str, instead: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """`identity`, what it was merged into, what that was merged into, up to the current one."""
    found = [identity]
    for _ in range(_MOST):
        named = found[-1]
        row = (instead[named],) if named in instead else _FOLLOWING.first(connection, wanted=named)
        if row is None or not row[0]:
            break
        found.append(row[0])
    return found


def of_number(connection: Connection, patient_id: str) -> list[str]:
    """The identities of this Patient ID, whoever assigned it."""
    c = registered_patient.c
    return list(connection.execute(select(c.identity).where(c.patient_id == patient_id).order_by(c.id)).scalars())


def family(connection: Connection, identity: str) -> list[str]:
    """All numbers of the patient whose number this is, or was: his present one, and those that were merged into it."""
    found = current(connection, identity)
    return list(dict.fromkeys([identity, found, *merged_into(connection, found)]))


def merged_into(connection: Connection, identity: str) -> list[str]:
    """The identities that were merged into this one, directly or through others."""
    found, c = [identity], registered_patient.c
    for each in found:
        rows = connection.execute(select(c.identity).where(c.merged_into == each).order_by(c.identity)).scalars()
        found.extend(row for row in rows if row not in found)
    return found[1:]


def visits(connection: Connection, patient: int) -> list[Visit]:
    """The patient's visits, the latest change first."""
    rows = _VISITS.rows(connection, wanted=patient)
    return [Visit(row[0], row[1], row[2], loaded(row[3])) for row in rows]


def links(connection: Connection, identity: str) -> list[str]:
    """The identities of the same person that are linked with this one."""
    return sorted(row[0] for row in _LINKS.rows(connection, wanted=identity, named=identity))


class Register:
    """Writes registered patients. Each method takes the connection of an open writing transaction."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def put(self, connection: Connection, identity: str, changes: Changes, source: str) -> Registered:
        """Register the patient, or change what is registered of her; None takes an attribute out."""
        held = of(connection, identity, locked=True) or self._new(connection, identity, changes, source)
        model = identified(changed(held.model, changes), identity)
        if model != held.model:
            values = {"attributes": dumped(model), "source": source, "changed_at": self._clock()}
            _REWRITE.run(connection, [{**values, "wanted": held.id}])
            return held._replace(model=model, source=source)
        return held

    def _new(self, connection: Connection, identity: str, changes: Changes, source: str) -> Registered:
        at, model = self._clock(), identified(changed({}, changes), identity)
        patient_id, issuer = parts_of(identity)
        named = {"identity": identity, "patient_id": patient_id, "issuer": issuer, "source": source}
        row = {**named, "attributes": dumped(model), "created_at": at, "changed_at": at}
        number = _insert_new(connection, registered_patient, row, ("identity",))
        if number is not None:
            return Registered(number, identity, model, "", source)
        found = of(connection, identity, locked=True)  # another feed was faster
        assert found is not None, "it is registered"
        return found

    def merge(self, connection: Connection, prior: str, identity: str, source: str) -> None:
        """From now on `prior` is `identity`; both are registered where they are not. What was merged into `prior`
        follows through it."""
        for each in sorted((prior, identity)):
            self.put(connection, each, {}, source)
        c = registered_patient.c
        connection.execute(update(registered_patient).where(c.identity == identity).values(merged_into=""))
        values = {"merged_into": identity, "changed_at": self._clock()}
        connection.execute(update(registered_patient).where(c.identity == prior).values(**values))
        self._move_visits(connection, prior, identity)

    def _move_visits(self, connection: Connection, prior: str, identity: str) -> None:
        """A visit that both have stays where it is."""
        origin, target = of(connection, prior), of(connection, identity)
        assert origin is not None and target is not None, "both are registered"  # noqa: PT018
        c = registered_visit.c
        known = select(c.visit_id).where(c.patient == target.id)
        wanted = (c.patient == origin.id) & c.visit_id.not_in(list(connection.execute(known).scalars()))
        connection.execute(update(registered_visit).where(wanted).values(patient=target.id))

    def put_visit(self, connection: Connection, patient: int, visit: Visit, changes: Changes) -> None:
        """Give the patient a visit, or change it: `visit` names it and says its account and state ('' for no news)."""
        at = self._clock()
        row = {"patient": patient, "visit_id": visit.visit_id, "changed_at": at}
        named = {"wanted": patient, "named": visit.visit_id}
        held = _VISIT.first(connection, **named)
        if held is None:
            model = changed({}, changes)
            told = {"account": visit.account, "state": visit.state or "active"}
            whole = {**row, **told, "attributes": dumped(model) if model else ""}
            if _insert_new(connection, registered_visit, whole, ("patient", "visit_id")) is not None:
                return
            held = _VISIT.first(connection, **named)  # another feed was faster
        account, state, attributes = held
        model = changed(loaded(attributes), changes)
        now = (visit.account or account, visit.state or state, dumped(model) if model else "")
        if now != tuple(held):
            values = dict(zip(("account", "state", "attributes"), now, strict=True))
            _REVISIT.run(connection, [{**values, "changed_at": at, **named}])

    def drop_visit(self, connection: Connection, patient: int, visit_id: str) -> None:
        """Forget a visit."""
        c = registered_visit.c
        connection.execute(delete(registered_visit).where(c.patient == patient, c.visit_id == visit_id))

    def link(self, connection: Connection, identity: str, other: str) -> None:
        """Note that both are one person."""
        one, two = sorted((identity, other))
        _insert_new(connection, registered_link, {"identity": one, "other": two}, ("identity", "other"))

    def unlink(self, connection: Connection, identity: str, other: str) -> None:
        """Take that back."""
        one, two = sorted((identity, other))
        c = registered_link.c
        connection.execute(delete(registered_link).where(c.identity == one, c.other == two))

    def delete(self, connection: Connection, identity: str) -> None:
        """Take the patient out of the register."""
        held = of(connection, identity, locked=True)
        if held is None:
            return
        connection.execute(delete(registered_visit).where(registered_visit.c.patient == held.id))
        linked = (registered_link.c.identity == identity) | (registered_link.c.other == identity)
        connection.execute(delete(registered_link).where(linked))
        connection.execute(delete(registered_patient).where(registered_patient.c.id == held.id))

    def saved(self, connection: Connection, identities: Iterable[str]) -> dict[str, Any]:
        """What it takes to make these registrations again; null for one that is none."""
        return {identity: _saved(connection, identity) for identity in identities}

    def saved_again(
        self, connection: Connection, person: Registered, before: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """The same as `saved` once `person` is what `put` has made of her, and no link has changed since `before`."""
        was = before[person.identity]
        return {person.identity: _told(connection, person, was["links"] if was is not None else [])}

    def take_back(self, connection: Connection, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Undo what made of `before` what is in `after` (both as `saved`); what changed since stays as it is."""
        for identity, was in before.items():
            then, present = after[identity], _saved(connection, identity)
            if present == then and was is None:
                self.delete(connection, identity)
            elif present is not None or was is not None:
                nobody = {"model": {}, "merged_into": "", "source": "", "visits": [], "links": []}
                self._take_back(connection, identity, was or nobody, then or nobody, present or nobody)

    def _take_back(
        self,
        connection: Connection,
        identity: str,
        was: Mapping[str, Any],
        then: Mapping[str, Any],
        present: Mapping[str, Any],
    ) -> None:
        undone = {
            tag: was["model"].get(tag)
            for tag in {**was["model"], **then["model"]}
            if was["model"].get(tag) != then["model"].get(tag) == present["model"].get(tag)
        }
        held = self.put(connection, identity, undone, was["source"] or present["source"])
        if was["merged_into"] != then["merged_into"] == present["merged_into"]:
            c = registered_patient.c
            connection.execute(update(registered_patient).where(c.id == held.id).values(merged_into=was["merged_into"]))
        _take_back_visits(self, connection, held.id, *(_by_number(each["visits"]) for each in (was, then, present)))
        for other in set(then["links"]) - set(was["links"]):
            self.unlink(connection, identity, other)
        for other in set(was["links"]) - set(then["links"]):
            self.link(connection, identity, other)


def _by_number(listed: Sequence[Any]) -> dict[str, list[Any]]:
    return {visit[0]: list(visit) for visit in listed}


def _take_back_visits(
    register: Register,
    connection: Connection,
    patient: int,
    was: Mapping[str, Any],
    then: Mapping[str, Any],
    present: Mapping[str, Any],
) -> None:
    for number in {**was, **then}:
        former, there = was.get(number), present.get(number)
        if former == then.get(number) or there != then.get(number):
            continue
        register.drop_visit(connection, patient, number)
        if former is not None:
            visit_id, account, state, model = former
            register.put_visit(connection, patient, Visit(visit_id, account, state, {}), model)


def _saved(connection: Connection, identity: str) -> dict[str, Any] | None:
    held = of(connection, identity)
    return _told(connection, held, links(connection, identity)) if held is not None else None


def _told(connection: Connection, held: Registered, linked: list[str]) -> dict[str, Any]:
    # oldest first, as they are to be made again
    listed: Sequence[Visit] = visits(connection, held.id)[::-1]
    return {
        "model": held.model,
        "merged_into": held.merged_into,
        "source": held.source,
        "visits": [list(visit) for visit in listed],
        "links": linked,
    }


def _insert_new(connection: Connection, table: Table, row: Mapping[str, Any], key: Sequence[str]) -> int | None:
    """Insert a row, unless there is one of its key: two feeds may speak of one patient at once. The id of a new one."""
    made = _inserting(connection.dialect.name, table, tuple(key), tuple(row)).first(connection, **row)
    return int(made[0]) if made is not None else None


@lru_cache(maxsize=32)
def _inserting(dialect: str, table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> Prepared:
    made = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return Prepared(made(table).on_conflict_do_nothing(index_elements=list(key)).returning(table.c.id), *columns)
