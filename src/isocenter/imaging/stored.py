"""Frames that a worker process reads by itself: what is large need not pass through its pipe."""

import os
from typing import NamedTuple

from isocenter.errors import Reason, Refused


class Stored(NamedTuple):
    """Bytes as they lie in a file that does not change."""

    path: str
    pieces: tuple[tuple[int, int], ...]
    """(offset, length) of each, joined in this order."""

    @property
    def length(self) -> int:
        """Bytes together."""
        return sum(length for _, length in self.pieces)


def fetched(stored: Stored) -> bytes:
    """The bytes. Raises Refused: NOT_FOUND where the file has gone, PROCESSING_FAILURE where it can't be read or is
    shorter."""
    try:
        file = os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Refused(Reason.NOT_FOUND, "no such object in the store") from error
    except OSError as error:
        raise _failed() from error
    try:
        if len(stored.pieces) == 1:
            return _read(file, *stored.pieces[0])
        return b"".join([_read(file, offset, length) for offset, length in stored.pieces])
    except OSError as error:
        raise _failed() from error
    finally:
        os.close(file)


def _read(file: int, offset: int, length: int) -> bytes:
    data = os.pread(file, length, offset)
    while len(data) < length:  # the kernel gives at most 2 GiB at once
        more = os.pread(file, length - len(data), offset + len(data))
        if not more:
            raise Refused(Reason.PROCESSING_FAILURE, "the stored object is shorter than its frames")
        data += more
    return data


def _failed() -> Refused:
    return Refused(Reason.PROCESSING_FAILURE, "the stored object can't be read")
