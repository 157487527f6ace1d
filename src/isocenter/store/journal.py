"""The journal: every change other than an arrival, as a small immutable file that is durable before its commit.

A record's file is `journal/<day>/<microseconds>-<random>-<check>.json`: names sort by time, no two processes
can meet, and the check (of the content's SHA-256) tells a torn one.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from isocenter import telemetry
from isocenter.store.api import Record
from isocenter.store.failures import keeping
from isocenter.store.layout import Layout, write_new

log = telemetry.logger("store.journal")

_CHECK = 16


class Journal:
    """The folder `journal/` of a store."""

    def __init__(self, layout: Layout, now: Callable[[], int]) -> None:
        self._layout = layout
        self._now = now
        self._last = 0
        self._lock = threading.Lock()

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep `record`, durably. Raises Retriable, and TypeError for what JSON can't carry."""
        content = encode(record)
        at = self._next_time()
        folder = f"{self._layout.journal}/{_day(at)}"
        name = f"{at:017d}-{secrets.token_hex(4)}-{_check(content)}.json"
        with keeping():
            self._layout.make_folder(folder)
            try:
                write_new(f"{folder}/{name}", content, durable=self._layout.durable)
                self._layout.sync(folder)
            except OSError:
                _unlink(f"{folder}/{name}")
                raise

    def records(self) -> Iterator[Record]:
        """All whole records by their time; torn ones are logged and passed over."""
        for path in self._paths():
            record = read(path)
            if record is None:
                log.warning("store.journal_record_torn", record=os.path.basename(path))
            else:
                yield record

    def damaged(self) -> tuple[str, ...]:
        """The torn records of the last two days that have any: a crash tears none but the latest."""
        days = sorted(os.listdir(self._layout.journal))[-2:]
        names = (f"{self._layout.journal}/{day}/{name}" for day in days for name in self._names(day))
        return tuple(os.path.basename(path) for path in names if read(path) is None)

    def _next_time(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, self._now())
            return self._last

    def _paths(self) -> Iterator[str]:
        for day in sorted(os.listdir(self._layout.journal)):
            for name in self._names(day):
                yield f"{self._layout.journal}/{day}/{name}"

    def _names(self, day: str) -> list[str]:
        return sorted(name for name in os.listdir(f"{self._layout.journal}/{day}") if name.endswith(".json"))


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as a line of JSON. Raises TypeError for what JSON can't carry."""
    return json.dumps(dict(record), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def read(path: str) -> Record | None:
    """The record in a file; None if it is torn."""
    with open(path, "rb") as file:
        content = file.read()
    if not path.endswith(f"-{_check(content)}.json"):
        return None
    record: Record = json.loads(content.decode("utf-8", "surrogatepass"))
    return record


def _day(at: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(at // 1_000_000))


def _check(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_CHECK]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.warning("store.journal_record_left", error=type(error).__name__)
