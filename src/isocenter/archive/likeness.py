"""Do two objects of one SOP Instance UID show the same? (DESIGN.md section 4, duplicates)

Asked only when their data sets differ, so it may read both. Pixel data are compared as stored: two encodings of the
same native pixels compare equal only if their bytes do, and whatever is in doubt counts as different, which flags it.
"""

import hashlib
from collections.abc import Callable

from isocenter.dicom.part10 import read_header
from isocenter.dicom.scan import PixelData, Scan, scan_file
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError
from isocenter.index import extract
from isocenter.index.records import Arrival, Likeness
from isocenter.store.api import Store

_SLICE = 1 << 20
Read = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""


def likeness(store: Store, found: Scan, arrival: Arrival, existing_key: str) -> Likeness:
    """Compare an arrival, whose header scan is `found`, with the stored object `existing_key`."""
    try:
        ours = _digest_of(store, arrival.store_key, arrival.syntax, found)
        theirs = _digest_of(store, existing_key, "", None)
    except (IsocenterError, OSError):
        return Likeness.DIFFERENT
    return Likeness.SAME_PIXELS if ours and ours == theirs else Likeness.DIFFERENT


def _digest_of(store: Store, key: str, syntax: str, found: Scan | None) -> str:
    """A digest of the pixel data of a stored object, '' where it has none."""
    with store.open(key) as stored:
        header = read_header(stored.pread(1 << 16, 0))
        size = stored.size - header.offset

        def read(n: int, at: int) -> bytes:
            return stored.pread(n, header.offset + at)

        found = found or scan_file(read, size, syntax or header.syntax, extract.INDEXED)
        if found.pixel is None or transfer_syntax(header.syntax).deflated:
            return ""
        return _digest(read, size, found.pixel, header.syntax)


def _digest(read: Read, size: int, pixel: PixelData, syntax: str) -> str:
    facts = transfer_syntax(syntax)
    kind = syntax if facts.encapsulated else "little" if facts.little else "big"
    digest = hashlib.sha256(kind.encode())
    end = size if pixel.length < 0 else pixel.offset + pixel.length
    for at in range(pixel.offset, end, _SLICE):
        digest.update(read(min(_SLICE, end - at), at))
    return digest.hexdigest()
