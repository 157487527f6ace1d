"""Reading a rejection note: a Key Object document (PS3.3 A.35.4, PS3.16 TID 2010) whose title rejects what it names."""

from collections.abc import Callable
from typing import Final

from isocenter.declarations.rejections import BY_CODE, SCHEME
from isocenter.dicom.dataset import DataSet, items, items_of, string_of
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.scan import Scan, scan_file

Names = tuple[tuple[str, str, str], ...]
"""(Study, Series, SOP Instance UID) of each instance that is named."""

_TITLE, _EVIDENCE = 0x0040A043, 0x0040A375
_CODE, _SCHEME = 0x00080100, 0x00080102
_STUDY, _SERIES, _SERIES_ITEMS, _SOP_ITEMS, _SOP = 0x0020000D, 0x0020000E, 0x00081115, 0x00081199, 0x00081155
_WANTED: Final = frozenset({_TITLE, _EVIDENCE})
_MOST = 100_000
"""Instances that one note may name; what goes beyond is passed over."""


def note_in(read: Callable[[int, int], bytes], size: int, syntax: str) -> tuple[int, Names]:
    """The number of the rejecting title of the Key Object document behind `read(n, offset)`, and what it names; 0 where
    its title is another one."""
    try:
        found = scan_file(read, size, syntax, _WANTED)
        titles = _items(found, _TITLE)
        title = BY_CODE.get(string_of(titles[0], _CODE)) if titles else None
        if title is None or string_of(titles[0], _SCHEME) != SCHEME:
            return 0, ()
        return title.number, _named(_items(found, _EVIDENCE))
    except MalformedDataSet:
        return 0, ()


def _items(found: Scan, tag: int) -> tuple[DataSet, ...]:
    element = found.elements.get(tag)
    return items(element.value, found.encoding) if element is not None else ()


def _named(evidence: tuple[DataSet, ...]) -> Names:
    named = [
        (string_of(study, _STUDY), string_of(series, _SERIES), string_of(one, _SOP))
        for study in evidence
        for series in items_of(study, _SERIES_ITEMS)
        for one in items_of(series, _SOP_ITEMS)
    ]
    return tuple(dict.fromkeys(each for each in named if all(each)))[:_MOST]
