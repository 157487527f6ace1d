"""That objects compressed in the store still show what they showed before: each against the digest that it carries."""

from isocenter.dicom import part10
from isocenter.errors import IsocenterError
from isocenter.imaging.engine import Engine
from isocenter.imaging.proving import pixel_digest
from isocenter.store.api import Finding, StoredObject
from isocenter.store.verify import data_offset

PROVED, CHANGED = "pixels-proved", "pixels-differ"


def prove(engine: Engine, stored: StoredObject) -> Finding | None:
    """Decode an object and compare its samples with the digest of those that it was made of. None for an object that
    was not compressed here: its data set is what was received. Raises Retriable where no process can be had."""
    offset = data_offset(stored)
    header = part10.read_header(stored.pread(offset, 0))
    receipt = part10.read_receipt(header)
    if receipt is None or not receipt.compressed:
        return None
    size = stored.size - offset

    def read(at: int, n: int) -> bytes:
        return stored.pread(min(n, max(size - at, 0)), offset + at)

    try:
        same = pixel_digest(engine, read, size, header.syntax) == receipt.compressed[-1].pixels
    except IsocenterError as fault:
        return Finding(stored.key, CHANGED, stored.size, fault.comment)
    return Finding(stored.key, PROVED if same else CHANGED, stored.size)
