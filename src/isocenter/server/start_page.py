"""The plain start page: what this server is, where it listens, what it holds."""

from collections.abc import Awaitable, Callable
from html import escape

from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from isocenter import __version__
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.index.tables import patient, series, study
from isocenter.registry.roster import Directory
from isocenter.server.banner import root, some
from isocenter.server.ports import Listeners, ae_ports

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #d8dde5; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { background: #f0f2f5; padding: .1rem .3rem; border-radius: 3px; }
p.warning { background: #fff1d6; border-left: 4px solid #c77700; padding: .5rem .75rem; }
@media (prefers-color-scheme: dark) { body { background: #14181f; color: #dfe4ec; } code { background: #232a35; }
  th, td { border-color: #303947; } a { color: #8ab4f8; } p.warning { background: #3a2b0d; } }
"""

Endpoint = Callable[[Request], Awaitable[Response]]


async def style(request: Request) -> Response:
    """The style sheet; a file of its own, so that the policy needs no exception."""
    return PlainTextResponse(_STYLE, media_type="text/css")


def start_page(directory: Directory, listeners: Listeners, database: Database) -> Endpoint:
    """The page at `/`."""

    async def endpoint(request: Request) -> Response:
        counts = await run_in_threadpool(_counts, database)
        roster = await run_in_threadpool(directory.now)
        return HTMLResponse(page(roster.settings, listeners, counts), headers=_HEADERS)

    return endpoint


def _counts(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        tables = {"patients": patient, "studies": study, "series": series}
        counts = {
            name: int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)
            for name, table in tables.items()
        }
        counts["instances"] = int(connection.execute(select(func.sum(series.c.instances))).scalar() or 0)
    return counts


def page(settings: Settings, listeners: Listeners, counts: dict[str, int]) -> str:
    """The HTML. Everything that is not ours is escaped."""
    own = ae_ports(listeners)
    aes = "".join(
        f"<tr><td><code>{escape(ae.title)}</code></td><td>{escape(ae.role)}</td>"
        f"<td>{escape(settings.host)} port {some(own.get(ae.title, [listeners.dicom_port]))}</td></tr>"
        for ae in settings.aes
    )
    held = "".join(f'<tr><td>{name}</td><td class="number">{n:,}</td></tr>' for name, n in counts.items())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Isocenter</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/start.css"></head><body>
<h1>Isocenter</h1><p>version {__version__}</p>{_warning(settings)}
<h2>Application Entities</h2>
<table><tr><th>AE title</th><th>role</th><th>DICOM</th></tr>{aes}</table>
<h2>In the archive</h2><table>{held}</table>
<h2>Doors</h2>
<ul><li>DICOMweb: <code>{escape(root(settings, listeners))}dicom-web</code>
(<a href="/dicom-web/studies?limit=25">studies</a>)</li>
<li><a href="/health/ready">health</a>, <a href="/metrics">metrics</a></li></ul>
</body></html>
"""


def _warning(settings: Settings) -> str:
    if settings.loopback or not settings.http_open:
        return ""
    return '<p class="warning">This server is open: whoever reaches it reads everything. For tests only.</p>'
