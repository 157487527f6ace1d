"""Metadata of whole series, ready to be sent (docs/design.md section 4, series packs).

    Packs.series(one, root) -> Metadata: from memory, from the pack in the store, or made now from the objects

What is made now stays in memory for a while and, once the series has been quiet, goes into the store in the background.
A pack is good for one revision of a series; its JSON names the service root that it was made for, and is rewritten on
its way where a client knows us by another.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.archive.packs import file as packs_file
from isocenter.archive.packs.build import Assumed, Builder, place_of
from isocenter.archive.packs.file import COMMA, Block, PackFile
from isocenter.archive.packs.gzip import Segment, deflated
from isocenter.archive.packs.workers import Workers
from isocenter.archive.retrieval.instances import Located, Series, series_by_id
from isocenter.database import Database, facts
from isocenter.declarations.rejections import IN_FORCE
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.store.api import Store

log = telemetry.logger("archive.packs")

QUIET = 5_000_000
"""Microseconds without a change after which a series' pack is kept in the store."""
_ROOT = "web_root"
"""The fact of the index that holds the service root clients were last seen to use."""
_ROOT_PAUSE = 600.0
"""Seconds between two notes of it."""


class Metadata(Protocol):
    """The DICOM JSON objects of one series, joined by commas. Read it once, from one thread at a time; close it."""

    @property
    def length(self) -> int | None:
        """Bytes that `pieces` gives, if known."""
        ...

    @property
    def deflated_length(self) -> int | None:
        """Bytes of blocks that `segments` gives, if known."""
        ...

    @property
    def array(self) -> bytes | None:
        """All of it as a JSON array, where that is in memory."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """The JSON."""
        ...

    def segments(self) -> Iterator[Segment]:
        """The same as pieces of a gzip stream."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Key(NamedTuple):
    series: int
    revision: int
    root: str


class _Entry:
    """The JSON of a series in memory, with its blocks as long as they are not yet in the store."""

    def __init__(self, pieces: list[bytes], blocks: list[Block] | None) -> None:
        self.array = b"".join([b"[", *pieces, b"]"])
        self._lengths = [len(piece) for piece in pieces]
        self.blocks = blocks
        self.segments: list[Segment] | None = None
        self.length = len(self.array) - 2

    def pieces(self) -> Iterator[bytes]:
        """The JSON as it was given."""
        at = 1
        for length in self._lengths:
            yield self.array[at : at + length]
            at += length


