"""How a softcopy presentation state says that an image is shown (PS3.3 A.33, PS3.4 N.2): in place of the image's own
values, the window, LUTs, overlays, shutter, displayed area and spatial transformation of the state.

Graphics and text of a state are left out, and that is said.
"""

from typing import Final

from isocenter.dicom.dataset import DataSet, bytes_of, items_of, string_of
from isocenter.errors import Reason, Refused
from isocenter.imaging.picture import Picture
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.graphics import overlays_of
from isocenter.imaging.rendering.grey import modality_of, output_of, padding_of, table_of, window_of
from isocenter.imaging.rendering.header import Header
from isocenter.imaging.rendering.presentation import Overlay, Presentation, Shutter
from isocenter.imaging.rendering.values import first, number, numbers, reals

GREYSCALE: Final = "1.2.840.10008.5.1.4.1.1.11.1"
COLOUR: Final = "1.2.840.10008.5.1.4.1.1.11.2"
STATES: Final = (GREYSCALE, COLOUR)

_SERIES, _IMAGES, _INSTANCE, _FRAMES = 0x00081115, 0x00081140, 0x00081155, 0x00081160
_VOI_ITEMS, _AREAS, _GRAPHICS = 0x00283110, 0x0070005A, 0x00700001
_TOP_LEFT, _BOTTOM_RIGHT, _SPACING, _ASPECT = 0x00700052, 0x00700053, 0x00700101, 0x00700102
_ROTATION, _FLIP = 0x00700042, 0x00700041
_SHUTTER, _LEFT, _RIGHT, _UPPER, _LOWER = 0x00181600, 0x00181602, 0x00181604, 0x00181606, 0x00181608
_CENTER, _RADIUS, _POINTS, _VALUE = 0x00181610, 0x00181612, 0x00181620, 0x00181622
_ACTIVATION: Final = 0x1001
_MOST_POINTS: Final = 1 << 14
_MOST_SIDE: Final = 1 << 16


def stated(
    state: DataSet, header: Header, own: Presentation, frame: int, picture: Picture
) -> tuple[Presentation, tuple[str, ...]]:
    """The presentation of a frame by a state, and warnings of what of it is not shown. `own` is what the image says
    itself. Raises Refused(BAD_REQUEST) where the state is none that is known, or is not about this frame."""
    kind = first(state, tags.SOP_CLASS)
    if kind not in STATES:
        raise Refused(Reason.BAD_REQUEST, "this is no presentation state that can be applied")
    sop_instance = string_of(header.attributes, tags.SOP_INSTANCE)
    if not any(_about(series, sop_instance, frame, whole=False) for series in items_of(state, _SERIES)):
        raise Refused(Reason.BAD_REQUEST, "the presentation state is not about this image")
    found = _in_space(state, own, sop_instance, frame)._replace(
        overlays=_overlays(state, header.attributes, frame) if picture.overlays else (), shutter=_shutter(state)
    )
    if kind == GREYSCALE and header.pixels is not None:
        found = _in_grey(state, header, found, sop_instance, frame, picture)
    left = _GRAPHICS in state and bool(items_of(state, _GRAPHICS))
    return found, ("graphics of the presentation state are not drawn",) * left


def _about(item: DataSet, sop_instance: str, frame: int, *, whole: bool) -> bool:
    """Whether an item's references name a frame; with `whole`, an item without any is about all images."""
    images = items_of(item, _IMAGES)
    if not images:
        return whole
    return any(
        string_of(image, _INSTANCE) == sop_instance and frame in (numbers(image, _FRAMES) or (frame,))
        for image in images
    )


def _in_grey(
    state: DataSet, header: Header, found: Presentation, sop_instance: str, frame: int, picture: Picture
) -> Presentation:
    """PS3.4 N.2.1 to N.2.4: what the state leaves out is not done, whatever the image says."""
    pixels = header.pixels
    assert pixels is not None
    modality = modality_of(state, {}, pixels)
    items = [item for item in items_of(state, _VOI_ITEMS) if _about(item, sop_instance, frame, whole=True)]
    table = next((each for item in items if (each := table_of(item, modality, pixels)) is not None), None)
    window = next((shown for item in items if (shown := window_of(item)) is not None), None)
    return found._replace(
        modality=modality,
        window=picture.window or (window if table is None else None),
        table=None if picture.window else table,
        inverse=first(state, tags.PRESENTATION_SHAPE) == "INVERSE",
        output=output_of(state),
        padding=padding_of(header.attributes, pixels),
    )


def _in_space(state: DataSet, own: Presentation, sop_instance: str, frame: int) -> Presentation:
    rotation = int(number(state, _ROTATION) or 0) % 360
    found = own._replace(rotation=rotation if rotation % 90 == 0 else 0, flip=first(state, _FLIP) == "Y")
    areas = [item for item in items_of(state, _AREAS) if _about(item, sop_instance, frame, whole=True)]
    if not areas:
        return found
    corners = [reals(areas[0], tag, 2) for tag in (_TOP_LEFT, _BOTTOM_RIGHT)]
    if all(corners):
        # the corners are those that are seen, so that by rotation either may have the lesser numbers
        (x, y), (right, bottom) = corners
        area = (min(x, right) - 1, min(y, bottom) - 1, max(x, right), max(y, bottom))
        if area[2] - area[0] <= _MOST_SIDE and area[3] - area[1] <= _MOST_SIDE:
            found = found._replace(area=area)
    shape = reals(areas[0], _SPACING, 2) or reals(areas[0], _ASPECT, 2)
    if shape and min(shape) > 0:
        found = found._replace(aspect=shape[0] / shape[1])
    return found


def _overlays(state: DataSet, image: DataSet, frame: int) -> tuple[Overlay, ...]:
    """Those that the state activates: its own, else the image's (PS3.3 C.11.7)."""
    active = [group for group in tags.OVERLAY_GROUPS if bytes_of(state, group | _ACTIVATION)]
    return tuple(
        overlay
        for group in active
        for overlay in overlays_of(state if group | tags.OVERLAY_ROWS in state else image, frame, (group,))
    )


def _shutter(state: DataSet) -> Shutter | None:
    """PS3.3 C.7.6.11: what lies outside of all its shapes is covered."""
    shapes = [each.strip() for each in string_of(state, _SHUTTER).split("\\")]
    sides = [number(state, tag) for tag in (_LEFT, _UPPER, _RIGHT, _LOWER)]
    left, upper, right, lower = (side if side is not None else -1.0 for side in sides)
    center, radius, points = reals(state, _CENTER, 2), number(state, _RADIUS), numbers(state, _POINTS)
    rectangle = (left, upper, right, lower) if "RECTANGULAR" in shapes and None not in sides else None
    circle = (center[1], center[0], radius) if "CIRCULAR" in shapes and center and radius else None
    polygon = points[: len(points) // 2 * 2][:_MOST_POINTS] if "POLYGONAL" in shapes and len(points) >= 6 else ()
    if rectangle is None and circle is None and not polygon:
        return None
    shade = int(number(state, _VALUE) or 0) >> 8
    return Shutter(rectangle, circle, tuple(zip(polygon[1::2], polygon[::2], strict=True)), shade)
