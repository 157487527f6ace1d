"""A copy of a data set under another SOP Instance UID, for archives that keep every duplicate (X-QR-44)."""

from collections.abc import Callable, Iterator
from typing import Literal

from isocenter.dicom.elements import Event, Window, walk_window
from isocenter.dicom.headers import encoding_of
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused

_SOP_INSTANCE = 0x00080018
_SHORT_HEADER = 8
"""Bytes of an element's tag, VR and length in the syntaxes where a UI's length directly precedes its value."""
_HEAD = 1 << 16
_SLICE = 1 << 20


def renamed(read: Callable[[int, int], bytes], size: int, syntax: str, uid: str) -> Iterator[bytes]:
    """The bytes of the data set (`read(n, offset)`, `size` bytes) with SOP Instance UID `uid`, in slices.

    Raises Refused for a deflated data set and for one whose element isn't found, or not written as a UID is.
    """
    if transfer_syntax(syntax).deflated:
        raise Refused(Reason.DUPLICATE_SOP_INSTANCE, "a deflated data set can't be given a new UID")
    head = read(min(size, _HEAD), 0)
    event = _element(head, syntax)
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    width = 4 if event.encoding.implicit else 2
    order: Literal["little", "big"] = "little" if event.encoding.little else "big"
    yield head[: event.offset - width] + len(value).to_bytes(width, order) + value
    after = event.offset + event.length
    for at in range(after, size, _SLICE):
        yield read(min(_SLICE, size - at), at)


def _element(head: bytes, syntax: str) -> Event:
    """SOP Instance UID at the top level, with its length right before its value."""
    for event in walk_window(Window.over(head), encoding_of(syntax)):
        if event.depth == 0 and event.tag >= _SOP_INSTANCE:
            if event.tag == _SOP_INSTANCE and event.length >= 0 and event.offset - event.start == _SHORT_HEADER:
                return event
            break
    raise Refused(Reason.CANNOT_UNDERSTAND, "SOP Instance UID is missing")
