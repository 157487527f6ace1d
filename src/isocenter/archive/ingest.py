"""Receiving one object: from its first byte to a durable SOP Instance in the index (docs/design.md section 4).

    receive -> spool (hashed on the way) -> header scan -> checks -> file synced -> answer, rows

`Reception.finish` returns when the object is durable, and its rows are too or follow (`index.behind`). Nothing is
deleted here: what can't be stored is set aside with its reason, a redundant copy is left to the removal job, and a
complete object of which it isn't known whether the index has it stays offered to recovery.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

from isocenter import telemetry
from isocenter.archive import heading
from isocenter.archive.arriving import UNCHANGED, Origin, Stored
from isocenter.archive.coercing import Coerced, Identity, Waiting, recast
from isocenter.archive.likeness import likeness
from isocenter.archive.rejection.resending import Resending
from isocenter.archive.renaming import renamed
from isocenter.archive.scanning import Scanning
from isocenter.archive.validation import identity
from isocenter.archive.validation.levels import Incoming
from isocenter.config.rejections import Rejections
from isocenter.dicom import uids
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.part10 import Received
from isocenter.dicom.scan import Scan
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.index import extract
from isocenter.index.behind import Behind
from isocenter.index.keys import STANDARD, Wanted
from isocenter.index.records import Arrival, DuplicatePolicy, ExceptionNote, Likeness, Outcome, Verdict
from isocenter.index.writer import Writer
from isocenter.store.api import Spool, Store

__all__ = ["Ingest", "Origin", "Reception", "Stored", "now"]

log = telemetry.logger("archive.ingest")

_LONGEST_UID = 256
"""Characters of a UID that are looked at; none of a data set may be longer (`index.extract`)."""
_REJECTIONS = Rejections()
_NEW = Outcome(Verdict.STORED)


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Ingest:
    """The door into the archive, shared by C-STORE, STOW-RS and imports."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        clock: Callable[[], int] = now,
        *,
        wanted: Wanted = STANDARD,
        rejections: Rejections = _REJECTIONS,
        behind: Behind | None = None,
    ) -> None:
        """`wanted`: what is indexed (`index.keys.wanted`). `rejections`: what becomes of objects that were rejected.
        `behind`: what files new objects once they have been acknowledged; None: each is filed before."""
        self.store = store
        self.writer = writer
        self.clock = clock
        self.wanted = wanted
        self.behind = behind
        self.resending = Resending(store, writer, clock, rejections)

    def receive(self, origin: Origin, sop_class: str, sop_instance: str, syntax: str) -> "Reception":
        """Start receiving the data set of one instance in transfer syntax `syntax`.

        Raises Retriable where space or another resource is short.
        """
        return Reception(self, self.store.reserve(), origin, sop_class, sop_instance, syntax)


