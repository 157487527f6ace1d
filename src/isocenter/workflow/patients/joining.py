"""Orders and steps that come under a number which was merged away, or are of an order that moved: they are noted with
the events that make them another patient's, and go back with these when that is taken back."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, update

from isocenter.index.level_models import dumped
from isocenter.workflow.patients import moved, registered
from isocenter.workflow.patients.attributes import of_patient, values
from isocenter.workflow.patients.events import Does
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.patients.tables import patient_event

_c = patient_event.c
_MERGED: Final = (_c.kind == Does.MERGE) & (_c.undone_at == 0)


class _Hop(NamedTuple):
    """An event that says whose the things of `prior` are."""

    event: int
    prior: str


def join(
    connection: Connection,
    holder: str,
    number: int,
    named: str,
    orders: Orders,
    said: Mapping[str, Any],
    says: Mapping[str, Any],
) -> None:
    """Note that entry `number` of `holder` (`holders.Holder.name`) came under the number `named`. `said`: what it is to
    say of its patient when all is taken back; `says`: what it says now."""
    was: dict[str, Any] = dict(said)
    instead = {tag: says.get(tag) for tag in was}
    for hop in _hops(connection, named, orders):
        query = select(_c.undo).where(_c.id == hop.event).with_for_update()
        undo = json.loads(connection.execute(query).scalar_one() or "{}")
        undo.setdefault("held", {}).setdefault(holder, []).append([number, hop.prior, was, instead])
        connection.execute(update(patient_event).where(_c.id == hop.event).values(undo=dumped(undo)))
        was, instead = {}, {}  # what is said in between is the business of those events


def unsupplemented(connection: Connection, named: str, identity: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """What an order, which came under `named`, says of its patient when it is hers again: where it says what is
    registered of `identity`, what is registered of her instead; None for nothing."""
    own, theirs = _registered(connection, named), _registered(connection, identity)
    return {tag: own.get(tag) for tag, told in theirs.items() if values(told) == values(model.get(tag))}


def _registered(connection: Connection, identity: str) -> dict[str, Any]:
    person = registered.of(connection, identity)
    model = of_patient(person.model) if person is not None else {}
    return {tag: value for tag, value in model.items() if values(value)}


def _hops(connection: Connection, named: str, orders: Orders) -> Iterator[_Hop]:
    """The events one after the other; each of the register's merges that no message made has none."""
    for step in moved.way(connection, named, orders):
        if step.move is not None:
            yield _Hop(step.move.id, step.prior)
            continue
        query = select(_c.id).where(_MERGED, _c.prior == step.prior).order_by(_c.id.desc()).limit(1)
        event = connection.execute(query).scalar()
        if event is not None:
            yield _Hop(event, step.prior)
