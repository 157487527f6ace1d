"""What requests make of an order, in memory: nothing is written before a message is understood as a whole."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.rules.paths import Path
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders import filling, identifiers
from isocenter.workflow.orders.controls import FILLS, HELD, Action, is_performed, is_settled, moved, status_of
from isocenter.workflow.orders.exams import Exams, Step
from isocenter.workflow.orders.filling import Part
from isocenter.workflow.orders.holding import Item, Order, matches, targets
from isocenter.workflow.orders.mapping import STEPS, OrderMapping, Row
from isocenter.workflow.orders.requests import Request
from isocenter.workflow.worklist.attributes import Model
from isocenter.workflow.worklist.states import State

_ORDER_NUMBERS: Final = (
    *("PlacerOrderNumberImagingServiceRequest", "OrderPlacerIdentifierSequence"),
    *("FillerOrderNumberImagingServiceRequest", "OrderFillerIdentifierSequence"),
)
_OF_ONE_STEP: Final = frozenset({"ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence"})
"""What a request that speaks of several steps at once does not change."""
_PROTOCOLS: Final = "00400008"
_ITS: Final = frozenset({"order", "procedure", "study", "step"})


class Desk(NamedTuple):
    """What orders of a feed are worked on with."""

    feed: Feed
    mapping: OrderMapping
    exams: Exams
    now: str
    """The time at which a message came, as HL7 writes it."""


def perform(order: Order, requests: Sequence[Request], desk: Desk) -> None:
    """Do to the order what the requests ask for, in their order. Raises MessageError for what is wrong."""
    seen: Counter[str] = Counter()
    for request in requests:
        order.numbers.update(dict.fromkeys(request.numbers))
        if request.action in FILLS:
            _fill(order, request, desk, seen, alone=len(requests) == 1)
        else:
            _PERFORM[request.action](order, request, desk)


# --- attributes


def _fill(order: Order, request: Request, desk: Desk, seen: "Counter[str]", *, alone: bool) -> None:
    if request.action is Action.CHANGE and not order.is_known:
        _unknown(order, request, desk)
    steps: Sequence[Step | None] = _listed(request, desk.exams) or [None]
    ordinal = seen[request.exam]
    if request.several:
        steps = [_own(steps[ordinal % len(steps)])]
    seen[request.exam] += 1
    for step in steps:
        work = _Work(order, request, desk, Part(request.scope, step), ordinal)
        work.fill(alone=alone and len(steps) == 1)


def _listed(request: Request, exams: Exams) -> list[Step]:
    """The lines of the table for the exam, else for another code that the step goes by."""
    found = exams.steps(request.exam, request.scheme)
    return found or next((steps for code in sorted(request.codes) if (steps := exams.steps(code))), [])


def _own(step: Step | None) -> Step | None:
    """A line of the table for a step that the message describes, with identifiers of its own."""
    return step._replace(procedure=0, step=0) if step else None


def _unknown(order: Order, request: Request, desk: Desk) -> None:
    place = request.numbers[0].place if request.numbers else request.place
    if desk.feed.unknown_orders == "refuse":
        raise MessageError(Condition.UNKNOWN_KEY, "no order is known by this number", place)
    order.warnings.append(MessageError(Condition.UNKNOWN_KEY, "no order was known by this number; it was made", place))


class _Work:
    """One step being filled."""

    def __init__(self, order: Order, request: Request, desk: Desk, part: Part, ordinal: int) -> None:
        self._order, self._request, self._desk, self._part = order, request, desk, part
        exam = part.exam
        self._procedure = f"{request.exam}/{exam.procedure if exam else 0}"
        self._step = (self._procedure, str(exam.step if exam else 0), str(ordinal))

    def fill(self, *, alone: bool) -> None:
        names = (self._order.key, self._order.patient)
        step_id = "" if self._part.skips("step") else self._request.step_id
        request = self._request._replace(step_id=step_id)
        found = matches(self._order, request, identifiers.number("step", *names, *self._step), alone=alone)
        if not found:
            self._add()
        for item in found:
            self._change(item, whole=len(found) > 1)

    def _add(self) -> None:
        if not self._request.appointment and not len(self._part.scope.first("OBR")):
            # an order of medicine or meals, say
            raise MessageError(Condition.SEGMENT_SEQUENCE, "the order has no OBR", Location("OBR"))
        status = status_of(self._part.scope, self._desk.mapping.values)
        state = (status.state if status else None) or State.SCHEDULED
        item = Item(self._filled({}), state, told=True)
        self._order.items.append(item)
        if status is not None and status.told == HELD:
            _hold(self._order, item)

    def _change(self, item: Item, *, whole: bool) -> None:
        former = item.model
        model = self._filled(former)
        if whole:
            _keep(model, former, self._rows(lambda row: row.keyword in _OF_ONE_STEP))
        if is_performed(item.state):
            kept = _keep(model, former, self._rows(lambda row: row.generated in _ITS))
            if kept:
                self._warn("the step was begun with other identifiers; they stay")
        if item.told:
            _add_protocols(model, former)
        item.model, item.told = model, True
        self._move(item)

    def _move(self, item: Item) -> None:
        if self._request.action is Action.NEW and item.state is State.CANCELLED:
            item.state = self._order.held.pop(item.step_id, State.SCHEDULED)
        status = status_of(self._part.scope, self._desk.mapping.values)
        if status is not None and item.step_id not in self._order.held:
            _told(self._order, item, status.told)

    def _filled(self, former: Mapping[str, Any]) -> Model:
        desk = self._desk
        kin = {} if former else self._kin()
        filled = filling.fill(desk.mapping, desk.feed, self._part, former, self._generated, kin)
        self._order.warnings += filled.warnings
        return filled.model

    def _kin(self) -> Mapping[str, Any]:
        """Another step of the same requested procedure; failing that one of the order, of which a new procedure has
        only the order's own."""
        exam = self._part.exam
        codes = {exam.values["procedure"]} if exam and exam.values.get("procedure") else self._request.codes
        wanted = "" if self._part.skips("procedure") else self._request.procedure_id
        for item in self._order.present:
            same = item.procedure_id == wanted if wanted else not codes or bool(item.codes & codes)
            if same:
                return item.model
        others = self._order.present
        own = [row.path for row in self._desk.mapping.rows if row.generated in ("procedure", "study")]
        return _without(others[0].model, own) if others else {}

    def _generated(self, kind: str) -> str:
        names = (self._order.key, self._order.patient)
        if kind == "now":
            return self._desk.now
        if kind == "study":
            return identifiers.study_uid(*names, self._of_procedure())
        if kind == "order":
            return identifiers.number("order", *names)
        return identifiers.number(kind, *names, *(self._step if kind == "step" else (self._of_procedure(),)))

    def _of_procedure(self) -> str:
        return ("" if self._part.skips("procedure") else self._request.procedure_id) or self._procedure

    def _rows(self, wanted: Callable[[Row], bool]) -> Iterator[Row]:
        return (row for row in self._desk.mapping.rows if wanted(row))

    def _warn(self, comment: str) -> None:
        self._order.warnings.append(MessageError(Condition.RECORD_LOCKED, comment, self._request.place))