class Reception:
    """One object on its way in. Give it the data set with `write`, then `finish`, `refuse` or `abandon` it."""

    __slots__ = ("_blank_header", "_coerced", "_ingest", "_origin", "_received_at", "_remark",
                 "_scanning", "_spool", "_waiting", "sop_class", "sop_instance", "syntax")  # fmt: skip

    def __init__(
        self,
        ingest: Ingest,
        spool: Spool,
        origin: Origin,
        sop_class: str,
        sop_instance: str,
        syntax: str,
        *,
        coerced: Coerced | None = None,
    ) -> None:
        """`coerced`: what rules have made of the object already."""
        self._ingest = ingest
        self._spool = spool
        self._origin = origin
        self.sop_class = sop_class.strip("\0 ")[:_LONGEST_UID]
        self.sop_instance = sop_instance.strip("\0 ")[:_LONGEST_UID]
        self.syntax = syntax
        self._received_at = ingest.clock()
        self._remark = ""
        self._scanning = Scanning(spool, origin.recurring.forms, syntax, ingest.wanted.indexed)
        self._waiting: Waiting | None = None
        self._coerced = coerced
        self._blank_header = b""
        if origin.coercion is None or coerced is not None:
            self._begin()
        else:
            indexed, assumed = ingest.wanted.indexed, origin.character_set
            named, at = self._identity, self._received_at
            self._waiting = Waiting(origin.coercion, named, syntax, indexed, assumed, at, origin.recurring)

    def write(self, views: Sequence[memoryview | bytes]) -> None:
        """Take the next bytes of the data set; the views need to stay valid only during the call.

        Raises Retriable where they can't be written; `abandon` the reception then.
        """
        spool = self._spool
        if self._waiting is not None:
            decided = self._waiting.feed(views)
            if decided is not None:
                self._decide(*decided)
            return
        spool.write(views)
        while spool.size >= self._scanning.at:
            self._scanning.look()

    def finish(self) -> Stored:
        """Make the object durable and file it. The data set must be whole.

        Raises Refused (the object lies in the exceptions area, or is a duplicate that the AE doesn't take) or Retriable
        (a second try does no harm, whatever became of the first).
        """
        started = time.perf_counter()
        if self._waiting is not None:
            self._decide(self._waiting.finish(), [])
        digest = self._spool.finish_data()
        if self._coerced is not None and self._coerced.late:
            stored = self._recast(digest)
            if stored is not None:
                return stored
        header = heading.filled(self._blank_header, digest)
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
        if self._waiting is not None:
            self._decide(self._waiting.finish(), [])
        self._set_aside(self._spool.finish_data(), refusal)
        raise refusal

    def abandon(self) -> None:
        """The sender went away in mid-object: what was spooled never becomes an object."""
        self._spool.discard()

    # --- changing

    @property
    def _identity(self) -> Identity:
        """Under which UIDs the object is filed: the sender's, but where rules made others."""
        return self._coerced.identity if self._coerced is not None else Identity(self.sop_class, self.sop_instance)

    def _begin(self) -> None:
        self._blank_header = heading.blank(self._origin, self._identity, self.syntax, self._received_at, self._received)
        self._spool.begin(len(self._blank_header))

    def _decide(self, coerced: Coerced, rest: Sequence[memoryview]) -> None:
        """The rules have been asked: write what waited for them."""
        self._coerced, self._waiting = coerced, None
        self._begin()
        self._scanning.know(coerced.scan)
        self.write([coerced.head, *rest])

    def _recast(self, digest: str) -> Stored | None:
        """Ask the rules about the whole object in the spool, and keep what they make of it in its place. None where
        they change nothing, or can't be asked, which `_arrival` tells."""
        spool, origin = self._spool, self._origin
        assert origin.coercion is not None
        asked = self._identity, origin.character_set, self._received_at
        try:
            again = recast(origin.coercion, spool.pread, spool.size, digest, self.syntax, *asked)
        except MalformedDataSet:
            return None
        except Refused as refusal:
            self._set_aside(digest, refusal)
            raise
        if again is None:
            return None
        coerced = Coerced(b"", again.outcome, again.identity, again.received)
        named = self.sop_class, self.sop_instance, self.syntax
        copy = Reception(self._ingest, self._ingest.store.reserve(), origin, *named, coerced=coerced)
        try:
            for piece in again.pieces:
                copy.write([piece])
        except IsocenterError:
            copy.abandon()
            spool.discard()
            raise
        spool.discard()
        return copy.finish()

    # --- understanding

    def _arrival(self, digest: str) -> Arrival:
        """What the index is told. Raises Refused once the object is set aside, Retriable once it is discarded."""
        try:
            if self._coerced is not None and self._coerced.refusal is not None:
                raise self._coerced.refusal
            found = self._scanning.whole()
            identity.check(found, *self._identity)
            if self._origin.inspection is not None:
                spool, assumed = self._spool, self._origin.character_set
                self._remark = self._origin.inspection.remark(Incoming(found, spool.pread, spool.size, assumed))
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

    def _extracted(self, found: Scan, digest: str) -> Arrival:
        spool, origin = self._spool, self._origin
        arrival = extract.arrival(
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
            wanted=self._ingest.wanted,
            received=self._received is not None,
        )
        if arrival.rejection and not origin.may_reject:
            raise Refused(Reason.NOT_AUTHORIZED, "this peer may not reject objects")
        return arrival

    @property
    def _received(self) -> Received | None:
        """What the sender's bytes were, where they are not what is kept."""
        return self._coerced.received if self._coerced is not None else None

    # --- filing

    def _filed(self, arrival: Arrival, commit: Callable[[], None]) -> Stored:
        """Commit the object and file it, or have it filed soon. Settled where the index knows what became of it."""
        behind = self._ingest.behind
        if behind is None:
            return self._judged(arrival, self._ingest.writer.file(arrival, commit))
        if not behind.take(arrival):
            behind.precede(arrival)
            return self._judged(arrival, self._ingest.writer.file(arrival, commit))
        self._scanning.know(None)  # read again where it is needed, which is seldom
        behind.put(arrival, commit, partial(self._followed, arrival))
        return self._stored(arrival, _NEW)

    def _followed(self, arrival: Arrival, answer: Outcome | IsocenterError) -> None:
        """The index has answered behind the acknowledgement. Raises Retriable where it is to be asked again."""
        try:
            if not isinstance(answer, Outcome):
                raise answer
            if answer.verdict == Verdict.STORED:
                self._spool.settle()
            else:
                self._judged(arrival, answer)  # another object of its UID was faster
        except Refused as refusal:
            # what was acknowledged is kept where an administrator finds it
            self._set_aside(arrival.digest, refusal, committed=True)
            raise

    def _judged(self, arrival: Arrival, outcome: Outcome) -> Stored:
        """What the index's answer means, after what it asks for."""
        if outcome.verdict == Verdict.RESENT:
            arrival = self._ingest.resending.decided(arrival, outcome)
            outcome = self._ingest.writer.file(arrival)
        if outcome.verdict == Verdict.DIFFERS and arrival.policy == DuplicatePolicy.NEW_UID:
            again = arrival.received and self._likeness(arrival, outcome.existing_key) == Likeness.EQUAL
            renamed_copy = None if again else self._renamed(arrival)
            if renamed_copy is not None:
                return renamed_copy
            arrival = arrival._replace(policy=DuplicatePolicy.KEEP_FIRST)
        if outcome.verdict == Verdict.DIFFERS:
            found = self._likeness(arrival, outcome.existing_key)
            arrival = arrival._replace(likeness=found)
            outcome = self._ingest.writer.file(arrival)
            if outcome.verdict == Verdict.RESENT:  # a note has rejected the other meanwhile
                outcome = self._ingest.writer.file(self._ingest.resending.decided(arrival, outcome))
        self._spool.settle()
        return self._stored(arrival, outcome)

    def _stored(self, arrival: Arrival, outcome: Outcome) -> Stored:
        verdict, key = str(outcome.verdict), arrival.store_key
        uids_of = (outcome.study_uid or arrival.study_uid, arrival.series_uid, arrival.sop_uid)
        changed = self._coerced.outcome if self._coerced is not None else UNCHANGED
        return Stored(verdict, *uids_of, key, arrival.size, self._remark, changed)

    def _likeness(self, arrival: Arrival, existing_key: str) -> Likeness:
        return likeness(self._ingest.store, self._scanning.whole(), arrival, existing_key)

    def _renamed(self, arrival: Arrival) -> Stored | None:
        """Policy `new-uid` (X-QR-44): file a copy under a new SOP Instance UID; the original goes to the exceptions
        area. None where the object can't be renamed."""
        fresh = uids.new_uid()
        unruled = replace(self._origin, coercion=None)  # they have been asked
        copy = self._ingest.receive(unruled, self._identity.sop_class, fresh, self.syntax)
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
        return stored._replace(outcome=self._coerced.outcome) if self._coerced is not None else stored

    def _set_aside(self, digest: str, refusal: IsocenterError, *, committed: bool = False) -> None:
        """Keep the refused object, if possible, with its reason, where an administrator finds it (I-STORE-02, -20)."""
        origin, spool, store = self._origin, self._spool, self._ingest.store
        facts = {
            "comment": refusal.comment, "sop_class": self.sop_class, "sop_uid": self.sop_instance,
            "syntax": self.syntax, "calling": origin.calling, "called": origin.called, "address": origin.address,
        }  # fmt: skip
        # who sends it again until it is taken is refused again, with nothing new to keep
        alike = "\0".join((digest, refusal.reason, self.sop_instance, origin.calling))
        telemetry.count("isocenter_refused_total", reason=refusal.reason)
        try:
            if committed:
                key = store.set_aside(spool.key, refusal.reason, facts=facts, alike=alike)
                spool.settle()
            else:
                header = heading.filled(self._blank_header, digest)
                key = store.set_aside(spool, refusal.reason, header=header, facts=facts, alike=alike)
            self._ingest.writer.file(ExceptionNote(key, refusal.reason, received_at=self._received_at, **facts))
            log.warning("object.set_aside", key=key, reason=refusal.reason, calling=origin.calling)
        except IsocenterError as failure:
            spool.discard()
            log.error("object.not_set_aside", reason=refusal.reason, because=failure.reason, calling=origin.calling)
