"""Reading the query of the URI service: what each parameter means, and what is told about those that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.imaging.picture import Picture, Region, Window
from isocenter.web.problem import Problem
from isocenter.web.wado_uri.parameters import PARAMETERS, asked_of

REQUIRED = {"requestType": "WADO", "studyUID": "1.2", "seriesUID": "1.3", "objectUID": "1.4"}


def test_the_least_that_can_be_asked_for() -> None:
    asked = asked_of(list(REQUIRED.items()))
    assert (asked.study_uid, asked.series_uid, asked.sop_uid) == ("1.2", "1.3", "1.4")
    assert asked.picture == Picture()
    assert (asked.types, asked.anonymize, asked.syntaxes, asked.frame, asked.drawn) == ((), False, (), None, ())


def test_everything_that_can_be_asked_for() -> None:
    query = REQUIRED | {
        "contentType": "image/png;q=0.5,image/jpeg", "charset": "utf-8", "anonymize": "yes", "frameNumber": "3",
        "annotation": "technique,patient", "rows": "100", "columns": "200", "region": "0,0.25,.5,1",
        "windowCenter": "-1.5e2", "windowWidth": "400", "imageQuality": "75", "unknown": "x",
    }  # fmt: skip
    asked = asked_of(list(query.items()))
    assert [one.name for one in asked.types] == ["image/jpeg", "image/png"]
    assert (asked.anonymize, asked.frame) == (True, 3)
    window, region = Window(-150, 400), Region(0, 0.25, 0.5, 1)
    assert asked.picture == Picture(quality=75, width=200, height=100, region=region, window=window,
                                    annotations=("technique", "patient"))  # fmt: skip


def test_the_case_of_names_and_empty_values_do_not_matter() -> None:
    query = [("REQUESTTYPE", "wado"), ("StudyUid", " 1.2 "), ("seriesuid", "1.3"), ("objectUid", "1.4"), ("rows", "")]
    assert asked_of(query) == asked_of(list(REQUIRED.items()))


def test_a_lossy_object_may_have_a_quality() -> None:
    asked = asked_of([*REQUIRED.items(), ("contentType", "application/dicom"), ("imageQuality", "50"),
                      ("transferSyntax", "1.2.840.10008.1.2.4.50")])  # fmt: skip
    assert asked.picture.quality == 50
    assert asked.syntaxes == ("1.2.840.10008.1.2.4.50",)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ([("requestType", "RS")], "requestType"),
        ([("studyUID", "1" * 300)], "studyUID"),
        ([("anonymize", "no")], "anonymize"),
        ([("frameNumber", "0")], "frameNumber"),
        ([("frameNumber", "1,2")], "frameNumber"),
        ([("frameNumber", "99999999999")], "frameNumber"),
        ([("rows", "0")], "rows"),
        ([("columns", "1e9")], "columns"),
        ([("imageQuality", "101")], "imageQuality"),
        ([("annotation", "name")], "annotation"),
        ([("windowCenter", "40")], "together"),
        ([("windowWidth", "40")], "together"),
        ([("windowCenter", "x"), ("windowWidth", "40")], "decimal"),
        ([("windowCenter", "40"), ("windowWidth", "0")], "width"),
        ([("region", "0,0,1")], "region"),
        ([("region", "0,0,2,1")], "region"),
        ([("region", "0.5,0,0.5,1")], "region"),
        ([("region", "nan,0,1,1")], "region"),
        ([("presentationUID", "1.5")], "together"),
        ([("presentationSeriesUID", "1.5")], "together"),
        ([("presentationUID", "1.5"), ("presentationSeriesUID", "1.6"), ("region", "0,0,1,1")], "region"),
        ([("presentationUID", "1.5"), ("presentationSeriesUID", "1.6"), ("anonymize", "yes")], "anonymize"),
        ([("contentType", "application/dicom"), ("frameNumber", "1")], "frameNumber"),
        ([("contentType", "application/dicom"), ("annotation", "patient")], "annotation"),
        ([("contentType", "application/dicom"), ("imageQuality", "50")], "imageQuality"),
        ([("contentType", "image/jpeg"), ("transferSyntax", "1.2.840.10008.1.2.1")], "transferSyntax"),
    ],
)
def test_what_is_wrong_is_told(query: list[tuple[str, str]], word: str) -> None:
    names = {name for name, _ in query}
    with pytest.raises(Problem) as told:
        asked_of([*((name, value) for name, value in REQUIRED.items() if name not in names), *query])
    assert told.value.status == 400
    assert word in told.value.detail


def test_what_is_there_twice_is_told() -> None:
    with pytest.raises(Problem, match="rows is given twice"):
        asked_of([*REQUIRED.items(), ("rows", "1"), ("Rows", "2")])


_NAMES = st.sampled_from([*PARAMETERS, "requesttype", "accept", "x"])
_VALUES = st.one_of(
    st.text(max_size=20), st.integers().map(str), st.floats().map(str),
    st.sampled_from(["WADO", "1.2", "yes", "image/png,*/*;q=0", "application/dicom", "0,0,1,1", "nan", "1e999", "-0"]),
)  # fmt: skip


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8))
def test_any_query_is_read_or_refused(query: list[tuple[str, str]]) -> None:
    given_names = {name.lower() for name, _ in query}
    whole = [*query, *((name, value) for name, value in REQUIRED.items() if name.lower() not in given_names)]
    told = ""
    try:
        asked_of(whole)
    except Problem as problem:
        told = f"{problem.status} {problem.detail}"
    assert told == "" or told.startswith("400 ")
