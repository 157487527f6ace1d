"""Do two objects of one SOP Instance UID show the same? (docs/design.md section 4, duplicates)

Asked only when their data sets differ, so it may read both. Pixel data are compared as stored: two encodings of the
same native pixels compare equal only if their bytes do. Objects without pixels are the same if one is the other in
another native transfer syntax. Whatever is in doubt counts as different, which flags it.
"""

import hashlib
from collections.abc import Callable, Iterable

from isocenter.dicom import convert
from isocenter.dicom.part10 import Compressed, Received, read_header, read_receipt
from isocenter.dicom.scan import PixelData, Scan, scan_file
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import IsocenterError
from isocenter.index import extract
from isocenter.index.records import Arrival, Likeness
from isocenter.store.api import Store, StoredObject
from isocenter.store.verify import data_offset, digest_of

_SLICE = 1 << 20
Read = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""


def likeness(store: Store, found: Scan, arrival: Arrival, existing_key: str) -> Likeness:
    """Compare an arrival, whose header scan is `found`, with the stored object `existing_key`."""
    try:
        with store.open(arrival.store_key) as one, store.open(existing_key) as other:
            if _came_alike(one, other):
                return Likeness.EQUAL
            ours, theirs = _digest_of(one, found), _digest_of(other)
    except (IsocenterError, OSError):
        return Likeness.DIFFERENT
    return Likeness.SAME_PIXELS if ours and ours == theirs else Likeness.DIFFERENT


def _came_alike(one: StoredObject, other: StoredObject) -> bool:
    """Whether two objects were received with the same bytes, of which rules changed at least one's."""
    ours, theirs = _received(one), _received(other)
    if ours is None and theirs is None:
        return False  # then their digests tell
    if _compressed(one) or _compressed(other):
        return ours is not None and theirs is not None and _came_as(one, ours) == _came_as(other, theirs)
    length = (ours or theirs or _NOTHING).length
    first, second = (ours or _as_stored(one, length)), (theirs or _as_stored(other, length))
    return first.length == second.length and first.digest == second.digest and _same_rest(one, first, other, second)


_NOTHING = Received(0, 0, "")


def _received(stored: StoredObject) -> Received | None:
    receipt = read_receipt(read_header(stored.pread(data_offset(stored), 0)))
    return receipt.received if receipt is not None else None


def _compressed(stored: StoredObject) -> Compressed | None:
    """What an object was first, where it was compressed since."""
    receipt = read_receipt(read_header(stored.pread(data_offset(stored), 0)))
    return receipt.compressed[0] if receipt is not None and receipt.compressed else None


def _came_as(stored: StoredObject, received: Received) -> tuple[int, str, str]:
    """Length and digest of the beginning that was received, and the digest of the rest."""
    before = _compressed(stored)
    return received.length, received.digest, before.rest if before else digest_of_rest(stored, received)


def digest_of_rest(stored: StoredObject, received: Received) -> str:
    """SHA-256 of what an object has as it was received behind the beginning that rules changed."""
    return digest_of(stored, data_offset(stored) + received.stored)


def _as_stored(stored: StoredObject, length: int) -> Received:
    """The first `length` bytes of an object that was stored as it came."""
    digest, offset = hashlib.sha256(), data_offset(stored)
    for at in range(0, length, _SLICE):
        digest.update(stored.pread(min(_SLICE, length - at), offset + at))
    return Received(length, length, digest.hexdigest())


def _same_rest(one: StoredObject, first: Received, other: StoredObject, second: Received) -> bool:
    here, there = data_offset(one) + first.stored, data_offset(other) + second.stored
    if one.size - here != other.size - there:
        return False
    lengths = range(0, one.size - here, _SLICE)
    return all(one.pread(_SLICE, here + at) == other.pread(_SLICE, there + at) for at in lengths)


def shows(stored: StoredObject) -> str:
    """A digest of what a stored object shows, '' where that can't be told."""
    return _digest_of(stored)


def _digest_of(stored: StoredObject, found: Scan | None = None) -> str:
    before = _compressed(stored)
    if before is not None:
        return before.shows
    offset = data_offset(stored)
    syntax = read_header(stored.pread(offset, 0)).syntax
    size = stored.size - offset

    def read(n: int, at: int) -> bytes:
        return stored.pread(n, offset + at)

    found = found or scan_file(read, size, syntax, extract.INDEXED)
    if found.pixel is None:
        return _digest_of_all(read, size, syntax)
    if transfer_syntax(syntax).deflated or found.pixel.length == 0:
        return ""
    return _digest_of_pixels(read, size, found.pixel, syntax)


def _digest_of_all(read: Read, size: int, syntax: str) -> str:
    if not convert.can_convert(syntax, EXPLICIT_LE):
        return ""
    return _digest("all", convert.convert(lambda at, n: read(n, at), size, syntax, EXPLICIT_LE))


def _digest_of_pixels(read: Read, size: int, pixel: PixelData, syntax: str) -> str:
    facts = transfer_syntax(syntax)
    kind = syntax if facts.encapsulated else "little" if facts.little else "big"
    end = size if pixel.length < 0 else pixel.offset + pixel.length
    return _digest(kind, (read(min(_SLICE, end - at), at) for at in range(pixel.offset, end, _SLICE)))


def _digest(kind: str, pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256(kind.encode())
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
