"""A statement as Markdown (GitHub's kind). Figures are files of their own beside it."""

from collections.abc import Iterator

from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Statement, Table
from isocenter.conformance.svg import svg


def markdown(statement: Statement, figures: str = "figures") -> tuple[str, dict[str, str]]:
    """The text, and the SVG files that it refers to by their names in the folder `figures`."""
    drawn: dict[str, str] = {}
    return "\n".join(_lines(statement, figures, drawn)) + "\n", drawn


def _lines(statement: Statement, folder: str, drawn: dict[str, str]) -> Iterator[str]:
    product = statement.product
    yield f"# {product.name} {product.version}: DICOM Conformance Statement"
    yield ""
    yield ", ".join((product.company, *product.imprint))
    contents_due = True
    for number, section in statement.numbered():
        yield ""
        yield f"{'#' * min(number.count('.') + 2, 6)} {number} {section.title}"
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
            yield f"{'  ' * depth}- {number} {section.title}"


def _block(block: Block, number: str, folder: str, drawn: dict[str, str]) -> Iterator[str]:
    match block:
        case Paragraph():
            yield block.text
        case Bullets():
            yield from (f"- {item}" for item in block.items)
        case Table():
            yield from _table(block)
        case Figure():
            name = f"{number}-{len(drawn) + 1}.svg"
            drawn[name] = svg(block.drawing, block.text, alone=True)
            yield f"![{block.title}]({folder}/{name})"
            yield ""
            yield f"*{block.title}.* {block.text}"


def _table(table: Table) -> Iterator[str]:
    yield f"**{table.title}**"
    yield ""
    yield f"| {' | '.join(table.columns)} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        cells = row if len(row) == len(table.columns) else (f"**{row[0]}**", *[""] * (len(table.columns) - 1))
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
