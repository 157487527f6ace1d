"""From the worklist to images and procedure steps: which attribute becomes which (X-MOD-82, Table B.8.1-31 of the
modality example in PS3.2, `ps32_mwl_image_mpps_map.csv`; IHE RAD TF-2 Appendix A).

A model is an object of DICOM JSON. Where several scheduled steps are performed as one, what belongs to each of them
stands in an item of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from isocenter.dicom.dictionary import tag_of, vr_of

Model = dict[str, Any]

_STEP: Final = "ScheduledProcedureStepSequence"
REQUEST: Final = "RequestAttributesSequence"
SCHEDULED: Final = "ScheduledStepAttributesSequence"


_STEP_IDS: Final = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription")


class Row(NamedTuple):
    """Keywords joined by dots; '' where it stands nowhere."""

    worklist: str
    image: str
    step: str


ROWS: Final = (
    Row("PatientName", "PatientName", "PatientName"),
    Row("PatientID", "PatientID", "PatientID"),
    Row("IssuerOfPatientID", "IssuerOfPatientID", "IssuerOfPatientID"),
    Row("PatientBirthDate", "PatientBirthDate", "PatientBirthDate"),
    Row("PatientSex", "PatientSex", "PatientSex"),
    Row("PatientWeight", "PatientWeight", ""),
    Row("ReferringPhysicianName", "ReferringPhysicianName", ""),
    Row("StudyInstanceUID", "StudyInstanceUID", f"{SCHEDULED}.StudyInstanceUID"),
    Row("ReferencedStudySequence", "ReferencedStudySequence", f"{SCHEDULED}.ReferencedStudySequence"),
    Row("AccessionNumber", "AccessionNumber", f"{SCHEDULED}.AccessionNumber"),
    Row("RequestedProcedureID", f"{REQUEST}.RequestedProcedureID", f"{SCHEDULED}.RequestedProcedureID"),
    Row("RequestedProcedureDescription", "", f"{SCHEDULED}.RequestedProcedureDescription"),
    *(
        Row(f"{_STEP}.{keyword}", f"{REQUEST}.{keyword}", f"{SCHEDULED}.{keyword}")
        for keyword in (
            "ScheduledProcedureStepID",
            "ScheduledProcedureStepDescription",
            "ScheduledProtocolCodeSequence",
        )
    ),
    Row(
        f"{_STEP}.ScheduledPerformingPhysicianName",
        "PerformingPhysicianName",
        "PerformedSeriesSequence.PerformingPhysicianName",
    ),
    Row("RequestedProcedureCodeSequence", "", "ProcedureCodeSequence"),
)
"""What the worklist gives. The scheduled protocol codes go into the step too: the mapping table leaves them out, but
Table B.4.2-28 has them sent."""

OWN: Final = (
    *("PerformedProtocolCodeSequence", "StudyID", "PerformedProcedureStepID", "PerformedProcedureStepStartDate"),
    *("PerformedProcedureStepStartTime", "PerformedProcedureStepDescription"),
    "CommentsOnThePerformedProcedureStep",
)
"""What the modality makes itself and writes into images and step alike."""


def tag(keyword: str) -> str:
    """A keyword's tag as DICOM JSON writes it."""
    found = tag_of(keyword)
    if found is None:
        raise ValueError(f"{keyword} is no keyword of PS3.6")
    return f"{found:08X}"


def attribute(keyword: str, *values: Any) -> Model:
    """{tag: attribute} of some values; empty without any."""
    vr = vr_of(int(tag(keyword), 16))
    held = [{"Alphabetic": value} if vr == "PN" and isinstance(value, str) else value for value in values]
    return {tag(keyword): {"vr": vr, "Value": held} if held else {"vr": vr}}


def found_at(model: Mapping[str, Any], path: str) -> Any:
    """The attribute at a path, in the first items of sequences; None where there is none."""
    name, _, rest = path.partition(".")
    here = model.get(tag(name))
    if here is None or not rest:
        return here
    items = here.get("Value") or [{}]
    return found_at(items[0], rest)


def of_images(items: Sequence[Mapping[str, Any]], own: Mapping[str, Any]) -> Model:
    """What every image has of the scheduled steps that it is made for, and of what the modality made itself."""
    found = _common(items[0], [(row.worklist, row.image) for row in ROWS if row.image], REQUEST) if items else {}
    if items:
        requests = [_inside(item, [(row.worklist, row.image) for row in ROWS], REQUEST) for item in items]
        found[tag(REQUEST)] = {"vr": "SQ", "Value": requests}
    return {**found, **_made(own)}


def of_step(items: Sequence[Mapping[str, Any]], own: Mapping[str, Any]) -> Model:
    """The same for the procedure step; what belongs to its series is `of_series`."""
    pairs = [(row.worklist, row.step) for row in ROWS if row.step]
    outside = [(worklist, step) for worklist, step in pairs if not step.startswith("PerformedSeriesSequence.")]
    found = _common(items[0], outside, SCHEDULED) if items else {}
    scheduled = [_inside(item, outside, SCHEDULED) for item in items]
    if not items:  # unscheduled: the study is all that there is to say (F.7.2.1.1, Scheduled Step Attributes)
        scheduled = [{**_empty_step(), **{key: own[key] for key in (tag("StudyInstanceUID"),) if key in own}}]
    found[tag(SCHEDULED)] = {"vr": "SQ", "Value": scheduled}
    return {**found, **_made(own)}


def of_series(items: Sequence[Mapping[str, Any]]) -> Model:
    """What a step's series has of the scheduled step."""
    pairs = [(row.worklist, row.step) for row in ROWS]
    return _inside(items[0], pairs, "PerformedSeriesSequence") if items else {}


def _made(own: Mapping[str, Any]) -> Model:
    return {tag(keyword): own[tag(keyword)] for keyword in OWN if tag(keyword) in own}


def _common(item: Mapping[str, Any], pairs: Sequence[tuple[str, str]], sequence: str) -> Model:
    """What stands outside of `sequence`."""
    found: Model = {}
    for worklist, target in pairs:
        value = found_at(item, worklist)
        if value is not None and not target.startswith(f"{sequence}."):
            found[tag(target)] = value
    return found


def _inside(item: Mapping[str, Any], pairs: Sequence[tuple[str, str]], sequence: str) -> Model:
    """An item of `sequence`."""
    found: Model = {}
    for worklist, target in pairs:
        value = found_at(item, worklist)
        if value is not None and target.startswith(f"{sequence}."):
            found[tag(target.removeprefix(f"{sequence}."))] = value
    return found


def _empty_step() -> Model:
    """An item of Scheduled Step Attributes Sequence without a scheduled step: all of type 2 is empty."""
    named = (row.step.removeprefix(f"{SCHEDULED}.") for row in ROWS if row.step.startswith(f"{SCHEDULED}."))
    return {key: value for keyword in named for key, value in attribute(keyword).items()}
