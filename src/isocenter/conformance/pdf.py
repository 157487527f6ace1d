"""A statement as PDF, with a table of contents, an outline and drawn figures. reportlab comes in when it is needed."""

import io
import re
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from isocenter.conformance.drawing import Box, Circle, Drawing, Line, Stroke, Text
from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Section, Statement, Table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

_CODE = re.compile(r"`([^`]+)`")
_BLUE, _GREY, _PALE = "#24557a", "#cbd6e0", "#e8eef4"
_DASHES = {"": None, "dashed": [5, 3], "dotted": [1, 3]}
_CONTENTS_DEPTH = 4
_TOGETHER = 120.0
"""Points that have to be left on a page for a heading to begin there."""
_LONGEST_WORD, _LONGEST_LINE = 200.0, 300.0
"""Points that a word, and a line, of a cell may ask for."""
_ROOM = 499.0
"""Points between the margins."""


def pdf(statement: Statement) -> bytes:
    """The document: A4, a cover page first."""
    from reportlab.lib.pagesizes import A4

    out = io.BytesIO()
    document = _template(out, statement, A4)
    document.multiBuild(list(_story(statement, _styles())))
    return out.getvalue()


def _template(out: io.BytesIO, statement: Statement, size: tuple[float, float]) -> Any:
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    product = statement.product
    name = f"{product.name} {product.version}: DICOM Conformance Statement"

    class Document(BaseDocTemplate):  # type: ignore[misc, unused-ignore]
        """Tells the table of contents and the outline about each heading."""

        def afterFlowable(self, flowable: Any) -> None:
            level = getattr(flowable, "heading_level", None)
            if level is None:
                return
            key = f"s{flowable.heading_number}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.heading_text, key, level, closed=level > 0)
            if level < _CONTENTS_DEPTH:
                self.notify("TOCEntry", (level, escape(flowable.heading_text), self.page, key))

    def footer(canvas: Any, document: Any) -> None:
        if document.page > 1:
            canvas.setFont("Helvetica", 8)
            canvas.setFillColor("#5a7288")
            canvas.drawString(48, 30, name)
            canvas.drawRightString(size[0] - 48, 30, str(document.page))

    frame = Frame(48, 48, size[0] - 96, size[1] - 96, id="page", leftPadding=0, rightPadding=0)
    document = Document(out, pagesize=size, title=name, author=product.company, subject=product.document)
    document.addPageTemplates([PageTemplate("page", [frame], onPage=footer)])
    return document


def _styles() -> dict[str, Any]:
    from reportlab.lib.styles import ParagraphStyle

    text = ParagraphStyle("text", fontName="Helvetica", fontSize=9.5, leading=13, spaceAfter=5)
    headings = {
        f"h{level}": ParagraphStyle(
            f"h{level}", parent=text, fontName="Helvetica-Bold", fontSize=size, leading=size * 1.25,
            textColor=_BLUE, spaceBefore=10, spaceAfter=5,
        )
        for level, size in enumerate((18, 14, 12, 10.5, 10, 10, 10))
    }  # fmt: skip
    return {
        "text": text,
        "bullet": ParagraphStyle("bullet", parent=text, leftIndent=14, bulletIndent=4, spaceAfter=2),
        "caption": ParagraphStyle("caption", parent=text, fontName="Helvetica-Bold", fontSize=8.5, spaceBefore=6),
        "cell": ParagraphStyle("cell", parent=text, fontSize=7.5, leading=9.2, spaceAfter=0, splitLongWords=1),
        "head": ParagraphStyle("head", parent=text, fontName="Helvetica-Bold", fontSize=7.5, leading=9.2, spaceAfter=0),
        "title": ParagraphStyle(
            "title", parent=text, fontName="Helvetica-Bold", fontSize=28, leading=34, textColor=_BLUE
        ),
        "subtitle": ParagraphStyle("subtitle", parent=text, fontSize=15, leading=20),
        **headings,
    }


