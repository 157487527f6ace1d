"""What reconciliation compares and changes, as data (I-TWF-07, I-GAP-14).

Attributes of a study come from its first object; those of a worklist item from its top level or, where `step` says so,
from the item of its Scheduled Procedure Step Sequence (PS3.4 K.6.1.2.2).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

STEPS: Final = "00400100"
"""Scheduled Procedure Step Sequence."""
STUDY_UID: Final = "0020000D"
PATIENT_ID: Final = "00100020"
ISSUER: Final = "00100021"
STUDY_DATE: Final = "00080020"
STEP_DATE: Final = "00400002"
MODALITY: Final = "00080060"
STATION: Final = "00400001"
REQUESTS: Final = "00400275"
"""Request Attributes Sequence."""


class Compared(NamedTuple):
    """An attribute that a study and a worklist item may have in common."""

    tag: str
    """In the worklist item."""
    vr: str
    step: bool = False
    study: str = ""
    """The attribute of the study that it is compared with, where that is another."""

    @property
    def of_study(self) -> str:
        """Tag of the study's attribute."""
        return self.study or self.tag


COMPARED: Final[Mapping[str, Compared]] = MappingProxyType(
    {
        "PatientID": Compared(PATIENT_ID, "LO"),
        "IssuerOfPatientID": Compared(ISSUER, "LO"),
        "PatientName": Compared("00100010", "PN"),
        "PatientBirthDate": Compared("00100030", "DA"),
        "PatientSex": Compared("00100040", "CS"),
        "AccessionNumber": Compared("00080050", "SH"),
        "StudyInstanceUID": Compared(STUDY_UID, "UI"),
        "RequestedProcedureID": Compared("00401001", "SH", study="00200010"),
        "ReferringPhysicianName": Compared("00080090", "PN"),
        "Modality": Compared(MODALITY, "CS", step=True),
        "ScheduledStationAETitle": Compared(STATION, "AE", step=True),
        "ScheduledProcedureStepStartDate": Compared(STEP_DATE, "DA", step=True, study=STUDY_DATE),
    }
)
"""What `reconciling.match` and `reconciling.agree` may name. The station of a study is the AE that sent it; its Study
ID stands for the Requested Procedure ID (IHE RAD TF-2 appendix A)."""


class Taken(NamedTuple):
    """An attribute that a study takes over from its worklist item."""

    keyword: str
    tag: str
    vr: str
    level: str
    """P or S, as `index.level_models` has it."""
    source: str = ""
    """Tag of the item's attribute, where that is another."""
    kept_empty: bool = False
    """Type 2 (PS3.3 C.7.1.1, C.7.2.1): without a value it stays, empty."""

    @property
    def of_item(self) -> str:
        """Tag of the item's attribute."""
        return self.source or self.tag


TAKEN: Final = (
    Taken("PatientName", "00100010", "PN", "P", kept_empty=True),
    Taken("PatientID", PATIENT_ID, "LO", "P", kept_empty=True),
    Taken("IssuerOfPatientID", ISSUER, "LO", "P"),
    Taken("IssuerOfPatientIDQualifiersSequence", "00100024", "SQ", "P"),
    Taken("PatientBirthDate", "00100030", "DA", "P", kept_empty=True),
    Taken("PatientSex", "00100040", "CS", "P", kept_empty=True),
    Taken("OtherPatientIDsSequence", "00101002", "SQ", "P"),
    Taken("EthnicGroup", "00102160", "SH", "P"),
    Taken("AccessionNumber", "00080050", "SH", "S", kept_empty=True),
    Taken("IssuerOfAccessionNumberSequence", "00080051", "SQ", "S"),
    Taken("ReferringPhysicianName", "00080090", "PN", "S", kept_empty=True),
    Taken("StudyDescription", "00081030", "LO", "S", source="00321060"),
    Taken("ProcedureCodeSequence", "00081032", "SQ", "S", source="00321064"),
    Taken("ReferencedStudySequence", "00081110", "SQ", "S"),
    Taken("PatientSize", "00101020", "DS", "S"),
    Taken("PatientWeight", "00101030", "DS", "S"),
    Taken("RequestingPhysician", "00321032", "PN", "S"),
    Taken("RequestingService", "00321033", "LO", "S"),
    Taken("AdmissionID", "00380010", "LO", "S"),
)
"""What is taken over where the item has a value (IHE RAD TF-2 appendix A, RAD-8). All of the patient is, present or
not, where the item is of another Patient ID than the study: nothing of the former patient stays."""


class Request(NamedTuple):
    """An attribute of the item of Request Attributes Sequence (PS3.3 table 10-9)."""

    tag: str
    source: str
    step: bool = False


REQUEST: Final = (
    Request("00080050", "00080050"),
    Request("00080051", "00080051"),
    Request(STUDY_UID, STUDY_UID),
    Request("00321060", "00321060"),
    Request("00321064", "00321064"),
    Request("00401001", "00401001"),
    Request("00400007", "00400007", step=True),
    Request("00400008", "00400008", step=True),
    Request("00400009", "00400009", step=True),
)
"""What names the order in each object of a released study."""

RETURNED: Final = (
    *("00080005", "00080050", "00080051", "00080090", "00081110", "00100010", "00100020", "00100021", "00100024"),
    *("00100030", "00100040", "00101002", "00101020", "00101030", "00102160", "0020000D", "00321032", "00321033"),
    *("00321060", "00321064", "00380010", "00401001"),
)
"""What a worklist is asked to return beside what it is asked for, at the top level; sequences come whole."""
RETURNED_OF_STEP: Final = (
    *("00080060", "00400001", "00400002", "00400003", "00400006", "00400007", "00400008", "00400009", "00400010"),
    "00400020",
)
"""The same of the step."""
