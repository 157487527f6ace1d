"""`multipart/related` bodies, read as they arrive (RFC 2046 5.1, RFC 2387).

`Parser.feed` gives events and keeps nothing but a possible beginning of a delimiter, so parts of any size pass in
constant memory and linear time. Lines may end in LF alone, as some clients write them; preamble and epilogue are
skipped. Content comes as views into what was fed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from isocenter.errors import Reason, Refused

HEADER_LIMIT = 16 << 10
"""Bytes of one part's header."""
_PADDING_LIMIT = 256
"""Bytes of white space between a boundary and the end of its line."""

_LINE_END = re.compile(rb"--|[ \t]{0,256}\r?\n")
_LINE_END_BEGUN = re.compile(rb"-?|[ \t]*\r?")
_HEADER_END = re.compile(rb"\n\r?\n")
_NO_HEADER = re.compile(rb"\r?\n")


class MalformedMultipart(Refused):
    """The body isn't what its Content-Type says."""

    def __init__(self, comment: str) -> None:
        super().__init__(Reason.BAD_REQUEST, comment)


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part's header; names in lower case."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part's content is complete."""


Event: TypeAlias = PartBegin | memoryview | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEADER = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class Parser:
    """Reads one body. `boundary` is the parameter of the Content-Type."""

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= 200 or not boundary.isascii() or not boundary.isprintable():
            raise MalformedMultipart("multipart/related needs a boundary parameter")
        self._mark = b"\n--" + boundary.encode("ascii")
        self._state = _State.PREAMBLE
        # A mark may be the first line of the body, or follow a part's header at once: the line end before it is then
        # not content. `_lead` says that the first byte to look at is such a line end.
        self._held = b"\n"
        self._lead = True

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events of the next bytes, which may be a bytearray that nobody changes any more; exhaust it before the
        next call. Raises MalformedMultipart."""
        data = self._held + chunk if self._held else chunk
        self._held = b""
        view = memoryview(data)
        at = 0
        while self._state is not _State.EPILOGUE:
            if self._state is _State.HEADER:
                at, headers = self._header(data, at)
                if headers is None:
                    return
                yield PartBegin(headers)
                continue
            end, after = self._delimiter(data, at)
            begin = at + self._lead
            if self._state is _State.CONTENT and end > begin:
                yield view[begin:end]
            if after < 0:
                self._lead = self._lead and end <= at
                self._held = data[end:]
                return
            if self._state is _State.CONTENT:
                yield PartEnd()
            self._state = _State.EPILOGUE if data[after - 1] == 0x2D else _State.HEADER
            at = after

    def finish(self) -> Iterator[Event]:
        """The body has ended. Raises MalformedMultipart if a part was still open, or there was none.

        A last boundary without its two hyphens closes the last part all the same.
        """
        if self._state is _State.CONTENT and self._held.strip() == self._mark.strip():
            self._state = _State.EPILOGUE
            yield PartEnd()
        if self._state is _State.CONTENT:
            raise MalformedMultipart("the body ends in the middle of a part")
        if self._state is _State.PREAMBLE:
            raise MalformedMultipart("the boundary never occurs in the body")
        if self._state is _State.HEADER and self._held.strip():
            raise MalformedMultipart("the body ends in the header of a part")

    def _delimiter(self, data: bytes, at: int) -> tuple[int, int]:
        """(end of the content that is known for sure, end of the delimiter or -1 where more bytes are needed)."""
        mark = self._mark
        look = at
        while (found := data.find(mark, look)) >= 0:
            after = found + len(mark)
            begin = self._line_end_before(data, found, at)
            line = _LINE_END.match(data, after)
            if line:
                return begin, line.end()
            if len(data) - after < _PADDING_LIMIT and _LINE_END_BEGUN.fullmatch(data, after):
                return begin, -1
            look = found + 1
        return self._sure_end(data, at), -1

    def _sure_end(self, data: bytes, at: int) -> int:
        """Where a delimiter may begin that the next bytes complete; the mark's only line end is its first byte."""
        line = data.rfind(b"\n", max(at, len(data) - len(self._mark)))
        if line >= 0 and self._mark.startswith(bytes(data[line:])):
            return self._line_end_before(data, line, at)
        return len(data) - 1 if len(data) > at + self._lead and data[-1] == 0x0D else len(data)

    def _line_end_before(self, data: bytes, line: int, at: int) -> int:
        return line - 1 if line > at + self._lead and data[line - 1] == 0x0D else line

    def _header(self, data: bytes, at: int) -> tuple[int, dict[str, str] | None]:
        """The header that starts at `at` and where its part's content starts, on the line end before it."""
        found = _NO_HEADER.match(data, at) or _HEADER_END.search(data, at)
        if found is None and len(data) - at <= HEADER_LIMIT:
            self._held = data[at:]
            return at, None
        if found is None or found.start() - at > HEADER_LIMIT:
            raise MalformedMultipart("the header of a part is too long")
        self._state = _State.CONTENT
        self._lead = True
        return found.end() - 1, _fields(data[at : found.start()])


def _fields(text: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for ended in text.decode("latin-1").split("\n"):
        line = ended.removesuffix("\r")
        if line[:1] in (" ", "\t") and name:
            fields[name] += " " + line.strip()
            continue
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMultipart("a line in the header of a part has no colon")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields
