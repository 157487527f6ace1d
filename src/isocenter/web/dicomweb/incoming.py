"""The parts of a STOW-RS body, each on its way into the archive (PS3.18 10.5).

A part is a Part 10 file: its file meta information is read as soon as it is there, the data set behind it goes to
ingest as it arrives. Everything here runs in a thread.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

from isocenter import telemetry
from isocenter.archive.ingest import Origin, Reception, Stored
from isocenter.dicom import part10
from isocenter.dicom.deflate import Inflating
from isocenter.dicom.elements import MalformedDataSet, Window, encoding_of, walk_window
from isocenter.dicom.headers import NeedMore
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.web import media
from isocenter.web.body import Inflater
from isocenter.web.multipart import MalformedMultipart, Parser, PartBegin, PartEnd

log = telemetry.logger("web.stow")

_META_START = 512
"""Bytes with which it is worth trying to read a file's meta information."""
_HEAD_LIMIT = 8 << 20
"""Bytes in which an object must have said what it is."""
_OVERLAPPING = 11
"""Complete parts of one request that may be on their way to the disk while the next ones arrive."""
_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one part. UIDs are '' where the part was not understood far enough."""

    sop_class: str = ""
    sop_uid: str = ""
    stored: Stored | None = None
    refusal: IsocenterError | None = None

    @property
    def names(self) -> tuple[str, str]:
        """SOP Class and SOP Instance UID."""
        return self.sop_class, self.sop_uid


class Receiving(Protocol):
    """Lets an object into the archive; `Ingest` does."""

    def receive(self, origin: Origin, sop_class: str, sop_instance: str, syntax: str) -> Reception:
        """See `Ingest.receive`."""
        ...


class Part(Protocol):
    """One part of a body, given its bytes as they come."""

    def write(self, view: memoryview) -> None:
        """The next bytes."""

    def finish(self) -> Taken:
        """The part is whole: what became of it."""
        ...

    def abandon(self) -> None:
        """Let go of what was received."""


class Gathering(Protocol):
    """Told which objects of a body may still be filed, so that it may wait for them (`together`)."""

    def began(self) -> None:
        """One more."""

    def ended(self) -> None:
        """One less."""

    def complete(self) -> None:
        """There will be no others."""


class Incoming:
    """One STOW-RS body: fed with its bytes, it stores the objects one after another and keeps what became of each."""

    def __init__(
        self,
        ingest: Receiving,
        origin: Callable[[], Origin],
        study: str,
        parser: Parser | None,
        inflater: Inflater | None,
        finishers: Executor,
        gathering: Gathering,
    ) -> None:
        """`finishers`: the threads that store complete parts while the next ones arrive."""
        self._ingest, self._origin, self._study = ingest, origin, study
        self._finishers, self._gathering = finishers, gathering
        self._complete: Part | None = None
        self._finishing: deque[Future[Taken]] = deque()
        self._parser, self._inflater = parser, inflater
        self._part: Part | None = None
        self.taken: list[Taken] = []
        self.unsupported: set[str] = set()
        """Media types of parts that are not objects."""
        self.fault: MalformedMultipart | None = None
        """Where the body stopped making sense; what came before is stored."""
        if parser is None:
            self._begin({})

    @property
    def open(self) -> bool:
        """Something was begun that is neither stored nor let go of."""
        return bool(self._part or self._complete or self._finishing)

    def work(self, chunks: list[bytes], last: bool) -> None:
        """The next bytes of the body. Raises Refused where it can't be inflated."""
        for chunk in chunks:
            for plain in self._inflater.feed(chunk) if self._inflater else (chunk,):
                self._feed(plain)
        if last:
            if self._inflater:
                self._inflater.finish()
            self._finish()
            self._settle(0)

    def abandon(self) -> None:
        """The body broke off: what is not complete was never an object. What is complete stays."""
        self._drop()
        self._settle(0)

    def _drop(self) -> None:
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _feed(self, chunk: bytes) -> None:
        if self._parser is None:
            assert self._part is not None
            self._part.write(memoryview(chunk))
        elif self.fault is None:
            self._events(self._parser.feed(chunk))

    def _finish(self) -> None:
        if self._parser is not None:
            if self.fault is None:
                self._events(self._parser.finish())
            self._drop()
        elif self._part is not None:
            self._complete, self._part = self._part, None

    def _events(self, events: Iterator[PartBegin | memoryview | PartEnd]) -> None:
        try:
            for event in events:
                if isinstance(event, memoryview):
                    if self._part is not None:
                        self._part.write(event)
                elif isinstance(event, PartBegin):
                    self._begin(event.headers)
                else:
                    self._complete, self._part = self._part, None
        except MalformedMultipart as fault:
            self.fault = fault
            self._drop()

    def _settle(self, allowed: int) -> None:
        """Have the complete part stored; wait until no more than `allowed` are still on their way to the disk.

        The last part is stored here, the others by the finishers while the next ones arrive, so that syncs overlap and
        the index commits several at once.
        """
        part, self._complete = self._complete, None
        if part is not None:
            self._gathering.began()
        if not allowed:
            self._gathering.complete()
        if part is not None and allowed:
            self._finishing.append(self._finishers.submit(self._finished, part))
            part = None
        last = self._finished(part) if part is not None else None
        while len(self._finishing) > allowed:
            self.taken.append(self._finishing.popleft().result())
        if last is not None:
            self.taken.append(last)

    def _finished(self, part: Part) -> Taken:
        try:
            return part.finish()
        finally:
            self._gathering.ended()

    def _begin(self, headers: dict[str, str]) -> None:
        self._settle(_OVERLAPPING)
        kind = media.parse(headers.get("content-type", media.DICOM))
        if kind is None or kind.name in (media.DICOM, media.OCTETS):
            self._part = _Part(self._ingest, self._origin, self._study)
        else:
            self.unsupported.add(kind.name)


