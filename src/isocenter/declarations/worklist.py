"""The keys of Modality Worklist queries (PS3.4 K.6), and which of them AEs of each kind match and return, as data.

The keys lie beside this module, a line a key: keywords of the path, then a letter for each set of keys in the order of
`KEY_SETS`. `all` has every attribute of the modules of table K.6-1 that a department's systems fill; `archive` follows
I-WLM-05, `pacs` M-MWL-04 to 06, `bridge` P-MWL-15, `ris` X-RIS-15 with the required keys of table K.6-1.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

from isocenter.declarations.query_keys import Match, Path, dotted, matching_of, resolve
from isocenter.dicom import dictionary

KeySet = Literal["all", "archive", "pacs", "bridge", "ris"]
KEY_SETS: Final[tuple[KeySet, ...]] = get_args(KeySet)

STEPS: Final = 0x00400100
START_DATE: Final[Path] = (STEPS, 0x00400002)
START_TIME: Final[Path] = (STEPS, 0x00400003)
STATUS: Final[Path] = (STEPS, 0x00400020)
STUDY: Final[Path] = (0x0020000D,)


class Use(StrEnum):
    """What an AE does with a key."""

    MATCHED = "m"
    """Matched and returned."""
    SINGLE = "s"
    """Matched by single value alone, and returned."""
    MATCHED_ONLY = "n"
    """Matched; returned empty."""
    RETURNED = "r"
    """Returned, never matched."""
    EMPTY = "e"
    """Returned empty, whatever there is."""
    UNKNOWN = "-"
    """Not supported."""


MATCHING: Final = frozenset({Use.MATCHED, Use.SINGLE, Use.MATCHED_ONLY})
RETURNING: Final = frozenset({Use.MATCHED, Use.SINGLE, Use.RETURNED})


class Key(NamedTuple):
    """One attribute of the Modality Worklist Information Model."""

    path: Path
    uses: Mapping[str, Use]
    """By set of keys."""

    @property
    def vr(self) -> str:
        """Its value representation."""
        return dictionary.vr_of(self.path[-1])

    @property
    def matching(self) -> Match:
        """How it is matched, where it is (PS3.4 C.2.2.2)."""
        return matching_of(self.vr)

    @property
    def keyword(self) -> str:
        """Keywords of the path joined by dots."""
        return ".".join(dictionary.keyword_of(tag) or f"{tag:08X}" for tag in self.path)

    @property
    def dotted(self) -> str:
        """The path in hexadecimal, joined by dots."""
        return dotted(self.path)


@cache
def keys() -> Mapping[Path, Key]:
    """Every key, by path."""
    lines = files("isocenter.declarations").joinpath("data/worklist_keys.tsv").read_text("ascii").splitlines()
    found = {}
    for keywords, *letters in (line.split("\t") for line in lines):
        path = resolve(keywords)
        if path is None:
            raise ValueError(f"worklist_keys.tsv: {keywords} is no element")
        uses: dict[str, Use] = dict(zip(KEY_SETS, map(Use, letters), strict=True))
        found[path] = Key(path, MappingProxyType(uses))
    return MappingProxyType(found)


def use_of(path: Path, key_set: str) -> Use:
    """What an AE with this set of keys does with the one at `path`."""
    key = keys().get(path)
    return key.uses[key_set] if key is not None else Use.UNKNOWN


_REQUESTED: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientState", "PregnancyStatus", "MedicalAlerts", "Allergies"),
    *("SpecialNeeds", "ConfidentialityConstraintOnPatientDataDescription", "AdmittingDiagnosesDescription"),
    *("AdmissionID", "CurrentPatientLocation", "AccessionNumber", "ReferringPhysicianName", "RequestingPhysician"),
    *("StudyInstanceUID", "ReferencedStudySequence", "RequestedProcedureID", "RequestedProcedureDescription"),
    *("RequestedProcedureCodeSequence", "RequestedProcedurePriority", "PatientTransportArrangements"),
)
_REQUESTED_STEP: Final = (
    *("Modality", "ScheduledStationAETitle", "ScheduledStationName", "ScheduledProcedureStepLocation"),
    *("ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "ScheduledPerformingPhysicianName"),
    *("ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence", "ScheduledProcedureStepID"),
    *("PreMedication", "RequestedContrastAgent", "ScheduledProcedureStepStatus"),
)


@cache
def requested() -> tuple[Path, ...]:
    """What our queries ask to be returned: M-MWL-13 and X-MOD-46."""
    step = "ScheduledProcedureStepSequence"
    names = (*_REQUESTED, *(f"{step}.{name}" for name in _REQUESTED_STEP))
    return tuple(path for name in names if (path := resolve(name)) is not None)
