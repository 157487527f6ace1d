"""Images of a phantom that no patient stood for: a disc in noise, numbered, as minimal objects of their classes.

All attributes of type 1 and 2 are there (PS3.3 A and C). The same seed gives the same pixels.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isocenter.acquire.mapping import Model, attribute, tag
from isocenter.declarations.iods import requirements_of
from isocenter.dicom.dataset import Element, encode
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import EXPLICIT_LE, new_uid

UTF_8: Final = "ISO_IR 192"
_PIXEL_DATA: Final = 0x7FE00010
_SIDE: Final = 256
"""Rows and columns."""


class Kind(NamedTuple):
    """What a modality makes of a kind."""

    sop_class: str
    attributes: Mapping[str, tuple[Any, ...]]
    """By keyword."""
    stored: int = 12
    """Bits of a sample."""
    level: tuple[int, int] = (400, 1400)
    """Around which stored values noise and disc lie."""
    volume: bool = False
    """The images are slices, each in its place."""


_CLASS: Final = "1.2.840.10008.5.1.4.1.1."
_XRAY: Final = {"PixelIntensityRelationship": ("LIN",), "KVP": (80,), "RadiationSetting": ("GR",)}
KINDS: Final[Mapping[str, Kind]] = {
    "CT": Kind(
        f"{_CLASS}2",
        {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"), "RescaleIntercept": (-1024,), "RescaleSlope": (1,),
         "RescaleType": ("HU",), "KVP": (120,)},
        level=(24, 1064),
        volume=True,
    ),
    "MR": Kind(
        f"{_CLASS}4",
        {"ImageType": ("ORIGINAL", "PRIMARY", "OTHER"), "ScanningSequence": ("SE",), "SequenceVariant": ("NONE",),
         "ScanOptions": (), "MRAcquisitionType": ("2D",), "EchoTime": (20,), "RepetitionTime": (500,)},
        volume=True,
    ),
    "CR": Kind(
        f"{_CLASS}1",
        {"ImageType": ("ORIGINAL", "PRIMARY"), "BodyPartExamined": ("CHEST",), "ViewPosition": ("PA",)},
    ),
    "DX": Kind(
        f"{_CLASS}1.1",
        {"ImageType": ("ORIGINAL", "PRIMARY"), "PresentationIntentType": ("FOR PRESENTATION",),
         "ImageLaterality": ("U",), "PixelIntensityRelationship": ("LOG",), "PixelIntensityRelationshipSign": (-1,),
         "RescaleIntercept": (0,), "RescaleSlope": (1,), "RescaleType": ("US",), "PresentationLUTShape": ("IDENTITY",),
         "LossyImageCompression": ("00",), "BurnedInAnnotation": ("NO",), "DetectorType": ("DIRECT",),
         "WindowCenter": (2048,), "WindowWidth": (4096,), "ImagerPixelSpacing": (1, 1)},
    ),
    "US": Kind(f"{_CLASS}6.1", {"ImageType": ("ORIGINAL", "PRIMARY")}, stored=8, level=(20, 120)),
    "XA": Kind(f"{_CLASS}12.1", {"ImageType": ("ORIGINAL", "PRIMARY", "SINGLE PLANE"), **_XRAY}),
    "RF": Kind(f"{_CLASS}12.2", {"ImageType": ("ORIGINAL", "PRIMARY"), **_XRAY}),
    "OT": Kind(f"{_CLASS}7", {"ConversionType": ("SYN",)}, stored=8, level=(20, 120)),
}  # fmt: skip
"""By Modality (0008,0060)."""


class Image(NamedTuple):
    """One object, its data set encoded in Explicit VR Little Endian."""

    sop_class: str
    sop_uid: str
    data: bytes


def images(modality: str, attributes: Model, count: int, *, seed: int = 0) -> Iterator[Image]:
    """So many images of one series. `attributes` are those of patient, study, series and request; they stand before the
    phantom's. A modality that is not among KINDS makes secondary captures."""
    kind = KINDS.get(modality, KINDS["OT"])
    frame = new_uid()
    for number in range(1, count + 1):
        sop_uid = new_uid()
        model = {**_image(kind, number, frame), **attributes}
        model |= attribute("SOPClassUID", kind.sop_class) | attribute("SOPInstanceUID", sop_uid)
        yield Image(kind.sop_class, sop_uid, _encoded(model, kind, _pixels(kind, number, seed)))


def _image(kind: Kind, number: int, frame: str) -> Model:
    """What tells one image of the series from another, and what describes its pixels."""
    found: Model = {}
    plain: dict[str, tuple[Any, ...]] = {
        "Manufacturer": ("Isocenter",),
        "ManufacturerModelName": ("Phantom",),
        "InstanceNumber": (number,),
        "SamplesPerPixel": (1,),
        "PhotometricInterpretation": ("MONOCHROME2",),
        "Rows": (_SIDE,),
        "Columns": (_SIDE,),
        "BitsAllocated": (16 if kind.stored > 8 else 8,),
        "BitsStored": (kind.stored,),
        "HighBit": (kind.stored - 1,),
        "PixelRepresentation": (0,),
        **kind.attributes,
    }
    if kind.volume:
        plain |= {
            "FrameOfReferenceUID": (frame,),
            "PixelSpacing": (1, 1),
            "SliceThickness": (2,),
            "ImageOrientationPatient": (1, 0, 0, 0, 1, 0),
            "ImagePositionPatient": (-_SIDE / 2, -_SIDE / 2, 2.0 * number),
        }
    for keyword, values in plain.items():
        found |= attribute(keyword, *values)
    return found


def _encoded(model: Model, kind: Kind, pixels: bytes) -> bytes:
    for found, required in requirements_of(kind.sop_class)[()].items():
        if required.type == 2:
            model.setdefault(f"{found:08X}", {"vr": vr_of(found)})
    model[tag("SpecificCharacterSet")] = {"vr": "CS", "Value": [UTF_8]}
    data = {int(key, 16): element_of(value, UTF_8) for key, value in model.items()}
    data[_PIXEL_DATA] = Element("OW" if kind.stored > 8 else "OB", pixels)
    return encode(dict(sorted(data.items())), EXPLICIT_LE)


def _pixels(kind: Kind, number: int, seed: int) -> bytes:
    random = np.random.default_rng((seed, number))
    low, high = kind.level
    spread = max((high - low) // 40, 2)
    made: NDArray[np.float64] = random.normal(low, spread, (_SIDE, _SIDE))
    rows, columns = np.ogrid[:_SIDE, :_SIDE]
    middle = _SIDE / 2
    made[(rows - middle) ** 2 + (columns - middle) ** 2 < (_SIDE / 2.6) ** 2] += high - low
    for mark in range(number % 20):  # a stroke for each image before it
        made[8:24, 8 + 6 * mark : 11 + 6 * mark] = high
    clipped = np.clip(made, 0, (1 << kind.stored) - 1)
    return clipped.astype("<u2" if kind.stored > 8 else np.uint8).tobytes()
