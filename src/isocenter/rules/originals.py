"""Original Attributes Sequence (0400,0561): what attributes were before we changed them (PS3.3 C.12.1.1.9).

An attribute that was added stands there empty, so that the item names everything that is not as the sender had it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, at, text
from isocenter.rules.view import View

ORIGINAL_ATTRIBUTES: Final = 0x04000561
_MODIFIED: Final = 0x04000550
_NONCONFORMING: Final = 0x04000551
_NONCONFORMING_VALUE: Final = 0x04000552
_SELECTOR: Final = 0x00720026
_AT, _SYSTEM, _SOURCE, _REASON = 0x04000562, 0x04000563, 0x04000564, 0x04000565
_LONGEST_VALUE: Final = 0xFFFE


class Modifier(NamedTuple):
    """Who changes an object that came from whom, and when (microseconds since 1970, UTC)."""

    system: str
    source: str
    at: int


def record(view: View, tags: Iterable[int], reason: str, by: Modifier, invalid: Iterable[int] = ()) -> None:
    """Append an item for the changed `tags`, and for the `invalid` ones that were taken out because no reader could
    make sense of their values."""
    before = view.top(ORIGINAL_ATTRIBUTES)
    items = before.value if before is not None else ()
    if not isinstance(items, tuple):
        return  # not to be read, so not to be added to
    former = {tag: _former(view, tag) for tag in sorted(tags)}
    item: DataSet = {
        _MODIFIED: Element("SQ", (former,)),
        _AT: Element("DT", _second(by.at // 1_000_000)),
        _SYSTEM: text("LO", by.system),
        _SOURCE: text("LO", by.source),
        _REASON: Element("CS", reason.encode("ascii")),
    }
    if bad := tuple(_nonconforming(view, tag) for tag in sorted(invalid)):
        item[_NONCONFORMING] = Element("SQ", bad)
    view.changes[ORIGINAL_ATTRIBUTES] = Element("SQ", (*items, item))


@lru_cache(maxsize=4)
def _second(at: int) -> bytes:
    """Year to second, UTC; kept, since many objects come within one."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S+0000").encode("ascii")


def _former(view: View, tag: int) -> Element:
    original = view.original(tag)
    if original is not None:
        return original
    now = view.top(tag)
    vr = now.vr if now is not None else "UN"
    return Element(vr, () if vr == "SQ" else b"")


def _nonconforming(view: View, tag: int) -> DataSet:
    original = view.original(tag)
    value = original.value if original is not None and isinstance(original.value, bytes) else b""
    return {_SELECTOR: at(tag), _NONCONFORMING_VALUE: Element("OB", value[:_LONGEST_VALUE])}
