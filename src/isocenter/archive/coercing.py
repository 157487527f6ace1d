"""Objects that rules change as they come in (docs/decisions/0007): the header waits in memory until the rules have been
asked, then all of it goes to the spool as it will be kept. Pixel data never waits and is written and hashed once.

A header that is too long to wait, and a deflated data set, go to the spool as they are; `recast` writes such an object
again when it is whole.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from isocenter.archive.repeating import Recurring, repeatable, seen_of
from isocenter.dicom.dataset import string_of
from isocenter.dicom.deflate import Inflating
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import LONG_VRS, MalformedDataSet, NeedMore, Window
from isocenter.dicom.forms import Met
from isocenter.dicom.jumping import RawElement
from isocenter.dicom.overlay import Changes, Edit, Overlay, Prepared, edits, plan_of
from isocenter.dicom.part10 import Received
from isocenter.dicom.scan import HEADER_BOUND, Places, Scan, placed, scan, scan_file
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Refused
from isocenter.rules import Coercion, Outcome, View
from isocenter.rules.validity import is_invalid, top_level

Read = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""

_FIRST: Final = 1 << 13
"""Bytes that mostly hold a whole header. Four times as many are waited for where they do not."""
_MOST: Final = 1 << 20
_SLICE: Final = 1 << 20
_SOP_CLASS, _SOP_INSTANCE, _CHARACTER_SET = 0x00080016, 0x00080018, 0x00080005
_NAMED: Final = frozenset([_SOP_CLASS, _SOP_INSTANCE])


class Identity(NamedTuple):
    """SOP Class and Instance UID, as the command or the file's header has them."""

    sop_class: str
    sop_instance: str


class Coerced(NamedTuple):
    """What becomes of an object: the bytes to begin with, and what else there is to know."""

    head: bytes
    outcome: Outcome
    identity: Identity
    received: Received | None = None
    """What the sender's bytes were, where they are not what is kept."""
    scan: Scan | None = None
    """Of the data set as it is kept, where that is known already."""
    late: bool = False
    """Nothing is decided yet: `recast` has to look at the whole object."""
    refusal: Refused | None = None
    """The rules could not be applied; the object is to be set aside as it came."""


