"""Reading fields as a feed means them: identifiers, times, and what an empty field says.

An empty field changes nothing, one that holds two quotes deletes (HL7 2.8 2.5.3).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Repetition, Segment

_TIME: Final = re.compile(
    r"(?P<date>\d{8})(?:(?P<hour>\d{2})(?P<minute>\d{2})?(?P<second>\d{2})?(?:\.(?P<fraction>\d{1,6})\d*)?)?"
    r"(?P<offset>[+-]\d{4})?"
)
_PARTIAL: Final = re.compile(r"\d{4}(?:\d{2})?(?:[+-]\d{4})?")


def said(values: Mapping[str, str]) -> dict[str, str | None]:
    """What values change: those that are empty are left out, None deletes."""
    return {name: None if value == NULL else value for name, value in values.items() if value}


class Identifier(NamedTuple):
    """A CX: an identifier and who assigned it."""

    id: str
    issuer: str
    """The namespace of the assigning authority (CX.4.1); where it has none, its universal ID."""
    universal_id: str = ""
    universal_id_type: str = ""
    type: str = ""
    """HL7 table 0203: MR, PI, PT ..."""

    @property
    def identity(self) -> str:
        """As identities of patients are written here: `issuer\\id`."""
        return f"{self.issuer}\\{self.id}"


def identifiers(segment: Segment, number: int, feed: Feed) -> list[Identifier]:
    """The identifiers of a field, those that are empty or deleted left out. The feed's issuer stands in where none is
    named."""
    found = (_identifier(repetition, feed) for repetition in segment.field(number))
    return [each for each in found if each.id]


def patient_identifier(segment: Segment, feed: Feed, number: int = 3) -> Identifier | None:
    """The identifier that is the Patient ID, of PID-3 or of another field such as MRG-1: of the feed's best assigning
    authority, else the first. PID-2 stands in for an empty PID-3, as before version 2.3.1."""
    found = identifiers(segment, number, feed)
    if not found and segment.name == "PID" and number == 3:
        found = identifiers(segment, 2, feed)
    for authority in feed.authority:
        for each in found:
            if authority in (each.issuer, each.universal_id):
                return each
    return found[0] if found else None


def _identifier(repetition: Repetition, feed: Feed) -> Identifier:
    def part(component: int, sub: int = 1) -> str:
        if component > len(repetition) or sub > len(repetition[component - 1]):
            return ""
        text = repetition[component - 1][sub - 1].strip()
        return "" if text == NULL else text

    universal = part(4, 2)
    return Identifier(part(1), part(4) or universal or feed.issuer, universal, part(4, 3), part(5))


class Moment(NamedTuple):
    """A time as DICOM writes it."""

    date: str
    """DA; '' where the text holds no whole date."""
    time: str
    """TM; '' where there is none."""


def moment(text: str, feed: Feed) -> Moment:
    """A TS or DTM in the feed's time zone. Raises ValueError for what is none; NULL is to be looked for before."""
    return _moment(text.strip(), feed.time_zone)


@lru_cache(maxsize=256)
def _moment(text: str, zone: str) -> Moment:
    # a field is read for its date and again for its time, and several fields of a message hold the same
    if not text or _PARTIAL.fullmatch(text):
        return Moment("", "")
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no date and time of HL7")
    date = found["date"]
    day = datetime(int(date[:4]), int(date[4:6]), int(date[6:]))
    if found["hour"] is None:
        return Moment(date, "")
    at = day.replace(
        hour=int(found["hour"]),
        minute=int(found["minute"] or 0),
        second=min(int(found["second"] or 0), 59),
        microsecond=int((found["fraction"] or "").ljust(6, "0")),
    )
    if found["offset"] is not None:
        at = _moved(at.replace(tzinfo=_offset(found["offset"])), zone)
    time = f"{at:%H}"
    if found["minute"] is not None:
        time = f"{at:%H%M%S}" if found["second"] is not None else f"{at:%H%M}"
    elif at.minute:
        time = f"{at:%H%M}"
    return Moment(f"{at:%Y%m%d}", f"{time}.{found['fraction']}" if found["second"] and found["fraction"] else time)


def moment_of(segment: Segment, number: int, feed: Feed, *, component: int = 1, sequence: int = 1) -> Moment:
    """The time in a field; empty where it holds none, or deletes. Raises MessageError that names the field."""
    text = segment.value(number, component)
    try:
        return moment("" if text == NULL else text, feed)
    except ValueError as wrong:
        place = Location(segment.name, sequence, number, 1, component)
        raise MessageError(Condition.DATA_TYPE, "this is no date and time", place) from wrong


def written(at: int, feed: Feed) -> str:
    """Microseconds UTC as a TS of the feed's zone, with its offset."""
    return _moved(datetime.fromtimestamp(at / 1e6, UTC), feed.time_zone).strftime("%Y%m%d%H%M%S%z")


def zone_of(name: str) -> tzinfo | None:
    """The zone of a name; None, this machine's, for ''. Raises ValueError for an unknown one."""
    return _zone(name) if name else None


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as unknown:  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(f"{name!r} is no time zone") from unknown


def _moved(at: datetime, zone: str) -> datetime:
    return at.astimezone(zone_of(zone))


def _offset(text: str) -> timezone:
    hours, minutes = int(text[1:3]), int(text[3:5])
    if hours > 14 or minutes > 59:
        raise ValueError("no offset of a time zone")
    shift = timedelta(hours=hours, minutes=minutes)
    return timezone(-shift if text[0] == "-" else shift)
