"""Messages of orders and appointments, carried out: planned as a whole, then written to the worklist, in the
transaction that marks the message as processed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from isocenter.errors import Refused
from isocenter.hl7.errors import Condition, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.messages.handling import Feed, Handler
from isocenter.workflow.orders.holding import Item, Order
from isocenter.workflow.orders.numbers import Numbers
from isocenter.workflow.orders.planning import Planner
from isocenter.workflow.orders.requests import Match, Number
from isocenter.workflow.patients import registered
from isocenter.workflow.worklist.entries import Worklist, now
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State

EVENTS: Final = (
    *("ORM^O01", "OMG^O19", "OMI^O23"),
    *("SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S16", "SIU^S17", "SIU^S26"),
)
"""The messages that are understood."""


class Filed:
    """The book of an installation in one transaction: its worklist, its numbers of orders, its registered patients."""

    def __init__(self, connection: Connection, worklist: Worklist, numbers: Numbers) -> None:
        self._connection = connection
        self._worklist = worklist
        self._numbers = numbers

    def find(self, numbers: Iterable[Number]) -> Match:
        """The order that goes by these numbers."""
        return self._numbers.find(self._connection, numbers)

    def entries(self, order_key: str) -> list[Entry]:
        """The steps of an order."""
        return self._worklist.of_order(self._connection, order_key)

    def holds(self, order_key: str) -> dict[str, State]:
        """Those that are held back."""
        return self._numbers.holds(self._connection, order_key)

    def referenced(self, *, study_uid: str = "", accession: str = "") -> list[Entry]:
        """The steps of a study, or of an accession number."""
        return self._worklist.referenced(self._connection, study_uid=study_uid, accession=accession)

    def current(self, identity: str) -> str:
        """The identity of the patient that this one was merged into, or the same."""
        return registered.current(self._connection, identity)

    def registered(self, identity: str, admission: str) -> Mapping[str, Any]:
        """What ADT messages said of the patient, with the visit of this Admission ID, else the latest that goes on."""
        found = registered.of(self._connection, identity)
        if found is None:
            return {}
        visits = registered.visits(self._connection, found.id)
        named = [each for each in visits if admission and each.visit_id == admission]
        active = [each for each in visits if not admission and each.state == "active"]
        visit = next(iter((*named, *active)), None)
        return {**(visit.model if visit is not None else {}), **found.model}


class Orders:
    """The handler of orders and appointments."""

    outside = False

    def __init__(self, worklist: Worklist, clock: Callable[[], int] = now) -> None:
        self._worklist = worklist
        self._numbers = Numbers(clock)
        self._clock = clock

    def before(self, message: Message, feed: Feed) -> None:
        """Nothing is done outside the database."""

    def apply(self, connection: Connection, message: Message, feed: Feed) -> Iterable[MessageError]:
        """Do what the message asks for; what was odd about it. Raises MessageError for a message that is wrong."""
        book = Filed(connection, self._worklist, self._numbers)
        orders = Planner(feed, self._clock).planned(book, message)
        for order in orders:
            self._write(connection, order, feed)
        return [warning for order in orders for warning in order.warnings]

    def _write(self, connection: Connection, order: Order, feed: Feed) -> None:
        changed = [item for item in order.items if item.is_changed]
        # a step's number is part of what it is known by: another one makes another entry
        former = [item.entry for item in changed if item.entry and (item.gone or item.entry.step_id != item.step_id)]
        self._worklist.remove(connection, [entry.id for entry in former])
        for item in changed:
            if not item.gone:
                self._put(connection, order, item, feed)
        if order.items:
            self._numbers.note(connection, order.numbers, order.key)
        if order.held != order.held_before:
            self._numbers.hold(connection, order.key, order.held)

    def _put(self, connection: Connection, order: Order, item: Item, feed: Feed) -> None:
        try:
            self._worklist.put(connection, order.key, item.model, state=item.state, source=feed.name)
        except Refused as refused:
            # a mapping of a site's own can do what DICOM can't hold; what was written is undone
            raise MessageError(Condition.DATA_TYPE, refused.comment) from refused


def handlers(worklist: Worklist) -> dict[str, Handler]:
    """By message type and event."""
    return dict.fromkeys(EVENTS, Orders(worklist))
