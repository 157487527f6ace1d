"""Cross-origin requests (the Fetch standard): which pages of other origins may use this service from a browser.

An ASGI layer around everything, also around what asks for a token: a preflight carries none.
"""

from collections.abc import Awaitable, Callable, Sequence

from starlette.types import Message, Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS = b"GET, HEAD, POST, PUT, DELETE, OPTIONS"
_EXPOSED = b"Content-Disposition, Content-Location, Content-Range, ETag, Location, Retry-After, Warning, X-Total-Count"
_EMBEDDABLE = (b"cross-origin-resource-policy", b"cross-origin")
"""For pictures and documents in pages that are isolated (COEP), as viewers are that share memory between threads."""
_LONGEST = b"600"
"""Seconds that a browser may keep the answer to a preflight."""


class CrossOrigin:
    """Lets pages of `origins` (`https://viewer.example.org`; `*` for any) read the answers of `app`."""

    def __init__(self, app: App, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or pass on and add what the browser looks for."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = self._allowed(scope)
        asked = _header(scope, b"access-control-request-method")
        if origin and scope["method"] == "OPTIONS" and asked:
            await send({"type": "http.response.start", "status": 204, "headers": _preflight(scope, origin)})
            await send({"type": "http.response.body", "body": b""})
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                shared = [*_origin(origin), (b"access-control-expose-headers", _EXPOSED)] if origin else []
                shared.append(_EMBEDDABLE)
                message = {**message, "headers": [*message.get("headers", ()), *shared]}
            await send(message)

        await self._app(scope, receive, told)

    def _allowed(self, scope: Scope) -> bytes:
        """What to tell of the origin of a request; b'' for one that may not, or that has none."""
        origin = _header(scope, b"origin")
        if not origin:
            return b""
        if origin.decode("latin-1") in self._origins:
            return origin
        return b"*" if "*" in self._origins else b""


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _origin(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]


def _preflight(scope: Scope, origin: bytes) -> list[tuple[bytes, bytes]]:
    asked = _header(scope, b"access-control-request-headers")
    names = b", ".join(part.strip() for part in asked.split(b",") if part.strip().replace(b"-", b"").isalnum())
    found = [*_origin(origin), (b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _LONGEST)]
    return [*found, (b"access-control-allow-headers", names)] if names else found
