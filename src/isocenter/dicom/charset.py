"""Text in the character sets of PS3.5 6.1 and PS3.3 C.12.1.1.2: decoding as met, encoding as the standard says.

Text is decoded before it is split at `\\ ^ =`, which occur as trail bytes in GBK, GB18030 and Shift-JIS. Decoding never
fails: what can't be decoded is replaced and reported, so that the raw bytes can be kept beside it. Text that decode()
returns holds no lone surrogates.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from isocenter.dicom.repertoires import (
    ASCII,
    BY_ESCAPE,
    BY_NUMBER,
    ESC,
    ESCAPE_SEQUENCES,
    LENIENT,
    ROMAJI,
    STAND_ALONE,
    TERMS,
    Repertoire,
    canonical_term,
)

__all__ = [
    "TERMS",
    "TEXT_VRS",
    "UTF_8",
    "CharacterSet",
    "Decoded",
    "canonical_term",
    "character_set",
    "decode",
    "decode_flagged",
    "encode",
    "fits",
    "unknown_terms",
]

UTF_8 = "ISO_IR 192"
TEXT_VRS = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
"""The VRs that Specific Character Set applies to (PS3.5 6.1.2.3); all others hold the default repertoire."""

_PARAGRAPHS = frozenset({"ST", "LT", "UT"})
_CONTROLS = re.compile(rb"[\t\n\f\r]")
_IN_NAMES = re.compile(rb"[\\^=\t\n\f\r]")
_IN_VALUES = re.compile(rb"[\\\t\n\f\r]")
_RUNS = re.compile(rb"[\x21-\x7e]+|[\x80-\xff]+|[\x00-\x20\x7f]+")
_NAME_BREAKS = re.compile(r"([\\^=\t\n\f\r])")
_VALUE_BREAKS = re.compile(r"([\\\t\n\f\r])")
_PARAGRAPH_BREAKS = re.compile(r"([\t\n\f\r])")


class Decoded(NamedTuple):
    """Text, and whether every byte was understood as the character sets say; where not, keep the raw bytes too."""

    text: str
    intact: bool


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """What a value of (0008,0005) says about text."""

    terms: tuple[str, ...]
    """The terms in their right spelling, unknown ones left out."""
    unknown: tuple[str, ...]
    """Terms that name nothing, as written."""
    codec: str
    """The codec of text without escape sequences."""
    stand_alone: bool
    """No code extensions: UTF-8, GBK, GB18030."""
    g0: Repertoire
    g1: Repertoire | None
    repertoires: tuple[Repertoire, ...]
    """All that text may be encoded in, in the order of the terms."""


@lru_cache(maxsize=256)
def character_set(value: str | bytes | tuple[str, ...]) -> CharacterSet:
    """What (0008,0005) says: its value as raw bytes, as text with backslashes, or as a tuple of terms."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    written = value.split("\\") if isinstance(value, str) else list(value)
    known = [(term, canonical_term(term)) for term in written]
    terms = [term for _, term in known if term is not None] or ["ISO_IR 6"]
    unknown = tuple(term.strip(" \0") for term, right in known if right is None)
    if terms[0] in STAND_ALONE:
        return CharacterSet(tuple(terms[:1]), unknown, STAND_ALONE[terms[0]], True, ASCII, None, ())
    return _extensible(tuple(t for t in terms if t not in STAND_ALONE), unknown)


def _extensible(terms: tuple[str, ...], unknown: tuple[str, ...]) -> CharacterSet:
    groups = [BY_NUMBER[int(term.rpartition(" ")[2])] for term in terms]
    g0 = next((r for r in groups[0] if r.slot == 0 and not r.double), ASCII)
    g1 = next((r for r in groups[0] if r.slot == 1), None)
    every = tuple(r for group in groups for r in group if r.slot == 1 or r.double)
    return CharacterSet(terms, unknown, g1.codec if g1 else "ascii", False, g0, g1, every)


def unknown_terms(value: str | bytes | tuple[str, ...]) -> tuple[str, ...]:
    """The terms of (0008,0005) that no spelling rule understands (I-CHAR-06: such objects may be refused)."""
    return character_set(value).unknown


