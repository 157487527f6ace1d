"""The figures, and the three forms of a statement: a page, text with figures beside it, and a printed document."""

import re
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser

import pytest

from isocenter.config import HostedAE, Settings
from isocenter.conformance.building import statement
from isocenter.conformance.diagrams import Flow, Message, data_flow, sequence
from isocenter.conformance.drawing import Box, Circle, Drawing, Line, Text
from isocenter.conformance.html import html
from isocenter.conformance.markdown import markdown
from isocenter.conformance.model import Figure, Paragraph, Product, Section, Statement, Table
from isocenter.conformance.pdf import pdf
from isocenter.conformance.svg import svg

FLOWS = (
    Flow("Keep", "Archive", "Send", False),
    Flow("", "Archive", "Verify", False),
    Flow("Carry out", "Archive", "Receive", True),
    Flow("isocenter echo", "Command Line", "Answer", True),
)


@cache
def made() -> Statement:
    return statement(Settings(aes=(HostedAE(services=("find",), storage="none"),)), date="2026-01-31")


def of(drawing: Drawing, kind: type) -> list:  # type: ignore[type-arg]
    return [stroke for stroke in drawing.strokes if isinstance(stroke, kind)]


@pytest.mark.req("C-DIA-01")
def test_aes_are_boxes_and_activities_are_circles() -> None:
    drawing = data_flow(FLOWS)
    assert len(of(drawing, Box)) == 2, "one box an AE"
    assert len(of(drawing, Circle)) == len(FLOWS) + 3, "a circle an activity; one has no local activity"
    overlaps = [
        (a, b)
        for n, a in enumerate(of(drawing, Circle))
        for b in of(drawing, Circle)[n + 1 :]
        if abs(a.x - b.x) < a.rx + b.rx and abs(a.y - b.y) < a.ry + b.ry
    ]
    assert not overlaps, "overlapping circles would mean overlapping activities"


@pytest.mark.req("C-DIA-02")
def test_local_activities_stand_left_joined_by_dashed_lines() -> None:
    drawing = data_flow(FLOWS[:1])
    (box,) = of(drawing, Box)
    local, remote = sorted(of(drawing, Circle), key=lambda circle: circle.x)
    (joined,) = [line for line in of(drawing, Line) if line.y1 == line.y2 and line.dash == "dashed"]
    assert local.x + local.rx == joined.x1 < joined.x2 == box.x
    assert not joined.arrow
    assert box.x + box.width < remote.x - remote.rx


@pytest.mark.req("C-DIA-03")
@pytest.mark.parametrize("initiates", [True, False])
def test_remote_activities_stand_beyond_the_standard_interface(initiates: bool) -> None:
    drawing = data_flow((Flow("Local", "AE", "Remote", initiates),))
    (edge,) = [line for line in of(drawing, Line) if line.x1 == line.x2]
    (arrow,) = [line for line in of(drawing, Line) if line.arrow]
    (box,) = of(drawing, Box)
    remote = max(of(drawing, Circle), key=lambda circle: circle.x)
    assert edge.dash == "dashed"
    assert any(text.text == "DICOM Standard Interface" and text.x == edge.x1 for text in of(drawing, Text))
    assert box.x + box.width < edge.x1 < remote.x - remote.rx
    assert (arrow.x1 < arrow.x2) is initiates, "it points to whom the association is opened"
    assert not arrow.dash


@pytest.mark.req("C-DIA-04")
def test_the_strokes_of_media_diagrams_can_be_drawn() -> None:
    """A double arrow for FSU, dotted lines for a medium on its way."""
    drawing = Drawing(100, 50, (Line(0, 10, 90, 10, arrow=True, both=True), Line(0, 30, 90, 30, "dotted", arrow=True)))
    drawn = ET.fromstring(svg(drawing, "media", alone=True))
    lines = drawn.findall("{http://www.w3.org/2000/svg}line")
    assert (lines[0].get("marker-start"), lines[0].get("marker-end")) == ("url(#arrow)", "url(#arrow)")
    assert lines[1].get("stroke-dasharray") == "1 3"


