"""Searching the worklist (PS3.4 CC.2.8): the database narrows, the keys are matched on the model.

Keys inside one sequence must hold in one item, at every depth (C.2.2.2.6).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Select, select

from isocenter.database import Database
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import State, attributes
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.folding import fold
from isocenter.errors import Refused
from isocenter.index.matching_values import FOLDED, Sensitivity, accepts, read, values_at
from isocenter.workflow.workitems.tables import workitem

PAGE: Final = 200
_BINDS: Final = 500
_EMPTY: Final = '""'
_EXACT: Final = Sensitivity(case=True, accents=True)
_FOLDED_VRS: Final = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
_UID: Final[Path] = (0x00080018,)
_STATE: Final[Path] = (0x00741000,)
_PATIENT: Final[Path] = (0x00100020,)
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
    state = dict(query.keys).get(_STATE, "").strip(" \0")
    decided = _STATE if state and not _PATTERN & set(state) else ()  # by the database
    tests = accepted(replace(query, keys=tuple((path, text) for path, text in query.keys if path != decided)))
    return _pages(database, _narrowed(dict(query.keys)), tests)


def accepted(query: Query) -> list[Test]:
    """Tests that a model must pass all of. Raises Refused(IDENTIFIER_MISMATCH)."""
    return _tests([(path, test) for path, text in query.keys if (test := _test(path, text, query)) is not None])


def _pages(database: Database, narrowed: Select[Any], tests: Sequence[Test]) -> Iterator[list[Found]]:
    after = 0
    while True:
        with database.reading() as connection:
            rows = connection.execute(narrowed.where(workitem.c.id > after)).all()
        page = [found for row in rows if _passes(found := Found(*row), tests)]
        if page:
            yield page
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def _passes(found: Found, tests: Sequence[Test]) -> bool:
    if not tests:
        return True
    model = found.model
    return all(test(model) for test in tests)


def _narrowed(keys: Mapping[Path, str]) -> Select[Any]:
    names = ("id", "uid", "state", "attributes", "changed_at")
    query = select(*(workitem.c[name] for name in names)).where(workitem.c.removed_at.is_(None))
    uids = [part for part in (each.strip(" \0") for each in keys.get(_UID, "").split("\\")) if part]
    if uids and "*" not in uids and len(uids) <= _BINDS:
        query = query.where(workitem.c.uid.in_(uids))
    state = keys.get(_STATE, "").strip(" \0")
    if state and not _PATTERN & set(state):
        query = query.where(workitem.c.state == state)
    patient = keys.get(_PATIENT, "").strip(" \0")
    if patient and not _PATTERN & set(patient):
        query = query.where(workitem.c.patient_fold == fold(patient))
    return query.order_by(workitem.c.id).limit(PAGE)


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