def _without(model: Mapping[str, Any], paths: Sequence[Path]) -> Mapping[str, Any]:
    left = dict(model)
    for path in paths:
        left.pop(f"{path.top:08X}", None)
    return left


def _keep(model: Model, former: Mapping[str, Any], rows: Iterator[Row]) -> bool:
    """Put back what the former model had of these; whether it was another value."""
    kept = False
    for row in rows:
        tag = f"{row.path.steps[-1].tag:08X}"
        inside = row.path.top == STEPS
        now, then = (_step(model), _step(former)) if inside else (model, former)
        if tag in then and now.get(tag) != then[tag]:
            now[tag], kept = then[tag], True
    return kept


def _step(model: Mapping[str, Any]) -> Model:
    step: Model = model[f"{STEPS:08X}"]["Value"][0]
    return step


def _add_protocols(model: Model, former: Mapping[str, Any]) -> None:
    """Several order groups of one step have a protocol code each (RAD-4)."""
    now, then = _step(model), _step(former)
    listed = [*then.get(_PROTOCOLS, {}).get("Value", ()), *now.get(_PROTOCOLS, {}).get("Value", ())]
    if listed:
        unique = [each for at, each in enumerate(listed) if each not in listed[:at]]
        now[_PROTOCOLS] = {"vr": "SQ", "Value": unique}


