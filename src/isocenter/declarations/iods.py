"""What the modules of a SOP class need (PS3.3 A and C), for validation.

Attributes of types 1 and 2 of mandatory modules, within up to two sequences; those that only a condition asks for (1C,
2C) and functional groups, which may stand in either of two places, are left out, so that nothing good is found fault
with. The table lies beside this module as text (`tools/iod_tables.py` writes it). Its first part has a line a module:
`@`, name, paths of keywords of type 1, paths of type 2. The second has a line a SOP class: UID, modules. A class that
has no line needs the modules of every composite object, and those of an image if it is one.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from isocenter.declarations import sop_classes
from isocenter.dicom.dictionary import tag_of

_EVERY: Final = ("Patient", "General Study", "General Series", "SOP Common")
"""Modules of every composite object that the standard has in force."""
_IMAGE: Final = ("Image Pixel",)


class Required(NamedTuple):
    """What is asked of one attribute: `type` 1 (a value) or 2 (may be empty), by which module."""

    type: int
    module: str


Sequences = tuple[int, ...]
"""Tags of the sequences around an attribute, outermost first."""


class _Tables(NamedTuple):
    modules: dict[str, dict[Sequences, Required]]
    classes: dict[str, tuple[str, ...]]


@cache
def _tables() -> _Tables:
    modules: dict[str, dict[Sequences, Required]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for line in files("isocenter.declarations").joinpath("data/iods.tsv").read_text("ascii").splitlines():
        first, *others = line.split("\t")
        if first == "@":
            name, ones, twos = others
            modules[name] = {_path(each): Required(1, name) for each in ones.split()}
            modules[name] |= {_path(each): Required(2, name) for each in twos.split()}
        else:
            classes[first] = tuple(others)
    return _Tables(modules, classes)


def _path(keywords: str) -> Sequences:
    return tuple(_tag(keyword) for keyword in keywords.split("."))


def _tag(keyword: str) -> int:
    tag = tag_of(keyword)
    if tag is None:
        raise ValueError(f"iods.tsv: {keyword} is no keyword of PS3.6")
    return tag


def modules_of(sop_class: str) -> tuple[str, ...]:
    """The modules that are checked for a class; none for a retired or private one that the table doesn't have."""
    listed = _tables().classes.get(sop_class)
    if listed is not None:
        return listed
    entry = sop_classes.registry().get(sop_class)
    if entry is None or entry.private or entry.retired or entry.category != sop_classes.STORAGE:
        return ()
    if sop_class.startswith(_WITHOUT_PATIENT):
        return ("SOP Common",)
    return (*_EVERY, *(_IMAGE if entry.image else ()))


_WITHOUT_PATIENT: Final = (
    *(f"1.2.840.10008.5.1.4.{n}." for n in (38, 39, 43, 44, 45)),
    *(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("200.", "201.", "501.")),
)
"""Hanging protocols, palettes, implants, protocols, inventories, DICOS: IODs without Patient or General Study."""


@cache
def requirements_of(sop_class: str) -> Mapping[Sequences, Mapping[int, Required]]:
    """What objects of a class need: by the sequences around it, then by tag. What lies in a sequence is needed in each
    of its items; where two modules ask for an attribute, the stricter counts."""
    found: dict[Sequences, dict[int, Required]] = {(): {}}
    for module in modules_of(sop_class):
        for (*around, tag), required in _tables().modules[module].items():
            level = found.setdefault(tuple(around), {})
            if tag not in level or required.type < level[tag].type:
                level[tag] = required
    return {around: dict(sorted(level.items())) for around, level in found.items()}


def checked_classes() -> frozenset[str]:
    """The classes that have a line of their own."""
    return frozenset(_tables().classes)
