"""The objects of one STOW-RS request made durable and filed together: they are answered together, so that the disk and
the index have to be waited for once.

A file system that is made to sync while the next objects are being written keeps their writers waiting. So records
queue here until enough have come, until all are here that the request still has under way, or until one has waited
long enough. Then their objects are synced beside each other, and filed in one transaction.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from isocenter.archive.ingest import Ingest
from isocenter.errors import Reason, Retriable
from isocenter.index.batches import Answer, already_durable
from isocenter.index.records import Outcome, Record
from isocenter.index.writer import Writer

_MOST: Final = 12
"""Records that go to the index without waiting for more."""
_PATIENCE: Final = 0.03
"""Seconds that a record waits for others of its request, which may be on a slow way."""


class Filing(Writer, Protocol):
    """A `Writer` that takes several records at once, as those of an index do."""

    def file_all(self, records: Sequence[Record]) -> list[Answer]:
        """File `records` together; the answer of each."""
        ...


class _Group:
    """Records that are filed together. Its lists are only added to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.durable: list[int] = []
        """Places of those whose objects are."""
        self.answers: dict[int, Answer] = {}
        self.overdue = 0.0
        self.closed = False
        """Nothing is added any more."""
        self.syncing = 0
        """Records whose objects may still become durable."""
        self.answered = threading.Event()


class Together:
    """A `Writer` for the objects of one request. It is told of each by `began` and `ended`; `complete` says that no
    other will begin."""

    def __init__(self, writer: Filing) -> None:
        self._writer = writer
        self._changed = threading.Condition()
        self._group = _Group()
        self._under_way = self._sent = 0
        """Objects that have begun and not ended; those of them in closed groups."""
        self._complete = False
        self.submit, self.close = writer.submit, writer.close

    def began(self) -> None:
        """An object is whole and will be filed or refused."""
        with self._changed:
            self._under_way += 1

    def ended(self) -> None:
        """That object has its answer."""
        with self._changed:
            self._under_way -= 1
            self._look()

    def complete(self) -> None:
        """All objects of the request have begun."""
        with self._changed:
            self._complete = True
            self._look()

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `Writer`."""
        group, place = self._joined(record)
        try:
            before_commit()
            group.durable.append(place)
        finally:
            if self._last_of(group):
                self._filed(group)
        group.answered.wait()
        with self._changed:
            self._sent -= 1
        answer = group.answers.get(place)
        if isinstance(answer, Outcome):
            return answer
        raise answer or Retriable(Reason.OUT_OF_RESOURCES, "the index gave no answer")

    def _joined(self, record: Record) -> tuple[_Group, int]:
        """The group of a record and its place in it, once the group is closed."""
        with self._changed:
            group, place = self._group, len(self._group.records)
            if not group.records:
                group.overdue = time.monotonic() + _PATIENCE
            group.records.append(record)
            group.syncing += 1
            self._look()
            while not group.closed:
                left = group.overdue - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    self._close()
            return group, place

    def _look(self) -> None:
        """Close the group if nothing is left to wait for."""
        count = len(self._group.records)
        if count >= _MOST or (count and self._complete and count >= self._under_way - self._sent):
            self._close()

    def _close(self) -> None:
        self._group.closed = True
        self._sent += len(self._group.records)
        self._group = _Group()
        self._changed.notify_all()

    def _last_of(self, group: _Group) -> bool:
        with self._changed:
            group.syncing -= 1
            return not group.syncing

    def _filed(self, group: _Group) -> None:
        try:
            answers = self._writer.file_all([group.records[place] for place in group.durable])
            group.answers.update(zip(group.durable, answers, strict=True))
        finally:
            group.answered.set()


def filing_with(ingest: Ingest, writer: Together) -> Ingest:
    """The same door into the archive, its objects filed by `writer`."""
    made = copy.copy(ingest)
    made.writer = writer
    return made
