"""Searching the worklist (PS3.4 CC.2.8): the database narrows, the keys are matched on the model.

Keys inside one sequence must hold in one item, at every depth (C.2.2.2.6).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Select, func, select

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import ENUMERATED, KEYED, State, attributes
from isocenter.dicom.dictionary import vr_of
from isocenter.errors import Refused
from isocenter.index.matching_values import FOLDED, Exact, Sensitivity, Tests, accepts, read, values_at
from isocenter.workflow.workitems import keying
from isocenter.workflow.workitems.tables import workitem

_PAGE: Final = 200
_BINDS: Final = 500
_EMPTY: Final = '""'
_EXACT: Final = Sensitivity(case=True, accents=True)
_FOLDED_VRS: Final = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
_UID: Final[Path] = (0x00080018,)
_STATE: Final[Path] = (0x00741000,)
_DECIDED: Final[frozenset[Path]] = frozenset((tag,) for tag in ENUMERATED)
"""Keys of which the database decides by itself, where they name one of the values that there are."""
TRANSACTION_UID: Final = 0x00081195
_NO_KEYS: Final = frozenset({0x00080005, TRANSACTION_UID})
_PATTERN: Final = frozenset('*?\\"')

Test: TypeAlias = Callable[[Mapping[str, Any]], bool]
_Values: TypeAlias = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for."""

    keys: tuple[tuple[Path, str], ...] = ()
    """Matching keys: path and value as decoded text, several values joined by backslashes."""
    sensitivity: Sensitivity = FOLDED
    fuzzy: bool = False
    empty: bool = False
    """A value of two quotation marks matches what is empty or absent (PS3.4 C.2.2.2.7)."""


class Found(NamedTuple):
    """One match; `attributes` is its model as JSON."""

    id: int
    uid: str
    state: State
    attributes: str
    changed_at: int

    @property
    def model(self) -> dict[str, Any]:
        """Its model."""
        found: dict[str, Any] = msgspec.json.decode(self.attributes)
        return found


def supported(path: Path) -> bool:
    """Whether `path` is an attribute of a workitem that can be matched and returned."""
    return path in attributes() and path[-1] not in _NO_KEYS


def search(database: Database, query: Query) -> Iterator[list[Found]]:
    """The matches in pages, in the order in which they came. Raises Refused(IDENTIFIER_MISMATCH) at once for values
    that can't be read."""
    return _pages(database, _asked(database, query))


class Page(NamedTuple):
    """Some of the matches, and how many there are."""

    found: list[Found]
    total: int


def page(database: Database, query: Query, offset: int = 0, limit: int | None = None) -> Page:
    """At most `limit` matches beyond the first `offset`. Raises as `search`."""
    asked = _asked(database, query)
    end = None if limit is None else offset + limit
    if asked.tests:
        return _counted(chain.from_iterable(_pages(database, asked)), offset, end)
    with database.reading(snapshot=True) as connection:
        narrowed = _narrowed(asked, 0)
        total = connection.execute(select(func.count()).select_from(narrowed.subquery())).scalar_one()
        rows = connection.execute(narrowed.order_by(workitem.c.id).offset(offset).limit(limit)).all()
    return Page([Found(*row) for row in rows], total)


def _counted(matches: Iterator[Found], offset: int, end: int | None) -> Page:
    kept, total = list[Found](), 0
    for total, found in enumerate(matches, 1):
        if offset < total and (end is None or total <= end):
            kept.append(found)
    return Page(kept, total)


def accepted(query: Query) -> list[Test]:
    """Tests that a model must pass all of. Raises Refused(IDENTIFIER_MISMATCH)."""
    return _tests([(path, test) for path, text in query.keys if (test := _test(path, text, query)) is not None])


class _Asked(NamedTuple):
    """A search, made ready: what the database decides, what it narrows, and what is tested on each model."""

    decided: Mapping[Path, str]
    uids: tuple[str, ...]
    few: tuple[int, ...] | None
    """Row numbers of all that may match; None where they may be many."""
    narrowing: Mapping[Path, Tests]
    tests: Sequence[Test]


