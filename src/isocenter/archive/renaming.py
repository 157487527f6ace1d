"""A copy of a data set under another SOP Instance UID, for archives that keep every duplicate (X-QR-44)."""

from collections.abc import Callable, Iterator
from typing import Literal

from isocenter.dicom.elements import Window, walk_window
from isocenter.dicom.headers import encoding_of
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused

_SOP_INSTANCE = 0x00080018
_SLICE = 1 << 20


def renamed(read: Callable[[int, int], bytes], size: int, syntax: str, uid: str) -> Iterator[bytes]:
    """The bytes of the data set (`read(n, offset)`, `size` bytes) with SOP Instance UID `uid`, in slices.

    Raises Refused for a deflated data set and for one without the element.
    """
    if transfer_syntax(syntax).deflated:
        raise Refused(Reason.DUPLICATE_SOP_INSTANCE, "a deflated duplicate can't be given a new UID")
    head = read(min(size, 1 << 16), 0)
    window = Window.over(head)
    found = next((e for e in walk_window(window, encoding_of(syntax)) if e.tag >= _SOP_INSTANCE), None)
    if found is None or found.tag != _SOP_INSTANCE or found.length < 0:
        raise Refused(Reason.CANNOT_UNDERSTAND, "SOP Instance UID is missing")
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    width = 4 if found.encoding.implicit else 2
    order: Literal["little", "big"] = "little" if found.encoding.little else "big"
    yield head[: found.offset - width] + len(value).to_bytes(width, order) + value
    after = found.offset + found.length
    for at in range(after, size, _SLICE):
        yield read(min(_SLICE, size - at), at)
