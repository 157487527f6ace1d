"""Stored objects out over an association: the accepted context for each, bytes as stored where the peer takes them.

Used by C-MOVE and C-GET sub-operations and by everything that sends of its own accord. An object leaves byte for byte
in its stored transfer syntax if that was accepted, converted or transcoded without loss to another if not; what fits no
accepted context fails alone. Changes that its opener names are laid over it as it leaves.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple, Protocol

from isocenter import telemetry
from isocenter.dicom import convert
from isocenter.dicom.dataset import Element, string_of
from isocenter.dicom.dataset import uid as uid_element
from isocenter.dicom.overlay import Changes, Edited, Overlay, merged
from isocenter.dicom.recoding import Recode, recoding
from isocenter.dicom.uids import transfer_syntax
from isocenter.dimse import Association, BytesSource, FileSource, Outgoing, Source, SourceFailed, commands
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Choice, Preferred, choose, substitute
from isocenter.imaging.engine import Bounds, Engine, engine_with
from isocenter.imaging.transcoding import Plain, Transcoding, transcoding

log = telemetry.logger("exchange.sending")

_AHEAD = 4
"""Objects that are made ready beyond the one that leaves, while they have to be transcoded."""


class Sendable(Protocol):
    """An instance to be sent."""

    @property
    def sop_class(self) -> str: ...
    @property
    def sop_uid(self) -> str: ...
    @property
    def syntax(self) -> str:
        """Transfer Syntax UID that it is stored in."""
        ...


class Opened(NamedTuple):
    """The data set of a `Sendable`: `size` bytes at `offset` of file descriptor `fd`, with what is laid over it."""

    fd: int
    offset: int
    size: int
    changes: Changes | None = None
    """Elements that are others than stored: of edits, of rules on sending. A changed SOP Instance UID changes the
    command's too."""
    text: Recode | None = None
    """The character set that all its text is to leave in (I-CHAR-07); None: as it is."""
    engine: Engine | None = None
    """What transcodes its pixels where the peer doesn't take them as they are; None: one with the default bounds."""


Opener = Callable[[Sendable, ExitStack], Opened]
"""Opens an object; what has to be closed after sending goes on the stack. Raises IsocenterError or OSError."""


class Withheld(Refused):
    """The object is there but doesn't leave; the comment says why."""

    def __init__(self, comment: str) -> None:
        super().__init__(Reason.NOT_AUTHORIZED, comment)


_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_DONE = (commands.SUCCESS, 0x0001, 0x0107, 0x0116)
"""Success and the warnings outside B000 to BFFF (PS3.7 C.3)."""


class Sent(NamedTuple):
    """What became of one object: the peer's status and Error Comment, or 0110 and our reason where it never left."""

    item: Sendable
    status: int
    comment: str = ""
    left: bool = True

    @property
    def failed(self) -> bool:
        """Neither success nor warning (PS3.4 B.2.3)."""
        return not (self.status in _DONE or 0xB000 <= self.status <= 0xBFFF)

    @property
    def warned(self) -> bool:
        """Stored, with a remark."""
        return not self.failed and self.status != commands.SUCCESS


def accepted_for_storing(association: Association) -> dict[str, list[Choice]]:
    """The contexts of an association on which we may invoke C-STORE, by SOP class."""
    found: dict[str, list[Choice]] = {}
    for context in association.contexts.values():
        if context.as_scu:
            found.setdefault(context.abstract, []).append(Choice(context.id, context.transfer_syntax))
    return found


def send(
    association: Association,
    items: Iterable[Sendable],
    opened: Opener,
    *,
    preferred: Preferred = (),
    originator: tuple[str, int] | None = None,
    priority: int = 0,
    wanted: Callable[[], bool] = lambda: True,
) -> Iterator[Sent]:
    """Store `items` on the peer, in order, as many at once as was negotiated; each with what became of it.

    The next object is made ready, and leaves, before it is told what became of the one before; just before it leaves
    `wanted` is asked, and after a no nothing more does. `originator`: AE title and message id of the C-MOVE behind it.
    Raises what the association raises when it ends.
    """
    accepted = accepted_for_storing(association)
    outgoing = _outgoing(accepted, items, opened, preferred, originator, priority)
    for item, response in association.store_many(outgoing, wanted=wanted):
        assert item.token is not None
        left = commands.STATUS in response.command
        yield Sent(item.token, response.status, response.comment, left)  # type: ignore[arg-type]


def _outgoing(
    accepted: dict[str, list[Choice]],
    items: Iterable[Sendable],
    opened: Opener,
    preferred: Preferred,
    originator: tuple[str, int] | None,
    priority: int,
) -> Iterator[Outgoing]:
    spare = next((choices[0] for choices in accepted.values()), Choice(1, ""))

    def ready(item: Sendable) -> _Ready:
        choice, sop_class = choose(accepted, (item.sop_class, item.syntax), preferred=preferred), item.sop_class
        if choice is None and (other := substitute(item.sop_class, preferred)):
            choice, sop_class = choose(accepted, (other, item.syntax), preferred=preferred), other
        with ExitStack() as stack:
            source, uid = _source(
                item, choice, opened if sop_class == item.sop_class else _As(sop_class, opened), stack
            )
            context = (choice or spare).context_id
            outgoing = Outgoing(context, sop_class, uid, source, priority, originator, item)
            return _Ready(outgoing, stack.pop_all(), isinstance(source, _Transcoded))

    return _in_turn(map(ready, items))


