"""The store in a folder of a local file system."""

import fcntl
import json
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isocenter import telemetry
from isocenter.errors import ConfigurationError, Reason, Refused
from isocenter.store import recovery
from isocenter.store.api import (
    KEY,
    MARK,
    Buffer,
    Durability,
    Exceptional,
    ReadRecorded,
    Record,
    Recovery,
    Spool,
    checked_key,
    checked_pack_name,
)
from isocenter.store.failures import keeping
from isocenter.store.journal import Journal
from isocenter.store.layout import FILE_MODE, Layout, sync_folder, write_new
from isocenter.store.opened import OpenFile
from isocenter.store.packs import Packs
from isocenter.store.quarantine import Quarantine, wall_clock
from isocenter.store.reservations import Pool, remove_quietly
from isocenter.store.space import Floor
from isocenter.store.spool import STRIDE, FileSpool
from isocenter.store.verify import data_offset, recorded

log = telemetry.logger("store.filesystem")

LAYOUT_VERSION = 1
FLOOR = 1 << 30


class FilesystemStore:
    """See `api.Store`. Creates the folder if it is new; makes no thread before the first `reserve` of a process."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durability: Durability | str = Durability.POWER,
        floor_bytes: int = FLOOR,
        stride: int = STRIDE,
        shared: str | os.PathLike[str] = "",
    ) -> None:
        """`shared`: the root of the store whose exceptions area and journal this one uses, on the same file system."""
        self._durable = Durability(durability) is Durability.POWER
        self._layout = Layout(os.fspath(root), durable=self._durable, shared=os.fspath(shared))
        with keeping():
            self._layout.make_rooms()
            self._archive_id = _archive_id(self._layout)
        self._floor = Floor(self._layout.root, floor_bytes)
        self._stride = stride
        self._journal = Journal(self._layout, wall_clock)
        self._quarantine = Quarantine(self._layout, wall_clock)
        self._packs = Packs(self._layout)
        self._pool: Pool | None = None
        self._pool_lock = threading.Lock()
        self._unsettled: dict[str, set[str]] = {}
        self._held = False

    @property
    def archive_id(self) -> str:
        """The archive that this store belongs to."""
        return self._archive_id

    @property
    def root(self) -> Path:
        """Its folder."""
        return Path(self._layout.root)

    def reserve(self, size_hint: int = 0) -> FileSpool:
        """A spool on a reserved name."""
        self._floor.check(size_hint)
        pool = self._process_pool()
        return FileSpool(pool.take(), pool, self._floor, durable=self._durable, stride=self._stride)

    def open(self, key: str) -> OpenFile:
        """The complete object `key`."""
        stored = OpenFile(key, self._layout.object(checked_key(key)))
        if not any(stored.pread(MARK, 0)):
            stored.close()
            raise Refused(Reason.NOT_FOUND, "no such object in the store")
        return stored

    def exists(self, key: str) -> bool:
        """Whether `key` is a complete object."""
        return KEY.match(key) is not None and self._complete(self._layout.object(key))

    def size(self, key: str) -> int:
        """Bytes of the whole object."""
        with self.open(key) as stored:
            return stored.size

    def keys(self) -> Iterator[str]:
        """Walk all folders; a file counts if it begins with a header."""
        return (name for name in self.names() if self._complete(self._layout.object(name)))

    def names(self) -> Iterator[str]:
        """Walk all folders."""
        for folder in _folders(self._layout.objects):
            for leaf in _folders(folder):
                yield from filter(KEY.match, os.listdir(leaf))

    def remove(self, key: str) -> bool:
        """Delete an object, durably."""
        path = self._layout.object(checked_key(key))
        with keeping():
            try:
                os.unlink(path)
            except FileNotFoundError:
                return False
            self._layout.sync(os.path.dirname(path))
        return True

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
        if isinstance(what, str):
            with self.open(what) as stored:
                offset = data_offset(stored)
            key = self._quarantine.take_object(what, reason, offset, facts or {}, alike)
        elif isinstance(what, FileSpool):
            key = self._quarantine.take_spool(what, reason, header, facts or {}, alike)
        else:
            raise TypeError("a spool of another store")
        telemetry.count("isocenter_store_set_aside_total")
        return key

    def exceptions(self) -> Iterator[Exceptional]:
        """What was set aside."""
        return self._quarantine.entries()

    def open_exception(self, key: str) -> OpenFile:
        """The bytes of what was set aside."""
        return self._quarantine.open(checked_key(key))

    def remove_exception(self, key: str) -> bool:
        """Delete what was set aside."""
        return self._quarantine.remove(checked_key(key))

    def append_journal(self, record: Mapping[str, Any]) -> None:
        """Keep a record, durably."""
        self._journal.append(record)

    def journal(self) -> Iterator[Record]:
        """All records."""
        return self._journal.records()

    def put_pack(self, name: str, chunks: Iterable[Buffer]) -> int:
        """Keep derived data."""
        return self._packs.put(checked_pack_name(name), chunks)

    def open_pack(self, name: str) -> OpenFile:
        """Derived data."""
        return self._packs.open(checked_pack_name(name))

    def remove_pack(self, name: str) -> bool:
        """Let go of derived data."""
        return self._packs.remove(checked_pack_name(name))

    def free_bytes(self) -> int:
        """Free space of the file system, for this user."""
        return self._floor.free_bytes()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the store. The lock belongs to the open file: the system frees it when the last process ends."""
        lock = os.open(self._layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigurationError("another server runs on this store") from error
            self._held = True
            yield
        finally:
            self._held = False
            os.close(lock)

    def recover(self, read: ReadRecorded | None = None, *, owner: int | None = None) -> Recovery:
        """Clean up after processes that ended."""
        if owner is None and not self._held:
            with self.exclusive():
                return self.recover(read)
        with keeping():
            return self._recover(read or recorded, owner)

    def settle(self, keys: Iterable[str]) -> None:
        """The index knows these recovered objects."""
        known = set(keys)
        for path, left in list(self._unsettled.items()):
            left -= known
            if not left:
                del self._unsettled[path]
                remove_quietly([path])

    def close(self) -> None:
        """Give back unused names, end the refilling thread."""
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None and pool.pid == os.getpid():
            pool.close()

    def _process_pool(self) -> Pool:
        pool = self._pool
        if pool is None or pool.pid != os.getpid():
            with self._pool_lock:
                pool = self._pool
                if pool is None or pool.pid != os.getpid():
                    pool = self._pool = Pool(self._layout)
        return pool

    def _complete(self, path: str) -> bool:
        try:
            return recovery.has_mark(path)
        except FileNotFoundError:
            return False

    def _recover(self, read: ReadRecorded, owner: int | None) -> Recovery:
        found = recovery.Found()
        for path in recovery.batches(self._layout, owner):
            left = recovery.recover_batch(self._layout, path, found, read, self.set_aside)
            if left:
                self._unsettled[path] = set(left)
            else:
                remove_quietly([path])
        if owner is None:
            self._packs.clean()
        report = Recovery(
            tuple(found.recovered),
            tuple(found.set_aside),
            found.unfinished,
            found.unused,
            self._journal.damaged() if owner is None else (),
        )
        log.info(
            "store.recovered",
            complete=len(report.recovered),
            set_aside=len(report.set_aside),
            unfinished=report.unfinished,
            unused=report.unused,
            damaged_journal=len(report.damaged_journal),
        )
        return report


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _archive_id(layout: Layout) -> str:
    """The archive id of a folder, made if the folder is new. Raises ConfigurationError, OSError."""
    if not os.path.exists(layout.archive):
        if any(True for _ in _folders(layout.objects)):
            raise ConfigurationError("the store has objects but no archive.json")
        _write_archive(layout)
    with open(layout.archive, "rb") as file:
        try:
            facts = json.load(file)
            version, archive_id = facts["layout"], str(facts["archive"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError("archive.json of the store can't be read") from error
    if version != LAYOUT_VERSION:
        raise ConfigurationError(f"the store has layout {version}; this program knows {LAYOUT_VERSION}")
    return archive_id


def _write_archive(layout: Layout) -> None:
    facts = {"archive": uuid.uuid4().hex, "layout": LAYOUT_VERSION, "created": wall_clock()}
    fresh = f"{layout.archive}.{facts['archive']}"
    write_new(fresh, json.dumps(facts).encode(), durable=True)
    try:
        os.link(fresh, layout.archive)  # of several processes one wins
    except FileExistsError:
        pass
    finally:
        os.unlink(fresh)
    sync_folder(layout.root)
