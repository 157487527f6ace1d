"""The exceptions area: objects that could not be kept, with the bytes that came and the reason (I-STORE-02, -20).

The store has them; table `exception` lists them for queries. An object leaves the area in two ways: it is stored after
all (`retry`), or somebody says that it may go (`discard`), which the journal and the audit trail tell. Each is done in
an order that a crash can interrupt anywhere without losing bytes that are wanted, and may be done again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from sqlalchemy import delete, insert

from isocenter import telemetry
from isocenter.archive.ingest import Ingest, Origin, Stored
from isocenter.database import Database
from isocenter.dicom import part10
from isocenter.dicom.scan import MalformedDataSet, RawElement, scan_file
from isocenter.errors import ConfigurationError, IsocenterError, Reason, Refused
from isocenter.index import tables
from isocenter.index.journal import EXCEPTION_DISCARD
from isocenter.store.api import Exceptional, Store, checked_key

log = telemetry.logger("archive.exceptions")

_SLICE: Final = 1 << 20
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018


class Identity(NamedTuple):
    """As what an object came: the classes and UIDs of its sender's command. '' where nobody noted it."""

    sop_class: str
    sop_uid: str
    syntax: str

    @property
    def whole(self) -> bool:
        """Whether an object can be stored or written to a file as this."""
        return all(self)


class Sender(NamedTuple):
    """Who sent it to whom; '' where nobody noted it."""

    calling: str
    called: str
    address: str


def identity_of(entry: Exceptional) -> Identity:
    """What was noted when it was set aside."""
    return Identity(*(str(entry.facts.get(name, "")) for name in ("sop_class", "sop_uid", "syntax")))


def sender_of(entry: Exceptional) -> Sender:
    """Who sent it, as far as it was noted."""
    return Sender(*(str(entry.facts.get(name, "")) for name in ("calling", "called", "address")))


def found(store: Store, key: str) -> Exceptional:
    """One entry by its key, or by the beginning of it if there is only one. Raises Refused(NOT_FOUND),
    ConfigurationError where there are several."""
    matching = [entry for entry in store.exceptions() if entry.key.startswith(key)] if key else []
    if len(matching) > 1:
        raise ConfigurationError(f"several entries begin with {key!r}: say more of the key")
    if not matching:
        raise Refused(Reason.NOT_FOUND, f"no entry begins with {key!r}")
    return matching[0]


def own_identity(store: Store, entry: Exceptional) -> Identity:
    """What the object itself says it is: its data set, with the transfer syntax that was negotiated or that its file
    header names. Fields that can't be read are ''."""
    noted = identity_of(entry)
    with store.open_exception(entry.key) as stored:
        syntax = noted.syntax
        if not syntax:
            try:
                syntax = part10.read_header(stored.pread(1 << 16, 0)).syntax
            except IsocenterError:
                return Identity("", "", "")
        size = stored.size - entry.offset

        def pread(n: int, at: int) -> bytes:
            return stored.pread(min(n, max(size - at, 0)), entry.offset + at)

        try:
            elements = scan_file(pread, size, syntax, frozenset({_SOP_CLASS, _SOP_INSTANCE})).elements
        except MalformedDataSet:
            return Identity("", "", syntax)
    sop_class, sop_uid = (_text(elements.get(tag)) for tag in (_SOP_CLASS, _SOP_INSTANCE))
    return Identity(sop_class, sop_uid, syntax)


def _text(element: RawElement | None) -> str:
    return element.value.decode("ascii", "replace").strip(" \0") if element else ""


def data_of(store: Store, entry: Exceptional) -> Iterator[bytes]:
    """The data set's bytes, in slices."""
    with store.open_exception(entry.key) as stored:
        at = entry.offset
        while piece := stored.pread(_SLICE, at):
            yield piece
            at += len(piece)


