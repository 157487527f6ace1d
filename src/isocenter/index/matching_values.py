"""The values of query keys, read as PS3.4 C.2.2.2 says: what a key asks for, before any database.

A key's value becomes None (universal matching) or a tuple of tests of which one must hold.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from isocenter.dicom.folding import fold_pattern
from isocenter.dicom.person_name import GROUPS, components, parse
from isocenter.errors import Reason, Refused


class Exact(NamedTuple):
    """Equal to `text`."""

    text: str


class Wild(NamedTuple):
    """Like `text`, where `*` stands for any characters and `?` for one."""

    text: str


class Span(NamedTuple):
    """From `low` (inclusive; '' means any value, but not an absent one) up to `below` (exclusive; None: no end)."""

    low: str
    below: str | None


class Name(NamedTuple):
    """A person name: a test for each component group that was given, or one for any group. Text is canonical."""

    any_group: tuple["Test", ...]
    groups: tuple[tuple["Test", ...], tuple["Test", ...], tuple["Test", ...]]


class Words(NamedTuple):
    """Each word begins a word of the value, in any order (PS3.18 8.3.4.2, fuzzy matching)."""

    words: tuple[str, ...]


Test = Exact | Wild | Span | Name | Words
Tests = tuple[Test, ...]

_WHOLE = frozenset({"LT", "ST", "UT", "UR"})
"""VRs of one value, in which a backslash is a character."""


def read(vr: str, text: str, *, fuzzy: bool = False) -> Tests | None:
    """What the value `text` of a matching key asks for; None if it matches everything.

    Raises Refused(IDENTIFIER_MISMATCH) for a date or time that is none.
    """
    if vr == "PN":
        return _either([_name(value, fuzzy) for value in text.split("\\")])
    if vr in _TEMPORAL:
        value = text.strip(" \0")
        return None if value in ("", "*") else _TEMPORAL[vr](value)
    if vr in _WHOLE:
        return _either([_text(text)])
    return _either([_text(value) for value in text.split("\\")])


def _either(tests: list[Test | None]) -> Tests | None:
    """Values of which one must match; an empty one among others is left out, a lone `*` matches everything."""
    found = tuple(test for test in tests if test is not None and test != Exact(""))
    return None if not found or None in tests else found


def _text(value: str) -> Test | None:
    value = value.strip(" \0")
    if value and not value.strip("*"):
        return None
    return Wild(value) if "*" in value or "?" in value else Exact(value)


# --- person names


def _name(value: str, fuzzy: bool) -> Test | None:
    name = parse(value)
    if fuzzy:
        words = tuple(w for group in name.groups for w in re.split(r"[\^ *?,]+", group) if w)
        return Words(words) if words else (None if value.strip(" \0*^=") == "" and "*" in value else Exact(""))
    groups = [_group(group) for group in name.groups]
    if "=" not in value:
        return Name(groups[0], ((), (), ())) if groups[0] else (None if "*" in value else Exact(""))
    if not any(groups):
        return None if "*" in value else Exact("")
    return Name((), (groups[0], groups[1], groups[2]))


def _group(text: str) -> tuple[Test, ...]:
    """The tests for one component group; none if it was left open.

    Trailing components of `*` alone also match a name that ends before them (I-FIND-07): `A^*` finds `A` and `A^B`.
    """
    group = str(components(text))
    if not group.strip("*^"):
        return ()
    bare = group
    while bare.endswith("^*"):
        bare = bare[:-2].rstrip("^")
    if bare == group or bare.endswith("*"):
        return (_plain(bare),)
    return (_plain(bare), Wild(f"{bare}^*"))


def _plain(text: str) -> Test:
    return Wild(text) if "*" in text or "?" in text else Exact(text)


# --- dates and times


def after_prefix(prefix: str) -> str | None:
    """The least text greater than every text that begins with `prefix`; None if there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def _date(value: str) -> Tests:
    low, ranged, high = value.partition("-")
    if ranged:
        first, last = _digits(low, 8, "."), _digits(high, 8, ".")
        if not first and not last:
            raise _bad("DA", "range without dates")
        return (Span(first, after_prefix(last)),)
    digits = _digits(value.rstrip("*"), 8, ".")
    if len(digits) < 8:
        return (Span(digits, after_prefix(digits)),)
    return (Exact(digits), Exact(f"{digits[:4]}.{digits[4:6]}.{digits[6:]}"))


def _time(value: str) -> Tests:
    low, ranged, high = value.partition("-")
    if ranged:
        first, last = _clock(low), _clock(high)
        if not first and not last:
            raise _bad("TM", "range without times")
        return (Span(_least(first), after_prefix(last)),)
    digits = _clock(value.rstrip("*"))
    return (Span(digits, after_prefix(digits)),) if digits else ()


def _clock(text: str) -> str:
    digits, point, fraction = text.strip().replace(":", "").partition(".")
    if fraction:
        return f"{_digits(digits, 6, '')}{point}{_digits(fraction, 6, '')}"
    return _digits(digits, 6, "")


def _least(time: str) -> str:
    """The shortest way to write `time`, which sorts before the longer ones: 10:00 may be stored as `10`."""
    time = time.partition(".")[0] if "." in time and not time.partition(".")[2].strip("0") else time
    while len(time) in (4, 6) and time.endswith("00"):
        time = time[:-2]
    return time


_MOMENT = r"\d{4,14}(?:\.\d{1,6})?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
_DT_RANGE = re.compile(rf"({_MOMENT})?-({_MOMENT})?")
_DT_SINGLE = re.compile(_MOMENT)
_OFFSET = re.compile(r"[+-]\d{4}$")