def decode(raw: bytes, vr: str, charset: str | bytes | tuple[str, ...] | CharacterSet) -> str:
    """The text of `raw`, not yet split nor trimmed; replacement characters stand for what can't be decoded."""
    if raw.isascii() and ESC not in raw and (vr not in _PARAGRAPHS or b"\\" not in raw):
        return raw.decode("ascii")
    return decode_flagged(raw, vr, charset).text


def decode_flagged(raw: bytes, vr: str, charset: str | bytes | tuple[str, ...] | CharacterSet) -> Decoded:
    """As decode(), saying whether all of it could be decoded as declared."""
    declared = charset if isinstance(charset, CharacterSet) else character_set(charset)
    if vr not in TEXT_VRS:
        return Decoded(raw.decode("ascii"), True) if raw.isascii() else Decoded(raw.decode("latin_1"), False)
    if declared.stand_alone:
        return _by_codec(raw, declared.codec)
    if ESC in raw or (declared.g1 is None and not raw.isascii()):
        return _extended(raw, vr, declared)
    decoded = _by_codec(raw, declared.codec)
    if declared.g0 is ROMAJI and vr in _PARAGRAPHS:
        return Decoded(decoded.text.replace("\\", "¥"), decoded.intact)
    return decoded


def _by_codec(raw: bytes, codec: str) -> Decoded:
    """Strictly, else as what such data often really is, else with replacement characters."""
    try:
        return Decoded(raw.decode(codec), True)
    except UnicodeDecodeError:
        pass  # the next reading is less strict
    lenient = LENIENT.get(codec)
    if lenient is not None:
        try:
            return Decoded(raw.decode(lenient), False)
        except UnicodeDecodeError:
            pass  # the last reading takes anything
    return Decoded(raw.decode(codec, "replace"), False)


def _undeclared(raw: bytes) -> Decoded:
    """Bytes above 7FH where only the default repertoire was declared: UTF-8 shows itself, else Latin 1."""
    try:
        return Decoded(raw.decode("utf_8"), raw.isascii())
    except UnicodeDecodeError:
        return Decoded(raw.decode("latin_1"), False)


def _extended(raw: bytes, vr: str, declared: CharacterSet) -> Decoded:
    """Code extensions (PS3.5 6.1.2.5): escape sequences switch, delimiters return to the initial state."""
    delimiters = _IN_NAMES if vr == "PN" else _CONTROLS if vr in _PARAGRAPHS else _IN_VALUES
    g0, g1 = declared.g0, declared.g1
    fallback = g1 or next((r for r in declared.repertoires if r.slot == 1), None)
    parts: list[Decoded] = []
    for escape, start, end in _segments(raw):
        if escape is not None:
            g0, g1 = (escape, g1) if escape.slot == 0 else (g0, escape)
            fallback = g1 or fallback
        while start < end:
            found = (_CONTROLS if g0.double else delimiters).search(raw, start, end)
            stop = found.start() if found else end
            parts.append(_run(raw[start:stop], g0, g1, fallback))
            if found:
                parts.append(Decoded(found[0].decode("ascii"), True))
                g0, g1, stop = declared.g0, declared.g1, found.end()
            start = stop
    return Decoded("".join(p.text for p in parts), all(p.intact for p in parts))


def _segments(raw: bytes) -> Iterator[tuple[Repertoire | None, int, int]]:
    """What each escape sequence designates and the bytes that follow it; None for the bytes before the first."""
    escape: Repertoire | None = None
    start = 0
    for match in ESCAPE_SEQUENCES.finditer(raw):
        yield escape, start, match.start()
        escape, start = BY_ESCAPE[match[0]], match.end()
    yield escape, start, len(raw)


def _run(raw: bytes, g0: Repertoire, g1: Repertoire | None, fallback: Repertoire | None) -> Decoded:
    """Bytes without delimiters or known escape sequences, in one state."""
    if not g0.double:
        return _upper(raw, g1, fallback)
    parts = [_pairs(m[0], g0) if 0x20 < m[0][0] < 0x7F else _upper(m[0], g1, fallback) for m in _RUNS.finditer(raw)]
    return Decoded("".join(p.text for p in parts), all(p.intact for p in parts))


def _upper(raw: bytes, g1: Repertoire | None, fallback: Repertoire | None) -> Decoded:
    """Bytes with ASCII in G0. High bytes without a designation are read as the last, or the only possible, one."""
    if raw.isascii():
        return Decoded(raw.decode("ascii"), ESC not in raw)
    if g1 is not None:
        return _by_codec(raw, g1.codec)
    return _undeclared(raw) if fallback is None else Decoded(_by_codec(raw, fallback.codec).text, False)


