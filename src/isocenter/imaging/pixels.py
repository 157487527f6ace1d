"""What the Image Pixel attributes say (PS3.3 C.7.6.3), from a header scan."""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from isocenter.dicom.headers import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA
from isocenter.dicom.scan import RawElement, Scan
from isocenter.errors import Reason, Refused

SAMPLES: Final = 0x00280002
PHOTOMETRIC: Final = 0x00280004
PLANAR: Final = 0x00280006
FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
ALLOCATED: Final = 0x00280100
STORED: Final = 0x00280101
HIGH: Final = 0x00280102
SIGNED: Final = 0x00280103
EXTENDED_OFFSETS: Final = 0x7FE00001
EXTENDED_LENGTHS: Final = 0x7FE00002

_TABLES: Final = (EXTENDED_OFFSETS, EXTENDED_LENGTHS)
WANTED: Final = frozenset(
    [SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH, SIGNED, *_TABLES]
)
"""What a scan has to look for, for `described` and `frames.frames_of`."""

_WIDTHS: Final = frozenset([1, 8, 16, 24, 32, 64])
_SHARED: Final[Mapping[str, tuple[int, int]]] = {
    "YBR_FULL_422": (2, 3),
    "YBR_PARTIAL_422": (2, 3),
    "YBR_PARTIAL_420": (1, 2),
}
"""How many of three samples a pixel native data has where pixels share chrominance (PS3.3 C.7.6.3.1.2)."""


class Pixels(NamedTuple):
    """How the samples of each frame are written. Bits as in PS3.5 8.1.1; `kind` is `integer`, `float` or `double`."""

    rows: int
    columns: int
    samples: int = 1
    photometric: str = "MONOCHROME2"
    allocated: int = 8
    stored: int = 8
    high: int = 7
    signed: bool = False
    planar: int = 0
    frames: int = 1
    kind: str = "integer"

    @property
    def shares_chrominance(self) -> bool:
        """Native frames have fewer chrominance samples than pixels."""
        return self.samples == 3 and self.photometric in _SHARED

    @property
    def frame_bits(self) -> int:
        """Bits of a native frame."""
        held, of = _SHARED[self.photometric] if self.shares_chrominance else (1, 1)
        return self.rows * self.columns * self.samples * held // of * self.allocated

    @property
    def frame_bytes(self) -> int:
        """Bytes of a native frame by itself."""
        return (self.frame_bits + 7) // 8

    @property
    def decoded_bytes(self) -> int:
        """Bytes of a frame with every sample of every pixel in a whole number of bytes: what decoding takes."""
        return self.rows * self.columns * self.samples * max(self.cell, 1)

    @property
    def cell(self) -> int:
        """Bytes of a sample in memory."""
        return 4 if self.allocated == 24 else (self.allocated + 7) // 8


def described(scan: Scan) -> Pixels:
    """The description of a scanned object's pixel data.

    Raises Refused: NOT_ACCEPTABLE where there is no pixel data, CANNOT_UNDERSTAND where its description is wrong.
    """
    if scan.pixel is None:
        raise Refused(Reason.NOT_ACCEPTABLE, "the object has no pixel data")
    number = _Numbers(scan)
    kind = {FLOAT_PIXEL_DATA: "float", DOUBLE_PIXEL_DATA: "double"}.get(scan.pixel.tag, "integer")
    allocated = {"float": 32, "double": 64}.get(kind) or number.short(ALLOCATED, 8)
    stored = number.short(STORED, allocated) if kind == "integer" else allocated
    stored = stored if 0 < stored <= allocated else allocated
    high = number.short(HIGH, stored - 1)
    pixels = Pixels(
        rows=number.short(ROWS),
        columns=number.short(COLUMNS),
        samples=number.short(SAMPLES, 1),
        photometric=number.text(PHOTOMETRIC) or "MONOCHROME2",
        allocated=allocated,
        stored=stored,
        high=high if stored - 1 <= high < allocated else stored - 1,
        signed=kind == "integer" and number.short(SIGNED) == 1,
        planar=1 if number.short(PLANAR) == 1 else 0,
        frames=number.frames(),
        kind=kind,
    )
    if not (pixels.rows and pixels.columns and 1 <= pixels.samples <= 4 and allocated in _WIDTHS):
        raise Refused(Reason.CANNOT_UNDERSTAND, "the description of the pixel data is wrong")
    return pixels


class _Numbers:
    """Values of a scan."""

    def __init__(self, scan: Scan) -> None:
        self._elements, self._order = scan.elements, "<" if scan.encoding.little else ">"

    def short(self, tag: int, default: int = 0) -> int:
        element: RawElement | None = self._elements.get(tag)
        if element is None or len(element.value) < 2:
            return default
        return int(struct.unpack_from(f"{self._order}H", element.value)[0])

    def text(self, tag: int) -> str:
        element = self._elements.get(tag)
        return element.value.decode("ascii", "replace").strip("\0 ") if element else ""

    def frames(self) -> int:
        count = self.text(FRAMES).split("\\")[0].strip()
        return max(int(count), 1) if count.isascii() and count.isdigit() and len(count) < 10 else 1
