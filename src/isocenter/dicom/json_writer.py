"""From the bytes of a data set to the text of a DICOM JSON object: what is behind json_model.write().

Plain elements of the top level, the bulk of any data set, are read in a loop of their own; whatever else stands there
goes through the byte walker.
"""

from binascii import b2a_base64
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from isocenter.dicom.charset import UTF_8, CharacterSet, character_set, decode
from isocenter.dicom.dictionary import entry_of, vr_of, vr_table
from isocenter.dicom.elements import (
    DEPTH_LIMIT,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_TAGS,
    Encoding,
    Event,
    Kind,
    MalformedDataSet,
    Window,
    encoding_at,
    walk,
    walk_sequence,
)
from isocenter.dicom.headers import LITTLE, UNDEFINED
from isocenter.dicom.json_values import (
    NUMBER_FORMS,
    SPLIT_VRS,
    WHOLE_VRS,
    empty,
    name_values,
    opening,
    quote,
    text_values,
    whole_text,
)
from isocenter.dicom.swapping import swapped

_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_TRAILING_PADDING: Final = 0xFFFCFFFC
_SPECIAL: Final = frozenset([_CHARACTER_SET, _PIXEL_REPRESENTATION])
"""Elements that say how others are to be read."""
_FIRST_TAG: Final = 0x00080000
_ESC: Final = b"\x1b"
_UNLIMITED: Final = 1 << 62
_CACHED_BYTES: Final = 4096
_CACHED_ELEMENTS: Final = 1 << 15
UTF_8_ELEMENT: Final = f'"00080005":{{"vr":"CS","Value":["{UTF_8}"]}}'

_ENDS: Final = frozenset([Kind.VALUE, Kind.SEQUENCE_END, Kind.FRAGMENTS_END])


class Form(NamedTuple):
    """What is written where: see json_model.write()."""

    bulk_uri: str | None
    threshold: int
    text_threshold: int | None
    skip: frozenset[int]


@cache
def _signed_if_pixels_are() -> frozenset[int]:
    """Elements that are US or SS by Pixel Representation where no VR is written."""
    return frozenset(tag for tag in vr_table() if (entry := entry_of(tag)) and entry.vr == "US or SS")


class _Open:
    """A data set, item or sequence being written. For a sequence `elements` holds its items by number."""

    __slots__ = ("charset", "elements", "path", "signed", "tag")

    def __init__(self, tag: int, path: str, charset: CharacterSet, signed: bool) -> None:
        self.tag, self.path, self.charset, self.signed = tag, path, charset, signed
        self.elements: dict[int, str] = {}


