"""The store's twin in memory, for tests of what stands on it. Passes the same contract tests."""

import hashlib
import json
import os
import secrets
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from isocenter.errors import ConfigurationError, Reason, Refused, Retriable
from isocenter.store.api import (
    MARK,
    Buffer,
    Exceptional,
    ReadRecorded,
    Record,
    Recovery,
    Spool,
    checked_header,
    checked_key,
    checked_pack_name,
    exception_key,
)
from isocenter.store.verify import data_offset

T = TypeVar("T")


class MemoryObject:
    """See `api.StoredObject`. `fileno` gives an anonymous file with the same bytes."""

    path = ""

    def __init__(self, key: str, content: bytes) -> None:
        self.key = key
        self._content = content
        self._file = -1

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self._content)

    def fileno(self) -> int:
        """A descriptor, made on first use."""
        if self._file < 0:
            self._file = os.memfd_create(self.key)
            rest = memoryview(self._content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        return self._file

    def pread(self, n: int, offset: int) -> bytes:
        """Bytes of the whole."""
        return self._content[offset : offset + n]

    def close(self) -> None:
        """Let go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemorySpool:
    """See `api.Spool`."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self._data = bytearray()
        self._hash = hashlib.sha256()
        self._ended = False
        self._committed = False
        self.key = secrets.token_hex(16)
        self.header_size = 0

    @property
    def size(self) -> int:
        """Bytes of data."""
        return len(self._data)

    @property
    def digest(self) -> str:
        """SHA-256 of the data."""
        return self._hash.hexdigest()

    def begin(self, header_size: int) -> None:
        """Leave room for the header."""
        if self._data or self.header_size or header_size < MARK:
            raise ValueError("begin comes once, before the data, with room for a header")
        self.header_size = header_size

    def write(self, views: Sequence[Buffer]) -> int:
        """Append to the data."""
        if not self.header_size:
            raise ValueError("write before begin")
        self._check()
        before = len(self._data)
        for view in views:
            self._hash.update(view)
            self._data += view
        return len(self._data) - before

    def finish_data(self) -> str:
        """The data is whole."""
        return self.digest

    def pread(self, n: int, offset: int) -> bytes:
        """Bytes of the data."""
        if not self._committed:
            self._check()
        return bytes(self._data[offset : offset + n])

    def seal(self, header: Buffer) -> None:
        """Nothing to start: memory has no disk to wait for."""
        checked_header(header, self.header_size)
        self._check()

    def commit(self, header: Buffer) -> None:
        """Complete the object."""
        view = checked_header(header, self.header_size)
        self._check()
        self._store.objects[self.key] = bytes(view) + bytes(self._data)
        self._store.unsettled.add(self.key)
        self._ended = self._committed = True

    def discard(self) -> None:
        """It never was."""
        self._ended = True

    def settle(self) -> None:
        """The index knows the object."""
        if not self._committed:
            raise ValueError("settle before commit")
        self._store.unsettled.discard(self.key)

    def end(self, header: Buffer) -> bytes:
        """All there is, for the exceptions area."""
        self._check()
        start = bytes(checked_header(header, self.header_size)) if header else bytes(self.header_size)
        self._ended = True
        return start + bytes(self._data)

    def _check(self) -> None:
        if self._ended:
            raise ValueError("the spool has ended")


class MemoryStore:
    """See `api.Store`. `capacity` and `floor_bytes` make the lack of space visible to tests."""

    def __init__(self, *, archive_id: str = "", capacity: int = 1 << 40, floor_bytes: int = 0) -> None:
        self.objects: dict[str, bytes] = {}
        self.unsettled: set[str] = set()
        self._archive_id = archive_id or uuid.uuid4().hex
        self._capacity = capacity
        self._floor = floor_bytes
        self._exceptions: dict[str, tuple[bytes, Exceptional]] = {}
        self._journal: list[str] = []
        self._packs: dict[str, bytes] = {}
        self._held = threading.Lock()

    @property
    def archive_id(self) -> str:
        """The archive that this store belongs to."""
        return self._archive_id

    def reserve(self, size_hint: int = 0) -> MemorySpool:
        """A spool."""
        if self.free_bytes() - size_hint < self._floor:
            raise Retriable(Reason.OUT_OF_STORAGE, "free space is below the floor")
        return MemorySpool(self)

    def open(self, key: str) -> MemoryObject:
        """The complete object `key`."""
        return MemoryObject(key, _found(self.objects, checked_key(key)))

    def exists(self, key: str) -> bool:
        """Whether `key` is a complete object."""
        return key in self.objects

    def size(self, key: str) -> int:
        """Bytes of the whole object."""
        return len(_found(self.objects, checked_key(key)))

    def keys(self) -> Iterator[str]:
        """All complete objects."""
        yield from list(self.objects)

    def names(self) -> Iterator[str]:
        """The same."""
        yield from list(self.objects)

    def remove(self, key: str) -> bool:
        """Delete an object."""
        return self.objects.pop(checked_key(key), None) is not None

    def set_aside(
        self,
        what: Spool | str,
        reason: str,
        *,
        header: Buffer = b"",
        facts: Mapping[str, Any] | None = None,
        alike: str = "",
    ) -> str:
        """Move an object or spool to the exceptions area."""
        if isinstance(what, MemorySpool):
            key, offset, content = what.key, what.header_size, what.end(header)
        elif isinstance(what, str):
            key = what
            with self.open(what) as stored:
                offset = data_offset(stored)
            content = self.objects.pop(key)
        else:
            raise TypeError("a spool of another store")
        now, key = time.time_ns() // 1000, exception_key(key, alike)
        if alike and key in self._exceptions:
            content, known = self._exceptions[key]
            self._exceptions[key] = (content, replace(known, times=known.times + 1, last_at=now))
            return key
        note = Exceptional(key, reason, now, len(content), offset, dict(facts or {}))
        self._exceptions[key] = (content, note)
        return key

    def exceptions(self) -> Iterator[Exceptional]:
        """What was set aside."""
        yield from [note for _, note in self._exceptions.values()]

    def open_exception(self, key: str) -> MemoryObject:
        """The bytes of what was set aside."""
        return MemoryObject(key, _found(self._exceptions, checked_key(key))[0])

    def remove_exception(self, key: str) -> bool:
        """Delete what was set aside."""
        return self._exceptions.pop(checked_key(key), None) is not None

    def append_journal(self, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        self._journal.append(json.dumps(dict(record)))

    def journal(self) -> Iterator[Record]:
        """All records."""
        yield from [json.loads(line) for line in self._journal]

    def put_pack(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Keep derived data."""
        content = b"".join(chunks)
        self._packs[checked_pack_name(name)] = content
        return len(content)

    def open_pack(self, name: str) -> MemoryObject:
        """Derived data."""
        return MemoryObject(name, _found(self._packs, checked_pack_name(name)))

    def remove_pack(self, name: str) -> bool:
        """Let go of derived data."""
        return self._packs.pop(checked_pack_name(name), None) is not None

    def free_bytes(self) -> int:
        """What is left of the capacity."""
        return self._capacity - sum(len(content) for content in list(self.objects.values()))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the store."""
        if not self._held.acquire(blocking=False):
            raise ConfigurationError("another server runs on this store")
        try:
            yield
        finally:
            self._held.release()

    def recover(self, read: ReadRecorded | None = None, *, owner: int | None = None) -> Recovery:
        """Offers what was committed and not settled; nothing else outlives a process in memory."""
        return Recovery(recovered=tuple(key for key in self.unsettled if key in self.objects))

    def settle(self, keys: Iterable[str]) -> None:
        """The index knows these recovered objects."""
        self.unsettled.difference_update(keys)

    def close(self) -> None:
        """Nothing to give back."""


def _found(where: Mapping[str, T], name: str) -> T:
    try:
        return where[name]
    except KeyError as error:
        raise Refused(Reason.NOT_FOUND, "no such object in the store") from error
