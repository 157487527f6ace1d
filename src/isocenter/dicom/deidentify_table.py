"""What de-identification does to each attribute: PS3.15 table E.1-1, and what holds for those that are not in it.

The table lies beside this module as text, a line a group of attributes: action, the options that keep them, keywords.
What it doesn't name is told by its VR: a date or time goes, a name of a person is emptied, a UID is replaced unless it
names a class, a syntax or a coding scheme. What PS3.6 doesn't know goes, and so do curves and overlays.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from isocenter.dicom.dictionary import entry_of, keyword_of, tag_of, vr_of

CURVES: Final = 0x5000
OVERLAYS: Final = 0x6000
_GROUP: Final = 0xFF00
_TEMPORAL: Final = frozenset({"DA", "DT", "TM"})
_NAMING_A_KIND: Final = ("ClassUID", "ClassUIDInFile", "TransferSyntaxUID", "TransferSyntaxUIDInFile")


class Action(StrEnum):
    """What is done to an attribute (PS3.15 E.1.1): of the actions that the standard leaves open by the type of the
    attribute, the one that fits every type."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    REPLACE_UIDS = "U"


class Option(StrEnum):
    """Options of the profile that keep attributes (PS3.15 E.3)."""

    UIDS = "uids"
    DEVICE = "device"
    INSTITUTION = "institution"
    CHARACTERISTICS = "characteristics"
    DATES = "dates"


class Treatment(NamedTuple):
    """The action for an attribute, and the options under which it stays."""

    action: Action
    options: frozenset[Option] = frozenset()


_REMOVED: Final = Treatment(Action.REMOVE)
_KEPT: Final = Treatment(Action.KEEP)
_STRONGEST: Final = (Action.DUMMY, Action.REPLACE_UIDS, Action.EMPTY, Action.REMOVE, Action.KEEP)


@cache
def table() -> dict[int, Treatment]:
    """The attributes that are named, by tag."""
    found: dict[int, Treatment] = {}
    for line in files("isocenter.dicom").joinpath("data/confidentiality.tsv").read_text("ascii").splitlines():
        actions, options, keywords = line.split("\t")
        allowed = actions.split("/")
        action = next(each for each in _STRONGEST if each in allowed)
        kept = frozenset(Option(name) for name in options.split() if name != "-")
        found |= {_tag(keyword): Treatment(action, kept) for keyword in keywords.split()}
    return found


def _tag(keyword: str) -> int:
    tag = tag_of(keyword)
    if tag is None:
        raise ValueError(f"confidentiality.tsv: {keyword} is no keyword of PS3.6")
    return tag


@cache
def treatment_of(tag: int) -> Treatment:
    """What is done to an attribute."""
    found = table().get(tag)
    if found is not None:
        return found
    group = tag >> 16
    if group & 1 or group & _GROUP in (CURVES, OVERLAYS) or entry_of(tag) is None:
        return _REMOVED
    return _by_vr(tag)


def _by_vr(tag: int) -> Treatment:
    vr = vr_of(tag)
    if vr in _TEMPORAL:
        return Treatment(Action.REMOVE, frozenset({Option.DATES}))
    if vr == "PN":
        return Treatment(Action.EMPTY)
    if vr == "UI" and not keyword_of(tag).endswith(_NAMING_A_KIND):
        return Treatment(Action.REPLACE_UIDS, frozenset({Option.UIDS}))
    return _KEPT
