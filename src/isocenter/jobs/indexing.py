"""Indexes attributes that the settings name only now in what is stored already (M-FIND-03).

A job goes through the instances in force by their primary keys, reads each header once, and adds what it finds to the
level's further attributes as an arrival would: above image level the first object that has an attribute gives it. How
far it has come is kept beside the index, so that a kill costs a page.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, insert, or_, select, update

from isocenter import telemetry
from isocenter.database import Database, facts
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.declarations.query_keys import Level
from isocenter.dicom.scan import scan_file
from isocenter.errors import IsocenterError
from isocenter.index import keys, tables
from isocenter.index.further import Found, Row, further_at
from isocenter.jobs.runner import Again, Handler, Running
from isocenter.store.api import Store

log = telemetry.logger("jobs.indexing")

KIND = "index-attributes"
PAGE = 200
_DONE, _RUN = "indexed_attributes", "indexing"
_TABLES = {"P": tables.patient, "S": tables.study, "E": tables.series, "I": tables.instance}


class Progress(NamedTuple):
    """How far the attributes of the settings are indexed."""

    done: tuple[str, ...]
    """Indexed in every object."""
    under_way: tuple[str, ...]
    """Being looked for in what is stored."""
    read: int
    total: int
    """Objects read, and to be read, for those under way."""


class _Run(NamedTuple):
    """One walk through the instances."""

    attributes: list[str]
    begun: float
    """Seconds since 1970."""
    cursor: int = 0
    read: int = 0
    total: int = 0


class _Place(NamedTuple):
    """An instance to be read and what it belongs to."""

    id: int
    store_key: str
    offset: int
    size: int
    syntax: str
    series: int
    study: int
    patient: int

    def owner(self, level: str) -> int:
        """The primary key at `level`."""
        return {"P": self.patient, "S": self.study, "E": self.series, "I": self.id}[level]


def progress(database: Database) -> Progress:
    """What is indexed and what is under way."""
    with database.reading() as connection:
        done, run = _read(connection)
    return Progress(tuple(done), tuple(run.attributes) if run else (), run.read if run else 0, run.total if run else 0)


def note_indexed(database: Database, attributes: Sequence[str]) -> None:
    """Every object was indexed with `attributes`: the index is new."""
    with database.writing() as connection:
        _write(connection, list(attributes), None)


def handler(
    database: Database,
    store: Store,
    attributes: tuple[str, ...],
    *,
    character_set: str = "",
    settle: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> Handler:
    """The handler of jobs of kind `index-attributes`; enqueue one at each start. `character_set` is assumed where an
    object names none. `settle`: seconds after the start in which other processes may still file as it was before."""

    def carry_out(running: Running) -> Again | None:
        run = _begin(database, attributes, clock())
        if run is None:
            return None
        walk = _Walk(database, store, run, character_set)
        while not running.cancelled() and walk.step():
            running.progress(f"{walk.run.read}/{walk.run.total}")
        if running.cancelled():
            return None
        left = run.begun + settle - clock()
        if left > 0:
            return Again(left)
        walk.finish()
        log.info("attributes.indexed", attributes=len(run.attributes), objects=walk.run.read)
        return None

    return carry_out


def _begin(database: Database, attributes: tuple[str, ...], now: float) -> _Run | None:
    """The walk that is to be made, or gone on with; None if all is indexed. What the settings don't name is forgotten,
    so that it is looked for again should they name it later."""
    with database.writing() as connection:
        done, run = _read(connection)
        kept = [text for text in done if text in attributes]
        missing = [text for text in attributes if text not in kept]
        if not missing:
            run = None
        elif run is None or run.attributes != missing:
            total = connection.execute(select(func.count()).select_from(_candidates(missing).subquery())).scalar_one()
            run = _Run(missing, now, total=total)
        _write(connection, kept, run)
    return run


class _Walk:
    """Goes through the instances a page at a time."""

    def __init__(self, database: Database, store: Store, run: _Run, character_set: str) -> None:
        self.run = run
        self._database, self._store = database, store
        self._wanted = keys.only(tuple(run.attributes))
        self._default = character_set.encode("ascii", "replace")
        self._levels = [level for level in "PSEI" if self._wanted.further[level]]

    def step(self) -> bool:
        """Index one page; False if there was none."""
        places = self._page()
        if not places:
            return False
        found: dict[tuple[str, int], list[Found]] = {}
        for place in places:
            for level, one in self._found(place):
                found.setdefault((level, place.owner(level)), []).append(one)
        self.run = self.run._replace(cursor=places[-1].id, read=self.run.read + len(places))
        for level in self._levels:
            self._add(level, {owner: ones for (at, owner), ones in found.items() if at == level})
        with self._database.writing() as connection:
            _write(connection, _read(connection)[0], self.run)
        return True

    def _add(self, level: str, owners: Mapping[int, list[Found]]) -> None:
        """On PostgreSQL one row above the images at a time: arrivals lock several, in an order of their own."""
        alone = self._database.dialect != "sqlite" and level != "I"
        for part in [{owner: ones} for owner, ones in owners.items()] if alone else [owners]:
            with self._database.writing() as connection:
                _add(connection, level, part)

    def finish(self) -> None:
        """All is indexed."""
        with self._database.writing() as connection:
            done, _ = _read(connection)
            _write(connection, [*done, *self.run.attributes], None)

    def _page(self) -> list[_Place]:
        query = _candidates(self.run.attributes).where(tables.instance.c.id > self.run.cursor)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(tables.instance.c.id).limit(PAGE)).all()
        return [_Place(*row) for row in rows]

    def _found(self, place: _Place) -> Iterator[tuple[str, Found]]:
        try:
            with self._store.open(place.store_key) as stored:

                def read(n: int, at: int) -> bytes:
                    return stored.pread(n, place.offset + at)

                found = scan_file(read, place.size, place.syntax, self._wanted.indexed)
        except (IsocenterError, OSError) as fault:
            log.warning("object.unread", key=place.store_key, fault=type(fault).__name__)
            return
        elements = keys.of_creators(self._wanted, found.elements)
        raw = elements.get(keys.SPECIFIC_CHARACTER_SET)
        declared = (raw.value.strip(b" \0") if raw else b"") or self._default
        for level in self._levels:
            one = further_at(level, self._wanted, elements, found.encoding, declared)
            if one.json:
                yield level, one


def _candidates(attributes: Sequence[str]) -> Any:
    """The instances to read: all, or where nothing is an image's own the first of each series."""
    i, s = tables.instance.c, tables.study.c
    query = select(i.id, i.store_key, i.offset, i.size, i.syntax, i.series, i.study, s.patient).join(
        tables.study, i.study == s.id
    )
    if any(key.level is Level.IMAGE for key in configured_keys(tuple(attributes))):
        return query
    return query.where(i.id.in_(select(func.min(i.id)).group_by(i.series)))