def _story(statement: Statement, styles: dict[str, Any]) -> "Iterator[Flowable]":
    from reportlab.platypus import CondPageBreak, PageBreak

    yield from _cover(statement, styles)
    for number, section in statement.numbered():
        if "." not in number:
            yield PageBreak()
        yield CondPageBreak(_TOGETHER)
        yield _heading(number, section, styles)
        if section.role == "2":
            yield _contents()
        for block in section.blocks:
            yield from _block(block, styles)


def _cover(statement: Statement, styles: dict[str, Any]) -> "Iterator[Flowable]":
    from reportlab.platypus import Paragraph as Flow
    from reportlab.platypus import Spacer

    product = statement.product
    yield Spacer(1, 170)
    yield Flow(escape(product.company), styles["subtitle"])
    yield Flow(escape(f"{product.name} {product.version}"), styles["title"])
    yield Flow("DICOM Conformance Statement", styles["subtitle"])
    yield Spacer(1, 40)
    yield Flow("<br/>".join(map(escape, product.imprint)), styles["text"])


def _heading(number: str, section: Section, styles: dict[str, Any]) -> "Flowable":
    from reportlab.platypus import Paragraph as Flow

    level = number.count(".")
    heading: Any = Flow(escape(f"{number}  {section.title}"), styles[f"h{min(level, 6)}"])
    heading.heading_level, heading.heading_number = level, number
    heading.heading_text = f"{number} {section.title}"
    return heading  # type: ignore[no-any-return, unused-ignore]


def _contents() -> "Flowable":
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus.tableofcontents import TableOfContents

    contents = TableOfContents()
    contents.levelStyles = [
        ParagraphStyle(f"toc{level}", fontName="Helvetica", fontSize=9, leading=12, leftIndent=14 * level)
        for level in range(_CONTENTS_DEPTH)
    ]
    contents.dotsMinLevel = 0
    return contents


def _block(block: Block, styles: dict[str, Any]) -> "Iterator[Flowable]":
    from reportlab.platypus import CondPageBreak, KeepTogether
    from reportlab.platypus import Paragraph as Flow

    match block:
        case Paragraph():
            yield Flow(_text(block.text), styles["text"])
        case Bullets():
            yield from (Flow(_text(item), styles["bullet"], bulletText="\u2022") for item in block.items)
        case Table():
            yield CondPageBreak(_TOGETHER / 2)
            yield Flow(escape(block.title), styles["caption"])
            yield _table(block, styles)
        case Figure():
            yield KeepTogether([Flow(escape(block.title), styles["caption"]), _drawn(block.drawing)])


