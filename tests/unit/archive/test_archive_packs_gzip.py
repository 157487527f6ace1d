"""gzip streams made of pieces that were compressed apart."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from isocenter.archive.packs.gzip import combined_crc, deflated, gzip_length, gzip_stream, stored


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_combine(first: bytes, second: bytes) -> None:
    assert combined_crc(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=500)), max_size=6))
def test_pieces_make_one_stream(pieces: list[tuple[bool, bytes]]) -> None:
    segments = [stored(data) if plain else deflated(data) for plain, data in pieces]
    stream = b"".join(gzip_stream(segments))
    assert len(stream) == gzip_length(segments)
    assert gzip.decompress(stream) == b"".join(data for _, data in pieces)
    assert zlib.decompress(stream, 31) == b"".join(data for _, data in pieces)


def test_long_pieces() -> None:
    data = b"abcdefgh" * 200_000
    stream = b"".join(gzip_stream([stored(b"["), deflated(data), stored(b","), deflated(data), stored(b"]")]))
    assert gzip.decompress(stream) == b"[" + data + b"," + data + b"]"
