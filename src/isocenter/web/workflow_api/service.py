"""The workflow's resources as an ASGI application: which path and method goes to which handler.

    WorkflowApi(lane, "/api/reconciliation", {"": {"GET": listed}, "/{id}": {"GET": shown}})

A handler is a plain function; it runs in a thread. Answers are JSON, errors `application/problem+json`. What changes
something has to come as JSON by its Content-Type, which no page of another site can send unasked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from isocenter.web import media
from isocenter.web.body import Disconnected, pump
from isocenter.web.edge import answered
from isocenter.web.lanes import Lane
from isocenter.web.problem import Problem, bad_request
from isocenter.web.reply import Reply

MOST: Final = 4 << 20
"""Bytes of the largest request body."""
_JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_MOST_PARAMETERS: Final = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a handler sees it."""

    path: Mapping[str, str]
    """The named parts of the path."""
    query: Mapping[str, str]
    """The query parameters, the last of each name."""
    body: bytes
    actor: str
    """Who asks, for the audit trail."""

    def json(self) -> Any:
        """The body as JSON. Raises Problem 400."""
        try:
            return msgspec.json.decode(self.body) if self.body.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise bad_request("the body is no JSON") from fault

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Problem 400."""
        found = self.json()
        if not isinstance(found, dict):
            raise bad_request("the body is no JSON object")
        return found

    def number(self, name: str, default: int = 0) -> int:
        """A query parameter that is a whole number. Raises Problem 400."""
        text = self.query.get(name, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise bad_request(f"{name} is no number")
        return int(text) if text else default


Handler = Callable[[Asked], Reply]
Resources = Mapping[str, Mapping[str, Handler]]
"""Handlers by path, in which `{name}` is one part of it, and by method."""


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """`value` as JSON."""
    return Reply(status, {**_JSON, **(headers or {})}, msgspec.json.encode(value))


class WorkflowApi:
    """Answers below `mount`. `lane`: where handlers run; some wait for peers, so that it should be their own."""

    def __init__(self, lane: Lane, mount: str, resources: Resources) -> None:
        self._lane, self._mount = lane, mount
        self._routes = [(_pattern(path), handlers) for path, handlers in resources.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever fails becomes a problem document."""
        await answered(scope, receive, send, self._answer)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")).removeprefix(self._mount)
        for pattern, handlers in self._routes:
            if (found := pattern.match(path)) is not None:
                return await self._handled(scope, receive, method, handlers, found.groupdict())
        raise Problem(404, "no such resource")

    async def _handled(
        self, scope: Scope, receive: Receive, method: str, handlers: Mapping[str, Handler], path: dict[str, str]
    ) -> Reply:
        allowed = ", ".join([*(["HEAD"] if "GET" in handlers else []), *handlers, "OPTIONS"])
        if method == "OPTIONS":
            return Reply(204, {"Allow": allowed})
        handler = handlers.get(method)
        if handler is None:
            raise Problem(405, f"this resource takes {allowed}", {"Allow": allowed})
        body = b"" if method == "GET" else await self._body(scope, receive)
        asked = Asked(path, _query(scope), body, _actor(scope))
        return await self._lane.run(handler, asked)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        described = media.parse(Headers(scope=scope).get("content-type", ""))
        if described is None or described.name != media.PLAIN_JSON:
            raise Problem(415, f"the body has to be {media.PLAIN_JSON}")
        gathered: list[bytes] = []
        try:
            await pump(receive, self._lane, lambda pieces, _last: gathered.extend(pieces), MOST)
        except Disconnected as fault:
            raise bad_request("the body is incomplete") from fault
        return b"".join(gathered)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"/?\Z")


def _query(scope: Scope) -> dict[str, str]:
    text = scope["query_string"].decode("latin-1")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"))
    except (ValueError, UnicodeDecodeError) as fault:
        raise bad_request("the query string is too long or not UTF-8") from fault


def _actor(scope: Scope) -> str:
    """There is one token: who has it is told apart by address."""
    client = scope.get("client")
    return f"web:{client[0]}" if client else "web"