class Writer:
    """The state of writing one object: what is open, the top last."""

    def __init__(self, form: Form, charset: CharacterSet, cache: dict[bytes, str] | None = None) -> None:
        self._bulk = form.bulk_uri
        self._skip = form.skip
        self._threshold = form.threshold if form.bulk_uri is not None else _UNLIMITED
        text = form.text_threshold
        self._text_threshold = _UNLIMITED if form.bulk_uri is None or text is None else text
        self._cache = cache
        self._stack = [_Open(0, "", charset, False)]

    def data_set(self, data: bytes, expected: Encoding) -> None:
        """Write all elements of a data set, which is not deflated."""
        encoding = encoding_at(Window.over(data), 0, expected)
        plain = (
            self._plain_explicit if encoding == EXPLICIT_LITTLE else self._plain_implicit if encoding.little else None
        )
        if plain is None:
            self.feed(walk(data, encoding), data)
            return
        pos, size = 0, len(data)
        while pos < size:
            pos = plain(data, pos)
            if pos < size:
                pos = self._other(data, pos, encoding)

    def _plain_explicit(self, data: bytes, pos: int) -> int:
        """Write elements with 16 bit lengths from `pos` on; the position of the first other one."""
        top, skip, known, limit = self._stack[0], self._skip, self._cache, len(data) - 8
        elements, unpack, names, short = top.elements, LITTLE.explicit, LITTLE.names, LITTLE.short
        while pos <= limit:
            first, code, length = unpack(data, pos)
            offset = pos + 8
            after = offset + length
            if code not in short or after > limit + 8:
                break
            tag = (first & 0xFFFF) << 16 | first >> 16
            if tag & 0xFFFF == 0 or tag in skip:
                pos = after
                continue
            if known is None:
                self._plain(top, tag, names[code], data[offset:after], 0)
            elif rendered := known.get(data[pos:after]):
                elements[tag] = rendered
            else:
                self._plain(top, tag, names[code], data[offset:after], 0)
                if tag not in _SPECIAL:
                    self._remember(data[pos:after], elements.get(tag))
            pos = after
        return pos

    def _plain_implicit(self, data: bytes, pos: int) -> int:
        """Write elements without VR that are no sequences from `pos` on; the position of the first other one."""
        top, skip, table, limit = self._stack[0], self._skip, vr_table(), len(data) - 8
        unpack, ambiguous = LITTLE.implicit, _signed_if_pixels_are()
        while pos <= limit:
            first, length = unpack(data, pos)
            tag = (first & 0xFFFF) << 16 | first >> 16
            vr = table.get(tag, "SQ")
            offset = pos + 8
            after = offset + length
            if vr == "SQ" or length == UNDEFINED or after > limit + 8:
                break
            if tag in ambiguous and top.signed:
                vr = "SS"
            if tag & 0xFFFF and tag not in skip:
                self._plain(top, tag, vr, data[offset:after], 0)
            pos = after
        return pos

    def _plain(self, into: _Open, tag: int, vr: str, value: bytes, depth: int) -> None:
        """Write a little endian element; the usual VRs at once."""
        form = NUMBER_FORMS.get(vr)
        if tag in _SPECIAL or tag < _FIRST_TAG:
            self._value(into, tag, vr, value, depth)
        elif form is not None:
            values = form(value)
            into.elements[tag] = f"{opening(tag, vr)}{values}]}}" if values else empty(tag, vr)
        elif vr in SPLIT_VRS and _ESC not in value and value.isascii():
            values = text_values(value.decode("ascii"))
            into.elements[tag] = f"{opening(tag, vr)}{values}]}}" if values else empty(tag, vr)
        else:
            self._value(into, tag, vr, value, depth)

    def _remember(self, raw: bytes, rendered: str | None) -> None:
        """Keep what an element became for the next instance, if no character set nor place has a part in it."""
        known = self._cache
        if (
            known is not None
            and rendered is not None
            and len(raw) <= _CACHED_BYTES
            and len(known) < _CACHED_ELEMENTS
            and rendered.isascii()
            and _ESC not in raw
            and '"BulkDataURI"' not in rendered
        ):
            known[raw] = rendered

    def _other(self, data: bytes, pos: int, encoding: Encoding) -> int:
        """Write the one element at `pos` that is not plain; where the next one begins."""
        raw = self._bounded_sequence(data, pos) if self._cache is not None and not encoding.implicit else b""
        if raw and self._cache is not None and (rendered := self._cache.get(raw)) is not None:
            tag = int.from_bytes(raw[:2], "little") << 16 | int.from_bytes(raw[2:4], "little")
            if tag not in self._skip:
                self._stack[0].elements[tag] = rendered
            return pos + len(raw)
        done = 0
        for event in walk(data, encoding, start=pos):
            if done:
                self._remember_sequence(raw, done)
                return event.start
            self._event(event, data)
            if event.depth == 0 and event.kind in _ENDS:
                done = event.tag
        return len(data)

    def _bounded_sequence(self, data: bytes, pos: int) -> bytes:
        """The bytes of a short sequence of defined length at `pos`; none if there is something else."""
        if data[pos + 4 : pos + 8] != b"SQ\0\0":
            return b""
        length = int.from_bytes(data[pos + 8 : pos + 12], "little")
        return data[pos : pos + 12 + length] if length <= _CACHED_BYTES else b""

    def _remember_sequence(self, raw: bytes, tag: int) -> None:
        if raw:
            self._remember(raw, self._stack[0].elements.get(tag))

    def feed(self, events: Iterator[Event], data: bytes) -> None:
        """Write what `events` tell of `data`."""
        for event in events:
            self._event(event, data)

    def _event(self, event: Event, data: bytes) -> None:
        kind, tag, vr, _, offset, length, depth, encoding = event
        if kind is not Kind.VALUE:
            self._structure(kind, tag, vr, depth)
        elif tag & 0xFFFF and not (depth == 0 and tag in self._skip):
            into, value = self._stack[-1], data[offset : offset + length]
            if encoding.implicit and into.signed and tag in _signed_if_pixels_are():
                vr = "SS"
            if encoding.little:
                self._plain(into, tag, vr, value, depth)
            else:
                self._value(into, tag, vr, swapped(vr, value), depth, little=False)

    def _value(self, into: _Open, tag: int, vr: str, value: bytes, depth: int, *, little: bool = True) -> None:
        if vr == "UN" and little:
            known = vr_of(tag)
            if known == "SQ" and value and self._sequence_of_un(tag, value, depth):
                return
            vr = known if known != "SQ" else vr
        if tag == _CHARACTER_SET:
            into.charset = character_set(value)
            into.elements[tag] = UTF_8_ELEMENT
        elif tag >> 16 not in (0, 2) and tag != _TRAILING_PADDING:
            if tag == _PIXEL_REPRESENTATION:
                into.signed = value[:1] == b"\x01"
            self._element(into, tag, vr, value, depth)

    def _element(self, into: _Open, tag: int, vr: str, value: bytes, depth: int) -> None:
        if not value:
            into.elements[tag] = empty(tag, vr)
        elif tag in PIXEL_TAGS and depth == 0:
            self._reference(into, tag, vr)
        elif vr in NUMBER_FORMS:
            self._values(into, tag, vr, NUMBER_FORMS[vr](value))
        elif vr == "PN":
            self._values(into, tag, vr, name_values(decode(value, vr, into.charset)))
        elif vr in WHOLE_VRS or vr in SPLIT_VRS:
            self._text(into, tag, vr, value)
        elif len(value) > self._threshold:
            self._reference(into, tag, vr)
        else:
            coded = b2a_base64(value, newline=False).decode("ascii")
            into.elements[tag] = f'"{tag:08X}":{{"vr":"{vr}","InlineBinary":"{coded}"}}'

    def _text(self, into: _Open, tag: int, vr: str, value: bytes) -> None:
        if len(value) > self._text_threshold and vr in ("LT", "ST", "UC", "UT"):
            self._reference(into, tag, vr)
            return
        form = text_values if vr in SPLIT_VRS else whole_text
        self._values(into, tag, vr, form(decode(value, vr, into.charset)))

    def _values(self, into: _Open, tag: int, vr: str, values: str) -> None:
        into.elements[tag] = f"{opening(tag, vr)}{values}]}}" if values else empty(tag, vr)

    def _reference(self, into: _Open, tag: int, vr: str) -> None:
        """A value that is to be fetched; left out where nothing says from where."""
        if self._bulk is not None:
            uri = quote(f"{self._bulk}/{into.path}{tag:08X}")
            into.elements[tag] = f'"{tag:08X}":{{"vr":"{vr}","BulkDataURI":{uri}}}'

    def _structure(self, kind: Kind, tag: int, vr: str, depth: int) -> None:
        current = self._stack[-1]
        if kind is Kind.ITEM:
            path = f"{current.path}{len(current.elements) + 1}/"
            self._stack.append(_Open(tag, path, current.charset, current.signed))
        elif kind is Kind.ITEM_END:
            self._stack.pop()
            sequence = self._stack[-1]
            sequence.elements[len(sequence.elements) + 1] = _object(current.elements)
        elif kind is Kind.SEQUENCE:
            self._begin_sequence(tag)
        elif kind is Kind.SEQUENCE_END:
            self._end_sequence(depth)
        elif kind is Kind.FRAGMENTS and not (depth == 0 and tag in self._skip):
            self._reference(current, tag, vr)

    def _begin_sequence(self, tag: int) -> None:
        outer = self._stack[-1]
        self._stack.append(_Open(tag, f"{outer.path}{tag:08X}/", outer.charset, outer.signed))

    def _end_sequence(self, depth: int) -> None:
        sequence = self._stack.pop()
        tag = sequence.tag
        if depth == 0 and tag in self._skip:
            return
        items = ",".join(sequence.elements.values())
        self._stack[-1].elements[tag] = f"{opening(tag, 'SQ')}{items}]}}" if items else empty(tag, "SQ")

    def _sequence_of_un(self, tag: int, value: bytes, depth: int) -> bool:
        """A sequence that was sent as UN of known length (PS3.5 6.2.2); False if it can't be read as one."""
        level = len(self._stack)
        self._begin_sequence(tag)
        try:
            self.feed(walk_sequence(value, IMPLICIT_LITTLE, depth_limit=DEPTH_LIMIT - level), value)
        except MalformedDataSet:
            del self._stack[level:]
            return False
        self._end_sequence(depth)
        return True

    def announce(self, tag: int, vr: str) -> None:
        """Pixel data that follows what was fed."""
        self._reference(self._stack[0], tag, vr)

    def finish(self) -> bytes:
        """The object. Specific Character Set is added where the text needs it and none was there."""
        top = self._stack[0].elements
        text = _object(top)
        if _CHARACTER_SET not in top and not text.isascii():
            text = _object({**top, _CHARACTER_SET: UTF_8_ELEMENT})
        return text.encode("utf_8")


def _object(elements: dict[int, str]) -> str:
    """Members in the order of their tags (PS3.18 F.2.2), which is nearly always the order they came in."""
    tags = list(elements)
    in_order = sorted(tags)
    if tags != in_order:
        return "{" + ",".join([elements[tag] for tag in in_order]) + "}"
    return "{" + ",".join(elements.values()) + "}"
