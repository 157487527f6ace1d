"""The edge of a request, the same for every service under HTTP: what a handler raises becomes a problem document."""

import time
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import Message, Receive, Scope, Send

from isocenter import telemetry
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.web.problem import Problem, problem_of
from isocenter.web.reply import Reply, problem_reply, send_reply

log = telemetry.logger("web")

Answer = Callable[[Scope, Receive, str], Awaitable[Reply]]
"""(scope, receive, method) -> the reply; HEAD comes as GET."""


async def answered(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    """Answer one HTTP request, or the start and end of the application's life."""
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
        reply = await answer(scope, receive, "GET" if head else method)
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


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
