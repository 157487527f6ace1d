"""The worklist's attributes in images and procedure steps, row by row."""

import re
from typing import Any

import pytest

from isocenter.acquire.mapping import OWN, attribute, found_at, of_images, of_series, of_step, tag
from isocenter.dicom.dictionary import tag_of, vr_of
from procedure_steps import rows

STEP = "ScheduledProcedureStepSequence"
IN_STEP = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence")
CODE = attribute("CodeValue", "C1") | attribute("CodingSchemeDesignator", "99L") | attribute("CodeMeaning", "a code")
MAP = rows("ps32_mwl_image_mpps_map")


def value(keyword: str, suffix: str = "") -> Any:
    vr = vr_of(tag_of(keyword) or 0)
    plain: dict[str, Any] = {"SQ": CODE, "DA": "19700101", "DS": 70, "UI": f"1.2.3{len(suffix)}", "CS": "F"}
    return attribute(keyword, plain.get(vr, f"{keyword[:6]}{suffix}"))


def item(suffix: str = "") -> dict[str, Any]:
    """A worklist item that has all that the map names."""
    outside = [keyword for keyword in map(_worklist, MAP) if keyword and keyword not in (*IN_STEP, PERFORMING)]
    found = {key: one for keyword in outside for key, one in value(keyword, suffix).items()}
    within = {key: one for keyword in (*IN_STEP, PERFORMING) for key, one in value(keyword, suffix).items()}
    return found | attribute(STEP, within)


PERFORMING = "ScheduledPerformingPhysicianName"


def _worklist(row: dict[str, str]) -> str:
    return row["modality_worklist"].partition(" ")[0]


@pytest.mark.req("X-MOD-82")
@pytest.mark.parametrize("row", [row for row in MAP if _worklist(row)], ids=_worklist)
def test_what_the_worklist_gives(row: dict[str, str]) -> None:
    keyword, one = _worklist(row), item()
    given = found_at(one, f"{STEP}.{keyword}" if keyword in (*IN_STEP, PERFORMING) else keyword)
    assert given is not None
    if row["image_iod"]:
        assert found_at(of_images([one], {}), row["image_iod"].replace(">", ".")) == given
    if row["mpps_iod"].startswith("PerformedSeriesSequence>"):
        assert found_at(of_series([one]), row["mpps_iod"].partition(">")[2]) == given
    elif row["mpps_iod"]:
        assert found_at(of_step([one], {}), row["mpps_iod"].replace(">", ".")) == given


@pytest.mark.req("X-MOD-82")
@pytest.mark.parametrize("keyword", [row["image_iod"] for row in MAP if not _worklist(row) and row["image_iod"] in OWN])
def test_what_the_modality_makes_is_the_same_in_both(keyword: str) -> None:
    own = value(keyword)
    assert found_at(of_images([item()], own), keyword) == own[tag(keyword)]
    assert found_at(of_step([item()], own), keyword) == own[tag(keyword)]


def test_every_row_is_proved() -> None:
    left = [row["image_iod"] for row in MAP if not _worklist(row) and row["image_iod"] not in OWN]
    # of the whole modality: see test_acquire_modality
    assert left == [
        "ReferencedStudyComponentSequence>ReferencedSOPClassUID",
        "ReferencedStudyComponentSequence>ReferencedSOPInstanceUID",
        "ProtocolName",
    ]
    assert all(re.fullmatch(r"[A-Za-z>]*", row["mpps_iod"]) for row in MAP if "MPPS" not in row["mpps_iod"])


@pytest.mark.req("X-MOD-52")
def test_several_steps_as_one_have_an_item_each() -> None:
    both = [item(), item("+")]
    assert len(of_images(both, {})[tag("RequestAttributesSequence")]["Value"]) == 2
    scheduled = of_step(both, {})[tag("ScheduledStepAttributesSequence")]["Value"]
    assert [found_at(each, "AccessionNumber")["Value"] for each in scheduled] == [["Access"], ["Access+"]]


@pytest.mark.req("X-MOD-52")
def test_an_unscheduled_step_names_its_study_alone() -> None:
    own = attribute("StudyInstanceUID", "1.2.3") | attribute("PatientID", "P1")
    (scheduled,) = of_step([], own)[tag("ScheduledStepAttributesSequence")]["Value"]
    assert found_at(scheduled, "StudyInstanceUID") == {"vr": "UI", "Value": ["1.2.3"]}
    assert all("Value" not in one for key, one in scheduled.items() if key != tag("StudyInstanceUID"))
    assert tag("RequestAttributesSequence") not in of_images([], own)
