"""The event channels of the Worklist service: WebSockets over which subscribers get their event reports (PS3.18 8.10.4,
8.10.5), as DICOM JSON, or as XML where the client takes only that.

Each AE's place among its events is kept in the database, so that a client that comes back, to whatever process or node,
goes on from there. A process looks for new events while it has channels, and only then.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from isocenter import telemetry
from isocenter.declarations.workitem import PUSH
from isocenter.dicom.native_model import xml_of
from isocenter.errors import IsocenterError
from isocenter.web import media
from isocenter.web.context import WebContext
from isocenter.web.problem import Problem
from isocenter.web.workitems.resources import PROTOCOL, TICKET, title
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.events import Position, Report
from isocenter.workflow.workitems.tickets import Tickets

log = telemetry.logger("web.channels")

POLL: Final = 0.25
"""Seconds between two looks for new events."""
_ANYWAY: Final = 20
"""Looks after which every channel reads, new events or not: on PostgreSQL an older number may be committed later."""
_SLOW: Final = 30.0
"""Seconds in which a client must take an event."""
_PARTING: Final = 0.05
"""Seconds between two looks as the server ends."""
_PATH: Final = re.compile(r"/dicom-?web/subscribers/([^/]+)/?\Z")
_PROTOCOL_ERROR, _TRY_LATER = 1008, 1013

Write = Callable[[dict[str, Any]], str]


class _Channel:
    """One that is open. `parted`: of how the server is, the last that was sent is that it goes down."""

    def __init__(self, aet: str) -> None:
        self.aet, self.woken, self.parted = aet, asyncio.Event(), False


class Channels:
    """The channels of one web process."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._open: dict[int, _Channel] = {}
        self._watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket until either side ends it."""
        await receive()  # websocket.connect
        try:
            worklist, aet = await self._admitted(scope)
        except (Problem, IsocenterError) as refusal:
            await _refuse(scope, send, refusal if isinstance(refusal, Problem) else Problem(503, refusal.comment))
            return
        await send({"type": "websocket.accept", **_chosen(scope)})
        channel = self._open[id(scope)] = _Channel(aet)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look(worklist))
        log.info("channel.opened", subscriber=aet, channels=len(self._open))
        try:
            await self._serve(worklist, channel, _writer(scope), receive, send)
        finally:
            del self._open[id(scope)]
            log.info("channel.closed", subscriber=aet, channels=len(self._open))

    async def part(self, seconds: float) -> None:
        """Wait until the subscribers that have a channel were sent that the server goes down; that it does, another
        process writes."""
        worklist = self._context.workitems
        if not self._open or worklist is None or seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                subscribed = await self._context.lanes.events.run(_subscribed, worklist)
                while any(not each.parted and each.aet in subscribed for each in self._open.values()):
                    self._wake()
                    await asyncio.sleep(_PARTING)
        except (SQLAlchemyError, IsocenterError, TimeoutError) as fault:
            log.warning("channels.unparted", channels=len(self._open), fault=type(fault).__name__)

    def _wake(self) -> None:
        for each in self._open.values():
            each.woken.set()

    async def _admitted(self, scope: Scope) -> tuple[Workitems, str]:
        """The worklist and the subscriber. Raises Problem."""
        found = _PATH.match(str(scope.get("path", "")).removeprefix(scope.get("root_path", "")))
        if found is None:
            raise Problem(404, "no such resource")
        if not _same_origin(scope, self._context.settings.origins):
            raise Problem(403, "a page of another origin may not do this")
        worklist = self._context.workitems
        ae = await self._context.lanes.events.run(self._context.ae)
        if worklist is None or "workitem" not in ae.services:
            raise Problem(503, "this server has no unified worklist")
        if len(self._open) >= self._context.settings.channels:
            raise Problem(503, "too many event channels")
        return worklist, title(found.group(1))

    async def _serve(
        self, worklist: Workitems, channel: "_Channel", write: Write, receive: Receive, send: Send
    ) -> None:
        """Events out until the client leaves; what it says is passed over."""
        telling = asyncio.create_task(self._tell(worklist, channel, write, send))
        listening = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and not listening.done():
                with contextlib.suppress(RuntimeError, OSError):  # the client may be gone meanwhile
                    await send({"type": "websocket.close", "code": _TRY_LATER})
        finally:
            for task in (telling, listening):
                task.cancel()
            await asyncio.gather(telling, listening, return_exceptions=True)

    async def _tell(self, worklist: Workitems, channel: "_Channel", write: Write, send: Send) -> None:
        run, aet = self._context.lanes.events.run, channel.aet
        at = await run(_reached, worklist, aet)
        number = 0
        try:
            while True:
                channel.woken.clear()
                page = await run(_page, worklist, aet, at, write, number)
                for _, text in page:
                    async with asyncio.timeout(_SLOW):
                        await send({"type": "websocket.send", "text": text})
                number += len(page)
                if page:
                    at = page[-1][0].position
                    channel.parted = [channel.parted, *(each.ends for each, _ in page if each.of_the_scp)][-1]
                    await run(_acknowledge, worklist, aet, at)
                    telemetry.count("isocenter_workitem_events_total", len(page), outcome="delivered")
                else:
                    await channel.woken.wait()
        except (SQLAlchemyError, IsocenterError, TimeoutError, OSError) as fault:
            log.warning("channel.broken-off", subscriber=aet, fault=type(fault).__name__)

    async def _look(self, worklist: Workitems) -> None:
        """Wake the channels when there are new events."""
        run, newest, looks = self._context.lanes.events.run, 0, 0
        while self._open:
            await asyncio.sleep(POLL)
            looks += 1
            try:
                found = await run(_newest, worklist)
            except (SQLAlchemyError, IsocenterError) as fault:
                log.warning("events.not-read", fault=type(fault).__name__)
                continue
            if found != newest or looks % _ANYWAY == 0:
                newest = found
                self._wake()


async def holds_ticket(context: WebContext, scope: Scope) -> bool:
    """Whether the handshake brings a ticket for the channel that it asks for (`resources.ticket`). It is used up."""
    found, worklist = _PATH.match(str(scope.get("path", ""))), context.workitems
    offered = [each for each in scope.get("subprotocols", ()) if each.startswith(TICKET)]
    if found is None or worklist is None or len(offered) != 1:
        return False
    redeem = Tickets(worklist.database).redeem
    try:
        return await context.lanes.events.run(redeem, found.group(1).strip(), offered[0].removeprefix(TICKET))
    except (SQLAlchemyError, IsocenterError) as fault:
        log.warning("channel.ticket-not-read", fault=type(fault).__name__)
        return False


def _chosen(scope: Scope) -> dict[str, str]:
    """The subprotocol, for a client that offers any: without an answer a browser would give up."""
    return {"subprotocol": PROTOCOL} if PROTOCOL in scope.get("subprotocols", ()) else {}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _refuse(scope: Scope, send: Send, problem: Problem) -> None:
    """Answer the handshake with an error, or where the server can't, close at once."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _PROTOCOL_ERROR})
        return
    headers = [(b"content-type", b"application/problem+json")]
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": problem.body()})


