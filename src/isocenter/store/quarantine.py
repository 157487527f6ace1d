"""The exceptions area: bytes that were received and can't be served, each with a note of why."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from isocenter.errors import Reason, Refused
from isocenter.store.api import KEY, Buffer, Exceptional, exception_key
from isocenter.store.failures import keeping
from isocenter.store.layout import FILE_MODE, Layout, write_new
from isocenter.store.opened import OpenFile
from isocenter.store.spool import FileSpool


class Quarantine:
    """The folder `exceptions/` of a store."""

    def __init__(self, layout: Layout, now: Callable[[], int]) -> None:
        self._layout = layout
        self._now = now

    def take_object(self, key: str, reason: str, offset: int, facts: Mapping[str, Any], alike: str = "") -> str:
        """Move a complete object here, durably: its note first, then one atomic rename. Raises Retriable."""
        source = self._layout.object(key)
        if not os.path.exists(source):
            raise Refused(Reason.NOT_FOUND, "no such object in the store")
        place = exception_key(key, alike)
        with keeping(), self._alone():
            size = os.stat(source).st_size
            if alike and self._lies(place, size - offset):
                self._count(place)
                _unlinked(source)
                self._layout.sync(os.path.dirname(source))
            else:
                self._note(place, reason, size, offset, facts)
                self._rename(source, place)
        return place

    def take_spool(
        self, spool: FileSpool, reason: str, header: Buffer, facts: Mapping[str, Any], alike: str = ""
    ) -> str:
        """Move an unfinished object here with the bytes it has. Raises Retriable."""
        place = exception_key(spool.key, alike)
        with keeping(), self._alone():
            if alike and self._lies(place, spool.size):
                self._count(place)
                spool.discard()
            else:
                self._note(place, reason, spool.header_size + spool.size, spool.header_size, facts)
                spool.move(header, lambda path: self._rename(path, place))
        return place

    def entries(self) -> Iterator[Exceptional]:
        """What lies here, oldest first; an object without a readable note is listed with the reason `unknown`."""
        notes = [self._entry(name) for name in os.listdir(self._layout.exceptions) if KEY.match(name)]
        yield from sorted(notes, key=lambda entry: (entry.at, entry.key))

    def open(self, key: str) -> OpenFile:
        """The bytes."""
        return OpenFile(key, self._layout.exception(key))

    def remove(self, key: str) -> bool:
        """Delete the bytes, then their note, durably. Raises Retriable."""
        path = self._layout.exception(key)
        with keeping(), self._alone():
            there = _unlinked(path)
            _unlinked(f"{path}.json")
            _unlinked(f"{path}.times")
            if there:
                self._layout.sync(self._layout.exceptions)
        return there

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other thread or process put something here or take it away: a repeat is counted where one lies."""
        lock = os.open(self._layout.exceptions_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _lies(self, key: str, size: int) -> bool:
        """Whether an entry with a data set of this size is here; one that a crash cut short is written over."""
        if not os.path.exists(self._layout.exception(key)):
            return False
        entry = self._entry(key)
        return entry.size - entry.offset == size

    def _count(self, key: str) -> None:
        """Note a repeat. Not synced: what a loss of power takes is a number, no bytes of anybody."""
        path = f"{self._layout.exception(key)}.times"
        times, _ = _times(path)
        fresh = f"{path}.new"
        _unlinked(fresh)
        write_new(fresh, json.dumps({"times": times + 1, "last_at": self._now()}).encode(), durable=False)
        os.rename(fresh, path)

    def _note(self, key: str, reason: str, size: int, offset: int, facts: Mapping[str, Any]) -> None:
        note = {"reason": reason, "at": self._now(), "size": size, "offset": offset, "facts": dict(facts)}
        path = f"{self._layout.exception(key)}.json"
        fresh = f"{path}.new"
        if os.path.exists(fresh):
            os.unlink(fresh)  # of a try that a crash ended
        write_new(fresh, json.dumps(note).encode(), durable=self._layout.durable)
        os.rename(fresh, path)

    def _rename(self, source: str, key: str) -> None:
        os.rename(source, self._layout.exception(key))
        self._layout.sync(self._layout.exceptions)
        self._layout.sync(os.path.dirname(source))

    def _entry(self, key: str) -> Exceptional:
        path = self._layout.exception(key)
        size = os.stat(path).st_size
        try:
            with open(f"{path}.json", "rb") as file:
                note = json.load(file)
            told = note["reason"], note["at"], size, note["offset"], note["facts"]
            return Exceptional(key, *told, *_times(f"{path}.times"))
        except (OSError, ValueError, KeyError, TypeError):
            return Exceptional(key, "unknown", 0, size, 0)


def _times(path: str) -> tuple[int, int]:
    """How often something came, and when last (0: nobody noted it)."""
    try:
        with open(path, "rb") as file:
            told = json.load(file)
        return int(told["times"]), int(told["last_at"])
    except (OSError, ValueError, KeyError, TypeError):  # a count that is lost begins anew
        return 1, 0


def _unlinked(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def wall_clock() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000