def _pairs(raw: bytes, g0: Repertoire) -> Decoded:
    """Characters of two bytes below 80H."""
    if g0.codec.startswith("iso2022"):
        return _by_codec(g0.escape + raw + ASCII.escape, g0.codec)
    return _by_codec(bytes(b | 0x80 for b in raw), g0.codec)


def fits(text: str, charset: str | bytes | tuple[str, ...] | CharacterSet) -> bool:
    """Whether `text` can be written in `charset`; where not, callers answer in ISO_IR 192."""
    if text.isascii():
        return True
    try:
        encode(text, charset)
    except UnicodeEncodeError:
        return False
    return True


def encode(
    text: str,
    charset: str | bytes | tuple[str, ...] | CharacterSet,
    *,
    vr: str = "PN",
    unknown: str | None = None,
) -> bytes:
    """`text` as bytes in `charset`, code extensions written as PS3.5 6.1.2.5.3 asks, not padded.

    `unknown` stands for characters that the sets lack (I-CHAR-08); without it they raise UnicodeEncodeError. `vr`
    decides which delimiters return to the initial state; PN's are right for all but ST, LT and UT.
    """
    if text.isascii():
        return text.encode("ascii")
    declared = charset if isinstance(charset, CharacterSet) else character_set(charset)
    if declared.stand_alone:
        return _replacing(text, declared.codec, unknown)
    breaks = _NAME_BREAKS if vr == "PN" else _PARAGRAPH_BREAKS if vr in _PARAGRAPHS else _VALUE_BREAKS
    return b"".join(_component(part, declared, unknown) for part in breaks.split(text))


def _replacing(text: str, codec: str, unknown: str | None) -> bytes:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        if unknown is None:
            raise
    return b"".join(_replaced(c, codec, unknown) for c in text)


def _replaced(character: str, codec: str, unknown: str) -> bytes:
    try:
        return character.encode(codec)
    except UnicodeEncodeError:
        return unknown.encode(codec, "replace")


def _component(text: str, declared: CharacterSet, unknown: str | None) -> bytes:
    """Text between delimiters: begins in the initial state and goes back to the initial G0."""
    if text.isascii():
        return text.encode("ascii")
    g0, g1 = declared.g0, declared.g1
    out = bytearray()
    for character in text:
        repertoire, coded = _coded(character, declared, g1, unknown)
        if repertoire.slot == 1 and g0.double:
            # allowed without, but readers that know one set at a time would take it for half of a double byte
            g0 = declared.g0
            out += g0.escape
        if repertoire.slot == 1 and repertoire != g1:
            g1 = repertoire
            out += g1.escape
        elif repertoire.slot == 0 and repertoire != g0:
            g0 = repertoire
            out += g0.escape
        out += coded
    return bytes(out if g0 == declared.g0 else out + declared.g0.escape)


def _coded(
    character: str, declared: CharacterSet, current: Repertoire | None, unknown: str | None
) -> tuple[Repertoire, bytes]:
    """The code element that has `character`, the current one before the others, and its bytes there."""
    if character.isascii():
        return declared.g0, character.encode("ascii")
    if character == "¥" and declared.g0 is ROMAJI:
        return ROMAJI, b"\\"
    for repertoire in (current, *declared.repertoires) if current else declared.repertoires:
        coded = _in_repertoire(character, repertoire)
        if coded:
            return repertoire, coded
    if unknown is None:
        raise UnicodeEncodeError("-".join(declared.terms), character, 0, 1, "no declared character set has it")
    return declared.g0, unknown.encode("ascii", "replace")


@lru_cache(maxsize=8192)
def _in_repertoire(character: str, repertoire: Repertoire) -> bytes:
    """The bytes of `character` in `repertoire`, empty if it isn't there."""
    try:
        coded = character.encode(repertoire.codec)
    except UnicodeEncodeError:
        return b""
    if repertoire.double:
        return coded[len(repertoire.escape) :][:2] if coded.startswith(repertoire.escape) else b""
    if repertoire.codec == "shift_jis" and len(coded) != 1:
        return b""
    return coded
