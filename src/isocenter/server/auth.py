"""A pure ASGI layer that asks for the admin token."""

import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from isocenter.server.tokens import Gate

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Ticket = Callable[[Scope], Awaitable[bool]]
"""Whether the handshake of a WebSocket brings leave to open it, which is used up."""

PUBLIC = frozenset({"/health/live", "/health/ready"})
_GUARDED = frozenset({"http", "websocket"})
_POLICY_VIOLATION = 1008
_REFUSAL = b'{"error":"a token is needed"}'


class TokenAuth:
    """Lets a request through that carries the token as `Authorization: Bearer`, or as the password of Basic (any user).

    Basic is there for browsers and for clients that know nothing else; the health checks need no token (I-SEC-07). A
    WebSocket, on which a browser can set no header, may bring a ticket instead.
    """

    def __init__(self, app: App, gate: Gate, ticket: Ticket | None = None) -> None:
        self._app, self._gate, self._ticket = app, gate, ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or answer 401."""
        if scope["type"] not in _GUARDED or scope["path"] in PUBLIC or await self._admits(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # the server answers 403
            return
        await send(
            {
                "type": "http.response.start",
                "status": 401,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(_REFUSAL)).encode()),
                    (b"www-authenticate", b'Bearer realm="isocenter", Basic realm="isocenter", charset="UTF-8"'),
                    (b"cache-control", b"no-store"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": _REFUSAL})

    async def _admits(self, scope: Scope) -> bool:
        if self._gate.admits(_token(scope)):
            return True
        return scope["type"] == "websocket" and self._ticket is not None and await self._ticket(scope)


def _token(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return str(rest.strip())
            if scheme.lower() == "basic":
                return _password(rest.strip())
    return ""


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
