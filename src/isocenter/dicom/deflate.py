"""Deflated data sets (PS3.5 A.5): raw deflate, read and written in pieces, inflated within a bound."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from isocenter.dicom.headers import MalformedDataSet, NeedMore, Read


class Bound(NamedTuple):
    """How far inflation may go: `absolute` bytes, and beyond `free` bytes at most `ratio` times what was read.

    The format itself reaches 1032; sparse segmentations come near that and are small.
    """

    absolute: int = 16 << 30
    free: int = 1 << 30
    ratio: int = 200


DEFAULT_BOUND: Final = Bound()
_PIECE: Final = 1 << 16


class Inflating:
    """The inflated data set behind deflated bytes, as a `Read` that goes forward: of what it has passed it holds the
    last `lookback` bytes, or all with None."""

    def __init__(
        self,
        read: Read,
        size: int,
        bound: Bound = DEFAULT_BOUND,
        *,
        whole: bool = True,
        lookback: int | None = 4096,
    ) -> None:
        self._read, self._size, self._bound, self._whole, self._lookback = read, size, bound, whole, lookback
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._fed = self._base = 0
        self._held = bytearray()

    def __call__(self, offset: int, n: int) -> bytes:
        """The n inflated bytes at `offset`, fewer at the end."""
        if offset < self._base:
            raise ValueError("inflated data is read forward only")
        self._forget(offset)
        while offset + n > self._base + len(self._held):
            piece = self._more(n)
            if not piece:
                break
            self._held += piece
            self._forget(offset)
        start = offset - self._base
        if start > len(self._held):
            raise MalformedDataSet("a value is longer than the data set", offset)
        return bytes(memoryview(self._held)[start : start + n])

    def _forget(self, offset: int) -> None:
        if self._lookback is not None:
            drop = min(max(offset - self._base - self._lookback, 0), len(self._held))
            del self._held[:drop]
            self._base += drop

    def _more(self, n: int) -> bytes:
        want = max(n, _PIECE)
        while not self._inflater.eof:
            feed = self._inflater.unconsumed_tail or self._feed()
            try:
                piece = self._inflater.decompress(feed, want)
            except zlib.error as error:
                raise MalformedDataSet("deflated data is damaged", self._fed) from error
            self._check(len(piece))
            if piece:
                return piece
            if not (feed or self._inflater.eof):
                raise MalformedDataSet("deflated data ends too early", self._fed)
        return b""

    def _feed(self) -> bytes:
        feed = self._read(self._fed, min(_PIECE, self._size - self._fed))
        if not feed and not self._whole:
            raise NeedMore(self._size + _PIECE)
        self._fed += len(feed)
        return feed

    def _check(self, more: int) -> None:
        reached = self._base + len(self._held) + more
        bound = self._bound
        if reached > bound.absolute or (reached > bound.free and reached > bound.ratio * self._fed):
            raise MalformedDataSet("deflated data inflates beyond the bound", self._fed)


def inflate(data: bytes, bound: Bound = DEFAULT_BOUND) -> bytes:
    """The whole data set behind `data`, for those small enough to hold."""
    reading = Inflating(lambda offset, n: data[offset : offset + n], len(data), bound)
    return b"".join(_pieces(reading))


def _pieces(reading: Inflating) -> Iterator[bytes]:
    offset = 0
    while piece := reading(offset, _PIECE):
        yield piece
        offset += len(piece)


def inflated_size(read: Read, size: int, bound: Bound = DEFAULT_BOUND) -> int:
    """How many bytes the data set has inflated; reads all of it, in constant memory."""
    return sum(map(len, _pieces(Inflating(read, size, bound))))


def deflating(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The deflated form of `pieces`, padded to even length with a NUL (PS3.5 A.5)."""
    deflater = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    written = 0
    for piece in pieces:
        out = deflater.compress(piece)
        written += len(out)
        if out:
            yield out
    rest = deflater.flush()
    yield rest + bytes((written + len(rest)) % 2)


def deflate(data: bytes) -> bytes:
    """`data` deflated, of even length."""
    return b"".join(deflating([data]))
