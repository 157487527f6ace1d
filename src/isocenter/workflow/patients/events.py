"""What the events of ADT messages ask for (HL7 2.8 chapter 3): data, by the event's code."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Does(StrEnum):
    """What an event does."""

    UPDATE = "update"
    """The patient, or the visit, is so from now on."""
    MERGE = "merge"
    """All that was the prior patient's is the patient's."""
    RENUMBER = "renumber"
    """A visit or an account of the patient has another number."""
    MOVE = "move"
    """A visit or an account of the prior patient is the patient's."""
    FORGET_VISIT = "forget-visit"
    """The visit was a mistake."""
    DELETE = "delete"
    """The patient was a mistake."""
    LINK = "link"
    """Two numbers are of one person; both stay."""
    UNLINK = "unlink"


class Of(StrEnum):
    """What the numbers of MRG are of: MRG-1 and PID-3, MRG-3 and PID-18, MRG-5 and PV1-19."""

    PATIENT = "patient"
    ACCOUNT = "account"
    VISIT = "visit"


class Event(NamedTuple):
    """One event. `visit`: the state that the visit is in afterwards, '' for no news."""

    does: Does
    of: Of = Of.PATIENT
    visit: str = ""


PENDING, ACTIVE, ENDED, CANCELLED = "pending", "active", "ended", "cancelled"


def _updates(visit: str, *codes: str) -> dict[str, Event]:
    return dict.fromkeys(codes, Event(Does.UPDATE, visit=visit))


def _each(event: Event, *codes: str) -> dict[str, Event]:
    return dict.fromkeys(codes, event)


EVENTS: Final[Mapping[str, Event]] = {
    # admitted, moved, registered, inpatient to be, outpatient again, under way, arrived, not moved, not discharged
    **_updates(ACTIVE, "A01", "A02", "A04", "A06", "A07", "A09", "A10", "A12", "A13"),
    **_updates(PENDING, "A05", "A14"),
    **_updates(ENDED, "A03"),
    **_updates("", "A08", "A28", "A31"),
    "A11": Event(Does.UPDATE, visit=CANCELLED),
    "A23": Event(Does.FORGET_VISIT),
    "A29": Event(Does.DELETE),
    "A24": Event(Does.LINK),
    "A37": Event(Does.UNLINK),
    **_each(Event(Does.MERGE), "A18", "A34", "A36", "A39", "A40", "A43"),
    # A47 gives one patient another number; where that number is known too, the two have become one
    **_each(Event(Does.MERGE), "A46", "A47"),
    **_each(Event(Does.RENUMBER, Of.ACCOUNT), "A35", "A41", "A49"),
    **_each(Event(Does.RENUMBER, Of.VISIT), "A42", "A50"),
    "A44": Event(Does.MOVE, Of.ACCOUNT),
    "A45": Event(Does.MOVE, Of.VISIT),
}
"""A43 moves a number between two persons: where PID-3 differs from MRG-1, what was under the one is under the other.
A36 merges an account besides, by the numbers that it names."""
