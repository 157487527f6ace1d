"""Modality Performed Procedure Step (PS3.4 F.7 to F.9) as data: attributes, statuses, events, coercion.

The services, the forwarding and the conformance statement read it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from isocenter.declarations.presets import Preset
from isocenter.dicom.dictionary import tag_of

MPPS: Final = "1.2.840.10008.3.1.2.3.3"
RETRIEVE: Final = "1.2.840.10008.3.1.2.3.4"
NOTIFICATION: Final = "1.2.840.10008.3.1.2.3.5"
"""The three SOP classes of one instance (F.7.3, F.8.3, F.9.3)."""

Type = Literal["1", "1C", "2", "3", "-"]
"""Requirement types of PS3.5 7.4; `-`: not allowed."""
Path = tuple[int, ...]
"""Tags from the top level down."""

IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
DISCONTINUED: Final = "DISCONTINUED"
STATES: Final = (IN_PROGRESS, COMPLETED, DISCONTINUED)
"""Values of Performed Procedure Step Status (0040,0252)."""
FINAL: Final = frozenset((COMPLETED, DISCONTINUED))


class Required(NamedTuple):
    """A row of Table F.7.2-1: what an attribute must be at N-CREATE, at N-SET, and when the step ends."""

    path: Path
    create: Type
    set: Type
    final: Type = "3"


_CREATED_ONLY: Final = """
ScheduledStepAttributesSequence 1
>StudyInstanceUID 1
>ReferencedStudySequence 2
>>ReferencedSOPClassUID 1
>>ReferencedSOPInstanceUID 1
>AccessionNumber 2
>IssuerOfAccessionNumberSequence 3
>PlacerOrderNumberImagingServiceRequest 3
>OrderPlacerIdentifierSequence 3
>FillerOrderNumberImagingServiceRequest 3
>OrderFillerIdentifierSequence 3
>RequestedProcedureID 2
>RequestedProcedureCodeSequence 3
>>CodeValue 1C
>>CodingSchemeDesignator 1C
>>CodeMeaning 1
>RequestedProcedureDescription 2
>ScheduledProcedureStepID 2
>ScheduledProcedureStepDescription 2
>ScheduledProtocolCodeSequence 2
>>CodeValue 1C
>>CodingSchemeDesignator 1C
>>CodeMeaning 1
PatientName 2
PatientID 2
IssuerOfPatientID 3
IssuerOfPatientIDQualifiersSequence 3
OtherPatientIDsSequence 3
PatientBirthDate 2
PatientSex 2
ReferencedPatientSequence 2
>ReferencedSOPClassUID 1
>ReferencedSOPInstanceUID 1
AdmissionID 3
IssuerOfAdmissionIDSequence 3
ServiceEpisodeID 3
IssuerOfServiceEpisodeIDSequence 3
ServiceEpisodeDescription 3
PerformedProcedureStepID 1
PerformedStationAETitle 1
PerformedStationName 2
PerformedLocation 2
PerformedProcedureStepStartDate 1
PerformedProcedureStepStartTime 1
Modality 1
StudyID 2
"""
"""Attributes that only N-CREATE brings."""
_SETTABLE: Final = """
SpecificCharacterSet 1C 1C
PerformedProcedureStepStatus 1 3
PerformedProcedureStepDescription 2 3
PerformedProcedureTypeDescription 2 3
ProcedureCodeSequence 2 3
>CodeValue 1C 1C
>CodingSchemeDesignator 1C 1C
ReasonForPerformedProcedureCodeSequence 3 3
PerformedProcedureStepEndDate 2 3 1
PerformedProcedureStepEndTime 2 3 1
CommentsOnThePerformedProcedureStep 3 3
PerformedProcedureStepDiscontinuationReasonCodeSequence 3 3
>CodeValue 1C 1C
>CodingSchemeDesignator 1C 1C
>CodeMeaning 1 1
PerformedProtocolCodeSequence 2 3
>CodeValue 1C 1C
>CodingSchemeDesignator 1C 1C
PerformedSeriesSequence 2 3 1
>PerformingPhysicianName 2 2 2
>ProtocolName 1 1 1
>OperatorsName 2 2 2
>SeriesInstanceUID 1 1 1
>SeriesDescription 2 2 2
>RetrieveAETitle 2 2 2
>ArchiveRequested 3 3
>ReferencedImageSequence 2 2 2
>>ReferencedSOPClassUID 1 1 1
>>ReferencedSOPInstanceUID 1 1 1
>ReferencedNonImageCompositeSOPInstanceSequence 2 2 2
>>ReferencedSOPClassUID 1 1 1
>>ReferencedSOPInstanceUID 1 1 1
"""
"""Attributes that N-SET may bring too: type at N-CREATE, at N-SET, in the final state."""


def _rows(table: str, more: str = "") -> tuple[Required, ...]:
    found: list[Required] = []
    path: Path = ()
    for line in table.split("\n"):
        if not line:
            continue
        keyword, *types = f"{line}{more}".split()
        depth = keyword.count(">")
        tag = tag_of(keyword.lstrip(">"))
        assert tag is not None, keyword
        path = (*path[:depth], tag)
        found.append(Required(path, *types))  # type: ignore[arg-type]
    return tuple(found)


ATTRIBUTES: Final = (*_rows(_CREATED_ONLY, " -"), *_rows(_SETTABLE))
"""Table F.7.2-1. Every other attribute of the IOD (radiation dose, billing, materials) is of type 3 in both."""
NOT_SETTABLE: Final = frozenset(each.path[0] for each in ATTRIBUTES if each.set == "-" and len(each.path) == 1)
"""Attributes that N-SET must not bring."""


# --- statuses


class Cause(StrEnum):
    """Why a request is refused, or answered with a warning."""

    INVALID_VALUE = "invalid-value"
    MISSING = "missing"
    MISSING_VALUE = "missing-value"
    DUPLICATE = "duplicate"
    NO_SUCH_INSTANCE = "no-such-instance"
    FINAL_STATE = "final-state"
    PROCESSING = "processing"
    INVALID_INSTANCE = "invalid-instance"
    CLASS_CONFLICT = "class-conflict"
    TOO_LARGE = "too-large"
    NOT_SETTABLE = "not-settable"
    OUT_OF_RANGE = "out-of-range"
    UNSUPPORTED = "unsupported"


SUCCESS: Final = 0x0000
MAY_NO_LONGER_BE_UPDATED: Final = 0xA710
"""Error ID (0000,0903) beside 0110 (Table F.7.2-2)."""
NO_LONGER: Final = "Performed Procedure Step Object may no longer be updated"
"""Error Comment (0000,0902) that goes with it."""

_STANDARD: Final[Mapping[Cause, int]] = MappingProxyType(
    {
        Cause.INVALID_VALUE: 0x0106,
        Cause.MISSING: 0x0120,
        Cause.MISSING_VALUE: 0x0121,
        Cause.DUPLICATE: 0x0111,
        Cause.NO_SUCH_INSTANCE: 0x0112,
        Cause.FINAL_STATE: 0x0110,
        Cause.PROCESSING: 0x0110,
        Cause.INVALID_INSTANCE: 0x0117,
        Cause.CLASS_CONFLICT: 0x0119,
        Cause.TOO_LARGE: 0x0213,
        Cause.NOT_SETTABLE: 0x0107,
        Cause.OUT_OF_RANGE: 0x0116,
        Cause.UNSUPPORTED: 0x0001,
    }
)
_BY_PRESET: Final[Mapping[str, Mapping[Cause, int]]] = MappingProxyType(
    {
        # one code for whatever goes wrong inside (table 39); the standard's own for the rest (M-GAP-20)
        "pacs": {**_STANDARD, Cause.PROCESSING: 0xA700, Cause.TOO_LARGE: 0xA700},
        # P-MPPS-04 knows missing values and invalid ones
        "bridge": {**_STANDARD, Cause.MISSING: 0x0121},
        # X-RIS-38
        "ris": {**_STANDARD, Cause.MISSING_VALUE: 0x0120},
    }
)
WORDS: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.INVALID_VALUE: "the data set can't be read, or the status of the step is none that it may have",
        Cause.MISSING: "a required attribute is absent",
        Cause.MISSING_VALUE: "a required attribute has no value",
        Cause.DUPLICATE: "a step with this SOP Instance UID exists",
        Cause.NO_SUCH_INSTANCE: "no step has this SOP Instance UID",
        Cause.FINAL_STATE: "the step is completed or discontinued; Error ID (0000,0903) is A710",
        Cause.PROCESSING: "an error of the server itself, or its database can't be reached",
        Cause.INVALID_INSTANCE: "the SOP Instance UID is none",
        Cause.CLASS_CONFLICT: "the SOP class of request and presentation context differ",
        Cause.TOO_LARGE: "the data set is longer than `limits.identifier`",
        Cause.NOT_SETTABLE: "attributes that only N-CREATE may bring; they are left out",
        Cause.OUT_OF_RANGE: "values that their VR does not allow; they are kept",
        Cause.UNSUPPORTED: "attributes are asked for that the step does not have",
    }
)
"""Each in a sentence."""
MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0000: "Success",
        0x0001: "Requested optional attributes are not supported",
        0x0106: "Invalid attribute value",
        0x0107: "Attribute list error",
        0x0110: "Processing failure",
        0x0111: "Duplicate SOP instance",
        0x0112: "No such SOP instance",
        0x0116: "Attribute value out of range",
        0x0117: "Invalid SOP instance",
        0x0119: "Class-instance conflict",
        0x0120: "Missing attribute",
        0x0121: "Missing attribute value",
        0x0213: "Resource limitation",
        0xA700: "Refused: out of resources",
    }
)
"""The statuses in the words of PS3.7 C."""
WARNINGS: Final = frozenset((Cause.NOT_SETTABLE, Cause.OUT_OF_RANGE, Cause.UNSUPPORTED))


def status_of(cause: Cause, preset: Preset = "default") -> int:
    """The status that an AE of `preset` answers with."""
    return _BY_PRESET.get(preset, _STANDARD)[cause]


def accepted(status: int) -> bool:
    """Whether a peer's answer says that it has the message: success, or a warning (X-MOD-54, P-MPPS-13)."""
    return status == SUCCESS or status in (0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF


Said = Mapping[int, tuple[str, str]]
"""Statuses by code, each with its name and its occasion."""
_OCCASIONS: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        **WORDS,
        **{
            cause: f"{WORDS[cause]} (where `mpps.checks` is `refuse`; else the step says so)"
            for cause in (Cause.MISSING, Cause.MISSING_VALUE, Cause.NOT_SETTABLE, Cause.OUT_OF_RANGE)
        },
    }
)


