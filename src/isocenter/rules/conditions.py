"""Conditions on attributes, made into functions once."""

from collections.abc import Callable
from typing import Final, TypeAlias

from isocenter.config.coercion import Condition
from isocenter.rules import paths
from isocenter.rules.paths import Path
from isocenter.rules.patterns import finder, wildcard
from isocenter.rules.view import View

Holds: TypeAlias = Callable[[View], bool]
_OPERATORS: Final = ("equals", "like", "matches", "one_of", "range", "exists", "absent")
_NAMES: Final = {"one_of": "in"}


def compiled(condition: Condition) -> tuple[Path, Holds]:
    """The attribute that a condition looks at, and the condition. Raises ValueError with what is wrong."""
    path = paths.parse(condition.attribute)
    given = [name for name in _OPERATORS if getattr(condition, name) is not None]
    if len(given) != 1:
        offered = ", ".join(_NAMES.get(name, name) for name in _OPERATORS)
        raise ValueError(f"{condition.attribute}: one of {offered} is needed, and no other")
    try:
        holds = _holds(path, condition, given[0])
    except ValueError as error:
        raise ValueError(f"{condition.attribute}: {_NAMES.get(given[0], given[0])}: {error}") from error
    return path, (lambda view: not holds(view)) if condition.negate else holds


def _holds(path: Path, condition: Condition, operator: str) -> Holds:
    if operator == "exists":
        wanted = condition.exists
        return lambda view: _has_value(view, path) == wanted
    if operator == "absent":
        missing = condition.absent
        return lambda view: (next(view.elements(path), None) is None) == missing
    test = _test(condition, operator)
    if operator == "equals" and condition.equals == "":
        return lambda view: not _has_value(view, path)
    return lambda view: any(map(test, view.texts(path)))


def _has_value(view: View, path: Path) -> bool:
    return any(element.value for element, _ in view.elements(path))


def _test(condition: Condition, operator: str) -> Callable[[str], bool]:
    if operator == "equals":
        return (condition.equals or "").__eq__
    if operator == "like":
        return wildcard(condition.like or "")
    if operator == "matches":
        return finder(condition.matches or "")
    if operator == "one_of":
        return frozenset(condition.one_of or ()).__contains__
    low, high = condition.range or ("", "")
    return _between(low, high)


def _between(low: str, high: str) -> Callable[[str], bool]:
    try:
        least, most = float(low), float(high)
    except ValueError:
        return lambda value: low <= value[: len(low)] and value[: len(high)] <= high

    def between(value: str) -> bool:
        try:
            return least <= float(value) <= most
        except ValueError:
            return False

    return between
