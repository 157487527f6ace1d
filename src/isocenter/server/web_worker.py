"""The web process: uvicorn on the inherited socket, DICOMweb, health, metrics and the start page."""

import logging
import signal
import socket
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from isocenter import telemetry
from isocenter.archive.deletion import Deletions
from isocenter.archive.packs.series import Packs
from isocenter.archive.rendering import limits_of
from isocenter.config import HostedAE, Settings
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.imaging.engine import engine_of
from isocenter.registry.roster import Directory
from isocenter.registry.watching import Watch
from isocenter.rules import Ruleset, compiled
from isocenter.server import health, metrics, notifying, reconciling_api, stepping_api
from isocenter.server.archive import Archive, open_archive
from isocenter.server.assumed import assumed_by
from isocenter.server.auth import App, Receive, Scope, Send, Ticket, TokenAuth
from isocenter.server.board import counts
from isocenter.server.committing import polled
from isocenter.server.deidentifying import profile
from isocenter.server.http_protocol import Protocol
from isocenter.server.process import keep_freed
from isocenter.server.start_page import start_page, style
from isocenter.server.supervisor import Worker
from isocenter.server.tokens import Gate
from isocenter.server.workitems import farewell, worklist
from isocenter.web.context import WebContext, WebSettings
from isocenter.web.cors import CrossOrigin
from isocenter.web.departing import Departures
from isocenter.web.doors import Doors, create_app, serves
from isocenter.web.lanes import Lanes
from isocenter.web.workflow_api.reconciliation import MOUNT as RECONCILIATION
from isocenter.web.workflow_api.steps import MOUNT as STEPS
from isocenter.web.workitems.channels import holds_ticket

if TYPE_CHECKING:
    from isocenter.conformance.model import Statement

log = telemetry.logger("server.web")

_KEEP_ALIVE = 75
_MESSAGE = 1 << 12
"""Bytes of a message on a WebSocket to us: nothing is expected."""


def run(worker: Worker) -> None:
    """Serve until SIGTERM; then let the requests end that are under way."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn puts its own in place and gives this one back
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # its lines hold paths and the texts of errors
    keep_freed()
    worker.listeners.close_dicom()
    worker.listeners.close_hl7()
    metrics.publish(worker.folder, worker.slot, worker.name)
    if worker.settings.http.warm:
        engine_of(worker.settings.imaging).expect()  # early: it takes as long as all that follows
    archive = open_archive(worker, pool_size=_pool_size(worker.settings))
    watch = Watch(worker.settings, archive.database)
    context = web_context(archive, worker.settings, watch)
    workflow: dict[str, App] = {
        RECONCILIATION: reconciling_api.api(archive, worker.settings, watch),
        STEPS: stepping_api.api(archive, watch),
    }
    services = create_app(context, workflow)
    config = uvicorn.Config(
        application(worker, archive, services, watch, partial(holds_ticket, context)),
        lifespan="off",
        loop="uvloop",
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(worker.settings.processes.drain) or 1,
    )
    _Server(config, worker, services).run(sockets=[worker.listeners.http])
    context.lanes.close()
    context.packs.close()
    context.selector.close()
    archive.close()


def _pool_size(settings: Settings) -> int:
    """A connection for each search, and for each object that comes or goes at once."""
    lanes = settings.http.lanes
    return lanes.query + max(lanes.ingest, lanes.retrieve) + lanes.render


class _Server(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config, worker: Worker, services: Doors) -> None:
        super().__init__(config)
        self._worker, self._services = worker, services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept."""
        if self._worker.settings.http.warm:
            await self._services.warm()
        await super().startup(sockets)
        if self.started:
            self._worker.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; where the whole server does, those hear of it first who have an event channel."""
        if self._worker.board.closing:
            await self._services.part(farewell(self._worker.settings))
        await super().shutdown(sockets)


def web_context(archive: Archive, settings: Settings, directory: Directory) -> WebContext:
    """DICOMweb over the archive, filed under the first hosted AE."""
    http = settings.http

    def ae() -> HostedAE:
        return directory.now().settings.aes[0]

    web_settings = WebSettings(
        public_root=http.public_root,
        allow_delete=http.allow_delete,
        allow_reject=http.allow_reject,
        search=http.search,
        max_body=http.max_body,
        repository=http.repository,
        limit=http.limit,
        folder=str(settings.data),
        floor=settings.free_space_floor,
        lossy=settings.imaging.lossy_on_request,
        uri_implicit=http.uri_implicit,
        burned_in=settings.deidentification.burned_in,
        standard=settings.standard,
        origins=http.origins,
        channels=settings.workitem.channels,
    )
    packs = Packs(archive.database, archive.store, character_set=assumed_by(directory))
    deletions = Deletions(archive.database, archive.store, archive.writer)
    lanes = Lanes(http.lanes.query, http.lanes.ingest, http.lanes.retrieve, http.lanes.waiting, http.lanes.render)
    more = configured_keys(settings.index.attributes)
    rules = compiled(settings)
    return WebContext(
        archive.database,
        archive.store,
        archive.ingest,
        packs,
        web_settings,
        lanes,
        deletions,
        ae,
        more,
        rules=rules,
        statement=lambda: _statement(directory.now().settings),
        engine=engine_of(settings.imaging),
        limits=limits_of(settings.imaging),
        polled=polled(archive, settings),
        workitems=worklist(archive.database, settings),
        deidentification=lambda: profile(settings),
        departures=_departures(archive, settings, directory, rules) if http.ae else None,
        stored_whole=notifying.stored_whole(archive, settings),
    )


def _departures(archive: Archive, settings: Settings, directory: Directory, rules: Ruleset) -> Departures:
    """What is laid over objects as they leave: with the habits of the AE that `http.ae` names."""
    (own,) = (ae for ae in settings.aes if ae.title == settings.http.ae)

    def ae() -> HostedAE:
        return directory.now().settings.ae(own.title) or own

    return Departures(archive.database, rules, ae, time.time_ns() // 1000)


def _statement(settings: Settings) -> "Statement":
    from isocenter.conformance.building import statement  # seldom asked for
    from isocenter.web.dicomweb.service import described

    return statement(settings, date=f"{datetime.now(UTC):%Y-%m-%d}", web=described())


def application(
    worker: Worker, archive: Archive, services: Doors, directory: Directory, ticket: Ticket | None = None
) -> App:
    """Everything on the HTTP port, behind the token unless HTTP is open; `ticket` stands for it on a WebSocket."""
    settings = worker.settings
    ready = health.ready(worker, counts(settings), archive.database, archive.store, settings.free_space_floor)
    pages = Starlette(
        routes=[
            Route("/", start_page(directory, worker.listeners, archive.database)),
            Route("/start.css", style),
            Route("/health/live", health.live),
            Route("/health/ready", ready),
            Route("/metrics", health.prometheus(worker, archive.store)),
        ]
    )
    door = _Door(services, pages)
    guarded: App = door if settings.http_open else TokenAuth(door, Gate(settings.data, settings.http.token), ticket)
    return CrossOrigin(guarded, settings.http.origins) if settings.http.origins else guarded


class _Door:
    """The services straight to their application, the rest to the pages. The edge of a page's request: what fails there
    is logged without its text."""

    def __init__(self, dicomweb: App, pages: App) -> None:
        self._dicomweb, self._pages = dicomweb, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] in ("http", "websocket") and serves(scope["path"]):
            await self._dicomweb(scope, receive, send)
            return
        try:
            await self._pages(scope, receive, send)
        except Exception:
            log.error("page.failed", exc_info=True)  # starlette has answered 500