class _Part:
    """One object. `head` gathers its beginning until it is known what is being received."""

    def __init__(self, ingest: Receiving, origin: Callable[[], Origin], study: str) -> None:
        self._ingest, self._origin, self._study = ingest, origin, study
        self._head = bytearray()
        self._header: part10.FileHeader | None = None
        self._reception: Reception | None = None
        self._refusal: IsocenterError | None = None
        self._wanted = _META_START

    def write(self, view: memoryview) -> None:
        """The next bytes of the file. What can't be stored is skipped to its end."""
        if self._refusal is not None:
            return
        try:
            while view and self._reception is None:
                more = self._wanted - len(self._head)
                self._head += view[:more]
                view = view[more:]
                if len(self._head) >= self._wanted:
                    self._start(view)
                    view = view if self._reception is None else view[:0]
            if view and self._reception is not None:
                self._reception.write([view])
        except IsocenterError as refusal:
            self._refuse(refusal)

    def finish(self) -> Taken:
        """The file is whole: what became of it."""
        try:
            if self._refusal is None and self._reception is None:
                self._start(None)
            if self._refusal is None and self._reception is not None:
                reception, self._reception = self._reception, None
                return self._taken(stored=reception.finish())
        except IsocenterError as refusal:
            self._refuse(refusal)
        return self._taken(refusal=self._refusal)

    def abandon(self) -> None:
        """Let go of what was received."""
        if self._reception is not None:
            self._reception.abandon()
            self._reception = None

    def _taken(self, stored: Stored | None = None, refusal: IsocenterError | None = None) -> Taken:
        if self._header is None:
            return Taken(stored=stored, refusal=refusal)
        return Taken(self._header.sop_class, self._header.sop_instance, stored, refusal)

    def _refuse(self, refusal: IsocenterError) -> None:
        self._refusal = refusal
        self._head.clear()
        self.abandon()
        log.warning("stow.refused", reason=refusal.reason, passing=isinstance(refusal, Retriable))

    def _start(self, rest: memoryview | None) -> None:
        """Begin the reception as soon as enough of the file is there. `rest` comes behind the head; None: the file ends
        with it."""
        whole = rest is None
        try:
            header = self._header or part10.read_header(bytes(self._head), whole=whole)
            if not header.sop_instance or not header.sop_class or self._study:
                header = self._identified(header, whole)
        except NeedMore as more:
            if len(self._head) > _HEAD_LIMIT:
                raise Refused(Reason.CANNOT_UNDERSTAND, "the object's identity is not where it should be") from more
            self._wanted = max(len(self._head) * 2, more.hint)
            return
        self._header = header
        data = memoryview(bytes(self._head))[header.offset :]
        self._head = bytearray()
        self._reception = self._ingest.receive(self._origin(), header.sop_class, header.sop_instance, header.syntax)
        views = [view for view in (data, rest) if view]
        if views:
            self._reception.write(views)

    def _identified(self, header: part10.FileHeader, whole: bool) -> part10.FileHeader:
        """`header` with the UIDs that the data set itself has, once its study is the one that the request names."""
        found = _identity(bytes(self._head[header.offset :]), header.syntax, whole)
        header = header._replace(
            sop_class=header.sop_class or found.get(_SOP_CLASS, ""),
            sop_instance=header.sop_instance or found.get(_SOP_INSTANCE, ""),
        )
        self._header = header
        if not header.sop_class or not header.sop_instance:
            raise Refused(Reason.CANNOT_UNDERSTAND, "SOP Class or SOP Instance UID is missing")
        if self._study and found.get(_STUDY, "") != self._study:
            raise Refused(Reason.STUDY_MISMATCH, "the object is of another study than the request names")
        return header


def _identity(data: bytes, syntax: str, whole: bool) -> dict[int, str]:
    """SOP Class, SOP Instance and Study Instance UID of a data set of which `data` is the beginning.

    Raises NeedMore and MalformedDataSet.
    """
    if transfer_syntax(syntax).deflated:
        window = Window(Inflating(lambda at, n: data[at : at + n], len(data), whole=whole))
    else:
        window = Window.over(data, whole=whole)
    found: dict[int, str] = {}
    try:
        for event in walk_window(window, encoding_of(syntax)):
            if event.depth == 0 and event.tag in (_SOP_CLASS, _SOP_INSTANCE, _STUDY):
                found[event.tag] = window.bytes_at(event.offset, event.length).decode("ascii", "replace").strip("\0 ")
            if event.depth == 0 and event.tag >= _STUDY:
                break
    except MalformedDataSet as fault:
        if whole:
            raise
        raise NeedMore(2 * len(data)) from fault  # a value that goes on behind a beginning looks like that
    return found
