"""The data dictionary (PS3.6): value representation and keyword by tag, small enough to stay in every process.

Tags are integers 0xGGGGEEEE. The table lies beside this module as text, a line an element: tag, VR, VM, keyword, R if
retired; a tag with `x` in it stands for a repeating group.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Entry(NamedTuple):
    """One element of PS3.6 6."""

    vr: str
    """The VR; where the standard names two, `US or SS` and the like as printed."""
    vm: str
    keyword: str
    retired: bool


@cache
def _tables() -> tuple[dict[int, Entry], list[tuple[int, int, Entry]], dict[str, int]]:
    exact: dict[int, Entry] = {}
    repeating: list[tuple[int, int, Entry]] = []
    by_keyword: dict[str, int] = {}
    for line in files("isocenter.dicom").joinpath("data/elements.tsv").read_text("ascii").splitlines():
        tag, vr, vm, keyword, retired = line.split("\t")
        entry = Entry(vr, vm, keyword, bool(retired))
        if "x" in tag:
            mask = int("".join("0" if c == "x" else "F" for c in tag), 16)
            repeating.append((mask, int(tag.replace("x", "0"), 16), entry))
        else:
            exact[int(tag, 16)] = entry
            by_keyword.setdefault(keyword, int(tag, 16))
    return exact, repeating, by_keyword


@cache
def vr_table() -> dict[int, str]:
    """The single VR to read an element with in an implicit VR transfer syntax, for every tag that has no repeats.

    Where the standard leaves a choice it is made by PS3.5 A.1: `US or SS` is read as US, what may be OW as OW.
    """
    return {tag: _single(entry.vr) for tag, entry in _tables()[0].items()}


def _single(vr: str) -> str:
    if "OW" in vr:
        return "OW"
    return vr[:2] if vr != "NONE" else "UN"


def vr_of(tag: int) -> str:
    """The VR of `tag` for implicit VR reading: PS3.6, LO for private creators, UL for group lengths, else UN."""
    found = vr_table().get(tag)
    if found is not None:
        return found
    element = tag & 0xFFFF
    if element == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= element <= 0xFF else "UN"
    entry = _repeating(tag)
    return _single(entry.vr) if entry else "UN"


def entry_of(tag: int) -> Entry | None:
    """The dictionary's entry for `tag`, or None for private and unknown elements."""
    return _tables()[0].get(tag) or _repeating(tag)


def _repeating(tag: int) -> Entry | None:
    return next((entry for mask, base, entry in _tables()[1] if tag & mask == base), None)


def keyword_of(tag: int) -> str:
    """The keyword of `tag`, or '' where PS3.6 has none."""
    entry = entry_of(tag)
    return entry.keyword if entry else ""


def tag_of(keyword: str) -> int | None:
    """The tag of a keyword of PS3.6, or None."""
    return _tables()[2].get(keyword)
