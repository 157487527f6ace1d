"""An entry of the worklist, as a row of its table tells it."""

from typing import Any, Final, NamedTuple

import msgspec

from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.states import State
from isocenter.workflow.worklist.tables import worklist_item as item


class Entry(NamedTuple):
    """One scheduled procedure step, with all that is told of it."""

    id: int
    uid: str
    order_key: str
    step_id: str
    study_uid: str
    identity: str
    state: State
    model: Model
    changed_at: int


COLUMNS: Final = (
    *(item.c.id, item.c.uid, item.c.order_key, item.c.step_id, item.c.study_uid, item.c.identity, item.c.state),
    *(item.c.attributes, item.c.changed_at),
)
"""What `entry_of` reads."""


def entry_of(row: Any) -> Entry:
    """The entry in a row of `COLUMNS`."""
    number, uid, order_key, step_id, study_uid, identity, state, attributes, changed_at = row[: len(COLUMNS)]
    model = msgspec.json.decode(attributes)
    return Entry(number, uid, order_key, step_id, study_uid, identity, State(state), model, changed_at)
