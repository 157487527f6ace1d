"""From the store back to the index: rebuilding it from nothing, and bringing an older one up to date.

Both walk the same way: objects are filed in the order in which they were received, and the journal's records are
applied at their time between them. So a deletion meets what was there then and leaves what was sent again later, and a
choice finds its version. Nothing is deleted from the store.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TypeAlias

from sqlalchemy import delete, func, select

from isocenter import telemetry
from isocenter.database import Database, changes, facts
from isocenter.database.tables import archive, change, consumer
from isocenter.dicom import part10
from isocenter.errors import ConfigurationError, IsocenterError
from isocenter.index import journal, tables
from isocenter.index.adoption import Adoption, Assume, Assumed, Compare, Report, adopt, assume_nothing, different
from isocenter.index.records import ExceptionNote
from isocenter.index.writer import LocalWriter
from isocenter.registry import recorded
from isocenter.store.api import Exceptional, Record, Store

__all__ = ["Assume", "Assumed", "Compare", "Progress", "Report", "adopt", "catch_up", "rebuild", "unknown"]

log = telemetry.logger("index.rebuild")

_HEADER = 1 << 16
_PAGE = 500

Progress: TypeAlias = Callable[[int, int], None]
"""(objects done, objects in all)."""
_Needed: TypeAlias = Callable[[Record], bool]


def rebuild(
    store: Store,
    database: Database,
    *,
    compare: Compare = different,
    assume: Assume = assume_nothing,
    progress: Progress = lambda _done, _all: None,
    verify: bool = True,
) -> Report:
    """Make the index anew from the store and its journal alone, so that its answers are the same as before.

    No server may run. Jobs and the audit trail stay, AEs and peers become what the journal says where that is newer;
    readers of the change feed do not see the arrivals again. Raises ConfigurationError, and leaves everything as it is,
    if the index belongs to another archive.
    """
    _refuse_foreign(store, database)
    _clear(database)
    facts.claim(database, store.archive_id)
    records, not_taken = _records(store, database)
    with closing(LocalWriter(database)) as writer:
        adoption = Adoption(store, writer, compare=compare, assume=assume, verify=verify)
        adoption.leave_out(not_taken)
        _replay(store, adoption, store.keys(), records, progress=progress)
        _note_exceptions(store, database, adoption)
    _forget_changes(database)
    return adoption.report


def catch_up(
    store: Store,
    database: Database,
    *,
    compare: Compare = different,
    assume: Assume = assume_nothing,
    verify: bool = True,
) -> Report:
    """Bring an index that may be older than the store, or its equal, up to date: adopt the objects that it does not
    know, and apply what of the journal it does not reflect.

    No server may run. Readers of the change feed see what the index learns.
    """

    def needed(record: Record) -> bool:
        with database.reading() as connection:
            return journal.is_undone(connection, record)

    def refused(record: Record) -> None:
        # it was in doubt, and now it is told: or every start would try it again
        store.append_journal(journal.refusal_record(journal.edit_of(record), time.time_ns() // 1000))

    records, not_taken = _records(store, database)
    records = _late(store, database, records)
    with closing(LocalWriter(database)) as writer:
        adoption = Adoption(store, writer, compare=compare, assume=assume, verify=verify)
        adoption.leave_out(not_taken)
        keys = filter(store.exists, unknown(database, store.names()))
        _replay(store, adoption, keys, records, needed=needed, refused=refused)
        _note_exceptions(store, database, adoption)
    return adoption.report


def unknown(database: Database, keys: Iterable[str]) -> Iterator[str]:
    """Those of `keys` that the index has no row of, whether in force, as a version or awaiting removal."""
    page: list[str] = []
    for key in keys:
        page.append(key)
        if len(page) == _PAGE:
            yield from _unknown(database, page)
            page.clear()
    yield from _unknown(database, page)


def _unknown(database: Database, page: list[str]) -> list[str]:
    known: set[str] = set()
    with database.reading() as connection:
        for table in (tables.instance, tables.instance_version, tables.non_patient_instance, tables.removal):
            query = select(table.c.store_key).where(table.c.store_key.in_(page))
            known.update(connection.execute(query).scalars())
    return [key for key in page if key not in known]


def _records(store: Store, database: Database) -> tuple[deque[Record], list[str]]:
    """The journal's records of objects by their time, without edits that were refused, and the keys of objects that
    were not taken. Records of AEs and peers are applied at once, since what is assumed of a sender's objects may depend
    on them."""
    found = list(store.journal())
    recorded.replay(database, found)
    not_taken = [journal.chosen_key(one) for one in found if one.get("kind") == journal.RESEND_REFUSED]
    others = (recorded.KIND, journal.EXCEPTION_DISCARD, journal.RESEND_REFUSED, journal.RECONCILIATION)
    return deque(journal.settled(one for one in found if one.get("kind") not in others)), not_taken


def _late(store: Store, database: Database, records: Iterable[Record]) -> deque[Record]:
    """The records by the time when they are applied: an edit in doubt that others have overtaken is one of now, which
    the journal is told, so that a rebuild does the same."""
    with database.reading() as connection:
        newest = journal.newest_edit(connection)
    at = max(time.time_ns() // 1000, newest)
    found = []
    for record in records:
        late = record.get("kind") == journal.EDIT and journal.time_of(record) < newest
        if late:
            with database.reading() as connection:
                late = journal.is_undone(connection, record)
        if late:
            at += 1
            store.append_journal(journal.late_record(record, at))
        found.append({**record, "at": at} if late else record)
    return deque(sorted(found, key=journal.time_of))


def _replay(
    store: Store,
    adoption: Adoption,
    keys: Iterable[str],
    records: deque[Record],
    *,
    needed: _Needed = lambda _record: True,
    refused: Callable[[Record], None] = lambda _record: None,
    progress: Progress = lambda _done, _all: None,
) -> None:
    """File the objects `keys` and apply the `needed` of the journal's `records`, all in the order of their time.
    `refused` is told of edits that the index would not have."""
    order = sorted(_received(store, keys))
    for done, (received_at, _, key) in enumerate(order):
        while records and journal.time_of(records[0]) < received_at:
            _apply(adoption, records.popleft(), needed, refused)
        adoption.adopt(key)
        progress(done + 1, len(order))
    for record in records:
        _apply(adoption, record, needed, refused)
    adoption.finish()


def _apply(adoption: Adoption, record: Record, needed: _Needed, refused: Callable[[Record], None]) -> None:
    adoption.finish()
    if not needed(record):
        return
    match record.get("kind"):
        case journal.DELETION:
            adoption.delete(journal.deletion_of(record))
        case journal.VERSION_CHOICE:
            adoption.choose(journal.chosen_key(record), journal.time_of(record))
        case journal.EDIT:
            if not adoption.edit(journal.edit_of(record)):
                refused(record)
                return
        case kind:
            log.warning("journal.unknown", kind=str(kind))
            return
    adoption.report.journal += 1


def _received(store: Store, keys: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """When each object came, by its own header; 0 where it doesn't tell. One that was compressed since comes after what
    it was made of, if that is still there."""
    for key in keys:
        try:
            with store.open(key) as stored:
                receipt = part10.read_receipt(part10.read_header(stored.pread(_HEADER, 0)))
        except IsocenterError:
            receipt = None
        yield (receipt.received_at, len(receipt.compressed), key) if receipt else (0, 0, key)


def _note_exceptions(store: Store, database: Database, adoption: Adoption) -> None:
    """List what lies in the exceptions area and is not listed."""
    noted = select(tables.exception.c.store_key)
    with database.reading() as connection:
        known = set(connection.execute(noted).scalars())
    for exceptional in store.exceptions():
        if exceptional.key not in known:
            adoption.note(_note(exceptional))


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
    *(tables.edit, tables.redirect, tables.rejection, tables.non_patient_instance),
    *(tables.compression, tables.compression_left),
)
"""What the store and its journal can give back, children first."""


def _refuse_foreign(store: Store, database: Database) -> None:
    with database.reading() as connection:
        owner = facts.read(connection, "archive_id")
    if owner not in ("", store.archive_id):
        raise ConfigurationError("database: the index and the store belong to different archives")


def _clear(database: Database) -> None:
    """Forget everything, the facts too: a rebuild that does not come to its end is an index that is not the store's."""
    with database.writing() as connection:
        for table in (*_DERIVED, archive):
            connection.execute(delete(table))


def _forget_changes(database: Database) -> None:
    """Consumers go on behind what the rebuild wrote."""
    with database.writing() as connection:
        newest = connection.execute(select(func.max(change.c.sequence))).scalar() or 0
        connection.execute(delete(change).where(change.c.sequence < newest))
    with database.reading() as connection:
        end = changes.end(connection)
        names = list(connection.execute(select(consumer.c.name)).scalars())
    with database.writing() as connection:
        for name in names:
            changes.acknowledge(connection, name, end)
