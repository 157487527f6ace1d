"""The level `iod`: attributes that the modules of an object's SOP class need at its top level (`declarations.iods`)."""

from collections.abc import Sequence
from typing import Final

from isocenter.archive.validation.values import Incoming, elements, named
from isocenter.declarations.iods import requirements_of
from isocenter.dicom.elements import SHORT_VRS, Kind

_TEXTS: Final = SHORT_VRS - {"US", "SS", "UL", "SL", "FL", "FD", "AT"}


def required_attributes(incoming: Incoming) -> Sequence[str]:
    """What is missing (types 1 and 2) or empty (type 1). Raises MalformedDataSet."""
    filled: dict[int, bool] = {}
    for event, value in elements(incoming):
        if event.depth == 0 and event.kind == Kind.VALUE:
            filled[event.tag] = bool(value.strip(b" \0") if event.vr in _TEXTS else value)
        elif event.depth == 0 and event.kind == Kind.SEQUENCE:
            filled[event.tag] = False
        elif event.depth == 1 and event.kind == Kind.ITEM:
            filled[event.tag] = True
    if incoming.scan.pixel is not None:
        filled[incoming.scan.pixel.tag] = incoming.scan.pixel.length != 0
    found = []
    for tag, required in requirements_of(incoming.sop_class).items():
        if tag not in filled:
            found.append(f"{named(tag)} is missing, {required.module}")
        elif required.type == 1 and not filled[tag]:
            found.append(f"{named(tag)} is empty, {required.module}")
    return found
