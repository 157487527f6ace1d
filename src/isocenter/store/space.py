"""The free-space floor: below it nothing new is received, so that index and journal never meet a full disk."""

import os
import time

from isocenter.errors import Reason, Retriable

REFRESH = 0.25
"""Seconds for which one look at the file system holds."""


class Floor:
    """Watches the free space of the file system that holds `path`."""

    def __init__(self, path: str, floor_bytes: int) -> None:
        self._path = path
        self._floor = floor_bytes
        self._free = 0
        self._until = 0.0

    def free_bytes(self) -> int:
        """Bytes that this user may still write, now."""
        status = os.statvfs(self._path)
        return status.f_bavail * status.f_frsize

    def check(self, wanted: int = 0) -> None:
        """Raise Retriable(OUT_OF_STORAGE) unless `wanted` bytes fit above the floor. Mostly a comparison of numbers."""
        now = time.monotonic()
        if now >= self._until:
            self._free = self.free_bytes()
            self._until = now + REFRESH
        if self._free - wanted < self._floor:
            raise Retriable(Reason.OUT_OF_STORAGE, "free space is below the floor")