def answered(preset: str = "default") -> Said:
    """What an AE of `preset` answers, success first."""
    table = _BY_PRESET.get(preset, _STANDARD)
    found: dict[int, tuple[str, str]] = {SUCCESS: (MEANINGS[SUCCESS], "the message is durable, or answers the request")}
    for cause, code in table.items():
        before = f"{found[code][1]}; " if code in found else ""
        found[code] = (MEANINGS[code], f"{before}{_OCCASIONS[cause]}")
    return found


ANSWERED_BY_PRESET: Final[Mapping[str, Said]] = MappingProxyType({preset: answered(preset) for preset in _BY_PRESET})
_AGAIN: Final = (
    "the association is aborted, and the message sent again later, as often as is set; then it waits for a person"
)
FORWARDED: Final[Said] = MappingProxyType(
    {
        0x0000: (MEANINGS[0x0000], "the message is delivered"),
        0x0001: (MEANINGS[0x0001], "the message is delivered"),
        0x0107: (MEANINGS[0x0107], "the message is delivered; the attributes that are named are logged"),
        0x0111: (MEANINGS[0x0111], "of an N-CREATE that was sent before: it is delivered; else as any other status"),
        0x0116: (MEANINGS[0x0116], "the message is delivered; the attributes that are named are logged"),
        0x0110: (MEANINGS[0x0110], f"{_AGAIN}; Error Comment and Error ID are logged"),
    }
)
"""What is made of the answers of a peer that messages are passed on to."""
REPORTED: Final[Said] = MappingProxyType(
    {
        0x0000: (MEANINGS[0x0000], "the event is delivered"),
        0x0110: (MEANINGS[0x0110], _AGAIN.replace("message", "event")),
    }
)
"""What is made of the answers to events."""
ASKED: Final[Said] = MappingProxyType(
    {
        0x0000: (MEANINGS[0x0000], "the command is done"),
        0x0001: (MEANINGS[0x0001], "the command is done, and says so"),
        0x0107: (MEANINGS[0x0107], "the command is done, and names the attributes"),
        0x0116: (MEANINGS[0x0116], "the command is done, and names the attributes"),
        0x0110: (MEANINGS[0x0110], "the command fails, and tells Error Comment, Error ID and attributes"),
    }
)
"""What the commands make of a peer's answer."""