def _table(table: Table, styles: dict[str, Any]) -> "Flowable":
    from reportlab.platypus import LongTable, TableStyle
    from reportlab.platypus import Paragraph as Flow

    style = [
        ("GRID", (0, 0), (-1, -1), 0.4, _GREY),
        ("BACKGROUND", (0, 0), (-1, 0) if table.headed else (0, -1), _PALE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("FONT", (0, 0), (-1, -1), "Helvetica", 7.5, 9.2),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    widths = _widths(table, _ROOM)
    heads = [[Flow(escape(column), styles["head"]) for column in table.columns]] if table.headed else []
    cells: list[list[Any]] = list(heads)
    for n, row in enumerate(table.rows, len(heads)):
        if len(row) == len(table.columns):
            cells.append([_cell(text, width, styles) for text, width in zip(row, widths, strict=True)])
        else:
            style.append(("SPAN", (0, n), (-1, n)))
            cells.append([Flow(_text(row[0]), styles["head"])] + [""] * (len(table.columns) - 1))
    return LongTable(
        cells, colWidths=widths, repeatRows=len(heads), style=TableStyle(style), spaceAfter=8, hAlign="LEFT"
    )  # type: ignore[no-any-return, unused-ignore]


def _cell(text: str, width: float, styles: dict[str, Any]) -> Any:
    """What fits on a line as it is, which is laid out many times faster than a paragraph."""
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.platypus import Paragraph as Flow

    plain = text.isascii() and "`" not in text and "\n" not in text
    if plain and stringWidth(text, "Helvetica", 7.5) < width - 12.5:
        return text
    return Flow(_text(text), styles["cell"])


def _widths(table: Table, room: float) -> list[float]:
    """Widths by what the columns hold: their longest words have to fit, long texts get what is left."""
    rows = [row for row in table.rows if len(row) == len(table.columns)]
    needs = [_needs(column, [row[n] for row in rows]) for n, column in enumerate(table.columns)]
    least = sum(low for low, _ in needs)
    if least >= room:
        return [low * room / least for low, _ in needs]
    wanted = [high - low for low, high in needs]
    share = (room - least) / (sum(wanted) or 1.0)
    return [low + want * share for (low, _), want in zip(needs, wanted, strict=True)]


def _needs(heading: str, texts: list[str]) -> tuple[float, float]:
    """The least and the best width of a column."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    def width(text: str, font: str = "Helvetica") -> float:
        return float(stringWidth(text, font, 7.5)) + 14

    least = max(width(word, "Helvetica-Bold") for word in (heading or "-").split())
    words = {word for text in texts for word in text.split()}
    least = max([least, *(min(width(word), _LONGEST_WORD) for word in words)])
    lines = {line for text in texts for line in text.split("\n")}
    return least, max(
        [least + 1, width(heading, "Helvetica-Bold"), *(min(width(line), _LONGEST_LINE) for line in lines)]
    )


def _text(text: str) -> str:
    plain = escape(text, quote=False).encode("cp1252", "replace").decode("cp1252")
    return _CODE.sub(r'<font face="Courier">\1</font>', plain).replace("\n", "<br/>")


def _drawn(drawing: Drawing) -> "Flowable":
    from reportlab.graphics.shapes import Drawing as Graphic

    graphic = Graphic(drawing.width, drawing.height)
    for stroke in drawing.strokes:
        for shape in _shapes(stroke, drawing.height):
            graphic.add(shape)
    return graphic  # type: ignore[no-any-return, unused-ignore]


def _shapes(stroke: Stroke, height: float) -> Iterator[Any]:
    """The stroke in reportlab's shapes, whose y grows upwards."""
    from reportlab.graphics import shapes
    from reportlab.lib.colors import HexColor

    ink = HexColor("#112233")
    match stroke:
        case Line():
            y1, y2 = height - stroke.y1, height - stroke.y2
            dash = _DASHES[stroke.dash]
            yield shapes.Line(stroke.x1, y1, stroke.x2, y2, strokeColor=ink, strokeWidth=0.8, strokeDashArray=dash)
            if stroke.arrow:
                yield _head(stroke.x1, y1, stroke.x2, y2, ink)
            if stroke.both:
                yield _head(stroke.x2, y2, stroke.x1, y1, ink)
        case Box():
            fill = HexColor(_PALE) if stroke.filled else None
            y = height - stroke.y - stroke.height
            yield shapes.Rect(
                stroke.x, y, stroke.width, stroke.height, fillColor=fill, strokeColor=ink, strokeWidth=0.8
            )
        case Circle():
            yield shapes.Ellipse(
                stroke.x, height - stroke.y, stroke.rx, stroke.ry, fillColor=None, strokeColor=ink, strokeWidth=0.8
            )
        case Text():
            font = "Helvetica-Bold" if stroke.bold else "Helvetica"
            yield shapes.String(
                stroke.x, height - stroke.y, stroke.text, fontName=font, fontSize=stroke.size,
                textAnchor=stroke.anchor, fillColor=ink,
            )  # fmt: skip


def _head(x1: float, y1: float, x2: float, y2: float, ink: Any) -> Any:
    """The arrowhead at (x2, y2)."""
    from reportlab.graphics import shapes

    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1.0
    dx, dy = (x2 - x1) / length * 6, (y2 - y1) / length * 6
    points = [x2, y2, x2 - dx - dy / 2.2, y2 - dy + dx / 2.2, x2 - dx + dy / 2.2, y2 - dy - dx / 2.2]
    return shapes.Polygon(points, fillColor=ink, strokeColor=ink)