class Waiting:
    """The beginning of an object, until the rules can be asked."""

    __slots__ = ("_assumed", "_at", "_coercion", "_held", "_identity", "_indexed", "_next", "_recurring", "_syntax")

    def __init__(
        self,
        coercion: Coercion,
        identity: Identity,
        syntax: str,
        indexed: frozenset[int],
        assumed: str,
        at: int,
        recurring: Recurring | None = None,
    ) -> None:
        """`assumed`: the character set of a data set that names none; `at`: microseconds since 1970, UTC; `recurring`:
        what is known of those before."""
        self._coercion, self._identity, self._syntax = coercion, identity, syntax
        self._indexed, self._assumed, self._at = indexed, assumed, at
        self._recurring = recurring or Recurring()
        self._held = bytearray()
        self._next = self._recurring.forms.reach or _FIRST

    def feed(self, views: Sequence[memoryview | bytes]) -> tuple[Coerced, list[memoryview]] | None:
        """Take the next bytes. Once it is known what becomes of the object: that, and the bytes behind its head."""
        rest = [memoryview(view) for view in views]
        while rest:
            wanted = self._next - len(self._held)
            self._held += rest[0][:wanted]
            rest[0] = rest[0][wanted:]
            if not rest[0]:
                rest.pop(0)
            if len(self._held) >= self._next and (decided := self._decided(whole=False)):
                return decided, rest
        return None

    def finish(self) -> Coerced:
        """The object is whole."""
        decided = self._decided(whole=True)
        assert decided is not None
        return decided

    def _decided(self, *, whole: bool) -> Coerced | None:
        """What becomes of it, or None while more of it is needed."""
        head = bytes(self._held)
        if transfer_syntax(self._syntax).deflated:
            return Coerced(head, Outcome({}), self._identity, late=True)
        forms, wanted = self._recurring.forms, _wanted(self._indexed, self._coercion.tags)
        met = forms.meet(head, self._syntax, wanted)
        seen = self._seen(met)
        if met is not None and (again := self._again(head, met, seen)) is not None:
            return again
        try:
            found, places = placed(head, self._syntax, wanted, whole=whole)
            if met is None:
                forms.learn(lambda n, at: head[at : at + n], found, wanted)
            return self._coerced(head, found, places, wanted, whole, met, seen)
        except NeedMore:
            if len(head) < _MOST:
                self._next = 4 * len(head) if len(head) >= _FIRST else _FIRST
                return None
            return Coerced(head, Outcome({}), self._identity, late=True)
        except MalformedDataSet:
            # nothing can be said of it: what it is kept or refused for is told by who scans it as it came
            return Coerced(head, Outcome({}), self._identity)
        except Refused as refusal:
            return Coerced(head, Outcome({}), self._identity, refusal=refusal)

    def _seen(self, met: Met | None) -> Hashable:
        if met is None:
            return None
        return seen_of(self._coercion, met, self._identity.sop_class, self._assumed, self._at)

    def _again(self, head: bytes, met: Met, seen: Hashable) -> Coerced | None:
        """The same as of the object before, where the rules see nothing else."""
        before = self._recurring.before(seen)
        if before is None or _named(met) != self._identity:
            return None
        scan = before.scanned(met)
        if not before.edits:
            return Coerced(head, before.outcome, self._identity, scan=scan)
        made, end = before.edited(head, met), met.form.sample.scan.end + met.grown
        received = Received(end, end + len(made) - len(head), hashlib.sha256(head[:end]).hexdigest())
        return Coerced(made, before.outcome, self._identity, received, scan)

    def _coerced(
        self,
        head: bytes,
        found: Scan,
        places: Places,
        wanted: frozenset[int],
        whole: bool,
        met: Met | None,
        seen: Hashable,
    ) -> Coerced:
        held = _Held(head, self._syntax, whole)
        outcome = _asked(self._coercion, found, self._identity, self._assumed, self._at, held)
        changes, changed = outcome.changes, tuple[Edit, ...]()
        if changes:
            changed = tuple(edits(Window.over(head, whole=whole), self._syntax, changes, places, wanted))
        made = _edited(head, changed)
        kept = _scan_of(found, changes, self._indexed, len(made) - len(head))
        if met is not None and isinstance(changes, Prepared) and self._may_repeat(found, met, changes):
            self._recurring.keep(repeatable(seen, met, outcome, changed, kept))
        if not changes:
            return Coerced(head, outcome, self._identity, scan=found)
        end = len(head) if found.pixel is None else found.end
        received = Received(end, end + len(made) - len(head), hashlib.sha256(head[:end]).hexdigest())
        return Coerced(made, outcome, _identity_of(outcome, self._identity), received, kept)

    def _may_repeat(self, found: Scan, met: Met, changes: Changes) -> bool:
        """Not what is filed under other UIDs, nor where something is taken out that may be longer in the next."""
        gone = plan_of(changes, found.encoding).gone
        return _NAMED.isdisjoint(changes) and gone.isdisjoint(met.form.varying - self._coercion.tags)


class Recast(NamedTuple):
    """An object that is to be written again, as the rules make it."""

    pieces: Iterator[bytes]
    outcome: Outcome
    identity: Identity
    received: Received


def recast(
    coercion: Coercion, read: Read, size: int, digest: str, syntax: str, identity: Identity, assumed: str, at: int
) -> Recast | None:
    """The object behind `read` as the rules make it; None where they change nothing. `digest` is the SHA-256 of all of
    it. Raises Refused where it can't be read or the rules can't be applied."""
    found = scan_file(read, size, syntax, _wanted(_NAMED, coercion.tags))
    outcome = _asked(coercion, found, identity, assumed, at, _Stored(read, size, syntax))
    if not outcome.changes:
        return None

    def at_offset(offset: int, n: int) -> bytes:
        return read(min(n, max(size - offset, 0)), offset)

    overlay = Overlay(at_offset, size, syntax, outcome.changes)
    kept = overlay.size()
    if transfer_syntax(syntax).deflated or found.pixel is None:
        received = Received(size, kept, digest)
    else:
        head = hashlib.sha256()
        for start in range(0, found.end, _SLICE):
            head.update(read(min(_SLICE, found.end - start), start))
        received = Received(found.end, found.end + kept - size, head.hexdigest())
    return Recast(overlay.pieces(), outcome, _identity_of(outcome, identity), received)


class _Held:
    """Further elements of an object that is in memory."""

    def __init__(self, head: bytes, syntax: str, whole: bool) -> None:
        self._head, self._syntax, self._whole = head, syntax, whole
        self.asked = False

    def __call__(self, tags: frozenset[int]) -> Mapping[int, RawElement]:
        self.asked = True
        return scan(self._head, self._syntax, tags, whole=self._whole).elements

    def window(self) -> Window:
        """All of it, inflated."""
        return Window.over(self._head, whole=self._whole)


