"""Text in another character set, as a data set passes: the texts of all levels, Specific Character Set, and the lengths
of what holds them; all else leaves byte for byte (I-CHAR-07, I-CHAR-08, S-CS-05).

Only headers and texts are read. A text that is written alike in both sets stays as it is. What has no equivalent
becomes the configured character; so does what can't be decoded, where the wanted set lacks U+FFFD. A private element
whose VR nobody tells is no text.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from isocenter.dicom import charset
from isocenter.dicom.charset import TEXT_VRS, CharacterSet, character_set
from isocenter.dicom.dataset import encode_element
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.elements import (
    Encoding,
    Event,
    Kind,
    MalformedDataSet,
    Window,
    encoding_at,
    encoding_of,
    walk_window,
)
from isocenter.dicom.overlay import Edit
from isocenter.dicom.repertoires import ASCII, ESC, ROMAJI

SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PARAGRAPHS: Final = frozenset({"ST", "LT", "UT"})
_LONGEST: Final = 16 << 20
"""Bytes of a text that is converted; no VR but UC and UT has more than 64 kB."""


class Recode(NamedTuple):
    """What text is to be in. `terms`: the value of Specific Character Set, '' for the default repertoire alone;
    `unknown`: what stands for a character that it lacks; `assumed`: what a data set is in that names none."""

    terms: str
    unknown: str = "?"
    assumed: str = ""


class _Frame(NamedTuple):
    """An open sequence or item: where its length stands, if it has one, and the character set within."""

    length_at: int
    """-1 where the length is undefined."""
    length: int
    little: bool
    declared: CharacterSet


def recoding(window: Window, syntax: str, wanted: Recode) -> Iterator[Edit]:
    """The edits that bring the data set under `window` (not deflated, of transfer syntax `syntax`) into the wanted
    character set; none where it is in that already, or holds nothing but the default repertoire and names none.

    Raises MalformedDataSet.
    """
    work = _Work(encoding_at(window, 0, encoding_of(syntax)), wanted)
    for event in walk_window(window, work.encoding):
        work.take(window, event)
    return work.edits()


class _Work:
    """One pass."""

    def __init__(self, encoding: Encoding, wanted: Recode) -> None:
        self.encoding = encoding
        self._target = character_set(wanted.terms or "ISO_IR 6")
        self._term = _written(self._target)
        self._unknown = wanted.unknown
        self._frames = [_Frame(-1, 0, encoding.little, character_set(wanted.assumed or "ISO_IR 6"))]
        self._grown = [0]
        self._found: list[Edit] = []
        self._group_lengths: list[Edit] = []
        self._place = 0
        """Where Specific Character Set belongs at the top level."""
        self._named = False
        """It is there."""

    def take(self, window: Window, event: Event) -> None:
        """Note what becomes of one element."""
        if event.kind == Kind.VALUE:
            self._value(window, event)
        elif event.kind in (Kind.SEQUENCE, Kind.ITEM):
            self._open(event)
        elif event.kind in (Kind.SEQUENCE_END, Kind.ITEM_END):
            self._close()

    def edits(self) -> Iterator[Edit]:
        """All of them, by their places."""
        if self._found and not self._named and self._term:
            element = encode_element(SPECIFIC_CHARACTER_SET, "CS", self._term, self.encoding)
            self._found.append(Edit(self._place, self._place, element))
        if self._found:
            self._found += self._group_lengths
        return iter(sorted(self._found))

    def _value(self, window: Window, event: Event) -> None:
        if event.depth == 0 and event.tag < SPECIFIC_CHARACTER_SET:
            self._place = event.offset + event.length
        if not event.tag & 0xFFFF:
            if event.depth == 0:
                self._group_lengths.append(Edit(event.start, event.offset + event.length, b""))
            return
        if event.tag == SPECIFIC_CHARACTER_SET:
            self._declared(event, window.bytes_at(event.offset, event.length).strip(b" \0"))
            return
        vr = vr_of(event.tag) if event.vr == "UN" else event.vr
        if vr not in TEXT_VRS or event.length > _LONGEST:
            return
        raw = window.bytes_at(event.offset, event.length)
        if self._stays(raw, vr):
            return
        again = self._again(raw, vr)
        if again != raw.rstrip(b" \0"):
            again += b" " * (len(again) % 2)
            self._put(event, encode_element(event.tag, event.vr, again, event.encoding))

    def _declared(self, event: Event, value: bytes) -> None:
        """Specific Character Set: the wanted one at the top level, none in items, which then are in that too."""
        frame = self._frames[-1]
        self._frames[-1] = frame._replace(declared=character_set(value)) if value else frame
        top = event.depth == 0
        self._named |= top
        if top and character_set(value) == self._target and value == self._term:
            return
        keeps = top and bool(self._term)
        new = encode_element(event.tag, "CS", self._term, event.encoding) if keeps else b""
        self._put(event, new)

    def _stays(self, raw: bytes, vr: str) -> bool:
        """Whether a text is the same in any set: the default repertoire, where 05/12 is no yen sign."""
        if not raw.isascii() or ESC in raw:
            return False
        declared = self._frames[-1].declared
        return vr not in _PARAGRAPHS or b"\\" not in raw or (declared.g0 is ASCII) == (self._target.g0 is ASCII)

    def _again(self, raw: bytes, vr: str) -> bytes:
        text = charset.decode(raw, vr, self._frames[-1].declared).rstrip(" \0")
        if vr in _PARAGRAPHS and self._target.g0 is ROMAJI:
            text = text.replace("\\", self._unknown)  # its place has the yen sign
        return charset.encode(text, self._target, vr=vr, unknown=self._unknown)

    def _put(self, event: Event, new: bytes) -> None:
        end = event.offset + event.length
        self._found.append(Edit(event.start, end, new))
        self._grown[-1] += len(new) - (end - event.start)

    def _open(self, event: Event) -> None:
        outer = self._frames[-1]
        little = outer.little if event.kind == Kind.SEQUENCE else event.encoding.little
        defined = event.length >= 0
        self._frames.append(_Frame(event.offset - 4 if defined else -1, event.length, little, outer.declared))
        if event.kind == Kind.ITEM:
            self._frames[-1] = self._frames[-1]._replace(little=event.encoding.little)
        self._grown.append(0)

    def _close(self) -> None:
        frame, grown = self._frames.pop(), self._grown.pop()
        if grown and frame.length_at >= 0:
            length = frame.length + grown
            if not 0 <= length < 0xFFFFFFFF:
                raise MalformedDataSet("a sequence grows too long", frame.length_at)
            packed = struct.pack("<I" if frame.little else ">I", length)
            self._found.append(Edit(frame.length_at, frame.length_at + 4, packed))
        self._grown[-1] += grown


@lru_cache(maxsize=64)
def _written(target: CharacterSet) -> bytes:
    """Specific Character Set's value: the default repertoire is an empty first value, or none at all."""
    first, *others = target.terms
    default = first in ("ISO_IR 6", "ISO 2022 IR 6") and (others or first == "ISO_IR 6")
    return "\\".join(["" if default else first, *others]).encode("ascii")
