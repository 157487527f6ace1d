"""The states of a scheduled procedure step."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Scheduled Procedure Step Status (0040,0020): PS3.3 C.4.10, and three of ours for a step that is over."""

    SCHEDULED = "SCHEDULED"
    ARRIVED = "ARRIVED"
    READY = "READY"
    STARTED = "STARTED"
    DEPARTED = "DEPARTED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    DISCONTINUED = "DISCONTINUED"


OVER: Final = frozenset({State.COMPLETED, State.CANCELLED, State.DISCONTINUED})
"""Steps of which nothing is left to do; a query gets them only where it names the state."""


def hidden_from(state: str) -> frozenset[State]:
    """What a query that names no state does not see, where a step leaves the worklist at `state` ('': when it is
    over). X-RIS-13."""
    if not state:
        return OVER
    order = tuple(State)
    return OVER | frozenset(order[order.index(State(state)) :])


def state_named(text: str) -> State | None:
    """The state that `text` stands for, None for none."""
    name = text.strip().upper()
    return State(name) if name in State.__members__ else None
