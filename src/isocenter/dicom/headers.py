"""Element headers (PS3.5 7.1): tag, VR and length in either byte order, and windows over the bytes they stand in.

What the field does is read, not only what the standard says: a data set or an item in the other VR encoding than its
transfer syntax, single elements without VR, unknown and lower case VRs.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import Reason, Refused

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_DELIMITER: Final = 0xFFFEE00D
SEQUENCE_DELIMITER: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_PIXEL_DATA: Final = 0x7FE00009
PIXEL_TAGS: Final = frozenset([PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA])
DEPTH_LIMIT: Final = 64
UNKNOWN_SIZE: Final = 1 << 62

SHORT_VRS: Final = frozenset(
    ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI")
) | {"UL", "US"}
"""VRs with a 16 bit length in Explicit VR (PS3.5 7.1.2)."""
LONG_VRS: Final = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
"""VRs with two reserved bytes and a 32 bit length."""

Read = Callable[[int, int], bytes]
"""`read(offset, n)`: n bytes at offset, fewer only at the end."""


class MalformedDataSet(Refused):
    """The bytes are no data set of the transfer syntax. `offset`: the byte of the (inflated) data where it showed."""

    def __init__(self, comment: str, offset: int = 0) -> None:
        super().__init__(Reason.CANNOT_UNDERSTAND, f"{comment} at byte {offset}")
        self.offset = offset


class NeedMore(Exception):
    """A prefix ends before the header does, which is no error. `hint`: how many bytes from the start would help."""

    def __init__(self, hint: int) -> None:
        super().__init__(hint)
        self.hint = hint


class Encoding(NamedTuple):
    """How elements are written: with or without VR, in which byte order."""

    implicit: bool
    little: bool


IMPLICIT_LITTLE: Final = Encoding(True, True)
EXPLICIT_LITTLE: Final = Encoding(False, True)
EXPLICIT_BIG: Final = Encoding(False, False)
IMPLICIT_BIG: Final = Encoding(True, False)
"""No transfer syntax; single elements without VR are met in big endian files."""


class Layout(NamedTuple):
    """What a reader of one byte order needs: unpackers at an offset, and VRs as the numbers that it unpacks."""

    explicit: Callable[[bytes, int], tuple[int, int, int]]
    """First four bytes, VR, 16 bit length."""
    implicit: Callable[[bytes, int], tuple[int, int]]
    """First four bytes, 32 bit length."""
    length: Callable[[bytes, int], tuple[int]]
    short_length: Callable[[bytes, int], tuple[int]]
    short: frozenset[int]
    long: frozenset[int]
    names: dict[int, str]


def _layout(order: str) -> Layout:
    def code(vr: str) -> int:
        return int(struct.unpack(f"{order}H", vr.encode("ascii"))[0])

    return Layout(
        struct.Struct(f"{order}IHH").unpack_from,
        struct.Struct(f"{order}II").unpack_from,
        struct.Struct(f"{order}I").unpack_from,
        struct.Struct(f"{order}H").unpack_from,
        frozenset(map(code, SHORT_VRS)),
        frozenset(map(code, LONG_VRS)),
        {code(vr): vr for vr in SHORT_VRS | LONG_VRS},
    )


LITTLE: Final = _layout("<")
BIG: Final = _layout(">")


def layout_of(little: bool) -> Layout:
    """The layout of a byte order."""
    return LITTLE if little else BIG


def encoding_of(syntax: str) -> Encoding:
    """The encoding that transfer syntax `syntax` prescribes."""
    described = transfer_syntax(syntax)
    return Encoding(described.implicit, described.little)


class Window:
    """Bytes at random places of a data set, of which only a piece is held. `size` is the whole, in bytes.

    `at(offset, n)` gives the index in `data` where `offset` lies, with n bytes there; beyond the end it raises.
    An unknown size is learned when a read comes back short.
    """

    __slots__ = ("_read", "_whole", "base", "chunk", "data", "size")

    def __init__(self, read: Read, size: int = UNKNOWN_SIZE, chunk: int = 65536) -> None:
        self._read, self._whole, self.size, self.chunk = read, True, size, chunk
        self.base, self.data = 0, b""

    @classmethod
    def over(cls, data: bytes, *, whole: bool = True) -> "Window":
        """A window over bytes in memory; beyond the end of a prefix (not `whole`) it raises `NeedMore`."""
        window = cls(lambda offset, n: data[offset : offset + n], len(data))
        window.data, window._whole = data, whole
        return window

    def at(self, offset: int, n: int) -> int:
        """The index of `offset` in `data`, which reaches n bytes further at least."""
        index = offset - self.base
        if index < 0 or index + n > len(self.data):
            self._move(offset, n)
            index = 0 if self.base == offset else offset - self.base
        return index

    def has(self, offset: int, n: int) -> bool:
        """Whether the data set reaches n bytes beyond `offset`; for a prefix `NeedMore` unless it is known."""
        if offset + n <= self.size:
            return True
        if not self._whole:
            raise NeedMore(offset + n)
        return False

    def ended(self, offset: int) -> bool:
        """Whether no element header begins at `offset`, since the data set ends there (a rest of less than 8 bytes is
        padding). Raises NeedMore for a prefix, MalformedDataSet if the end was jumped over."""
        if self.size == UNKNOWN_SIZE and not 0 <= offset - self.base <= len(self.data) - 8:
            self._fetch(offset, 8)
        if self.has(offset, 8):
            return False
        if offset > self.size:
            raise MalformedDataSet("a value is longer than the data set", offset)
        return True

    def reaches(self, offset: int) -> bool:
        """Whether the data set is not known to end before `offset`."""
        return offset <= self.size or not self._whole

    def bytes_at(self, offset: int, n: int) -> bytes:
        """The n bytes at `offset`."""
        index = self.at(offset, n)
        return self.data[index : index + n]

    def _move(self, offset: int, n: int) -> None:
        if not self.has(offset, n):
            raise MalformedDataSet("the data set ends too early", offset)
        if self.base == 0 and len(self.data) == self.size:
            return
        self._fetch(offset, n)
        if len(self.data) < n:
            raise MalformedDataSet("the data set ends too early", offset)

    def _fetch(self, offset: int, n: int) -> None:
        asked = min(max(n, self.chunk), self.size - offset)
        self.data = self._read(offset, asked)
        self.base = offset
        if self.size == UNKNOWN_SIZE and len(self.data) < asked:
            self.size = offset + len(self.data)


class Header(NamedTuple):
    """One element's header as read: `length` is -1 where undefined, `offset` where the value starts. `implicit` tells
    how this element was written, whatever the data set's encoding."""

    tag: int
    vr: str
    length: int
    offset: int
    implicit: bool


