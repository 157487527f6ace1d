"""From stored values to grey, as an object's attributes say it (PS3.3 C.7.5.1.1.2, C.11.1, C.11.2, C.11.4)."""

from isocenter.dicom.dataset import DataSet, bytes_of, items_of
from isocenter.imaging.picture import FUNCTIONS, LINEAR, LINEAR_EXACT, Window
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.presentation import Lookup, Modality
from isocenter.imaging.rendering.values import first, item_of, number, numbers, strings

_WHOLE = 0x10000


def modality_of(data_set: DataSet, groups: DataSet, pixels: Pixels) -> Modality:
    """The modality transformation: the frame's own Pixel Value Transformation before the image's."""
    frame = item_of(groups, tags.FRAME_TRANSFORMATION)
    items = items_of(data_set, tags.MODALITY_LUT)
    if items and not frame:
        table = lookup_of(items[0], tags.LUT_DESCRIPTOR, tags.LUT_DATA, signed=pixels.signed)
        if table is not None:
            return Modality(table=table)
    slope, intercept = (number(frame or data_set, tag) for tag in (tags.SLOPE, tags.INTERCEPT))
    return Modality(slope if slope else 1.0, intercept or 0.0)


def voi_of(
    data_set: DataSet, groups: DataSet, modality: Modality, pixels: Pixels
) -> tuple[Window | None, Lookup | None]:
    """The VOI transformation. Of several windows and tables the first is taken; where there are both, the table
    (PS3.3 C.11.2.1: only one of them is applied)."""
    frame = item_of(groups, tags.FRAME_VOI)
    window = window_of(frame or data_set)
    if frame and window is not None:
        return window, None
    table = table_of(data_set, modality, pixels)
    return (None, table) if table is not None else (window, None)


def table_of(data_set: DataSet, modality: Modality, pixels: Pixels) -> Lookup | None:
    """The first table of VOI LUT Sequence."""
    for item in items_of(data_set, tags.VOI_LUT):
        table = lookup_of(item, tags.LUT_DESCRIPTOR, tags.LUT_DATA, signed=_negative(modality, pixels))
        if table is not None:
            return table
    return None


def window_of(data_set: DataSet) -> Window | None:
    """The first window that can be applied (PS3.3 C.11.2.1.2)."""
    function = first(data_set, tags.FUNCTION) or LINEAR
    function = function if function in FUNCTIONS else LINEAR
    least = 1.0 if function == LINEAR else 0.0
    for center, width in zip(numbers(data_set, tags.CENTER), numbers(data_set, tags.WIDTH), strict=False):
        if width >= 1 or (function != LINEAR and width > least):
            return Window(center, width, function)
        if 0 < width < 1:
            # normalised or float values with a window that the linear function, as it is defined, can't have
            return Window(center, width, LINEAR_EXACT)
    return None


def inverse_of(data_set: DataSet, photometric: str) -> bool:
    """The least value is white. In image objects the Presentation LUT Shape says the same as the photometric
    interpretation, where both are right (PS3.3 C.8.11.3.1.2)."""
    shape = strings(data_set, tags.PRESENTATION_SHAPE)
    return photometric == "MONOCHROME1" or shape[:1] == ["INVERSE"]


def output_of(data_set: DataSet) -> Lookup | None:
    """The first table of Presentation LUT Sequence."""
    for item in items_of(data_set, tags.PRESENTATION_LUT):
        return lookup_of(item, tags.LUT_DESCRIPTOR, tags.LUT_DATA, signed=False)
    return None


def padding_of(data_set: DataSet, pixels: Pixels) -> tuple[int, int] | None:
    """The stored values of padding, both ends among them (PS3.3 C.7.5.1.1.2)."""
    found = [
        int.from_bytes(raw[:2], "little", signed=pixels.signed)
        for raw in (bytes_of(data_set, tag) for tag in (tags.PADDING, tags.PADDING_LIMIT))
        if len(raw) >= 2
    ]
    if not found or not bytes_of(data_set, tags.PADDING):
        return None
    return min(found), max(found)


def lookup_of(data_set: DataSet, descriptor: int, data: int, *, signed: bool, segmented: bool = False) -> Lookup | None:
    """A lookup table; None where it is absent or wrong. `signed`: what is looked up may be negative."""
    raw, table = bytes_of(data_set, descriptor), bytes_of(data_set, data)
    if len(raw) < 6 or not table:
        return None
    count = int.from_bytes(raw[:2], "little") or _WHOLE
    start = int.from_bytes(raw[2:4], "little", signed=signed)
    bits = int.from_bytes(raw[4:6], "little")
    if segmented:
        return Lookup(start, bits, table, bits == 8, count)
    packed = bits <= 8 and len(table) < 2 * count
    if not 1 <= bits <= 16 or len(table) < (1 if packed else 2):
        return None
    return Lookup(start, bits, table[: count if packed else 2 * count], packed, count)


def _negative(modality: Modality, pixels: Pixels) -> bool:
    """Whether a VOI LUT's input may be negative (PS3.3 C.11.2.1.1)."""
    if modality.table is not None:
        return False
    return pixels.signed or modality.intercept < 0 or modality.slope < 0
