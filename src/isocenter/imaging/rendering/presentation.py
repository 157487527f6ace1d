"""How a frame is to be shown, whoever says so: its object's own attributes (`own`), or a presentation state.

Plain values: they travel to the worker process that draws, and are keys of what it keeps.
"""

from typing import NamedTuple

from isocenter.imaging.picture import Window


class Lookup(NamedTuple):
    """A lookup table with its descriptor (PS3.3 C.11.1.1): `first` is the input that has the first entry."""

    first: int
    bits: int
    data: bytes
    """Entries of 16 bits, little endian; of 8 where `packed`. Of a palette it may be segments."""
    packed: bool = False
    entries: int = 0
    """How many there are; 0: as the data holds."""


class Modality(NamedTuple):
    """From stored to modality values (PS3.3 C.11.1): the table if there is one, else slope and intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    table: Lookup | None = None

    @property
    def identity(self) -> bool:
        """Values stay what they are."""
        return self.table is None and self.slope == 1 and self.intercept == 0


class Palette(NamedTuple):
    """Three tables from stored values to colours (PS3.3 C.7.9)."""

    red: Lookup
    green: Lookup
    blue: Lookup
    supplemental: bool = False
    """Only values from the first entry on are colours, those below are grey (PS3.3 C.7.6.19)."""
    segmented: bool = False
    """The tables are segments (PS3.3 C.7.9.2)."""


class Overlay(NamedTuple):
    """A plane of graphics (PS3.3 C.9.2). `row` and `column` of its upper left corner count from 1."""

    rows: int
    columns: int
    row: int
    column: int
    bits: bytes
    """A bit a pixel, the first in the lowest bit; b'' where it lies in the pixel data."""
    position: int = 0
    """The bit of each pixel cell where it lies in the pixel data."""


class Shutter(NamedTuple):
    """What leaves only a part of an image to be seen (PS3.3 C.7.6.11), in columns and rows from 1."""

    rectangle: tuple[float, float, float, float] | None = None
    """Left, upper, right and lower edge."""
    circle: tuple[float, float, float] | None = None
    """Column and row of its center, radius."""
    polygon: tuple[tuple[float, float], ...] = ()
    shade: int = 0
    """Grey of what is covered."""


class Presentation(NamedTuple):
    """How one frame is shown. Spatial steps come in the order: shown area, rotation, flip (PS3.4 N.2.5)."""

    modality: Modality = Modality()
    window: Window | None = None
    table: Lookup | None = None
    """VOI LUT, in place of a window."""
    full: float = 0.0
    """Without either: modality values go from 0 to this; 0: from the least to the greatest in the frame."""
    inverse: bool = False
    output: Lookup | None = None
    """Presentation LUT (PS3.3 C.11.4)."""
    padding: tuple[int, int] | None = None
    """Stored values, first and last, that stand where there is no image (PS3.3 C.7.5.1.1.2): black."""
    palette: Palette | None = None
    overlays: tuple[Overlay, ...] = ()
    shutter: Shutter | None = None
    aspect: float = 1.0
    """A pixel's height divided by its width."""
    icc: bytes = b""
    """The ICC profile of the stored colours."""
    area: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom edge in pixels of the image, which may lie outside of it."""
    rotation: int = 0
    """Clockwise, degrees: 0, 90, 180 or 270."""
    flip: bool = False
    """Left to right, after rotation."""
