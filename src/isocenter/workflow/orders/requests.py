"""An order message as requests: what is asked for one step each, with the segments that concern it.

The groups of ORM^O01, OMG^O19 and OMI^O23 begin with ORC; a group has a step for each of its IPC segments, else for
each of its OBR segments. SIU messages have one for each AIS, with the resources of its group (HL7 2.8 4.4, 10.3).
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Message, Segment
from isocenter.rules.paths import parse
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders.controls import Action, action_of
from isocenter.workflow.orders.mapping import OrderMapping
from isocenter.workflow.orders.sources import Kind, Level, Scope

_STEP_ID: Final = str(parse("ScheduledProcedureStepSequence.ScheduledProcedureStepID"))
_PRIOR: Final = frozenset({"PID", "PD1", "PV1"})
_MOST: Final = 500
"""Orders of one message."""
_MOST_SEGMENTS: Final = 10_000
_RESOURCES: Final = frozenset({"AIS", "AIG", "AIL", "AIP"})


class Number(NamedTuple):
    """A number that an order, or an appointment, is known by."""

    kind: str
    """placer, filler, placer-appointment, filler-appointment."""
    number: str
    authority: str
    place: Location

    @property
    def key(self) -> str:
        """The number with its authority, as text."""
        return f"{self.kind} {self.authority}\\{self.number}"


class Match(NamedTuple):
    """The order that goes by a number; '' for none."""

    order_key: str
    exact: bool = True
    """By the number with its authority; otherwise one of both names none."""


class Request(NamedTuple):
    """What a message asks for one step, or for an order as a whole."""

    action: Action
    place: Location
    """Where that is said."""
    numbers: tuple[Number, ...]
    scope: Scope
    exam: str = ""
    """The code of the exam: the universal service."""
    scheme: str = ""
    codes: frozenset[str] = frozenset()
    """All codes that the step may go by."""
    step_id: str = ""
    """'' where the message names none."""
    procedure_id: str = ""
    study_uid: str = ""
    accession: str = ""
    several: bool = False
    """The message says each step itself, in segments of its own: the table of exams adds none."""
    appointment: bool = False

    @property
    def is_new(self) -> bool:
        """It places an order; an appointment may be made for one that is there."""
        return self.action is Action.NEW and not self.appointment


def requests_of(message: Message, mapping: OrderMapping, feed: Feed) -> list[Request]:
    """All that a message asks for, in its order. Raises MessageError where it asks for nothing, or for too much."""
    if len(message.segments) > _MOST_SEGMENTS:
        raise MessageError(Condition.INTERNAL, "the message has too many segments for one of orders")
    found = _of_appointment if message.header.message == "SIU" else _of_orders
    requests = list(islice(found(message, mapping, feed), _MOST + 1))
    if len(requests) > _MOST:
        raise MessageError(Condition.INTERNAL, f"the message has more than {_MOST} orders", requests[-1].place)
    return requests


# --- orders


def _of_orders(message: Message, mapping: OrderMapping, feed: Feed) -> Iterator[Request]:
    segments = _without_priors(message.segments)
    starts = "ORC" if any(each.name == "ORC" for each in segments) else "OBR"
    groups = list(Message(segments, message.delimiters).groups(starts))
    if not groups:
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message holds no order", Location("ORC"))
    patient = tuple(segments[: segments.index(groups[0].segments[0])])
    studies = [each for each in segments if each.name == "ZDS"]
    for group in groups:
        inherited = _study_of(group.segments, groups, studies)
        for own, shared in _steps(group.segments):
            scope = Scope(message, own, shared, inherited, patient)
            yield _request(scope, mapping, feed, several=any(each.name == "IPC" for each in own))


def _request(scope: Scope, mapping: OrderMapping, feed: Feed, *, several: bool) -> Request:
    orc, obr = scope.first("ORC"), scope.first("OBR")
    place = _place(scope.message, orc, 1)
    placer = _number("placer", scope, (orc, 2), (obr, 2), feed=feed)
    filler = _number("filler", scope, (orc, 3), (obr, 3), feed=feed)
    request = Request(action_of(_text(orc, 1), place), place, (*placer, *filler), scope, several=several)
    return _coded(request, obr, 4, mapping)


def _coded(request: Request, segment: Segment, field: int, mapping: OrderMapping) -> Request:
    scope, obr = request.scope, request.scope.first("OBR")
    exam = _text(segment, field) or _text(segment, field, 4)
    scheme = _text(segment, field, 3) if _text(segment, field) else _text(segment, field, 6)
    codes = {
        exam,
        _text(segment, field, 4),
        _text(obr, 44),
        *(_text(each, 6) for each in scope.levels[0] if _is_ipc(each)),
    }
    return request._replace(
        exam=exam,
        scheme=scheme,
        codes=frozenset(code for code in codes if code),
        step_id=named(mapping, scope, _STEP_ID),
        procedure_id=named(mapping, scope, "RequestedProcedureID"),
        study_uid=named(mapping, scope, "StudyInstanceUID"),
        accession=named(mapping, scope, "AccessionNumber"),
    )


def _is_ipc(segment: Segment) -> bool:
    return segment.name == "IPC"


def named(mapping: OrderMapping, scope: Scope, path: str) -> str:
    """An identifier as the message itself gives it, by the mapping's fields; '' for none."""
    row = mapping.by_name.get(path)
    for source in row.sources if row else ():
        found = scope.found(source) if source.kind is Kind.FIELD else []
        if found and not found[0].deletes:
            return found[0].repetitions[0][0][0].strip()
    return ""


