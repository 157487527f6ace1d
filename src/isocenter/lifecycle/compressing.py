"""Compressing one stored object: made, proved, and only then put where the other one was.

    original -> digest of its samples -> compressed copy in a spool -> decoded again: the same digest?
             -> copy synced -> index: the copy stands in the original's place -> the original goes some days later

A kill at any point leaves the original in force, or the copy; never none, never two. The copy's own header says what it
was made of, so that a start, or an index that is made anew, goes on from there. Pixels are decoded in worker processes.
"""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from isocenter import telemetry
from isocenter.archive.likeness import digest_of_rest, shows
from isocenter.dicom import part10
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.part10 import Compressed, Receipt
from isocenter.dicom.scan import scan_file
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.imaging.engine import Engine
from isocenter.imaging.proving import pixel_digest, signal_to_noise
from isocenter.imaging.transcoding import Plain, Transcoding, transcoding
from isocenter.index import extract
from isocenter.index.adoption import Assume, assume_nothing
from isocenter.index.records import Arrival, DuplicatePolicy, Verdict
from isocenter.index.writer import Writer
from isocenter.lifecycle.choosing import Way
from isocenter.store.api import Spool, Store, StoredObject
from isocenter.store.verify import digest_of

log = telemetry.logger("lifecycle.compressing")

NOT_SMALLER, ALTERED = "not-smaller", "altered"
NOT_PROVED, TOO_POOR, COPIED = "not-proved", "too-poor", "copied"
"""Why an object is left as it is, beside the reasons of `errors.Reason`; the last: it has a lossy copy beside it."""
_HEADER: Final = 1 << 16
_NO_DIGEST: Final = "?" * 64


class Subject(NamedTuple):
    """An object in force, as the index has it."""

    store_key: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    syntax: str
    size: int
    offset: int
    received_at: int
    source_aet: str


class Done(NamedTuple):
    """What came of it: `size` bytes of data set now, or why it stays as it is."""

    size: int
    left: str = ""
    sop_uid: str = ""
    """Of a lossy copy."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Compressor:
    """Compresses objects of one store. `keep`: seconds that the originals stay."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        engine: Engine,
        *,
        keep: float,
        assume: Assume = assume_nothing,
        clock: Callable[[], int] = now,
    ) -> None:
        self._store, self._writer, self._engine = store, writer, engine
        self._keep, self._assume, self._clock = int(keep * 1e6), assume, clock

    def compress(self, subject: Subject, way: Way) -> Done:
        """Compress an object. Durable on return. What can't be compressed stays as it is, and `Done.left` says why.

        `Reason.NOT_FOUND` among them: it was deleted meanwhile. Raises Retriable where something is lacking,
        Refused(NOT_FOUND) where the object is gone."""
        with self._store.open(subject.store_key) as stored:
            work = _Work(subject, stored, self._clock())
            try:
                work.check()
                done = self._lossy(work, way) if way.lossy is not None else self._lossless(work, way)
            except _Left as left:
                done = Done(subject.size, left.reason)
            except MalformedDataSet:
                done = Done(subject.size, Reason.CANNOT_UNDERSTAND)
            except Refused as refusal:
                done = Done(subject.size, refusal.reason)
        if done.left:
            log.info("object.left", key=subject.store_key, reason=done.left, target=way.target)
        else:
            telemetry.count("isocenter_compressed_total", target=way.target)
            telemetry.count("isocenter_compressed_bytes_total", subject.size, form="before")
            telemetry.count("isocenter_compressed_bytes_total", done.size, form="after")
        return done

    # --- without loss

    def _lossless(self, work: "_Work", way: Way) -> Done:
        target = way.target
        pixels = pixel_digest(self._engine, work.read, work.subject.size, work.subject.syntax)
        step = work.step(pixels, self._clock() + self._keep)
        receipt = work.receipt._replace(digest=_NO_DIGEST, compressed=(*work.receipt.compressed, step))
        subject = work.subject
        header = part10.stored_header(subject.sop_class, subject.sop_uid, target, receipt)
        spool = self._written(work, self._transcoding(work, way), len(header), may_grow=way.larger)
        try:
            digest = spool.finish_data()
            if pixel_digest(self._engine, lambda at, n: spool.pread(n, at), spool.size, target) != pixels:
                log.error("compression.not_proved", key=subject.store_key, target=target)
                raise _Left(NOT_PROVED)
            outcome = self._filed(spool, header, digest, target, receipt)
        except BaseException:
            spool.discard()
            raise
        if outcome == Verdict.DELETED:
            raise Refused(Reason.NOT_FOUND, "the object was deleted meanwhile")
        return Done(spool.size)

    # --- with loss

    def _lossy(self, work: "_Work", way: Way) -> Done:
        subject, at = work.subject, self._clock()
        made = self._transcoding(work, way)
        receipt = work.receipt._replace(digest=_NO_DIGEST, received_at=at, received=None, compressed=())
        header = part10.stored_header(subject.sop_class, made.sop_instance, way.target, receipt)
        spool = self._written(work, made, len(header), may_grow=way.larger)
        try:
            digest = spool.finish_data()
            original = work.read, subject.size, subject.syntax
            copy = (lambda at, n: spool.pread(n, at)), spool.size, way.target
            if signal_to_noise(self._engine, original, copy) < way.least:
                raise _Left(TOO_POOR)
            self._filed(spool, header, digest, way.target, receipt)
        except BaseException:
            spool.discard()
            raise
        return Done(spool.size, sop_uid=made.sop_instance)

    # --- both

    def _transcoding(self, work: "_Work", way: Way) -> Transcoding:
        subject = work.subject
        made = transcoding(self._engine, work.read, subject.size, subject.syntax, way.target, lossy=way.lossy)
        if isinstance(made, Plain):
            made.close()
            raise Refused(Reason.NOT_ACCEPTABLE, "the object has no pixel data")
        return made

    def _written(self, work: "_Work", made: Transcoding, header: int, *, may_grow: bool) -> Spool:
        """The new data set in a spool. Raises _Left where it is no smaller than the other, but should be."""
        spool = self._store.reserve(work.subject.size)
        try:
            spool.begin(header)
            for piece in made.pieces():
                spool.write([piece])
                if spool.size >= work.subject.size and not may_grow:
                    raise _Left(NOT_SMALLER)
        except BaseException:
            made.close()
            spool.discard()
            raise
        return spool

    def _filed(self, spool: Spool, header: bytes, digest: str, target: str, receipt: Receipt) -> str:
        """Make the copy durable and tell the index; the verdict."""
        before, _, after = header.rpartition(_NO_DIGEST.encode())
        whole = before + digest.encode() + after
        spool.seal(whole)
        arrival = self._arrival(spool, len(whole), digest, target, receipt)
        outcome = self._writer.file(arrival, partial(spool.commit, whole))
        if outcome.verdict == Verdict.DIFFERS:  # somebody stored the copy's UID with something else
            outcome = self._writer.file(arrival._replace(policy=DuplicatePolicy.REJECT))
        spool.settle()
        return outcome.verdict

    def _arrival(self, spool: Spool, offset: int, digest: str, target: str, receipt: Receipt) -> Arrival:
        assumed = self._assume(receipt)
        found = scan_file(spool.pread, spool.size, target, assumed.wanted.indexed)
        return extract.arrival(
            found,
            store_key=spool.key,
            digest=digest,
            size=spool.size,
            offset=offset,
            received_at=receipt.received_at,
            source_aet=receipt.sending_aet,
            issuer=assumed.issuer,
            character_set=assumed.character_set,
            policy=receipt.policy or DuplicatePolicy.KEEP_FIRST,
            read=spool.pread,
            wanted=assumed.wanted,
        )._replace(compressed=receipt.compressed, received=receipt.received is not None)


