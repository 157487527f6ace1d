"""What an object holds that is no picture but a file of its own kind: an encapsulated document (PS3.3 C.24.2), or a
video stream in its pixel data (PS3.5 8.2.5 to 8.2.10, A.4). It leaves as it is, with its own media type.

    contained = contained_in(located, opened)      None: the object holds no such thing
"""

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.bulk_data import locate
from isocenter.dicom.deflate import inflate
from isocenter.dicom.elements import Window
from isocenter.dicom.scan import PixelData, Scan, scan_file
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Reason, Refused

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""(number of bytes, offset in the data set) -> bytes."""
Piece: TypeAlias = tuple[int, int]
"""(offset, length)."""

SLICE: Final = 1 << 20
_DOCUMENT, _MEDIA_TYPE, _LENGTH = 0x00420011, 0x00420012, 0x00420015
_WANTED: Final = frozenset({_MEDIA_TYPE, _LENGTH})
_ITEM: Final = struct.Struct("<HHI")
_ITEM_TAG: Final = (0xFFFE, 0xE000)
_MOST_FRAGMENTS: Final = 1 << 20
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\Z")

_CLASS: Final = "1.2.840.10008.5.1.4.1.1.104."
_DOCUMENTS: Final = {
    _CLASS + "1": "application/pdf",
    _CLASS + "2": "text/xml",  # a CDA document
    _CLASS + "3": "model/stl",
    _CLASS + "4": "model/obj",
    _CLASS + "5": "model/mtl",
}
"""SOP Classes of encapsulated documents (PS3.3 A.45), and the media type where an object says no sensible one."""
_MPEG2: Final = tuple(f"1.2.840.10008.1.2.4.{n}" for n in ("100", "100.1", "101", "101.1"))
_HEVC: Final = ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108")


@dataclass(frozen=True, slots=True)
class Contained:
    """A document or a video: `length` bytes in `places`, read while the object is open."""

    media_types: tuple[str, ...]
    """What it may be called, the truest name first."""
    places: Sequence[Piece]
    length: int
    read: ReadAt

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to before `stop`, in slices. Raises Refused where the object ends before."""
        for (offset, length), end in zip(self.places, accumulate(piece[1] for piece in self.places), strict=True):
            first, last = max(start - (end - length), 0), min(stop - (end - length), length)
            for at in range(first, last, SLICE):
                wanted = min(SLICE, last - at)
                data = self.read(wanted, offset + at)
                if len(data) != wanted:
                    raise Refused(Reason.PROCESSING_FAILURE, "the stored object is shorter than its contents")
                yield data


def may_contain(located: Located) -> bool:
    """Whether the object is of a kind that holds such a thing: told without reading it."""
    return transfer_syntax(located.syntax).video or located.sop_class in _DOCUMENTS


def contained_in(located: Located, opened: Reader) -> Contained | None:
    """The document or video of an object that `opened` reads; None where there is none.

    Raises MalformedDataSet, and Refused(CANNOT_UNDERSTAND) where a video's fragments can't be read.
    """
    if not may_contain(located):
        return None
    read, size, syntax = _plain(located, opened)
    found = scan_file(read, size, syntax, _WANTED)
    if transfer_syntax(located.syntax).video:
        return _video(located.syntax, found.pixel, read, size) if found.pixel is not None else None
    return _document(located.sop_class, found, read, size)


def _plain(located: Located, opened: Reader) -> tuple[ReadAt, int, str]:
    if not transfer_syntax(located.syntax).deflated:
        return opened.pread, opened.size, located.syntax
    data = inflate(opened.pread(opened.size, 0))
    return (lambda n, at: data[at : at + n]), len(data), EXPLICIT_LE


def _document(sop_class: str, found: Scan, read: ReadAt, size: int) -> Contained | None:
    try:
        place = locate(Window(lambda at, n: read(n, at), size), found.encoding, f"{_DOCUMENT:08X}")
    except Refused:  # no document in it that could be shown
        return None
    told = found.elements.get(_LENGTH)
    length = min(place.length, max(size - place.offset, 0))
    if told is not None and len(told.value) == 4:
        stated = int.from_bytes(told.value, "little" if found.encoding.little else "big")
        length = stated if 0 < stated <= length else length
    said = found.elements.get(_MEDIA_TYPE)
    name = said.value.decode("ascii", "replace").strip("\0 ").lower() if said is not None else ""
    name = name if _NAME.match(name) else _DOCUMENTS[sop_class]
    return Contained((name,), [(place.offset, length)], length, read)


def _video(syntax: str, pixel: PixelData, read: ReadAt, size: int) -> Contained:
    if pixel.length >= 0:
        raise Refused(Reason.CANNOT_UNDERSTAND, "the video is not encapsulated")
    places = list(_fragments(read, pixel.offset, size))
    if not places:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has no video in it")
    start = read(min(places[0][1], 512), places[0][0])
    names = [_looks_like(start), "video/mpeg" if syntax in _MPEG2 else "video/mp4"]
    if syntax in _HEVC:
        names.append("video/h265")
    kinds = tuple(dict.fromkeys(name for name in names if name))
    return Contained(kinds, places, sum(length for _, length in places), read)


def _fragments(read: ReadAt, at: int, size: int) -> Iterator[Piece]:
    """The fragments behind the Basic Offset Table."""
    for number in range(_MOST_FRAGMENTS):
        if at + 8 > size:
            return
        group, element, length = _ITEM.unpack(read(8, at))
        if (group, element) != _ITEM_TAG:
            return
        length = min(length, size - at - 8)
        if number and length:
            yield at + 8, length
        at += 8 + length


def _looks_like(start: bytes) -> str:
    """The media type of a container or stream by how it begins: ISO base media (ISO/IEC 14496-12), MPEG-2 transport and
    program streams (ISO/IEC 13818-1)."""
    if start[4:8] == b"ftyp":
        return "video/mp4"
    if start[:1] == b"\x47" and start[188:189] in (b"\x47", b""):
        return "video/mp2t"
    if start[:4] in (b"\0\0\x01\xba", b"\0\0\x01\xb3"):
        return "video/mpeg"
    return ""
