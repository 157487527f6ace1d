"""Starting write-back early, so that the sync at the end of an object has little left to wait for."""

import ctypes
from collections.abc import Callable

_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start writing dirty pages, wait for nothing


def _find() -> Callable[[int, int, int], None]:
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return lambda file, offset, length: None
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    call.restype = ctypes.c_int

    def start(file: int, offset: int, length: int) -> None:
        call(file, offset, length, _WRITE)

    return start


start_writeback: Callable[[int, int, int], None] = _find()
"""Start writing `length` bytes (0: to the end) from `offset` of an open file to the disk. A hint: nothing is durable by
it, and an error shows at the sync. Does nothing where the C library has no `sync_file_range`."""
