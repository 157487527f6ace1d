"""Results and documents of HL7 messages as plain values: ORU^R01 and MDM (HL7 2.8 chapters 7 and 9).

Each OBR is a document of its own: its lines of text together, and each PDF that it brings. So is an MDM message.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Message, Segment
from isocenter.workflow.documents.codes import REPORT, Code, code_of
from isocenter.workflow.documents.observations import Line, is_study, lines_of, pdfs_of
from isocenter.workflow.messages.handling import Feed
from isocenter.workflow.messages.reading import Moment, moment_of
from isocenter.workflow.orders import names

_FINAL: Final = frozenset({"", "F", "C", "U", "AU", "LA"})
"""OBR-25 (table 0123) and TXA-17 (table 0271): no more is to come. Many senders leave it out."""
_CANCELLED: Final = frozenset({"X", "CA"})
_ADDS: Final = frozenset({"T06", "T10"})


MORE: Final = "#"
"""Between a number and the place of a further document of that number."""


class Kind(StrEnum):
    """What a document becomes."""

    TEXT = "text"
    PDF = "pdf"


class Numbers(NamedTuple):
    """What a document says that it is about."""

    accession: str = ""
    placer: str = ""
    filler: str = ""
    procedure: str = ""
    study_uid: str = ""


class Document(NamedTuple):
    """One document."""

    number: str
    kind: Kind
    title: Code
    numbers: Numbers
    status: str
    """As the message writes it: OBR-25 or TXA-17."""
    written: Moment
    lines: tuple[Line, ...] = ()
    pdf: bytes = b""
    author: str = ""
    verifier: str = ""
    """Who answers for it, as a value of VR PN; '' for nobody yet."""
    verified: Moment = Moment("", "")
    parent: str = ""
    """The number of the document that this one adds to, or replaces."""
    place: Location = Location()
    """Where its number stands."""

    @property
    def final(self) -> bool:
        """No more is to come."""
        return self.status in _FINAL

    @property
    def version(self) -> str:
        """Of its content: the same content again is the same version."""
        told = self._replace(pdf=hashlib.sha256(self.pdf).hexdigest().encode(), numbers=Numbers(), place=Location())
        text = json.dumps(told, default=bytes.decode, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Cancelled(NamedTuple):
    """A document that is none any more."""

    number: str
    place: Location


def documents(message: Message, feed: Feed) -> list[Document | Cancelled]:
    """What a message brings, each under a number of its own. Raises MessageError that names what is missing or can't be
    kept."""
    found = _document(message, feed) if message.header.message == "MDM" else _results(message, feed)
    seen = Counter[tuple[str, str]]()
    return [_numbered(each, seen) for each in found]


def _numbered(found: Document | Cancelled, seen: Counter[tuple[str, str]]) -> Document | Cancelled:
    """Several of one number and kind are told apart by their place in the message."""
    if isinstance(found, Cancelled):
        return found
    key = (found.number, found.kind)
    seen[key] += 1
    return found if seen[key] == 1 else found._replace(number=f"{found.number}{MORE}{seen[key]}")


def _results(message: Message, feed: Feed) -> list[Document | Cancelled]:
    found: list[Document | Cancelled] = []
    study, orc, number = _study_of(message), Segment("ORC", ()), 0
    for group in message.groups("ORC", "OBR"):
        if group.segments[0].name == "ORC":
            orc = group.segments[0]
            continue
        number += 1
        found += _result(group, orc, number, study, feed)
    if not number:
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message has no OBR segment", Location("OBR"))
    return found


def _result(group: Message, orc: Segment, sequence: int, study: str, feed: Feed) -> list[Document | Cancelled]:
    obr = group.segments[0]
    numbers = _numbers_of(obr, orc, _study_of(group) or study)
    own = _first(numbers.filler, numbers.placer, numbers.accession)
    if not own:
        raise MessageError(Condition.REQUIRED_FIELD, "the result has no number", Location("OBR", sequence, 3))
    status, place = obr.value(25).strip().upper(), Location("OBR", sequence, 3)
    if status in _CANCELLED:
        return [Cancelled(own, place)]
    written = _moment(obr, (22, 7), feed, sequence)
    verifier = _performer(obr, 32)
    basis = Document(
        own,
        Kind.TEXT,
        _titled(code_of(obr, 4)),
        numbers,
        status,
        written,
        author=_performer(obr, 35) or _performer(obr, 34) or verifier,
        verifier=verifier if status in _FINAL else "",
        verified=written,
        place=place,
    )
    return _of_observations(basis, group.all("OBX"), sequence)


def _document(message: Message, feed: Feed) -> list[Document | Cancelled]:
    txa, obr, orc = message.first("TXA"), message.first("OBR"), message.first("ORC")
    place = Location("TXA", 1, 12)
    if not len(txa):
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message has no TXA segment", Location("TXA"))
    number = _first(txa.value(12), txa.value(12, 3))
    if not number:
        raise MessageError(Condition.REQUIRED_FIELD, "the document has no number", place)
    if message.header.event == "T11":
        return [Cancelled(number, place)]
    named = _numbers_of(obr, orc, _study_of(message))
    numbers = named._replace(placer=named.placer or _plain(txa.value(14)), filler=named.filler or _plain(txa.value(15)))
    status = txa.value(17).strip().upper()
    verifier = _person(txa, 22) or _person(txa, 10) or _person(txa, 9)
    title = code_of(txa, 16)
    basis = Document(
        number,
        Kind.TEXT,
        _titled(title if title.meaning else code_of(obr, 4) if len(obr) else code_of(txa, 2)),
        numbers,
        status,
        _moment(txa, (4, 7, 6), feed),
        author=_person(txa, 9),
        verifier=verifier if status in _FINAL else "",
        verified=_moment(txa, (22,), feed, component=15) if txa.value(22, 15) else _moment(txa, (4, 7, 6), feed),
        parent=_first(txa.value(13), txa.value(13, 3)) if message.header.event in _ADDS else "",
        place=place,
    )
    return _of_observations(basis, message.all("OBX"), 1)


def _of_observations(basis: Document, observations: Sequence[Segment], sequence: int) -> list[Document | Cancelled]:
    """The documents that observations make. Raises MessageError where that is none."""
    found: list[Document | Cancelled] = []
    lines = lines_of(observations)
    if lines:
        found.append(basis._replace(lines=tuple(lines)))
    found += [basis._replace(kind=Kind.PDF, pdf=pdf) for pdf in pdfs_of(observations)]
    if not found:
        place_of = Location("OBX", sequence, 5)
        raise MessageError(Condition.REQUIRED_FIELD, "the document has neither text nor a PDF", place_of)
    return found


# --- fields


def _numbers_of(obr: Segment, orc: Segment, study_uid: str) -> Numbers:
    placer, filler = (_first(obr.value(number), orc.value(number)) for number in (2, 3))
    return Numbers(_plain(obr.value(18)), placer, filler, _plain(obr.value(19)), study_uid)


def _study_of(message: Message) -> str:
    """The Study Instance UID: of ZDS, IPC, or an observation that names it (IHE RAD TF-2 4.28)."""
    named = (message.first("ZDS").value(1), message.first("IPC").value(3))
    observed = (text for obx in message.all("OBX") if is_study(obx) for text in (obx.value(5, 2), obx.value(5)) if text)
    return _first(*named, *observed)


def _titled(code: Code) -> Code:
    return code if code.value or code.meaning else REPORT


def _moment(segment: Segment, fields: Sequence[int], feed: Feed, sequence: int = 1, *, component: int = 1) -> Moment:
    """The first of these times that there is."""
    for field in fields:
        found = moment_of(segment, field, feed, component=component, sequence=sequence)
        if found.date:
            return found
    return Moment("", "")


def _person(segment: Segment, field: int) -> str:
    return _name(names.person_of(segment.field(field)))


def _performer(segment: Segment, field: int) -> str:
    return _name(names.performer_of(segment.field(field)))


def _name(found: Sequence[names.Name]) -> str:
    groups = found[0] if found else {}
    return "=".join(groups.get(each, "") for each in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")


def _first(*texts: str) -> str:
    return next((text for each in texts if (text := _plain(each))), "")


def _plain(text: str) -> str:
    text = text.strip()
    return "" if text == NULL else text
