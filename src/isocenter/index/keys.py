"""Which attributes the index keeps, by level: those with a column of their own, and the further ones.

The further ones are kept twice: as DICOM JSON in the level's `attributes` column, to be returned, and as rows of
`attribute`, to be matched. They are the keys of the archive query tables of the catalogue (`marie_query_keys.csv`,
`iconnect_query_keys.csv`) that have no column, and a few that later services ask for.
"""

from collections.abc import Mapping
from typing import TypeAlias

Keys: TypeAlias = Mapping[int, "Keys | None"]
"""Tags to be matched; None for a simple value, for a sequence the keys inside its items."""

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY, SERIES = 0x0020000D, 0x0020000E
PATIENT_ID, ISSUER, PATIENT_NAME = 0x00100020, 0x00100021, 0x00100010
OTHER_IDS, OTHER_ID_SEQUENCE = 0x00101000, 0x00101002
ACCESSION, ACCESSION_ISSUER = 0x00080050, 0x00080051
LOCAL_ENTITY, UNIVERSAL_ENTITY = 0x00400031, 0x00400032
REQUESTS = 0x00400275
SERIES_NUMBER, INSTANCE_NUMBER = 0x00200011, 0x00200013
ROWS, COLUMNS, SAMPLES, BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280002, 0x00280100
FRAMES, PHOTOMETRIC = 0x00280008, 0x00280004
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
INSTITUTION = 0x00080080

PATIENT_TEXT: Mapping[int, str] = {0x00100030: "birth_date", 0x00100032: "birth_time", 0x00100040: "sex"}
STUDY_TEXT: Mapping[int, str] = {
    0x00080020: "study_date",
    0x00080030: "study_time",
    0x00200010: "study_id",
    ACCESSION: "accession",
    0x00081030: "description",
    INSTITUTION: "institution",
    0x00080201: "timezone",
}
SERIES_TEXT: Mapping[int, str] = {
    0x00080060: "modality",
    SERIES_NUMBER: "series_number",
    0x0008103E: "description",
    0x00080021: "series_date",
    0x00080031: "series_time",
    0x00180015: "body_part",
    0x00200060: "laterality",
    0x00185100: "patient_position",
    0x00081010: "station",
    INSTITUTION: "institution",
    0x00080070: "manufacturer",
    0x00081090: "model",
    0x00181030: "protocol",
    0x00400241: "station_aet",
    0x00400253: "step_id",
    0x00400244: "step_start_date",
    0x00400245: "step_start_time",
}
INSTANCE_TEXT: Mapping[int, str] = {
    INSTANCE_NUMBER: "instance_number",
    0x00080008: "image_type",
    0x00080023: "content_date",
    0x00080033: "content_time",
    SPECIFIC_CHARACTER_SET: "character_set",
}

NAMES: Mapping[int, tuple[str, str, str]] = {
    PATIENT_NAME: ("P", "patient_name", "name"),
    0x00080090: ("S", "referring_name", "referring"),
    0x00081050: ("E", "performing_name", "performing"),
}
"""Person names with columns: level, column of the name, and what the columns of its folded groups begin with."""

FOLDED = frozenset({("S", "description"), ("S", "institution"), ("E", "description"), ("E", "institution")}) | {
    ("E", "protocol")
}
"""Text columns with a folded one beside them."""

_CODE: Keys = {0x00080100: None, 0x00080102: None, 0x00080103: None, 0x00080104: None}
_REFERENCE: Keys = {0x00081150: None, 0x00081155: None}

PATIENT_FURTHER: Keys = {
    0x00081120: _REFERENCE,  # Referenced Patient Sequence
    OTHER_IDS: None,
    0x00101001: None,  # Other Patient Names
    0x00102160: None,  # Ethnic Group
    0x00104000: None,  # Patient Comments
}
STUDY_FURTHER: Keys = {
    0x00081032: _CODE,  # Procedure Code Sequence
    0x00081048: None,  # Physician(s) of Record
    0x00081060: None,  # Name of Physician(s) Reading Study
    0x00081080: None,  # Admitting Diagnoses Description
    0x00081110: _REFERENCE,  # Referenced Study Sequence
    0x00101010: None,  # Patient's Age
    0x00101020: None,  # Patient's Size
    0x00101030: None,  # Patient's Weight
    0x00102180: None,  # Occupation
    0x001021B0: None,  # Additional Patient History
    0x00201070: None,  # Other Study Numbers
    0x4008010C: None,  # Interpretation Author
}
SERIES_FURTHER: Keys = {
    0x00081111: _REFERENCE,  # Referenced Performed Procedure Step Sequence
    REQUESTS: {0x00401001: None, 0x00400009: None},  # Requested Procedure ID, Scheduled Procedure Step ID
}
INSTANCE_FURTHER: Keys = {
    0x00200022: None,  # Overlay Number
    0x00200024: None,  # Curve Number
    0x00200026: None,  # LUT Number
    # presentation states
    0x00700080: None,  # Content Label
    0x00700081: None,  # Content Description
    0x00700082: None,  # Presentation Creation Date
    0x00700083: None,  # Presentation Creation Time
    0x00700084: None,  # Content Creator's Name
    0x00081115: {SERIES: None, 0x00081140: _REFERENCE},  # Referenced Series Sequence
    # structured reports
    0x0040A491: None,  # Completion Flag
    0x0040A493: None,  # Verification Flag
    0x0040A032: None,  # Observation DateTime
    0x0040A073: {0x0040A027: None, 0x0040A030: None, 0x0040A075: None, 0x0040A088: _CODE},  # Verifying Observers
    0x0040A370: {STUDY: None, ACCESSION: None, 0x00401001: None, 0x00321064: _CODE},  # Referenced Request Sequence
    0x0040A043: _CODE,  # Concept Name Code Sequence
}

FURTHER: Mapping[str, Keys] = {
    "P": PATIENT_FURTHER,
    "S": STUDY_FURTHER,
    "E": SERIES_FURTHER,
    "I": INSTANCE_FURTHER,
}
"""The further attributes of each level, called as in `attribute.level`."""

SHARED = frozenset(
    {STUDY, SERIES, PATIENT_ID, ISSUER, OTHER_ID_SEQUENCE, ACCESSION_ISSUER}
    | PATIENT_TEXT.keys()
    | STUDY_TEXT.keys()
    | SERIES_TEXT.keys()
    | NAMES.keys()
    | PATIENT_FURTHER.keys()
    | STUDY_FURTHER.keys()
    | SERIES_FURTHER.keys()
)
"""What the objects of a series have in common."""

OWN = frozenset(
    {SOP_CLASS, SOP_INSTANCE, ROWS, COLUMNS, SAMPLES, BITS_ALLOCATED, FRAMES, PHOTOMETRIC}
    | {EXTENDED_OFFSETS, EXTENDED_LENGTHS}
    | INSTANCE_TEXT.keys()
    | INSTANCE_FURTHER.keys()
)
"""What is an object's own."""

INDEXED = SHARED | OWN