def _asked(database: Database, query: Query) -> _Asked:
    accepted(query)  # what can't be read is refused before anything is looked for
    with database.reading() as connection:
        keyed = keying.complete(connection)
        few = keying.few(connection, _narrowing(query)) if keyed else None
    deciding = _DECIDED if keyed and few is None else frozenset({_STATE})
    decided = {path: text.strip(" \0") for path, text in query.keys if path in deciding}
    decided = {path: text for path, text in decided.items() if text in ENUMERATED[path[0]]}
    left = replace(query, keys=tuple((path, text) for path, text in query.keys if path not in decided))
    uids = tuple(part for part in (each.strip(" \0") for each in dict(query.keys).get(_UID, "").split("\\")) if part)
    if _PATTERN & set("".join(uids)) or len(uids) > _BINDS:
        uids = ()
    return _Asked(decided, uids, few, _narrowing(left) if keyed and few is None else {}, accepted(left))


def _narrowing(query: Query) -> dict[Path, Tests]:
    """What the database can narrow by: the tests of each path that is named once."""
    found: dict[Path, Tests] = {}
    for path, text in query.keys:
        if path in KEYED and not (query.empty and text.strip() == _EMPTY):
            tests = read(vr_of(path[-1]), text, fuzzy=query.fuzzy) if text else None
            if tests is not None:
                found[path] = tests
    return found


def _pages(database: Database, asked: _Asked) -> Iterator[list[Found]]:
    after = 0
    while True:
        with database.reading() as connection:
            narrowed = _narrowed(asked, after).order_by(workitem.c.id).limit(_PAGE)
            rows = connection.execute(narrowed).all()
        passing = [found for row in rows if _passes(found := Found(*row), asked.tests)]
        if passing:
            yield passing
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def _passes(found: Found, tests: Sequence[Test]) -> bool:
    if not tests:
        return True
    model = found.model
    return all(test(model) for test in tests)


def _narrowed(asked: _Asked, after: int) -> Select[Any]:
    """What the database leaves of the workitems beyond `after`."""
    names = ("id", "uid", "state", "attributes", "changed_at")
    query = select(*(workitem.c[name] for name in names)).where(workitem.c.removed_at.is_(None), workitem.c.id > after)
    if asked.uids:
        query = query.where(workitem.c.uid.in_(asked.uids))
    if asked.few is not None:
        query = query.where(workitem.c.id.in_(asked.few))
    for path, text in asked.decided.items():
        if path == _STATE:
            query = query.where(workitem.c.state == text)
        else:
            query = keying.narrowed(query, {path: (Exact(text),)}, after)
    return keying.narrowed(query, asked.narrowing, after)


# --- the keys


def _test(path: Path, text: str, query: Query) -> _Values | None:
    """What the values of the attribute must be; None for anything."""
    vr = vr_of(path[-1])
    if not text or vr == "SQ" or not supported(path):
        return None
    if query.empty and text.strip() == _EMPTY:
        return lambda values: not any(values)
    try:
        tests = read(vr, text, fuzzy=query.fuzzy)
    except Refused as failure:
        raise Refused(failure.reason, f"{attributes()[path].keyword}: {failure.comment}") from failure
    if tests is None:
        return None
    accept = accepts(tests, query.sensitivity if vr in _FOLDED_VRS else _EXACT)
    return lambda values: any(accept(value) for value in values)


def _tests(keys: Sequence[tuple[Path, _Values]]) -> list[Test]:
    inner: dict[int, list[tuple[Path, _Values]]] = {}
    found: list[Test] = []
    for path, test in keys:
        if len(path) == 1:
            found.append(_Value(path, test))
        else:
            inner.setdefault(path[0], []).append((path[1:], test))
    return [*found, *(_Item(tag, _tests(below)) for tag, below in inner.items())]


class _Value:
    """A test of the values of one attribute."""

    def __init__(self, path: Path, test: _Values) -> None:
        self._path, self._test = path, test

    def __call__(self, model: Mapping[str, Any]) -> bool:
        return self._test(list(values_at(dict(model), self._path)))


class _Item:
    """Tests that one item of a sequence must pass together."""

    def __init__(self, tag: int, tests: Sequence[Test]) -> None:
        self._name, self._tests = f"{tag:08X}", tests

    def __call__(self, model: Mapping[str, Any]) -> bool:
        held = (model.get(self._name) or {}).get("Value", ())
        return any(all(test(item) for test in self._tests) for item in held if isinstance(item, dict))
