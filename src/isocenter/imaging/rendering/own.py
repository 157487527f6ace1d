"""How an object's own attributes say that its frames are shown."""

from isocenter.dicom.dataset import DataSet, bytes_of, items_of
from isocenter.imaging.picture import NO_PROFILE, Picture
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.rendering import tags
from isocenter.imaging.rendering.graphics import aspect_of, overlays_of
from isocenter.imaging.rendering.grey import inverse_of, lookup_of, modality_of, output_of, padding_of, voi_of
from isocenter.imaging.rendering.header import Header
from isocenter.imaging.rendering.presentation import Palette, Presentation
from isocenter.imaging.rendering.values import first, item_of, number

_GREY = ("MONOCHROME1", "MONOCHROME2")


def presentation_of(header: Header, pixels: Pixels, frame: int, picture: Picture) -> Presentation:
    """The presentation of a frame, counted from 1, as far as `picture` needs it."""
    found, groups = header.attributes, header.of_frame(frame)
    common = Presentation(
        overlays=overlays_of(found, frame) if picture.overlays else (), aspect=aspect_of(found, groups)
    )
    palette = palette_of(found, pixels)
    if pixels.photometric not in _GREY or pixels.samples > 1:
        icc = _profile(found, groups) if picture.profile != NO_PROFILE else b""
        return common._replace(palette=palette, icc=icc)
    modality = modality_of(found, groups, pixels)
    window, table = voi_of(found, groups, modality, pixels)
    return common._replace(
        modality=modality,
        window=picture.window or window,
        table=None if picture.window else table,
        full=_full(found, pixels),
        inverse=inverse_of(found, pixels.photometric),
        output=output_of(found),
        padding=padding_of(found, pixels),
        palette=palette,
    )


def _full(data_set: DataSet, pixels: Pixels) -> float:
    """What is white where nothing says how values are shown: all of 8 bits are meant to be seen as they are, and so
    are the fractions of a segmentation; what is deeper goes by the values that there are."""
    most = number(data_set, tags.MAXIMUM_FRACTION) if first(data_set, tags.SEGMENTATION_TYPE) == "FRACTIONAL" else None
    if most is not None and most > 0:
        return most
    plain = pixels.kind == "integer" and pixels.stored <= 8 and not pixels.signed
    return float((1 << pixels.stored) - 1) if plain else 0.0


def palette_of(data_set: DataSet, pixels: Pixels) -> Palette | None:
    """The palette of PALETTE COLOR, or the supplemental one of a monochrome image (PS3.3 C.7.6.19)."""
    supplemental = pixels.photometric in _GREY
    if supplemental and first(data_set, tags.PIXEL_PRESENTATION) not in ("COLOR", "MIXED"):
        return None
    segmented = tags.PALETTE_SEGMENTS[0] in data_set and tags.PALETTE_DATA[0] not in data_set
    data = tags.PALETTE_SEGMENTS if segmented else tags.PALETTE_DATA
    tables = [
        lookup_of(data_set, descriptor, values, signed=pixels.signed, segmented=segmented)
        for descriptor, values in zip(tags.PALETTE_DESCRIPTORS, data, strict=True)
    ]
    red, green, blue = tables
    if red is None or green is None or blue is None:
        return None
    return Palette(red, green, blue, supplemental, segmented)


def _profile(data_set: DataSet, groups: DataSet) -> bytes:
    """The ICC profile: the image's own, or that of the frame's optical path, or of the first (PS3.3 C.11.15)."""
    own = bytes_of(data_set, tags.ICC_PROFILE)
    if own:
        return own
    paths = items_of(data_set, tags.OPTICAL_PATHS)
    wanted = bytes_of(item_of(groups, tags.OPTICAL_PATH), tags.OPTICAL_PATH_ID)
    chosen = [path for path in paths if wanted and bytes_of(path, tags.OPTICAL_PATH_ID) == wanted] or list(paths)
    return bytes_of(chosen[0], tags.ICC_PROFILE) if chosen else b""
