"""The processes that validate by the standard's tables: started when first needed, a few, gone when idle."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from isocenter import telemetry
from isocenter.archive.validation.values import Incoming
from isocenter.archive.validation.work import Request
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Retriable
from isocenter.workers import Pool, WorkerLost

log = telemetry.logger("archive.validation")

_PATIENCE: Final = 120.0
"""Seconds for one answer; the first of a process waits until it has read the tables."""
_LARGEST: Final = 64 << 20
"""Bytes of a header that are given to a process."""


@lru_cache(maxsize=4)
def tables_in(folder: str) -> "Tables | None":
    """The check by the tables in `folder`, one for all who ask in this process; None for no folder."""
    return Tables(Path(folder)) if folder else None


class Tables:
    """A check (`archive.validation.Check`) by the tables in `folder`, in up to `limit` processes."""

    def __init__(self, folder: Path, limit: int = 2) -> None:
        self._pool = Pool("isocenter.archive.validation.work", str(folder), limit=limit, patience=_PATIENCE, quiet=True)

    def __call__(self, incoming: Incoming) -> Sequence[str]:
        """What is wrong. Raises Retriable(OUT_OF_RESOURCES) where no process answers."""
        pixel = incoming.scan.pixel
        deflated = transfer_syntax(incoming.scan.syntax).deflated
        size = min(incoming.size if deflated else incoming.scan.end, _LARGEST)
        tag, vr = (pixel.tag, pixel.vr) if pixel and not deflated else (0, "")
        request = Request(incoming.read(size, 0), incoming.scan.syntax, tag, vr)
        try:
            found = msgspec.msgpack.decode(self._pool.ask(msgspec.msgpack.encode(request)), type=list[str] | str)
            if isinstance(found, str):
                raise OSError(found)
            return found
        except (WorkerLost, OSError, msgspec.DecodeError) as failure:
            log.error("validation.failed", exc_info=True, because=str(failure))
            raise Retriable(Reason.OUT_OF_RESOURCES, "the validation does not answer") from failure

    def close(self) -> None:
        """End the processes that are idle."""
        self._pool.close()
