"""Documents as DICOM objects: Basic Text SR (PS3.3 A.35.1) and Encapsulated PDF (A.45.1).

The same document for the same place is the same object, bit by bit: all UIDs are derived, all times are the document's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from isocenter.dicom.assembling import Assembly, Value
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.person_name import GROUPS
from isocenter.dicom.uids import derived_uid
from isocenter.workflow.documents.codes import Code
from isocenter.workflow.documents.observations import Line
from isocenter.workflow.documents.results import Document, Kind
from isocenter.workflow.worklist.attributes import Model

BASIC_TEXT_SR: Final = "1.2.840.10008.5.1.4.1.1.88.11"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
SOP_CLASS: Final = {Kind.TEXT: BASIC_TEXT_SR, Kind.PDF: ENCAPSULATED_PDF}
_SERIES_NUMBER: Final = {Kind.TEXT: 9501, Kind.PDF: 9502}
_DATA: Final = "pdf"

_COPIED: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
    *("OtherPatientNames", "EthnicGroup", "PatientComments", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "AdmittingDiagnosesDescription", "StudyDescription"),
)
"""Of the study, where it has them."""
_ALWAYS: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "OtherPatientNames"),
)
"""There, if need be without a value: of type 2, and Other Patient Names (P-PDF-T91-07)."""


class Former(NamedTuple):
    """An earlier version of a document, or the one that it adds to."""

    study_uid: str
    series_uid: str
    sop_class: str
    sop_uid: str


class Filed(NamedTuple):
    """Where a document goes, and as what."""

    study: Mapping[str, Any]
    """Attributes of the patient and the study."""
    series_uid: str
    sop_uid: str
    instance: int
    feed: str
    organization: str
    former: Former | None = None
    modality: str = "DOC"
    """Of PDFs."""


def series_uid_of(feed: str, document: Document, study_uid: str) -> str:
    """All versions of a document are one series of a study."""
    return derived_uid("document series", feed, document.number, document.kind, study_uid)


def sop_uid_of(feed: str, document: Document, study_uid: str) -> str:
    """A version's own."""
    return derived_uid("document", feed, document.number, document.kind, document.version, study_uid)


def object_of(document: Document, filed: Filed) -> Iterator[bytes]:
    """The data set, in Explicit VR Little Endian."""
    model = {**_study(filed, document), **_series(document, filed)}
    if document.kind is Kind.TEXT:
        return Assembly({**model, **_report(document, filed)}, lambda _: ()).pieces()
    data = document.pdf
    return Assembly({**model, **_pdf(document, filed)}, lambda _: [Value(len(data), lambda: iter((data,)))]).pieces()


# --- what both have


def _study(filed: Filed, document: Document) -> Model:
    found: Model = {}
    for keyword in _COPIED:
        tag = _tag(keyword)
        if attribute := filed.study.get(tag):
            found[tag] = attribute
        elif keyword in _ALWAYS:
            found[tag] = {"vr": vr_of(int(tag, 16))}
    if not found[_tag("StudyDate")].get("Value"):
        found |= _named(StudyDate=document.written.date, StudyTime=document.written.time)
    return found


def _series(document: Document, filed: Filed) -> Model:
    written = document.written
    return {
        **_named(
            SOPClassUID=SOP_CLASS[document.kind],
            SOPInstanceUID=filed.sop_uid,
            SeriesInstanceUID=filed.series_uid,
            SeriesNumber=str(_SERIES_NUMBER[document.kind]),
            InstanceNumber=str(filed.instance),
            Modality="SR" if document.kind is Kind.TEXT else filed.modality,
            Manufacturer="Isocenter",
            SeriesDescription=(document.title.meaning or document.title.value)[:64],
            ContentDate=written.date,
            ContentTime=written.time,
        ),
        **_predecessors(filed.former),
    }


def _predecessors(former: Former | None) -> Model:
    """Predecessor Documents Sequence (0040,A360)."""
    if former is None:
        return {}
    instance = _named(ReferencedSOPClassUID=former.sop_class, ReferencedSOPInstanceUID=former.sop_uid)
    series = {**_named(SeriesInstanceUID=former.series_uid), **_items("ReferencedSOPSequence", instance)}
    study = {**_named(StudyInstanceUID=former.study_uid), **_items("ReferencedSeriesSequence", series)}
    return _items("PredecessorDocumentsSequence", study)


