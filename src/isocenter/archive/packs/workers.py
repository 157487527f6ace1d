"""The processes that write DICOM JSON: started when first needed, a few, gone when idle."""

from collections.abc import Sequence
from typing import Final

import msgspec

from isocenter import telemetry
from isocenter.archive.packs.work import Header, Memory, Written, write_all
from isocenter.workers import Pool, WorkerLost

log = telemetry.logger("archive.packs")

_PATIENCE: Final = 120.0
"""Seconds for one batch."""


class Workers:
    """Up to `limit` processes, shared by all threads of this one. With 0 the work is done where it is asked for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pool = Pool("isocenter.archive.packs.work", limit=limit, patience=_PATIENCE)
        self._answers = msgspec.msgpack.Decoder(list[Written])

    def write(self, headers: Sequence[Header]) -> list[Written]:
        """The JSON of each header, made by whichever process is free."""
        if not self.limit:
            return self.inline(headers)
        try:
            return self._answers.decode(self._pool.ask(msgspec.msgpack.encode(headers)))
        except (WorkerLost, msgspec.DecodeError):
            log.warning("packs.worker_lost")
            return self.inline(headers)

    def inline(self, headers: Sequence[Header]) -> list[Written]:
        """The same without a process: for a few."""
        return write_all(headers, Memory())

    def warm(self) -> None:
        """Start the processes now, so that the first batch need not wait."""
        self._pool.warm()

    def close(self) -> None:
        """End the processes that are idle, and the others as they come back."""
        self._pool.close()