def _same_origin(scope: Scope, allowed: Sequence[str]) -> bool:
    """Whether the page that opens the channel may: a browser names its origin, and asks nobody before it connects."""
    headers = Headers(scope=scope)
    origin = headers.get("origin", "")
    if not origin or "*" in allowed or origin in {each.rstrip("/") for each in allowed}:
        return True
    return origin.partition("://")[2] == headers.get("host", "")


def _writer(scope: Scope) -> Write:
    """How the client gets its events: JSON, unless its Accept header takes XML alone."""
    wishes = media.accepted(Headers(scope=scope).getlist("accept"))
    for wished in wishes:
        if any(media.covers(wished.root, kind) for kind in (media.JSON, media.PLAIN_JSON)):
            return _json
        if media.covers(wished.root, media.XML):
            return lambda model: xml_of(_json(model).encode()).decode()
    return _json


def _json(model: dict[str, Any]) -> str:
    return json.dumps(model, ensure_ascii=False, separators=(",", ":"))


def message(report: Report, number: int) -> dict[str, Any]:
    """An event report with the parts of the N-EVENT-REPORT command that a WebSocket message has (PS3.18 8.10.5)."""
    return {
        "00000002": {"vr": "UI", "Value": [PUSH]},
        "00000110": {"vr": "US", "Value": [number % 65536]},
        "00001000": {"vr": "UI", "Value": [report.uid]},
        "00001002": {"vr": "US", "Value": [report.type]},
        **report.model,
    }


# --- in threads


def _reached(worklist: Workitems, aet: str) -> Position:
    with worklist.database.reading() as connection:
        return worklist.events.reached(connection, aet)


def _page(worklist: Workitems, aet: str, after: Position, write: Write, number: int) -> list[tuple[Report, str]]:
    with worklist.database.reading() as connection:
        found = worklist.events.read(connection, aet, after)
    return [(each, write(message(each, number + place))) for place, each in enumerate(found, 1)]


def _acknowledge(worklist: Workitems, aet: str, upto: Position) -> None:
    with worklist.database.writing() as connection:
        worklist.events.acknowledge(connection, aet, upto)


def _subscribed(worklist: Workitems) -> frozenset[str]:
    with worklist.database.reading() as connection:
        return frozenset(each.aet for each in worklist.subscriptions.everyone(connection))


def _newest(worklist: Workitems) -> int:
    with worklist.database.reading() as connection:
        return worklist.events.newest(connection)