def read_header(window: Window, offset: int, encoding: Encoding) -> Header:
    """The element header at `offset`, delimiters included (VR '')."""
    layout = LITTLE if encoding.little else BIG
    index = window.at(offset, 8)
    first, length = layout.implicit(window.data, index)
    tag = (first & 0xFFFF) << 16 | first >> 16 if encoding.little else first
    if tag >> 16 == 0xFFFE:
        return Header(tag, "", -1 if length == UNDEFINED else length, offset + 8, True)
    if not encoding.implicit:
        _, code, short = layout.explicit(window.data, index)
        if code in layout.short:
            return Header(tag, layout.names[code], short, offset + 8, False)
        if code in layout.long:
            return _long_header(window, offset, tag, layout, layout.names[code])
        odd = _odd_header(window, offset, tag, layout, short)
        if odd is not None:
            return odd
    return Header(tag, vr_of(tag), -1 if length == UNDEFINED else length, offset + 8, True)


def _long_header(window: Window, offset: int, tag: int, layout: Layout, vr: str) -> Header:
    index = window.at(offset, 12)
    (length,) = layout.length(window.data, index + 8)
    return Header(tag, vr, -1 if length == UNDEFINED else length, offset + 12, False)


def _odd_header(window: Window, offset: int, tag: int, layout: Layout, short: int) -> Header | None:
    """An element whose VR PS3.5 doesn't know; None if it looks like one written without VR."""
    code = window.bytes_at(offset + 4, 2)
    if not code.isalpha():
        # '??' as some toolkits write it, '--' likewise; anything else is the low half of an implicit length
        return Header(tag, vr_of(tag), short, offset + 8, False) if code in (b"??", b"--", b"  ") else None
    known = code.decode("latin-1").upper()
    if known in SHORT_VRS:
        return Header(tag, known, short, offset + 8, False)
    if known in LONG_VRS:
        return _long_header(window, offset, tag, layout, known)
    if not code.isupper():
        return None
    if short == 0 and _reserved(window, offset, tag, layout):
        return _long_header(window, offset, tag, layout, "UN")
    return Header(tag, "UN", short, offset + 8, False)


def _reserved(window: Window, offset: int, tag: int, layout: Layout) -> bool:
    """Whether the zeros after an unknown VR are the reserved bytes of a VR newer than this reader, which all have
    32 bit lengths, rather than a 16 bit length of an empty value: then the next tag would follow."""
    if not window.has(offset, 12):
        return False
    index = window.at(offset, 12)
    (word,) = layout.length(window.data, index + 8)
    following = (word & 0xFFFF) << 16 | word >> 16 if layout is LITTLE else word
    return following <= tag or following & 0xFFFF == 0


def encoding_at(window: Window, offset: int, expected: Encoding) -> Encoding:
    """The encoding that the element at `offset` shows: some files are not what their transfer syntax says.

    Implicit is only doubted where a known VR stands, explicit where none does.
    """
    if window.ended(offset):
        return expected
    index = window.at(offset, 8)
    layout = LITTLE if expected.little else BIG
    _, code, _ = layout.explicit(window.data, index)
    if code in layout.names:
        return Encoding(False, expected.little) if expected.implicit else expected
    if expected.implicit or window.data[index + 4 : index + 6].isalpha():
        return expected
    # an odd VR in the first element, or no VRs at all: the length tells
    _, length = layout.implicit(window.data, index)
    plausible = length == UNDEFINED or window.has(offset + 8, length)
    return Encoding(plausible, expected.little)


def undefined_encoding(window: Window, offset: int, vr: str, encoding: Encoding) -> Encoding:
    """The encoding inside a sequence of undefined length at `offset`: UN is Implicit VR Little Endian (PS3.5 6.2.2),
    which some writers forget about the byte order."""
    if vr != "UN" or encoding.implicit:
        return encoding
    big = not encoding.little and window.bytes_at(offset, 4) == b"\xff\xfe\xe0\x00"
    return IMPLICIT_BIG if big else IMPLICIT_LITTLE
