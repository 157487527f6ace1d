"""Messages on their way out: PDUs of the length that the peer takes, made of headers and slices that are never joined.

The command set and the data set always travel in PDUs of their own (some peers insist). Stored bytes pass from the file
into one reused buffer and from there, by `sendmsg`, to the connection; nothing looks into them.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from isocenter.dimse.commands import Command, encode
from isocenter.dimse.failures import SourceFailed
from isocenter.dimse.pdu import P_DATA_TF
from isocenter.dimse.slabs import SLAB
from isocenter.dimse.transport import Buffer

_HEADER: Final = struct.Struct(">BxIIBB").pack
_COMMAND, _LAST = 1, 2
_OVERHEAD: Final = 6
"""Of a PDU's length: the length, context id and control header of its one PDV."""
_MOST_PDUS: Final = 500
"""A `sendmsg` takes 1024 buffers, two a PDU."""
SMALLEST_PDU: Final = 64
"""A peer whose maximum is less can't be served; 4096 is the least that anybody is known to announce."""


def fragment_size(peer_max_pdu: int, own_limit: int) -> int:
    """Bytes of a message in each PDU: even, by the peer's maximum length (0: any) and by our own."""
    longest = min(peer_max_pdu, own_limit) if peer_max_pdu else own_limit
    return min(longest - _OVERHEAD, SLAB) & ~1


class Source(Protocol):
    """Where the bytes of a data set come from; read once, from start to end."""

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        """Fill `buffer` as far as there are bytes; how many came, and whether more follow. `SourceFailed`."""


class FileSource:
    """`length` bytes at `offset` of the open file `fd`, which the caller closes."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self._fd, self._at, self._left = fd, offset, length

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        """See `Source`."""
        wanted = min(len(buffer), self._left)
        done = 0
        while done < wanted:
            try:
                n = os.preadv(self._fd, [buffer[done:wanted]], self._at + done)
            except OSError as error:
                raise SourceFailed("object can't be read") from error
            if n == 0:
                raise SourceFailed("object is shorter than recorded")
            done += n
        self._at += done
        self._left -= done
        return done, self._left > 0


class BytesSource:
    """The bytes of an iterable of chunks of any length, or of one bytes object."""

    def __init__(self, chunks: Iterable[Buffer] | bytes | bytearray | memoryview) -> None:
        whole = isinstance(chunks, bytes | bytearray | memoryview)
        self._chunks: Iterator[Buffer] = iter((chunks,)) if whole else iter(chunks)  # type: ignore[arg-type]
        self._rest = memoryview(b"")

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        """See `Source`."""
        done = 0
        while self._more():
            if done == len(buffer):
                return done, True
            n = min(len(buffer) - done, len(self._rest))
            buffer[done : done + n] = self._rest[:n]
            self._rest = self._rest[n:]
            done += n
        return done, False

    def _more(self) -> bool:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._rest = memoryview(chunk)
        return True


def command_pdus(context_id: int, command: Command, size: int) -> bytes:
    """The command set as P-DATA-TF PDUs."""
    return _small(context_id, encode(command), size, _COMMAND)


def data_pdus(context_id: int, data: bytes, size: int) -> bytes:
    """A data set that is in memory as P-DATA-TF PDUs."""
    return _small(context_id, data, size, 0)


def _small(context_id: int, data: bytes, size: int, kind: int) -> bytes:
    if len(data) <= size:
        return _header(context_id, len(data), kind | _LAST) + data
    parts: list[bytes] = []
    for at in range(0, len(data), size):
        fragment = data[at : at + size]
        last = _LAST if at + size >= len(data) else 0
        parts += (_header(context_id, len(fragment), kind | last), fragment)
    return b"".join(parts)


def _header(context_id: int, n: int, control: int) -> bytes:
    return _HEADER(P_DATA_TF, n + _OVERHEAD, n + 2, context_id, control)


class Vectors:
    """Cuts a reused buffer into PDUs. The list for a full buffer is made once and sliced for each object."""

    def __init__(self, buffer: bytearray, context_id: int, size: int) -> None:
        count = max(1, min(_MOST_PDUS, len(buffer) // size))
        self.view = memoryview(buffer)[: count * size]
        """What is to be filled before `pdus`."""
        self.context_id = context_id
        self._size = size
        header = _header(context_id, size, 0)
        self._full: list[Buffer] = []
        for at in range(0, count * size, size):
            self._full += (header, self.view[at : at + size])

    def pdus(self, n: int, more: bool) -> Sequence[Buffer]:
        """The PDUs of the first `n` bytes of the buffer. `more`: the data set goes on after them; then `n` is all of
        the buffer."""
        if more:
            return self._full
        whole = max(0, n - 1) // self._size
        at = whole * self._size
        return [*self._full[: 2 * whole], _header(self.context_id, n - at, _LAST), self.view[at:n]]
