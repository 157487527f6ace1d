"""Stored objects out over an association: the accepted context for each, bytes as stored where the peer takes them.

Used by C-MOVE and C-GET sub-operations and by everything that sends of its own accord. An object leaves byte for byte
in its stored transfer syntax if that was accepted, converted to another native one if not; what fits no accepted
context fails alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from isocenter.dicom import convert
from isocenter.dimse import Association, BytesSource, FileSource, Outgoing, Source, SourceFailed, commands
from isocenter.errors import IsocenterError
from isocenter.exchange.contexts import Choice, choose


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
    """The data set of a `Sendable`: `size` bytes at `offset` of file descriptor `fd`."""

    fd: int
    offset: int
    size: int


Opener = Callable[[Sendable, ExitStack], Opened]
"""Opens an object; what has to be closed after sending goes on the stack. Raises IsocenterError or OSError."""


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
    preferred: Sequence[str] = (),
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
    preferred: Sequence[str],
    originator: tuple[str, int] | None,
    priority: int,
) -> Iterator[Outgoing]:
    spare = next((choices[0] for choices in accepted.values()), Choice(1, ""))
    for item in items:
        choice = choose(accepted, (item.sop_class, item.syntax), preferred=preferred)
        # each object stays open until the next one is asked for, which is after its last byte has left
        with ExitStack() as stack:
            source = _source(item, choice, opened, stack)
            context = (choice or spare).context_id
            yield Outgoing(context, item.sop_class, item.sop_uid, source, priority, originator, item)


def _source(item: Sendable, choice: Choice | None, opened: Opener, stack: ExitStack) -> Source:
    if choice is None:
        return _Failing("no accepted context fits the object's transfer syntax")
    try:
        found = opened(item, stack)
        if choice.syntax == item.syntax:
            return FileSource(found.fd, found.offset, found.size)
        return BytesSource(_converted(found, item.syntax, choice.syntax))
    except (IsocenterError, OSError):
        return _Failing("the object can't be read")


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
