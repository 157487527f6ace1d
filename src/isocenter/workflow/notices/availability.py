"""Instance Availability Notification as SCU (PS3.4 R.3.2.1): the data set of one N-CREATE.

A notification names the instances of one performed procedure step, or those of a study that belong to none: what is to
be told of a study may be several (P-IAN-T83).
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from isocenter.dicom import dataset
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP, derived_uid
from isocenter.workflow.notices.contents import Item, SeriesContent, StudyContent

AVAILABILITIES: Final = ("ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE")
"""The values of Instance Availability (PS3.3 C.4.23.1.1)."""


class StepView(NamedTuple):
    """A performed procedure step of a study, as far as notifications need it."""

    sop_uid: str
    ended: bool
    """It is COMPLETED or DISCONTINUED."""
    series: frozenset[str] = frozenset()
    """Series that it says it made."""
    instances: frozenset[str] = frozenset()
    """Instances that it names."""
    vague: bool = False
    """It is COMPLETED and names no instance: whether all are here can't be told by it."""


class Part(NamedTuple):
    """One notification: what of a study it names, for which step ('' for none)."""

    sop_uid: str
    content: StudyContent
    step: str = ""


def parts(content: StudyContent, steps: Sequence[StepView], sop_uid: str) -> list[Part]:
    """The notifications of a study: one for each step that has instances here, one for the rest. Their UIDs follow from
    `sop_uid`, so that they are the same when it is told again."""
    found: list[Part] = []
    left = content
    for step in steps:
        named = _of_step(left, step)
        if named:
            found.append(Part(derived_uid(sop_uid, step.sop_uid), left.only(named), step.sop_uid))
            left = left.only(left.sop_uids - named)
    if left.series or not found:
        found.append(Part(sop_uid, left))
    return found


def _of_step(content: StudyContent, step: StepView) -> frozenset[str]:
    """The instances that a step made: those that it names, or where it names none all of the series that it names."""
    if step.instances:
        return content.sop_uids & step.instances
    return frozenset(item.sop_uid for each in content.series if each.series_uid in step.series for item in each.items)


def encoded(part: Part, retrieve: str, syntax: str) -> bytes:
    """The attribute list of N-CREATE."""
    content = part.content
    made: DataSet = {
        0x00081111: dataset.sequence(*_steps(part.step)),
        0x00081115: dataset.sequence(*_series(content.series, retrieve)),
        0x0020000D: dataset.uid(content.study_uid),
    }
    return dataset.encode(made, syntax)


def _steps(step: str) -> Iterable[DataSet]:
    if step:
        yield {
            0x00081150: dataset.uid(MODALITY_PERFORMED_PROCEDURE_STEP),
            0x00081155: dataset.uid(step),
            0x00404019: dataset.sequence(),
        }


def _series(series: Iterable[SeriesContent], retrieve: str) -> Iterable[DataSet]:
    for each in series:
        yield {
            0x00081199: dataset.sequence(*(_instance(item, retrieve) for item in each.items)),
            0x0020000E: dataset.uid(each.series_uid),
        }


def _instance(item: Item, retrieve: str) -> DataSet:
    return {
        0x00080054: dataset.text("AE", retrieve),
        0x00080056: dataset.text("CS", item.availability),
        0x00081150: dataset.uid(item.sop_class),
        0x00081155: dataset.uid(item.sop_uid),
    }
