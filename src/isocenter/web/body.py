"""Request bodies on their way to blocking code.

The loop gathers what arrives while a thread works on what came before, so a slow client holds no thread and a fast one
never waits for the loop; about two slices are in memory at any time.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from starlette.types import Receive

from isocenter.errors import Reason, Refused
from isocenter.web.lanes import Lane
from isocenter.web.problem import Problem

BODY: Final = "isocenter.body"
"""An extension of ASGI's scope (`server.http_protocol`): what to call in the place of `receive` for a body in larger
pieces. They may be bytearrays, which nobody changes any more."""
_ENOUGH = 128 << 10
"""Bytes worth a turn of the thread."""
_MOST = 1 << 20
"""Bytes gathered before the client has to wait."""
_INFLATED_SLICE = 1 << 20

Work = Callable[[list[bytes], bool], None]
"""(the next bytes, whether the body ends with them); runs in a thread."""


class Disconnected(Exception):
    """The client went away before its body was complete."""


async def pump(receive: Receive, lane: Lane, work: Work, limit: int = 0) -> None:
    """Give the body to `work`, turn by turn. Raises Disconnected, and Problem 413 beyond `limit` bytes."""
    running: asyncio.Future[None] | None = None
    gathered: list[bytes] = []
    size = total = 0
    more = True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            gathered.append(chunk)
            size += len(chunk)
            total += len(chunk)
            if limit and total > limit:
                raise Problem(413, f"the body is larger than {limit} bytes")
            if running is not None and (running.done() or size >= _MOST or not more):
                await running
                running = None
            if running is None and (size >= _ENOUGH or not more):
                running = asyncio.ensure_future(lane.run(work, gathered, not more))
                gathered, size = [], 0
        if running is not None:
            await running
    except BaseException:
        if running is not None:
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
        raise


class Inflater:
    """Undoes Content-Encoding gzip or deflate in slices, so that a bomb costs time but no memory; `limit` bounds it."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._gzip = encoding in ("gzip", "x-gzip")
        self._limit = limit
        self._total = 0
        self._pending = False
        """The last slice was full: more may come without more input."""
        self._inflate = self._fresh()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The inflated bytes, in slices. Raises Refused."""
        data = chunk
        while data or self._pending:
            if self._inflate.eof:
                self._inflate = self._fresh()  # the next member of a gzip file
            try:
                piece = self._inflate.decompress(data, _INFLATED_SLICE)
            except zlib.error as fault:
                raise Refused(Reason.BAD_REQUEST, "the body does not inflate as its Content-Encoding says") from fault
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._pending = len(piece) == _INFLATED_SLICE and not self._inflate.eof
            self._total += len(piece)
            if self._total > self._limit:
                raise Refused(Reason.TOO_LARGE, "the inflated body is too large")
            if piece:
                yield piece

    def finish(self) -> None:
        """The body has ended. Raises Refused where the compressed data has not."""
        if not self._inflate.eof:
            raise Refused(Reason.BAD_REQUEST, "the compressed body is incomplete")

    def _fresh(self) -> "zlib._Decompress":
        return zlib.decompressobj(31 if self._gzip else 15)
