"""Regular expressions and wildcards of rules, bounded in what they can cost.

A pattern's cost grows with the length of the text and with the ways in which its repetitions can share it. So only the
first 256 characters of a value are looked at, those ways are counted, and a repetition or a choice within an unbounded
repetition is refused.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]  # the tree of a pattern is to be had nowhere else
from typing import Any, Final

MOST_LOOKED_AT: Final = 256
"""Characters of a value."""
_LONGEST: Final = 500
"""Characters of a pattern."""
_MOST_WAYS: Final = 1 << 26
"""In which repetitions and choices may share a text: some seconds in the very worst case, three `.*` and a little."""
_REPEATS: Final = frozenset([_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT])

Test = Callable[[str], bool]


def compiled(text: str) -> re.Pattern[str]:
    """The pattern. Raises ValueError with what is wrong with it."""
    if len(text) > _LONGEST:
        raise ValueError(f"a pattern has at most {_LONGEST} characters")
    try:
        pattern = re.compile(text)
        tree = _parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    if _ways(tree) > _MOST_WAYS:
        raise ValueError("repetitions and choices of the pattern can be combined in too many ways; write it with fewer")
    return pattern


def _ways(tree: Any) -> int:
    """In how many ways a pattern's tree can take a text in, at most. Raises ValueError for ways without bound."""
    found = 1
    for op, argument in tree:
        if op in _REPEATS:
            found *= _repeated(*argument)
        elif op is _constants.BRANCH:
            found *= sum(_ways(part) for part in argument[1])
        else:
            for part in _parts(argument):
                found *= _ways(part)
        found = min(found, _MOST_WAYS + 1)
    return found


def _repeated(least: int, most: int, body: Any) -> int:
    within = _ways(body)
    if most is _constants.MAXREPEAT or most > MOST_LOOKED_AT:
        if within > 1:
            raise ValueError("a repetition within a repetition, or a choice, may take for ever; write it without")
        return MOST_LOOKED_AT
    return int((most - least + 1) * min(within, _MOST_WAYS + 1) ** most)


def _parts(argument: Any) -> list[Any]:
    """The trees within an operator's argument, however deep."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for one in argument for part in _parts(one)]
    return []


def finder(text: str) -> Test:
    """Whether a text holds what the pattern describes."""
    search = compiled(text).search
    return lambda value: search(value[:MOST_LOOKED_AT]) is not None


def wildcard(text: str) -> Test:
    """Whether a text fits `text`, with `*` for any characters and `?` for one; case counts (PS3.4 C.2.2.2.4)."""
    parts = [{"*": ".*", "?": "."}.get(c) or re.escape(c) for c in re.sub(r"\*+", "*", text)]
    match = re.compile("".join(parts), re.DOTALL).fullmatch
    return lru_cache(maxsize=256)(lambda value: match(value[:MOST_LOOKED_AT]) is not None)


def replacer(pattern: str, by: str) -> Callable[[str], str]:
    """Replaces what the pattern finds; `by` names groups as `re.sub` does. Raises ValueError."""
    expression = compiled(pattern)
    try:
        _parser.parse_template(by, expression)
    except (re.error, IndexError, TypeError) as error:
        raise ValueError(f"by: {error}") from error
    return lambda value: expression.sub(by, value[:MOST_LOOKED_AT]) + value[MOST_LOOKED_AT:]
