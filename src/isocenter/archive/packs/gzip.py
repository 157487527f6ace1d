"""A gzip stream put together from pieces that were compressed apart.

Each piece is raw deflate that ends on a full flush, so it stands on a byte border and refers to nothing before it; the
checksums of the pieces are combined. So packs of several series make one answer without being compressed again.
"""

import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_END = b"\x03\0"
"""An empty last block."""
_STORED_LIMIT = 0xFFFF
_POLYNOMIAL = 0xEDB88320


class Segment(NamedTuple):
    """A piece: its deflate blocks, and the CRC-32 and length of what they hold."""

    blocks: bytes
    crc: int
    length: int


def deflated(data: bytes, level: int = 4) -> Segment:
    """`data` as a piece."""
    work = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
    return Segment(work.compress(data) + work.flush(zlib.Z_FULL_FLUSH), zlib.crc32(data), len(data))


def stored(data: bytes) -> Segment:
    """`data` (at most 65535 bytes) as a piece that isn't compressed, for what stands between others."""
    assert len(data) <= _STORED_LIMIT
    size = len(data)
    blocks = b"\0" + size.to_bytes(2, "little") + (size ^ _STORED_LIMIT).to_bytes(2, "little") + data
    return Segment(blocks, zlib.crc32(data), size)


def gzip_length(segments: Iterable[Segment]) -> int:
    """Bytes of the stream that `gzip_stream` makes."""
    return len(_HEADER) + sum(len(segment.blocks) for segment in segments) + len(_END) + 8


def gzip_stream(segments: Iterable[Segment]) -> Iterator[bytes]:
    """The gzip stream (RFC 1952) of all that the pieces hold, one after another."""
    yield _HEADER
    crc = length = 0
    for segment in segments:
        yield segment.blocks
        crc = combined_crc(crc, segment.crc, segment.length)
        length += segment.length
    yield _END + crc.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")


def combined_crc(first: int, second: int, length: int) -> int:
    """CRC-32 of two byte strings in a row, from that of each and the length of the second.

    Appending a zero bit is a linear map on the checksum; its powers are applied for the bits of `length`.
    """
    power = 3  # bits, not bytes
    while length:
        if length & 1:
            first = _times(_zeros(power), first)
        length >>= 1
        power += 1
    return first ^ second


@cache
def _zeros(power: int) -> tuple[int, ...]:
    """The map for 2**power zero bits, a row an input bit."""
    if power == 0:
        return (_POLYNOMIAL, *(1 << n for n in range(31)))
    half = _zeros(power - 1)
    return tuple(_times(half, row) for row in half)


def _times(matrix: tuple[int, ...], vector: int) -> int:
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
    return total
