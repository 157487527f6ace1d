"""One thread at a time for each destination: what is delivered in order must not be overtaken by another job for it."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Alone:
    """Who is at work for which destination, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[Hashable] = set()

    @contextmanager
    def at(self, destination: Hashable) -> Iterator[bool]:
        """Be at work for a destination until the end of the block; False where another thread is."""
        with self._lock:
            mine = destination not in self._busy
            self._busy.add(destination)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._busy.discard(destination)
