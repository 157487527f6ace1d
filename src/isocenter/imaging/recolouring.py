"""Images in the photometric interpretation that a destination wants (X-QR-07): what changes in pixels and header.

Colours become RGB; with MONOCHROME2 they become grey, which loses them: another instance then. MONOCHROME1 becomes
MONOCHROME2 by turning its values round, with the windows that are given for them. Light: workers do the pixels.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, int_of, string_of, strings_of, text, us
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import Scan
from isocenter.dicom.swapping import swapped
from isocenter.errors import Reason, Refused
from isocenter.imaging.pixels import ALLOCATED, HIGH, PHOTOMETRIC, PLANAR, SAMPLES, SIGNED, STORED, Pixels
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.own import palette_of
from isocenter.imaging.rendering.presentation import Palette

Wanted = Literal["", "RGB", "MONOCHROME2"]
"""What a destination wants images in; '' for what they are."""

_MONOCHROME: Final = ("MONOCHROME1", "MONOCHROME2")
_SLOPE, _INTERCEPT, _CENTER, _WIDTH, _FUNCTION = 0x00281053, 0x00281052, 0x00281050, 0x00281051, 0x00281056
_SMALLEST, _LARGEST, _PADDING, _PADDING_LIMIT = 0x00280106, 0x00280107, 0x00280120, 0x00280121
_SIGN, _SHAPE = 0x00281041, 0x20500020
_TABLES: Final = (0x00283000, 0x00283010, 0x20500010, 0x52009229, 0x52009230)
"""Modality LUT, VOI LUT, Presentation LUT and functional groups: an image with these is not turned round."""
_PALETTE: Final = (*tags.PALETTE_DESCRIPTORS, *tags.PALETTE_DATA, *tags.PALETTE_SEGMENTS, 0x00281199)
_OF_VALUES: Final = (_SMALLEST, _LARGEST, _PADDING, _PADDING_LIMIT, _CENTER, _WIDTH, _FUNCTION, _SLOPE, _INTERCEPT)
NEEDED: Final = frozenset((*_PALETTE, *_OF_VALUES, *_TABLES, _SIGN, _SHAPE))
"""What a scan has to look for."""


class Recolour(NamedTuple):
    """What becomes of decoded frames."""

    target: str
    """Their new photometric interpretation."""
    palette: Palette | None = None

    def described(self, pixels: Pixels) -> Pixels:
        """What describes them then."""
        if pixels.photometric in _MONOCHROME:
            return pixels._replace(photometric=self.target)
        samples = 3 if self.target == "RGB" else 1
        return pixels._replace(
            photometric=self.target, samples=samples, allocated=8, stored=8, high=7, signed=False, planar=0
        )


def recolour_of(found: Scan, decoded: Pixels, wanted: str) -> Recolour | None:
    """What brings frames that are `decoded` into what is wanted; None where nothing has to change, or nothing can."""
    held = decoded.photometric
    if decoded.kind != "integer" or not wanted:
        return None
    if held == "MONOCHROME1":
        turns = wanted == "MONOCHROME2" and not any(tag in found.elements for tag in _TABLES)
        return Recolour(wanted) if turns and decoded.allocated in (8, 16, 32) else None
    if held == "PALETTE COLOR":
        palette = palette_of(_data_set(found, _PALETTE), decoded)
        if palette is None:
            raise Refused(Reason.CANNOT_UNDERSTAND, "the image has no palette")
        return Recolour(wanted, palette)
    if held == "MONOCHROME2" or held == wanted or decoded.samples != 3 or decoded.allocated != 8:
        return None
    return Recolour(wanted) if held in ("RGB", "YBR_FULL") else None


def loses_colour(decoded: Pixels, recolour: Recolour) -> bool:
    """Whether it makes another instance of the object."""
    return recolour.target == "MONOCHROME2" and decoded.photometric not in _MONOCHROME


def changes_of(found: Scan, decoded: Pixels, recolour: Recolour) -> Changes:
    """The elements that change with the pixels."""
    if decoded.photometric == "MONOCHROME1":
        return _turned(_data_set(found, (*_OF_VALUES, _SIGN, _SHAPE)), decoded)
    made = recolour.described(decoded)
    changes: dict[int, Element | None] = dict.fromkeys(tag for tag in (*_PALETTE, *_OF_VALUES) if tag in found.elements)
    changes[PLANAR] = us(0) if made.samples > 1 else None
    numbers: Mapping[int, int] = {SAMPLES: made.samples, ALLOCATED: 8, STORED: 8, HIGH: 7, SIGNED: 0}
    return {
        **changes,
        **{tag: us(number) for tag, number in numbers.items()},
        PHOTOMETRIC: text("CS", made.photometric),
    }


def _data_set(found: Scan, wanted: tuple[int, ...]) -> DataSet:
    little = found.encoding.little
    held = ((tag, found.elements[tag]) for tag in wanted if tag in found.elements)
    return {tag: Element(each.vr, each.value if little else swapped(each.vr, each.value)) for tag, each in held}


# --- MONOCHROME1


def _turned(held: DataSet, pixels: Pixels) -> Changes:
    """The stored value v becomes `total` - v; windows follow so that each pixel is shown as it was."""
    total = -1 if pixels.signed else (1 << pixels.stored) - 1
    vr = "SS" if pixels.signed else "US"
    changes: dict[int, Element | None] = {PHOTOMETRIC: text("CS", "MONOCHROME2")}
    pairs = ((_SMALLEST, _LARGEST), (_LARGEST, _SMALLEST), (_PADDING, _PADDING), (_PADDING_LIMIT, _PADDING_LIMIT))
    for tag, other in pairs:
        value = int_of(held, other)
        if tag in held:
            changes[tag] = None if value is None else _number(vr, total - value)
    if _CENTER in held:
        changes[_CENTER] = _centers(held, total)
    if _SIGN in held and (sign := int_of(held, _SIGN)) is not None:
        changes[_SIGN] = _number("SS", -sign)
    if _SHAPE in held:
        changes[_SHAPE] = text("CS", "IDENTITY")
    return changes


def _centers(held: DataSet, total: int) -> Element | None:
    """Window Center for values that were turned round (PS3.3 C.11.2.1.2): the linear function of windows lies half a
    value beside its centre on either side."""
    try:
        slope = float(string_of(held, _SLOPE) or 1)
        intercept = float(string_of(held, _INTERCEPT) or 0)
        whole = slope * total + 2 * intercept + (1 if string_of(held, _FUNCTION) in ("", "LINEAR") else 0)
        return text("DS", "\\".join(f"{whole - float(center):.10g}" for center in strings_of(held, _CENTER)))
    except ValueError:
        return held[_CENTER]  # not numbers: they say nothing, turned round or not


_LIMITS: Final = MappingProxyType({"US": (0, 0xFFFF), "SS": (-0x8000, 0x7FFF)})


def _number(vr: str, value: int) -> Element | None:
    low, high = _LIMITS[vr]
    return Element(vr, (value & 0xFFFF).to_bytes(2, "little")) if low <= value <= high else None
