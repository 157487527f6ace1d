"""How many associations a peer has of us at once, over all processes of this machine (I-ASSOC-06).

Each association to a peer holds the lock of one of the peer's places, which are small files in one folder. The kernel
gives a lock back when its process ends, however that happens.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from isocenter.config import Peer
from isocenter.errors import Reason, Refused, Retriable

_FOLDER: Final = "outbound"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
"""Seconds between two looks for a free place."""


class AllTaken(Retriable):
    """The peer has all the associations that it may have of us."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(Reason.OUT_OF_RESOURCES, f"{peer.title} has all its associations")


class Turns:
    """The places of all peers, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    @contextmanager
    def taken(self, peer: Peer, patience: float, wanted: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Have one of the peer's places for the length of the block.

        Raises AllTaken where none is free for `patience` seconds, Refused(CANCELLED) where it is not
        `wanted` any more: that is asked again and again.
        """
        descriptor = self._take(peer, time.monotonic() + patience, wanted)
        try:
            yield
        finally:
            os.close(descriptor)

    def _take(self, peer: Peer, until: float, wanted: Callable[[], bool]) -> int:
        pause = _FIRST_PAUSE
        while (descriptor := self._free(peer)) is None:
            if not wanted():
                raise Refused(Reason.CANCELLED, "cancelled while waiting for a place at the peer")
            left = until - time.monotonic()
            if left <= 0:
                raise AllTaken(peer)
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return descriptor

    def _free(self, peer: Peer) -> int | None:
        """The descriptor that holds one of the peer's places, or None."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._locked(peer)
        except OSError as error:
            raise Retriable(Reason.OUT_OF_RESOURCES, f"no place can be kept: {error.strerror}") from error

    def _locked(self, peer: Peer) -> int | None:
        for path in self._places(peer):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                return descriptor
        return None

    def _places(self, peer: Peer) -> Iterator[Path]:
        name = hashlib.sha256(f"{peer.title}\0{peer.host}\0{peer.port}".encode()).hexdigest()[:24]
        return (self._folder / f"{name}.{place}" for place in range(peer.associations))