class Packs:
    """Series metadata of one process. Any thread may use it. Close it at the end."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        workers: int = 2,
        cache: int = 48 << 20,
        character_set: Assumed = lambda _receipt: "ISO_IR 192",
        quiet: int = QUIET,
    ) -> None:
        self._database, self._store = database, store
        self._workers = Workers(workers)
        self._builder = Builder(database, store, self._workers, character_set)
        self.most, self._quiet = cache, quiet
        """Bytes of JSON that are held in memory at most."""
        self._cached: OrderedDict[_Key, _Entry] = OrderedDict()
        self._cached_size = 0
        self._lock = threading.Lock()
        self._later = ThreadPoolExecutor(1, thread_name_prefix="packs-later")
        self._warmed = False
        self._root, self._root_noted = "", -_ROOT_PAUSE

    def series(self, one: Series, root: str) -> Metadata:
        """The metadata of a series for clients who know us by `root`."""
        self._note_root(root)
        if one.view != IN_FORCE:
            return _Made(self, one, root, kept=False)
        key = _Key(one.id, one.revision, root)
        entry = self._remembered(key)
        if entry is not None:
            self._keep_later(one, root, entry)
            return _Kept(entry)
        found = packs_file.open_pack(self._store, one)
        if found is not None:
            return _Packed(self, one, root, found)
        return _Made(self, one, root)

    def instance(self, located: Located, root: str) -> bytes:
        """The JSON object of one instance, with all that is laid over it."""
        if located.ruling is not None and (ruled := self._builder.ruled(located, root)):
            return ruled
        one = Series(located.series, located.study_uid, located.series_uid, 0, 1, 0, "", 0, "", located.overlay)
        return self._builder.block([place_of(located)], one, root, here=True).json

    def make(self, series_id: int, root: str) -> bool:
        """Make the pack of a settled series and keep it in the store, unless it is there. False: no such series.

        Its JSON names the root that clients were last seen to use, or else `root`. Raises Retriable where an object
        can't be read.
        """
        one = series_by_id(self._database, series_id)
        if one is None:
            return False
        found = packs_file.open_pack(self._store, one)
        if found is not None:
            found.close()
            return True
        with self._database.reading() as connection:
            root = facts.read(connection, _ROOT) or root
        packs_file.put(self._store, one, root, self._whole(one, root))
        telemetry.count("isocenter_packs_made_total")
        return True

    def _whole(self, one: Series, root: str) -> Iterator[Block]:
        for block in self._builder.blocks(one, root):
            if not block.whole:
                raise Retriable(Reason.UNABLE_TO_PROCESS, "an object of the series can't be read")
            yield block

    def warm(self) -> None:
        """Start the workers in the background, once: whoever searches now will soon ask for metadata."""
        if not self._warmed:
            self._warmed = True
            self._later.submit(self._workers.warm)

    def forget(self) -> None:
        """Let go of what is held in memory."""
        with self._lock:
            self._forget(list(self._cached))

    def wait(self) -> None:
        """Until all that is to be kept is in the store."""
        self._later.submit(lambda: None).result()

    def close(self) -> None:
        """End the threads and processes."""
        self._later.shutdown(wait=True)
        self._builder.close()
        self._workers.close()

    def blocks(self, one: Series, root: str) -> Iterator[Block]:
        """The series made now."""
        return self._builder.blocks(one, root)

    def remember(self, one: Series, root: str, entry: _Entry) -> None:
        """Hold on to what was sent, the latest first, within the limit."""
        key = _Key(one.id, one.revision, root)
        with self._lock:
            self._forget([old for old in self._cached if old.series == one.id and old.root == root])
            self._cached[key] = entry
            self._cached_size += entry.length
            while self._cached_size > self.most:
                self._forget([next(iter(self._cached))])
        self._keep_later(one, root, entry)

    def _note_root(self, root: str) -> None:
        """Record by which root clients know us, now and then, for packs that are made before anyone asks."""
        now = time.monotonic()
        if root != self._root and now - self._root_noted >= _ROOT_PAUSE:
            self._root, self._root_noted = root, now
            self._later.submit(self._write_root, root)

    def _write_root(self, root: str) -> None:
        try:
            with self._database.reading() as connection:
                known = facts.read(connection, _ROOT)
            if known != root:
                with self._database.writing() as connection:
                    facts.write(connection, _ROOT, root)
        except (IsocenterError, SQLAlchemyError):
            log.warning("packs.root_not_noted")

    def _forget(self, keys: list[_Key]) -> None:
        for key in keys:
            self._cached_size -= self._cached.pop(key).length

    def _remembered(self, key: _Key) -> _Entry | None:
        with self._lock:
            entry = self._cached.get(key)
            if entry is not None:
                self._cached.move_to_end(key)
            return entry

    def _keep_later(self, one: Series, root: str, entry: _Entry) -> None:
        """Put the pack into the store once nothing has come for a while; another call tries again before that."""
        if entry.blocks is not None and time.time_ns() // 1000 - one.changed_at >= self._quiet:
            blocks, entry.blocks = entry.blocks, None
            self._later.submit(self._keep, one, root, blocks)

    def _keep(self, one: Series, root: str, blocks: list[Block]) -> None:
        try:
            found = packs_file.open_pack(self._store, one)
            if found is not None:
                found.close()
            if found is None or found.root != root:
                packs_file.put(self._store, one, root, blocks)
                telemetry.count("isocenter_packs_made_total")
        except (IsocenterError, OSError):
            log.warning("packs.not_kept", series=one.series_uid)


class _Kept:
    """From memory."""

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry
        self.length: int | None = entry.length
        self.array: bytes | None = entry.array

    @property
    def deflated_length(self) -> int | None:
        return sum(len(segment.blocks) for segment in self._compressed())

    def pieces(self) -> Iterator[bytes]:
        return self._entry.pieces()

    def segments(self) -> Iterator[Segment]:
        return iter(self._compressed())

    def close(self) -> None:
        pass

    def _compressed(self) -> list[Segment]:
        if self._entry.segments is None:
            self._entry.segments = [COMMA if piece == b"," else deflated(piece) for piece in self._entry.pieces()]
        return self._entry.segments


class _Packed:
    """From the store."""

    array: bytes | None = None

    def __init__(self, packs: Packs, one: Series, root: str, file: PackFile) -> None:
        self._packs, self._one, self._root, self._file = packs, one, root, file
        self._same = file.root == root
        self.length: int | None = file.length if self._same else None
        self.deflated_length: int | None = file.deflated_length if self._same else None

    def pieces(self) -> Iterator[bytes]:
        sent: list[bytes] = []
        size = 0
        for piece in self._rewritten():
            size += len(piece)
            if size <= self._packs.most:
                sent.append(piece)
            yield piece
        if size <= self._packs.most:
            self._packs.remember(self._one, self._root, _Entry(sent, None))

    def segments(self) -> Iterator[Segment]:
        if self._same:
            return self._file.segments()
        return (COMMA if piece == b"," else deflated(piece) for piece in self._rewritten())

    def close(self) -> None:
        self._file.close()

    def _rewritten(self) -> Iterator[bytes]:
        if self._same:
            return self._file.pieces()
        before, after = (f'"BulkDataURI":"{root}/studies/'.encode() for root in (self._file.root, self._root))
        return (piece.replace(before, after) for piece in self._file.pieces())


class _Made:
    """Made now, while it is being sent."""

    length: int | None = None
    deflated_length: int | None = None
    array: bytes | None = None

    def __init__(self, packs: Packs, one: Series, root: str, *, kept: bool = True) -> None:
        """Not `kept`: a view of rejected objects too, which is nobody else's."""
        self._packs, self._one, self._root, self._most = packs, one, root, packs.most if kept else -1

    def pieces(self) -> Iterator[bytes]:
        blocks: list[Block] = []
        size = 0
        for number, block in enumerate(self._packs.blocks(self._one, self._root)):
            if number:
                yield b","
            size += len(block.json)
            if size <= self._most:
                blocks.append(block)
            else:
                blocks.clear()  # the pack job will make it, block after block
            yield block.json
        if size > self._most or not all(block.whole for block in blocks):
            return
        pieces = [piece for block in blocks for piece in (b",", block.json)][1:]
        self._packs.remember(self._one, self._root, _Entry(pieces, blocks))

    def segments(self) -> Iterator[Segment]:
        return (COMMA if piece == b"," else deflated(piece) for piece in self.pieces())

    def close(self) -> None:
        pass