def _without_priors(segments: Sequence[Segment]) -> list[Segment]:
    """The segments without the prior results of OMG and OMI, which bring a patient and orders of their own: from a PID
    behind the first order up to the next order that is not theirs."""
    kept: list[Segment] = []
    begun = skipping = False
    to_skip = 0
    for at, segment in enumerate(segments):
        if begun and segment.name == "PID":
            skipping, to_skip = True, _orders_of_prior(segments[at:])
        elif segment.name == "ORC" and skipping:
            skipping, to_skip = to_skip > 0, to_skip - 1
        begun = begun or segment.name in ("ORC", "OBR")
        if not skipping:
            kept.append(segment)
    return kept


def _orders_of_prior(segments: Sequence[Segment]) -> int:
    """1 where the prior result's own order begins with ORC, 0 where it has OBR alone."""
    first = next((each.name for each in segments if each.name in ("ORC", "OBR")), "")
    return int(first == "ORC")


def _steps(group: Sequence[Segment]) -> Iterator[tuple[Level, Level]]:
    """(the step's own segments, those it shares with the others of its order)."""
    names = [each.name for each in group]
    divider = "IPC" if "IPC" in names else "OBR"
    if names.count(divider) < (1 if divider == "IPC" else 2):
        yield (), tuple(group)
        return
    starts = [at for at, name in enumerate(names) if name == divider]
    shared = tuple(group[: starts[0]])
    for start, end in zip(starts, [*starts[1:], len(group)], strict=True):
        own = [*group[start:end]]
        # what follows the last step but belongs to the whole
        tail = tuple(each for each in group[starts[-1] + 1 :] if each.name == "ZDS")
        yield tuple(each for each in own if each not in tail), (*shared, *tail)


def _study_of(group: Sequence[Segment], groups: Sequence[Message], studies: Sequence[Segment]) -> Level:
    """The ZDS of a group that has none: where the message has but one, of the same requested procedure."""
    if len(studies) != 1 or any(each is studies[0] for each in group):
        return ()
    owner = next((each for each in groups if any(one is studies[0] for one in each.segments)), None)
    if owner is None:
        return ()
    mine, theirs = (_text(_first(each, "OBR"), 19) for each in (group, owner.segments))
    return (studies[0],) if mine == theirs else ()


# --- appointments


def _of_appointment(message: Message, mapping: OrderMapping, feed: Feed) -> Iterator[Request]:
    sch = message.first("SCH")
    if not len(sch):
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message holds no appointment", Location("SCH"))
    groups = list(message.groups("RGS")) or [message]
    place = Location("MSH", 1, 9, 1, 2)
    action = action_of(message.header.event, place)
    general = tuple(each for each in message.segments if each.name not in (*_RESOURCES, "RGS"))
    services = max(len(message.all("AIS")), 1)
    at = 0
    for group in groups:
        for own, shared in _services(group.segments):
            scope = Scope(message, own, shared, general)
            ais = scope.first("AIS")
            numbers = _appointment_numbers(scope, sch, at if services > 1 else 0, services, feed)
            yield _coded(Request(action, place, numbers, scope, appointment=True), ais, 3, mapping)
            at += 1


def _services(group: Sequence[Segment]) -> Iterator[tuple[Level, Level]]:
    """The services of a group, each with its notes, and the resources that they share."""
    runs: list[list[Segment]] = []
    for segment in group:
        if segment.name in _RESOURCES:
            runs.append([segment])
        elif segment.name == "NTE" and runs:
            runs[-1].append(segment)
    shared = tuple(each for run in runs if run[0].name != "AIS" for each in run)
    services = [run for run in runs if run[0].name == "AIS"]
    for run in services or [[]]:
        yield tuple(run), shared


def _appointment_numbers(scope: Scope, sch: Segment, at: int, services: int, feed: Feed) -> tuple[Number, ...]:
    """Those of the order behind the appointment first: where SCH-26 and SCH-27 list one for each service, its own."""
    found: list[Number] = []
    for kind, field in (("placer", 26), ("filler", 27)):
        repetition = at + 1 if len(sch.field(field)) == services else 1
        found += _number(kind, scope, (sch, field), feed=feed, repetition=repetition)
    for kind, field in (("placer-appointment", 1), ("filler-appointment", 2)):
        found += _number(kind, scope, (sch, field), feed=feed)
    return tuple(found)


# --- fields


def _number(
    kind: str, scope: Scope, *places: tuple[Segment, int], feed: Feed, repetition: int = 1
) -> tuple[Number, ...]:
    for segment, field in places:
        number = _text(segment, field, repetition=repetition)
        if number:
            authority = (
                _text(segment, field, 2, repetition) or _text(segment, field, 3, repetition) or feed.order_authority
            )
            return (Number(kind, number, authority, _place(scope.message, segment, field)),)
    return ()


def _text(segment: Segment, field: int, component: int = 1, repetition: int = 1) -> str:
    text = segment.value(field, component, 1, repetition).strip()
    return "" if text == NULL else text


def _first(segments: Sequence[Segment], name: str) -> Segment:
    return next((each for each in segments if each.name == name), Segment(name, ()))


def _place(message: Message, segment: Segment, field: int) -> Location:
    same = message.all(segment.name)
    return Location(segment.name, next((n for n, each in enumerate(same, 1) if each is segment), 1), field, 1)
