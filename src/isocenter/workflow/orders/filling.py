"""Filling the attributes of one worklist item from the segments that concern it, by a mapping.

An empty field changes nothing, one that holds two quotes deletes (HL7 2.8 2.5.3).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from isocenter.dicom.json_reading import text_of
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.rules.paths import Path, parse
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders.conversions import CONVERSIONS, Context
from isocenter.workflow.orders.exams import Step
from isocenter.workflow.orders.fitting import Unfit, fitted
from isocenter.workflow.orders.mapping import STEPS, OrderMapping, Row
from isocenter.workflow.orders.sources import Found, Kind, Scope, Source
from isocenter.workflow.worklist.attributes import Model

_STUDY_WIDE = frozenset({"procedure", "study"})


class Filled(NamedTuple):
    """An item's model as a whole, and what was odd about its fields."""

    model: Model
    warnings: list[MessageError]


class Part(NamedTuple):
    """Which step is filled: what the message says of it, and its place in the table of exams."""

    scope: Scope
    exam: Step | None = None

    def skips(self, generated: str) -> bool:
        """Whether the message's identifier is not this one's: it names the first procedure and step of an exam that
        has more of them."""
        if self.exam is None or not generated:
            return False
        if generated in _STUDY_WIDE:
            return self.exam.procedure > 0
        return generated == "step" and (self.exam.procedure > 0 or self.exam.step > 0)


Generate = Callable[[str], str]
"""Gives what a source `generated.…` asks for, by its name; '' for nothing."""


def fill(
    mapping: OrderMapping, feed: Feed, part: Part, former: Mapping[str, Any], generate: Generate, kin: Mapping[str, Any]
) -> Filled:
    """The item that `former` becomes; {} for a new one. `kin` is another item of the same requested procedure, whose
    identifiers a new one shares. Raises MessageError, naming segment and field, for what is wrong."""
    return _Filling(mapping, feed, part, generate, kin).fill(former)


class _Filling:
    def __init__(
        self, mapping: OrderMapping, feed: Feed, part: Part, generate: Generate, kin: Mapping[str, Any]
    ) -> None:
        self._mapping = mapping
        self._part = part
        self._generate = generate
        self._kin = kin
        self._model: Model = {}
        self._warnings: list[MessageError] = []
        self._context = Context(feed, mapping.values, self._got)

    def fill(self, former: Mapping[str, Any]) -> Filled:
        self._model = _copied(former)
        self._model.setdefault(f"{STEPS:08X}", {"vr": "SQ", "Value": [{}]})
        given, exam = self._part.scope.given, self._part.exam is not None
        for row in self._mapping.rows:
            if row.made or not given.isdisjoint(row.fields) or (exam and row.exam):
                self._fill(row)
        return Filled(self._model, self._warnings)

    def _fill(self, row: Row) -> None:
        generated = row.generated
        skips = self._part.skips(generated)
        for source in row.sources:
            if skips and source.kind is Kind.FIELD:
                continue
            found = self._found(row, source)
            if not found:
                continue
            if all(each.deletes for each in found):
                if generated:
                    continue  # an item is never without its identifiers
                take_out(self._model, row.path)
                return
            values = self._values(row, found)
            if values:
                put(self._model, row.path, values)
                return

    def _found(self, row: Row, source: Source) -> Sequence[Found]:
        if source.kind is Kind.FIELD:
            return self._part.scope.found(source)
        if source.kind is Kind.EXAM:
            repetitions = self._part.exam.repetitions(source.name) if self._part.exam else ()
            return [Found(repetitions)] if repetitions else ()
        if source.kind is Kind.COPY:
            return _as_found(self._got(source.name))
        if source.kind is Kind.TEXT:
            return _as_found(source.name)
        if text_at(self._model, row.path):
            return ()  # never again on update
        return _as_found(self._shared(row, source.name) or self._generate(source.name))

    def _shared(self, row: Row, generated: str) -> str:
        """What the other item of the requested procedure has."""
        return text_at(self._kin, row.path) if generated in ("order", *_STUDY_WIDE) else ""

    def _got(self, keyword: str) -> str:
        """An attribute's text, wherever it stands: in the step, or beside it."""
        path, within = _places(keyword)
        return text_at(self._model, path) or text_at(self._model, within)

    def _values(self, row: Row, found: Sequence[Found]) -> list[Any]:
        def place() -> Location | None:
            return next((place for each in found if (place := each.location) is not None), None)

        def warn(comment: str) -> None:
            self._warnings.append(MessageError(Condition.DATA_TYPE, f"{row.keyword}: {comment}", place()))

        try:
            converted = CONVERSIONS[row.conversion](found, self._context, row.argument)
            return [fitted(row.keyword, row.path.vr, value, warn) for value in converted]
        except Unfit as unfit:
            if not row.lenient:
                raise MessageError(Condition.DATA_TYPE, f"{row.keyword}: {unfit}", place()) from unfit
            warn(f"{unfit}; it was left out")
            return []


@lru_cache(maxsize=256)
def _places(keyword: str) -> tuple[Path, Path]:
    """Where an attribute may stand: by itself, or in the step."""
    path = parse(keyword)
    return path, Path((parse("ScheduledProcedureStepSequence").steps[0], *path.steps), path.vr)


def _as_found(text: str) -> Sequence[Found]:
    return [Found((((text,),),))] if text else ()


def _copied(model: Mapping[str, Any]) -> Model:
    """The model with sequences of its own to be written in; values are only ever replaced as a whole."""
    return {tag: _copied_attribute(attribute) for tag, attribute in model.items()}


def _copied_attribute(attribute: Mapping[str, Any]) -> Mapping[str, Any]:
    if attribute.get("vr") != "SQ":
        return attribute
    return {**attribute, "Value": [_copied(item) for item in attribute.get("Value", ())]}


def _items(model: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    """The data sets down to the one that holds the last element; fewer where the path is not there."""
    found = [model]
    for step in path.steps[:-1]:
        items = found[-1].get(f"{step.tag:08X}", {}).get("Value", ())
        if not items:
            return found
        found.append(items[0])
    return found


def text_at(model: Mapping[str, Any], path: Path) -> str:
    """The text at a path, in the first item of each sequence; '' for none."""
    items = _items(model, path)
    return text_of(items[-1].get(f"{path.steps[-1].tag:08X}")) if len(items) == len(path.steps) else ""


def put(model: Model, path: Path, values: Sequence[Any]) -> None:
    """Write values at a path, with the sequences that it needs."""
    item = model
    for step in path.steps[:-1]:
        sequence = item.setdefault(f"{step.tag:08X}", {"vr": "SQ", "Value": [{}]})
        if not sequence.get("Value"):
            sequence["Value"] = [{}]
        item = sequence["Value"][0]
    item[f"{path.steps[-1].tag:08X}"] = {"vr": path.vr, "Value": list(values)}


def take_out(model: Model, path: Path) -> None:
    """Take out what stands at a path, and a sequence whose only item becomes empty."""
    items: list[Any] = _items(model, path)
    if len(items) < len(path.steps):
        return
    items[-1].pop(f"{path.steps[-1].tag:08X}", None)
    if len(items) > 1 and not items[-1] and path.steps[0].tag != STEPS:
        take_out(model, Path(path.steps[:-1], "SQ"))
