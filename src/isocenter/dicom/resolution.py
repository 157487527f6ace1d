"""The VR that an element gets in an explicit encoding (PS3.5 6.2.2, A.1 to A.3) and the words its value is made of."""

from typing import Final

from isocenter.dicom.dictionary import entry_of
from isocenter.dicom.elements import LONG_VRS, PIXEL_DATA, Event
from isocenter.dicom.swapping import WORD_BYTES

BITS_ALLOCATED: Final = 0x00280100
PIXEL_REPRESENTATION: Final = 0x00280103
LUT_DESCRIPTOR: Final = 0x00283002
LUT_DATA: Final = 0x00283006
CONTEXT: Final = frozenset([BITS_ALLOCATED, PIXEL_REPRESENTATION, LUT_DESCRIPTOR])
"""US elements whose values decide about others; a resolver must be told of them."""


class Resolver:
    """Follows a data set and says VRs. `signed` is the data set's Pixel Representation where it is known beforehand:
    some elements that depend on it come before it."""

    def __init__(self, signed: int | None = None) -> None:
        self._levels: list[dict[int, int]] = [{} if signed is None else {PIXEL_REPRESENTATION: signed}]

    @property
    def signed(self) -> int | None:
        """The top level's Pixel Representation, as far as it was met."""
        return self._levels[0].get(PIXEL_REPRESENTATION)

    def enter(self) -> None:
        """An item begins."""
        self._levels.append({})

    def leave(self) -> None:
        """An item ends."""
        self._levels.pop()

    def note(self, event: Event, value: bytes) -> None:
        """One of CONTEXT has this value."""
        if len(value) >= 2:
            self._levels[-1][event.tag] = int.from_bytes(value[:2], "little" if event.encoding.little else "big")

    def _known(self, tag: int) -> int | None:
        return next((level[tag] for level in reversed(self._levels) if tag in level), None)

    def vr(self, event: Event) -> str:
        """The VR to write a value with."""
        vr, tag = event.vr, event.tag
        if tag == PIXEL_DATA and vr == "OB" and (self._known(BITS_ALLOCATED) or 0) > 8:
            vr = "OW"
        if event.encoding.implicit:
            vr = self._chosen(tag, vr)
        return "UN" if event.length > 0xFFFF and vr not in LONG_VRS else vr

    def _chosen(self, tag: int, vr: str) -> str:
        if tag == LUT_DATA:
            return "US" if self._known(LUT_DESCRIPTOR) == 1 else "OW"
        if vr == "US" and self._known(PIXEL_REPRESENTATION):
            entry = entry_of(tag)
            return "SS" if entry is not None and entry.vr == "US or SS" else vr
        return vr

    def word(self, event: Event, vr: str) -> int:
        """Bytes of each word that byte order applies to; 1 where it doesn't.

        Pixel data of 32 and 64 bits is swapped whole, as DCMTK and pydicom do, not in the 16 bit words of OW.
        """
        width = WORD_BYTES.get(vr, 1)
        if event.tag == PIXEL_DATA and width == 2:
            bits = self._known(BITS_ALLOCATED)
            return bits // 8 if bits in (32, 64) else 2
        return width
