"""Person names (PS3.5 6.2, VR PN): up to three component groups of five components each.

Text is parsed after it has been decoded; names that break the rules are kept as far as they go.
"""

from dataclasses import dataclass
from typing import NamedTuple

GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
"""In the order of PS3.5 6.2; the words are those of the JSON and XML models."""


class Components(NamedTuple):
    """One component group's parts."""

    family: str = ""
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        return "^".join(self).rstrip("^")


@dataclass(frozen=True, slots=True)
class PersonName:
    """One name; each group as text with its carets, '' where there is none."""

    alphabetic: str = ""
    ideographic: str = ""
    phonetic: str = ""

    def __str__(self) -> str:
        return "=".join(self.groups).rstrip("=")

    def __bool__(self) -> bool:
        return any(self.groups)

    @property
    def groups(self) -> tuple[str, str, str]:
        """The three groups, in the standard's order."""
        return self.alphabetic, self.ideographic, self.phonetic


def parse(text: str) -> PersonName:
    """One value of VR PN as decoded text; padding and spaces around a group are insignificant."""
    groups = [group.strip(" \0") for group in text.split("=", 3)[:3]]
    return PersonName(*groups)


def parse_values(text: str) -> tuple[PersonName, ...]:
    """All values of an element of VR PN."""
    return tuple(parse(value) for value in text.split("\\")) if text.strip(" \0") else ()


def components(group: str) -> Components:
    """The parts of one group. What follows a fourth caret is the suffix, further carets and all."""
    return Components(*(part.strip(" \0") for part in group.rstrip("^ \0").split("^", 4)))


def canonical(text: str) -> str:
    """The form in which equal names are equal text (I-STORE-09): alphabetic group, five components, upper case.

    `LN^FN`, `LN^FN^` and `ln^fn^^^` all become `LN^FN^^^`; a name without an alphabetic group is taken by its first.
    """
    group = _first_group(text)
    return "^".join(components(group)).upper() if group else ""


def _first_group(text: str) -> str:
    return next((group for group in parse(text).groups if group.strip("^ ")), "")


def compact(text: str) -> str:
    """The name with all its groups, without spaces around components and without trailing delimiters."""
    return str(PersonName(*(str(components(group)) for group in parse(text).groups)))


def display(text: str) -> str:
    """The name for a person to read, by its first group: `Family, Given Middle, Prefix, Suffix`."""
    parts = components(_first_group(text))
    given = " ".join(p for p in (parts.given, parts.middle) if p)
    return ", ".join(p for p in (parts.family, given, parts.prefix, parts.suffix) if p)