def _date_time(value: str) -> Tests:
    """Compared as written. A hyphen before four digits up to 1459 is an offset from UTC (PS3.4 C.2.2.2.5.3)."""
    value = value.rstrip("*").replace(" ", "")
    if _DT_SINGLE.fullmatch(value):
        return (Span(value, after_prefix(value)),)
    found = _DT_RANGE.fullmatch(value)
    if found is None or not any(found.groups()):
        raise _bad("DT", "neither a time nor a range")
    low, high = (_OFFSET.sub("", part) if part else "" for part in found.groups())
    return (Span(low, after_prefix(high)),)


def _digits(text: str, most: int, separator: str) -> str:
    digits = text.strip().replace(separator, "") if separator else text.strip()
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) <= most):
        raise _bad("DA" if most == 8 else "TM", "not a value of this kind")
    return digits


def _bad(vr: str, what: str) -> Refused:
    return Refused(Reason.IDENTIFIER_MISMATCH, f"key of VR {vr}: {what}")


_TEMPORAL = {"DA": _date, "TM": _time, "DT": _date_time}


# --- folding and patterns


def folded(test: Test) -> Test:
    """The same test against folded text."""
    match test:
        case Exact(text):
            return Exact(fold_pattern(text))
        case Wild(text):
            return Wild(fold_pattern(text))
        case Words(words):
            return Words(tuple(fold_pattern(word) for word in words))
        case Name(any_group, groups):
            first, second, third = (tuple(map(folded, group)) for group in groups)
            return Name(tuple(map(folded, any_group)), (first, second, third))
        case Span():
            return test


def literal_prefix(pattern: str) -> str:
    """What comes before the first wildcard."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def regular(pattern: str) -> str:
    """A regular expression for the whole of a value that `pattern` matches."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)


# --- the same tests on whole values, for what the index can't decide


class Sensitivity(NamedTuple):
    """What counts in text that is otherwise matched folded (M-FIND-04, M-FIND-05)."""

    case: bool = False
    accents: bool = False

    def normal(self, text: str) -> str:
        """`text` in the form in which it is compared."""
        if not self.case and not self.accents:
            return fold_pattern(text)
        text = unicodedata.normalize("NFC" if self.accents else "NFKD", text).strip(" \0")
        if not self.accents:
            text = unicodedata.normalize("NFC", "".join(c for c in text if not unicodedata.combining(c)))
        return text if self.case else text.casefold()


FOLDED = Sensitivity()


def accepts(tests: Tests, sensitivity: Sensitivity) -> Callable[[str], bool]:
    """Whether an unfolded value (of one or more values, where its VR allows) passes one of `tests`."""
    checks = [_check(test, sensitivity) for test in tests]
    return lambda value: any(check(value) for check in checks)


def _check(test: Test, sensitivity: Sensitivity) -> Callable[[str], bool]:
    match test:
        case Span(low, below):
            return lambda value: bool(value) and value >= low and (below is None or value < below)
        case Words(words):
            sought = [re.compile(rf"(?:^|[\^ =,-]){re.escape(sensitivity.normal(word))}") for word in words]
            return lambda value: all(word.search(sensitivity.normal(value)) for word in sought)
        case Name():
            return _name_check(test, sensitivity)
        case Exact(text) | Wild(text):
            sought_text = _expression(test, text, sensitivity)
            return lambda value: any(sought_text.fullmatch(sensitivity.normal(v)) for v in (value, *_parts(value)))


def _parts(value: str) -> list[str]:
    return value.split("\\") if "\\" in value else []


def _expression(test: Test, text: str, sensitivity: Sensitivity) -> re.Pattern[str]:
    normal = sensitivity.normal(text)
    return re.compile(regular(normal) if isinstance(test, Wild) else re.escape(normal), re.DOTALL)


def _name_check(name: Name, sensitivity: Sensitivity) -> Callable[[str], bool]:
    def group_check(tests: tuple[Test, ...]) -> Callable[[str], bool]:
        sought = [_expression(t, t.text, sensitivity) for t in tests if isinstance(t, Exact | Wild)]
        return lambda group: any(each.fullmatch(sensitivity.normal(group)) for each in sought)

    any_group = group_check(name.any_group)
    by_group = [(i, group_check(tests)) for i, tests in enumerate(name.groups) if tests]

    def check(value: str) -> bool:
        for one in value.split("\\"):
            groups = [str(components(group)) for group in parse(one).groups]
            if by_group and all(passes(groups[i]) for i, passes in by_group):
                return True
            if name.any_group and any(group and any_group(group) for group in groups):
                return True
        return False

    return check


def item_check(tag: int, checks: list[tuple[tuple[int, ...], Callable[[str], bool]]]) -> Callable[[str], bool]:
    """Whether a DICOM JSON object holds, in sequence `tag`, an item that passes all `checks` (paths inside an item)."""

    def check(text: str) -> bool:
        attribute = msgspec.json.decode(text).get(f"{tag:08X}", {}) if text else {}
        return any(
            all(any(accept(value) for value in values_at(item, path)) for path, accept in checks)
            for item in attribute.get("Value", ())
        )

    return check


def values_at(item: dict[str, Any], path: tuple[int, ...]) -> Iterator[str]:
    """The values, as text, that lie at `path` of a DICOM JSON object, in whatever items."""
    attribute = item.get(f"{path[0]:08X}", {})
    for value in attribute.get("Value", ()):
        if len(path) > 1:
            yield from values_at(value, path[1:])
        elif attribute.get("vr") == "PN":
            yield "=".join((value or {}).get(group, "") for group in GROUPS).rstrip("=")
        elif value is not None:
            yield str(value)
