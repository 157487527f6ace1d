"""Filing objects that lie in the store already: each says itself who sent it when, with which digest.

What is unreadable, or not what its digest says, is set aside with its reason; nothing is deleted.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from isocenter import telemetry
from isocenter.dicom import part10
from isocenter.dicom.scan import Scan, scan_file
from isocenter.errors import IsocenterError, Refused
from isocenter.index import extract
from isocenter.index.keys import STANDARD, Wanted
from isocenter.index.records import (
    Arrival,
    Choice,
    Deletion,
    DuplicatePolicy,
    Edit,
    ExceptionNote,
    Likeness,
    Outcome,
    Verdict,
)
from isocenter.index.writer import Writer
from isocenter.store.api import Store, StoredObject
from isocenter.store.verify import digest_of, recorded

log = telemetry.logger("index.adoption")

WINDOW = 128
"""Objects on their way to the writer at a time."""
_HEADER = 1 << 16
_WAIT = 120.0

Compare: TypeAlias = Callable[[Store, Scan, Arrival, str], Likeness]
"""How an arrival compares with the stored object of the same identity whose key is given (`archive.likeness`)."""


class Assumed(NamedTuple):
    """What is assumed of a sender's objects where they don't say: see `index.extract.arrival`."""

    issuer: str = ""
    character_set: str = ""
    wanted: Wanted = STANDARD
    """What is indexed of any object."""


Assume: TypeAlias = Callable[[part10.Receipt], Assumed]


def assume_nothing(_receipt: part10.Receipt) -> Assumed:
    """Nothing is known of any sender."""
    return Assumed()


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


def different(_store: Store, _scan: Scan, _arrival: Arrival, _key: str) -> Likeness:
    """Without a better comparison what differs counts as different, which flags it."""
    return Likeness.DIFFERENT


class Adoption:
    """Files stored objects, in the order given, many on their way at a time."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        *,
        compare: Compare = different,
        assume: Assume = assume_nothing,
        verify: bool = True,
    ) -> None:
        self.report = Report()
        self._store, self._writer = store, writer
        self._compare, self._assume, self._verify = compare, assume, verify
        self._under_way: deque[tuple[Future[Outcome], _Read]] = deque()
        self._compressed: dict[str, str] = {}
        self._not_taken: frozenset[str] = frozenset()

    def leave_out(self, keys: Iterable[str]) -> None:
        """The objects `keys` came again after they were rejected, and were not taken then: nor are they now."""
        self._not_taken |= frozenset(keys)

    def adopt(self, key: str) -> None:
        """File the object `key`, or set it aside."""
        try:
            read = self._read(key)
        except _Unfit as unfit:
            self._set_aside(key, unfit)
            return
        self._compressed.update({each.original_key: key for each in read.arrival.compressed})
        if key in self._not_taken:
            self.finish()  # the note that it met then is to be met now
            read = read._replace(arrival=read.arrival._replace(resend="refuse"))
        self._under_way.append((self._writer.submit(read.arrival), read))
        if len(self._under_way) >= WINDOW:
            self._finish_one()

    def finish(self) -> None:
        """Wait until all is filed."""
        while self._under_way:
            self._finish_one()

    def choose(self, key: str, at: int) -> None:
        """A journal's version choice: put the version `key`, or what it was compressed to, in force, if it is there."""
        self.finish()
        try:
            read = self._read(self._compressed.get(key, key))
        except (_Unfit, IsocenterError):
            return
        self._writer.submit(Choice(read.arrival, at)).result(_WAIT)

    def delete(self, what: Deletion) -> None:
        """A journal's deletion: of what is filed by now."""
        self.finish()
        self._writer.submit(what).result(_WAIT)

    def edit(self, what: Edit) -> bool:
        """A journal's edit: of what is filed by now. False where the index would not have it."""
        self.finish()
        try:
            self._writer.submit(what).result(_WAIT)
        except Refused as refusal:
            log.warning("edit.not_replayed", uid=what.uid, kind=what.kind, reason=refusal.reason)
            return False
        return True

    def note(self, note: ExceptionNote) -> None:
        """List an object that lies in the exceptions area."""
        self._writer.submit(note).result(_WAIT)

    def _finish_one(self) -> None:
        future, read = self._under_way.popleft()
        outcome = future.result(_WAIT)
        arrival = read.arrival
        if outcome.verdict == Verdict.RESENT:
            arrival, outcome = self._hidden(arrival)
        if outcome.verdict == Verdict.DIFFERS:
            likeness = self._compare(self._store, read.scan, read.arrival, outcome.existing_key)
            arrival = arrival._replace(likeness=likeness)
            outcome = self._writer.submit(arrival).result(_WAIT)
            if outcome.verdict == Verdict.RESENT:  # the note was on its way with it
                _, outcome = self._hidden(arrival)
        self.report.verdicts[outcome.verdict] += 1

    def _hidden(self, arrival: Arrival) -> tuple[Arrival, Outcome]:
        """File what came again after it was rejected; what was let back in then, the journal lets in again."""
        arrival = arrival._replace(resend="hide")
        return arrival, self._writer.submit(arrival).result(_WAIT)

    def _read(self, key: str) -> _Read:
        with self._store.open(key) as stored:
            offset, receipt, syntax = _receipt(stored, self._verify)
            size = stored.size - offset
            assumed = self._assume(receipt)

            def read(n: int, at: int) -> bytes:
                return stored.pread(n, offset + at)

            try:
                found = scan_file(read, size, syntax, assumed.wanted.indexed)
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
                    wanted=assumed.wanted,
                )._replace(received=receipt.received is not None, compressed=receipt.compressed)
            except IsocenterError as fault:
                raise _Unfit(fault.reason, fault.comment) from fault
        return _Read(receipt, found, arrival)

    def _set_aside(self, key: str, unfit: _Unfit) -> None:
        place = self._store.set_aside(key, unfit.reason, facts={"comment": unfit.comment})
        now = time.time_ns() // 1000
        self.note(ExceptionNote(place, unfit.reason, unfit.comment, "", "", "", "", "", "", now))
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
    compare: Compare = different,
    assume: Assume = assume_nothing,
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
