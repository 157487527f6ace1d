"""The body of a request: a SOAP message, or an XOP package whose root part is one (MTOM)."""

from collections.abc import Iterable, Iterator
from typing import Final

from isocenter.web.body import Inflater, pump
from isocenter.web.call import Call
from isocenter.web.media import MediaType, parse
from isocenter.web.multipart import Event, Parser, PartBegin, PartEnd
from isocenter.web.wado_ws.faults import Fault
from isocenter.web.wado_ws.reading import LARGEST

_TAKEN: Final = ("application/soap+xml", "text/xml", "application/xml", "application/xop+xml")
_CODINGS: Final = ("gzip", "x-gzip", "deflate")


async def message(call: Call) -> bytes:
    """The SOAP message of a request. Raises Fault, Disconnected, and Problem 413."""
    kind = parse(call.headers.get("content-type", ""))
    if kind is None or kind.root not in _TAKEN:
        raise Fault(f"a message is of type {_TAKEN[0]} or {_TAKEN[1]}, or a package of them", status=415)
    body = _Body(kind, _inflater(call.headers.get("content-encoding", "").strip().lower()))
    await pump(call.receive, call.context.lanes.retrieve, body.work, LARGEST)
    return body.message()


def _inflater(coding: str) -> Inflater | None:
    if coding in ("", "identity"):
        return None
    if coding not in _CODINGS:
        raise Fault("a Content-Encoding other than gzip and deflate", status=415)
    return Inflater(coding, LARGEST)


class _Body:
    """Gathers the message as the body arrives."""

    def __init__(self, kind: MediaType, inflater: Inflater | None) -> None:
        self._inflater = inflater
        self._parser = Parser(kind.parameters.get("boundary", "")) if kind.multipart else None
        self._start = kind.parameters.get("start", "").strip(" <>")
        self._root = self._parser is None
        """What comes is the message."""
        self._had_root = self._root
        self._message = bytearray()

    def work(self, chunks: list[bytes], last: bool) -> None:
        """The next bytes (`body.Work`). Raises Refused."""
        for chunk in chunks:
            for piece in self._inflater.feed(chunk) if self._inflater is not None else (chunk,):
                self._take(piece)
        if last:
            if self._inflater is not None:
                self._inflater.finish()
            if self._parser is not None:
                self._events(self._parser.finish())

    def message(self) -> bytes:
        """All of it."""
        if not self._had_root:
            raise Fault("the package has no root part")
        return bytes(self._message)

    def _take(self, piece: bytes) -> None:
        if self._parser is None:
            self._message += piece
        else:
            self._events(self._parser.feed(piece))

    def _events(self, events: Iterable[Event] | Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, PartBegin):
                name = event.headers.get("content-id", "").strip(" <>")
                self._root = not self._had_root and (not self._start or name == self._start)
                self._had_root = self._had_root or self._root
            elif isinstance(event, PartEnd):
                self._root = False
            elif self._root:
                self._message += event
