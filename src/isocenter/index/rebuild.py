"""From the store back to the index: adopting objects that have no row, and rebuilding the index from nothing.

An object's own header says who sent it when, with which digest. What is unreadable, or not what its digest says, is set
aside with its reason; nothing is deleted.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import delete, func, select

from isocenter import telemetry
from isocenter.database import Database, changes, facts
from isocenter.database.tables import change, consumer
from isocenter.dicom import part10
from isocenter.dicom.scan import Scan, scan_file
from isocenter.errors import IsocenterError
from isocenter.index import extract, tables
from isocenter.index.records import (
    Arrival,
    Choice,
    Deletion,
    DuplicatePolicy,
    ExceptionNote,
    Likeness,
    Outcome,
    Verdict,
)
from isocenter.index.writer import LocalWriter, Writer
from isocenter.store.api import Exceptional, Store, StoredObject
from isocenter.store.verify import digest_of, recorded

log = telemetry.logger("index.rebuild")

WINDOW = 128
"""Objects on their way to the writer at a time."""
_HEADER = 1 << 16
_WAIT = 120.0

Compare: TypeAlias = Callable[[Store, Scan, Arrival, str], Likeness]
"""How an arrival compares with the stored object of the same identity whose key is given (`archive.likeness`)."""
Progress: TypeAlias = Callable[[int, int], None]
"""(objects done, objects in all)."""


class Assumed(NamedTuple):
    """What is assumed of a sender's objects where they don't say: see `index.extract.arrival`."""

    issuer: str = ""
    character_set: str = ""


Assume: TypeAlias = Callable[[part10.Receipt], Assumed]


@dataclass
class Report:
    """What came of it: how many objects by verdict, and what was set aside with its reason."""

    verdicts: Counter[str] = field(default_factory=Counter)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    journal: int = 0
    """Journal records that were applied."""


class _Read(NamedTuple):
    """A stored object, read again."""

    receipt: part10.Receipt
    scan: Scan
    arrival: Arrival


class _Unfit(Exception):
    """The object can't be adopted; the reason."""

    def __init__(self, reason: str, comment: str) -> None:
        super().__init__(reason)
        self.reason, self.comment = reason, comment


def _different(_store: Store, _scan: Scan, _arrival: Arrival, _key: str) -> Likeness:
    """Without a better comparison what differs counts as different, which flags it."""
    return Likeness.DIFFERENT


class Adoption:
    """Files stored objects, in the order given, many on their way at a time."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        *,
        compare: Compare = _different,
        assume: Assume = lambda _receipt: Assumed(),
        verify: bool = True,
    ) -> None:
        self.report = Report()
        self._store, self._writer = store, writer
        self._compare, self._assume, self._verify = compare, assume, verify
        self._under_way: deque[tuple[Future[Outcome], _Read]] = deque()

    def adopt(self, key: str) -> None:
        """File the object `key`, or set it aside."""
        try:
            read = self._read(key)
        except _Unfit as unfit:
            self._set_aside(key, unfit)
            return
        self._under_way.append((self._writer.submit(read.arrival), read))
        if len(self._under_way) >= WINDOW:
            self._finish_one()

    def finish(self) -> None:
        """Wait until all is filed."""
        while self._under_way:
            self._finish_one()

    def choose(self, key: str, at: int) -> None:
        """A journal's version choice: put the version `key` in force, if it is there."""
        self.finish()
        try:
            read = self._read(key)
        except (_Unfit, IsocenterError):
            return
        self._writer.submit(Choice(read.arrival, at)).result(_WAIT)

    def _finish_one(self) -> None:
        future, read = self._under_way.popleft()
        outcome = future.result(_WAIT)
        if outcome.verdict == Verdict.DIFFERS:
            likeness = self._compare(self._store, read.scan, read.arrival, outcome.existing_key)
            outcome = self._writer.submit(read.arrival._replace(likeness=likeness)).result(_WAIT)
        self.report.verdicts[outcome.verdict] += 1

    def _read(self, key: str) -> _Read:
        with self._store.open(key) as stored:
            offset, receipt, syntax = _receipt(stored, self._verify)
            size = stored.size - offset
            assumed = self._assume(receipt)

            def read(n: int, at: int) -> bytes:
                return stored.pread(n, offset + at)

            try:
                found = scan_file(read, size, syntax, extract.INDEXED)
                arrival = extract.arrival(
                    found,
                    store_key=key,
                    digest=receipt.digest,
                    size=size,
                    offset=offset,
                    received_at=receipt.received_at,
                    source_aet=receipt.sending_aet,
                    issuer=assumed.issuer,
                    character_set=assumed.character_set,
                    policy=_policy(receipt),
                    read=read,
                )
            except IsocenterError as fault:
                raise _Unfit(fault.reason, fault.comment) from fault
        return _Read(receipt, found, arrival)

    def _set_aside(self, key: str, unfit: _Unfit) -> None:
        place = self._store.set_aside(key, unfit.reason, facts={"comment": unfit.comment})
        now = time.time_ns() // 1000
        note = ExceptionNote(place, unfit.reason, unfit.comment, "", "", "", "", "", "", now)
        self._writer.submit(note).result(_WAIT)
        self.report.set_aside.append((key, unfit.reason))
        log.warning("object.set_aside", key=key, reason=unfit.reason)


def _policy(receipt: part10.Receipt) -> DuplicatePolicy:
    try:
        return DuplicatePolicy(receipt.policy)
    except ValueError:
        return DuplicatePolicy.KEEP_FIRST


