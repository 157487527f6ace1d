"""Acknowledgements: what is answered to a message, in the layout of its version (HL7 2.8 2.9, 2.14.1, ERR, MSA)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from isocenter.hl7.charset import codec_of
from isocenter.hl7.delimiters import Delimiters
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import Message, Segment, segment

_TEXT: Final = 250
"""Characters of a comment; ERR-8 may have as many in the versions that say so."""


class Code(StrEnum):
    """HL7 table 0008. The first three of original mode and of the application, the others of accepting (2.9.3)."""

    AA = "AA"
    AE = "AE"
    AR = "AR"
    CA = "CA"
    CE = "CE"
    CR = "CR"


class Answered(NamedTuple):
    """A message's outcome: what was wrong, if anything; `warnings` are told beside success."""

    fault: MessageError | None = None
    warnings: Sequence[MessageError] = ()

    def code(self, *, accepting: bool) -> Code:
        """How it is said."""
        if self.fault is None:
            return Code.CA if accepting else Code.AA
        if self.fault.condition.rejects:
            return Code.CR if accepting else Code.AR
        return Code.CE if accepting else Code.AE


class Way(NamedTuple):
    """Which acknowledgements a message asks for (2.9.2, 2.9.3)."""

    accept: bool
    application: bool


def way_of(message: Message, *, failed: bool) -> Way:
    """Which acknowledgements are due: in enhanced mode by MSH-15 and MSH-16 (table 0155), else the one there is."""
    header = message.header
    if not header.enhanced:
        return Way(accept=False, application=True)
    due = {"AL": True, "NE": False, "ER": failed, "SU": not failed}
    return Way(due.get(header.accept, False), due.get(header.application, False))


def acknowledgement(
    message: Message, answered: Answered, *, now: datetime, control_id: str, accepting: bool = False
) -> Message:
    """The answer to a message. `now` has a time zone; `control_id` is the answer's own."""
    header, d = message.header, message.delimiters
    known = header.version if _numbers(header.version) else "2.5"
    kind: tuple[str, ...] = ("ACK", header.event, "ACK") if _numbers(known) >= (2, 4) else ("ACK", header.event)
    declared = message.segments[0].value(18)
    msh = segment(
        "MSH",
        *("", "", header.receiving_application, header.receiving_facility),
        *(header.sending_application, header.sending_facility),
        now.strftime("%Y%m%d%H%M%S%z"),
        "",
        kind if header.event else ("ACK",),
        control_id,
        header.processing or "P",
        known,
        *("", "", "", "", ""),
        declared if codec_of(declared) else "",
        delimiters=d,
    )
    parts = [d.field, d.encoding_characters, *(msh.raw(n) for n in range(3, len(msh) + 1))]
    while not parts[-1]:
        parts.pop()
    fault = answered.fault
    told = [each for each in (fault, *answered.warnings) if each is not None]
    comment = fault.comment[:_TEXT] if fault and _numbers(known) < (2, 7) else ""
    msa = segment(
        "MSA", answered.code(accepting=accepting), header.control_id, *([comment] if comment else []), delimiters=d
    )
    errors = [_error(each, known, d, severe=each is fault) for each in told]
    return Message([Segment("MSH", parts, d), msa, *errors], d)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if len(parts) > 1 and all(part.isdecimal() for part in parts) else ()


def _error(fault: MessageError, version: str, d: Delimiters, *, severe: bool) -> Segment:
    code = (str(int(fault.condition)), fault.condition.text, "HL70357")
    place = fault.location
    if _numbers(version) < (2, 5):
        # ELD: segment, its number, field, code and text
        where = (place.segment, str(place.sequence), str(place.field or "")) if place else ("", "", "")
        return segment("ERR", (*where, code), delimiters=d)
    return segment(
        "ERR", "", _place(place), code, "E" if severe else "W", "", "", "", fault.comment[:_TEXT], delimiters=d
    )


def _place(place: Location | None) -> tuple[str, ...]:
    if place is None:
        return ()
    numbers = (place.field, place.repetition or (1 if place.field else 0), place.component, place.subcomponent)
    return (place.segment, str(place.sequence), *(str(number) if number else "" for number in numbers))


def condition_of(answer: Message) -> tuple[Code | None, str]:
    """What an acknowledgement that came back says: its code, and the sender's words for what is wrong."""
    msa, err = answer.first("MSA"), answer.first("ERR")
    written = msa.value(1)
    code = Code(written) if written in Code.__members__ else None
    return code, err.value(8) or err.value(3, 2) or msa.value(3) or (Condition.INTERNAL.text if code is None else "")
