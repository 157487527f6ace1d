"""Which worklist item fits a study, and what the study takes over from it."""

from typing import Any

import pytest

from held_archives import attribute, item
from isocenter.config import build
from isocenter.config.loading import check
from isocenter.config.reconciling import Reconciling
from isocenter.declarations.reconciling import REQUESTS, TAKEN
from isocenter.dicom.dictionary import keyword_of, tag_of, vr_of
from isocenter.errors import ConfigurationError, Refused
from isocenter.workflow.reconciling.changes import taken_from, typed
from isocenter.workflow.reconciling.matching import asked_by_hand, asked_of, contradictions, fits, lacking, single_steps


def study(**values: str) -> dict[str, Any]:
    """Patient and study as an object has them."""
    wanted = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyDate": "20240131", "Modality": "CT", **values}
    return {tag: each for name, value in wanted.items() for tag, each in attribute(name, value).items()}


@pytest.mark.parametrize(
    ("settings", "values", "order", "expected"),
    [
        ({}, {}, {}, True),
        ({}, {"PatientID": "p1 "}, {}, True),
        ({}, {"PatientID": "P*"}, {}, False),
        ({}, {"AccessionNumber": "A1"}, {}, True),
        ({}, {"AccessionNumber": "A2"}, {}, False),
        ({"match": ("PatientName",)}, {"PatientName": "DOE^JANET^^"}, {}, True),
        ({"match": ("PatientName",)}, {"PatientName": "Doe^Jan"}, {}, False),
        ({"match": ("PatientName",)}, {"PatientName": "Böhm"}, {"PatientName": "bohm"}, True),
        ({"match": ("PatientID",)}, {"Modality": "MR"}, {}, False),
        ({"match": ("ScheduledStationAETitle",)}, {"ScheduledStationAETitle": "CT1"}, {}, True),
        ({"match": ("ScheduledStationAETitle",)}, {"ScheduledStationAETitle": "CT2"}, {}, False),
        ({"days": 1}, {"StudyDate": "20240201"}, {}, True),
        ({"days": 1}, {"StudyDate": "20240202"}, {}, False),
        ({"days": 1}, {"StudyDate": "nonsense"}, {}, True),
        ({"match": ("RequestedProcedureID",)}, {"StudyID": "RP1"}, {}, True),
    ],
)
@pytest.mark.req("I-TWF-07")
def test_an_item_fits_by_the_attributes_that_are_set(
    settings: dict[str, Any], values: dict[str, str], order: dict[str, str], expected: bool
) -> None:
    model = study(**values)
    asked = asked_of(model, [values.get("Modality", "CT")], Reconciling(**settings))
    (step,) = single_steps(item(**order))
    assert fits(step, asked, [values.get("Modality", "CT")]) is expected


def test_a_study_of_several_modalities_leaves_the_modality_open() -> None:
    asked = asked_of(study(), ["CT", "SR"], Reconciling())
    assert "Modality" not in asked.keys
    assert fits(item(), asked, ["CT", "SR"])
    assert not fits(item({"Modality": "US"}), asked, ["CT", "SR"])


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        ({}, {}, False),
        ({"PatientID": ""}, {}, True),
        ({"PatientID": ""}, {"needed": ()}, False),
        ({"PatientID": "", "Modality": ""}, {"needed": ()}, True),
        ({}, {"needed": ("PatientID", "AccessionNumber")}, True),
        ({}, {"match": ("AccessionNumber",)}, True),
    ],
)
def test_a_study_that_says_too_little_is_not_looked_for(
    values: dict[str, str], settings: dict[str, Any], expected: bool
) -> None:
    wanted = Reconciling(**settings)
    assert lacking(asked_of(study(**values), [values.get("Modality", "CT")], wanted), wanted) is expected


def test_what_should_agree_and_does_not_is_told() -> None:
    model = study(PatientBirthDate="19700301", PatientSex="M")
    assert contradictions(model, item(), Reconciling()) == ["PatientSex"]
    assert contradictions(model, item(PatientSex=""), Reconciling()) == []
    assert contradictions(model, item(), Reconciling(agree=())) == []


@pytest.mark.parametrize("keys", [{}, {"PatientID": ""}, {"Rows": "1"}])
def test_a_person_asks_for_something(keys: dict[str, str]) -> None:
    with pytest.raises(Refused):
        asked_by_hand(keys)


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: taken.keyword)
def test_each_attribute_is_taken_over_where_the_item_has_a_value(taken: Any) -> None:
    assert taken.tag == f"{tag_of(taken.keyword):08X}"
    assert taken.vr == vr_of(int(taken.tag, 16))
    values: list[Any] = [{"Alphabetic": "New^Name"}] if taken.vr == "PN" else [{}] if taken.vr == "SQ" else ["1"]
    if taken.vr == "SQ":
        values = [attribute("CodeValue", "X")]
    given = {**item(PatientID="P1"), taken.of_item: {"vr": taken.vr, "Value": values}}
    assert taken_from(study(), given)[taken.tag] == {"vr": taken.vr, "Value": values}
    assert taken.tag not in taken_from(study(), given, leave=(taken.keyword,))


def test_an_empty_value_of_the_same_patient_changes_nothing() -> None:
    changes = taken_from(study(PatientSex="F"), item(PatientSex="", PatientBirthDate=""))
    assert "00100040" not in changes
    assert "00100030" not in changes


def test_an_issuer_that_only_one_names_makes_no_other_patient() -> None:
    changes = taken_from(study(EthnicGroup="x"), item(IssuerOfPatientID="HOSPITAL"))
    assert changes["00100021"]["Value"] == ["HOSPITAL"]
    assert "00102160" not in changes


def test_the_request_names_order_and_step() -> None:
    (request,) = taken_from(study(), item())[REQUESTS]["Value"]
    assert {keyword_of(int(tag, 16)): each["Value"][0] for tag, each in request.items()} == {
        "AccessionNumber": "A1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.10.999.7.77",
        "RequestedProcedureDescription": "CT of the thorax",
        "RequestedProcedureID": "RP1",
        "ScheduledProcedureStepDescription": "Thorax plain",
        "ScheduledProcedureStepID": "S1",
    }
    assert REQUESTS not in taken_from(study(), item(), leave=("RequestAttributesSequence",))


def test_typed_values_are_checked_as_edits_are() -> None:
    assert typed(attribute("PatientName", "Roe^Jane")) == attribute("PatientName", "Roe^Jane")
    for wrong in (
        {},
        {"00280010": {"vr": "US", "Value": [1]}},
        {"00100010": 1},
        {"00100040": {"vr": "CS", "Value": 1}},
    ):
        with pytest.raises(Refused):
            typed(wrong)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"match": ["Rows"]}, "match"),
        ({"needed": ["Nothing"]}, "needed"),
        ({"agree": ["patientid"]}, "agree"),
        ({"leave": ["StudyInstanceUID"]}, "leave"),
    ],
)
def test_attributes_that_are_none_are_refused(settings: dict[str, Any], named: str) -> None:
    aes = [{"title": "A"}, {"title": "TWF", "role": "reconcile", "reconciling": settings}]
    with pytest.raises(ConfigurationError, match=named):
        check(build({"ae": aes}))


def test_the_first_ae_is_an_archive() -> None:
    with pytest.raises(ConfigurationError, match="role"):
        check(build({"ae": [{"title": "TWF", "role": "reconcile"}]}))
