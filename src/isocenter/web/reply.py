"""Answers and how they leave: small ones whole, large ones in slices that a thread reads ahead.

A `Source` is read in a thread of a lane, about `SLICE` bytes a turn, while the turn before is on its way; so memory
stays at a few slices however large the answer and however slow the client.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from starlette.types import Receive, Send

from isocenter.web.lanes import Lane
from isocenter.web.problem import MEDIA_TYPE, Problem

SLICE = 1 << 20
"""Bytes read at a time: measured best on loopback, see DEPENDENCIES."""
_FEW = 16
"""Pieces of one slice that are sent one by one; more are joined first."""


class Source(Protocol):
    """Bytes to send. `length` None: not known before the end (the answer is then chunked)."""

    @property
    def length(self) -> int | None:
        """Bytes in all."""
        ...

    def read(self) -> list[bytes]:
        """The next pieces, together about `SLICE` bytes; empty at the end. Runs in a thread."""
        ...

    def close(self) -> None:
        """Let go of files, whether all was read or not."""
        ...


class Pieces:
    """A source made of a generator of byte pieces, gathered to slices."""

    def __init__(
        self, pieces: Iterator[bytes], length: int | None, closing: Callable[[], object] | None = None
    ) -> None:
        """`closing` lets go of what was opened before the first piece was asked for, which may never happen."""
        self._pieces = pieces
        self.length = length
        self._closing = closing

    def read(self) -> list[bytes]:
        """The next pieces."""
        gathered, size = [], 0
        for piece in self._pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= SLICE:
                break
        return gathered if len(gathered) <= _FEW else [b"".join(gathered)]

    def close(self) -> None:
        """End the generator, so that its `finally` runs now."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        if self._closing is not None:
            self._closing()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `lane` reads `source`, if there is one; otherwise `body` is all."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    source: Source | None = None
    lane: Lane | None = None


def problem_reply(problem: Problem) -> Reply:
    """`problem` as an answer."""
    return Reply(problem.status, {"Content-Type": MEDIA_TYPE, **problem.headers}, problem.body())


async def send_reply(reply: Reply, receive: Receive, send: Send, *, head: bool = False) -> None:
    """Send `reply`; for HEAD its headers alone."""
    length = len(reply.body) if reply.source is None else reply.source.length
    headers = [(name.lower().encode("ascii"), _text(value)) for name, value in reply.headers.items()]
    if length is not None and reply.status not in (204, 304):
        headers.append((b"content-length", b"%d" % length))
    start = {"type": "http.response.start", "status": reply.status, "headers": headers}
    if reply.source is None or head:
        if reply.source is not None:
            reply.source.close()
        await send(start)
        await send({"type": "http.response.body", "body": b"" if head else reply.body})
        return
    assert reply.lane is not None
    await _stream(reply.source, reply.lane, start, receive, send)


async def _stream(source: Source, lane: Lane, start: dict[str, object], receive: Receive, send: Send) -> None:
    """The first slice is read before the status leaves, so that what fails at once still gets a proper answer."""
    ahead: asyncio.Task[list[bytes]] | None = None
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        pieces = await lane.run(source.read)
        await send(start)
        while pieces and not gone.done():
            ahead = asyncio.ensure_future(lane.run(source.read))
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            pieces = await ahead
            ahead = None
        if not pieces:
            await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        if ahead is not None:
            with suppress(BaseException):  # what failed ahead of a client that has gone concerns nobody
                await ahead
        with suppress(asyncio.CancelledError):  # we cancelled it
            await gone
        source.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _text(value: str) -> bytes:
    return value.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")
