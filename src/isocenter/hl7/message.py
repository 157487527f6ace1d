"""Messages as segments of fields (HL7 2.8 chapter 2): read with patience, written by the book.

A value is '' where it is empty or absent, which changes nothing, and NULL where it deletes (2.5.3).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from isocenter.hl7.charset import Declared, decoded, encoded
from isocenter.hl7.delimiters import STANDARD, Delimiters, escaped, unescaped
from isocenter.hl7.errors import Condition, Location, MessageError

NULL: Final = '""'

_ENDS: Final = re.compile("\r\n|\r|\n")
_PATH: Final = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<sequence>\d+)\])?-(?P<field>\d+)(?:\((?P<repetition>\d+)\))?"
    r"(?:\.(?P<component>\d+))?(?:\.(?P<subcomponent>\d+))?"
)
_MOST_SEGMENTS: Final = 100_000
_NEVER: Final = frozenset(' "\t')
"""What is no delimiter."""
_HEADER: Final = re.compile(rb"MSH[^\r\n]*")
_CHARACTER_SET: Final = 18

Component = tuple[str, ...]
"""Its subcomponents."""
Repetition = tuple[Component, ...]
"""Its components."""
Field = tuple[Repetition, ...]


class Segment:
    """One segment. Fields count from 1; in MSH the first is the field separator itself."""

    __slots__ = ("_delimiters", "_parts", "_read", "name")

    def __init__(self, name: str, parts: Sequence[str], delimiters: Delimiters = STANDARD) -> None:
        """`parts`: the fields as they are written, the first at 0."""
        self.name = name
        self._parts = parts
        self._delimiters = delimiters
        self._read: dict[int, Field] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def filled(self) -> list[int]:
        """The numbers of the fields that are not empty."""
        return [number for number, part in enumerate(self._parts, 1) if part]

    def raw(self, number: int) -> str:
        """A field as it is written."""
        return self._parts[number - 1] if 0 < number <= len(self._parts) else ""

    def field(self, number: int) -> Field:
        """A field's repetitions; one that is empty has none."""
        found = self._read.get(number)
        if found is None:
            found = self._read[number] = self._field(number)
        return found

    def _field(self, number: int) -> Field:
        text = self.raw(number)
        if not text:
            return ()
        if text.isalnum() or (self.name in ("MSH", "BHS", "FHS") and number <= 2):
            return (((text,),),)
        d = self._delimiters
        # most components are plain text: what needs no taking apart is not taken apart
        nested = bool(d.subcomponent and d.subcomponent in text) or bool(d.escape and d.escape in text)
        return tuple(
            [
                tuple([_component(each, d) if nested else (each,) for each in _split(repetition, d.component)])
                for repetition in _split(text, d.repetition)
            ]
        )

    def value(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """One value; '' where there is none."""
        field = self.field(number)
        if repetition > len(field) or component > len(field[repetition - 1]):
            return ""
        subcomponents = field[repetition - 1][component - 1]
        return subcomponents[subcomponent - 1] if subcomponent <= len(subcomponents) else ""

    def written(self) -> str:
        """The segment as it is sent, without its end."""
        parts = self._parts[1:] if self.name == "MSH" else self._parts
        return self._delimiters.field.join([self.name, *parts])


def _component(text: str, d: Delimiters) -> Component:
    return tuple([unescaped(sub, d) for sub in _split(text, d.subcomponent)])


def _split(text: str, at: str) -> list[str]:
    return text.split(at) if at else [text]


class Header(NamedTuple):
    """MSH, as far as it says what to do with a message."""

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    time: str
    message: str
    event: str
    structure: str
    control_id: str
    processing: str
    version: str
    accept: str
    application: str

    @property
    def enhanced(self) -> bool:
        """The sender asks for acknowledgements in enhanced mode (2.9.3)."""
        return bool(self.accept or self.application)


class Message:
    """A message that has been read, or is to be sent."""

    def __init__(self, segments: Sequence[Segment], delimiters: Delimiters = STANDARD) -> None:
        self.segments = segments
        self.delimiters = delimiters

    @cached_property
    def header(self) -> Header:
        """Its MSH."""
        msh = self.segments[0]
        kind, event = msh.value(9), msh.value(9, 2)
        if not event and "_" in kind:
            kind, _, event = kind.partition("_")  # ORM_O01 in the first component
        return Header(
            sending_application=msh.value(3),
            sending_facility=msh.value(4),
            receiving_application=msh.value(5),
            receiving_facility=msh.value(6),
            time=msh.value(7),
            message=kind,
            event=event,
            structure=msh.value(9, 3),
            control_id=msh.value(10),
            processing=msh.value(11),
            version=msh.value(12),
            accept=msh.value(15),
            application=msh.value(16),
        )

    def all(self, name: str) -> list[Segment]:
        """The segments of a name."""
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment:
        """The first segment of a name; one without fields where there is none."""
        return next((segment for segment in self.segments if segment.name == name), Segment(name, ()))

    def value(self, path: str) -> str:
        """The value at a path such as `PID-3.4.2`, `OBX[2]-5`, `PID-3(2).1`. Raises ValueError for what is no path."""
        place = located(path)
        found = self.all(place.segment)
        if place.sequence > len(found):
            return ""
        segment = found[place.sequence - 1]
        return segment.value(place.field, place.component or 1, place.subcomponent or 1, place.repetition or 1)

    def groups(self, *starts: str) -> Iterator["Message"]:
        """The parts that begin with a segment of one of these names; what stands before the first is in none."""
        begun: list[Segment] = []
        for segment in self.segments:
            if segment.name in starts:
                if begun:
                    yield Message(begun, self.delimiters)
                begun = [segment]
            elif begun:
                begun.append(segment)
        if begun:
            yield Message(begun, self.delimiters)

    def written(self) -> str:
        """The message as it is sent."""
        return "".join(f"{segment.written()}\r" for segment in self.segments)

    def encoded(self) -> bytes:
        """Its bytes, in the character set that its MSH-18 names."""
        return encoded(self.written(), _declared(self.segments[0].raw(_CHARACTER_SET), self.delimiters.repetition))


def located(path: str) -> Location:
    """The place that a path names. Raises ValueError."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError("no path of a value, such as PID-3.1")
    number = {name: int(text) for name, text in found.groupdict(default="0").items() if name != "segment"}
    sequence = number.pop("sequence") or 1
    return Location(found["segment"], sequence, **number)


def parsed(data: bytes, assumed: str = "") -> Message:
    """The message in `data`. `assumed`: the character set where it names none, by its name in table 0211.

    Line feeds and both ends of line are taken for the end of a segment, as are empty lines for nothing. Raises
    MessageError.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:4] in (b"M\0S\0", b"\0M\0S"):
        text = _wide(data)
    else:
        text = decoded(data, _declared_in(data), assumed)
    lines = [line for line in _ENDS.split(text.lstrip("\ufeff \t\r\n")) if line.strip()]
    _check_alone(lines)
    if len(lines) > _MOST_SEGMENTS:
        raise MessageError(Condition.INTERNAL, "the message has too many segments")
    delimiters = _delimiters(lines[0])
    return Message([_segment(line, delimiters, number) for number, line in enumerate(lines, 1)], delimiters)


