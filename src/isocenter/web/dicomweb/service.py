"""The DICOMweb service as an ASGI application: which resource and method goes to which handler (PS3.18 10.1)."""

import re
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from isocenter.imaging.picture import Picture
from isocenter.imaging.rendering.request import Icon
from isocenter.imaging.rendering.subjects import OTHER
from isocenter.web.call import Call
from isocenter.web.context import WebContext
from isocenter.web.dicomweb import (
    bulk,
    capabilities,
    committing,
    deleting,
    framing,
    gathered,
    metadata,
    non_patient,
    rejecting,
    rendered,
    retrieving,
    searching,
    stating,
    storing,
    thumbnails,
    warming,
)
from isocenter.web.edge import answered
from isocenter.web.problem import Problem
from isocenter.web.reply import Reply
from isocenter.web.workitems import resources as worklist
from isocenter.web.workitems.channels import Channels

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
    (_STUDY + "/pixeldata", {"GET": gathered.pixeldata}),
    (_STUDY + "/bulkdata", {"GET": gathered.bulkdata}),
    (_SERIES + "/pixeldata", {"GET": gathered.pixeldata}),
    (_SERIES + "/bulkdata", {"GET": gathered.bulkdata}),
    (_INSTANCE + "/pixeldata", {"GET": gathered.pixeldata}),
    (_INSTANCE + "/bulkdata", {"GET": gathered.bulkdata}),
    (_STUDY + "/rendered", {"GET": rendered.rendered}),
    (_STUDY + "/thumbnail", {"GET": thumbnails.thumbnail}),
    (_SERIES + "/rendered", {"GET": rendered.rendered}),
    (_SERIES + "/thumbnail", {"GET": thumbnails.thumbnail}),
    (_INSTANCE + "/rendered", {"GET": rendered.rendered}),
    (_INSTANCE + "/thumbnail", {"GET": thumbnails.thumbnail}),
    (_INSTANCE + "/frames/{frames}/rendered", {"GET": rendered.rendered}),
    (_INSTANCE + "/frames/{frames}/thumbnail", {"GET": thumbnails.thumbnail}),
    ("/series", {"GET": searching.series}),
    ("/instances", {"GET": searching.instances}),
    ("/patients", {"GET": searching.patients}),
    (_STUDY + "/reject/{code}", {"POST": rejecting.reject}),
    (_SERIES + "/reject/{code}", {"POST": rejecting.reject}),
    (_INSTANCE + "/reject/{code}", {"POST": rejecting.reject}),
    ("/commitment-requests/{transaction}", {"GET": committing.result, "POST": committing.request}),
    ("/conformance", {"GET": stating.statement}),
    *((path, dict(handlers)) for path, handlers in non_patient.resources()),
    *((path, dict(handlers)) for path, handlers in worklist.resources()),
)
_TABLE = [("/", ["GET"]), *((path, list(handlers)) for path, handlers in _RESOURCES)]


def described() -> tuple[tuple[str, str, str, str, str], ...]:
    """What the service can do, for the conformance statement (`capabilities.rows`)."""
    return tuple(capabilities.rows(_TABLE))


def _pattern(path: str) -> re.Pattern[str]:
    path = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"/?\Z")


_ROUTES = tuple((_pattern(path), handlers) for path, handlers in _RESOURCES)


class DicomWeb:
    """PS3.18's Studies service. Mount it at `/dicom-web` and `/dicomweb`, or give it those paths as they are."""

    def __init__(self, context: WebContext) -> None:
        self.context = context
        self._channels = Channels(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever fails becomes a problem document. A WebSocket is an event channel."""
        if scope["type"] == "websocket":
            await self._channels(scope, receive, send)
            return
        await answered(scope, receive, send, self._answer)

    async def warm(self) -> None:
        """Be quick from the first request on."""
        lane, engine = self.context.lanes.render, self.context.engine
        await warming.warm(self._answer, lambda: lane.run(engine.drawn, Icon(OTHER, Picture(width=16))))

    async def part(self, seconds: float) -> None:
        """Let those hear that the server ends who have an event channel; at most so long."""
        await self._channels.part(seconds)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        path = _path(scope)
        if path in ("", "/") and method in ("GET", "OPTIONS"):
            call = Call(scope, receive, self.context, {})
            if method == "GET" and capabilities.wants_statement(call):
                return await stating.statement(call)
            return capabilities.reply(call, _TABLE)
        if path in ("", "/"):
            raise Problem(405, "this resource takes GET, HEAD, OPTIONS", {"Allow": "GET, HEAD, OPTIONS"})
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


def _path(scope: Scope) -> str:
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    for prefix in _PREFIXES:
        if path == prefix or path.startswith(prefix + "/"):
            return path.removeprefix(prefix)
    return path


def create_app(context: WebContext) -> DicomWeb:
    """The DICOMweb application over `context`."""
    return DicomWeb(context)