def _receipt(stored: StoredObject, verify: bool) -> tuple[int, part10.Receipt, str]:
    """Where the data set starts, how it was received, and its transfer syntax.

    A file that isn't ours counts as received now. Raises _Unfit where the data set is not what was received."""
    start = stored.pread(_HEADER, 0)
    try:
        known = recorded(stored)
        header = part10.read_header(start[: known.offset] if known else start)
    except IsocenterError as fault:
        raise _Unfit(fault.reason, fault.comment) from fault
    receipt = part10.read_receipt(header)
    if receipt is None:
        receipt = part10.Receipt("", "", "", time.time_ns() // 1000, "")
    if not receipt.digest:
        return header.offset, receipt._replace(digest=digest_of(stored, header.offset)), header.syntax
    if verify and digest_of(stored, header.offset) != receipt.digest:
        raise _Unfit("digest-mismatch", "the data set is not what was received")
    return header.offset, receipt, header.syntax


def adopt(
    store: Store,
    writer: Writer,
    keys: Iterable[str],
    *,
    compare: Compare = _different,
    assume: Assume = lambda _receipt: Assumed(),
    verify: bool = True,
) -> Report:
    """File the complete objects `keys`, which the index may not know: after a crash, or when the store is newer.

    What it knows already is left as it is. Raises Retriable where the index does not answer.
    """
    adoption = Adoption(store, writer, compare=compare, assume=assume, verify=verify)
    for key in keys:
        adoption.adopt(key)
    adoption.finish()
    return adoption.report


def unknown(database: Database, keys: Iterable[str]) -> Iterator[str]:
    """Those of `keys` that the index has no row of, whether in force, as a version or awaiting removal."""
    page: list[str] = []
    for key in keys:
        page.append(key)
        if len(page) == 500:
            yield from _unknown(database, page)
            page.clear()
    yield from _unknown(database, page)


def _unknown(database: Database, page: list[str]) -> list[str]:
    known: set[str] = set()
    with database.reading() as connection:
        for table in (tables.instance, tables.instance_version, tables.removal):
            query = select(table.c.store_key).where(table.c.store_key.in_(page))
            known.update(connection.execute(query).scalars())
    return [key for key in page if key not in known]


def rebuild(
    store: Store,
    database: Database,
    *,
    compare: Compare = _different,
    assume: Assume = lambda _receipt: Assumed(),
    progress: Progress = lambda _done, _all: None,
    verify: bool = True,
) -> Report:
    """Make the index anew from the store and its journal alone.

    No server may run. Objects are filed in the order in which they were received, and journal records applied at their
    time between them, so that the answers are the same as before. Peers, AEs, jobs and the audit trail stay; readers of
    the change feed do not see the arrivals again.
    """
    _clear(database)
    facts.claim(database, store.archive_id)
    writer = LocalWriter(database)
    try:
        adoption = Adoption(store, writer, compare=compare, assume=assume, verify=verify)
        order = sorted(_received(store))
        journal = deque(sorted(store.journal(), key=_time))
        for done, (received_at, key) in enumerate(order):
            while journal and _time(journal[0]) < received_at:
                _apply(adoption, writer, journal.popleft())
            adoption.adopt(key)
            progress(done + 1, len(order))
        for record in journal:
            _apply(adoption, writer, record)
        adoption.finish()
        for exceptional in store.exceptions():
            writer.submit(_note(exceptional)).result(_WAIT)
    finally:
        writer.close()
    _forget_changes(database)
    return adoption.report


def _received(store: Store) -> Iterator[tuple[int, str]]:
    """When each object came, by its own header; 0 where it doesn't tell."""
    for key in store.keys():  # noqa: SIM118  a store is no mapping
        try:
            with store.open(key) as stored:
                receipt = part10.read_receipt(part10.read_header(stored.pread(_HEADER, 0)))
        except IsocenterError:
            receipt = None
        yield receipt.received_at if receipt else 0, key


def _time(record: dict[str, Any]) -> int:
    at = record.get("at", 0)
    return at if isinstance(at, int) else 0


def _apply(adoption: Adoption, writer: Writer, record: dict[str, Any]) -> None:
    match record.get("kind"):
        case "deletion":
            adoption.finish()
            values = {name: record[name] for name in Deletion._fields if name in record}
            writer.submit(Deletion(**values)).result(_WAIT)
        case "version-choice":
            adoption.choose(str(record.get("store_key", "")), _time(record))
        case kind:
            log.warning("journal.unknown", kind=str(kind))
            return
    adoption.report.journal += 1


def _note(exceptional: Exceptional) -> ExceptionNote:
    told = [str(exceptional.facts.get(name, "")) for name in _TOLD]
    comment, sop_class, sop_uid, syntax, calling, called, address = told
    return ExceptionNote(
        exceptional.key,
        exceptional.reason,
        comment,
        sop_class,
        sop_uid,
        syntax,
        calling,
        called,
        address,
        exceptional.at,
    )


_TOLD = ("comment", "sop_class", "sop_uid", "syntax", "calling", "called", "address")


_DERIVED = (
    *(tables.attribute, tables.instance_version, tables.instance, tables.series, tables.study_accession, tables.study),
    *(tables.patient_id, tables.patient, tables.conflict, tables.exception, tables.removal),
)
"""What the store and its journal can give back, children first."""


def _clear(database: Database) -> None:
    with database.writing() as connection:
        for table in _DERIVED:
            connection.execute(delete(table))
        facts.write(connection, "fold_version", "")


def _forget_changes(database: Database) -> None:
    """Consumers go on behind what the rebuild wrote."""
    with database.writing() as connection:
        newest = connection.execute(select(func.max(change.c.sequence))).scalar()
        connection.execute(delete(change).where(change.c.sequence < newest))
    with database.reading() as connection:
        end = changes.end(connection)
        names = list(connection.execute(select(consumer.c.name)).scalars())
    with database.writing() as connection:
        for name in names:
            changes.acknowledge(connection, name, end)