class _Ready(NamedTuple):
    """An object that may leave, and what is open for it until it has."""

    outgoing: Outgoing
    stack: ExitStack
    transcoded: bool


def _in_turn(objects: Iterator[_Ready]) -> Iterator[Outgoing]:
    """Each object stays open until the next one is asked for, which is after its last byte has left. While objects have
    to be transcoded some more are made ready, so that all workers are busy."""
    waiting: deque[_Ready] = deque()
    try:
        for one in objects:
            waiting.append(one)
            if not one.transcoded or len(waiting) > _AHEAD:
                yield from _leaving(waiting)
        while waiting:
            yield from _leaving(waiting)
    finally:
        for one in waiting:
            one.stack.close()


def _leaving(waiting: deque[_Ready]) -> Iterator[Outgoing]:
    first = waiting.popleft()
    with first.stack:
        yield first.outgoing


def _source(item: Sendable, choice: Choice | None, opened: Opener, stack: ExitStack) -> tuple[Source, str]:
    """Where the data set comes from, and the SOP Instance UID under which it leaves."""
    if choice is None:
        return _Failing("no accepted context fits the object's transfer syntax"), item.sop_uid
    try:
        found = opened(item, stack)
    except Withheld as withheld:
        return _Failing(withheld.comment), item.sop_uid
    except (IsocenterError, OSError):
        return _Failing("the object can't be read"), item.sop_uid
    uid = string_of(dict(_present(found.changes or {})), _SOP_INSTANCE) or item.sop_uid
    if not convert.can_convert(item.syntax, choice.syntax):
        return _transcoded(found, item.syntax, choice.syntax, stack), uid
    if found.changes or found.text:
        return BytesSource(_edited(found, item.syntax, choice.syntax)), uid
    if choice.syntax == item.syntax:
        return FileSource(found.fd, found.offset, found.size), item.sop_uid
    return BytesSource(_converted(found, item.syntax, choice.syntax)), item.sop_uid


class _As:
    """Opens an object as one of another SOP class; see `Opener`."""

    def __init__(self, sop_class: str, opened: Opener) -> None:
        self._changes: Changes = {_SOP_CLASS: uid_element(sop_class)}
        self._opened = opened

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """The data set with that SOP Class UID."""
        found = self._opened(item, stack)
        return found._replace(changes=merged(found.changes, self._changes))


def _present(changes: Changes) -> Iterator[tuple[int, Element]]:
    return ((tag, element) for tag, element in changes.items() if element is not None)


def _changed(found: Opened, stored: str) -> Edited:
    edited: Edited = Overlay(_reader(found), found.size, stored, found.changes or {})
    if found.text is None:
        return edited
    return edited.edited(partial(recoding, syntax=edited.syntax, wanted=found.text))


def _edited(found: Opened, stored: str, wanted: str) -> Iterator[bytes]:
    """The data set with its changes, then in its character set, in another native syntax if that is wanted."""
    try:
        edited = _changed(found, stored)
        yield from edited.pieces() if wanted == edited.syntax else edited.converted(wanted)
    except (IsocenterError, OSError) as failure:
        raise SourceFailed("the object can't be changed as it should be") from failure


class _Transcoded(BytesSource):
    """A data set whose pixels are written anew. What can't be decoded is told before the first byte of a small one."""

    def __init__(self, made: Transcoding | Plain) -> None:
        super().__init__(_made(made))


def _transcoded(found: Opened, stored: str, wanted: str, stack: ExitStack) -> Source:
    """The data set with its changes in a transfer syntax that takes a codec."""
    engine = found.engine or engine_with(Bounds(), 0)
    try:
        read, size, syntax = _reader(found), found.size, stored
        if found.changes or found.text:
            edited = _changed(found, stored)
            if transfer_syntax(stored).deflated:
                edited = edited.edited(lambda window: ())
            read, size, syntax = edited.read, edited.size(), edited.syntax
        made = transcoding(engine, read, size, syntax, wanted)
    except (IsocenterError, OSError) as failure:
        log.warning("transcoding.failed", stored=stored, wanted=wanted, reason=getattr(failure, "comment", ""))
        return _Failing("the object can't be had in a syntax that was accepted")
    stack.callback(made.close)
    return _Transcoded(made)


def _made(made: Transcoding | Plain) -> Iterator[bytes]:
    try:
        yield from made.pieces()
    except (IsocenterError, OSError) as failure:
        log.warning("transcoding.failed", reason=getattr(failure, "comment", ""))
        raise SourceFailed("the object's pixels can't be decoded") from failure


def _converted(found: Opened, stored: str, wanted: str) -> Iterator[bytes]:
    """The data set in another native syntax. A source that can't be converted says so before its first piece."""
    try:
        yield from convert.convert(_reader(found), found.size, stored, wanted)
    except (IsocenterError, OSError) as failure:
        raise SourceFailed("the object can't be converted") from failure


def _reader(found: Opened) -> Callable[[int, int], bytes]:
    def read(offset: int, n: int) -> bytes:
        return os.pread(found.fd, min(n, max(found.size - offset, 0)), found.offset + offset)

    return read


class _Failing:
    """A source that has nothing to give."""

    def __init__(self, comment: str) -> None:
        self._comment = comment

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        """Fails."""
        raise SourceFailed(self._comment)