# --- Basic Text SR


def _report(document: Document, filed: Filed) -> Model:
    numbers = document.numbers
    request = {
        **_named(
            StudyInstanceUID=_uid(filed.study),
            AccessionNumber=numbers.accession,
            PlacerOrderNumberImagingServiceRequest=numbers.placer,
            FillerOrderNumberImagingServiceRequest=numbers.filler,
            RequestedProcedureID=numbers.procedure,
            RequestedProcedureDescription=document.title.meaning[:64],
        ),
        **_items("ReferencedStudySequence"),
        **_items("RequestedProcedureCodeSequence", *([document.title.item()] if document.title.value else ())),
    }
    return {
        **_items("ReferencedPerformedProcedureStepSequence"),
        **_items("PerformedProcedureCodeSequence"),
        **_items("ReferencedRequestSequence", request),
        **_named(
            CompletionFlag="COMPLETE" if document.final else "PARTIAL",
            PreliminaryFlag="FINAL" if document.final else "PRELIMINARY",
            VerificationFlag="VERIFIED" if document.verifier else "UNVERIFIED",
            ValueType="CONTAINER",
            ContinuityOfContent="SEPARATE",
        ),
        **_items("ConceptNameCodeSequence", document.title.item()),
        **_verified(document, filed),
        **_items("ContentSequence", *map(_item, document.lines)),
    }


def _verified(document: Document, filed: Filed) -> Model:
    if not document.verifier:
        return {}
    at = document.verified
    observer = {
        **_named(
            VerifyingObserverName=document.verifier,
            VerifyingOrganization=(filed.organization or filed.feed or "UNKNOWN")[:64].replace("\\", "/"),
            VerificationDateTime=f"{at.date}{at.time}" or "19000101",
        ),
        **_items("VerifyingObserverIdentificationCodeSequence"),
    }
    return _items("VerifyingObserverSequence", observer)


def _item(line: Line) -> Model:
    """One content item: a TEXT, or a CODE."""
    common = {**_named(RelationshipType="CONTAINS"), **_items("ConceptNameCodeSequence", line.heading.item())}
    if line.value is not None:
        return {**common, **_named(ValueType="CODE"), **_items("ConceptCodeSequence", line.value.item())}
    return {**common, **_named(ValueType="TEXT", TextValue=line.text.replace("\r", "").replace("\n", "\r\n"))}


# --- Encapsulated PDF


def _pdf(document: Document, filed: Filed) -> Model:
    title = document.title
    at = document.written
    named = _named(
        ConversionType="WSD",
        BurnedInAnnotation="YES",
        AcquisitionDateTime=f"{at.date}{at.time}",
        VerificationFlag="VERIFIED" if document.verifier else "UNVERIFIED",
        DocumentTitle=(title.meaning or title.value)[:1024],
        MIMETypeOfEncapsulatedDocument="application/pdf",
    )
    length = {"vr": "UL", "Value": [len(document.pdf)]}
    return {
        **named,
        **_items("ConceptNameCodeSequence", *([title.item()] if Code(*title).value else ())),
        _tag("EncapsulatedDocument"): {"vr": "OB", "BulkDataURI": _DATA},
        _tag("EncapsulatedDocumentLength"): length,
    }


# --- attributes


def _tag(keyword: str) -> str:
    tag = tag_of(keyword)
    assert tag is not None, keyword
    return f"{tag:08X}"


def _named(**values: str) -> Model:
    """Attributes by keyword; '' for one without a value."""
    found: Model = {}
    for keyword, value in values.items():
        tag = _tag(keyword)
        vr = vr_of(int(tag, 16))
        found[tag] = {"vr": vr, "Value": [_value(vr, value)]} if value else {"vr": vr}
    return found


def _value(vr: str, value: str) -> Any:
    if vr == "PN":
        return {group: part for group, part in zip(GROUPS, value.split("="), strict=False) if part}
    return value if vr in ("UT", "LT", "ST", "UI") else value.replace("\\", "/")


def _items(keyword: str, *items: Mapping[str, Any]) -> Model:
    return {_tag(keyword): {"vr": "SQ", "Value": list(items)}}


def _uid(study: Mapping[str, Any]) -> str:
    return str(study[_tag("StudyInstanceUID")]["Value"][0])
