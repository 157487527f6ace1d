"""The file of a series pack: DICOM JSON of a series, ready to be sent, beside the raw headers it was made of.

    magic, length of the index, index (msgpack), then the batches' sections one after another

A batch holds some dozens of instances: their JSON objects joined by commas, once as deflate blocks that go out as they
lie and once as a zstd frame for those who take no gzip; and their raw headers (data set up to pixel data) as a zstd
frame. What was made from other content, or for another root, is told by the index (docs/design.md section 4).
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
import zstandard

from isocenter.archive.packs.gzip import Segment, deflated, stored
from isocenter.archive.retrieval.instances import Series
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.store.api import Store, StoredObject

_MAGIC = b"ISOPACK1"
_INDEX_LIMIT = 64 << 20
COMMA = stored(b",")
_LEVEL = 3


class Block(NamedTuple):
    """Some instances in order: their JSON objects joined by commas, and their headers."""

    json: bytes
    names: tuple[tuple[str, str], ...]
    """(SOP Instance UID, Transfer Syntax UID) of each."""
    headers: tuple[bytes, ...]
    whole: bool = True
    """All objects could be read; otherwise the block is good for one answer only."""


class _Batch(msgspec.Struct, array_like=True):
    length: int
    crc: int
    deflate: tuple[int, int]
    zstd: tuple[int, int]
    headers: tuple[int, int]
    names: list[tuple[str, str, int]]


class _Index(msgspec.Struct, array_like=True):
    study_uid: str
    series_uid: str
    revision: int
    instances: int
    size: int
    root: str
    batches: list[_Batch]


def name_of(one: Series) -> str:
    """What the pack of a series is called in the store: a newer one takes the place of an older."""
    return f"series-{one.id}"


def put(store: Store, one: Series, root: str, blocks: Iterator[Block] | Sequence[Block]) -> int:
    """Keep the pack of `one`, whose JSON names `root`. Returns the file's size."""
    sections: list[bytes] = []
    batches: list[_Batch] = []
    at = 0
    compressor = zstandard.ZstdCompressor(_LEVEL)
    for block in blocks:
        segment = deflated(block.json)
        made = (segment.blocks, compressor.compress(block.json), compressor.compress(b"".join(block.headers)))
        ends = list(accumulate(map(len, made), initial=at))
        deflate, zstd, headers = ((start, stop - start) for start, stop in pairwise(ends))
        sections += made
        at = ends[-1]
        names = [(*name, len(header)) for name, header in zip(block.names, block.headers, strict=True)]
        batches.append(_Batch(segment.length, segment.crc, deflate, zstd, headers, names))
    index = msgspec.msgpack.encode(
        _Index(one.study_uid, one.series_uid, one.revision, one.instances, one.bytes, root, batches)
    )
    return store.put_pack(name_of(one), [_MAGIC, len(index).to_bytes(8, "little"), index, *sections])


class PackFile:
    """An open pack. Any number of threads may read it; close it."""

    def __init__(self, opened: StoredObject, index: _Index, start: int) -> None:
        self._object, self._index, self._start = opened, index, start

    @property
    def root(self) -> str:
        """The service root that its JSON names."""
        return self._index.root

    @property
    def length(self) -> int:
        """Bytes of its JSON objects with the commas between them."""
        batches = self._index.batches
        return sum(batch.length for batch in batches) + max(len(batches) - 1, 0)

    @property
    def deflated_length(self) -> int:
        """Bytes of all that `segments` gives."""
        batches = self._index.batches
        return sum(batch.deflate[1] for batch in batches) + max(len(batches) - 1, 0) * len(COMMA.blocks)

    def pieces(self) -> Iterator[bytes]:
        """The JSON, a batch a time, commas between."""
        for number, batch in enumerate(self._index.batches):
            if number:
                yield b","
            yield self._inflated(batch.zstd, batch.length)

    def segments(self) -> Iterator[Segment]:
        """The same as pieces of a gzip stream."""
        for number, batch in enumerate(self._index.batches):
            if number:
                yield COMMA
            yield Segment(self._section(batch.deflate), batch.crc, batch.length)

    def headers(self) -> Iterator[tuple[str, str, bytes]]:
        """(SOP Instance UID, Transfer Syntax UID, header) of each instance."""
        for batch in self._index.batches:
            whole = self._inflated(batch.headers, sum(length for _, _, length in batch.names))
            at = 0
            for sop_uid, syntax, length in batch.names:
                yield sop_uid, syntax, whole[at : at + length]
                at += length

    def close(self) -> None:
        """Let go of the file."""
        self._object.close()

    def _section(self, place: tuple[int, int]) -> bytes:
        data = self._object.pread(place[1], self._start + place[0])
        if len(data) != place[1]:
            raise Refused(Reason.PROCESSING_FAILURE, "a series pack is damaged")
        return data

    def _inflated(self, place: tuple[int, int], length: int) -> bytes:
        return zstandard.ZstdDecompressor().decompress(self._section(place), max_output_size=length)


def open_pack(store: Store, one: Series) -> PackFile | None:
    """The pack of a series as it is now, or None: there is none, or it is of another revision, or damaged."""
    try:
        opened = store.open_pack(name_of(one))
    except (IsocenterError, OSError):
        return None
    try:
        index, start = _read_index(opened)
    except (ValueError, msgspec.MsgspecError, OSError):
        opened.close()
        return None
    made_of = (index.study_uid, index.series_uid, index.revision, index.instances, index.size)
    if made_of != (one.study_uid, one.series_uid, one.revision, one.instances, one.bytes):
        opened.close()
        return None
    return PackFile(opened, index, start)


def _read_index(opened: StoredObject) -> tuple[_Index, int]:
    lead = opened.pread(1 << 16, 0)
    size = int.from_bytes(lead[8:16], "little")
    if lead[:8] != _MAGIC or size > _INDEX_LIMIT:
        raise ValueError("not a series pack")
    text = lead[16 : 16 + size]
    if len(text) < size:
        text = opened.pread(size, 16)
    return msgspec.msgpack.decode(text, type=_Index), 16 + size
