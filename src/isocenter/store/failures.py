"""The system's errors while keeping objects, as errors of ours: none of them is ever success."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from isocenter.errors import Reason, Retriable

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


def failure(error: OSError) -> Retriable:
    """`error` of writing, syncing or naming a file, as what the peer is told (no path in it)."""
    name = errno.errorcode.get(error.errno or 0, "unknown")
    if error.errno in _NO_ROOM:
        return Retriable(Reason.OUT_OF_STORAGE, f"store has no room ({name})")
    return Retriable(Reason.OUT_OF_RESOURCES, f"store failed ({name})")


@contextmanager
def keeping() -> Iterator[None]:
    """Within it an OSError becomes Retriable. For doors that aren't hot; the spool catches by itself."""
    try:
        yield
    except OSError as error:
        raise failure(error) from error
