"""What a patient's segments say of attributes, by the mapping that the feed's orders are filled by (`orders.mapping`):
an update says the same of a patient and a visit as an order does."""

from collections.abc import Callable
from typing import Any, Final

from isocenter.hl7.message import Message
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders.filling import Part, fill
from isocenter.workflow.orders.mapping import OrderMapping, load
from isocenter.workflow.orders.sources import Kind, Scope
from isocenter.workflow.patients.attributes import of_patient, of_visit

_STEPS: Final = "00400100"
_ORDERS: Final = frozenset({"ORC", "OBR", "IPC", "SCH", "AIS", "TQ1", "ZDS"})


class Describer:
    """Reads patients' segments by mappings, each of which is loaded once."""

    def __init__(self, loading: Callable[[str], OrderMapping] = load) -> None:
        self._load = loading
        self._loaded: dict[str, OrderMapping] = {}

    def __call__(self, group: Message, feed: Feed) -> dict[str, Any]:
        """What a PID with what stands behind it says: values by tag, None for what it deletes. Raises MessageError."""
        mapping = self._mapping(feed.mapping)
        untold = {f"{row.path.top:08X}": _untold(row.path.vr) for row in mapping.rows}
        scope = Scope(group, tuple(group.segments))
        model = fill(mapping, feed, Part(scope), untold, lambda _: "", {}).model
        return {tag: model.get(tag) for tag, before in untold.items() if model.get(tag) != before}

    def _mapping(self, name: str) -> OrderMapping:
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = _of_patients(self._load(name))
        return found


def _of_patients(mapping: OrderMapping) -> OrderMapping:
    """The rows for the patient and the visit that are not filled from an order."""
    rows = []
    for row in mapping.rows:
        tag = f"{row.path.top:08X}"
        kept = tuple(each for each in row.sources if each.kind is Kind.FIELD and each.name not in _ORDERS)
        if kept and len(row.path.steps) == 1 and {**of_patient({tag: None}), **of_visit({tag: None})}:
            rows.append(row._replace(sources=kept))
    return OrderMapping(tuple(rows), mapping.values)


def _untold(vr: str) -> dict[str, Any]:
    """A value that no field can give, to see what a message leaves alone."""
    return {"vr": vr, "Value": [{}] if vr == "SQ" else ["\0"]}
