"""Options that several commands share, as one parameter.

A frozen dataclass says what they are: each of its fields is an option with a default. A command has one parameter of
that class; `gathered` puts the options in its place.
"""

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

Command = TypeVar("Command", bound=Callable[..., None])


def gathered(command: Command, parameter: str, kind: type[Any], *, without: Collection[str] = ()) -> Command:
    """The command with the options of `kind` in place of `parameter`, its own before those that it inherits. Fields
    `without` an option have their default."""
    hints = get_type_hints(kind, include_extras=True)
    added = [
        inspect.Parameter(
            each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=each.default, annotation=hints[each.name]
        )
        for each in sorted(fields(kind), key=lambda field: field.name not in kind.__annotations__)
        if each.name not in without
    ]
    own = inspect.signature(command).parameters
    parameters = [each for name, one in own.items() for each in (added if name == parameter else (one,))]

    @functools.wraps(command)
    def run(*positional: Any, **named: Any) -> None:
        value = kind(**{each.name: named.pop(each.name) for each in added})
        command(*positional, **named, **{parameter: value})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run  # type: ignore[return-value]
