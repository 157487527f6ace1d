"""The lock that lets one process at a time write to an SQLite database.

SQLite's own lock is taken by polling; ours waits in the kernel and is handed over in turn. It lies in files beside the
database, since closing any descriptor of the database file itself would drop SQLite's locks (sqlite.org/howtocorrupt).
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class _Door:
    """A lock among threads and processes; a thread lock first, as the threads of a process share the descriptor."""

    def __init__(self, path: Path) -> None:
        self._threads = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def enter(self) -> None:
        self._threads.acquire()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except BaseException:
            self._threads.release()
            raise

    def leave(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        os.close(self._descriptor)


class WriteLock:
    """Held around each writing transaction. Made after the fork: a descriptor that crosses one is the same lock.

    Two doors, the first held only while waiting at the second: whoever waits there is next, so that a writer which
    commits without a pause can't keep others out.
    """

    def __init__(self, database: Path) -> None:
        self._queue = _Door(database.with_name(database.name + ".queue"))
        self._room = _Door(database.with_name(database.name + ".lock"))

    def enter(self) -> None:
        """Wait for the lock and have it until `leave`."""
        self._queue.enter()
        try:
            self._room.enter()
        finally:
            self._queue.leave()

    def leave(self) -> None:
        """Let the next one in."""
        self._room.leave()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def close(self) -> None:
        """Give the descriptors back."""
        self._queue.close()
        self._room.close()
