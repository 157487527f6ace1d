"""Tables of statuses, of events, of association rejections and of failures in communication (C-GEN-08, C-GEN-10)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Paragraph, Row, Table
from isocenter.conformance.templates import table
from isocenter.declarations import association_failures, commitment
from isocenter.declarations.activities import Activity, Commitment, Normalized
from isocenter.declarations.association_failures import REASONS, REJECTIONS, RESULTS, SOURCES
from isocenter.declarations.status_meanings import REACTIONS, answers
from isocenter.declarations.statuses import Service


def answer_tables(entity: Entity, activity: Activity, number: str) -> list[Table | Paragraph]:
    """What the AE answers, with why; the last row stands for everything else (C-CHK-06)."""
    assert entity.ae is not None
    if activity.commitment is Commitment.ANSWER:
        return _actions(entity, activity, number)
    if activity.commitment is Commitment.TOLD:
        return [_told(entity, activity, f"Table {number}-3"), _replies(entity, activity, f"Table {number}-4")]
    if activity.normalized is not None:
        return _normalized(entity, activity, activity.normalized, number)
    assert activity.dimse is not None
    rows = [
        (answer.status, answer.meaning, ", ".join(f"{code:04X}" for code in answer.codes), answer.reason)
        for answer in answers(activity.dimse, entity.ae.preset)
    ]
    title = f"Table {number}-3. Response statuses of {activity.dimse.command}"
    comment = Paragraph("Refusals and failures carry an Error Comment (0000,0902) that says what is amiss.")
    return [table("status-reasons", title, rows, ae=entity.title, about=activity.name), comment]


def _normalized(entity: Entity, activity: Activity, own: Normalized, number: str) -> list[Table | Paragraph]:
    """Statuses and events of a service of DIMSE-N."""
    statuses = own.by_preset.get(entity.ae.preset, own.statuses) if entity.ae is not None else own.statuses
    codes = {code: text for code, (_, text) in statuses.items()}
    names = {code: name for code, (name, _) in statuses.items()}
    kind, title = "status-reasons", f"Table {number}-3. Response statuses of {own.operations}"
    if activity.initiates:
        kind, title = "status-behaviour", f"Table {number}-3. Handling of response statuses of {own.operations}"
    found: list[Table | Paragraph] = [table(kind, title, _coded(codes, names), ae=entity.title, about=activity.name)]
    if own.events:
        rows = [(name, str(event), text) for event, (name, text) in own.events.items()]
        title = f"Table {number}-4. Events that are reported"
        found.append(table("event-reports", title, rows, ae=entity.title, about=activity.name))
    return found


def _actions(entity: Entity, activity: Activity, number: str) -> list[Table | Paragraph]:
    reasons = tuple((f"{code:04X}", text) for code, text in commitment.FAILURES.items())
    title = f"Table {number}-5. Failure Reason (0008,1197) of an instance"
    outstanding = [("Maximum number of outstanding Storage Commitment Requests", "any number; each is a job")]
    return [
        table(
            "status-reasons", f"Table {number}-3. Response statuses of N-ACTION", _coded(commitment.ACTIONS),
            ae=entity.title, about=activity.name,
        ),
        _reported(entity, activity, f"Table {number}-4"),
        Table(title, ("Code", "Meaning"), reasons, "failure-reasons", entity.title, activity.name),
        table("commitment-requests", f"Table {number}-7. Outstanding requests", outstanding, ae=entity.title),
    ]  # fmt: skip


def _coded(codes: Mapping[int, str], names: Mapping[int, str] = MappingProxyType({})) -> list[Row]:
    """A row for each code but processing failure, which comes last and stands for all others."""
    rows = [
        (_kind(code), names.get(code) or NAMES[code], f"{code:04X}", text)
        for code, text in codes.items()
        if code != _PROCESSING_FAILURE
    ]
    told = codes.get(_PROCESSING_FAILURE, "")
    return [*rows, ("Failure", NAMES[_PROCESSING_FAILURE], f"{_PROCESSING_FAILURE:04X}", f"{told}; anything else")]


def _kind(code: int) -> str:
    if not code:
        return "Success"
    return "Warning" if code in (0x0001, 0x0107, 0x0116) or 0xB000 <= code <= 0xBFFF else "Failure"


_PROCESSING_FAILURE: Final = 0x0110
NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0000: "Success",
        0x0110: "Processing failure",
        0x0112: "No such SOP instance",
        0x0113: "No such event type",
        0x0115: "Invalid argument value",
        0x0118: "No such SOP class",
        0x0119: "Class-instance conflict",
        0x0120: "Missing attribute",
        0x0121: "Missing attribute value",
        0x0123: "No such action type",
        0x0211: "Unrecognized operation",
        0x0213: "Resource limitation",
    }
)
"""Statuses of the N-services (PS3.7 C)."""


def _reported(entity: Entity, activity: Activity, title: str) -> Table:
    behavior = {
        commitment.SUCCESSFUL: "every instance of the request is kept",
        commitment.FAILURES_EXIST: "some are not: Failed SOP Sequence (0008,1198) names them with the reason of each",
    }
    rows = [(name, str(number), behavior[number]) for number, name in commitment.EVENTS.items()]
    return table("event-reports", f"{title}. Events that are reported", rows, ae=entity.title, about=activity.name)


def _told(entity: Entity, activity: Activity, title: str) -> Table:
    behavior = {
        commitment.SUCCESSFUL: "every instance of the request is noted as committed",
        commitment.FAILURES_EXIST: "each instance is noted as committed or failed, with its reason; that is logged and "
        "counted as an alarm",
    }
    rows = [(name, str(number), behavior[number]) for number, name in commitment.EVENTS.items()]
    return table("event-reports", f"{title}. Events received", rows, ae=entity.title, about=activity.name)


def _replies(entity: Entity, activity: Activity, title: str) -> Table:
    rows = _coded(commitment.ANSWERS)
    name = f"{title}. Response statuses of N-EVENT-REPORT"
    return table("event-status", name, rows, ae=entity.title, about=activity.name)


_ASKED: Final = (
    ("Success", "Success", "0000", "the request counts as sent; the report is waited for"),
    ("*", "Any other status", "any other", "the request counts as failed; where tries are left it is sent again"),
)
_DELIVERED: Final = (
    ("Success", "Success", "0000", "the report is delivered"),
    ("Warning", "Warnings such as attribute list error", "0107, 0001, 0116, B000-BFFF", "the report is delivered"),
    ("*", "Any other status", "any other", "the report is sent again later, as often as is set"),
)


def reaction_tables(entity: Entity, activity: Activity, number: str) -> list[Table | Paragraph]:
    """What the AE makes of the statuses that it is answered with."""
    title = f"Table {number}-3. Handling of response statuses of"
    if activity.commitment is Commitment.ASK:
        told = [_told(entity, activity, f"Table {number}-4"), _replies(entity, activity, f"Table {number}-5")]
        rows: Sequence[Row] = _ASKED
        return [table("status-behaviour", f"{title} N-ACTION", rows, ae=entity.title, about=activity.name), *told]
    if activity.commitment is Commitment.REPORT:
        done = table("status-behaviour", f"{title} N-EVENT-REPORT", _DELIVERED, ae=entity.title, about=activity.name)
        return [done, _reported(entity, activity, f"Table {number}-4")]
    if activity.normalized is not None:
        return _normalized(entity, activity, activity.normalized, number)
    assert activity.dimse is not None
    rows = [(each.status, each.meaning, each.codes, each.behavior) for each in REACTIONS[activity.dimse]]
    name = f"{title} {activity.dimse.command}"
    found: list[Table | Paragraph] = [table("status-behaviour", name, rows, ae=entity.title, about=activity.name)]
    if activity.dimse in (Service.MOVE, Service.GET):
        fields = [(*row[:3], _FIELDS.get(row[0], "(0000,0902)"), row[3]) for row in rows]
        name = f"Table {number}-6. Fields of the responses of {activity.dimse.command} that are looked at"
        found.append(table("move-status", name, fields, ae=entity.title, about=activity.name))
    return found


_COUNTS: Final = "(0000,1020) (0000,1021) (0000,1022) (0000,1023)"
_FIELDS: Final = MappingProxyType(
    {"Success": _COUNTS, "Pending": _COUNTS, "Cancel": _COUNTS, "Warning": f"{_COUNTS} (0000,0902) (0008,0058)"}
)
"""The numbers of remaining, completed, failed and warned sub-operations; Error Comment; the failed instances."""


def failure_table(entity: Entity, activity: Activity, number: str, *, scu: bool) -> Table:
    """What happens where communication fails."""
    failures = association_failures.AS_SCU if scu else association_failures.AS_SCP
    rows = [(failure.exception, failure.behavior) for failure in failures]
    title = f"Table {number}-{6 if activity.dimse is None else 4}. Communication failures"
    return table("failure-behaviour", title, rows, ae=entity.title, about=activity.name)


def rejection_table(entity: Entity, activity: Activity, number: str) -> Table:
    """Why associations are rejected."""
    rows = [
        (
            f"{answer.result} - {RESULTS[answer.result]}",
            f"{answer.source} - {SOURCES[answer.source]}",
            f"{answer.reason} - {REASONS[answer.source, answer.reason]}",
            when,
        )
        for answer, when in REJECTIONS
    ]
    title = f"Table {number}-7. Association rejection reasons (for all activities)"
    return table("rejections", title, rows, ae=entity.title, about=activity.name)
