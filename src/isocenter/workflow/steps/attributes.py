"""The parts of a performed procedure step as a DICOM JSON object (PS3.18 F)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from isocenter.declarations.procedure_step import STATES
from isocenter.dicom import dataset
from isocenter.dicom.charset import character_set as declared_as
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.json_reading import element_of, fits
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.attributes import ACCESSION, ISSUER, MODALITY, PATIENT_ID, PROCEDURE, STEP_ID, STUDY

Model = dict[str, Any]

ITEMS, SERIES, IMAGES, OTHERS = "00400270", "00400340", "00081140", "00400220"
STATUS, STATION, PERFORMED_ID = "00400252", "00400241", "00400253"
SERIES_UID, SOP_CLASS, SOP_UID = "0020000E", "00081150", "00081155"
PROCEDURE_CODES = "00081032"
_CHARACTER_SET: Final = 0x00080005
_PATIENT_GROUPS: Final = ("0010", "0038")
_LONGEST: Final = 256
UTF_8: Final = "ISO_IR 192"


class Scheduled(NamedTuple):
    """What an item of Scheduled Step Attributes Sequence refers to; '' for what it does not say."""

    study_uid: str
    accession: str
    procedure_id: str
    scheduled_id: str

    @property
    def refers(self) -> bool:
        """Whether it names an order; a study alone may be the modality's own (F.7.2.1.2 note 3)."""
        return bool(self.accession or self.procedure_id or self.scheduled_id)


class Performed(NamedTuple):
    """An item of Performed Series Sequence: the series, and the instances that the modality says it made of it."""

    series_uid: str
    sop_uids: tuple[str, ...]


def items(model: Mapping[str, Any], tag: str) -> list[Model]:
    """The items of a sequence."""
    return [item for item in model.get(tag, {}).get("Value", ()) if isinstance(item, dict)]


def text(model: Mapping[str, Any], tag: str) -> str:
    """A value as the columns hold it."""
    return of.text(model, tag)[:_LONGEST]


def scheduled(model: Mapping[str, Any]) -> list[Scheduled]:
    """What the step refers to, an entry for each item."""
    tags = (STUDY, ACCESSION, PROCEDURE, STEP_ID)
    return [Scheduled(*(text(item, tag) for tag in tags)) for item in items(model, ITEMS)]


def performed(model: Mapping[str, Any]) -> list[Performed]:
    """The series that the step made, with images and other instances together."""
    return [Performed(text(item, SERIES_UID), tuple(_references(item))) for item in items(model, SERIES)]


def _references(item: Model) -> Iterator[str]:
    for tag in (IMAGES, OTHERS):
        for reference in items(item, tag):
            if uid := text(reference, SOP_UID):
                yield uid


def status(model: Mapping[str, Any]) -> str:
    """Performed Procedure Step Status: one of the defined ones, '' where there is none, else as it stands."""
    told = " ".join(text(model, STATUS).upper().split())
    return next((state for state in STATES if told in (state, state.replace(" ", "_"))), told)


def identity_of(model: Mapping[str, Any], issuer: str = "") -> str:
    """The patient as issuer, backslash, id; '' without a Patient ID. `issuer` holds where the step names none."""
    patient_id = text(model, PATIENT_ID)
    return f"{text(model, ISSUER) or issuer}\\{patient_id}" if patient_id else ""


def columns_of(model: Mapping[str, Any]) -> dict[str, str]:
    """The columns of `step` that repeat what `model` holds."""
    return {
        "station": text(model, STATION),
        "modality": text(model, MODALITY),
        "performed_id": text(model, PERFORMED_ID),
    }


def of_patient(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `changes` that a step has: of patient and visit. What identifies the patient is left out."""
    apart = (PATIENT_ID, ISSUER)
    return {tag: value for tag, value in changes.items() if tag[:4] in _PATIENT_GROUPS and tag not in apart}


# --- as a data set again


def data_set(model: Mapping[str, Any], character_set: str, wanted: Iterable[int] = ()) -> DataSet:
    """The step, or what is `wanted` of it, in `character_set` if that holds all of its text, else in UTF-8."""
    tags = set(wanted)
    chosen = _chosen(model, tags)
    ascii_only = all(fits(attribute, "") for attribute in chosen.values())
    if not fits_in(model, character_set, tags):
        character_set = UTF_8
    declared = declared_as(character_set)
    made = {int(tag, 16): element_of(attribute, declared) for tag, attribute in chosen.items()}
    if character_set and (not tags or _CHARACTER_SET in tags or not ascii_only):
        made[_CHARACTER_SET] = dataset.text("CS", character_set)
    return made


def fits_in(model: Mapping[str, Any], character_set: str, wanted: Iterable[int] = ()) -> bool:
    """Whether `character_set` holds all text of the step, or of what is `wanted` of it."""
    declared = declared_as(character_set)
    return all(fits(attribute, declared) for attribute in _chosen(model, set(wanted)).values())


def _chosen(model: Mapping[str, Any], tags: set[int]) -> dict[str, Any]:
    return {tag: attribute for tag, attribute in model.items() if not tags or int(tag, 16) in tags}
