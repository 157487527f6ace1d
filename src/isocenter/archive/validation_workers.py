"""The processes that validate by the standard's tables: started when first needed, a few, gone when idle."""

import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from isocenter import telemetry
from isocenter.archive.packs_work import Pipe
from isocenter.archive.validation_values import Incoming
from isocenter.archive.validation_work import Request
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Retriable

log = telemetry.logger("archive.validation")

_PATIENCE: Final = 120.0
"""Seconds for one answer; the first of a process waits until it has read the tables."""
_LARGEST: Final = 64 << 20
"""Bytes of a header that are given to a process."""


class _Worker:
    """One process. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "isocenter.archive.validation_work", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            close_fds=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self._pipe = Pipe(self._process.stdout, self._process.stdin)  # type: ignore[arg-type]

    def alive(self) -> bool:
        """Whether the process still runs; it ends by itself when idle."""
        return self._process.poll() is None

    def ask(self, request: Request) -> list[str]:
        """Its answer. Raises OSError where it has gone, is late or can't read the tables."""
        self._pipe.send(request)
        if not select.select([self._out], [], [], _PATIENCE)[0]:
            self._process.kill()
            raise TimeoutError("no answer")
        body = self._pipe.receive()
        if not body:
            raise BrokenPipeError
        found = msgspec.msgpack.decode(body, type=list[str] | str)
        if isinstance(found, str):
            raise OSError(found)
        return found

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@lru_cache(maxsize=4)
def tables_in(folder: str) -> "Tables | None":
    """The check by the tables in `folder`, one for all who ask in this process; None for no folder."""
    return Tables(Path(folder)) if folder else None


class Tables:
    """A check (`archive.validation.Check`) by the tables in `folder`, in up to `limit` processes."""

    def __init__(self, folder: Path, limit: int = 2) -> None:
        self._folder = folder
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._free = threading.Semaphore(limit)

    def __call__(self, incoming: Incoming) -> Sequence[str]:
        """What is wrong. Raises Retriable(OUT_OF_RESOURCES) where no process answers."""
        pixel = incoming.scan.pixel
        deflated = transfer_syntax(incoming.scan.syntax).deflated
        size = min(incoming.size if deflated else incoming.scan.end, _LARGEST)
        tag, vr = (pixel.tag, pixel.vr) if pixel and not deflated else (0, "")
        request = Request(incoming.read(size, 0), incoming.scan.syntax, tag, vr)
        with self._free:
            try:
                return self._asked(request)
            except (OSError, ValueError, msgspec.DecodeError) as failure:
                log.error("validation.failed", exc_info=True, because=str(failure))
                raise Retriable(Reason.OUT_OF_RESOURCES, "the validation does not answer") from failure

    def _asked(self, request: Request) -> list[str]:
        worker = self._take()
        try:
            found = worker.ask(request)
        except BaseException:
            worker.close()
            raise
        with self._lock:
            self._idle.append(worker)
        return found

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker(self._folder)
            if worker.alive():
                return worker
            worker.close()

    def close(self) -> None:
        """End the processes that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()
