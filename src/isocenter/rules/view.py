"""An object as rules and hooks see it: the attributes of its header, and what becomes of them.

Nothing is parsed before it is asked for, and the object's bytes are not touched: what is changed is noted, to be laid
over them later (`dicom.overlay`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from isocenter.dicom.dataset import DataSet, Element, bytes_of, items
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding, MalformedDataSet
from isocenter.dicom.jumping import RawElement
from isocenter.dicom.overlay import Changes
from isocenter.dicom.swapping import swapped
from isocenter.rules import paths
from isocenter.rules.paths import EVERY, Path, Step
from isocenter.rules.values import element_of, texts_of, writable

CHARACTER_SET: Final = 0x00080005
_MOST_ITEMS: Final = 1000

Fetch: TypeAlias = Callable[[frozenset[int]], Mapping[int, RawElement]]
"""Reads further elements of the object by tag."""


def _nothing(_tags: frozenset[int]) -> Mapping[int, RawElement]:
    return {}


class View:
    """One object on its way. Attributes are named by keyword, tag or path (`rules.paths`):

    view["PatientID"], view.get("StudyDescription"), view.values("ImageType"), view["PatientSex"] = "O",
    del view["PatientAge"], "AccessionNumber" in view
    """

    def __init__(
        self,
        elements: Mapping[int, RawElement],
        scanned: frozenset[int],
        encoding: Encoding = EXPLICIT_LITTLE,
        *,
        assumed: str = "",
        fetch: Fetch = _nothing,
        facts: Mapping[str, str] | None = None,
        laid: Changes | None = None,
    ) -> None:
        """`scanned`: which elements `elements` would have if they were there; `assumed`: the character set where none
        is named; `laid`: what is laid over the object already."""
        self._raw, self._scanned, self._encoding = dict(elements), scanned, encoding
        self._assumed, self._fetch = assumed.encode("ascii", "replace"), fetch
        self._read: dict[int, Element | None] = dict(laid or {})
        self.changes: dict[int, Element | None] = {}
        """What has changed so far, by tag of the top level."""
        self.facts: Final[Mapping[str, str]] = facts or {}
        """`calling`, `called`, `address`, `peer`: who has to do with the object."""

    # --- for hooks

    def __getitem__(self, name: str) -> str:
        """All values of an attribute as one text; '' where it is absent or empty."""
        return "\\".join(self.values(name))

    def __setitem__(self, name: str, value: str) -> None:
        path = paths.parse(name)
        if not writable(path.vr):
            raise ValueError(f"{name} can't be written as text")
        self.write(path, path.vr, tuple(value.split("\\")))

    def __delitem__(self, name: str) -> None:
        self.remove(paths.parse(name))

    def __contains__(self, name: str) -> bool:
        return next(self.elements(paths.parse(name)), None) is not None

    def get(self, name: str, default: str = "") -> str:
        """As `view[name]`, or `default` where there is no value."""
        return self[name] or default

    def values(self, name: str) -> tuple[str, ...]:
        """The values of an attribute one by one."""
        return self.texts(paths.parse(name))

    # --- for rules

    @property
    def declared(self) -> bytes:
        """Specific Character Set of the top level, or what is assumed of it."""
        element = self.top(CHARACTER_SET)
        return (element.value.strip(b" \0") if element and isinstance(element.value, bytes) else b"") or self._assumed

    def top(self, tag: int) -> Element | None:
        """An element of the top level as it stands now."""
        return self.changes[tag] if tag in self.changes else self.original(tag)

    def original(self, tag: int) -> Element | None:
        """An element of the top level as it came."""
        if tag not in self._read:
            self._read[tag] = self._decoded(tag)
        return self._read[tag]

    def texts(self, path: Path) -> tuple[str, ...]:
        """All values at a path."""
        return tuple(text for element, declared in self.elements(path) for text in texts_of(element, declared))

    def elements(self, path: Path) -> Iterator[tuple[Element, bytes]]:
        """The elements at a path, each with the character set that holds there."""
        first = self.top(path.top)
        if first is None:
            return
        if len(path.steps) == 1:
            yield first, self.declared
        else:
            yield from _within(first, path.steps, self.declared)

    def put(self, path: Path, change: "Change", *, make: bool = False) -> None:
        """Let `change` say what becomes of each element at a path. `make`: of one that is not there too, in an item
        that the path names by number, which is made if it would be the next."""
        step, rest = path.steps[0], path.steps[1:]
        before = self.top(step.tag)
        if not rest:
            after = change(before, self.declared) if before is not None or make else None
        else:
            after = _changed(before, step, rest, change, self.declared, make)
        if not _same(after, before):
            self.changes[step.tag] = after

    def write(self, path: Path, vr: str, values: tuple[str, ...]) -> None:
        """Set an attribute. Raises ValueError where these can't be its values."""
        self.put(path, lambda _before, declared: element_of(vr, values, declared), make=True)

    def remove(self, path: Path) -> None:
        """Remove an attribute."""
        self.put(path, lambda _before, _declared: None)

    def overlay(self) -> Changes:
        """What is to be laid over the object: changes that came to nothing are left out."""
        return {tag: element for tag, element in self.changes.items() if not _same(element, self.original(tag))}

    def _decoded(self, tag: int) -> Element | None:
        if tag not in self._scanned and tag not in self._raw:
            self._raw.update(self._fetch(frozenset([tag])))
        raw = self._raw.get(tag)
        if raw is None:
            return None
        if raw.vr == "SQ":
            return _sequence(raw.value, self._encoding)
        little = self._encoding.little
        return Element(raw.vr, raw.value if little else swapped(raw.vr, raw.value))


