"""The processes that write DICOM JSON: started when first needed, a few, gone when idle."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from isocenter import telemetry
from isocenter.archive.packs_work import Header, Memory, Pipe, Written, write_all

log = telemetry.logger("archive.packs")


class _Worker:
    """One process. Used by one thread at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "isocenter.archive.packs_work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe = Pipe(self._process.stdout, self._process.stdin)  # type: ignore[arg-type]
        self._answers = msgspec.msgpack.Decoder(list[Written])

    def alive(self) -> bool:
        """Whether the process still runs; it ends by itself when idle."""
        return self._process.poll() is None

    def write(self, headers: Sequence[Header]) -> list[Written]:
        """The answers to one batch. Raises OSError if the process has gone."""
        self._pipe.send(headers)
        body = self._pipe.receive()
        if not body:
            raise BrokenPipeError
        return self._answers.decode(body)

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Workers:
    """Up to `limit` processes, shared by all threads of this one. With 0 the work is done where it is asked for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._free = threading.Semaphore(limit)
        self._closed = False

    def write(self, headers: Sequence[Header]) -> list[Written]:
        """The JSON of each header, made by whichever process is free."""
        if not self.limit:
            return write_all(headers, Memory())
        with self._free:
            try:
                worker = self._take()
            except OSError:
                log.error("packs.worker_not_started", exc_info=True)
                return write_all(headers, Memory())
            try:
                written = worker.write(headers)
            except (OSError, ValueError, msgspec.DecodeError):
                worker.close()
                log.warning("packs.worker_lost")
                return write_all(headers, Memory())
            except BaseException:
                worker.close()
                raise
            self._give_back(worker)
            return written

    def inline(self, headers: Sequence[Header]) -> list[Written]:
        """The same without a process: for a few."""
        return write_all(headers, Memory())

    def warm(self) -> None:
        """Start the processes now, so that the first batch need not wait."""
        started = [self._take() for _ in range(self.limit)]
        for worker in started:
            self._give_back(worker)

    def close(self) -> None:
        """End the processes that are idle, and the others as they come back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for worker in idle:
            worker.close()

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker()
            if worker.alive():
                return worker
            worker.close()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.close()