@pytest.mark.req("C-DIA-05")
def test_sequences_have_bars_and_arrows_in_order_of_time() -> None:
    drawing = sequence((Message("A", "B", "one"), Message("B", "B", "by itself"), Message("B", "C", "two")))
    bars = [line for line in of(drawing, Line) if line.x1 == line.x2]
    arrows = [line for line in of(drawing, Line) if line.arrow]
    assert [bar.x1 for bar in bars] == sorted(bar.x1 for bar in bars)
    assert len(bars) == 3
    assert [(a.x1, a.x2) for a in arrows] == [(bars[0].x1, bars[1].x1), (bars[1].x1, bars[2].x1)]
    assert arrows[0].y1 < arrows[1].y1
    assert all(0 <= text.x <= drawing.width and 0 <= text.y <= drawing.height for text in of(drawing, Text))


def test_every_figure_is_whole_inside_its_bounds() -> None:
    figures = [b for _, s in made().numbered() for b in s.blocks if isinstance(b, Figure)]
    assert len(figures) > 5
    for figure in figures:
        ET.fromstring(svg(figure.drawing, figure.text))
        for line in of(figure.drawing, Line):
            assert 0 <= min(line.x1, line.x2) <= max(line.x1, line.x2) <= figure.drawing.width
            assert 0 <= min(line.y1, line.y2) <= max(line.y1, line.y2) <= figure.drawing.height


class Opened(HTMLParser):
    """Notes ids, links and tags that were left open."""

    VOID = frozenset({"meta", "br", "path", "line", "rect", "ellipse"})

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.links, self.open = set[str](), set[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values["id"] or ""} if "id" in values else set()
        self.links |= {values["href"] or ""} if "href" in values else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.req("C-TPL-2")
def test_the_page_is_well_formed_needs_nothing_beside_it_and_its_contents_lead_somewhere() -> None:
    page = html(made())
    reader = Opened()
    reader.feed(page)
    assert not reader.open
    assert len(reader.links) > 30
    assert all(link[1:] in reader.ids for link in reader.links)
    assert not re.search(r'(src|href)="(?!#)', page)
    assert not re.search(r"url\((?!#arrow)", page)
    assert "@media print" in page


def test_what_is_written_is_escaped() -> None:
    table = Table("A & B", ("<x>",), (("1 < 2 | 3",), ("`a<b`\nnext",)))
    one = Statement(Product("P", "1", "C & D", "", "2026-01-31"), (Section("T", (Paragraph("a < b"), table)),))
    page, (text, _) = html(one), markdown(one)
    assert "a &lt; b" in page
    assert "<code>a&lt;b</code><br>next" in page
    assert "C &amp; D" in page
    assert "1 \\< 2 \\| 3" in text
    assert "`a<b`<br>next" in text
    assert pdf(one).startswith(b"%PDF-")


def test_titles_and_texts_in_markdown_are_read_as_they_are() -> None:
    odd = "A <b>|*B* [C](d) &amp; _E_ ISO_IR 100"
    table = Table(odd, (odd,), (("one", "row"),))
    one = Statement(Product(odd, "1", odd, "", "2026-01-31"), (Section(odd, (Paragraph(odd), table)),))
    text, _ = markdown(one)
    plain = r"A \<b>|\*B\* \[C\](d) \&amp; \_E\_ ISO_IR 100"
    heading, title = f"## 1 {plain}", f"**{plain}**"
    assert {f"# {plain} 1: DICOM Conformance Statement", heading, plain, title} <= set(text.splitlines())
    assert f"| {plain.replace('|', chr(92) + '|')} |" in text.splitlines()


def test_markdown_refers_to_the_figures_beside_it() -> None:
    text, figures = markdown(made(), "pictures")
    assert set(re.findall(r"\(pictures/([^)]+)\)", text)) == set(figures)
    assert all(ET.fromstring(figure).tag.endswith("svg") for figure in figures.values())
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 8
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)


def test_the_printed_document_has_an_outline_and_every_section() -> None:
    document = pdf(statement(Settings(aes=(HostedAE(services=(), storage="none"),)), date="2026-01-31"))
    assert document.startswith(b"%PDF-")
    assert b"/Outlines" in document
    assert document.count(b"/Type /Page\n") > 30
