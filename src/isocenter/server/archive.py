"""The archive as one worker holds it: store, index, writer and ingest, opened after the fork."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from isocenter import database, telemetry
from isocenter.archive.ingest import Ingest
from isocenter.archive.likeness import likeness
from isocenter.database import Database
from isocenter.errors import IsocenterError
from isocenter.index import rebuild
from isocenter.index.keys import wanted
from isocenter.index.remote import RemoteWriter
from isocenter.index.shared import SharedWriter
from isocenter.index.writer import LocalWriter, Writer
from isocenter.server.startup import assumptions, open_store
from isocenter.server.supervisor import Worker
from isocenter.store.filesystem import FilesystemStore

log = telemetry.logger("server.archive")

_INDEX_SOCKET = "index.sock"


def index_socket(folder: Path) -> Path:
    """Where the process that owns an SQLite index listens."""
    return folder / _INDEX_SOCKET


@dataclass(frozen=True)
class Archive:
    """What services need. `close` at the end of the worker."""

    store: FilesystemStore
    database: Database
    writer: Writer
    ingest: Ingest
    _stack: ExitStack

    @property
    def owns_index(self) -> bool:
        """Whether this process files without asking another."""
        return not isinstance(self.writer, SharedWriter) or self.writer.owner

    def when_closing(self, do: Callable[[], None]) -> None:
        """Have something done at the end of the worker, before all else is closed."""
        self._stack.callback(do)

    def close(self) -> None:
        """Finish what was submitted and close everything, the writer first."""
        self._stack.close()


def open_archive(worker: Worker, *, pool_size: int, may_own: bool = False) -> Archive:
    """Open it for `worker`, and look after what its dead predecessors left. `may_own`: an SQLite index."""
    settings = worker.settings
    with ExitStack() as stack:
        store = open_store(settings)
        stack.callback(store.close)
        index = database.open(settings.database_url, pool_size=pool_size, durable=settings.durability == "power")
        stack.callback(index.close)
        writer = _writer(index, worker, may_own=may_own)
        stack.callback(writer.close)
        ingest = Ingest(store, writer, wanted=wanted(settings.index.attributes), rejections=settings.rejection)
        archive = Archive(store, index, writer, ingest, stack.pop_all())
    if worker.predecessors:
        threading.Thread(target=_inherit, args=(archive, worker), name="inherit", daemon=True).start()
    return archive


def _writer(index: Database, worker: Worker, *, may_own: bool) -> Writer:
    if not worker.settings.sqlite:
        return LocalWriter(index)
    path = index_socket(worker.folder)
    return SharedWriter(index, path) if may_own else RemoteWriter(path)


def _inherit(archive: Archive, worker: Worker) -> None:
    """Adopt the complete objects that dead workers had not filed yet; clean what they had not completed."""
    for pid in worker.predecessors:
        try:
            left = archive.store.recover(owner=pid).recovered
            assume = assumptions(worker.settings, archive.database)
            rebuild.adopt(archive.store, archive.writer, left, compare=likeness, assume=assume)
            archive.store.settle(left)
        except (IsocenterError, OSError):
            log.error("inheritance.failed", exc_info=True, pid=pid)