# --- states


def _told(order: Order, item: Item, told: str) -> None:
    if told == HELD:
        _hold(order, item)
    elif told:
        item.state = moved(item.state, State(told))


def _hold(order: Order, item: Item) -> None:
    """Hide a step that is not begun."""
    if not is_performed(item.state) and item.state is not State.CANCELLED:
        order.held[item.step_id] = item.state
        item.state = State.CANCELLED


def _chosen(order: Order, request: Request) -> list[Item]:
    found = targets(order, request)
    if found is None:
        raise MessageError(Condition.UNKNOWN_KEY, "the order has no such step", _step_place(request))
    if not found:
        place = request.numbers[0].place if request.numbers else request.place
        order.warnings.append(MessageError(Condition.UNKNOWN_KEY, "no order is known by this number", place))
    return found


def _step_place(request: Request) -> Location:
    return Location("IPC", 1, 4) if request.several else request.place._replace(segment="OBR", field=20)


def _status(order: Order, request: Request, desk: Desk) -> None:
    status = status_of(request.scope, desk.mapping.values)
    for item in _chosen(order, request) if status is not None else ():
        _told(order, item, status.told if status else "")


def _cancel(order: Order, request: Request, _: Desk) -> None:
    for item in _chosen(order, request):
        if is_settled(item.state):
            comment = "the step was done or discontinued before; it stays so"
            order.warnings.append(MessageError(Condition.RECORD_LOCKED, comment, request.place))
            continue
        item.state = moved(item.state, State.CANCELLED)
        order.held.pop(item.step_id, None)


def _discontinue(order: Order, request: Request, _: Desk) -> None:
    for item in _chosen(order, request):
        item.state = moved(item.state, State.DISCONTINUED)
        order.held.pop(item.step_id, None)


def _delete(order: Order, request: Request, desk: Desk) -> None:
    """What was made by mistake goes; what was begun can't have been one."""
    for item in _chosen(order, request):
        if is_performed(item.state):
            _cancel(order, request._replace(step_id=item.step_id), desk)
            continue
        item.gone = True
        order.held.pop(item.step_id, None)


def _on_hold(order: Order, request: Request, _: Desk) -> None:
    for item in _chosen(order, request):
        _hold(order, item)


def _release(order: Order, request: Request, _: Desk) -> None:
    for item in _chosen(order, request):
        former = order.held.pop(item.step_id, None)
        if former is not None and item.state is State.CANCELLED:
            item.state = former


def _number(order: Order, request: Request, desk: Desk) -> None:
    """Numbers that were assigned: the order goes by them from now on."""
    numbers, part = desk.mapping.only(_ORDER_NUMBERS), Part(request.scope)
    for item in _chosen(order, request):
        item.model = filling.fill(numbers, desk.feed, part, item.model, lambda _: "", {}).model


def _nothing(order: Order, request: Request, desk: Desk) -> None:
    """Answers to requests of others."""


_PERFORM: Final[Mapping[Action, Callable[[Order, Request, Desk], None]]] = {
    Action.STATUS: _status,
    Action.CANCEL: _cancel,
    Action.DISCONTINUE: _discontinue,
    Action.DELETE: _delete,
    Action.HOLD: _on_hold,
    Action.RELEASE: _release,
    Action.NUMBER: _number,
    Action.NONE: _nothing,
}
