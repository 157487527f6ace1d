"""Paths to attributes as people write them: `PatientID`, `(0010,0020)`, `RequestAttributesSequence[0].AccessionNumber`.

`[n]` is an item, counted from 0; `[*]`, or nothing where the path goes on, is every item.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from isocenter.dicom.dictionary import keyword_of, tag_of, vr_of

_STEP: Final = re.compile(
    r"(?:(?P<keyword>[A-Za-z][A-Za-z0-9]*)|\(?(?P<group>[0-9A-Fa-f]{4}),?(?P<element>[0-9A-Fa-f]{4})\)?)"
    r"(?:\[(?P<item>\*|\d{1,4})\])?"
)
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{8}")
_DEEPEST: Final = 8
_PIXELS: Final = 0x7FE00000
_FIRST: Final = 0x00080000

EVERY: Final = -1
"""The item of a step that means all of them."""


class Step(NamedTuple):
    """An element, and where the path goes on within it the item."""

    tag: int
    item: int


class Path(NamedTuple):
    """Steps from the top level; of the last one the item says nothing."""

    steps: tuple[Step, ...]
    vr: str
    """VR of the last element by the dictionary; UN for what that does not know."""

    @property
    def top(self) -> int:
        """Tag of the top level's element."""
        return self.steps[0].tag

    def __str__(self) -> str:
        return _written(self)


@lru_cache(maxsize=4096)
def _written(path: Path) -> str:
    return ".".join(keyword_of(step.tag) or f"{step.tag:08X}" for step in path.steps)


def parse(text: str) -> Path:
    """The path that `text` writes. Raises ValueError with what is wrong with it."""
    steps = tuple(_step(part) for part in text.split(".")) if text else ()
    if not steps:
        raise ValueError("no attribute is named")
    if len(steps) > _DEEPEST:
        raise ValueError(f"the path {text!r} has more than {_DEEPEST} steps")
    for step in steps[:-1]:
        if vr_of(step.tag) not in ("SQ", "UN"):
            raise ValueError(f"{keyword_of(step.tag)} is no sequence")
    if not _FIRST <= steps[0].tag < _PIXELS or not steps[-1].tag & 0xFFFF:
        raise ValueError(f"{text!r} is not an attribute that can be looked at or changed")
    return Path(steps, vr_of(steps[-1].tag))


def _step(part: str) -> Step:
    match = _STEP.fullmatch(part.strip())
    if match is None:
        raise ValueError(f"{part!r} is no attribute")
    keyword, group, element, item = match.group("keyword", "group", "element", "item")
    if keyword and _HEXADECIMAL.fullmatch(keyword):
        group, element, keyword = keyword[:4], keyword[4:], None
    tag = tag_of(keyword) if keyword else int(group + element, 16)
    if tag is None:
        raise ValueError(f"there is no attribute {keyword!r}")
    return Step(tag, EVERY if item in (None, "*") else int(item))
