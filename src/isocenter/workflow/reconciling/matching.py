"""Which worklist item a study belongs to: what is asked, and what is made of the answers (I-TWF-05 to -07, I-GAP-14).

A worklist may return more than it was asked for, so every answer is compared again here. Only one item that fits, and
that contradicts nothing, is a confident match.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from isocenter.config.reconciling import Reconciling
from isocenter.declarations.reconciling import COMPARED, STEPS, STUDY_DATE
from isocenter.errors import Reason, Refused
from isocenter.workflow.reconciling.models import Model, item_value, same, steps_of, study_value, text
from isocenter.workflow.reconciling.rows import Candidate
from isocenter.workflow.reconciling.states import Finding

_DATE = "ScheduledProcedureStepStartDate"


class Asked(NamedTuple):
    """What a worklist is asked for: keywords of `COMPARED` with their values, a date as a range."""

    keys: Mapping[str, str]

    def __bool__(self) -> bool:
        return any(self.keys.values())


def asked_of(model: Mapping[str, Any], modalities: Iterable[str], settings: Reconciling) -> Asked:
    """What a study asks for. An attribute that it has no value of is left open; so is the modality of a study that has
    several."""
    keys = {keyword: study_value(model, keyword) for keyword in settings.match}
    if "Modality" in keys:
        several = list(dict.fromkeys(each for each in modalities if each))
        keys["Modality"] = several[0] if len(several) == 1 else ""
    if settings.days and (span := _span(text(model, STUDY_DATE), settings.days)):
        keys[_DATE] = span
    return Asked({keyword: value for keyword, value in keys.items() if value})


def asked_by_hand(keys: Mapping[str, str]) -> Asked:
    """What a person asks for, by keywords of `COMPARED`. Raises Refused(BAD_REQUEST)."""
    for keyword in keys:
        if keyword not in COMPARED:
            raise Refused(Reason.BAD_REQUEST, f"{keyword} is none of {', '.join(COMPARED)}")
    asked = Asked({keyword: value for keyword, value in keys.items() if value})
    if not asked:
        raise Refused(Reason.BAD_REQUEST, "nothing to ask for")
    return asked


def _span(day: str, days: int) -> str:
    try:
        at = date.fromisoformat(day.strip()[:8])
        first, last = at - timedelta(days), at + timedelta(days)
    except (ValueError, OverflowError):
        return ""
    return f"{first:%Y%m%d}-{last:%Y%m%d}"


def lacking(asked: Asked, settings: Reconciling) -> bool:
    """Whether a study says too little to be looked for."""
    needed = set(settings.needed) & set(settings.match)
    return not asked or any(not asked.keys.get(keyword) for keyword in needed)


def single_steps(item: Mapping[str, Any]) -> list[Model]:
    """A worklist item, once for each of its steps."""
    return [{**item, STEPS: {"vr": "SQ", "Value": [step]}} for step in steps_of(item)]


def fits(item: Mapping[str, Any], asked: Asked, modalities: Iterable[str] = ()) -> bool:
    """Whether an item of one step has what was asked for, and one of the modalities where that was left open."""
    wanted = [each for each in modalities if each]
    for keyword, value in asked.keys.items():
        theirs = item_value(item, keyword)
        if not (_within(value, theirs) if keyword == _DATE else same(COMPARED[keyword], value, theirs)):
            return False
    modality = item_value(item, "Modality")
    return "Modality" in asked.keys or not wanted or not modality or modality in wanted


def _within(span: str, day: str) -> bool:
    first, dash, last = span.partition("-")
    return bool(day) and first <= day <= (last if dash else first)


def contradictions(model: Mapping[str, Any], item: Mapping[str, Any], settings: Reconciling) -> list[str]:
    """The keywords of what should agree and does not."""
    found = []
    for keyword in settings.agree:
        ours, theirs = study_value(model, keyword), item_value(item, keyword)
        if ours and theirs and not same(COMPARED[keyword], ours, theirs):
            found.append(keyword)
    return found


def judged(model: Mapping[str, Any], found: Iterable[Candidate], settings: Reconciling) -> Finding:
    """What the items that fit come to."""
    candidates = list(found)
    if not candidates:
        return Finding.NONE
    if len(candidates) > 1:
        return Finding.SEVERAL
    return Finding.CONTRADICTS if contradictions(model, candidates[0].model, settings) else Finding.MATCHED
