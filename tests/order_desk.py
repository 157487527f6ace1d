"""A worklist in a test, and the orders that come to it."""

from pathlib import Path

from databases import migrated
from isocenter import database
from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.orders.controls import Action, actions
from isocenter.workflow.orders.handler import Orders
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State
from order_messages import FEED, value

RAD_4 = {
    18: "ACC1",
    19: "RP1",
    20: "SPS1",
    24: "CT",
    27: "^^^20240103083000^^S",
}
FIRST_STATE = State.READY
EXPECTED = {
    # what the action makes of a step that is READY, and of one that is not known
    Action.NEW: (State.READY, State.SCHEDULED),
    Action.CHANGE: (State.READY, State.SCHEDULED),
    Action.STATUS: (State.READY, None),
    Action.CANCEL: (State.CANCELLED, None),
    Action.DISCONTINUE: (State.DISCONTINUED, None),
    Action.DELETE: (None, None),
    Action.HOLD: (State.CANCELLED, None),
    Action.RELEASE: (State.READY, None),
    Action.NUMBER: (State.READY, None),
    Action.NONE: (State.READY, None),
}
CONTROLS = [code for code in actions() if len(code) == 2]
SIU = [code for code in actions() if len(code) == 3]


class Desk:
    """A worklist, and orders that come to it."""

    def __init__(self, folder: Path) -> None:
        self.database = database.open(migrated(folder))
        self.worklist = Worklist(self.database)
        self.orders = Orders(self.worklist)

    def take(self, *messages: Message, feed: Feed = FEED) -> list[MessageError]:
        """Carry messages out, each in its transaction; the warnings of the last."""
        warnings: list[MessageError] = []
        for each in messages:
            with self.database.writing() as connection:
                warnings = list(self.orders.apply(connection, each, feed))
        return warnings

    @property
    def entries(self) -> list[Entry]:
        with self.database.reading() as connection:
            return self.worklist.of_patient(connection, "HOSP\\4711")

    @property
    def only(self) -> Entry:
        (entry,) = self.entries
        return entry

    def set(self, state: State) -> None:
        with self.database.writing() as connection:
            self.worklist.set_state(connection, [entry.id for entry in self.entries], state)


def steps(entries: list[Entry], *paths: str) -> list[tuple[str, ...]]:
    return [tuple(value(entry.model, path) for path in paths) for entry in entries]
