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
    model = msgspec.json.decode(row.attributes)
    found = (row.id, row.uid, row.order_key, row.step_id, row.study_uid, row.identity)
    return Entry(*found, State(row.state), model, row.changed_at)