def _add(connection: Connection, level: str, owners: Mapping[int, list[Found]]) -> None:
    """Add what was found to the rows of one level. An edited attribute stays as it was edited."""
    if not owners:
        return
    table = _TABLES[level]
    columns = [table.c.id, table.c.attributes, *([table.c.edits] if "edits" in table.c else [])]
    held = connection.execute(select(*columns).where(table.c.id.in_(list(owners))).with_for_update()).all()
    values: list[dict[str, Any]] = []
    rows: list[Row] = []
    touched: dict[str, list[int]] = {}
    for owner, text, *edits in held:
        known = json.loads(text) if text else {}
        edited = json.loads(edits[0]) if edits and edits[0] else {}
        for one in owners[owner]:
            offered = json.loads(one.json)
            new = {tag for tag in offered if tag not in edited and (level == "I" or tag not in known)}
            known.update({tag: offered[tag] for tag in new})
            rows += [(owner, *row[1:]) for row in one.rows if row[1][:8] in new]
            for tag in new:
                touched.setdefault(tag, []).append(owner)
        values.append({"row": owner, "value": json.dumps(dict(sorted(known.items())), ensure_ascii=False)})
    _replace(connection, level, table, values, rows, touched)


def _replace(
    connection: Connection,
    level: str,
    table: Table,
    values: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    touched: Mapping[str, Sequence[int]],
) -> None:
    a = tables.attribute.c
    for tag, owners in touched.items():
        connection.execute(delete(tables.attribute).where(a.level == level, a.owner.in_(owners), _below(a.path, tag)))
    if values:
        renewed = update(table).where(table.c.id == bindparam("row")).values(attributes=bindparam("value"))
        connection.execute(renewed, values)
    names = ("owner", "path", "item", "value", "fold")
    if rows:
        connection.execute(
            insert(tables.attribute), [{"level": level, **dict(zip(names, row, strict=True))} for row in rows]
        )


def _below(path: ColumnElement[str], tag: str) -> ColumnElement[bool]:
    """The rows of `tag` and of what its items hold; a slash sorts behind the dot."""
    return or_(path == tag, and_(path >= f"{tag}.", path < f"{tag}/"))


def _read(connection: Connection) -> tuple[list[str], _Run | None]:
    done, run = facts.read(connection, _DONE), facts.read(connection, _RUN)
    return json.loads(done) if done else [], _Run(**json.loads(run)) if run else None


def _write(connection: Connection, done: Sequence[str], run: _Run | None) -> None:
    facts.write(connection, _DONE, json.dumps(list(done)))
    facts.write(connection, _RUN, json.dumps(run._asdict()) if run else "")