# --- notification


class Event(NamedTuple):
    """Event type of N-EVENT-REPORT (Table F.9.2-1)."""

    number: int
    name: str


EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {
        IN_PROGRESS: Event(1, "Performed Procedure Step In Progress"),
        COMPLETED: Event(2, "Performed Procedure Step Completed"),
        DISCONTINUED: Event(3, "Performed Procedure Step Discontinued"),
        "UPDATED": Event(4, "Performed Procedure Step Updated"),
    }
)
"""By the status that a step took on; `UPDATED` where it kept it."""


OCCASIONS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        1: (EVENTS[IN_PROGRESS].name, "a step was created"),
        2: (EVENTS[COMPLETED].name, "it was completed"),
        3: (EVENTS[DISCONTINUED].name, "it was discontinued"),
        4: (EVENTS["UPDATED"].name, "an N-SET changed it and left its status"),
    }
)
"""When each event is reported, by its number."""


# --- coercion (X-RIS-37, Table C.8.1-3)


class Coerced(NamedTuple):
    """An attribute of a stored step that takes the worklist's value where that differs."""

    path: Path
    """In the step; below Scheduled Step Attributes Sequence in each item."""
    source: Path
    """In the worklist item."""
    corrected: bool = False
    """Only after a person has settled an exception."""


