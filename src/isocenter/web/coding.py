"""Content codings of answers (RFC 9110 8.4.1): gzip, zstd and deflate where the client takes them."""

import zlib
from collections.abc import Iterator
from typing import Protocol

from isocenter.web.call import Call
from isocenter.web.reply import Reply

VARY = "Accept, Accept-Encoding"
_WORTH = 1400
"""Bytes below which a body goes as it is: it fits one packet."""
_CODINGS = ("zstd", "gzip", "deflate")
"""Ours, best first where the client likes them alike."""
_ZSTD_LEVEL, _ZLIB_LEVEL = 3, 1


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes:
        """The next bytes."""

    def flush(self) -> bytes:
        """What is left."""


def coding_of(call: Call) -> str:
    """The coding that the client likes best of ours, '' for none."""
    weights = call.codings
    best = max(_CODINGS, key=lambda name: (weights.get(name, weights.get("*", 0.0)), -_CODINGS.index(name)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else ""


def compressed(call: Call, reply: Reply) -> Reply:
    """A whole answer in the client's coding, where it is worth it."""
    reply.headers.setdefault("Vary", VARY)
    coding = coding_of(call)
    if len(reply.body) < _WORTH or not coding or reply.source is not None:
        return reply
    reply.headers["Content-Encoding"] = coding
    return Reply(reply.status, reply.headers, b"".join(encoded(coding, iter((reply.body,)))))


def encoded(coding: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`pieces` in a coding, as they come."""
    compressor = _compressor(coding)
    for piece in pieces:
        if part := compressor.compress(piece):
            yield part
    yield compressor.flush()


def _compressor(coding: str) -> _Compressor:
    if coding == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    return zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, 31 if coding == "gzip" else 15)
