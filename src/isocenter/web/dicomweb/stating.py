"""The conformance statement of this installation over HTTP, made when it is asked for."""

from typing import TYPE_CHECKING

from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.problem import not_acceptable, not_found
from isocenter.web.reply import Reply

if TYPE_CHECKING:
    from isocenter.conformance.model import Statement

_HTML, _MARKDOWN, _PDF = "text/html", "text/markdown", "application/pdf"
_FIGURES = "figures"


async def statement(call: Call) -> Reply:
    """GET /conformance. Raises Problem 404 where there is none, 406."""
    kind = _kind(call)
    lanes = call.context.lanes
    return await (lanes.render if kind == _PDF else lanes.query).run(_reply, call, kind)


def _kind(call: Call) -> str:
    for wished in call.accepted or [media.MediaType(_HTML, {})]:
        for kind in (_HTML, _MARKDOWN, _PDF):
            if media.covers(wished.name, kind):
                return kind
    raise not_acceptable(f"the conformance statement comes as {_HTML}, {_MARKDOWN} or {_PDF}")


def _reply(call: Call, kind: str) -> Reply:
    made = call.context.statement() if call.context.statement is not None else None
    if made is None:
        raise not_found("conformance statement")
    if kind == _PDF:
        from isocenter.conformance.printing import printed

        return Reply(200, {"Content-Type": kind, "Vary": "Accept"}, printed(made))
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Vary": "Accept, Accept-Encoding"}
    # a page of ours that needs nothing from elsewhere
    headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return compressed(call, Reply(200, headers, _written(made, kind).encode()))


def _written(made: "Statement", kind: str) -> str:
    if kind == _MARKDOWN:
        from isocenter.conformance.markdown import markdown

        return markdown(made, _FIGURES)[0]
    from isocenter.conformance.html import html

    return html(made)
