"""Messages over a pair of pipes, each with its length in front. A message is bytes in parts, which are not joined."""

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

_LENGTH: Final = 8
_CAPACITY: Final = 1 << 20
"""Bytes of a pipe, where the system allows it: fewer turns for a large frame."""
_MOST_PARTS: Final = 64


def widen(descriptor: int) -> None:
    """Let a pipe hold more."""
    with contextlib.suppress(OSError, AttributeError):  # it works as it is, only slower
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CAPACITY)


class Channel:
    """One end of both pipes: what is written to `outgoing` and read from `incoming`, both descriptors."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def send(self, parts: Sequence[Buffer], until: float | None = None) -> None:
        """Send one message. Raises OSError where the other side has gone, TimeoutError at `until` (monotonic)."""
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        rest = [memoryview(sum(map(len, views)).to_bytes(_LENGTH, "little")), *views]
        while rest:
            if until is not None:
                _await(self._outgoing, select.POLLOUT, until)
            sent = os.writev(self._outgoing, rest[:_MOST_PARTS])
            while rest and sent >= len(rest[0]):
                sent -= len(rest.pop(0))
            if rest and sent:
                rest[0] = rest[0][sent:]

    def receive(self, until: float | None = None, most: int | None = None) -> bytearray | None:
        """The next message; None when the other side has gone. Raises TimeoutError, and ValueError for a message of
        more than `most` bytes."""
        head = self._exactly(_LENGTH, until)
        if head is None:
            return None
        size = int.from_bytes(head, "little")
        if most is not None and size > most:
            raise ValueError("the message is too long")
        return self._exactly(size, until)

    def _exactly(self, size: int, until: float | None) -> bytearray | None:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            if until is not None:
                _await(self._incoming, select.POLLIN, until)
            got = os.readv(self._incoming, [view[done:]])
            if not got:
                return None
            done += got
        return data


def _await(descriptor: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer")
        if poll.poll(left * 1000):
            return
