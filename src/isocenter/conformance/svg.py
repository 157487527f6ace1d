"""Drawings as SVG. Colours come from the page that they stand in."""

from html import escape

from isocenter.conformance.drawing import Box, Circle, Drawing, Line, Stroke, Text

_DASHES = {"": "", "dashed": ' stroke-dasharray="5 3"', "dotted": ' stroke-dasharray="1 3"'}
_ARROW = (
    '<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="currentColor"/></marker>'
)


def svg(drawing: Drawing, text: str, *, alone: bool = False) -> str:
    """The figure; `text` describes it for those who don't see it. `alone`: as a file of its own."""
    body = "".join(map(_element, drawing.strokes))
    name = ' xmlns="http://www.w3.org/2000/svg" style="color:#123;background:#fff"' if alone else ""
    return (
        f'<svg{name} role="img" viewBox="0 0 {drawing.width:g} {drawing.height:g}" width="{drawing.width:g}" '
        f'height="{drawing.height:g}" font-family="sans-serif"><title>{escape(text)}</title><defs>{_ARROW}</defs>'
        f"{body}</svg>"
    )


def _element(stroke: Stroke) -> str:
    match stroke:
        case Line():
            ends = ' marker-end="url(#arrow)"' if stroke.arrow else ""
            starts = ' marker-start="url(#arrow)"' if stroke.both else ""
            return (
                f'<line x1="{stroke.x1:g}" y1="{stroke.y1:g}" x2="{stroke.x2:g}" y2="{stroke.y2:g}" '
                f'stroke="currentColor"{_DASHES[stroke.dash]}{starts}{ends}/>'
            )
        case Box():
            fill = "#e8eef4" if stroke.filled else "none"
            return (
                f'<rect x="{stroke.x:g}" y="{stroke.y:g}" width="{stroke.width:g}" height="{stroke.height:g}" '
                f'fill="{fill}" stroke="currentColor"/>'
            )
        case Circle():
            return (
                f'<ellipse cx="{stroke.x:g}" cy="{stroke.y:g}" rx="{stroke.rx:g}" ry="{stroke.ry:g}" '
                'fill="none" stroke="currentColor"/>'
            )
        case Text():
            weight = ' font-weight="bold"' if stroke.bold else ""
            return (
                f'<text x="{stroke.x:g}" y="{stroke.y:g}" font-size="{stroke.size:g}" '
                f'text-anchor="{stroke.anchor}" fill="currentColor"{weight}>{escape(stroke.text)}</text>'
            )
