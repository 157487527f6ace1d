"""A statement as Markdown (GitHub's kind). Figures are files of their own beside it."""

import re
from collections.abc import Iterator
from typing import Final

from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Statement, Table
from isocenter.conformance.svg import svg

_MARKS: Final = re.compile(r"`[^`\n]*`|[\\*<\[\]]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)")


def markdown(statement: Statement, figures: str = "figures") -> tuple[str, dict[str, str]]:
    """The text, and the SVG files that it refers to by their names in the folder `figures`."""
    drawn: dict[str, str] = {}
    return "\n".join(_lines(statement, figures, drawn)) + "\n", drawn


def _lines(statement: Statement, folder: str, drawn: dict[str, str]) -> Iterator[str]:
    product = statement.product
    yield f"# {_plain(product.name)} {_plain(product.version)}: DICOM Conformance Statement"
    yield ""
    yield _plain(", ".join((product.company, *product.imprint)))
    contents_due = True
    for number, section in statement.numbered():
        yield ""
        yield f"{'#' * min(number.count('.') + 2, 6)} {number} {_plain(section.title)}"
        if section.role == "2" and contents_due:
            yield from _contents(statement)
            contents_due = False
        for block in section.blocks:
            yield ""
            yield from _block(block, number, folder, drawn)


def _contents(statement: Statement) -> Iterator[str]:
    yield ""
    for number, section in statement.numbered():
        depth = number.count(".")
        if depth < 3:
            yield f"{'  ' * depth}- {number} {_plain(section.title)}"


def _block(block: Block, number: str, folder: str, drawn: dict[str, str]) -> Iterator[str]:
    match block:
        case Paragraph():
            yield _plain(block.text)
        case Bullets():
            yield from (f"- {_plain(item)}" for item in block.items)
        case Table():
            yield from _table(block)
        case Figure():
            name = f"{number}-{len(drawn) + 1}.svg"
            drawn[name] = svg(block.drawing, block.text, alone=True)
            yield f"![{_plain(block.title)}]({folder}/{name})"
            yield ""
            yield f"*{_plain(block.title)}.* {_plain(block.text)}"


def _table(table: Table) -> Iterator[str]:
    yield f"**{_plain(table.title)}**"
    yield ""
    yield f"| {' | '.join(map(_cell, table.columns))} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        whole = len(row) == len(table.columns)
        cells = [*map(_cell, row)] if whole else [f"**{_cell(row[0])}**", *[""] * (len(table.columns) - 1)]
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", "<br>")


def _plain(text: str) -> str:
    """`text` as it is to be read: nothing in it begins a tag, an emphasis or a link. What stands between backticks is
    code, as in all writers."""
    return _MARKS.sub(lambda found: found[0] if found[0][0] == "`" else f"\\{found[0]}", text)
