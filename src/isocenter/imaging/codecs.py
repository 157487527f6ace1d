"""The codec table: what each transfer syntax holds, whether we decode it, and what we can write in it.

What is written is what PS3.5 8.2 lets the syntax hold, and no more than was seen to come back bit for bit.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.dicom import uids
from isocenter.dicom.convert import native_syntaxes
from isocenter.imaging.pixels import Pixels

NATIVE, UNCOMPRESSED, DEFLATED, RLE, STREAM = "native", "uncompressed", "deflated", "rle", "stream"
"""How a frame lies in the pixel data. Of a stream its own header says which coder made it, whatever the syntax."""

_JPEG: Final = "1.2.840.10008.1.2.4."
JPEG_XL_LOSSLESS: Final = f"{_JPEG}110"
JPEG_XL_RECOMPRESSION: Final = f"{_JPEG}111"
JPEG_XL: Final = f"{_JPEG}112"
DEFLATED_FRAME: Final = "1.2.840.10008.1.2.8.1"

_MONOCHROME: Final = frozenset(["MONOCHROME1", "MONOCHROME2"])
_COLOUR: Final = frozenset(["RGB", "YBR_FULL"])
_PALETTE: Final = frozenset(["PALETTE COLOR"])
_ANY: Final = _MONOCHROME | _COLOUR | _PALETTE


class Writes(NamedTuple):
    """What is written in a transfer syntax."""

    coder: str
    allocated: frozenset[int]
    depth: int
    """Most bits of a sample."""
    photometric: frozenset[str] = _ANY
    lossy: bool = False
    method: str = ""
    """Lossy Image Compression Method (0028,2114) (PS3.3 C.7.6.1.1.5.1)."""
    colour: str = "RGB"
    """What RGB becomes."""
    signed: bool = True


class Codec(NamedTuple):
    """One transfer syntax."""

    frame: str
    writes: Writes | None = None


_BYTES: Final = frozenset([8, 16])
_WIDER: Final = frozenset([8, 16, 32])
_WHATEVER: Final = frozenset([1, 8, 16, 24, 32, 64])
_UNLOSSY: Final = _MONOCHROME | _COLOUR

_CODECS: Final[Mapping[str, Codec]] = MappingProxyType(
    {
        **{uid: Codec(NATIVE, Writes("native", _WHATEVER, 64)) for uid in native_syntaxes},
        uids.PAPYRUS_IMPLICIT_LE: Codec(NATIVE),
        uids.GE_PRIVATE_IMPLICIT_BE_PIXELS: Codec(NATIVE),
        uids.ENCAPSULATED_UNCOMPRESSED_LE: Codec(UNCOMPRESSED, Writes("uncompressed", _WHATEVER, 64)),
        DEFLATED_FRAME: Codec(DEFLATED, Writes("deflated", _WHATEVER, 64)),
        uids.RLE_LOSSLESS: Codec(RLE, Writes("rle", _WIDER, 32)),
        uids.JPEG_BASELINE: Codec(
            STREAM,
            Writes(
                "jpeg", frozenset([8]), 8, _UNLOSSY, lossy=True, method="ISO_10918_1", colour="YBR_FULL_422",
                signed=False,
            ),
        ),
        uids.JPEG_EXTENDED: Codec(
            STREAM,
            Writes("jpeg", _BYTES, 12, _MONOCHROME, lossy=True, method="ISO_10918_1", signed=False),
        ),
        # progressive and arithmetic processes of old (PS3.5 10.2, retired): as far as the library goes
        **{f"{_JPEG}{n}": Codec(STREAM) for n in (*range(52, 57), *range(58, 67))},
        uids.JPEG_LOSSLESS: Codec(STREAM, Writes("jpeg-lossless", _BYTES, 16)),
        uids.JPEG_LOSSLESS_SV1: Codec(STREAM, Writes("jpeg-lossless", _BYTES, 16)),
        uids.JPEG_LS_LOSSLESS: Codec(STREAM, Writes("jpeg-ls", _BYTES, 16)),
        uids.JPEG_LS_NEAR_LOSSLESS: Codec(
            STREAM, Writes("jpeg-ls", _BYTES, 16, _UNLOSSY, lossy=True, method="ISO_14495_1", signed=False)
        ),
        uids.JPEG_2000_LOSSLESS: Codec(STREAM, Writes("j2k", _WIDER, 24, colour="YBR_RCT")),
        uids.JPEG_2000: Codec(
            STREAM, Writes("j2k", _BYTES, 16, _UNLOSSY, lossy=True, method="ISO_15444_1", colour="YBR_ICT")
        ),
        uids.HTJ2K_LOSSLESS: Codec(STREAM, Writes("htj2k", _WIDER, 32, colour="YBR_RCT")),
        uids.HTJ2K_LOSSLESS_RPCL: Codec(STREAM, Writes("htj2k", _WIDER, 32, colour="YBR_RCT")),
        uids.HTJ2K: Codec(
            STREAM, Writes("htj2k", _BYTES, 16, _UNLOSSY, lossy=True, method="ISO_15444_15", colour="YBR_ICT")
        ),
        JPEG_XL_LOSSLESS: Codec(STREAM),
        JPEG_XL_RECOMPRESSION: Codec(STREAM),
        JPEG_XL: Codec(STREAM),
    }
)  # fmt: skip


def codec(syntax: str) -> Codec | None:
    """The codec of a transfer syntax; None where it is not ours to decode: video, references, what is unknown."""
    return _CODECS.get(syntax)


def syntaxes() -> tuple[str, ...]:
    """The transfer syntaxes of the table."""
    return tuple(_CODECS)


def is_native(syntax: str) -> bool:
    """Whether its pixel data is not encapsulated."""
    return syntax in _CODECS and _CODECS[syntax].frame == NATIVE


def can_write(syntax: str, pixels: Pixels) -> bool:
    """Whether decoded frames of this description can be written in `syntax`."""
    found = _CODECS.get(syntax)
    writes = found.writes if found else None
    if writes is None:
        return False
    if writes.coder == "native":
        return True
    if pixels.kind != "integer" or pixels.allocated not in writes.allocated or pixels.stored > writes.depth:
        return False
    if writes.coder in ("uncompressed", "deflated"):
        return True
    if pixels.allocated == 32 and writes.coder in ("j2k", "htj2k") and not _is_plain(pixels, writes):
        return False
    return (
        pixels.samples in (1, 3)
        and (pixels.samples == 3) == (pixels.photometric in _COLOUR)
        and pixels.photometric in writes.photometric
        and (writes.signed or not pixels.signed)
    )


def _is_plain(pixels: Pixels, writes: Writes) -> bool:
    """32 bit samples: one a pixel, and none of their bits outside of those stored where the coder can't take all."""
    return pixels.samples == 1 and pixels.high == pixels.stored - 1 and (pixels.stored <= 24 or writes.depth == 32)
