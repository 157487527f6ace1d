"""The mapping of worklist, image and MPPS (Table B.8.1-31): what belongs together is found together."""

from typing import NamedTuple

import pytest

import archives
from archives import made, study_uid
from databases import migrated
from isocenter.dicom import dataset
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.dictionary import tag_of
from isocenter.workflow.steps.attributes import data_set
from isocenter.workflow.steps.steps import Steps
from procedure_steps import MPPS, Modality, ae_of, begun, ended, message, rows, text_at
from steps_worklist import scheduled

_ITEM = "ScheduledProcedureStepSequence"
_INSIDE = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence")
_CODES = ("RequestedProcedureCodeSequence", "ScheduledProtocolCodeSequence", "ProcedureCodeSequence")
_FROM_IMAGE = {
    "StudyID": "17",
    "ProtocolName": "Thorax low dose",
    "CommentsOnThePerformedProcedureStep": "quiet patient",
}
UID, PHYSICIAN = f"{archives.ROOT}.70", "House^Greg"


class Found(NamedTuple):
    """What one step, its order and its image say."""

    entry: DataSet
    image: DataSet
    step: DataSet
    linked: bool


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("mapping")
    step_of_order = {
        "00400006": {"vr": "PN", "Value": [{"Alphabetic": PHYSICIAN}]},
    }
    code = {"00080100": {"vr": "SH", "Value": ["R7"]}, "00080104": {"vr": "LO", "Value": ["CT thorax"]}}
    with archives.running(folder, migrated(folder), ae=ae_of(mpps={"coercion": True})) as archive:
        entry = scheduled(archive, "MAP1", "S7", study=70, **{"00321064": {"vr": "SQ", "Value": [code]}})
        ordered = {
            **entry.model,
            "00400100": {"vr": "SQ", "Value": [{**_only(entry.model["00400100"]), **step_of_order}]},
        }
        worklist = data_set(ordered, "")
        image, step = _image(worklist), _step(worklist)
        with Modality(archive) as modality:
            assert modality.create(UID, step).status == 0
            assert modality.set(UID, _end(worklist)).status == 0
            kept = modality.get(UID)[1]
        archive.send(made(1, study=70))
        with archive.database.reading() as connection:
            steps = Steps(archive.database)
            (mine,) = steps.of_study(connection, study_uid(70))
            linked = steps.entries_of(connection, mine.id) == [entry.id] and mine.sop_uid == UID
    return Found(worklist, image, kept, linked)


def _only(attribute: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    (item,) = attribute["Value"]
    return item


def _image(worklist: DataSet) -> DataSet:
    """What a modality writes into its images (the middle column)."""
    return {
        **message({**_FROM_IMAGE, "PerformedProcedureStepID": "PPS7", "PerformedProcedureStepStartDate": "20240131",
                   "PerformedProcedureStepStartTime": "101500", "PerformedProcedureStepDescription": "Thorax done",
                   "PerformingPhysicianName": PHYSICIAN,
                   "PerformedProtocolCodeSequence>CodeValue": "T1",
                   "ReferencedPerformedProcedureStepSequence>ReferencedSOPClassUID": MPPS,
                   "ReferencedPerformedProcedureStepSequence>ReferencedSOPInstanceUID": UID}),
        **{tag: worklist[tag] for tag in map(_tag, ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"))},
    }  # fmt: skip


def _step(worklist: DataSet) -> DataSet:
    """The step's N-CREATE by the last column."""
    item = {
        _tag(name): _at(worklist, name)
        for name in (
            *("StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription"),
            *_INSIDE,
        )
    }
    study = message({"ReferencedSOPInstanceUID": study_uid(70), "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1"})
    item[_tag("ReferencedStudySequence")] = dataset.sequence(study)
    patient = {
        _tag(name): _at(worklist, name) for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
    }
    own = {
        "StudyID": "17", "PerformedProcedureStepID": "PPS7", "PerformedProcedureStepDescription": "Thorax done",
        "CommentsOnThePerformedProcedureStep": "quiet patient", "PerformedProtocolCodeSequence>CodeValue": "T1",
    }  # fmt: skip
    codes = {_tag("ProcedureCodeSequence"): _at(worklist, "RequestedProcedureCodeSequence")}
    return {
        **begun(),
        **message(own),
        **patient,
        **codes,
        _tag("ScheduledStepAttributesSequence"): dataset.sequence(item),
    }


def _end(worklist: DataSet) -> DataSet:
    return ended(
        PerformedSeriesSequence__ProtocolName="Thorax low dose",
        PerformedSeriesSequence__PerformingPhysicianName=text_at(worklist, f"{_ITEM}>ScheduledPerformingPhysicianName"),
    )


def _tag(keyword: str) -> int:
    tag = tag_of(keyword)
    assert tag is not None, keyword
    return tag


def _at(worklist: DataSet, keyword: str) -> dataset.Element:
    holder = dataset.items_of(worklist, _tag(_ITEM))[0] if keyword in _INSIDE else worklist
    return holder[_tag(keyword)]


ROWS = [row for row in rows("ps32_mwl_image_mpps_map") if row["mpps_iod"]]


@pytest.mark.req("X-MOD-82", "X-RIS-31", "X-RIS-40")
@pytest.mark.parametrize("row", [pytest.param(row, id=row["mpps_iod"]) for row in ROWS])
def test_a_row_of_the_mapping(found: Found, row: dict[str, str]) -> None:
    """What stands in the worklist or in the image stands in the step, and by it they are linked."""
    assert found.linked
    if row["mpps_iod"].endswith("of the MPPS"):
        last = row["image_iod"].rpartition(">")[2]
        value = text_at(found.image, f"ReferencedPerformedProcedureStepSequence>{last}")
        assert value == {"ReferencedSOPClassUID": MPPS, "ReferencedSOPInstanceUID": UID}[last]
        return
    told = text_at(found.step, _inner(row["mpps_iod"]))
    assert told
    if source := row["modality_worklist"].partition(" ")[0]:
        path = f"{_ITEM}>{source}" if source in (*_INSIDE, "ScheduledPerformingPhysicianName") else source
        if source != "ReferencedStudySequence":  # it names the study by itself
            assert told == text_at(found.entry, _inner(path))
    else:
        assert told == text_at(found.image, _inner(row["image_iod"]))


def _inner(path: str) -> str:
    """A code sequence by the code in it."""
    last = path.rpartition(">")[2]
    return f"{path}>CodeValue" if last in _CODES or last == "PerformedProtocolCodeSequence" else path


def test_the_table_has_no_other_rows() -> None:
    assert [row["modality_worklist"] for row in rows("ps32_mwl_image_mpps_map") if not row["mpps_iod"]] == [
        "PatientWeight (0010,1030)", "ReferringPhysicianName (0008,0090)",
        "ScheduledProtocolCodeSequence (0040,0008)",
    ]  # fmt: skip
