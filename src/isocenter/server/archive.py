"""The archive as one worker holds it: store, index, writer and ingest, opened after the fork."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from isocenter import database, telemetry
from isocenter.archive.ingest import Ingest
from isocenter.archive.likeness import likeness
from isocenter.database import Database
from isocenter.errors import IsocenterError
from isocenter.index import rebuild
from isocenter.index.behind import Behind
from isocenter.index.keys import wanted
from isocenter.index.remote import RemoteWriter
from isocenter.index.shared import SharedWriter
from isocenter.index.writer import LocalWriter, Writer
from isocenter.server.assumed import assumptions
from isocenter.server.barrier import Barrier
from isocenter.server.board import State
from isocenter.server.places import open_store
from isocenter.server.supervisor import Worker
from isocenter.store.filesystem import FilesystemStore

log = telemetry.logger("server.archive")

_INDEX_SOCKET = "index.sock"
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


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
        index = database.open(
            settings.database_url,
            pool_size=pool_size,
            durable=settings.durability == "power",
            before_reading=Barrier(worker.board).wait if settings.sqlite else database.nothing_to_wait_for,
        )
        stack.callback(index.close)
        writer = _writer(index, worker, may_own=may_own)
        stack.callback(writer.close)
        behind = _behind(index, writer, worker)
        if behind is not None:
            stack.callback(behind.close)
        ingest = Ingest(
            store, writer, wanted=wanted(settings.index.attributes), rejections=settings.rejection, behind=behind
        )
        archive = Archive(store, index, writer, ingest, stack.pop_all())
    if worker.predecessors:
        threading.Thread(target=_inherit, args=(archive, worker), name="inherit", daemon=True).start()
    return archive


def _writer(index: Database, worker: Worker, *, may_own: bool) -> Writer:
    if not worker.settings.sqlite:
        return LocalWriter(index, deadline=worker.settings.index.patience)
    path = index_socket(worker.folder)
    return SharedWriter(index, path) if may_own else RemoteWriter(path)


def _behind(index: Database, writer: Writer, worker: Worker) -> Behind | None:
    """What files C-STORE's objects behind their answers: in the processes that may own an SQLite index."""
    if not isinstance(writer, SharedWriter) or not worker.settings.index.behind:
        return None
    return Behind(index, writer, worker.board.account(worker.slot))


def _inherit(archive: Archive, worker: Worker) -> None:
    """Adopt the complete objects that dead workers had not filed yet; clean what they had not completed. Those who read
    wait for that, if the dead had acknowledged some."""
    left, pause = list(worker.predecessors), _PAUSE
    while left and worker.board.state(worker.slot) != State.DRAINING:
        try:
            _adopt_of(archive, worker, left[0])
            left.pop(0)
        except (IsocenterError, OSError):
            log.error("inheritance.failed", exc_info=True, pid=left[0])
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    if not left:
        worker.inherited()


def _adopt_of(archive: Archive, worker: Worker, pid: int) -> None:
    keys = archive.store.recover(owner=pid).recovered
    # not `archive.database`, whose readers wait for what is done here
    with closing(database.open(worker.settings.database_url, pool_size=1)) as index:
        assume = assumptions(worker.settings, index)
        rebuild.adopt(archive.store, archive.writer, keys, compare=likeness, assume=assume)
    archive.store.settle(keys)
