"""Later events, once one before them is taken back: what they found and changed was as it was before that one.

Else taking them back too would bring back what the first one had said.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, update

from isocenter.index.level_models import dumped
from isocenter.workflow.patients.attributes import values
from isocenter.workflow.patients.tables import patient_event

_c = patient_event.c
_REGISTER: Final = "register"
Place = tuple[str, object, str]
"""Who holds it, the entry's number or the patient's identity, the tag."""


class _Change(NamedTuple):
    """What an event made of an attribute."""

    was: Any
    instead: Any


def rebase(connection: Connection, event: int, names: list[str], undo: Mapping[str, Any]) -> None:
    """Have the events after `event` that hold and concern these patients know what was before it. `undo`: its own."""
    pending = {place: change for place, _, change in _changes(undo)}
    query = select(_c.id, _c.undo).where(_c.id > event, _c.undone_at == 0, _c.identity.in_(names) | _c.prior.in_(names))
    for number, text in connection.execute(query.order_by(_c.id).with_for_update()).all():
        told = json.loads(text or "{}")
        if _based(told, pending):
            connection.execute(update(patient_event).where(_c.id == number).values(undo=dumped(told)))


def _based(told: Mapping[str, Any], pending: dict[Place, _Change]) -> bool:
    """Give what an event found the values of before; whether there were any. What it changed is its own then."""
    found = False
    for place, was, change in list(_changes(told)):
        before = pending.pop(place, None)
        if before is not None and values(change.was) == values(before.instead):
            was[place[-1]] = before.was
            found = True
    return found


def _changes(undo: Mapping[str, Any]) -> Iterator[tuple[Place, dict[str, Any], _Change]]:
    """Each attribute that an event changed, where its former value stands, and what it became."""
    for holder, rows in undo.get("held", {}).items():
        for number, _, was, instead in rows:
            for tag in was:
                yield (holder, number, tag), was, _Change(was[tag], instead.get(tag))
    before, after = undo.get("before", {}), undo.get("after", {})
    for identity, state in before.items():
        if state is None or after.get(identity) is None:
            continue
        was, then = state["model"], after[identity]["model"]
        for tag in {**was, **then}:
            if was.get(tag) != then.get(tag):
                yield (_REGISTER, identity, tag), was, _Change(was.get(tag), then.get(tag))
