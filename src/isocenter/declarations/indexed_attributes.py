"""The query keys that an installation adds to its own: attributes that its settings name as indexed (M-FIND-03).

image:AcquisitionNumber                 a keyword, at the level whose objects share the value
series:00180015                         a tag
image:RadiopharmaceuticalInformationSequence.RadionuclideTotalDose
image:00091001:LO                       a private element: the dictionary does not know its VR
image:00091001:LO:ACME 1.0              the same, where block 10 of group 0009 is that creator's
"""

from functools import cache
from typing import NamedTuple

from isocenter.declarations.query_keys import Key, Level, Match, Path, Place, keys_at, matching_of, resolve
from isocenter.dicom.charset import TEXT_VRS
from isocenter.dicom.dictionary import entry_of, vr_of
from isocenter.errors import ConfigurationError

_LEVELS = {"patient": Level.PATIENT, "study": Level.STUDY, "series": Level.SERIES, "image": Level.IMAGE}
_TEXTS = TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
"""Binary numbers: single values, matched by the text of the number."""
_FOLDED = frozenset({"LO", "LT", "PN", "ST", "UC", "UT"})
_PIXELS = 0x7FE0


class Attribute(NamedTuple):
    """One attribute of the settings."""

    key: Key
    creator: str
    """Private creator that must hold the element's block; '' where that is not looked at."""
    private: bool
    """The VR is the settings', not the dictionary's."""


@cache
def attribute(text: str) -> Attribute:
    """The attribute that `text` names. Raises ConfigurationError."""
    level, _, rest = text.partition(":")
    name, _, more = rest.partition(":")
    given, _, creator = more.partition(":")
    if level.strip().lower() not in _LEVELS:
        raise ConfigurationError(f"index.attributes: {text!r} does not begin with patient:, study:, series: or image:")
    path = resolve(name.replace(",", ""))
    if path is None:
        raise ConfigurationError(f"index.attributes: {name!r} is neither a keyword nor a tag, nor several with dots")
    _check(text, path)
    private = entry_of(path[-1]) is None
    vr = (given.strip().upper() or "UN") if private else vr_of(path[-1])
    if vr not in _TEXTS | NUMBERS | {"SQ"}:
        known = "give the VR of a private element behind a colon" if private and not given else f"VR {vr} has no text"
        raise ConfigurationError(f"index.attributes: {text!r} can't be matched: {known}")
    return Attribute(_key(_LEVELS[level.strip().lower()], path, vr), creator.strip(), private)


def _check(text: str, path: Path) -> None:
    group = path[0] >> 16
    if group >= _PIXELS or group in (0x0000, 0x0002, 0xFFFE):
        raise ConfigurationError(f"index.attributes: {text!r} is no attribute of an object's header")


def _key(level: Level, path: Path, vr: str) -> Key:
    matching = Match.SINGLE if vr in NUMBERS else matching_of(vr)
    return Key(level, path, vr, Place.ATTRIBUTE, "", "", matching, True, False, vr in _FOLDED)


@cache
def configured_keys(texts: tuple[str, ...]) -> tuple[Key, ...]:
    """The keys of the attributes `texts`, sequences before what they hold, without those of every archive."""
    found: dict[tuple[Level, Path], Key] = {}
    for text in texts:
        wanted = attribute(text).key
        for end in range(1, len(wanted.path)):
            above = wanted.path[:end]
            found.setdefault((wanted.level, above), _key(wanted.level, above, "SQ"))
        found.setdefault((wanted.level, wanted.path), wanted)
    return tuple(key for (level, path), key in found.items() if path not in keys_at(level))
