"""The tables of the statement template (PS3.2 annex A, and those that its sample statements use), with their columns.

Beside this module as text, a line a table: kind, section, title, columns.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from isocenter.conformance.model import Row, Table


class Template(NamedTuple):
    """One table. A column in parentheses, such as `(value)`, is a single value and has no heading of its own."""

    kind: str
    section: str
    title: str
    columns: tuple[str, ...]


@cache
def templates() -> dict[str, Template]:
    """All of them by kind."""
    text = files("isocenter.conformance").joinpath("data/templates.tsv").read_text("ascii")
    return {template.kind: template for template in map(_template, text.splitlines())}


def _template(line: str) -> Template:
    kind, section, title, columns = line.split("\t")
    return Template(kind, section, title, tuple(column.strip() for column in columns.split("|")))


def table(kind: str, title: str, rows: Sequence[Row], *, ae: str = "", about: str = "") -> Table:
    """A table of the template, with its columns. KeyError for an unknown kind."""
    columns = tuple("" if column.startswith("(value") else column for column in templates()[kind].columns)
    return Table(title, columns, tuple(rows), kind=kind, ae=ae, about=about)
