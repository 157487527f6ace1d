"""What is asked before anybody asks."""

import asyncio
from typing import Any

from isocenter.web.dicomweb.warming import warm
from isocenter.web.problem import Problem
from isocenter.web.reply import Reply


def test_searches_metadata_and_a_picture_are_asked_for() -> None:
    asked: list[str] = []

    async def answer(scope: Any, receive: Any, method: str) -> Reply:
        asked.append(f"{method} {scope['path']}")
        await receive()
        raise Problem(404, "no such study")

    asyncio.run(warm(answer))
    assert {line.split("/")[-1] for line in asked} == {"studies", "series", "instances", "metadata", "rendered"}


def test_what_fails_keeps_no_server_from_serving(caplog: Any) -> None:
    async def answer(scope: Any, receive: Any, method: str) -> Reply:
        raise RuntimeError("the database is away")

    asyncio.run(warm(answer))
    assert [record.getMessage() for record in caplog.records] == ["web.not-warm"]
