"""Every service under HTTP as one ASGI application: the path says which of them answers."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from isocenter.web.context import WebContext
from isocenter.web.dicomweb.service import create_app as create_dicomweb
from isocenter.web.wado_uri.service import WadoUri
from isocenter.web.wado_ws.service import MOUNT as WADO_WS
from isocenter.web.wado_ws.service import WadoWs

PREFIXES: Final = ("/dicom-web", "/dicomweb", "/wado", WADO_WS)
"""Where the services are. `/wado` is that of WADO-URI."""


def serves(path: str) -> bool:
    """Whether a path is one of a service."""
    return any(_below(path, prefix) for prefix in PREFIXES)


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


class Doors:
    """The services over one archive. What is below no prefix of another service is DICOMweb's."""

    def __init__(self, context: WebContext) -> None:
        self._dicomweb = create_dicomweb(context)
        self._others: dict[str, ASGIApp] = {"/wado": WadoUri(context), WADO_WS: WadoWs(context)}

    async def warm(self) -> None:
        """Be quick from the first request on."""
        await self._dicomweb.warm()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        path = str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))
        others = (app for prefix, app in self._others.items() if _below(path, prefix))
        service: ASGIApp = next(others, self._dicomweb)
        await service(scope, receive, send)


def create_app(context: WebContext) -> Doors:
    """The services over `context`."""
    return Doors(context)