def _tags(*keywords: str) -> Path:
    found = tuple(tag_of(keyword) for keyword in keywords)
    assert None not in found, keywords
    return found  # type: ignore[return-value]


_ITEM: Final = "ScheduledStepAttributesSequence"
_STEP: Final = "ScheduledProcedureStepSequence"
COERCED: Final = (
    Coerced(_tags(_ITEM, "PlacerOrderNumberImagingServiceRequest"), _tags("PlacerOrderNumberImagingServiceRequest")),
    Coerced(_tags(_ITEM, "FillerOrderNumberImagingServiceRequest"), _tags("FillerOrderNumberImagingServiceRequest")),
    # the retired numbers are those of the same order (X-AMB-09)
    Coerced((0x00400270, 0x00402006), _tags("PlacerOrderNumberImagingServiceRequest")),
    Coerced((0x00400270, 0x00402007), _tags("FillerOrderNumberImagingServiceRequest")),
    Coerced(_tags(_ITEM, "RequestedProcedureID"), _tags("RequestedProcedureID")),
    Coerced(_tags(_ITEM, "RequestedProcedureDescription"), _tags("RequestedProcedureDescription")),
    Coerced(_tags(_ITEM, "ScheduledProcedureStepID"), _tags(_STEP, "ScheduledProcedureStepID")),
    Coerced(_tags(_ITEM, "ScheduledProcedureStepDescription"), _tags(_STEP, "ScheduledProcedureStepDescription")),
    Coerced(_tags(_ITEM, "ScheduledProtocolCodeSequence"), _tags(_STEP, "ScheduledProtocolCodeSequence")),
    Coerced(_tags(_ITEM, "AccessionNumber"), _tags("AccessionNumber"), corrected=True),
    Coerced(_tags("PatientName"), _tags("PatientName")),
    Coerced(_tags("PatientBirthDate"), _tags("PatientBirthDate")),
    Coerced(_tags("PatientSex"), _tags("PatientSex")),
    Coerced(_tags("PatientID"), _tags("PatientID"), corrected=True),
    Coerced(_tags("IssuerOfPatientID"), _tags("IssuerOfPatientID"), corrected=True),
)
