"""A conformance statement as data: sections of paragraphs, lists, tables and figures, whatever they are written as."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from isocenter.conformance.drawing import Drawing

Cell: TypeAlias = str
"""Text; several lines where the cell holds a list."""
Row: TypeAlias = tuple[Cell, ...]
"""One cell for each column, or a single one: a heading over the rows that follow."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text. Words between backticks are names of settings, commands or values."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the tables of the template, or another of the same shape.

    `kind` names the template's table (`templates.TEMPLATES`), '' for one of ours. `ae` is the title of the AE that the
    table speaks of, `about` what tells tables of one kind and AE apart: the activity, the service, the level.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    kind: str = ""
    ae: str = ""
    about: str = ""

    @property
    def headed(self) -> bool:
        """Its columns have headings; a single value beside its name has none."""
        return self.columns[-1] != ""

    def records(self) -> Iterator[dict[str, Cell]]:
        """The rows below headings, as column to cell."""
        for row in self.rows:
            if len(row) == len(self.columns) and len(row) > 1:
                yield dict(zip(self.columns, row, strict=True))


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing; `text` says the same in words."""

    title: str
    drawing: Drawing
    text: str


Block: TypeAlias = Paragraph | Bullets | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered section, with what it says itself and its subsections. `role` is its place in the template
    (C-TPL), such as `4.2.x.1`."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple["Section", ...] = ()
    role: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """Who says so, of what (C-GEN-01)."""

    name: str
    version: str
    company: str
    document: str
    """Number of the document, '' for none."""
    date: str
    """ISO 8601 date of the document."""
    revisions: tuple[tuple[str, str, str, str], ...] = ()
    """Document version, date of issue, author, description."""

    @property
    def imprint(self) -> tuple[str, ...]:
        """What the cover says below the name (C-TPL-0)."""
        options = "All features belong to the product; none is an option to be bought."
        return tuple(filter(None, (self.document, self.date, options)))


@dataclass(frozen=True, slots=True)
class Statement:
    """The whole document; its first section has the number 1."""

    product: Product
    sections: tuple[Section, ...] = field(default=())

    def numbered(self) -> Iterator[tuple[str, Section]]:
        """Every section with its number, in reading order."""
        yield from _numbered(self.sections, "")

    def tables(self, kind: str | None = None, *, ae: str | None = None, about: str | None = None) -> list[Table]:
        """The tables of a kind, of an AE, about something."""
        return [
            block
            for _, section in self.numbered()
            for block in section.blocks
            if isinstance(block, Table)
            and (kind is None or block.kind == kind)
            and (ae is None or block.ae == ae)
            and (about is None or block.about == about)
        ]

    def texts(self) -> Iterator[str]:
        """All running text."""
        for _, section in self.numbered():
            for block in section.blocks:
                if isinstance(block, Paragraph):
                    yield block.text
                elif isinstance(block, Bullets):
                    yield from block.items

    def words(self) -> Iterator[str]:
        """Everything that is read: headings, text and cells."""
        yield from self.texts()
        for _, section in self.numbered():
            yield section.title
        for table in self.tables():
            yield table.title
            yield from table.columns
            yield from (cell for row in table.rows for cell in row)

    def section(self, role: str) -> Section | None:
        """The first section of a role."""
        return next((section for _, section in self.numbered() if section.role == role), None)


def _numbered(sections: tuple[Section, ...], above: str) -> Iterator[tuple[str, Section]]:
    for n, section in enumerate(sections, 1):
        number = f"{above}{n}"
        yield number, section
        yield from _numbered(section.sections, f"{number}.")
