"""Instances that belong to no patient: searching and finding them (PS3.4 U, X, BB, HH, II, JJ; PS3.18 12.6).

There are few of them, hundreds where there are millions of images. The database gives those of the asked classes and
UIDs, a page at a time; all other keys are matched on the attributes that the index keeps of each, as
`index.matching_values` reads them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Select, and_, or_, select

from isocenter.archive.retrieval.instances import Located
from isocenter.database import Database
from isocenter.declarations.non_patient import UNIQUE, Key, Model, keys_of
from isocenter.declarations.query_keys import Match, Path
from isocenter.errors import Refused
from isocenter.index.matching_values import FOLDED, Sensitivity, Tests, accepts, read, values_at
from isocenter.index.non_patient_tables import non_patient_instance as table

PAGE: Final = 200
_BINDS: Final = 500
_SOP_CLASS: Final[Path] = (0x00080016,)
_EMPTY: Final = '""'
_EXACT: Final = Sensitivity(case=True, accents=True)
_FOLDED_VRS: Final = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})

Attributes: TypeAlias = dict[str, Any]
"""A DICOM JSON object."""
Accept: TypeAlias = Callable[[Attributes], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for among the instances of some models."""

    models: tuple[Model, ...]
    keys: tuple[tuple[Path, str], ...] = ()
    """Matching keys: path and value as decoded text, several values joined by backslashes."""
    sensitivity: Sensitivity = FOLDED
    fuzzy: bool = False
    empty: bool = False
    """A value of two quotation marks matches what is empty or absent (PS3.4 C.2.2.2.7)."""


class Found(NamedTuple):
    """One match: where it lies, and its attributes as the index keeps them."""

    located: Located
    json: str

    @property
    def attributes(self) -> Attributes:
        """The attributes, read."""
        found: Attributes = msgspec.json.decode(self.json) if self.json else {}
        return found


def key(models: Sequence[Model], path: Path) -> Key | None:
    """The key that `path` stands for, None where none of the models has it."""
    return next((keys_of(model.name)[path] for model in models if path in keys_of(model.name)), None)


def search(database: Database, query: Query) -> Iterator[list[Found]]:
    """The matches in pages, in the order in which they came. Raises Refused(IDENTIFIER_MISMATCH) at once for values
    that can't be read."""
    accepted = _accepted(query)
    asked = dict(query.keys)
    classes = frozenset(uid for model in query.models for uid in model.classes)
    named = _listed(asked.get(_SOP_CLASS, ""))
    wanted = sorted(classes & set(named) if named else classes)
    return _pages(database, wanted, _listed(asked.get(UNIQUE, "")), accepted)


def locate(database: Database, classes: Sequence[str], sop_uids: Sequence[str]) -> list[Located]:
    """The instances of these UIDs that are of these classes, in the order of `sop_uids`."""
    found: dict[str, Located] = {}
    distinct = list(dict.fromkeys(sop_uids))
    for start in range(0, len(distinct), _BINDS):
        query = _rows(classes).where(table.c.sop_uid.in_(distinct[start : start + _BINDS]))
        with database.reading() as connection:
            for row in connection.execute(query):
                found[row.sop_uid] = _found(row).located
    return [found[uid] for uid in distinct if uid in found]


def _pages(
    database: Database, classes: Sequence[str], sop_uids: tuple[str, ...], accepted: Sequence[Accept]
) -> Iterator[list[Found]]:
    if not classes:
        return
    query = _rows(classes).order_by(table.c.received_at, table.c.sop_uid).limit(PAGE)
    if sop_uids:
        query = query.where(table.c.sop_uid.in_(sop_uids))
    after = None
    while True:
        with database.reading() as connection:
            rows = connection.execute(query if after is None else query.where(after)).all()
        page = [found for found in map(_found, rows) if _passes(found, accepted)]
        if page:
            yield page
        if len(rows) < PAGE:
            return
        last = rows[-1]
        later = and_(table.c.received_at == last.received_at, table.c.sop_uid > last.sop_uid)
        after = or_(table.c.received_at > last.received_at, later)


def _passes(found: Found, accepted: Sequence[Accept]) -> bool:
    if not accepted:
        return True
    attributes = found.attributes
    return all(accept(attributes) for accept in accepted)


def _listed(text: str) -> tuple[str, ...]:
    """The UIDs of a key; none for universal matching."""
    uids = tuple(part for part in (each.strip(" \0") for each in text.split("\\")) if part)
    return () if "*" in uids else uids


_FACTS = (
    *(table.c.id, table.c.sop_uid, table.c.sop_class, table.c.syntax, table.c.store_key, table.c.size),
    *(table.c.offset, table.c.character_set, table.c.digest, table.c.received_at, table.c.attributes),
)


def _rows(classes: Sequence[str]) -> Select[Any]:
    return select(*_FACTS).where(table.c.sop_class.in_(classes), table.c.verdict == "")


def _found(row: Any) -> Found:
    located = Located(
        id=row.id,
        series=0,
        study_uid="",
        series_uid="",
        sop_uid=row.sop_uid,
        sop_class=row.sop_class,
        syntax=row.syntax,
        store_key=row.store_key,
        size=row.size,
        offset=row.offset,
        instance_number="",
        number=None,
        rows=None,
        columns=None,
        bits_allocated=None,
        frames=None,
        character_set=row.character_set,
        availability="ONLINE",
        digest=row.digest,
        received_at=row.received_at,
    )
    return Found(located, row.attributes)


# --- matching


def _accepted(query: Query) -> list[Accept]:
    """A test for each key beside the UIDs; those inside one sequence must hold in one item (PS3.4 C.2.2.2.6)."""
    items: dict[Path, list[tuple[Path, Callable[[Sequence[str]], bool]]]] = {}
    found: list[Accept] = []
    for path, text in query.keys:
        known = key(query.models, path)
        if known is None or known.matching is Match.SEQUENCE or path in (UNIQUE, _SOP_CLASS):
            continue
        test = _test(known, text, query)
        if test is None:
            continue
        if len(path) == 1:
            found.append(_Top(path, test))
        else:
            items.setdefault(path[:1], []).append((path[1:], test))
    found += [_InItem(sequence[0], tests) for sequence, tests in items.items()]
    return found


def _test(known: Key, text: str, query: Query) -> Callable[[Sequence[str]], bool] | None:
    """What the values of the attribute must be; None for anything."""
    if query.empty and text.strip() == _EMPTY:
        return lambda values: not any(values)
    try:
        tests: Tests | None = read(known.vr, text, fuzzy=query.fuzzy)
    except Refused as failure:
        raise Refused(failure.reason, f"{known.keyword}: {failure.comment}") from failure
    if tests is None:
        return None
    accept = accepts(tests, query.sensitivity if known.vr in _FOLDED_VRS else _EXACT)
    return lambda values: any(accept(value) for value in values)


class _Top:
    """A test of an attribute of the instance itself."""

    def __init__(self, path: Path, test: Callable[[Sequence[str]], bool]) -> None:
        self._path, self._test = path, test

    def __call__(self, attributes: Attributes) -> bool:
        return self._test(list(values_at(attributes, self._path)))


class _InItem:
    """Tests that one item of a sequence must pass together."""

    def __init__(self, tag: int, tests: Sequence[tuple[Path, Callable[[Sequence[str]], bool]]]) -> None:
        self._name, self._tests = f"{tag:08X}", tests

    def __call__(self, attributes: Mapping[str, Any]) -> bool:
        items = attributes.get(self._name, {}).get("Value", ())
        return any(all(test(list(values_at(item, path))) for path, test in self._tests) for item in items)