class _Stored:
    """Further elements of an object that lies in the spool."""

    def __init__(self, read: Read, size: int, syntax: str) -> None:
        self._read, self._size, self._syntax = read, size, syntax
        self.asked = False

    def __call__(self, tags: frozenset[int]) -> Mapping[int, RawElement]:
        self.asked = True
        return scan_file(self._read, self._size, self._syntax, tags).elements

    def window(self) -> Window:
        """All of it, inflated."""
        if transfer_syntax(self._syntax).deflated:
            return Window(Inflating(lambda at, n: self._read(n, at), self._size, HEADER_BOUND, lookback=None))
        return Window(lambda at, n: self._read(n, at), self._size)


def _asked(
    coercion: Coercion, found: Scan, identity: Identity, assumed: str, at: int, source: _Held | _Stored
) -> Outcome:
    """What the rules make of an object. One whose identity isn't the command's is none of theirs."""
    told = Identity(_uid(found, _SOP_CLASS), _uid(found, _SOP_INSTANCE))
    if told != identity:
        return Outcome({})
    scanned, elements = coercion.tags, found.elements
    seen = (identity.sop_class, found.encoding, assumed, at // 1_000_000, *map(elements.get, scanned))
    outcome = coercion.memory.recall(seen)
    if outcome is not None:
        return outcome
    view = View(elements, scanned, found.encoding, assumed=assumed, fetch=source, facts=coercion.facts)
    invalid = _invalid(found, source.window(), assumed) if coercion.drop_invalid else ()
    outcome = coercion.apply(view, identity.sop_class, at, invalid)
    if coercion.repeatable and not source.asked:
        outcome = outcome._replace(changes=Prepared(outcome.changes))
        coercion.memory.keep(seen, outcome)
    return outcome


def _invalid(found: Scan, window: Window, assumed: str) -> tuple[int, ...]:
    declared = found.elements.get(_CHARACTER_SET)
    terms = declared.value.strip(b" \0") if declared else b""
    elements = top_level(window, found.encoding)
    charset = terms or assumed.encode("ascii", "replace")
    return tuple(tag for tag, element in elements if is_invalid(tag, element, charset))


def _identity_of(outcome: Outcome, before: Identity) -> Identity:
    present = {tag: element for tag, element in outcome.changes.items() if element is not None}
    return Identity(
        string_of(present, _SOP_CLASS) or before.sop_class,
        string_of(present, _SOP_INSTANCE) or before.sop_instance,
    )


def _scan_of(found: Scan, changes: Changes, indexed: frozenset[int], grown: int) -> Scan:
    """What a scan of the changed data set for what is `indexed` would find, where `found` was found before."""
    elements, puts = dict(found.elements), plan_of(changes, found.encoding).puts
    for tag in changes:
        elements.pop(tag, None)
        if tag in indexed and (encoded := puts.get(tag)):
            vr = vr_of(tag) if found.encoding.implicit else encoded[4:6].decode("ascii")
            start = 12 if vr in LONG_VRS and not found.encoding.implicit else 8
            elements[tag] = RawElement(vr_of(tag) if vr == "UN" else vr, encoded[start:])
    pixel = found.pixel._replace(offset=found.pixel.offset + grown) if found.pixel is not None else None
    return found._replace(elements=elements, pixel=pixel, end=found.end + grown)


def _edited(head: bytes, changed: tuple[Edit, ...]) -> bytes:
    ends = [0, *(edit.end for edit in changed)]
    starts = [*(edit.start for edit in changed), len(head)]
    puts = [*(edit.put for edit in changed), b""]
    kept = (head[end:start] for end, start in zip(ends, starts, strict=True))
    return b"".join(chain.from_iterable(zip(kept, puts, strict=True)))


@lru_cache(maxsize=64)
def _wanted(indexed: frozenset[int], tags: frozenset[int]) -> frozenset[int]:
    """What is scanned for: also the lengths of groups that may change, so that they are known to be absent."""
    return indexed | tags | {tag & 0xFFFF0000 for tag in tags}


def _named(met: Met) -> Identity:
    """What a header of a known form says of itself."""
    common, own = met.form.sample.scan.elements, met.values
    return Identity(*(_text(own.get(tag) or common.get(tag)) for tag in (_SOP_CLASS, _SOP_INSTANCE)))


def _uid(found: Scan, tag: int) -> str:
    return _text(found.elements.get(tag))


def _text(element: RawElement | None) -> str:
    return element.value.decode("ascii", "replace").strip("\0 ") if element else ""
