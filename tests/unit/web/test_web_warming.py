"""What is asked before anybody asks."""

import asyncio
from typing import Any

from isocenter.web.dicomweb.warming import warm
from isocenter.web.problem import Problem
from isocenter.web.reply import Reply


def test_studies_metadata_and_a_picture_are_asked_for() -> None:
    asked: list[str] = []

    async def answer(scope: Any, receive: Any, method: str) -> Reply:
        asked.append(f"{method} {scope['path']}")
        await receive()
        raise Problem(404, "no such study")

    async def worker() -> None:
        asked.append("a worker")

    asyncio.run(warm(answer, worker))
    assert asked.pop() == "a worker"
    assert {line.split("/")[-1] for line in asked} == {"studies", "metadata", "rendered"}


def test_what_fails_keeps_no_server_from_serving(caplog: Any) -> None:
    async def answer(scope: Any, receive: Any, method: str) -> Reply:
        raise RuntimeError("the database is away")

    async def worker() -> None:
        raise AssertionError("there was a fault before")

    asyncio.run(warm(answer, worker))
    assert [record.getMessage() for record in caplog.records] == ["web.not-warm"]
