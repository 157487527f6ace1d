"""What an order control code or an appointment's event asks for, and what a status says of the steps.

Data: `data/controls.tsv` (HL7 table 0119 and the events of SIU), and the status tables of `data/values.tsv`.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.workflow.orders.sources import Scope
from isocenter.workflow.orders.values import Values
from isocenter.workflow.worklist.states import State


class Action(StrEnum):
    """What becomes of an order."""

    NEW = "new"
    CHANGE = "change"
    STATUS = "status"
    CANCEL = "cancel"
    DISCONTINUE = "discontinue"
    DELETE = "delete"
    HOLD = "hold"
    RELEASE = "release"
    NUMBER = "number"
    NONE = "none"


FILLS: Final = frozenset({Action.NEW, Action.CHANGE})
"""The order's attributes are taken over."""
HELD: Final = "HELD"
"""In the status tables: hidden until it is released."""

_PERFORMED: Final = frozenset({State.STARTED, State.DEPARTED, State.COMPLETED, State.DISCONTINUED})
_WAITING: Final = frozenset({State.SCHEDULED, State.ARRIVED, State.READY})
_SETTLED: Final = frozenset({State.COMPLETED, State.DISCONTINUED})


@cache
def actions() -> Mapping[str, Action]:
    """By code of ORC-1, and by event of SIU."""
    text = files("isocenter.workflow.orders").joinpath("data/controls.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {row[0]: Action(row[1]) for row in rows}


def action_of(code: str, place: Location) -> Action:
    """What a code asks for; one that is empty makes the order be what the message says. Raises MessageError for one
    that is not known."""
    found = actions().get(code.strip().upper() or "XO")
    if found is None:
        raise MessageError(Condition.TABLE_VALUE, "this order control code is not known", place)
    return found


class Status(NamedTuple):
    """A status that a message tells, and where."""

    told: str
    """A state's name, `HELD`, or '' for one that says nothing of the steps."""
    place: Location

    @property
    def state(self) -> State | None:
        """The state of the steps."""
        return State(self.told) if self.told in State.__members__ else None


def status_of(scope: Scope, values: Values) -> Status | None:
    """What ORC-5, else OBR-25, of an appointment SCH-25 says; None where they say nothing."""
    for segment, field, table in (
        ("ORC", 5, "order-status"),
        ("OBR", 25, "result-status"),
        ("SCH", 25, "appointment-status"),
    ):
        code = scope.first(segment).value(field).strip()
        if code and code != '""':
            return Status(values.listed(table, code), Location(segment, 1, field, 1))
    return None


def moved(former: State, told: State) -> State:
    """The state that a step comes to when a message says `told`: what was begun stays so, or is discontinued where
    others would be cancelled; what is settled stays settled."""
    if former in _SETTLED or (former in _PERFORMED and told in _WAITING):
        return former
    if former in _PERFORMED and told is State.CANCELLED:
        return State.DISCONTINUED
    return told


def is_performed(state: State) -> bool:
    """Whether the step was begun at least: its identifiers are in images by now."""
    return state in _PERFORMED


def is_settled(state: State) -> bool:
    """Whether it was done, or given up, once and for all."""
    return state in _SETTLED
