"""Worklist entries as an AE of certain habits shows them (`config.worklist.WorklistAnswers`)."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from isocenter.config.worklist import WorklistAnswers
from isocenter.declarations.query_keys import Path
from isocenter.declarations.worklist import RETURNING, STUDY, keys, use_of
from isocenter.workflow.worklist.attributes import STATION_NAME, STATIONS, STATUS, STEPS, Model, text, written
from isocenter.workflow.worklist.states import State

Shown: TypeAlias = Callable[[Model], Model]
_SHORT: Final = 16


def shown_by(habits: WorklistAnswers) -> Shown | None:
    """Makes what is shown of an entry; None where it is the entry as it is."""
    if habits.keys == "all" and habits.station_name == "own" and habits.status == "own":
        return None
    return lambda model: _shown(model, habits)


def _shown(model: Model, habits: WorklistAnswers) -> Model:
    found = model if habits.keys == "all" else _returned(model, (), habits.keys)
    steps = found.get(STEPS, {}).get("Value", ())
    if not steps:
        return found
    return {**found, STEPS: {"vr": "SQ", "Value": [_step(step, habits) for step in steps]}}


def _step(step: Model, habits: WorklistAnswers) -> Model:
    changed = dict(step)
    if habits.station_name == "title":
        changed.update(written(STATION_NAME, text(step, STATIONS).partition("\\")[0][:_SHORT]))
    if habits.status == "scheduled":
        changed.update(written(STATUS, State.SCHEDULED.value))
    return changed


def _returned(item: Mapping[str, Any], prefix: Path, key_set: str) -> Model:
    """Of an item what the set of keys returns; what lies in a sequence of whose keys it has none is left whole."""
    found: Model = {}
    for tag, attribute in item.items():
        path = (*prefix, int(tag, 16))
        if attribute.get("vr") == "SQ" and path in _sequences(key_set):
            items = [_returned(each, path, key_set) for each in attribute.get("Value", ())]
            found[tag] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        elif path == STUDY or use_of(path, key_set) in RETURNING:
            found[tag] = attribute
    return found


@cache
def _sequences(key_set: str) -> frozenset[Path]:
    """The sequences in which the set has keys that it returns."""
    return frozenset(path[:-1] for path, key in keys().items() if len(path) > 1 and key.uses[key_set] in RETURNING)
