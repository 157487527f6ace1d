"""Objects of every kind that can be asked for as pictures, small. For tests."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from web_archive import image

CT = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.4"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
WAVEFORM = "1.2.840.10008.5.1.4.1.1.9.1.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CDA = "1.2.840.10008.5.1.4.1.1.104.2"
STL = "1.2.840.10008.5.1.4.1.1.104.3"
VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.4.1"

MP4 = b"\0\0\0\x18ftypisom" + bytes(range(256)) * 16
DOCUMENT = b"%PDF-1.4\n" + bytes(range(256)) * 8 + b"\n%%EOF\n"
CDA_DOCUMENT = b"<ClinicalDocument><script>alert(1)</script></ClinicalDocument>"
_IMAGE = ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
          "PixelRepresentation", "PhotometricInterpretation")  # fmt: skip


def picture(name: str, frames: int = 1, *, rows: int = 12, columns: int = 16, sop_class: str = CT, number: int = 1,
            series: str = "", **values: object) -> Dataset:  # fmt: skip
    """A grey image with a ramp whose frames get brighter, in a study of this name."""
    ramp = np.add.outer(np.arange(rows), np.arange(columns)).astype("<u2") * 20
    made = image(number, study=name, series=series, Rows=rows, Columns=columns, BitsStored=12, HighBit=11, **values)
    # frames would all look alike in windows of their own
    made.WindowCenter, made.WindowWidth = 400, 800
    made.PixelData = b"".join((ramp + 100 * n).astype("<u2").tobytes() for n in range(frames))
    if frames > 1:
        made.NumberOfFrames = frames
    return of_class(made, sop_class)


def of_class(made: Dataset, sop_class: str) -> Dataset:
    """The same object as an instance of another class."""
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    return made


def colour(name: str, frames: int = 1, **values: object) -> Dataset:
    """An RGB image of 8 bits."""
    made = picture(name, frames, sop_class=MULTI_FRAME, BitsAllocated=8, SamplesPerPixel=3, **values)
    made.BitsStored, made.HighBit, made.PlanarConfiguration, made.PhotometricInterpretation = 8, 7, 0, "RGB"
    made.PixelData = bytes(range(192)) * 3 * frames
    made["PixelData"].VR = "OB"
    return made


def bare(name: str, sop_class: str, modality: str, **values: object) -> Dataset:
    """An object without an image."""
    made = of_class(image(1, study=name, Modality=modality, **values), sop_class)
    for each in _IMAGE:
        delattr(made, each)
    return made


def encapsulated(name: str, syntax: str, sop_class: str, *fragments: bytes, **values: object) -> Dataset:
    """An image with these fragments as they are."""
    made = of_class(image(1, study=name, syntax=syntax, Rows=12, Columns=16, **values), sop_class)
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = encapsulate(list(fragments), has_bot=False)
    made["PixelData"].VR = "OB"
    return made


def palette(name: str) -> Dataset:
    """An image of colours by number."""
    made = picture(name, BitsAllocated=8, PhotometricInterpretation="PALETTE COLOR")
    made.BitsStored, made.HighBit, made.PixelData = 8, 7, bytes(range(192))
    made["PixelData"].VR = "OB"
    for place, each in enumerate(("Red", "Green", "Blue")):
        setattr(made, f"{each}PaletteColorLookupTableDescriptor", [256, 0, 8])
        table = bytes((place * 80 + n) % 256 for n in range(256))
        setattr(made, f"{each}PaletteColorLookupTableData", table)
    return made


def bits(name: str, frames: int) -> Dataset:
    """A segmentation of single bits."""
    made = picture(name, sop_class=SEGMENTATION, BitsAllocated=1, Modality="SEG", NumberOfFrames=frames)
    made.BitsStored, made.HighBit, made.PixelData = 1, 0, bytes(n % 251 for n in range(24 * frames))
    made["PixelData"].VR = "OB"
    return made


def floats(name: str) -> Dataset:
    """A parametric map of single precision."""
    made = picture(name, sop_class=PARAMETRIC_MAP, BitsAllocated=32)
    for each in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(made, each)
    made.FloatPixelData = np.linspace(-1, 1, 192, dtype="<f4").tobytes()
    return made


def kinds() -> dict[str, Dataset]:
    """One object of each kind, by a name for it."""
    return {
        "grey": picture("grey", PatientName="DOE^JANE"),
        "frames": picture("frames", 3, sop_class=MULTI_FRAME, FrameTime="100"),
        "colour": colour("colour"),
        "palette": palette("palette"),
        "bits": bits("bits", 2),
        "floats": floats("floats"),
        "big": picture("big", syntax=ExplicitVRBigEndian),
        "deflated": picture("deflated", syntax=DeflatedExplicitVRLittleEndian),
        "implicit": picture("implicit", syntax=ImplicitVRLittleEndian),
        "damaged": encapsulated("damaged", JPEGBaseline8Bit, CT, b"\xff\xd8 no image \xff\xd9"),
        "short": picture("short", NumberOfFrames=50),
        "empty": picture("empty", rows=0, columns=0),
        "pdf": bare("pdf", PDF, "DOC", EncapsulatedDocument=DOCUMENT, MIMETypeOfEncapsulatedDocument="application/pdf",
                    EncapsulatedDocumentLength=len(DOCUMENT)),
        "cda": bare("cda", CDA, "DOC", EncapsulatedDocument=CDA_DOCUMENT, MIMETypeOfEncapsulatedDocument="text/XML"),
        "stl": bare("stl", STL, "M3D", EncapsulatedDocument=b"solid", MIMETypeOfEncapsulatedDocument="model/stl"),
        "mp4": encapsulated("mp4", MPEG4HP41, VIDEO, MP4[:1000], MP4[1000:], NumberOfFrames=20),
        "mpeg": encapsulated("mpeg", MPEG2MPML, VIDEO, b"\0\0\x01\xba" + bytes(100), NumberOfFrames=20),
        "report": bare("report", REPORT, "SR"),
        "waveform": bare("waveform", WAVEFORM, "ECG"),
        "unknown": bare("unknown", "1.2.276.0.7230010.3.9", "OT"),
    }  # fmt: skip
