"""A statement as one HTML page that needs nothing beside it, to be read on a screen and to be printed."""

import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Product, Section, Statement, Table
from isocenter.conformance.svg import svg

_CODE = re.compile(r"`([^`]+)`")


def html(statement: Statement) -> str:
    """The page."""
    product = statement.product
    style = files("isocenter.conformance").joinpath("data/statement.css").read_text("ascii")
    title = escape(f"{product.name} {product.version}: DICOM Conformance Statement")
    return "".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<style>{style}</style></head><body>",
            f'<nav aria-label="Contents">{_contents(statement, 2)}</nav><main>',
            _cover(product),
            *(_section(statement, number, section) for number, section in statement.numbered()),
            "</main></body></html>\n",
        ]
    )


def _cover(product: Product) -> str:
    return (
        f'<header class="cover"><p class="company">{escape(product.company)}</p><h1>{escape(product.name)} '
        f"{escape(product.version)}</h1><p>DICOM Conformance Statement</p>"
        f'<p class="document">{"<br>".join(map(escape, product.imprint))}</p></header>'
    )


def _contents(statement: Statement, depth: int) -> str:
    entries = [(n, s) for n, s in statement.numbered() if n.count(".") < depth]
    links = (
        f'<li class="depth{n.count(".")}"><a href="#s{n}"><span>{n}</span> {escape(s.title)}</a></li>'
        for n, s in entries
    )
    return f"<ol>{''.join(links)}</ol>"


def _section(statement: Statement, number: str, section: Section) -> str:
    level = min(number.count(".") + 2, 6)
    contents = f'<div class="contents">{_contents(statement, 4)}</div>' if section.role == "2" else ""
    blocks = "".join(part for block in section.blocks for part in _block(block))
    return (
        f'<section class="level{level}"><h{level} id="s{number}"><span>{number}</span> '
        f"{escape(section.title)}</h{level}>{contents}{blocks}</section>"
    )


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"<p>{_text(block.text)}</p>"
        case Bullets():
            yield f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in block.items)}</ul>"
        case Table():
            yield from _table(block)
        case Figure():
            yield f"<figure>{svg(block.drawing, block.text)}"
            yield f"<figcaption>{escape(block.title)}</figcaption></figure>"


def _table(table: Table) -> Iterator[str]:
    yield f"<table><caption>{escape(table.title)}</caption>"
    if table.headed:
        headings = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
        yield f"<thead><tr>{headings}</tr></thead>"
    yield "<tbody>"
    for row in table.rows:
        if len(row) == len(table.columns):
            yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>"
        else:
            yield f'<tr class="heading"><th colspan="{len(table.columns)}" scope="colgroup">{escape(row[0])}</th></tr>'
    yield "</tbody></table>"


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False)).replace("\n", "<br>")
