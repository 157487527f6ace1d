"""What a viewer asks for first, asked once before anybody does: libraries load their parts, and statements are
compiled, when these are first used, which would make the first client of a server wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Message, Receive, Scope

from isocenter import telemetry
from isocenter.web.problem import Problem
from isocenter.web.reply import Reply

log = telemetry.logger("web")

_NOBODY: Final = "0.0"
"""A UID that no object has: it begins with the root of ITU-T recommendations and ends there."""
# searches for series are left out: they have workers started that pack metadata, in the way of the pixel worker
_ASKED: Final = (
    ("/studies", f"StudyInstanceUID={_NOBODY}&limit=1"),
    ("/studies", f"PatientID={_NOBODY}&PatientName={_NOBODY}*&StudyDate=19000101-19000102"),
    (f"/studies/{_NOBODY}/series/{_NOBODY}/metadata", ""),
    (f"/studies/{_NOBODY}/series/{_NOBODY}/instances/{_NOBODY}/rendered", ""),
)
_PATIENCE: Final = 5.0
"""Seconds after which a server serves as it is."""

Answer = Callable[[Scope, Receive, str], Awaitable[Reply]]


async def warm(answer: Answer, worker: Callable[[], Awaitable[object]]) -> None:
    """Have `answer` answer what nobody hears, and wait for a pixel worker, which `worker` asks for something. Never
    raises: it is about time alone, and what is wrong will show in the first request that counts."""
    try:
        async with asyncio.timeout(_PATIENCE):
            for path, query in _ASKED:
                await _asked(answer, path, query)
            await worker()
    except Exception as fault:
        log.warning("web.not-warm", fault=type(fault).__name__)


async def _asked(answer: Answer, path: str, query: str) -> None:
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": query.encode("ascii"),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    try:
        await answer(scope, _silent, "GET")
    except Problem as problem:
        if problem.status != 404:
            raise


async def _silent() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