def file_of(store: Store, entry: Exceptional) -> Iterator[bytes]:
    """It as a DICOM file, in slices; the bare data set where nobody knows what it is."""
    noted, own = identity_of(entry), own_identity(store, entry)
    identity = Identity(*(a or b for a, b in zip(own, noted, strict=True)))
    if identity.whole:
        yield part10.outgoing_header(*identity)
    yield from data_of(store, entry)


def _now() -> int:
    return time.time_ns() // 1000


class RefusedAgain(Refused):
    """It could not be kept again; `key` is where it lies now."""

    def __init__(self, refusal: Refused, key: str) -> None:
        super().__init__(refusal.reason, refusal.comment)
        self.key = key


class Exceptions:
    """What can be done about the entries."""

    def __init__(
        self, store: Store, database: Database, ingest: Ingest, *, actor: str = "", clock: Callable[[], int] = _now
    ) -> None:
        """`actor`: who is behind it, for the audit trail."""
        self._store, self._database, self._ingest = store, database, ingest
        self._actor, self._clock = actor, clock

    def retry(self, entry: Exceptional, origin: Origin, identity: Identity) -> Stored:
        """Receive the object again, as `identity` from `origin`, with the settings that hold now.

        Raises RefusedAgain where it is; it lies in the area once, with the newer reason. Raises Retriable where
        something is lacking; nothing changed then.
        """
        if not identity.whole:
            raise Refused(Reason.CANNOT_UNDERSTAND, "its SOP class, SOP instance or transfer syntax is not known")
        before = {each.key: each.times for each in self._store.exceptions()}
        reception = self._ingest.receive(origin, *identity)
        try:
            for piece in data_of(self._store, entry):
                reception.write([piece])
        except BaseException:
            reception.abandon()
            raise
        try:
            stored = reception.finish()
        except Refused as refusal:
            newer = self._aside_again(entry, before)
            if newer is not None:
                self._remove(entry, "exception-refused-again")
            raise RefusedAgain(refusal, newer.key if newer else entry.key) from refusal
        self._remove(entry, "exception-retried")
        log.info("exception.retried", key=entry.key, stored=stored.store_key, verdict=stored.verdict)
        return stored

    def discard(self, entry: Exceptional) -> None:
        """Delete the object for good. Raises Retriable."""
        facts = {name: entry.facts.get(name, "") for name in ("sop_class", "sop_uid", "calling", "called")}
        at = self._clock()
        record = {
            "kind": EXCEPTION_DISCARD,
            "store_key": entry.key,
            "reason": entry.reason,
            "at": at,
            "actor": self._actor,
        }
        self._store.append_journal({**record, **facts})
        self._remove(entry, "exception-discarded")
        log.warning("exception.discarded", key=entry.key, reason=entry.reason)

    def _aside_again(self, entry: Exceptional, before: Mapping[str, int]) -> Exceptional | None:
        """Another entry of the same object, new or counted once more since `before`: what was refused again was set
        aside again, if that could be. None where it was refused for the same reason, and so counted where it lay."""
        size = entry.size - entry.offset
        newer = [each for each in self._store.exceptions() if each.times > before.get(each.key, 0)]
        if any(each.key == entry.key for each in newer):
            return None
        alike = (e for e in reversed(newer) if e.size - e.offset == size and self._digest(e) == self._digest(entry))
        return next(alike, None)

    def _digest(self, entry: Exceptional) -> str:
        from isocenter.store.verify import digest_of

        with self._store.open_exception(entry.key) as stored:
            return digest_of(stored, entry.offset)

    def _remove(self, entry: Exceptional, event: str) -> None:
        key = checked_key(entry.key)
        self._store.remove_exception(key)
        with self._database.writing() as connection:
            connection.execute(delete(tables.exception).where(tables.exception.c.store_key == key))
            told = {"event": event, "actor": self._actor, "detail": f"{entry.reason} {key}", "at": self._clock()}
            connection.execute(insert(tables.audit).values(**told))
