"""Delimiters of a message, and the escape sequences that stand for them in values (HL7 2.8 2.5.4, 2.7)."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

_HEXADECIMAL: Final = re.compile("X(?:[0-9A-Fa-f]{2})+")


class Delimiters(NamedTuple):
    """MSH-1 and MSH-2. `truncation` ('' before version 2.7) only has to be known to be escaped."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """MSH-2."""
        return f"{self.component}{self.repetition}{self.escape}{self.subcomponent}{self.truncation}"


STANDARD: Final = Delimiters()

_LETTERS: Final = {"F": "field", "S": "component", "R": "repetition", "E": "escape", "T": "subcomponent"}


@lru_cache(maxsize=64)
def _escapes(delimiters: Delimiters) -> re.Pattern[str]:
    mark = re.escape(delimiters.escape)
    return re.compile(f"{mark}([^{mark}\\r]*){mark}")


def unescaped(text: str, delimiters: Delimiters) -> str:
    """A value as it is meant. Line breaks of formatted text become line feeds, highlighting goes; an escape sequence
    that nobody defined, or that doesn't end, stays as it is."""
    if not delimiters.escape or delimiters.escape not in text:
        return text
    return _escapes(delimiters).sub(lambda found: _meant(found, delimiters), text)


def _meant(found: re.Match[str], delimiters: Delimiters) -> str:
    code = found[1]
    if code in _LETTERS:
        return str(getattr(delimiters, _LETTERS[code]))
    if code == "P" and delimiters.truncation:
        return delimiters.truncation
    if code in ("H", "N"):
        return ""
    if code == ".br" or code.startswith(".sp"):
        count = code[3:].strip().lstrip("+")
        return "\n" * min(int(count) if count.isdecimal() else 1, 100)
    if code[:1] == "." and code[1:3] in ("fi", "nf", "in", "ti", "sk", "ce"):
        return " " if code[1:3] == "sk" else "\n" if code[1:3] == "ce" else ""
    if _HEXADECIMAL.fullmatch(code):
        data = bytes.fromhex(code[1:])
        return data.decode() if data.isascii() else found[0]
    return found[0]


@lru_cache(maxsize=64)
def _to_escape(delimiters: Delimiters) -> dict[int, str]:
    mark = delimiters.escape
    letters = {getattr(delimiters, name): letter for letter, name in _LETTERS.items()}
    letters |= {delimiters.truncation: "P", "\n": ".br", "\r": ".br"}
    # a message without an escape character has no way to say these
    return {ord(each): f"{mark}{letter}{mark}" if mark else " " for each, letter in letters.items() if each}


def escaped(text: str, delimiters: Delimiters) -> str:
    """A value as it is written. The two quotes that delete a value are left alone."""
    if not text or text.isalnum():
        return text
    return text.replace("\r\n", "\n").translate(_to_escape(delimiters))
