"""Where a value of an order is found: places in the segments that concern a step, and values from elsewhere.

A source is written as one of

    OBR-24          a field; OBR-27.4 one component of it, PV1-3.4.2 a subcomponent
    PID/NTE-3       of the NTE segments that stand behind PID (behind each other too)
    OBX{3=29463-7/Body weight}-5
                    of the segments in which a component of field 3 has one of these values, whatever their case
    exam.modality   a column of the lookup table of exams; exam.protocol is a code
    copy.AccessionNumber
                    the value that another attribute has got
    generated.step  made by us where nothing else gives it, and never again: see `identifiers`
    =SCHEDULED      this very text
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from isocenter.hl7.errors import Location
from isocenter.hl7.message import NULL, Component, Message, Repetition, Segment

Level = tuple[Segment, ...]
"""Segments of equal standing: those of a step, of an order, of the patient."""

_FIELD: Final = re.compile(
    r"(?:(?P<parent>[A-Z][A-Z0-9]{2})/)?(?P<segment>[A-Z][A-Z0-9]{2})"
    r"(?:\{(?P<key>\d{1,3})=(?P<wanted>[^{}]+)\})?"
    r"-(?P<field>\d{1,3})(?:\.(?P<component>\d{1,2})(?:\.(?P<subcomponent>\d{1,2}))?)?"
)
_OTHER: Final = re.compile(r"(?P<kind>exam|copy|generated)\.(?P<name>[A-Za-z_]+)(?:\.(?P<component>\d{1,2}))?")


class Kind(StrEnum):
    """What a source draws on."""

    FIELD = "field"
    EXAM = "exam"
    COPY = "copy"
    GENERATED = "generated"
    TEXT = "text"


class Source(NamedTuple):
    """One place, or one way, to get a value."""

    kind: Kind
    name: str
    """The segment; the column; the attribute; what is generated; the text."""
    field: int = 0
    component: int = 0
    subcomponent: int = 0
    parent: str = ""
    key: int = 0
    wanted: frozenset[str] = frozenset()
    written: str = ""
    """As the mapping has it."""

    @property
    def location(self) -> Location:
        """The place as an error names it."""
        return Location(self.name, 1, self.field, 0, self.component, self.subcomponent)


class Found(NamedTuple):
    """What stands at a place: one field's repetitions, narrowed to the component that was asked for."""

    repetitions: tuple[Repetition, ...]
    segment: Segment | None = None
    place: "tuple[Scope, Source] | None" = None
    """Where it was looked for."""

    @property
    def location(self) -> Location | None:
        """The place in the message, to be told of."""
        if self.segment is None or self.place is None:
            return None
        scope, source = self.place
        return scope.location(self.segment, source)

    @property
    def deletes(self) -> bool:
        """Nothing but the two quotes that delete a value (HL7 2.8 2.5.3)."""
        return all(is_null(repetition) for repetition in self.repetitions)


class Scope:
    """The segments that concern one step, the nearest first: its own, its order's, the patient's."""

    def __init__(self, message: Message, *levels: Level) -> None:
        self.message = message
        self.levels = levels
        # a mapping asks for the same segments, and the same fields, again and again
        self.given = frozenset((each.name, number) for level in levels for each in level for number in each.filled())
        self._segments: dict[tuple[str, str], tuple[Level, ...]] = {}
        self._found: dict[str, list[Found]] = {}

    def segments(self, name: str, parent: str = "") -> tuple[Level, ...]:
        """The segments of a name, level by level; levels without any are left out."""
        found = self._segments.get((name, parent))
        if found is None:
            levels = (
                tuple(_behind(level, name, parent) if parent else (each for each in level if each.name == name))
                for level in self.levels
            )
            found = self._segments[name, parent] = tuple(filter(None, levels))
        return found

    def first(self, name: str) -> Segment:
        """The nearest segment of a name; one without fields where there is none."""
        return next((each for level in self.levels for each in level if each.name == name), Segment(name, ()))

    def location(self, segment: Segment, source: Source) -> Location:
        """The place in the message."""
        same = self.message.all(segment.name)
        sequence = next((number for number, each in enumerate(same, 1) if each is segment), 1)
        return source.location._replace(segment=segment.name, sequence=sequence)

    def found(self, source: Source) -> list[Found]:
        """All that stands at a field's place in the nearest segments that have anything there."""
        if (source.name, source.field) not in self.given:
            return []
        known = self._found.get(source.written)  # a text knows its hash, a source does not
        if known is None:
            known = self._found[source.written] = self._look(source)
        return known

    def _look(self, source: Source) -> list[Found]:
        for level in self.segments(source.name, source.parent):
            found = [self._in(segment, source) for segment in level if _wanted(segment, source)]
            given = [each for each in found if each.repetitions]
            if given:
                return given
        return []

    def _in(self, segment: Segment, source: Source) -> Found:
        whole: Iterable[Repetition] = segment.field(source.field)
        if source.component:
            whole = [narrow(each, source.component, source.subcomponent) for each in whole]
        given = tuple([each for each in whole if any(map(any, each))])
        return Found(given, segment, (self, source))


def is_null(repetition: Repetition) -> bool:
    """Whether a repetition, or what it was narrowed to, deletes."""
    return repetition == ((NULL,),)


def narrow(repetition: Repetition, component: int, subcomponent: int = 0) -> Repetition:
    """One component as if it were the whole: its subcomponents become components. What deletes, deletes every part."""
    if not component or is_null(repetition):
        return repetition
    if component > len(repetition):
        return ()
    part: Component = repetition[component - 1]
    if not subcomponent:
        return tuple((each,) for each in part)
    return ((part[subcomponent - 1],),) if subcomponent <= len(part) else ()


def _behind(level: Level, name: str, parent: str) -> Iterator[Segment]:
    last = ""
    for segment in level:
        if segment.name == name and last == parent:
            yield segment
        elif segment.name != name:
            last = segment.name


def _wanted(segment: Segment, source: Source) -> bool:
    if not source.wanted:
        return True
    texts = (text for repetition in segment.field(source.key) for part in repetition for text in part)
    return any(text.strip().casefold() in source.wanted for text in texts)


def parse(text: str) -> Source:
    """The source that `text` writes. Raises ValueError."""
    if text.startswith("="):
        return Source(Kind.TEXT, text[1:], written=text)
    if found := _FIELD.fullmatch(text):
        number = {name: int(found[name] or 0) for name in ("field", "component", "subcomponent", "key")}
        wanted = frozenset(each.strip().casefold() for each in (found["wanted"] or "").split("/") if each.strip())
        if not number["field"]:
            raise ValueError(f"fields count from 1: {text!r}")
        return Source(Kind.FIELD, found["segment"], parent=found["parent"] or "", wanted=wanted, written=text, **number)
    if found := _OTHER.fullmatch(text):
        return Source(Kind(found["kind"]), found["name"], component=int(found["component"] or 0), written=text)
    raise ValueError(f"{text!r} is no source of a value, such as OBR-18 or exam.modality")


def parse_all(text: str) -> tuple[Source, ...]:
    """Sources in the order in which they are asked, separated by semicolons."""
    return tuple(parse(part.strip()) for part in text.split(";") if part.strip())
