"""What the orders of a message come to, before anything is written: which they are, whose, and what becomes of them.

A wrong message changes nothing: all of it is understood here, as a whole, or a MessageError names segment and field.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from isocenter.errors import ConfigurationError
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message
from isocenter.workflow.messages import reading
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.orders import exams as exam_tables
from isocenter.workflow.orders import filling, mapping
from isocenter.workflow.orders.controls import FILLS
from isocenter.workflow.orders.exams import Exams
from isocenter.workflow.orders.holding import Item, Order
from isocenter.workflow.orders.mapping import OrderMapping
from isocenter.workflow.orders.performing import Desk, perform
from isocenter.workflow.orders.requests import Match, Number, Request, requests_of
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State

_PID: Final = Location("PID", 1, 3, 1)
_ADMISSION: Final = "00380010"


class Book(Protocol):
    """What is known of orders and patients while one message is planned."""

    def find(self, numbers: Iterable[Number]) -> Match:
        """The order that goes by these numbers. Raises MessageError where they are numbers of two orders."""
        ...

    def entries(self, order_key: str) -> list[Entry]:
        """The steps of an order."""
        ...

    def holds(self, order_key: str) -> dict[str, State]:
        """Those that are held back, and the states they come back to."""
        ...

    def referenced(self, *, study_uid: str = "", accession: str = "") -> list[Entry]:
        """The steps of a study, or of an accession number."""
        ...

    def current(self, identity: str) -> str:
        """The identity that a patient goes by now, whom others may have been merged into."""
        ...

    def registered(self, identity: str, admission: str) -> Mapping[str, Any]:
        """What is known of a patient besides her orders, with a visit: that of this Admission ID, else the latest."""
        ...


class Nothing:
    """The book of an installation that knows nothing yet."""

    def find(self, numbers: Iterable[Number]) -> Match:
        """No order."""
        return Match("")

    def entries(self, order_key: str) -> list[Entry]:
        """No steps."""
        return []

    def holds(self, order_key: str) -> dict[str, State]:
        """None."""
        return {}

    def referenced(self, *, study_uid: str = "", accession: str = "") -> list[Entry]:
        """None."""
        return []

    def current(self, identity: str) -> str:
        """The same."""
        return identity

    def registered(self, identity: str, admission: str) -> Mapping[str, Any]:
        """Nothing."""
        return {}


class Rules(NamedTuple):
    """How the orders of a feed are read."""

    mapping: OrderMapping
    exams: Exams


def read(feed: Feed) -> Rules:
    """Read the mapping and the table of exams of a feed. Raises ConfigurationError where one of them is wrong."""
    table = exam_tables.read(Path(feed.exams).expanduser()) if feed.exams else Exams()
    return Rules(mapping.load(feed.mapping), table)


@lru_cache(maxsize=64)
def rules_of(feed: Feed) -> Rules:
    """Those of a feed, read once in a process: a reload makes others, which read what the files have then."""
    return read(feed)


def check(feeds: Iterable[Feed]) -> None:
    """See that the mappings and tables of feeds can be read. Raises ConfigurationError."""
    for feed in feeds:
        read(feed)


class _Meant(NamedTuple):
    """The order that a request is about, and its patient as the message has her ('' where it doesn't say)."""

    order_key: str
    patient: str


class Planner:
    """Plans messages of one feed."""

    def __init__(self, feed: Feed, clock: Callable[[], int]) -> None:
        try:
            self._rules = rules_of(feed)
        except ConfigurationError as wrong:
            raise MessageError(Condition.INTERNAL, "the mapping of this feed can't be read") from wrong
        self._feed = feed
        self._clock = clock

    def planned(self, book: Book, message: Message) -> list[Order]:
        """The orders of a message with what becomes of them. Raises MessageError."""
        desk = Desk(self._feed, *self._rules, self._now(message))
        grouped: dict[str, tuple[Order, list[Request]]] = {}
        for request in requests_of(message, self._rules.mapping, self._feed):
            meant = self._meant(book, request, (order for order, _ in grouped.values()))
            if meant.order_key not in grouped:
                grouped[meant.order_key] = (_begun(book, meant), [])
            order, requests = grouped[meant.order_key]
            if meant.patient and not _same_patient(order.patient, meant.patient):
                raise MessageError(Condition.DUPLICATE_KEY, "the order is another patient's", _PID)
            order.numbers.update(dict.fromkeys(request.numbers))
            requests.append(request)
        for order, requests in grouped.values():
            perform(order, requests, desk)
            _complete(book, order, self._feed)
        return [order for order, _ in grouped.values()]

    def _now(self, message: Message) -> str:
        """When the order first came: its own time, the message's, else ours."""
        for text in (message.first("ORC").value(9), message.header.time):
            try:
                if reading.moment(text, self._feed).time:
                    return text
            except ValueError:
                continue  # it stands in for a better one; the next is as good
        return datetime.fromtimestamp(self._clock() / 1e6, UTC).strftime("%Y%m%d%H%M%S+0000")

    def _meant(self, book: Book, request: Request, begun: Iterable[Order]) -> _Meant:
        patient = self._patient(book, request)
        here = (order.key for order in begun if order.numbers.keys() & set(request.numbers))
        key = _numbered(book, request, patient) or next(here, "") or _referred(book, request, patient)
        if not key and not request.numbers:
            raise MessageError(Condition.REQUIRED_FIELD, "the order has no number", _number_place(request))
        return _Meant(key or request.numbers[0].key, patient)

    def _patient(self, book: Book, request: Request) -> str:
        told = filling.fill(
            self._rules.mapping.identity, self._feed, filling.Part(request.scope), {}, lambda _: "", {}
        ).model
        if not of.text(told, of.PATIENT_ID):
            if request.action in FILLS:
                raise MessageError(Condition.REQUIRED_FIELD, "the order has no patient identifier", _PID)
            return ""
        return book.current(of.identity_of(told))


def _numbered(book: Book, request: Request, patient: str) -> str:
    """The order of a request's numbers. A number of unknown authority is no other patient's order: there may be two."""
    match = book.find(request.numbers)
    if match.order_key and not match.exact and patient:
        holders = (each.identity for each in book.entries(match.order_key))
        return match.order_key if all(_same_patient(holder, patient) for holder in holders) else ""
    return match.order_key


def _referred(book: Book, request: Request, patient: str) -> str:
    """The order of a request that knows it by the study or the accession number alone: never one that places an order,
    and never another patient's."""
    if request.is_new or not patient:
        return ""
    by_study = book.referenced(study_uid=request.study_uid) if request.study_uid else []
    by_accession = book.referenced(accession=request.accession) if request.accession else []
    for found in (by_study, by_accession):
        keys = {each.order_key for each in found if _same_patient(each.identity, patient)}
        if len(keys) == 1:
            return keys.pop()
    return ""


def _begun(book: Book, meant: _Meant) -> Order:
    """The order as it stands."""
    entries = book.entries(meant.order_key)
    holders = {each.identity for each in entries}
    if meant.patient and any(not _same_patient(holder, meant.patient) for holder in holders):
        raise MessageError(Condition.DUPLICATE_KEY, "the order is another patient's", _PID)
    items = [Item(entry.model, entry.state, entry) for entry in entries]
    held = book.holds(meant.order_key) if entries else {}
    return Order(meant.order_key, meant.patient or next(iter(holders), ""), items, held, dict(held))


def _complete(book: Book, order: Order, feed: Feed) -> None:
    """Make each step whole: of this patient, with what the order left out of her."""
    for item in order.items:
        if order.patient:
            item.model = of.identified(item.model, _fuller(item.entry, order.patient))
        if item.entry is None:
            known = book.registered(order.patient, of.text(item.model, _ADMISSION))
            if not known and feed.unregistered == "refuse":
                raise MessageError(Condition.UNKNOWN_KEY, "the patient is not registered", _PID)
            item.model = {**{tag: value for tag, value in known.items() if tag != of.STEPS}, **item.model}
        if not of.text(item.model, of.PATIENT_ID):
            raise MessageError(Condition.REQUIRED_FIELD, "the order has no patient identifier", _PID)


def _same_patient(one: str, other: str) -> bool:
    """The same identifier, and the same issuer where both have one; of nobody, anybody's."""
    (issuer, _, patient), (other_issuer, _, other_patient) = one.partition("\\"), other.partition("\\")
    if not one or not other:
        return True
    return patient == other_patient and (issuer == other_issuer or not issuer or not other_issuer)


def _fuller(entry: Entry | None, patient: str) -> str:
    """The identity that names an issuer."""
    return entry.identity if entry is not None and patient.startswith("\\") else patient


def _number_place(request: Request) -> Location:
    if request.appointment:
        return Location("SCH", 1, 2, 1)
    return request.place._replace(segment="ORC", field=2)
