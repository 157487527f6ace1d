"""Regular expressions and wildcards of rules, bounded in what they can cost.

A pattern's cost grows with the length of the text and with the ways in which its repetitions can share it. So only the
first 256 characters of a value are looked at, and a repetition within an unbounded one is refused.
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
_MOST_REPETITIONS: Final = 8
_REPEATS: Final = frozenset([_constants.MAX_REPEAT, _constants.MIN_REPEAT])
_UNBOUNDED: Final = 64

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
    if _count(tree, within=False) > _MOST_REPETITIONS:
        raise ValueError(f"a pattern has at most {_MOST_REPETITIONS} unbounded repetitions")
    return pattern


def _count(tree: Any, *, within: bool) -> int:
    """Unbounded repetitions in a pattern's tree. Raises ValueError for one within another."""
    found = 0
    for op, argument in tree:
        if op in _REPEATS:
            _least, most, body = argument
            unbounded = most is _constants.MAXREPEAT or most > _UNBOUNDED
            if within and unbounded:
                raise ValueError("a repetition within a repetition may take for ever; write it without")
            found += unbounded + _count(body, within=within or unbounded)
        else:
            found += sum(_count(part, within=within) for part in _parts(argument))
    return found


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
