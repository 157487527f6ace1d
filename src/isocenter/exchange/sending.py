"""Stored objects out over an association: the accepted context for each, bytes as stored where the peer takes them.

Used by C-MOVE and C-GET sub-operations and by everything that sends of its own accord. An object leaves byte for byte
in its stored transfer syntax if that was accepted, converted or transcoded without loss to another if not; what fits no
accepted context fails alone. Changes that its opener names are laid over it as it leaves.
"""

import os
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
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.dimse import Association, BytesSource, FileSource, Outgoing, Source, SourceFailed, commands
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Choice, Preferred, choose, substitute
from isocenter.imaging.engine import Bounds, Engine, engine_with
from isocenter.imaging.plan import loses, recolours
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import Plain, Transcoding, transcoding
from isocenter.imaging.turns import in_turn

log = telemetry.logger("exchange.sending")


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
    lossy: Lossy | None = None
    """How much may be lost where the transfer syntax that was chosen loses; None: nothing."""
    colour: str = ""
    """The photometric interpretation that the peer wants (`imaging.recolouring`); '' for any."""


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
        # an object that is to be recoloured leaves as if it were stored native
        native = choose(accepted, (sop_class, EXPLICIT_LE), preferred=preferred)
        with ExitStack() as stack:
            opener = opened if sop_class == item.sop_class else _As(sop_class, opened)
            source, uid, choice = _source(item, choice, native, opener, stack)
            context = (choice or spare).context_id
            outgoing = Outgoing(context, sop_class, uid, source, priority, originator, item)
            return _Ready(outgoing, stack.pop_all(), isinstance(source, _Transcoded))

    return (one.outgoing for one in in_turn(map(ready, items)))


class _Ready(NamedTuple):
    """An object that may leave, and what is open for it until it has."""

    outgoing: Outgoing
    stack: ExitStack
    transcoded: bool

    def close(self) -> None:
        """It has left, or will not."""
        self.stack.close()


def _source(
    item: Sendable, choice: Choice | None, native: Choice | None, opened: Opener, stack: ExitStack
) -> tuple[Source, str, Choice | None]:
    """Where the data set comes from, the SOP Instance UID under which it leaves, and the context."""
    if choice is None:
        return _Failing("no accepted context fits the object's transfer syntax"), item.sop_uid, None
    try:
        found = opened(item, stack)
    except Withheld as withheld:
        return _Failing(withheld.comment), item.sop_uid, choice
    except (IsocenterError, OSError):
        return _Failing("the object can't be read"), item.sop_uid, choice
    uid = string_of(dict(_present(found.changes or {})), _SOP_INSTANCE) or item.sop_uid
    if found.colour and _recolours(found, item.syntax):
        return _recoloured(found, item.syntax, uid, choice, native or choice, stack)
    if not convert.can_convert(item.syntax, choice.syntax):
        return *_transcoded(found._replace(colour=""), item.syntax, uid, choice.syntax, stack), choice
    if found.changes or found.text:
        return BytesSource(_edited(found, item.syntax, choice.syntax)), uid, choice
    if choice.syntax == item.syntax:
        return FileSource(found.fd, found.offset, found.size), item.sop_uid, choice
    return BytesSource(_converted(found, item.syntax, choice.syntax)), item.sop_uid, choice


def _recolours(found: Opened, stored: str) -> bool:
    """Whether the object has to be recoloured. A deflated one is not looked at, one that can't be read fails later."""
    if transfer_syntax(stored).deflated:
        return False
    try:
        return recolours(_reader(found), found.size, stored, found.colour)
    except (IsocenterError, OSError):  # it is sent as it is; if it can't be read, sending says so
        return False


def _recoloured(
    found: Opened, stored: str, uid: str, choice: Choice, native: Choice, stack: ExitStack
) -> tuple[Source, str, Choice]:
    """The object in the colours that the peer wants, on the context that was chosen unless its syntax loses."""
    chosen = native if loses(choice.syntax) else choice
    return *_transcoded(found, stored, uid, chosen.syntax, stack), chosen


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


def _transcoded(found: Opened, stored: str, uid: str, wanted: str, stack: ExitStack) -> tuple[Source, str]:
    """The data set with its changes in a transfer syntax that takes a codec, and its SOP Instance UID."""
    engine = found.engine or engine_with(Bounds(), 0)
    try:
        read, size, syntax = _reader(found), found.size, stored
        if found.changes or found.text:
            edited = _changed(found, stored)
            if transfer_syntax(stored).deflated:
                edited = edited.edited(lambda window: ())
            read, size, syntax = edited.read, edited.size(), edited.syntax
        lossy = found.lossy if loses(wanted) else None
        made = transcoding(engine, read, size, syntax, wanted, lossy=lossy, colour=found.colour)
    except (IsocenterError, OSError) as failure:
        log.warning("transcoding.failed", stored=stored, wanted=wanted, reason=getattr(failure, "comment", ""))
        return _Failing("the object can't be had in a syntax that was accepted"), uid
    stack.callback(made.close)
    return _Transcoded(made), made.sop_instance or uid


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
