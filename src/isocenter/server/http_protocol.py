"""uvicorn's HTTP protocol, for large request bodies received straight into the buffers that they are worked on in.

What uvicorn hands on of a body has been copied four times on its way from the kernel, some 100 kB at a time. An
application that asks for it (the extension `BODY` of the scope) gets a body of known length in slices as the kernel
wrote them. Everything else is uvicorn's.
"""

import asyncio
import socket
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from isocenter.web.body import BODY

_WORTH: Final = 1 << 18
"""Bytes of a body from which on it is worth it."""
_FIRST, _SLICE = 1 << 18, 1 << 20
"""Bytes of a buffer: of the first ones, and of the others, once a body has shown that it comes."""
_GATHERED: Final = 1 << 19
"""Bytes that the kernel gathers before it wakes us: each time costs a wait for the interpreter, which is busy with what
came before."""
_AHEAD: Final = 2
"""Full buffers that wait for the application before the client has to."""

Message = MutableMapping[str, Any]


class Protocol(HttpToolsProtocol):
    """One connection."""

    _expected = 0
    _seen = 0

    def on_headers_complete(self) -> None:
        """A request begins: offer its body."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is before:
            return
        self._seen, self._expected = 0, _length(self.headers)
        if self._expected >= _WORTH and not self.pipeline and self.scheme == "http":  # TLS has buffers of its own
            extensions = cast(dict[str, Any], self.scope.setdefault("extensions", {}))
            extensions[BODY] = _Offer(self, self.cycle).receive

    def on_body(self, body: bytes) -> None:
        """Part of the body, the usual way."""
        self._seen += len(body)
        super().on_body(body)

    def take_over(self, cycle: RequestResponseCycle) -> "_Body | None":
        """Receive what is left of the body of `cycle` by other means; None where all of it is there."""
        left = self._expected - self._seen
        if self.cycle is not cycle or not cycle.more_body or cycle.disconnected or self.transport.is_closing():
            return None
        return _Body(self, cycle, left) if left > 0 else None

    def handed_back(self) -> None:
        """The body has ended; a request may follow."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if not self.cycle.response_complete:
            self.cycle.more_body = False


class _Offer:
    """What an application calls for a body: the first call takes it over."""

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle) -> None:
        self._protocol, self._cycle = protocol, cycle
        self._body: _Body | None = None
        self._asked = False

    async def receive(self) -> Message:
        """As ASGI's `receive`."""
        if not self._asked:
            self._asked = True
            first = await self._cycle.receive()
            if first["type"] == "http.request" and first["more_body"]:
                self._body = self._protocol.take_over(self._cycle)
            return cast(Message, first)
        if self._body is None:
            return cast(Message, await self._cycle.receive())
        return await self._body.receive()


class _Body(asyncio.BufferedProtocol):
    """What is left of one body on its way in: the connection's protocol until it has ended."""

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle, left: int) -> None:
        self._protocol, self._cycle, self._left = protocol, cycle, left
        self._full: deque[bytearray] = deque()
        self._buffer = bytearray(min(_FIRST, left))
        self._filled = self._awaited = 0
        self._switch(self)
        self._await()

    async def receive(self) -> Message:
        """The next slice; ends with `more_body` False."""
        cycle = self._cycle
        while not self._full and self._left and not cycle.disconnected:
            self._protocol.flow.resume_reading()
            await cycle.message_event.wait()
            cycle.message_event.clear()
        if cycle.disconnected:
            return {"type": "http.disconnect"}
        body = self._full.popleft() if self._full else b""
        if len(self._full) < _AHEAD:
            self._protocol.flow.resume_reading()
        return {"type": "http.request", "body": body, "more_body": bool(self._full or self._left)}

    # --- asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; never beyond the body."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        self._filled += nbytes
        self._left -= nbytes
        if self._filled == len(self._buffer):
            if not self._cycle.response_complete:  # else nobody wants it any more
                self._full.append(self._buffer)
            self._buffer, self._filled = bytearray(min(_SLICE, self._left)), 0
            if len(self._full) >= _AHEAD and self._left:
                self._protocol.flow.pause_reading()
            self._cycle.message_event.set()
        self._await()
        if not self._left:
            self._switch(self._protocol)
            self._protocol.handed_back()

    def eof_received(self) -> None:
        """The client has ended in the middle: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slowly what it is answered."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self._protocol.resume_writing()

    def _await(self) -> None:
        """Be woken when so much is there as there is room for, or all that is left of the body."""
        awaited = max(min(_GATHERED, len(self._buffer) - self._filled, self._left), 1)
        if awaited != self._awaited:
            self._awaited = awaited
            connection = self._protocol.transport.get_extra_info("socket")
            with suppress(OSError):  # the client has gone, which the transport will tell
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, awaited)

    def _switch(self, to: "asyncio.BufferedProtocol | Protocol") -> None:
        """Reading has to start anew: how is decided then."""
        transport, paused = self._protocol.transport, self._protocol.flow.read_paused
        if not paused:
            transport.pause_reading()
        transport.set_protocol(to)
        if not paused:
            transport.resume_reading()


def _length(headers: list[tuple[bytes, bytes]]) -> int:
    """The Content-Length; 0 where there is none, or another framing holds."""
    lengths = [value for name, value in headers if name == b"content-length"]
    framed = any(name in (b"transfer-encoding", b"upgrade") for name, _ in headers)
    return int(lengths[0]) if len(lengths) == 1 and not framed and lengths[0].isdigit() else 0
