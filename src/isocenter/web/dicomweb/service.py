"""The DICOMweb service as an ASGI application: which resource and method goes to which handler (PS3.18 10.1)."""

import re
import time
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import Message, Receive, Scope, Send

from isocenter import telemetry
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.web.call import Call
from isocenter.web.context import WebContext
from isocenter.web.dicomweb import (
    bulk,
    capabilities,
    deleting,
    framing,
    metadata,
    rejecting,
    retrieving,
    searching,
    stating,
    storing,
)
from isocenter.web.problem import Problem, problem_of
from isocenter.web.reply import Reply, problem_reply, send_reply

log = telemetry.logger("web")

Handler = Callable[[Call], Awaitable[Reply]]

_PREFIXES = ("/dicom-web", "/dicomweb")
_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"

_RESOURCES: tuple[tuple[str, dict[str, Handler]], ...] = (
    ("/studies", {"GET": searching.studies, "POST": storing.store}),
    (_STUDY, {"GET": retrieving.instances, "POST": storing.store, "DELETE": deleting.delete}),
    (_STUDY + "/metadata", {"GET": metadata.metadata}),
    (_STUDY + "/series", {"GET": searching.series}),
    (_STUDY + "/instances", {"GET": searching.instances}),
    (_SERIES, {"GET": retrieving.instances, "DELETE": deleting.delete}),
    (_SERIES + "/metadata", {"GET": metadata.metadata}),
    (_SERIES + "/instances", {"GET": searching.instances}),
    (_INSTANCE, {"GET": retrieving.instances, "DELETE": deleting.delete}),
    (_INSTANCE + "/metadata", {"GET": metadata.metadata}),
    (_INSTANCE + "/frames/{frames}", {"GET": framing.frames}),
    (_INSTANCE + "/bulkdata/{bulk+}", {"GET": bulk.bulkdata}),
    ("/series", {"GET": searching.series}),
    ("/instances", {"GET": searching.instances}),
    ("/patients", {"GET": searching.patients}),
    (_STUDY + "/reject/{code}", {"POST": rejecting.reject}),
    (_SERIES + "/reject/{code}", {"POST": rejecting.reject}),
    (_INSTANCE + "/reject/{code}", {"POST": rejecting.reject}),
    ("/conformance", {"GET": stating.statement}),
)
_TABLE = [("/", ["GET"]), *((path, list(handlers)) for path, handlers in _RESOURCES)]


def _pattern(path: str) -> re.Pattern[str]:
    path = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"/?\Z")


_ROUTES = tuple((_pattern(path), handlers) for path, handlers in _RESOURCES)


class DicomWeb:
    """PS3.18's Studies service. Mount it at `/dicom-web` and `/dicomweb`, or give it those paths as they are."""

    def __init__(self, context: WebContext) -> None:
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever fails becomes a problem document."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        begun = time.perf_counter()
        method = scope["method"]
        head = method == "HEAD"
        try:
            reply = await self._answer(scope, receive, "GET" if head else method)
            await send_reply(reply, receive, watched, head=head)
            status = reply.status
        except Exception as fault:
            if started:
                log.error("request.broken_off", exc_info=True, method=method)
                raise
            reply = problem_reply(_problem(fault, method))
            status = reply.status
            await send_reply(reply, receive, watched, head=head)
        telemetry.count("isocenter_web_requests_total", method=method, status=str(status))
        telemetry.observe("isocenter_web_seconds", time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        path = _path(scope)
        if path in ("", "/") and method in ("GET", "OPTIONS"):
            return capabilities.reply(Call(scope, receive, self.context, {}), _TABLE)
        for pattern, handlers in _ROUTES:
            found = pattern.match(path)
            if found is None:
                continue
            handler = handlers.get(method)
            if handler is not None:
                return await handler(Call(scope, receive, self.context, found.groupdict()))
            allowed = ", ".join(["GET", "HEAD", "OPTIONS"] * ("GET" in handlers) + [m for m in handlers if m != "GET"])
            if method == "OPTIONS":
                return Reply(204, {"Allow": allowed})
            raise Problem(405, f"this resource takes {allowed}", {"Allow": allowed})
        raise Problem(404, "no such resource")


def _problem(fault: Exception, method: str) -> Problem:
    if isinstance(fault, Problem):
        return fault
    if isinstance(fault, IsocenterError):
        return problem_of(fault)
    if isinstance(fault, OperationalError | InterfaceError | PoolTimeout):
        log.error("request.database_away", exc_info=True, method=method)
        return problem_of(Retriable(Reason.OUT_OF_RESOURCES, "the database does not answer"))
    log.error("request.failed", exc_info=True, method=method)
    return Problem(500, "the server failed; its log says where")


def _path(scope: Scope) -> str:
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    for prefix in _PREFIXES:
        if path == prefix or path.startswith(prefix + "/"):
            return path.removeprefix(prefix)
    return path


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_app(context: WebContext) -> DicomWeb:
    """The DICOMweb application over `context`."""
    return DicomWeb(context)
