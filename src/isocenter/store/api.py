"""What a store is: objects at rest, behind protocols that a folder, memory and later an object store fulfil.

An object arrives in a `Spool`: room for its file header is left free, the data set is written behind it, and `commit`
writes the header and makes the whole durable. An object without its header never was. A complete object is immutable
and goes only by `remove` (an explicit deletion) or `set_aside`.

Keys are random and opaque: 32 hex digits, never made of a value from an object.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from isocenter.errors import Reason, Refused

Buffer: TypeAlias = bytes | bytearray | memoryview
Record: TypeAlias = dict[str, Any]
"""A journal record: what JSON can carry."""

KEY = re.compile(r"[0-9a-f]{32}\Z")
PACK_NAME = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_-]{0,99}(\.[0-9a-z]{1,10}){0,2}\Z")

MARK = 132
"""A header holds a byte other than zero among its first 132 (`DICM` ends there, PS3.10 7.1); an unfinished object has
only zeros."""


class Durability(StrEnum):
    """What a `commit` that returned has survived."""

    POWER = "power"
    """A power cut: the file and its name are synced."""
    PROCESS = "process"
    """The end of the program, not of the machine: no syncs. For caches."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an object's own header says about its data set: where it starts and its SHA-256."""

    offset: int
    digest: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` found among the reservations that were outstanding."""

    recovered: tuple[str, ...] = ()
    """Complete objects: adopt those that the index doesn't know."""
    set_aside: tuple[str, ...] = ()
    """Keys in the exceptions area: a header was there, but the data did not match it."""
    unfinished: int = 0
    """Objects that were being received and never completed; cleaned."""
    unused: int = 0
    """Names reserved and never used; cleaned."""
    damaged_journal: tuple[str, ...] = ()
    """Journal records whose end is missing: their writer died before they counted."""


@dataclass(frozen=True, slots=True)
class Exceptional:
    """An object in the exceptions area: bytes that were received and can't be served."""

    key: str
    reason: str
    at: int
    """Microseconds UTC."""
    size: int
    offset: int
    """Where the data set starts in the file; before it stands the header, or zeros if there never was one."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the caller noted: AE titles, UIDs; never patient data."""
    times: int = 1
    """How often it came; kept is what came first."""
    last_at: int = 0
    """When it came last, in microseconds UTC; 0: only at `at`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What `verify` says about one object."""

    key: str
    verdict: str
    """`sound`, `altered` (the digest differs), `no-digest` (nothing to compare with), `unreadable`."""
    size: int = 0
    comment: str = ""


class StoredObject(Protocol):
    """A complete object, open for reading. Close it, or use it as a context manager."""

    @property
    def key(self) -> str:
        """Its key."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the whole file, header and data set."""
        ...

    @property
    def path(self) -> str:
        """The file that it is, for another process that reads it; '' where it is none."""
        ...

    def fileno(self) -> int:
        """A file descriptor for `pread` and `sendfile`, valid until `close`."""
        ...

    def pread(self, n: int, offset: int) -> bytes:
        """Up to `n` bytes from `offset` of the file; fewer only at its end."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Spool(Protocol):
    """An object being received. One thread at a time uses it; it ends in `commit`, `discard` or `Store.set_aside`."""

    @property
    def key(self) -> str:
        """The key that the object will have."""
        ...

    @property
    def size(self) -> int:
        """Bytes of data written so far, without the header."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the data written so far, 64 hex digits."""
        ...

    def begin(self, header_size: int) -> None:
        """Leave `header_size` bytes free before the data. Called once, before `write`."""
        ...

    def write(self, views: Sequence[Buffer]) -> int:
        """Append the views' bytes; they may change after the call. Raises Retriable when the disk is full or fails."""
        ...

    def finish_data(self) -> str:
        """The data set is whole: its digest. Write-back starts, so that `commit` has less to wait for."""
        ...

    def pread(self, n: int, offset: int) -> bytes:
        """Up to `n` bytes of the data from `offset`, which counts from the data's start; after `commit` too."""
        ...

    def seal(self, header: Buffer) -> None:
        """Write the header (of exactly `header_size` bytes) and start write-back of all there is: what the caller has
        still to do goes on beside it. Then `commit` it, `discard` it or set it aside. Raises Retriable."""
        ...

    def commit(self, header: Buffer) -> None:
        """Write the header (of exactly `header_size` bytes) and make the object complete and durable.

        Raises Retriable when that can't be done; the object then never was, and the spool is discarded."""
        ...

    def discard(self) -> None:
        """It never was an object: its bytes go. Does nothing after `commit` or a second time."""
        ...

    def settle(self) -> None:
        """The index knows the object (its row is durable): `recover` need not offer it. Never waits."""
        ...


ReadRecorded: TypeAlias = Callable[[StoredObject], Recorded | None]
"""Reads what an object's header records of its data; None where it records no digest."""


class Store(Protocol):
    """Objects at rest. Any number of threads and processes use it at the same time."""

    @property
    def archive_id(self) -> str:
        """The archive that the store belongs to; the database carries the same."""
        ...

    def reserve(self, size_hint: int = 0) -> Spool:
        """A spool with a key of its own. Raises Retriable(OUT_OF_STORAGE) when free space is below the floor."""
        ...

    def open(self, key: str) -> StoredObject:
        """The complete object `key`. Raises Refused(NOT_FOUND)."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a complete object `key`."""
        ...

    def size(self, key: str) -> int:
        """Bytes of the whole object. Raises Refused(NOT_FOUND)."""
        ...

    def keys(self) -> Iterator[str]:
        """The complete objects, in no order; walks the store."""
        ...

    def names(self) -> Iterator[str]:
        """The keys of all objects, complete or not, in no order; walks the store without opening anything."""
        ...

    def remove(self, key: str) -> bool:
        """Delete an object, durably. Only for an explicit deletion row. False if there was none."""
        ...

    def set_aside(
        self,
        what: Spool | str,
        reason: str,
        *,
        header: Buffer = b"",
        facts: Mapping[str, Any] | None = None,
        alike: str = "",
    ) -> str:
        """Move an object or a spool, with the bytes it has, to the exceptions area, durably. Returns its key there.

        `header` (of the spool's header size) is written first if given. `alike` is the same for what came again, data
        and all: where it lies here already it is counted, and what came again is deleted."""
        ...

    def exceptions(self) -> Iterator[Exceptional]:
        """What lies in the exceptions area."""
        ...

    def open_exception(self, key: str) -> StoredObject:
        """The bytes of what was set aside. Raises Refused(NOT_FOUND)."""
        ...

    def remove_exception(self, key: str) -> bool:
        """Delete what was set aside, durably; it was discarded explicitly, or lies elsewhere. False if it is gone."""
        ...

    def append_journal(self, record: Mapping[str, Any]) -> None:
        """Keep `record` (what JSON can carry); durable on return. Raises Retriable when it can't be."""
        ...

    def journal(self) -> Iterator[Record]:
        """All records, in the order of their time. A record that was torn by a crash is passed over."""
        ...

    def put_pack(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Keep derived data under `name`, all or nothing, over what was there. Returns its size. It may vanish."""
        ...

    def open_pack(self, name: str) -> StoredObject:
        """The pack `name`. Raises Refused(NOT_FOUND)."""
        ...

    def remove_pack(self, name: str) -> bool:
        """Let go of a pack. False if there was none."""
        ...

    def free_bytes(self) -> int:
        """Bytes that may still be written."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the store for this server. Raises ConfigurationError if another server holds it. Processes forked
        inside keep the hold until they end."""
        ...

    def recover(self, read: ReadRecorded | None = None, *, owner: int | None = None) -> Recovery:
        """Clean what earlier processes left unfinished; complete objects stay. At the start of a server, under
        `exclusive`, before anything is reserved; or, with `owner`, what the ended worker process of that id left.

        `read` reads an object's own header; by default `store.verify.recorded`."""
        ...

    def settle(self, keys: Iterable[str]) -> None:
        """The index knows these `Recovery.recovered` objects: the next `recover` need not offer them."""
        ...

    def close(self) -> None:
        """Give back what was reserved and not used. The store may be used again."""
        ...


def exception_key(key: str, alike: str) -> str:
    """Where in the exceptions area the object `key` lies: repeats of one (`Store.set_aside`) have one place."""
    return hashlib.sha256(alike.encode()).hexdigest()[:32] if alike else key


def checked_key(key: str) -> str:
    """`key`, if it has the form of one; raises Refused(NOT_FOUND) otherwise."""
    if not KEY.match(key):
        raise Refused(Reason.NOT_FOUND, "not a storage key")
    return key


def checked_pack_name(name: str) -> str:
    """`name`, if a pack may be called so (letters, digits, `-`, `_`, up to two extensions)."""
    if not PACK_NAME.match(name):
        raise Refused(Reason.BAD_REQUEST, "not a name for a pack")
    return name


def checked_header(header: Buffer, size: int) -> memoryview:
    """`header` as bytes of a complete object: of `size` bytes, with its mark. Raises ValueError."""
    view = memoryview(header).cast("B")
    if len(view) != size:
        raise ValueError(f"header of {len(view)} bytes where {size} were left free")
    if not any(view[:MARK]):
        raise ValueError("header without a mark in its first 132 bytes")
    return view
