"""Receiving one object: from its first byte to a durable, indexed SOP Instance (DESIGN.md section 4).

    receive -> spool (hashed on the way) -> header scan -> checks -> file synced -> index commit -> answer

`Reception.finish` returns only when object and index are durable. Nothing is deleted here: what can't be stored is set
aside with its reason, and a redundant copy is left to the removal job.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from isocenter import telemetry
from isocenter.archive.likeness import likeness
from isocenter.archive.renaming import renamed
from isocenter.dicom import part10, uids
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.part10 import Receipt
from isocenter.dicom.scan import NeedMore, Scan, scan, scan_file
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index import extract
from isocenter.index.records import Arrival, DuplicatePolicy, ExceptionNote, Outcome, Verdict
from isocenter.index.writer import Writer
from isocenter.store.api import Spool, Store

log = telemetry.logger("archive.ingest")

_PREFIX = 1 << 16
"""Bytes of a data set that nearly always hold its whole header; scanned while the rest is still arriving."""
_INDEX_DEADLINE = 60.0
"""Seconds to wait for the index before the sender is told to try again."""

_NO_DIGEST = "?" * 64
"""Stands in a header for the digest, which is known once the data set is through."""

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent an object to whom. `address` is the peer's IP address; AE titles as negotiated ('' over HTTP)."""

    calling: str
    called: str
    address: str
    issuer: str = ""
    """Issuer of Patient ID assumed where the object names none."""
    character_set: str = ""
    """Specific Character Set assumed where the object names none (I-CHAR-04)."""
    policy: DuplicatePolicy = DuplicatePolicy.KEEP_FIRST


class Stored(NamedTuple):
    """What was stored, as the index filed it."""

    verdict: str
    study_uid: str
    series_uid: str
    sop_uid: str
    store_key: str
    size: int


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Ingest:
    """The door into the archive, shared by C-STORE, STOW-RS and imports."""

    def __init__(self, store: Store, writer: Writer, clock: Callable[[], int] = now) -> None:
        self.store = store
        self.writer = writer
        self.clock = clock

    def receive(self, origin: Origin, sop_class: str, sop_instance: str, syntax: str) -> "Reception":
        """Start receiving the data set of one instance in transfer syntax `syntax`.

        Raises Retriable where space or another resource is short.
        """
        return Reception(self, self.store.reserve(), origin, sop_class, sop_instance, syntax)


