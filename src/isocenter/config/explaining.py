"""The settings put into words, for the list of all settings and for the conformance statement."""

import ast
import inspect
import itertools
import re

_IDS = re.compile(r" \((?:[A-Z]-[A-Z0-9-]+(?:, )?)+\)")


def explanations(struct: type) -> dict[str, str]:
    """The text under each field of a struct of settings, in its source."""
    body = ast.parse(inspect.getsource(struct)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for here, following in itertools.pairwise(body):
        if isinstance(here, ast.AnnAssign) and isinstance(following, ast.Expr):
            found[here.target.id] = " ".join(following.value.value.split())  # type: ignore[union-attr, attr-defined]
    return found


def without_ids(text: str) -> str:
    """A text without the ids of the catalogue in parentheses."""
    return _IDS.sub("", text)
