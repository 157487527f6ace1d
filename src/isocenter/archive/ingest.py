"""Receiving one object: from its first byte to a durable, indexed SOP Instance (docs/design.md section 4).

    receive -> spool (hashed on the way) -> header scan -> checks -> file synced -> index commit -> answer

`Reception.finish` returns only when object and index are durable. Nothing is deleted here: what can't be stored is set
aside with its reason, a redundant copy is left to the removal job, and a complete object of which it isn't known
whether the index has it stays offered to recovery.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from isocenter.index.records import Arrival, DuplicatePolicy, ExceptionNote, Verdict
from isocenter.index.writer import Writer
from isocenter.store.api import Spool, Store

log = telemetry.logger("archive.ingest")

_PREFIX = 1 << 16
"""Bytes of a data set that nearly always hold its whole header; scanned while the rest is still arriving."""
_LONGEST_PREFIX = 1 << 20
"""A header that goes on beyond this is scanned at the end, in pieces."""
_LONGEST_UID = 256
"""Characters of a UID that are looked at; none of a data set may be longer (`index.extract`)."""
_NO_DIGEST = "?" * 64
_UNTOLD = frozenset({DuplicatePolicy.KEEP_FIRST, DuplicatePolicy.NEW_UID})
"""Policies that leave no trace in the receipt, since a rebuilt index needs none to come to the same verdicts."""

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
    """What was stored, as the index filed it. `sop_uid` is another than was sent under the policy `new-uid`."""

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
    """One object on its way in. Give it the data set with `write`, then `finish`, `refuse` or `abandon` it."""

    __slots__ = ("_blank_header", "_ingest", "_next_scan", "_origin", "_received_at", "_scan", "_spool", "sop_class",
                 "sop_instance", "syntax")  # fmt: skip

    def __init__(
        self, ingest: Ingest, spool: Spool, origin: Origin, sop_class: str, sop_instance: str, syntax: str
    ) -> None:
        self._ingest = ingest
        self._spool = spool
        self._origin = origin
        self.sop_class = sop_class.strip("\0 ")[:_LONGEST_UID]
        self.sop_instance = sop_instance.strip("\0 ")[:_LONGEST_UID]
        self.syntax = syntax
        self._received_at = ingest.clock()
        self._scan: Scan | None = None
        self._next_scan = _PREFIX
        self._blank_header = self._make_header()
        spool.begin(len(self._blank_header))

    def write(self, views: Sequence[memoryview | bytes]) -> None:
        """Take the next bytes of the data set; the views need to stay valid only during the call.

        Raises Retriable where they can't be written; `abandon` the reception then.
        """
        spool = self._spool
        spool.write(views)
        while spool.size >= self._next_scan:
            self._scan_prefix()

    def finish(self) -> Stored:
        """Make the object durable and file it. The data set must be whole.

        Raises Refused (the object lies in the exceptions area, or is a duplicate that the AE doesn't take) or Retriable
        (a second try does no harm, whatever became of the first).
        """
        started = time.perf_counter()
        digest = self._spool.finish_data()
        header = self._header(digest)
        try:
            self._spool.seal(header)
        except Retriable:
            self._spool.discard()
            raise
        arrival = self._arrival(digest)
        try:
            stored = self._filed(arrival, partial(self._spool.commit, header))
        except Refused as refusal:
            # the index has no row of it and won't have one
            self._set_aside(digest, refusal, committed=True)
            raise
        telemetry.count("isocenter_stored_total", verdict=stored.verdict)
        telemetry.count("isocenter_stored_bytes_total", stored.size)
        telemetry.observe("isocenter_store_seconds", time.perf_counter() - started)
        if stored.verdict == Verdict.REJECTED:
            raise Refused(Reason.DUPLICATE_SOP_INSTANCE, "an object with this SOP Instance UID is kept already")
        return stored

    def refuse(self, reason: Reason, comment: str) -> NoReturn:
        """Set the whole object aside for a reason that only its sender's protocol knows, and raise Refused."""
        refusal = Refused(reason, comment)
        self._set_aside(self._spool.finish_data(), refusal)
        raise refusal

    def abandon(self) -> None:
        """The sender went away in mid-object: what was spooled never becomes an object."""
        self._spool.discard()

    # --- understanding

    def _scan_prefix(self) -> None:
        """Scan what is there, so that the work overlaps with the arrival of the rest. What fails here fails again in
        `finish`, which says so."""
        length, self._next_scan = self._next_scan, sys.maxsize
        try:
            self._scan = scan(self._spool.pread(length, 0), self.syntax, extract.INDEXED, whole=False)
        except NeedMore:
            if length < _LONGEST_PREFIX:
                self._next_scan = length * 4
        except MalformedDataSet:
            return

    def _arrival(self, digest: str) -> Arrival:
        """What the index is told. Raises Refused once the object is set aside, Retriable once it is discarded."""
        try:
            found = self._scanned()
            self._check(found)
            return self._extracted(found, digest)
        except Refused as refusal:
            self._set_aside(digest, refusal)
            raise
        except Retriable:
            self._spool.discard()
            raise
        except Exception as fault:
            # bytes that nobody had thought of: whoever mends this will want to see them
            log.error("object.unexpected", exc_info=True, calling=self._origin.calling)
            failure = Refused(Reason.PROCESSING_FAILURE, "an unexpected error of the archive")
            self._set_aside(digest, failure)
            raise failure from fault

    def _scanned(self) -> Scan:
        if self._scan is None:
            spool = self._spool
            self._scan = scan_file(spool.pread, spool.size, self.syntax, extract.INDEXED)
        return self._scan

    def _check(self, found: Scan) -> None:
        """The data set's identity against the command's (I-STORE-ST-04, I-STORE-ST-06)."""
        if _uid(found, _SOP_CLASS) != self.sop_class:
            raise Refused(Reason.SOP_CLASS_MISMATCH, "SOP Class UID of the data set differs from the command's")
        if _uid(found, _SOP_INSTANCE) != self.sop_instance:
            raise Refused(Reason.SOP_INSTANCE_MISMATCH, "SOP Instance UID of the data set differs from the command's")
        if not _uid(found, _STUDY) or not _uid(found, _SERIES):
            raise Refused(Reason.CANNOT_UNDERSTAND, "Study or Series Instance UID is missing")

    def _extracted(self, found: Scan, digest: str) -> Arrival:
        spool, origin = self._spool, self._origin
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

    def _make_header(self) -> bytes:
        """The stored file's header but for the digest, which is known once the data set is through."""
        origin = self._origin
        policy = "" if origin.policy in _UNTOLD else str(origin.policy)
        receipt = Receipt(origin.calling, origin.called, origin.address, self._received_at, _NO_DIGEST, policy)
        return part10.stored_header(self.sop_class, self.sop_instance, self.syntax, receipt)

    def _header(self, digest: str) -> bytes:
        # the last ones: a UID may hold as many zeros, what follows the digest is shorter
        before, _, after = self._blank_header.rpartition(_NO_DIGEST.encode())
        return before + digest.encode() + after

    # --- filing

    def _filed(self, arrival: Arrival, commit: Callable[[], None]) -> Stored:
        """Commit the object and file it. Settled where the index knows what became of it."""
        outcome = self._ingest.writer.file(arrival, commit)
        if outcome.verdict == Verdict.DIFFERS and arrival.policy == DuplicatePolicy.NEW_UID:
            renamed_copy = self._renamed(arrival)
            if renamed_copy is not None:
                return renamed_copy
            arrival = arrival._replace(policy=DuplicatePolicy.KEEP_FIRST)
        if outcome.verdict == Verdict.DIFFERS:
            found = likeness(self._ingest.store, self._scanned(), arrival, outcome.existing_key)
            outcome = self._ingest.writer.file(arrival._replace(likeness=found))
        self._spool.settle()
        verdict, key = str(outcome.verdict), arrival.store_key
        return Stored(verdict, arrival.study_uid, arrival.series_uid, arrival.sop_uid, key, arrival.size)

    def _renamed(self, arrival: Arrival) -> Stored | None:
        """Policy `new-uid` (X-QR-44): file a copy under a new SOP Instance UID; the original goes to the exceptions
        area. None where the object can't be renamed."""
        fresh = uids.new_uid()
        copy = self._ingest.receive(self._origin, self.sop_class, fresh, self.syntax)
        try:
            for piece in renamed(self._spool.pread, arrival.size, self.syntax, fresh):
                copy.write([piece])
        except IsocenterError as failure:
            copy.abandon()
            if isinstance(failure, Refused):
                return None
            raise
        stored = copy.finish()
        reason = Refused(Reason.DUPLICATE_SOP_INSTANCE, "kept under a new SOP Instance UID")
        self._set_aside(arrival.digest, reason, committed=True)
        return stored

    def _set_aside(self, digest: str, refusal: IsocenterError, *, committed: bool = False) -> None:
        """Keep the refused object, if possible, with its reason, where an administrator finds it (I-STORE-02, -20)."""
        origin, spool, store = self._origin, self._spool, self._ingest.store
        facts = {
            "comment": refusal.comment, "sop_class": self.sop_class, "sop_uid": self.sop_instance,
            "syntax": self.syntax, "calling": origin.calling, "called": origin.called, "address": origin.address,
        }  # fmt: skip
        telemetry.count("isocenter_refused_total", reason=refusal.reason)
        try:
            if committed:
                key = store.set_aside(spool.key, refusal.reason, facts=facts)
                spool.settle()
            else:
                key = store.set_aside(spool, refusal.reason, header=self._header(digest), facts=facts)
            self._ingest.writer.file(ExceptionNote(key, refusal.reason, received_at=self._received_at, **facts))
            log.warning("object.set_aside", key=key, reason=refusal.reason, calling=origin.calling)
        except IsocenterError as failure:
            spool.discard()
            log.error("object.not_set_aside", reason=refusal.reason, because=failure.reason, calling=origin.calling)


def _uid(found: Scan, tag: int) -> str:
    element = found.elements.get(tag)
    return element.value.decode("ascii", "replace").strip("\0 ") if element else ""
