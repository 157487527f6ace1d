"""Objects for tests of the store: a header of the right shape that records the data's digest, and its reader."""

import hashlib

from isocenter.store.api import Recorded, Spool, Store, StoredObject

HEADER = 256


def header(digest: str) -> bytes:
    """128 zeros, `DICM`, the digest, filled up to `HEADER` bytes."""
    return (bytes(128) + b"DICM" + digest.encode()).ljust(HEADER, b".")


def recorded(stored: StoredObject) -> Recorded | None:
    """Reads what `header` wrote; None if it wrote no digest."""
    digest = stored.pread(64, 132).decode("latin-1").strip(".")
    return Recorded(HEADER, digest) if digest else None


def begun(store: Store, data: bytes) -> Spool:
    """A spool that holds `data`."""
    spool = store.reserve()
    spool.begin(HEADER)
    spool.write([data])
    return spool


def keep(store: Store, data: bytes, *, settle: bool = True) -> str:
    """Store `data`; its key."""
    spool = begun(store, data)
    spool.commit(header(spool.finish_data()))
    if settle:
        spool.settle()
    return spool.key


def data_of(store: Store, key: str) -> bytes:
    """The data set of a stored object, checked against its header."""
    with store.open(key) as stored:
        data = stored.pread(stored.size, HEADER)
        facts = recorded(stored)
    assert facts is not None
    assert facts.digest == hashlib.sha256(data).hexdigest()
    return data
