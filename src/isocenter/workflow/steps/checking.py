"""What is amiss in an N-CREATE or N-SET by Table F.7.2-1 (PS3.4 F.7.2.1.1), and how a message is read at all."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from isocenter.declarations.procedure_step import ATTRIBUTES, NOT_SETTABLE, Cause, Path, Type
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.jumping import RawElement
from isocenter.rules.validity import is_invalid

Model = dict[str, Any]
"""Attributes as DICOM JSON (PS3.18 F), by tag."""
Stage = Literal["create", "set", "final"]

_CHARACTER_SET: Final = 0x00080005


class StepRefused(Exception):
    """A request can't be carried out. `cause` gives the status; `comment` is for the peer, without patient data."""

    def __init__(self, cause: Cause, comment: str, tags: Iterable[int] = ()) -> None:
        super().__init__(f"{cause}: {comment}")
        self.cause, self.comment, self.tags = cause, comment, tuple(tags)


class Fault(NamedTuple):
    """One thing that is amiss."""

    cause: Cause
    path: Path

    @property
    def name(self) -> str:
        """The attribute by its keywords, outermost first."""
        return ">".join(keyword_of(tag) or f"{tag:08X}" for tag in self.path)


class Received(NamedTuple):
    """A data set as it came and as it is understood."""

    data: bytes
    syntax: str
    data_set: DataSet
    model: Model
    character_set: str
    """Specific Character Set that it declares, values joined by backslashes; '' for none."""


def read(data: bytes | None, syntax: str, *, character_set: str = "") -> Received:
    """The data set of a request; `character_set` is assumed where it declares none. Raises StepRefused."""
    if not data:
        raise StepRefused(Cause.MISSING, "no data set")
    try:
        found = dataset.decode(data, syntax)
        model: Model = json.loads(json_model.write(data, syntax, bulk_uri=None, default_charset=character_set))
    except MalformedDataSet as fault:
        raise StepRefused(Cause.INVALID_VALUE, "the data set can't be read") from fault
    model.pop(f"{_CHARACTER_SET:08X}", None)
    _check_shapes(model)
    return Received(data, syntax, found, model, dataset.string_of(found, _CHARACTER_SET))


def _check_shapes(model: Model) -> None:
    """Raise StepRefused where a known attribute is a sequence that should be none, or the other way round."""
    for name, attribute in model.items():
        known, nested = vr_of(_tag(name)), attribute.get("vr") == "SQ"
        if known != "UN" and (known == "SQ") != nested:
            raise StepRefused(Cause.INVALID_VALUE, f"{keyword_of(_tag(name))} has another VR", (_tag(name),))
        for item in attribute.get("Value", ()) if nested else ():
            _check_shapes(item)


def lacking(model: Model, stage: Stage) -> list[Fault]:
    """What `model` lacks at a stage, and what may not be there. At `final` it is the step as a whole."""
    return [fault for rule in ATTRIBUTES for fault in _of_rule(model, rule.path, getattr(rule, stage))]


def not_settable(model: Model) -> list[Fault]:
    """The attributes of an N-SET that only N-CREATE may bring."""
    return [Fault(Cause.NOT_SETTABLE, (tag,)) for tag in sorted(map(_tag, model)) if tag in NOT_SETTABLE]


def out_of_range(received: Received) -> list[Fault]:
    """Values that their VR does not allow (PS3.5 6.2)."""
    return list(_invalid(received.data_set, received.character_set.encode("ascii", "replace"), ()))


def dumped(faults: Iterable[Fault], former: Iterable[tuple[str, str]] = ()) -> str:
    """Faults as a step keeps them, behind those it has, each once; '' for none."""
    pairs = dict.fromkeys([*former, *((str(fault.cause), fault.name) for fault in faults)])
    return json.dumps([list(pair) for pair in pairs]) if pairs else ""


def _tag(name: str) -> int:
    return int(name, 16)


def _of_rule(model: Model, path: Path, wanted: Type) -> Iterator[Fault]:
    if wanted not in ("1", "2"):
        return
    for holder in _holders(model, path[:-1]):
        attribute = holder.get(f"{path[-1]:08X}")
        if attribute is None:
            yield Fault(Cause.MISSING, path)
        elif wanted == "1" and not _has_value(attribute):
            yield Fault(Cause.MISSING_VALUE, path)


def _has_value(attribute: dict[str, Any]) -> bool:
    return "InlineBinary" in attribute or any(value is not None for value in attribute.get("Value", ()))


def _holders(model: Model, path: Path) -> Iterator[Model]:
    """The data sets that hold what stands below the sequences of `path`."""
    if not path:
        yield model
        return
    for item in model.get(f"{path[0]:08X}", {}).get("Value", ()):
        if isinstance(item, dict):
            yield from _holders(item, path[1:])


def _invalid(found: DataSet, declared: bytes, above: Path) -> Iterator[Fault]:
    for tag, (vr, value) in found.items():
        if isinstance(value, tuple):
            for item in value:
                yield from _invalid(item, declared, (*above, tag))
        elif is_invalid(tag, RawElement(vr, value), declared):
            yield Fault(Cause.OUT_OF_RANGE, (*above, tag))
