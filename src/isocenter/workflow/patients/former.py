"""What an entry said before merges and moves gave it to the patient who has it now."""

import json
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from isocenter.workflow.patients.attributes import of_patient, values
from isocenter.workflow.patients.events import Does
from isocenter.workflow.patients.tables import patient_event
from isocenter.workflow.worklist.attributes import ACCESSION, Model, changed, identified

_c = patient_event.c
_HOLD: Final = (_c.undone_at == 0) & _c.kind.in_([str(Does.MERGE), str(Does.MOVE)])


class Former(NamedTuple):
    """Whose it was, and what it said of him."""

    identity: str
    model: Model


def former(connection: Connection, holder: str, number: int, identity: str, model: Model) -> Former:
    """Of entry `number` of `holder` (`holders.Holder.name`) that is the patient `identity`'s. An object that says this
    comes to be hers, too (`late`), and is no longer when the merge is taken back."""
    found, before = Former(identity, model), None
    while (event := _event(connection, holder, number, found, before)) is not None:
        before, owner, was, instead = event
        same = {
            tag: old for tag, old in of_patient(was).items() if values(found.model.get(tag)) == values(instead[tag])
        }
        found = Former(owner, identified(changed(found.model, same), owner))
    return found


def _event(
    connection: Connection, holder: str, number: int, now: Former, before: int | None
) -> tuple[int, str, dict[str, Any], dict[str, Any]] | None:
    """The last event below `before` that gave the entry to the one who has it: its id, the former owner, what was
    changed and to what. A move is followed by accession number alone, so none without."""
    query = select(_c.id, _c.kind, _c.undo).where(_HOLD, _c.identity == now.identity).order_by(_c.id.desc())
    for event, kind, undo in connection.execute(query if before is None else query.where(_c.id < before)):
        if kind == Does.MOVE and not values(now.model.get(ACCESSION)):
            continue
        for named, owner, was, instead in json.loads(undo or "{}").get("held", {}).get(holder, ()):
            if named == number and owner != now.identity:
                return event, owner, was, instead
    return None
