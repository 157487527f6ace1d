"""An ADT message as plain values: who, what of him, which visit, and who he was before."""

from collections.abc import Callable
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Message, Segment
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.messages.reading import Identifier, patient_identifier
from isocenter.workflow.patients.attributes import ADMISSION_ID, Changes, of_patient, of_visit, values
from isocenter.workflow.patients.events import Does, Event, Of

Describing = Callable[[Message, Feed], Changes]
"""What the patient's segments say of attributes, by the feed's mapping: only what is said, None for what is deleted."""

_NUMBERS: Final = {Of.ACCOUNT: (("PID", 18), ("MRG", 3)), Of.VISIT: (("PV1", 19), ("MRG", 5))}
_LONGEST_ID: Final = 64


class Told(NamedTuple):
    """What one PID with what stands behind it tells."""

    identity: str
    prior: str = ""
    """The identity of MRG-1, or of the second PID of a link; '' for none."""
    patient: Changes = {}  # noqa: RUF012 - nothing writes to it
    visit: Changes = {}  # noqa: RUF012
    visit_id: str = ""
    prior_visit: str = ""
    account: str = ""
    prior_account: str = ""

    def number(self, of: Of) -> tuple[str, str]:
        """(prior, present) number of the account, or of the visit."""
        return (self.prior_account, self.account) if of is Of.ACCOUNT else (self.prior_visit, self.visit_id)


def told(message: Message, event: Event, feed: Feed, describing: Describing) -> list[Told]:
    """What a message tells, patient by patient. Raises MessageError where what the event needs is missing."""
    groups = list(message.groups("PID"))
    if not groups:
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message has no PID segment", Location("PID"))
    if event.does in (Does.LINK, Does.UNLINK):
        return [_linked(groups, feed)]
    return [_one(group, number, event, feed, describing) for number, group in enumerate(groups, 1)]


def patient_of(message: Message, feed: Feed, describing: Describing) -> Told:
    """Whom a message is about that is no ADT: its first PID. Raises MessageError where there is none."""
    return _one(next(message.groups("PID"), message), 1, Event(Does.UPDATE), feed, describing)


def _one(group: Message, number: int, event: Event, feed: Feed, describing: Describing) -> Told:
    pid, mrg = group.first("PID"), group.first("MRG")
    changes = describing(group, feed)
    found = Told(
        _identity(pid, feed, Location("PID", number, 3)),
        "",
        of_patient(changes),
        of_visit(changes),
        *(_number(group.first(name), field) for name, field in (("PV1", 19), ("MRG", 5), ("PID", 18), ("MRG", 3))),
    )
    if event.of is Of.ACCOUNT and not found.visit_id:
        # what the mapping takes from PID-18 for want of a visit's number is the account's
        found = found._replace(visit={tag: each for tag, each in found.visit.items() if tag != ADMISSION_ID})
    elif admission := values(found.visit.get(ADMISSION_ID)):
        found = found._replace(visit_id=admission)  # by the feed's mapping, as the entries have it
    if event.does in (Does.MERGE, Does.MOVE):
        found = found._replace(prior=_identity(mrg, feed, Location("MRG", number, 1), field=1))
    if event.does in (Does.RENUMBER, Does.MOVE):
        _check_numbers(found, number, event)
    return found


def _linked(groups: list[Message], feed: Feed) -> Told:
    if len(groups) < 2:
        raise MessageError(Condition.SEGMENT_SEQUENCE, "two PID segments are needed", Location("PID", 2))
    one, two = (_identity(groups[at].first("PID"), feed, Location("PID", at + 1, 3)) for at in (0, 1))
    return Told(one, two)


def _check_numbers(found: Told, number: int, event: Event) -> None:
    """A number that an event changes has to be there; a move may keep it."""
    (present, at), (before, prior_at) = _NUMBERS[event.of]
    prior, now = found.number(event.of)
    if not prior and not (event.does is Does.MOVE and now):
        raise MessageError(
            Condition.REQUIRED_FIELD, f"the {event.of}'s prior number is missing", Location(before, number, prior_at)
        )
    if not now and event.does is Does.RENUMBER:
        raise MessageError(Condition.REQUIRED_FIELD, f"the {event.of}'s number is missing", Location(present, 1, at))


def _identity(segment: Segment, feed: Feed, place: Location, *, field: int = 3) -> str:
    found: Identifier | None = patient_identifier(segment, feed, field)
    if found is None:
        raise MessageError(Condition.REQUIRED_FIELD, "a patient identifier is missing", place)
    if any(len(part) > _LONGEST_ID or "\\" in part or not part.isprintable() for part in (found.id, found.issuer)):
        raise MessageError(Condition.DATA_TYPE, "no DICOM attribute can hold this identifier", place)
    return found.identity


def _number(segment: Segment, field: int) -> str:
    """A visit or account number, '' where there is none or it is deleted."""
    text = segment.value(field).strip()
    return "" if text == NULL else text[:_LONGEST_ID]
