"""Entries that are made here, by REST and by the command line, without an order of another system."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import STEPS, keys
from isocenter.dicom.uids import new_uid
from isocenter.errors import Reason, Refused
from isocenter.index.matching_items import Asked
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.searching import asked
from isocenter.workflow.worklist.states import State, state_named

_NEEDED: Final = (("PatientName", of.PATIENT_NAME), ("PatientID", of.PATIENT_ID))
_NEEDED_STEP: Final = (
    *(("Modality", of.MODALITY), ("ScheduledProcedureStepStartDate", of.START_DATE)),
    ("ScheduledProcedureStepStartTime", of.START_TIME),
)


def check_complete(model: Model) -> None:
    """Raise Refused(BAD_REQUEST) with the names of what no worklist may lack and nothing can stand for (PS3.4 K.6)."""
    step = of.step_of(model)
    lacking = [name for name, tag in _NEEDED if not _given(model, tag)]
    lacking += [name for name, tag in _NEEDED_STEP if not _given(step, tag)]
    if lacking:
        raise Refused(Reason.BAD_REQUEST, f"needed: {', '.join(lacking)}")


def _given(attributes: Model, tag: str) -> bool:
    attribute = attributes.get(tag)
    return isinstance(attribute, dict) and bool(attribute.get("Value"))


def make(worklist: Worklist, connection: Connection, models: Iterable[Model], source: str) -> list[Entry]:
    """An entry for each, each an order of its own. Raises Refused(BAD_REQUEST)."""
    made = []
    for model in models:
        of.check(model)
        check_complete(model)
        made.append(worklist.put(connection, f"{source}\\{new_uid()}", without_uids(model), source=source))
    return made


def replace(worklist: Worklist, connection: Connection, entry: Entry, model: Model) -> Entry:
    """Put `model` in the place of what an entry is; its step stays the one it is, and its state the one it has unless
    the model says another. Raises Refused(BAD_REQUEST)."""
    of.check(model)
    check_complete(model)
    step = {**of.step_of(model), **of.written(of.STEP_ID, entry.step_id)}
    whole = {**without_uids(model), of.STEPS: {"vr": "SQ", "Value": [step]}}
    return worklist.put(connection, entry.order_key, whole, state=told_state(model))


def told_state(model: Model) -> State | None:
    """The state that a model names; None for none. Raises Refused(BAD_REQUEST) for another word."""
    text = of.text(of.step_of(model), of.STATUS)
    state = state_named(text)
    if text and state is None:
        raise Refused(Reason.BAD_REQUEST, f"ScheduledProcedureStepStatus is one of {', '.join(State)}")
    return state


def without_uids(model: Model) -> Model:
    """`model` without what the worklist itself gives an entry."""
    return {tag: attribute for tag, attribute in model.items() if tag not in (of.SOP_CLASS, of.SOP_INSTANCE)}


def keys_named(named: Sequence[tuple[Path, str]]) -> tuple[Asked, ...]:
    """Matching keys; one that only a step has may be named without its sequence: `Modality`."""
    return tuple(asked(in_step(path), value) for path, value in named if value)


def in_step(path: Path) -> Path:
    """Where a key of the worklist lies that may be named without Scheduled Procedure Step Sequence."""
    known = keys()
    return (STEPS, *path) if path not in known and (STEPS, *path) in known else path


def model_of(attributes: Iterable[tuple[Path, Mapping[str, Any]]]) -> Model:
    """A model of attributes by path; every sequence has one item."""
    model: Model = {of.STEPS: {"vr": "SQ", "Value": [{}]}}
    for path, attribute in attributes:
        item = model
        for tag in path[:-1]:
            item = item.setdefault(f"{tag:08X}", {"vr": "SQ", "Value": [{}]})["Value"][0]
        item[f"{path[-1]:08X}"] = dict(attribute)
    return model