class _Left(Exception):
    """The object stays as it is; the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Work:
    """An object that is being compressed."""

    def __init__(self, subject: Subject, stored: StoredObject, at: int) -> None:
        self.subject, self._stored, self._at = subject, stored, at
        self.receipt = _receipt(subject, stored)

    def read(self, at: int, n: int) -> bytes:
        """Up to `n` bytes from `at` of the data set."""
        subject = self.subject
        return self._stored.pread(min(n, max(subject.size - at, 0)), subject.offset + at)

    def check(self) -> None:
        """Nothing is made of an object that is not what was received. Raises _Left."""
        if digest_of(self._stored, self.subject.offset) != self.receipt.digest:
            log.error("object.altered", key=self.subject.store_key)
            raise _Left(ALTERED)

    def step(self, pixels: str, until: int) -> Compressed:
        """What the copy says of the object that it was made of."""
        subject, receipt = self.subject, self.receipt
        first = receipt.compressed[0] if receipt.compressed else None
        rest = digest_of_rest(self._stored, receipt.received) if receipt.received else ""
        return Compressed(
            subject.store_key,
            receipt.digest,
            subject.syntax,
            subject.size,
            pixels,
            first.shows if first else shows(self._stored),
            first.rest if first else rest,
            self._at,
            until,
        )


def _receipt(subject: Subject, stored: StoredObject) -> Receipt:
    """How the object came; for a file that doesn't tell, as the index has it."""
    receipt: Receipt | None = None
    try:
        receipt = part10.read_receipt(part10.read_header(stored.pread(subject.offset, 0)))
    except IsocenterError:
        log.warning("header.unread", key=subject.store_key)
    if receipt is not None and receipt.digest:
        return receipt
    digest = hashlib.sha256()
    for at in range(0, subject.size, _HEADER):
        digest.update(stored.pread(min(_HEADER, subject.size - at), subject.offset + at))
    return Receipt(subject.source_aet, "", "", subject.received_at, digest.hexdigest())
