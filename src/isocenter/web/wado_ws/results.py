"""What an operation has found, on its way into a message; and the file in which results wait whose success is told
before they are sent."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from isocenter.errors import Reason, Retriable
from isocenter.web.reply import SLICE
from isocenter.web.wado_ws.writing import Attachment, Trouble, included

_IN_MEMORY: Final = 4 << 20
"""Bytes of results that wait in memory; more wait in a file."""


class Result(NamedTuple):
    """One document as its response element describes it; with a media type it has a part of the package."""

    described: str
    media_type: str = ""


class Results(NamedTuple):
    """What an operation has found."""

    element: str
    """Name of the element that each result stands in."""
    results: Sequence[Result]
    troubles: Sequence[Trouble]
    attachments: Iterator[Attachment]
    body: Iterator[bytes] | None = None
    """The elements themselves, where they are ready."""
    closing: Callable[[], object] | None = None

    def elements(self) -> Iterator[str]:
        """The response elements that refer to parts."""
        for number, each in enumerate(self.results):
            yield f"<{self.element}>{each.described}{included(number, each.media_type)}</{self.element}>"


class Waiting:
    """Stretches of bytes that wait in an unnamed file of `folder` ('': the system's) that leaves `floor` bytes free."""

    def __init__(self, folder: str, floor: int) -> None:
        self._folder, self._floor = folder or tempfile.gettempdir(), floor
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=self._folder)  # noqa: SIM115 - closed by `close`
        self._end = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """(offset, length) of `data` from now on. Raises Retriable where there is no room."""
        at = self._end
        if (at + len(data)) // SLICE != at // SLICE and self._end + len(data) > _IN_MEMORY:
            free = os.statvfs(self._folder)
            if free.f_bavail * free.f_frsize < self._floor + len(data):
                raise Retriable(Reason.OUT_OF_STORAGE, "no space for the results of the request")
        self._file.seek(at)
        self._file.write(data)
        self._end += len(data)
        return at, len(data)

    def pieces(self, at: int = 0, length: int | None = None) -> Iterator[bytes]:
        """A stretch of it, or all."""
        end = self._end if length is None else at + length
        while at < end:
            self._file.seek(at)
            piece = self._file.read(min(SLICE, end - at))
            yield piece
            at += len(piece)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
