"""Every service under HTTP as one ASGI application: the path says which of them answers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from isocenter.web.context import WebContext
from isocenter.web.dicomweb.service import create_app as create_dicomweb
from isocenter.web.wado_uri.service import WadoUri
from isocenter.web.wado_ws.service import MOUNT as WADO_WS
from isocenter.web.wado_ws.service import WadoWs
from isocenter.web.workflow_api.reconciliation import MOUNT as RECONCILIATION
from isocenter.web.workflow_api.steps import MOUNT as STEPS
from isocenter.web.worklist import MOUNT as WORKLIST
from isocenter.web.worklist import WorklistDoor

PREFIXES: Final = ("/dicom-web", "/dicomweb", "/wado", WADO_WS, WORKLIST, RECONCILIATION, STEPS)
"""Where the services are. `/wado` is that of WADO-URI."""


def serves(path: str) -> bool:
    """Whether a path is one of a service."""
    return any(_below(path, prefix) for prefix in PREFIXES)


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


class Doors:
    """The services over one archive. What is below no prefix of another service is DICOMweb's."""

    def __init__(self, context: WebContext, more: Mapping[str, ASGIApp]) -> None:
        self._dicomweb = create_dicomweb(context)
        self._others: dict[str, ASGIApp] = {
            "/wado": WadoUri(context),
            WADO_WS: WadoWs(context),
            WORKLIST: WorklistDoor(context),
            **more,
        }

    async def warm(self) -> None:
        """Be quick from the first request on."""
        await self._dicomweb.warm()

    async def part(self, seconds: float) -> None:
        """Let those hear that the server ends who are to; at most so long."""
        await self._dicomweb.part(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        path = str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))
        others = (app for prefix, app in self._others.items() if _below(path, prefix) and scope["type"] == "http")
        service: ASGIApp = next(others, self._dicomweb)  # which has the only WebSockets
        await service(scope, receive, send)


def create_app(context: WebContext, more: Mapping[str, ASGIApp] = MappingProxyType({})) -> Doors:
    """The services over `context`, and `more` of them by the prefix of their paths."""
    return Doors(context, more)
