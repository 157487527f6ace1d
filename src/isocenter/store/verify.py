"""Every object against the digest that its own header recorded when it was received. Needs no database."""

import hashlib
from collections.abc import Iterator

from isocenter.dicom import part10
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.store.api import Finding, ReadRecorded, Recorded, Store, StoredObject

HEADER_AT_MOST = 1 << 16
_SLICE = 1 << 20
_GROUP_LENGTH = b"DICM" + bytes((2, 0, 0, 0)) + b"UL" + bytes((4, 0))
_META = 144
"""Where the elements behind the group length begin."""


def recorded(stored: StoredObject) -> Recorded | None:
    """What a Part 10 header says of its data set; None without receipt facts. Raises IsocenterError if unreadable."""
    start = stored.pread(HEADER_AT_MOST, 0)
    offset = _end_of_meta(start)
    receipt = part10.read_receipt(part10.read_header(start[:offset]))
    return Recorded(offset, receipt.digest) if receipt is not None and receipt.digest else None


def _end_of_meta(start: bytes) -> int:
    """Where the file meta information ends, by its group length (PS3.10 7.1), which is exact in files of ours. Elements
    tell it less surely: senders exist whose data sets begin with group 0002 again."""
    if start[128:140] != _GROUP_LENGTH or len(start) < _META:
        raise Refused(Reason.CANNOT_UNDERSTAND, "not a file of this store")
    return _META + int.from_bytes(start[140:_META], "little")


def digest_of(stored: StoredObject, offset: int) -> str:
    """SHA-256 of an object's data set, read in slices of 1 MiB."""
    digest = hashlib.sha256()
    while part := stored.pread(_SLICE, offset):
        digest.update(part)
        offset += len(part)
    return digest.hexdigest()


def examine(stored: StoredObject, read: ReadRecorded = recorded) -> Finding:
    """One object."""
    try:
        facts = read(stored)
        if facts is None:
            return Finding(stored.key, "no-digest", stored.size)
        sound = digest_of(stored, facts.offset) == facts.digest
    except IsocenterError as error:
        return Finding(stored.key, "unreadable", stored.size, error.comment)
    return Finding(stored.key, "sound" if sound else "altered", stored.size)


def data_offset(stored: StoredObject) -> int:
    """Where the data set starts by the object's header; 0 where that can't be read."""
    try:
        facts = recorded(stored)
    except IsocenterError:
        return 0
    return facts.offset if facts else 0


def verify(store: Store, read: ReadRecorded = recorded) -> Iterator[Finding]:
    """A finding for each complete object, as it is read. Changes nothing."""
    for key in store.keys():  # noqa: SIM118  a store is no mapping
        try:
            stored = store.open(key)
        except IsocenterError as error:
            yield Finding(key, "unreadable", comment=error.comment)
            continue
        with stored:
            yield examine(stored, read)
