"""`/health/live`, `/health/ready`, `/metrics`: for load balancers and monitoring."""

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from isocenter import telemetry
from isocenter.database import Database
from isocenter.database.tables import archive
from isocenter.server import metrics
from isocenter.server.board import Kind
from isocenter.server.supervisor import Worker
from isocenter.store.api import Store

log = telemetry.logger("server.health")

Endpoint = Callable[[Request], Awaitable[Response]]
_NO_STORE = {"Cache-Control": "no-store"}


async def live(request: Request) -> Response:
    """This process answers."""
    return JSONResponse({"status": "live"}, headers=_NO_STORE)


def ready(worker: Worker, wanted: Mapping[Kind, int], database: Database, store: Store, floor: int) -> Endpoint:
    """All kinds of worker serve, the index answers, the store has room."""

    def look() -> dict[str, bool]:
        return {
            "processes": worker.board.ready(dict.fromkeys(wanted, 1)),
            "database": _answers(database),
            "storage": store.free_bytes() > floor,
        }

    async def endpoint(request: Request) -> Response:
        checks = await run_in_threadpool(look)
        good = all(checks.values())
        content = {"status": "ready" if good else "not ready", "checks": checks}
        return JSONResponse(content, 200 if good else 503, headers=_NO_STORE)

    return endpoint


def _answers(database: Database) -> bool:
    try:
        with database.reading() as connection:
            connection.execute(select(archive.c.name).limit(1)).all()
    except Exception:
        log.error("database.unreachable", exc_info=True)
        return False
    return True


def prometheus(worker: Worker, store: Store) -> Endpoint:
    """The numbers of all processes."""

    def gather() -> str:
        telemetry.gauge("isocenter_store_free_bytes", store.free_bytes())
        return metrics.text(metrics.collect(worker.folder, worker.board), worker.board)

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(await run_in_threadpool(gather), headers={"Content-Type": metrics.CONTENT_TYPE})

    return endpoint
