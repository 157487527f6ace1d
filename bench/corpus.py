"""Synthetic studies to measure with: the same arguments give the same bytes. Needs pydicom and numpy.

    python bench/corpus.py            makes the three corpora of the figures (about 1.2 GB)

A header holds some 120 elements of the kinds that scanners write, sequences among them; pixels are a noisy phantom, so
that codecs have work to do.
"""

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import ROOT
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

NAMES = [
    "ADAMS",
    "BAUER",
    "CRUZ",
    "DUPONT",
    "EKLUND",
    "FISCHER",
    "GRECO",
    "HORVAT",
    "IBSEN",
    "JANSEN",
    "KOVAC",
    "LOPEZ",
    "MORETTI",
    "NAKAMURA",
    "OKAFOR",
    "PEREZ",
    "QURESHI",
    "RUSSO",
]
GIVEN = ["ALBA", "BRUNO", "CHIARA", "DIEGO", "ELSE", "FELIX", "GRETA", "HUGO", "INES", "JONAS", "KARIN", "LEO"]


@dataclass(frozen=True)
class Shape:
    """A corpus: how many of what, and how large a slice."""

    name: str
    modality: str
    patients: int
    studies: int
    series: int
    instances: int
    edge: int


CT = Shape("ct", "CT", 2, 1, 1, 1000, 512)
SMALL = Shape("small", "MR", 5, 2, 5, 100, 64)
FIND = Shape("find", "CT", 5000, 2, 1, 1, 16)


def uid(*parts: object) -> str:
    """A UID that depends only on `parts`."""
    return f"2.25.{int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:12], 'big')}"


def corpus(shape: Shape) -> Path:
    """The folder of `shape`, made if it isn't there yet."""
    folder = ROOT / "corpus" / shape.name
    if (folder / "complete").exists():
        return folder / "files"
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for p in range(shape.patients):
        for s in range(shape.studies):
            for e in range(shape.series):
                _series(shape, folder / "files" / f"{p:05d}-{s}-{e}", p, s, e)
    (folder / "complete").touch()
    return folder / "files"


def _series(shape: Shape, folder: Path, p: int, s: int, e: int) -> None:
    folder.mkdir(exist_ok=True)
    data = _header(shape, p, s, e)
    noise = np.random.default_rng([p, s, e])
    slab = noise.integers(0, 60, (shape.edge * 2, shape.edge * 2), dtype=np.uint16)
    y, x = np.mgrid[-1 : 1 : shape.edge * 1j, -1 : 1 : shape.edge * 1j]
    body = ((x / 0.8) ** 2 + (y / 0.7) ** 2 < 1) * np.uint16(1000)
    for i in range(shape.instances):
        oy, ox = noise.integers(0, shape.edge, 2)
        data.SOPInstanceUID = uid(shape.name, p, s, e, i)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.InstanceNumber = i + 1
        data.SliceLocation = f"{i * 1.25:.2f}"
        data.ImagePositionPatient = ["-180", "-180", f"{i * 1.25:.2f}"]
        pixels = np.roll(body, i % 17, 0) + slab[oy : oy + shape.edge, ox : ox + shape.edge]
        data.PixelData = pixels.astype("<u2").tobytes()
        data.save_as(folder / f"{i:05d}.dcm", enforce_file_format=True)


def _header(shape: Shape, p: int, s: int, e: int) -> Dataset:
    luck = random.Random(f"{shape.name}/{p}/{s}")
    day = f"20{luck.randrange(18, 26):02d}{luck.randrange(1, 13):02d}{luck.randrange(1, 29):02d}"
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = CTImageStorage if shape.modality == "CT" else MRImageStorage
    d.SpecificCharacterSet = "ISO_IR 100"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = d.InstanceCreationDate = day
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = f"{luck.randrange(7, 19):02d}3015"
    d.AccessionNumber = f"A{p:05d}{s:02d}"
    d.Modality = shape.modality
    d.Manufacturer, d.ManufacturerModelName, d.StationName = "ACME", "Scanner 9000", "ROOM3"
    d.InstitutionName, d.InstitutionAddress = "General Hospital", "1 Main Street"
    d.ReferringPhysicianName, d.PerformingPhysicianName = "HOUSE^GREGORY", "WELBY^MARCUS"
    d.StudyDescription, d.SeriesDescription = f"{shape.modality} THORAX", f"AXIAL {e}"
    d.ProtocolName, d.BodyPartExamined, d.PatientPosition = "ROUTINE", "CHEST", "HFS"
    person = random.Random(f"{shape.name}/{p}")
    d.PatientName = f"{person.choice(NAMES)}^{person.choice(GIVEN)}{p:05d}"
    d.PatientID, d.IssuerOfPatientID = f"P{p:06d}", "BENCH"
    d.PatientBirthDate = f"19{person.randrange(30, 99):02d}{person.randrange(1, 13):02d}15"
    d.PatientSex, d.PatientAge, d.PatientSize, d.PatientWeight = person.choice("MF"), "055Y", "1.75", "72"
    d.StudyInstanceUID, d.SeriesInstanceUID = uid(shape.name, p, s), uid(shape.name, p, s, e)
    d.FrameOfReferenceUID = uid(shape.name, p, s, "frame")
    d.StudyID, d.SeriesNumber, d.AcquisitionNumber = f"S{s}", e + 1, 1
    d.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    for keyword, value in _technique():
        setattr(d, keyword, value)
    d.ProcedureCodeSequence = [_code("24627-2", "LN", "CT chest")]
    step = Dataset()
    step.ScheduledProcedureStepID, step.RequestedProcedureID = f"SP{p}{s}", f"RP{p}{s}"
    step.ScheduledProtocolCodeSequence = [_code("PR1", "99ACME", "Routine")]
    d.RequestAttributesSequence = [step]
    private = d.private_block(0x0019, "ACME SCAN 1.0", create=True)
    for i in range(32):
        private.add_new(i, "DS", [f"{i}.5", f"{i * i}"])
    d.SamplesPerPixel, d.PhotometricInterpretation, d.PixelRepresentation = 1, "MONOCHROME2", 0
    d.Rows = d.Columns = shape.edge
    d.BitsAllocated, d.BitsStored, d.HighBit = 16, 12, 11
    d.PixelSpacing = ["0.7", "0.7"]
    d.WindowCenter, d.WindowWidth, d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "40", "400", "-1024", "1", "HU"
    return d


def _technique() -> list[tuple[str, object]]:
    decimals = [
        "SliceThickness",
        "KVP",
        "SpacingBetweenSlices",
        "DataCollectionDiameter",
        "ReconstructionDiameter",
        "GantryDetectorTilt",
        "TableHeight",
        "DistanceSourceToDetector",
        "DistanceSourceToPatient",
        "FocalSpots",
        "EchoTime",
        "RepetitionTime",
    ]
    whole = ["ExposureTime", "XRayTubeCurrent", "Exposure", "GeneratorPower"]
    return (
        [(k, "1.25") for k in decimals]
        + [(k, "120") for k in whole]
        + [
            ("SoftwareVersions", "9.1"),
            ("DeviceSerialNumber", "SN0001"),
            ("ConvolutionKernel", "B40"),
            ("FilterType", "BODY"),
            ("RotationDirection", "CW"),
            ("ContrastBolusAgent", "NONE"),
            ("ScanOptions", "HELIX"),
        ]
    )


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    d = Dataset()
    d.CodeValue, d.CodingSchemeDesignator, d.CodeMeaning = value, scheme, meaning
    return d


if __name__ == "__main__":
    for wanted in (CT, SMALL, FIND):
        print(corpus(wanted))
