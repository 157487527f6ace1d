"""The exceptions area: bytes that were received and can't be served, each with a note of why."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from isocenter.errors import Reason, Refused
from isocenter.store.api import KEY, Buffer, Exceptional
from isocenter.store.failures import keeping
from isocenter.store.layout import Layout, write_new
from isocenter.store.opened import OpenFile
from isocenter.store.spool import FileSpool


class Quarantine:
    """The folder `exceptions/` of a store."""

    def __init__(self, layout: Layout, now: Callable[[], int]) -> None:
        self._layout = layout
        self._now = now

    def take_object(self, key: str, reason: str, offset: int, facts: Mapping[str, Any]) -> str:
        """Move a complete object here, durably: its note first, then one atomic rename. Raises Retriable."""
        source = self._layout.object(key)
        if not os.path.exists(source):
            raise Refused(Reason.NOT_FOUND, "no such object in the store")
        with keeping():
            self._note(key, reason, os.stat(source).st_size, offset, facts)
            self._rename(source, key)
        return key

    def take_spool(self, spool: FileSpool, reason: str, header: Buffer, facts: Mapping[str, Any]) -> str:
        """Move an unfinished object here with the bytes it has. Raises Retriable."""
        key = spool.key
        with keeping():
            self._note(key, reason, spool.header_size + spool.size, spool.header_size, facts)
            spool.move(header, lambda path: self._rename(path, key))
        return key

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
        with keeping():
            there = _unlinked(path)
            _unlinked(f"{path}.json")
            if there:
                self._layout.sync(self._layout.exceptions)
        return there

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
            return Exceptional(key, note["reason"], note["at"], size, note["offset"], note["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return Exceptional(key, "unknown", 0, size, 0)


def _unlinked(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def wall_clock() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000
