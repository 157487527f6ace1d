"""Query keys matched on a whole DICOM JSON object, to any depth: keys below one sequence must hold in the same item
(PS3.4 C.2.2.2.6)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from isocenter.declarations.query_keys import Path
from isocenter.dicom.dictionary import keyword_of
from isocenter.errors import Refused
from isocenter.index.matching_values import (
    FOLDED,
    Exact,
    Name,
    Sensitivity,
    Span,
    Test,
    Tests,
    Wild,
    accepts,
    read,
    values_at,
)

Item: TypeAlias = dict[str, Any]
"""A DICOM JSON object, or an item of one of its sequences."""
Accept: TypeAlias = Callable[[Item], bool]

FOLDED_VRS: Final = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
"""Texts that people write, which match without regard to case and marks."""
_EXACT: Final = Sensitivity(case=True, accents=True)
_EMPTY: Final = '""'


class Asked(NamedTuple):
    """One matching key: where it lies and what is asked for."""

    path: Path
    vr: str
    text: str
    single: bool = False
    """Wildcards are plain characters."""

    @property
    def keyword(self) -> str:
        """Keywords of the path joined by dots."""
        return ".".join(keyword_of(tag) or f"{tag:08X}" for tag in self.path)


class How(NamedTuple):
    """How values are compared."""

    sensitivity: Sensitivity = FOLDED
    fuzzy: bool = False
    empty: bool = False
    """A value of two quotation marks matches what is empty or absent (PS3.4 C.2.2.2.7)."""
    combined: tuple[tuple[Path, Path], ...] = ()
    """Dates and their times, whose ranges match as one (PS3.4 C.5.1.1.5)."""


AS_USUAL: Final = How()


def tests_of(asked: Asked, how: How) -> Tests | None:
    """What the key asks for; None for anything. Raises Refused(IDENTIFIER_MISMATCH) with the key's name."""
    try:
        tests = read(asked.vr, asked.text, fuzzy=how.fuzzy)
    except Refused as failure:
        raise Refused(failure.reason, f"{asked.keyword}: {failure.comment}") from failure
    if tests is None or not asked.single:
        return tests
    return tuple(map(_literal, tests))


def _literal(test: Test) -> Test:
    """The test with its wildcards as plain characters."""
    match test:
        case Wild(text):
            return Exact(text)
        case Name(any_group, groups):
            first, second, third = (tuple(map(_literal, group)) for group in groups)
            return Name(tuple(map(_literal, any_group)), (first, second, third))
        case _:
            return test


def is_empty(asked: Asked, how: How) -> bool:
    """Whether the key asks for what has no value."""
    return how.empty and asked.text.strip() == _EMPTY


def matcher(keys: Iterable[Asked], how: How) -> Accept | None:
    """Whether an object matches all `keys`; None where every object does. Raises Refused(IDENTIFIER_MISMATCH)."""
    root = _Node()
    wanted = {asked.path: asked for asked in keys}
    for date, time in how.combined:
        if date in wanted and time in wanted and date[:-1] == time[:-1]:
            moment = _moment(wanted[date], wanted[time], how)
            if moment is not None:
                root.below(date[:-1]).tests.append(moment)
                del wanted[date], wanted[time]
    for asked in wanted.values():
        _add(root, asked, how)
    root.prune()
    return root if root.tests or root.sequences else None


class _Node:
    """Tests of one item, and of items of its sequences."""

    def __init__(self) -> None:
        self.tests: list[Accept] = []
        self.sequences: dict[str, _Node] = {}

    def below(self, path: Sequence[int]) -> "_Node":
        """The node of the items at `path`."""
        node = self
        for tag in path:
            node = node.sequences.setdefault(f"{tag:08X}", _Node())
        return node

    def prune(self) -> None:
        """Leave out sequences of which nothing is asked."""
        for node in self.sequences.values():
            node.prune()
        self.sequences = {tag: node for tag, node in self.sequences.items() if node.tests or node.sequences}

    def __call__(self, item: Item) -> bool:
        if not all(test(item) for test in self.tests):
            return False
        return all(any(map(node, item.get(tag, {}).get("Value", ()))) for tag, node in self.sequences.items())


def _add(root: _Node, asked: Asked, how: How) -> None:
    tag = asked.path[-1:]
    if is_empty(asked, how):
        root.below(asked.path[:-1]).tests.append(lambda item: not any(values_at(item, tag)))
        return
    tests = tests_of(asked, how)
    if tests is not None:
        accept = accepts(tests, how.sensitivity if asked.vr in FOLDED_VRS else _EXACT)
        root.below(asked.path[:-1]).tests.append(lambda item: any(map(accept, values_at(item, tag))))


def _moment(date: Asked, time: Asked, how: How) -> Accept | None:
    """One range of moments, where both are ranges."""
    days, hours = tests_of(date, how), tests_of(time, how)
    if not days or not hours or "-" not in date.text or "-" not in time.text:
        return None
    first, second = days[0], hours[0]
    if not isinstance(first, Span) or not isinstance(second, Span):
        return None
    return _Moment(date.path[-1], time.path[-1], first, second)


class _Moment:
    """From the first time of the first day to the last time of the last one."""

    def __init__(self, date: int, time: int, days: Span, hours: Span) -> None:
        self._date, self._time = (date,), (time,)
        self._days, self._hours = days, hours
        self._last = None if days.below is None else days.below[:-1] + chr(ord(days.below[-1]) - 1)

    def __call__(self, item: Item) -> bool:
        date, time = next(values_at(item, self._date), ""), next(values_at(item, self._time), "")
        if not date or date < self._days.low or (self._days.below is not None and date >= self._days.below):
            return False
        if date == self._days.low and time < self._hours.low:
            return False
        return date != self._last or self._hours.below is None or time < self._hours.below
