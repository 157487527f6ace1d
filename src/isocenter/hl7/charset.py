"""Character sets of messages (MSH-18, HL7 table 0211)."""

import codecs
import re
from typing import Final, NamedTuple

from isocenter.hl7.errors import Condition, Location, MessageError

_CODECS: Final = {
    "": "ascii",
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "8859/1": "iso8859_1",
    "8859/2": "iso8859_2",
    "8859/3": "iso8859_3",
    "8859/4": "iso8859_4",
    "8859/5": "iso8859_5",
    "8859/6": "iso8859_6",
    "8859/7": "iso8859_7",
    "8859/8": "iso8859_8",
    "8859/9": "iso8859_9",
    "8859/15": "iso8859_15",
    "ISO IR14": "shift_jis",
    "ISO IR13": "shift_jis",
    "ISO IR87": "iso2022_jp_2",
    "ISO IR159": "iso2022_jp_2",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "CNS 11643-1992": "big5",
    "BIG-5": "big5",
    "UNICODE": "utf_8",
    "UNICODE UTF-8": "utf_8",
    "UNICODE UTF-16": "utf_16",
    "UNICODE UTF-32": "utf_32",
}
"""CNS 11643 has no codec of its own; the characters that names are written with are those of Big5."""

_OTHER_NAMES: Final = {
    "UTF-8": "UNICODE UTF-8",
    "UTF8": "UNICODE UTF-8",
    "ISO-8859-1": "8859/1",
    "ISO8859-1": "8859/1",
    "ISO 8859-1": "8859/1",
    "ISO-8859-15": "8859/15",
    "WINDOWS-1252": "CP1252",
    "GB18030": "GB 18030-2000",
    "BIG5": "BIG-5",
}
"""What senders write that have not read the table."""

_SHIFT: Final = re.compile(rb"\\[CM]((?:[0-9A-Fa-f]{2}){2,3})\\")
"""Escape sequences that call another set (HL7 2.8 2.7.2, 2.7.3)."""


class Declared(NamedTuple):
    """MSH-18: the set of the message, and those that escape sequences call besides."""

    first: str
    others: tuple[str, ...] = ()


def codec_of(name: str) -> str | None:
    """Python's name of the codec for a name of table 0211, or one of its misspellings; None for an unknown set."""
    written = name.strip().upper()
    written = _OTHER_NAMES.get(written, written)
    if written in _CODECS:
        return _CODECS[written]
    if written.startswith(("CP125", "KOI8", "EUC")):
        try:
            return codecs.lookup(written).name
        except LookupError:  # a name that no codec has, as if unknown
            return None
    return None


def decoded(data: bytes, declared: Declared, assumed: str) -> str:
    """The text of a message. `assumed` is the set where MSH-18 says nothing or ASCII: senders that have letters beyond
    it often never set it.

    Raises MessageError: TABLE_VALUE for an unknown set, DATA_TYPE for bytes that are not of the set.
    """
    place = Location("MSH", 1, 18)
    name = declared.first
    codec = codec_of(name)
    if codec is None or any(codec_of(other) is None for other in declared.others):
        raise MessageError(Condition.TABLE_VALUE, "the character set is not known", place)
    if codec == "ascii":
        codec = "iso2022_jp_2" if _shifts(declared) else codec_of(assumed) or "ascii"
    if codec == "iso2022_jp_2":
        data = _SHIFT.sub(lambda found: b"\x1b" + bytes.fromhex(found[1].decode()), data)
    try:
        return data.decode(codec)
    except UnicodeDecodeError as wrong:
        raise MessageError(
            Condition.DATA_TYPE, "the message has bytes that are not of its character set", place
        ) from wrong


def _shifts(declared: Declared) -> bool:
    return any(codec_of(other) == "iso2022_jp_2" for other in declared.others)


def encoded(text: str, declared: Declared) -> bytes:
    """A message's bytes; what the set has no character for becomes a question mark. Raises MessageError for an unknown
    set."""
    codec = "iso2022_jp_2" if _shifts(declared) else codec_of(declared.first)
    if codec is None:
        raise MessageError(Condition.TABLE_VALUE, "the character set is not known", Location("MSH", 1, 18))
    return text.encode(codec, "replace")
