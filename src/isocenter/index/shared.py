"""The index writer where several processes could own an SQLite index: one does, the others send it their records.

Whoever holds the lock file owns the index and serves the socket. A process that finds the owner gone tries to become
it, and connects to whoever was faster. The system frees the lock when a process ends, however it ends.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from isocenter import telemetry
from isocenter.database import Database
from isocenter.index.batches import Answer, already_durable
from isocenter.index.records import Outcome, Record
from isocenter.index.remote import RemoteWriter
from isocenter.index.serving import Server
from isocenter.index.writer import LocalWriter, Writer

log = telemetry.logger("index.shared")


class SharedWriter:
    """A `Writer` that files itself while this process owns the index. Made after the fork.

    `path`: the socket, the same for all; the lock lies beside it.
    """

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        self._lock = threading.Lock()
        self._closing = False
        self._local: LocalWriter | None = None
        self._descriptor = os.open(path.with_suffix(".owner"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._stand()
        self._remote = None if self._local else RemoteWriter(path, before_connecting=self._stand)

    @property
    def owner(self) -> bool:
        """Whether this process owns the index."""
        return self._local is not None

    def submit(self, record: Record) -> Future[Outcome]:
        """See `Writer`."""
        return self._writer().submit(record)

    def file(self, record: Record, before_commit: Callable[[], None] = already_durable) -> Outcome:
        """See `Writer`."""
        return self._writer().file(record, before_commit)

    def file_all(self, records: Sequence[Record]) -> list[Answer]:
        """File `records` together; the answer of each."""
        writer = self._local or self._remote
        assert writer is not None
        return writer.file_all(records)

    def close(self) -> None:
        """See `Writer`. What others sent is filed too; what they send from now on goes to a successor."""
        if self._remote is not None:
            self._remote.close()
        with self._lock:
            self._closing = True
            local = self._local
        if local is not None:
            local.close()
        os.close(self._descriptor)

    def _writer(self) -> Writer:
        writer = self._local or self._remote
        assert writer is not None
        return writer

    def _stand(self) -> None:
        """Become the owner, if there is none."""
        with self._lock:
            if self._closing or self._local is not None:
                return
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            try:
                self._local = self._owning()
            except Exception as fault:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                log.error("index.not_owned", exc_info=True, fault=type(fault).__name__)
                return
        log.info("index.owned", pid=os.getpid())

    def _owning(self) -> LocalWriter:
        intake = Server(self._path)
        try:
            return LocalWriter(self._database, intake=intake)
        except BaseException:
            intake.close()  # or others would wait at a socket that nobody reads
            raise