Change: TypeAlias = Callable[[Element | None, bytes], Element | None]
"""(what an element was, character set) -> what it becomes; None for absent, both times."""


def _same(one: Element | None, other: Element | None) -> bool:
    """Whether two elements say the same: padding says nothing."""
    if one is None or other is None or isinstance(one.value, tuple) or isinstance(other.value, tuple):
        return one == other
    return one.vr == other.vr and one.value.rstrip(b" \0") == other.value.rstrip(b" \0")


def _sequence(value: bytes, encoding: Encoding) -> Element:
    """A sequence's items; one that can't be read is kept as it is, under UN."""
    try:
        return Element("SQ", items(value, encoding))
    except MalformedDataSet:
        pass  # behind UN the items are often implicit (PS3.5 6.2.2)
    try:
        return Element("SQ", items(value, IMPLICIT_LITTLE))
    except MalformedDataSet:
        return Element("UN", value)


def _within(element: Element, steps: tuple[Step, ...], declared: bytes) -> Iterator[tuple[Element, bytes]]:
    if not isinstance(element.value, tuple):
        return
    for number, item in enumerate(element.value):
        if steps[0].item not in (EVERY, number):
            continue
        inner = bytes_of(item, CHARACTER_SET).strip(b" \0") or declared
        found = item.get(steps[1].tag)
        if found is not None:
            if len(steps) == 2:
                yield found, inner
            else:
                yield from _within(found, steps[1:], inner)


def _changed(
    before: Element | None, step: Step, rest: tuple[Step, ...], change: Change, declared: bytes, make: bool
) -> Element | None:
    """The sequence `before` with `change` made at `rest` in its items."""
    old = before.value if before is not None and isinstance(before.value, tuple) else ()
    if before is not None and not isinstance(before.value, tuple) and before.value:
        return before
    found: list[DataSet] = list(old)
    if make and step.item == len(found) < _MOST_ITEMS:
        found.append({})
    for number, item in enumerate(found):
        if step.item in (EVERY, number):
            found[number] = _in_item(item, rest, change, declared, make)
    return Element("SQ", tuple(found)) if found or before is not None else None


def _in_item(item: DataSet, rest: tuple[Step, ...], change: Change, declared: bytes, make: bool) -> DataSet:
    inner = bytes_of(item, CHARACTER_SET).strip(b" \0") or declared
    step, further = rest[0], rest[1:]
    before = item.get(step.tag)
    if further:
        after = _changed(before, step, further, change, inner, make)
    else:
        after = change(before, inner) if before is not None or make else None
    if after == before:
        return item
    return {tag: element for tag, element in {**item, step.tag: after}.items() if element is not None}


def vr_at(path: Path, given: str) -> str:
    """The VR to write at a path: the dictionary's, or the `given` one where that has none."""
    known = vr_of(path.steps[-1].tag)
    return given or known if known == "UN" else known
