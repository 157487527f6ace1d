"""WADO-WS as an ASGI application: SOAP messages by POST, their description by GET (PS3.18-2017a 6.4, I-WEB-04)."""

import secrets
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import Receive, Scope, Send

from isocenter import telemetry
from isocenter.errors import IsocenterError, Retriable
from isocenter.web.body import Disconnected
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.context import WebContext
from isocenter.web.edge import answered
from isocenter.web.problem import RETRY_AFTER, Problem, problem_of
from isocenter.web.reply import Pieces, Reply
from isocenter.web.root import MOUNT as DICOMWEB
from isocenter.web.wado_ws import information, rendering, retrieving
from isocenter.web.wado_ws.description import wsdl
from isocenter.web.wado_ws.documents import Seeker
from isocenter.web.wado_ws.faults import Blame, Fault
from isocenter.web.wado_ws.incoming import message
from isocenter.web.wado_ws.reading import Reading
from isocenter.web.wado_ws.request import Request
from isocenter.web.wado_ws.results import Results
from isocenter.web.wado_ws.vocabulary import Kind
from isocenter.web.wado_ws.writing import (
    answer_action,
    envelope,
    fault_message,
    message_type,
    package,
    package_type,
    response,
)

log = telemetry.logger("web.wado_ws")

MOUNT: Final = "/wado-ws"
METHODS: Final = "GET, HEAD, OPTIONS, POST"


class WadoWs:
    """The service. It has one resource, `MOUNT`."""

    def __init__(self, context: WebContext) -> None:
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is wrong with a message becomes a SOAP fault."""
        await answered(scope, receive, send, self._answer)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        call = Call(scope, receive, self.context, {})
        if str(scope["path"]).removeprefix(scope.get("root_path", "")).rstrip("/") != MOUNT:
            raise Problem(404, "no such resource")
        if method == "GET":
            location = call.root.removesuffix(DICOMWEB) + MOUNT
            return compressed(call, Reply(200, {"Content-Type": "text/xml; charset=utf-8"}, wsdl(location)))
        if method == "OPTIONS":
            return Reply(204, {"Allow": METHODS})
        if method != "POST":
            raise Problem(405, f"this resource takes {METHODS}", {"Allow": METHODS})
        reading = Reading()
        try:
            return await self._retrieved(call, reading)
        except Disconnected:
            return Reply(400)
        except Exception as wrong:
            return _faulty(_fault(wrong), reading)

    async def _retrieved(self, call: Call, reading: Reading) -> Reply:
        lanes = call.context.lanes
        request = await lanes.retrieve.run(reading.read, await message(call))
        lane = lanes.render if request.operation.kind is Kind.RENDERED else lanes.retrieve
        log.info("wado_ws.asked", operation=str(request.operation.kind), documents=len(request.documents))
        results = await lane.run(self._results, call, request)
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": package_type(boundary, request.soap)}
        source = Pieces(_package(request, results, boundary), None, results.closing)
        return Reply(200, headers, source=source, lane=lane)

    def _results(self, call: Call, request: Request) -> Results:
        context = call.context
        repository = context.settings.repository
        seeker = Seeker(context.database, context.store, call.access, call.view, call.laid, repository)
        found = seeker.find(request)
        if request.operation.kind is Kind.DOCUMENTS:
            return retrieving.retrieved(call, request, found)
        if request.operation.kind is Kind.RENDERED:
            return rendering.rendered(call, found)
        return information.informed(call, found)


def _package(request: Request, results: Results, boundary: str) -> Iterator[bytes]:
    elements = results.body if results.body is not None else results.elements()
    body = response(request.operation, len(request.documents), results.troubles, elements)
    action = answer_action(request.operation, request.addressing)
    return package(
        boundary,
        request.soap,
        envelope(request.soap, action, request.addressing, body),
        results.attachments,
    )


def _fault(wrong: Exception) -> Fault:
    """What went wrong, as a fault."""
    if isinstance(wrong, Fault):
        return wrong
    if isinstance(wrong, Problem):
        return Fault(wrong.detail, status=wrong.status, headers=wrong.headers)
    again = {"Retry-After": str(RETRY_AFTER)}
    if isinstance(wrong, Retriable):
        return Fault(wrong.comment or str(wrong.reason), Blame.RECEIVER, status=503, headers=again)
    if isinstance(wrong, OperationalError | InterfaceError | PoolTimeout):
        log.error("request.database_away", exc_info=True, method="POST")
        return Fault("the database does not answer", Blame.RECEIVER, status=503, headers=again)
    if isinstance(wrong, IsocenterError):
        problem = problem_of(wrong)
        return Fault(problem.detail, Blame.SENDER if problem.status < 500 else Blame.RECEIVER, status=problem.status)
    log.error("request.failed", exc_info=True, method="POST")
    return Fault("the server failed; its log says where", Blame.RECEIVER, status=500)


def _faulty(fault: Fault, reading: Reading) -> Reply:
    body = fault_message(fault, reading.soap, reading.addressing)
    return Reply(fault.status, {"Content-Type": message_type(reading.soap), **fault.headers}, body)
