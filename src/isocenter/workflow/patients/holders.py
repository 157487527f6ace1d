"""Who else holds what a message says of a patient: the worklist, the procedure steps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from isocenter.workflow.patients.attributes import ADMISSION_ID, Changes, differing, former, values
from isocenter.workflow.patients.moved import Orders
from isocenter.workflow.steps import attributes as of_steps
from isocenter.workflow.steps.steps import Step, Steps
from isocenter.workflow.worklist.attributes import ACCESSION, text
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import OVER


class Held(Protocol):
    """One entry, or one step."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def identity(self) -> str:
        """The patient's."""

    @property
    def model(self) -> Mapping[str, Any]:
        """What it says, as DICOM JSON."""


class Keeper(Protocol):
    """`worklist.entries.Worklist` and `steps.steps.Steps`, as far as patients concern them."""

    def of_patient(self, connection: Connection, identity: str, *, locked: bool = False) -> Sequence[Any]:
        """All that is the patient's; `locked` until the transaction ends."""

    def give(self, connection: Connection, ids: Iterable[int], identity: str, changes: Changes) -> None:
        """Give those of these that are still there to the patient, with `changes` to what they say of him; None takes
        an attribute out."""


class Holder(NamedTuple):
    """One who holds."""

    name: str
    keeper: Keeper
    hand: Callable[[Connection, Any, str, Changes], None]
    """As the keeper's `give`, of one that was just read."""
    takes: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Those of some changes that it takes."""
    is_open: Callable[[Any], bool]
    """Whether an entry is still to be worked on."""
    orders: Callable[[Any], Orders]
    """What an entry is known by: its studies, its accession numbers."""


def holders(worklist: Worklist, steps: Steps) -> tuple[Holder, ...]:
    """The worklist and the procedure steps."""

    def hand_step(connection: Connection, step: Step, identity: str, changes: Changes) -> None:
        steps.give(connection, [step.id], identity, changes)

    return (
        Holder("worklist", worklist, worklist.give_entry, dict, _is_scheduled, _of_entry),
        Holder("steps", steps, hand_step, of_steps.of_patient, _is_under_way, _of_step),
    )


def _is_scheduled(entry: Entry) -> bool:
    return entry.state not in OVER


def _of_entry(entry: Entry) -> Orders:
    return Orders.of((entry.study_uid,), (text(entry.model, ACCESSION),))


def _is_under_way(step: Step) -> bool:
    return step.state == "IN PROGRESS"


def _of_step(step: Step) -> Orders:
    return of_items(of_steps.scheduled(step.model))


def of_items(items: Sequence[of_steps.Scheduled]) -> Orders:
    """What the items of a step's Scheduled Step Attributes Sequence name."""
    return Orders.of((each.study_uid for each in items), (each.accession for each in items))


Before = list[tuple[int, str, dict[str, Any], dict[str, Any]]]
"""What takes changes back: number, former patient, what the changed attributes said, and what they say instead."""


def give(connection: Connection, holder: Holder, held: Iterable[Held], identity: str, changes: Changes) -> Before:
    """Have `held` say `changes`, of the patient `identity`. What takes that back, for those that changed."""
    done: Before = []
    for one in held:
        wanted = differing(one.model, holder.takes(changes))
        if wanted or one.identity != identity:
            holder.hand(connection, one, identity, wanted)
            done.append((one.id, one.identity, former(one.model, wanted), wanted))
    return done


def take_back(connection: Connection, holder: Holder, identity: str, before: Before) -> None:
    """Have them say again what they said, the latest change first.

    Those that are no longer the patient `identity`'s, to whom they were given, have gone elsewhere since and stay
    there. Of those that had been his before, what was said otherwise since stays.
    """
    here = {one.id: dict(one.model) for one in holder.keeper.of_patient(connection, identity, locked=True)}
    for number, owner, was, instead in reversed(before):
        if number not in here:
            continue
        model = here[number]
        same = {tag: old for tag, old in was.items() if values(model.get(tag)) == values(instead.get(tag))}
        changes = same if owner == identity else was
        holder.keeper.give(connection, [number], owner, changes)
        here[number] = model | changes


def of_visit(held: Iterable[Any], *numbers: str) -> list[Any]:
    """Those whose Admission ID is one of these numbers."""
    wanted = {number for number in numbers if number}
    return [one for one in held if values(one.model.get(ADMISSION_ID)) in wanted]


def of_none(holder: Holder, held: Iterable[Any]) -> list[Any]:
    """Those that are to be worked on and name no visit."""
    return [one for one in held if holder.is_open(one) and not values(one.model.get(ADMISSION_ID))]
