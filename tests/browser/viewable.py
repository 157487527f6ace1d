"""Objects that a viewer shows, each in a study of its own: whole enough for OHIF. For tests."""

import io
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.sr.coding import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import MPEG4HP41, JPEGBaseline8Bit, generate_uid
from reportlab.pdfgen.canvas import Canvas

from picture_objects import PDF, VIDEO, bare, of_class
from web_archive import image

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
CLIP = Path(__file__).with_name("clip.mp4")
"""Ten frames of 96 x 64 pixels, H.264 in MP4: a square that walks to the right."""
_SIDE = 64


def slices(name: str, count: int = 8) -> list[Dataset]:
    """A CT series of a ball in air."""
    made = []
    frame = generate_uid(entropy_srcs=[name, "frame of reference"])
    y, x = np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2
    for number in range(count):
        z = (number - count / 2) * _SIDE / count
        ball = np.where(x * x + y * y + z * z < (_SIDE * 0.4) ** 2, 1064 + 3 * x, 24)
        one = image(number + 1, study=name, Rows=_SIDE, Columns=_SIDE, BitsStored=12, HighBit=11)
        one.PixelData = ball.astype("<u2").tobytes()
        one.RescaleIntercept, one.RescaleSlope, one.WindowCenter, one.WindowWidth = -1024, 1, 0, 1000
        one.PixelSpacing, one.SliceThickness = [2, 2], 4
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-64, -64, 4 * number]
        one.FrameOfReferenceUID, one.ImageType = frame, ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.PatientName, one.PositionReferenceIndicator = "BALL^A", ""
        one.ContentDate, one.ContentTime, one.StudyID = "20240131", "101500", "1"
        one.ReferringPhysicianName, one.Manufacturer, one.SeriesDate, one.SeriesTime = "", "", "20240131", "101500"
        made.append(one)
    return made


def loop(name: str, frames: int = 6) -> list[Dataset]:
    """An ultrasound loop in JPEG Baseline, a bar that walks down."""
    made = of_class(image(1, study=name, syntax=JPEGBaseline8Bit, Modality="US"), ULTRASOUND)
    made.Rows = made.Columns = _SIDE
    made.SamplesPerPixel, made.PlanarConfiguration, made.PhotometricInterpretation = 3, 0, "YBR_FULL_422"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.NumberOfFrames, made.FrameTime = 8, 8, 7, frames, 100
    made.FrameIncrementPointer, made.PatientName = 0x00181063, "LOOP^A"
    streams = []
    for number in range(frames):
        drawn = np.zeros((_SIDE, _SIDE, 3), "u1") + np.array([20, 20, 60], "u1")
        drawn[number * 10 : number * 10 + 8] = (240, 200, 40)
        out = io.BytesIO()
        Image.fromarray(drawn).save(out, "JPEG", quality=90)
        streams.append(out.getvalue())
    made.PixelData = encapsulate(streams)
    made["PixelData"].VR = "OB"
    return [made]


def segmentation(name: str) -> list[Dataset]:
    """A CT series and a segmentation of its ball."""
    source = slices(name)
    mask = np.stack([np.frombuffer(one.PixelData, "<u2").reshape(_SIDE, _SIDE) > 900 for one in source])
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Ball",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    made = hd.seg.Segmentation(
        source_images=source,
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[described],
        series_instance_uid=generate_uid(entropy_srcs=[name, "segmentation series"]),
        series_number=2,
        sop_instance_uid=generate_uid(entropy_srcs=[name, "segmentation"]),
        instance_number=1,
        manufacturer="Tests",
        manufacturer_model_name="Tests",
        software_versions="1",
        device_serial_number="1",
    )
    made.SeriesDescription = "SEGMENTATION"
    return [*source, made]


def report(name: str) -> list[Dataset]:
    """A CT series and a report (TID 1500) with the length of a line in it."""
    source = slices(name)
    place = source[len(source) // 2]
    line = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array([[16.0, 32.0], [48.0, 32.0]]),
        source_image=hd.sr.SourceImageForRegion(place.SOPClassUID, place.SOPInstanceUID),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[name, "tracking"]), identifier="Cornerstone3DTools@^0.1.0:Length"
        ),
        referenced_region=line,
        measurements=[
            hd.sr.Measurement(name=CodedConcept("410668003", "SCT", "Length"), value=64.0, unit=codes.UCUM.Millimeter)
        ],
        finding_type=CodedConcept("CORNERSTONEFREETEXT", "CORNERSTONEJS", "Across"),
    )
    person = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="ROE^R"),
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=person),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    made = hd.sr.Comprehensive3DSR(
        evidence=source,
        content=content[0],
        series_number=3,
        series_instance_uid=generate_uid(entropy_srcs=[name, "report series"]),
        sop_instance_uid=generate_uid(entropy_srcs=[name, "report"]),
        instance_number=1,
        manufacturer="Tests",
    )
    made.SeriesDescription = "MEASUREMENTS"
    return [*source, made]


def document(name: str) -> list[Dataset]:
    """A letter of one page."""
    out = io.BytesIO()
    page = Canvas(out, pagesize=(300, 200), invariant=True)
    page.setFont("Helvetica", 24)
    page.drawString(40, 100, "A letter in PDF")
    page.save()
    content = out.getvalue()
    made = bare(name, PDF, "DOC", EncapsulatedDocument=content, EncapsulatedDocumentLength=len(content))
    made.MIMETypeOfEncapsulatedDocument, made.DocumentTitle, made.PatientName = "application/pdf", "Letter", "LETTER^A"
    return [made]


def film(name: str) -> list[Dataset]:
    """A photographic video."""
    made = of_class(image(1, study=name, syntax=MPEG4HP41, Modality="XC"), VIDEO)
    made.Rows, made.Columns, made.NumberOfFrames, made.FrameTime = 64, 96, 10, 200
    made.SamplesPerPixel, made.PlanarConfiguration, made.PhotometricInterpretation = 3, 0, "YBR_PARTIAL_420"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PatientName = 8, 8, 7, "FILM^A"
    made.FrameIncrementPointer, made.CineRate = 0x00181063, 5
    made.PixelData = encapsulate([CLIP.read_bytes()], has_bot=False)
    made["PixelData"].VR = "OB"
    return [made]
