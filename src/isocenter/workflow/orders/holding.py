"""An order as it is worked on: its steps, before anything is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isocenter.hl7.errors import MessageError
from isocenter.workflow.orders import identifiers
from isocenter.workflow.orders.requests import Number, Request
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State

_CODES = ("00321064", "00400008")
"""Requested Procedure Code Sequence, and within the step Scheduled Protocol Code Sequence."""


@dataclass(eq=False)
class Item:
    """One step of an order. What `entry` says is what the worklist holds of it; None for a new one."""

    model: Model
    state: State
    entry: Entry | None = None
    gone: bool = False
    told: bool = False
    """The message at hand has said something of it."""

    @property
    def step_id(self) -> str:
        """Scheduled Procedure Step ID."""
        return of.text(of.step_of(self.model), of.STEP_ID)

    @property
    def procedure_id(self) -> str:
        """Requested Procedure ID."""
        return of.text(self.model, of.PROCEDURE)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of its procedure and its protocols."""
        procedure, protocol = _CODES
        return frozenset({*_values(self.model, procedure), *_values(of.step_of(self.model), protocol)})

    @property
    def is_changed(self) -> bool:
        """Whether the worklist holds something else of it."""
        if self.entry is None:
            return not self.gone
        return self.gone or self.model != self.entry.model or self.state is not self.entry.state


def _values(model: Mapping[str, Any], sequence: str) -> Iterable[str]:
    for item in model.get(sequence, {}).get("Value", ()):
        for tag in ("00080100", "00080119"):
            if code := of.text(item, tag):
                yield code


@dataclass(eq=False)
class Order:
    """An order with all its steps."""

    key: str
    patient: str
    """Issuer, backslash, id; '' where neither the worklist nor the message says whose it is."""
    items: list[Item]
    held: dict[str, State] = field(default_factory=dict)
    """Steps that are held back, and the states that they come back to."""
    held_before: dict[str, State] = field(default_factory=dict)
    numbers: dict[Number, None] = field(default_factory=dict)
    warnings: list[MessageError] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether the worklist has, or will have, something of it."""
        return any(not item.gone for item in self.items)

    @property
    def present(self) -> list[Item]:
        """Its steps."""
        return [item for item in self.items if not item.gone]


def targets(order: Order, request: Request) -> list[Item] | None:
    """The steps that a request which fills nothing is about: the one it names, those of its exam, else all of them.
    None where it names one that the order doesn't have."""
    present = order.present
    if request.step_id:
        named = [item for item in present if item.step_id == request.step_id]
        if not named and len(present) == 1 and identifiers.is_ours(present[0].step_id):
            return present
        return named or (None if present else [])
    return [item for item in present if item.codes & request.codes] or present


def matches(order: Order, request: Request, derived: str, *, alone: bool) -> list[Item]:
    """The steps that a request's step is: none for a new one, several only where it speaks of the order as a whole.

    `derived` is the number that the step would be given here; `alone` says that the message has no other step of this
    order. The message's own number decides, then ours, then the exam's code; a step that neither names is the only
    one that there is. A number that we gave gives way to the sender's.
    """
    free = [item for item in order.present if not item.told]
    if request.step_id:
        named = [item for item in order.present if item.step_id == request.step_id]
        ours = [item for item in free if identifiers.is_ours(item.step_id)]
        same = [item for item in ours if item.codes & request.codes]
        return named or _only(same or ours, request, alone=alone)
    made = [item for item in order.present if item.step_id == derived]
    coded = [item for item in free if item.codes & request.codes]
    if made or (coded and not alone):
        return made or coded[:1]
    if coded or (alone and not request.codes):
        return coded or free
    return _only(free, request, alone=alone)


def _only(free: list[Item], request: Request, *, alone: bool) -> list[Item]:
    """The one that is left. A new order of another exam is another step: some senders give the steps of an order a
    message each."""
    if len(free) != 1:
        return []
    other = bool(request.codes and free[0].codes) and not request.codes & free[0].codes
    return free if not other or (alone and not request.is_new) else []
