"""What a frame's codestream says of itself: size, precision, colour. Headers only; nothing is decoded.

A decoder is given nothing whose header was not read here first: what a stream claims is held against what the object
says and against the pixel budget before anything is allocated.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from isocenter.errors import Reason, Refused

JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, HTJ2K, JPEG_XL = "jpeg", "jpeg-lossless", "jpeg-ls", "j2k", "htj2k", "jxl"

_SOC: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_JXL: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_ADOBE: Final = b"Adobe"
_DCT: Final = frozenset([0xC0, 0xC1, 0xC2, 0xC9, 0xCA])
_PREDICTIVE: Final = frozenset([0xC3, 0xCB])
_FRAME_HEADERS: Final = _DCT | _PREDICTIVE | {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xF7}
_SOF55: Final = 0xF7
_BARE: Final = frozenset([0x01, *range(0xD0, 0xD8)])
_MOST_COMPONENTS: Final = 4
_DEEPEST: Final = 38


class Stream(NamedTuple):
    """A codestream's own description. `transform`: of JPEG, whether its colour is YCbCr (True), RGB (False) or not told
    (None); of JPEG 2000, whether a multiple component transform was applied."""

    coder: str
    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool = False
    transform: bool | None = None
    subsampled: bool = False
    reversible: bool = True
    """Of JPEG 2000: the 5-3 wavelet."""
    levels: int = 0
    """Of JPEG 2000: how often its resolution can be halved."""


def described(data: bytes | bytearray | memoryview) -> Stream:
    """The description of a frame's stream. Raises Refused(CANNOT_UNDERSTAND) where it begins as none that is known."""
    raw = bytes(data[: 1 << 20])
    try:
        if raw[:2] == b"\xff\xd8":
            return _jpeg(raw)
        if raw[:4] == _SOC:
            return _jpeg_2000(raw)
        if raw[:12] == _JP2:
            return _jpeg_2000(codestream(raw))
        if raw.startswith(_JXL):
            return Stream(JPEG_XL, 0, 0, 0, 0)
    except (struct.error, IndexError) as error:
        raise _unknown() from error
    raise _unknown()


def codestream(data: bytes) -> bytes:
    """The codestream within a JP2 file, which DICOM does not allow and some write all the same; `data` as it is where
    it is none."""
    if data[:12] != _JP2:
        return data
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind == b"jp2c":
            return data[at + head :]
        if length < head:
            break
        at += length
    raise _unknown()


def _unknown() -> Refused:
    return Refused(Reason.CANNOT_UNDERSTAND, "the compressed frame begins as no known stream does")


def _segments(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG or JPEG 2000 main header behind the first, each with its content; up to the first scan."""
    at = 2
    while at + 2 <= len(raw):
        if raw[at] != 0xFF:
            return
        code = raw[at + 1]
        if code == 0xFF:
            at += 1
            continue
        at += 2
        if code in _BARE:
            continue
        (length,) = struct.unpack_from(">H", raw, at)
        if length < 2:
            return
        yield code, raw[at + 2 : at + length]
        at += length


def _jpeg(raw: bytes) -> Stream:
    transform: bool | None = None
    for code, content in _segments(raw):
        if code == 0xE0 and content[:4] == b"JFIF":
            transform = True
        elif code == 0xEE and content[:5] == _ADOBE and len(content) >= 12:
            transform = content[11] != 0
        elif code in _FRAME_HEADERS:
            return _framed(code, content, transform)
        elif code in (0xD9, 0xDA):
            break
    raise _unknown()


def _framed(code: int, content: bytes, transform: bool | None) -> Stream:
    precision, rows, columns, count = struct.unpack_from(">BHHB", content)
    components = [content[6 + 3 * i : 9 + 3 * i] for i in range(count)]
    if not (rows and columns and 0 < count <= _MOST_COMPONENTS and 2 <= precision <= 16 and len(components[-1]) == 3):
        raise _unknown()
    if code in _PREDICTIVE:
        coder = JPEG_LOSSLESS
    elif code in _DCT:
        coder = JPEG
    elif code == _SOF55:
        coder = JPEG_LS
    else:
        raise Refused(Reason.CANNOT_UNDERSTAND, "a JPEG process that nobody decodes")
    factors = {component[1] for component in components}
    subsampled = len(factors) > 1
    if count == 3 and coder == JPEG:
        if transform is None and bytes(component[0] for component in components) == b"RGB":
            transform = False
        if subsampled:
            transform = True
    return Stream(coder, rows, columns, count, precision, False, transform, subsampled)


def _jpeg_2000(raw: bytes) -> Stream:
    size: Stream | None = None
    high_throughput = transform = False
    reversible, levels = True, 0
    for code, content in _segments(raw):
        if code == 0x51:
            size = _sized(content)
        elif code == 0x50:
            high_throughput = True
        elif code == 0x52:
            transform, levels, reversible = content[4] != 0, content[5], content[9] == 1
            high_throughput = high_throughput or bool(content[8] & 0x40)
        elif code == 0x90:
            break
    if size is None:
        raise _unknown()
    coder = HTJ2K if high_throughput else JPEG_2000
    return size._replace(coder=coder, transform=transform, reversible=reversible, levels=levels)


def _sized(content: bytes) -> Stream:
    (_, right, bottom, left, top, width, height, _, _, count) = struct.unpack_from(">H8IH", content)
    depths = [content[36 + 3 * i : 39 + 3 * i] for i in range(min(count, _MOST_COMPONENTS))]
    columns, rows = right - left, bottom - top
    if not (0 < count <= _MOST_COMPONENTS and columns > 0 and rows > 0 and width and height and len(depths[-1]) == 3):
        raise _unknown()
    if -(-columns // width) * -(-rows // height) > 65535:
        raise _unknown()
    precision = (depths[0][0] & 0x7F) + 1
    if precision > _DEEPEST or len({depth[0] for depth in depths}) > 1:
        raise Refused(Reason.CANNOT_UNDERSTAND, "components of different depth")
    subsampled = any(depth[1:] != b"\x01\x01" for depth in depths)
    return Stream(JPEG_2000, rows, columns, count, precision, depths[0][0] >= 0x80, None, subsampled)
