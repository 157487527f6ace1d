"""The level `iod`: attributes that the modules of an object's SOP class need (`declarations.iods`)."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from isocenter.archive.validation.values import Incoming, elements, named
from isocenter.declarations.iods import Required, Sequences, requirements_of
from isocenter.dicom.elements import SHORT_VRS, Kind

_TEXTS: Final = SHORT_VRS - {"US", "SS", "UL", "SL", "FL", "FD", "AT"}


class _Level(NamedTuple):
    """The data set, or an item, as far as it has been read: its elements, and whether they have a value."""

    around: Sequences
    filled: dict[int, bool]


def required_attributes(incoming: Incoming) -> Sequence[str]:
    """What is missing (types 1 and 2) or empty (type 1). Raises MalformedDataSet."""
    needed = requirements_of(incoming.sop_class)
    found: list[str] = []
    open_levels = [_Level((), {})]
    for event, value in elements(incoming):
        depth = event.depth - 1 if event.kind == Kind.ITEM else event.depth
        while len(open_levels) > depth + 1:
            found += _lacking(open_levels.pop(), needed)
        if event.kind == Kind.ITEM:
            open_levels[-1].filled[event.tag] = True
            open_levels.append(_Level((*open_levels[-1].around, event.tag), {}))
        elif event.kind == Kind.SEQUENCE:
            open_levels[-1].filled[event.tag] = False
        else:
            open_levels[-1].filled[event.tag] = bool(value.strip(b" \0") if event.vr in _TEXTS else value)
    if incoming.scan.pixel is not None:
        open_levels[0].filled[incoming.scan.pixel.tag] = incoming.scan.pixel.length != 0
    while open_levels:
        found += _lacking(open_levels.pop(), needed)
    return list(dict.fromkeys(found))


def _lacking(level: _Level, needed: Mapping[Sequences, Mapping[int, Required]]) -> list[str]:
    within = f" in {named(level.around[-1])}" if level.around else ""
    found = []
    for tag, required in needed.get(level.around, {}).items():
        if tag not in level.filled:
            found.append(f"{named(tag)} is missing{within}, {required.module}")
        elif required.type == 1 and not level.filled[tag]:
            found.append(f"{named(tag)} is empty{within}, {required.module}")
    return found
