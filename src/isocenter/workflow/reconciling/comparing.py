"""A study beside its candidates, value by value, for a person who has to choose (I-TWF-06)."""

from typing import Any, Final

from isocenter.declarations.reconciling import COMPARED, STUDY_DATE, TAKEN
from isocenter.workflow.reconciling.models import item_value, same, study_value, text
from isocenter.workflow.reconciling.rows import Study

_FURTHER: Final = tuple(
    taken for taken in TAKEN if taken.vr != "SQ" and taken.keyword not in COMPARED and taken.tag != STUDY_DATE
)
"""What is taken over beside what is compared."""


def compared(study: Study) -> list[dict[str, Any]]:
    """A row for each attribute that the study or a candidate has a value of: the values, and whether each candidate's
    is the same."""
    found: list[dict[str, Any]] = []
    for keyword, one in COMPARED.items():
        ours = "\\".join(study.modalities) if keyword == "Modality" else study_value(study.model, keyword)
        theirs = [item_value(each.model, keyword) for each in study.candidates]
        alike = [bool(ours) and bool(value) and same(one, value, ours) for value in theirs]
        if ours or any(theirs):
            found.append({"attribute": keyword, "study": ours, "candidates": theirs, "same": alike})
    for taken in _FURTHER:
        ours = text(study.model, taken.tag)
        theirs = [text(each.model, taken.of_item) for each in study.candidates]
        if ours or any(theirs):
            alike = [bool(ours) and value == ours for value in theirs]
            found.append({"attribute": taken.keyword, "study": ours, "candidates": theirs, "same": alike})
    return found