def _check_alone(lines: Sequence[str]) -> None:
    """One frame is one message: what an answer says of the first one of several would be taken for all of them."""
    if lines and lines[0][:3] in ("FHS", "BHS"):
        comment = "a batch is not taken: each message is sent in a frame of its own"
        raise MessageError(Condition.UNSUPPORTED_MESSAGE, comment, Location(lines[0][:3]))
    if not lines or not lines[0].startswith("MSH") or len(lines[0]) < 5:
        raise MessageError(Condition.SEGMENT_SEQUENCE, "the message does not begin with MSH", Location("MSH"))
    if any(line.startswith(("MSH", "\x0bMSH")) for line in lines[1:]):
        comment = "there is a message within the message: each is sent in a frame of its own"
        raise MessageError(Condition.SEGMENT_SEQUENCE, comment, Location("MSH", 2))


def _wide(data: bytes) -> str:
    codec = "utf_16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf_16_le" if data[1:2] == b"\0" else "utf_16_be"
    try:
        return data.decode(codec)
    except UnicodeDecodeError as wrong:
        raise MessageError(Condition.DATA_TYPE, "the message has bytes that are not of its character set") from wrong


def _declared_in(data: bytes) -> Declared:
    """What MSH-18 says, read before anything can be decoded: the delimiters are ASCII in every set."""
    found = _HEADER.search(data, 0, 4096)
    header = found[0].decode("latin-1") if found else ""
    fields = header.split(header[3]) if len(header) > 8 else []
    written = fields[_CHARACTER_SET - 1] if len(fields) >= _CHARACTER_SET else ""
    return _declared(written, header[5] if written else "~")


def _declared(written: str, repetition: str) -> Declared:
    first, *others = written.split(repetition or "~")
    return Declared(first.strip(), tuple(other.strip() for other in others if other.strip()))


def _delimiters(header: str) -> Delimiters:
    field = header[3]
    characters = header[4:].split(field, 1)[0]
    names = Delimiters._fields[1:]
    given = dict(zip(names, characters[: len(names)], strict=False))
    # of letters, digits and quotes nothing could be written any more: no code, no number, no value that is deleted
    usable = not any(each.isalnum() or each in _NEVER for each in (field, *characters))
    if not characters or not usable or len({field, *characters}) != 1 + len(characters):
        raise MessageError(Condition.DATA_TYPE, "the delimiters are wrong", Location("MSH", 1, 2))
    # what a sender leaves out it doesn't use
    return Delimiters(field, **{name: given.get(name, "") for name in names})


def _segment(line: str, delimiters: Delimiters, number: int) -> Segment:
    name, *parts = line.split(delimiters.field)
    name = name.strip()
    if not (len(name) == 3 and name.isascii() and name.isalnum() and name[0].isupper()):
        raise MessageError(Condition.SEGMENT_SEQUENCE, f"line {number} is no segment")
    if name == "MSH":
        parts = [delimiters.field, *parts]
    return Segment(name, parts, delimiters)


Value = str | Sequence["str | Sequence[str]"]
"""A field to be written: text, or components, which may be text or subcomponents."""


def segment(name: str, *fields: Value | Iterable[Value], delimiters: Delimiters = STANDARD) -> Segment:
    """A segment of values, which are escaped. A list is repetitions, a tuple components."""
    return Segment(name, [_field_written(field, delimiters) for field in fields], delimiters)


def _field_written(field: object, d: Delimiters) -> str:
    if isinstance(field, list):
        return d.repetition.join(_field_written(each, d) for each in field)
    if isinstance(field, tuple):
        return d.component.join(_component_written(each, d) for each in field).rstrip(d.component)
    return escaped(str(field), d)


def _component_written(component: object, d: Delimiters) -> str:
    if isinstance(component, tuple):
        return d.subcomponent.join(escaped(str(each), d) for each in component).rstrip(d.subcomponent)
    return escaped(str(component), d)
