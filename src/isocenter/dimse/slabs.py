"""The large buffers that associations borrow while P-DATA flows."""

import threading
from typing import Final

from isocenter.dimse.pdu import ASSOCIATE_LIMIT

SLAB: Final = ASSOCIATE_LIMIT + 4096
"""Bytes in a slab: the longest A-ASSOCIATE with its header fits."""


class Slabs:
    """Lends slabs; keeps at most `spare` that nobody uses. One for each process, shared by its threads."""

    def __init__(self, spare: int = 8) -> None:
        self._lock = threading.Lock()
        self._free: list[bytearray] = []
        self._spare = spare
        self.lent = 0

    def borrow(self) -> bytearray:
        """A slab with any content."""
        with self._lock:
            self.lent += 1
            if self._free:
                return self._free.pop()
        return bytearray(SLAB)

    def give_back(self, slab: bytearray) -> None:
        """Return a slab; views of it mustn't be used any more."""
        with self._lock:
            self.lent -= 1
            if len(self._free) < self._spare:
                self._free.append(slab)
