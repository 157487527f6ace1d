"""DICOM JSON of many headers: the work, and the process that does it so that the server's threads need not.

Run as a program it reads batches from standard input and answers on standard output, until that ends or nothing has
come for `IDLE` seconds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from isocenter.archive.covering import changes_to
from isocenter.dicom import json_model
from isocenter.dicom.deflate import inflate
from isocenter.dicom.headers import MalformedDataSet, NeedMore
from isocenter.dicom.overlay import overlaid
from isocenter.dicom.scan import scan
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.workers.serving import serve

IDLE = 120.0
_NOTHING: frozenset[int] = frozenset()


class Header(NamedTuple):
    """The beginning of one data set: `whole` says that nothing follows. `bulk_uri` is that of the instance."""

    data: bytes
    syntax: str
    whole: bool
    bulk_uri: str
    character_set: str = ""
    overlay: str = ""
    """The edits that cover the instance (`archive.covering`)."""


class Written(NamedTuple):
    """What came of one header: its JSON, and how many bytes of the data were header.

    `need` > 0: so many bytes from the start are needed. Neither: the data set can't be read.
    """

    json: bytes
    end: int = 0
    need: int = 0


Cache = dict[bytes, str]
"""What elements of a series became (`json_model.write`)."""


def write(header: Header, cache: Cache | None = None) -> Written:
    """One header as a DICOM JSON object."""
    data, syntax = header.data, header.syntax
    if not data:
        return Written(b"")
    try:
        if transfer_syntax(syntax).deflated:
            if not header.whole:
                return Written(b"", need=1 << 62)
            data, syntax = inflate(data), EXPLICIT_LE
            found = scan(data, syntax, _NOTHING)
        else:
            found = scan(data, syntax, _NOTHING, whole=header.whole)
        pixel = (found.pixel.tag, found.pixel.vr) if found.pixel else None
        written = json_model.write(
            _edited(data[: found.end], syntax, header.overlay) if header.overlay else data[: found.end],
            syntax,
            bulk_uri=header.bulk_uri,
            pixel=pixel,
            default_charset=header.character_set,
            cache=cache,
        )
    except NeedMore as more:
        return Written(b"", need=more.hint)
    except MalformedDataSet:
        return Written(b"")
    return Written(written, found.end)


def _edited(data: bytes, syntax: str, overlay: str) -> bytes:
    def read(offset: int, n: int) -> bytes:
        return data[offset : offset + n]

    changes = changes_to(overlay, read, len(data), syntax)
    return b"".join(overlaid(read, len(data), syntax, changes)) if changes else data


class Memory:
    """Caches of the series that was written last, one an encoding; another series takes their place."""

    def __init__(self) -> None:
        self._series = ""
        self._caches: dict[tuple[str, str], Cache] = {}

    def cache(self, header: Header) -> Cache:
        """The cache for a header."""
        series = header.bulk_uri.rpartition("/instances/")[0]
        if series != self._series:
            self._series, self._caches = series, {}
        return self._caches.setdefault((header.syntax, header.character_set), {})


def write_all(headers: Sequence[Header], memory: Memory) -> list[Written]:
    """`write` for each."""
    return [write(header, memory.cache(header)) for header in headers]


def main() -> None:
    """Answer batches."""
    batches = msgspec.msgpack.Decoder(list[Header])
    memory = Memory()
    serve(lambda body: [msgspec.msgpack.encode(write_all(batches.decode(body), memory))], IDLE)


if __name__ == "__main__":
    main()
