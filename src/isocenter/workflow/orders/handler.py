"""Messages of orders and appointments, carried out: planned as a whole, then written to the worklist, in the
transaction that marks the message as processed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from isocenter.workflow.patients import joining, moved, registered
from isocenter.workflow.patients.events import ACTIVE
from isocenter.workflow.patients.registered import Registered
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
        self._people: dict[str, Registered | None] = {}
        self.former: dict[str, str] = {}
        """The number by which the message calls a patient, by the present one, where that is another."""
        self.held: dict[tuple[str, str], Sequence[tuple[str, str]]] = {}
        """What is known of the numbers that were asked for (`Numbers.held`)."""

    def find(self, numbers: Iterable[Number]) -> Match:
        """The order that goes by these numbers."""
        listed = list(numbers)
        self.held.update(self._numbers.held(self._connection, listed))
        return self._numbers.find(listed, self.held)

    def entries(self, order_key: str) -> list[Entry]:
        """The steps of an order, which are to be changed."""
        return self._worklist.of_order(self._connection, order_key, locked=True)

    def holds(self, order_key: str) -> dict[str, State]:
        """Those that are held back."""
        return self._numbers.holds(self._connection, order_key)

    def referenced(self, *, study_uid: str = "", accession: str = "") -> list[Entry]:
        """The steps of a study, or of an accession number."""
        return self._worklist.referenced(self._connection, study_uid=study_uid, accession=accession)

    def current(self, identity: str) -> str:
        """The identity of the patient that this one was merged into, or the same."""
        found = self._people[identity] = registered.of(self._connection, identity)
        if found is None or not found.merged_into:
            return identity
        current = registered.current_for_message(self._connection, identity)
        self.former[current] = identity
        return current

    def registered(self, identity: str, admission: str) -> Mapping[str, Any]:
        """What ADT messages said of the patient, with the visit of this Admission ID, else the one that goes on: of
        several none, since the order may belong to any."""
        here = identity in self._people
        found = self._people[identity] if here else registered.of(self._connection, identity)
        if found is None:
            return {}
        visits = registered.visits(self._connection, found.id)
        wanted = [each for each in visits if (each.visit_id == admission if admission else each.state == ACTIVE)]
        return {**(wanted[0].model if len(wanted) == 1 else {}), **found.model}


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
            self._write(connection, order, feed, book)
        return [warning for order in orders for warning in order.warnings]

    def _write(self, connection: Connection, order: Order, feed: Feed, book: Filed) -> None:
        changed = [item for item in order.items if item.is_changed]
        # a step's number is part of what it is known by: another one makes another entry
        former = [item.entry for item in changed if item.entry and (item.gone or item.entry.step_id != item.step_id)]
        self._worklist.remove(connection, [entry.id for entry in former])
        removed = {entry.id for entry in former}
        known = [item.entry for item in order.items if item.entry is not None and item.entry.id not in removed]
        for item in changed:
            if not item.gone:
                entry = self._put(connection, order, item, known, feed)
                if item.entry is None and (named := book.former.get(entry.identity)) is not None:
                    said = joining.unsupplemented(connection, named, entry.identity, entry.model)
                    joining.join(connection, "worklist", entry.id, named, moved.Orders(), said, entry.model)
        if order.items:
            self._numbers.note(connection, order.numbers, order.key, book.held)
        if order.held != order.held_before:
            self._numbers.hold(connection, order.key, order.held)

    def _put(self, connection: Connection, order: Order, item: Item, known: Sequence[Entry], feed: Feed) -> Entry:
        try:
            return self._worklist.put(
                connection, order.key, item.model, state=item.state, source=feed.name, known=known
            )
        except Refused as refused:
            # a mapping of a site's own can do what DICOM can't hold; what was written is undone
            raise MessageError(Condition.DATA_TYPE, refused.comment) from refused


def handlers(worklist: Worklist) -> dict[str, Handler]:
    """By message type and event."""
    return dict.fromkeys(EVENTS, Orders(worklist))