class Reception:
    """One object on its way in. Give it the data set with `write`, then `finish` or `abandon` it."""

    __slots__ = (
        "_blank_header",
        "_ingest",
        "_next_scan",
        "_origin",
        "_received_at",
        "_scan",
        "_spool",
        "_trouble",
        "sop_class",
        "sop_instance",
        "syntax",
    )

    def __init__(
        self, ingest: Ingest, spool: Spool, origin: Origin, sop_class: str, sop_instance: str, syntax: str
    ) -> None:
        self._ingest = ingest
        self._spool = spool
        self._origin = origin
        self.sop_class = sop_class
        self.sop_instance = sop_instance
        self.syntax = syntax
        self._received_at = ingest.clock()
        self._scan: Scan | None = None
        self._next_scan = _PREFIX
        self._trouble: MalformedDataSet | None = None
        self._blank_header = self._make_header()
        spool.begin(len(self._blank_header))

    def write(self, views: Sequence[memoryview | bytes]) -> None:
        """Take the next bytes of the data set; the views need to stay valid only during the call."""
        spool = self._spool
        spool.write(views)
        if self._scan is None and self._trouble is None and spool.size >= self._next_scan:
            self._scan_prefix()

    def finish(self) -> Stored:
        """Make the object durable and file it. The data set must be whole.

        Raises Refused (the object lies in the exceptions area) or Retriable (nothing was kept that a second try
        would collide with).
        """
        started = time.perf_counter()
        digest = self._spool.finish_data()
        try:
            arrival = self._arrival(digest)
        except Refused as refusal:
            self._set_aside(self._spool, digest, refusal)
            raise
        self._spool.commit(self._header(digest))
        outcome = self._file(arrival)
        if outcome.verdict == Verdict.DIFFERS:
            arrival = self._compared(arrival, outcome)
            outcome = self._file(arrival)
        self._spool.settle()
        telemetry.count("isocenter_stored_total", verdict=str(outcome.verdict))
        telemetry.count("isocenter_stored_bytes_total", arrival.size)
        telemetry.observe("isocenter_store_seconds", time.perf_counter() - started)
        if outcome.verdict == Verdict.REJECTED:
            raise Refused(Reason.DUPLICATE_SOP_INSTANCE, "an object with this SOP Instance UID is kept already")
        return Stored(
            outcome.verdict, arrival.study_uid, arrival.series_uid, arrival.sop_uid, arrival.store_key, arrival.size
        )

    def refuse(self, reason: Reason, comment: str) -> NoReturn:
        """Set the whole object aside for a reason that only its sender's protocol knows, and raise Refused."""
        refusal = Refused(reason, comment)
        self._set_aside(self._spool, self._spool.finish_data(), refusal)
        raise refusal

    def abandon(self) -> None:
        """The sender went away in mid-object: what was spooled never becomes an object."""
        self._spool.discard()

    def _make_header(self) -> bytes:
        """The stored file's header for the present SOP Instance UID, its digest still to be filled in."""
        origin = self._origin
        receipt = Receipt(origin.calling, origin.called, origin.address, self._received_at, _NO_DIGEST)
        return part10.stored_header(self.sop_class, self.sop_instance, self.syntax, receipt)

    def _header(self, digest: str) -> bytes:
        return self._blank_header.replace(_NO_DIGEST.encode(), digest.encode(), 1)

    def _scan_prefix(self) -> None:
        """Scan what is there, so that the work overlaps with the arrival of the rest."""
        spool = self._spool
        try:
            self._scan = scan(spool.pread(spool.size, 0), self.syntax, extract.INDEXED, whole=False)
        except NeedMore:
            self._next_scan = spool.size * 8
        except MalformedDataSet as trouble:
            self._trouble = trouble

    def _arrival(self, digest: str) -> Arrival:
        spool, origin = self._spool, self._origin
        found = self._scanned()
        self._check(found)
        return extract.arrival(
            found,
            store_key=spool.key,
            digest=digest,
            size=spool.size,
            offset=len(self._blank_header),
            received_at=self._received_at,
            source_aet=origin.calling,
            issuer=origin.issuer,
            character_set=origin.character_set,
            policy=origin.policy,
            read=spool.pread,
        )

    def _scanned(self) -> Scan:
        if self._trouble is not None:
            raise self._trouble
        if self._scan is None:
            spool = self._spool
            self._scan = scan_file(spool.pread, spool.size, self.syntax, extract.INDEXED)
        return self._scan

    def _check(self, found: Scan) -> None:
        """The data set's identity against the command's (I-STORE-ST-04, I-STORE-ST-06)."""
        sop_class, sop_instance = (_uid(found, tag) for tag in (_SOP_CLASS, _SOP_INSTANCE))
        if sop_class != self.sop_class.strip("\0 "):
            raise Refused(Reason.SOP_CLASS_MISMATCH, "SOP Class UID of the data set differs from the command's")
        if sop_instance != self.sop_instance.strip("\0 "):
            raise Refused(Reason.SOP_INSTANCE_MISMATCH, "SOP Instance UID of the data set differs from the command's")
        if not _uid(found, _STUDY) or not _uid(found, _SERIES):
            raise Refused(Reason.CANNOT_UNDERSTAND, "Study or Series Instance UID is missing")

    def _file(self, arrival: Arrival) -> Outcome:
        try:
            outcome = self._ingest.writer.submit(arrival).result(_INDEX_DEADLINE)
        except TimeoutError as late:
            raise Retriable(Reason.OUT_OF_RESOURCES, "the index does not answer") from late
        assert isinstance(outcome, Outcome)
        return outcome

    def _compared(self, arrival: Arrival, outcome: Outcome) -> Arrival:
        """The same arrival with what a look at both objects tells, or a copy of it under a UID of its own."""
        if arrival.policy == DuplicatePolicy.NEW_UID:
            return self._renamed(arrival)
        found = likeness(self._ingest.store, self._scanned(), arrival, outcome.existing_key)
        return arrival._replace(likeness=found)

    def _renamed(self, arrival: Arrival) -> Arrival:
        """Policy `new-uid` (X-QR-44): a copy under a new SOP Instance UID; the original goes to the exceptions area."""
        store = self._ingest.store
        self.sop_instance = uids.new_uid()
        copy = store.reserve(arrival.size)
        self._blank_header = self._make_header()
        copy.begin(len(self._blank_header))
        for piece in renamed(self._spool.pread, arrival.size, self.syntax, self.sop_instance):
            copy.write([piece])
        digest = copy.finish_data()
        copy.commit(self._header(digest))
        original, self._spool = self._spool, copy
        self._scan = None
        fresh = self._arrival(digest)
        self._set_aside(
            original.key, arrival.digest, Refused(Reason.DUPLICATE_SOP_INSTANCE, "kept under a new SOP Instance UID")
        )
        return fresh

    def _set_aside(self, what: Spool | str, digest: str, refusal: IsocenterError) -> None:
        """Keep the refused object, with its reason, where an administrator finds it (I-STORE-02)."""
        origin = self._origin
        facts = {"comment": refusal.comment, "calling": origin.calling, "called": origin.called, "syntax": self.syntax}
        header = b"" if isinstance(what, str) else self._header(digest)
        key = self._ingest.store.set_aside(what, refusal.reason, header=header, facts=facts)
        note = ExceptionNote(
            key, refusal.reason, refusal.comment, self.sop_class, self.sop_instance, self.syntax,
            origin.calling, origin.called, origin.address, self._received_at,
        )  # fmt: skip
        telemetry.count("isocenter_refused_total", reason=refusal.reason)
        log.warning("object.set_aside", key=key, reason=refusal.reason, calling=origin.calling)
        self._ingest.writer.submit(note).result(_INDEX_DEADLINE)


def _uid(found: Scan, tag: int) -> str:
    element = found.elements.get(tag)
    return element.value.decode("ascii", "replace").strip("\0 ") if element else ""
