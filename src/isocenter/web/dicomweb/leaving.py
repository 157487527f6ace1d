"""One object on its way to a client as a Part 10 file, its pixels transcoded where it leaves in another syntax.

Frames are with the workers from the moment it is `begun`, so that several objects may be made ready ahead of their
turn. What can't be decoded is known once it is `settled`, before its first byte leaves.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from isocenter import telemetry
from isocenter.archive.leaving import overlaid
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.dicom.convert import can_convert
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError, Retriable
from isocenter.imaging.plan import feasible, loses
from isocenter.imaging.recode import Lossy
from isocenter.imaging.transcoding import Plain, Transcoding, transcoding
from isocenter.imaging.turns import AHEAD, in_turn
from isocenter.web.call import Call
from isocenter.web.context import WebContext
from isocenter.web.dicomweb import objects
from isocenter.web.problem import not_acceptable

log = telemetry.logger("web")


def lossy_for(context: WebContext, syntax: str) -> Lossy | None:
    """How much may be lost in a transfer syntax that a client names: None for nothing."""
    return Lossy() if context.settings.lossy and loses(syntax) else None


class Choice(NamedTuple):
    """An object and the transfer syntax that it leaves in."""

    located: Located
    syntax: str
    spare: str = ""
    """The one that it leaves in if its pixels turn out damaged; '' for none."""

    @property
    def transcoded(self) -> bool:
        """Its pixels have to go through a codec."""
        return not can_convert(self.located.syntax, self.syntax)


Chosen = list[Choice]


class Leaving:
    """One object on its way."""

    def __init__(self, context: WebContext, choice: Choice) -> None:
        self.located, self.syntax, self._spare = choice
        self.transcoded = choice.transcoded
        self._sop_uid = self.located.sop_uid
        self._context = context
        self._stack = ExitStack()
        self._made: Transcoding | Plain | None = None

    @property
    def small(self) -> bool:
        """What is wrong with it is known once it is settled."""
        return self._made is None or self._made.small

    @property
    def longest(self) -> int:
        """Bytes that it may have at most, roughly: a large one that is decoded counts for more than there are."""
        return self.located.size if self.small else 1 << 32

    def begun(self) -> "Leaving":
        """Itself, its first frames under way. Raises IsocenterError or OSError where it can't be had, without spare."""
        if self.transcoded:
            self._try(self._begin)
        return self

    def settled(self) -> "Leaving":
        """Itself, with all frames of a small object there; `syntax` is final then. Raises as `begun`."""
        if self._made is not None and self._made.small:
            self._try(self._made.collect)
        return self

    def pieces(self, lead: bytes = b"") -> Iterator[bytes]:
        """`lead`, then the object as a file. Raises as `begun` while the frames of a large one come."""
        one, made = self.located, self._made
        if made is None:
            yield from objects.pieces(self._context.store, one, self.syntax, lead)
            return
        yield lead + outgoing_header(one.sop_class, made.sop_instance or self._sop_uid, self.syntax)
        yield from made.pieces()

    def close(self) -> None:
        """Give up what has not begun, close what is open."""
        self._stack.close()

    def _begin(self) -> None:
        context, one = self._context, self.located
        opened = self._stack.enter_context(reader(context.store, one))
        read, size, syntax = opened.at, one.size, one.syntax
        edited = overlaid(opened, one)
        if edited is not None:
            self._sop_uid = edited.sop_uid
            found = edited.edited(lambda window: ()) if transfer_syntax(syntax).deflated else edited
            read, size, syntax = found.read, found.size(), found.syntax
        lossy = lossy_for(context, self.syntax)
        self._made = transcoding(context.engine, read, size, syntax, self.syntax, lossy=lossy)
        self._stack.callback(self._made.close)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Retriable:
            raise
        except (IsocenterError, OSError) as failure:
            if not self._spare:
                raise
            log.warning("transcoding.failed", wanted=self.syntax, reason=getattr(failure, "comment", ""))
            self.close()
            self._made, self.transcoded, self.syntax = None, False, self._spare


class Feasibility:
    """Which objects of an answer can be had in which transfer syntax, by their headers.

    Objects of a series that look alike to the index are taken for alike: only where the first of them can't be had is
    every one looked at.
    """

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._alike: set[tuple[object, ...]] = set()

    def __call__(self, located: Located, syntax: str) -> bool:
        """Whether it can be had. Reads its header, so run it in a thread."""
        if can_convert(located.syntax, syntax):
            return True
        one = located
        kind = (syntax, one.series, one.sop_class, one.syntax, one.rows, one.columns, one.bits_allocated)
        if kind in self._alike:
            return True
        with reader(self._context.store, one) as opened:
            possible = feasible(opened.at, one.size, one.syntax, syntax, lossy_for(self._context, syntax))
        if possible:
            self._alike.add(kind)
        return possible


def leavings(call: Call, chosen: Chosen) -> Iterator[Leaving]:
    """The objects in turn, each with its final transfer syntax, while the next ones are made ready. Close it, or use it
    up."""
    begun = (Leaving(call.context, each).begun() for each in chosen)
    for leaving in in_turn(begun, call.context.engine.limit + AHEAD):
        with telling_why(leaving.located):
            leaving.settled()
        yield leaving


@contextmanager
def telling_why(one: Located) -> Iterator[None]:
    """406 for an object that can't be decoded after all, with what is the matter."""
    try:
        yield
    except Retriable:
        raise
    except IsocenterError as failure:
        raise not_acceptable(f"{objects.refusal(one)}; {failure.comment}") from failure
