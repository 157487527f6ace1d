"""Request bodies: inflation within bounds, and the way from the loop to a thread."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from isocenter.errors import Refused
from isocenter.web.body import Disconnected, Inflater, pump
from isocenter.web.lanes import Lane
from isocenter.web.problem import Problem

PLAIN = random.Random(1).randbytes(300_000) + bytes(3_000_000)


def inflate(data: bytes, encoding: str = "gzip", limit: int = 1 << 30, step: int = 1000) -> bytes:
    inflater = Inflater(encoding, limit)
    out = b"".join(piece for at in range(0, len(data), step) for piece in inflater.feed(data[at : at + step]))
    inflater.finish()
    return out


@pytest.mark.parametrize("step", [1 << 30, 4096, 777])
def test_inflates(step: int) -> None:
    assert inflate(gzip.compress(PLAIN), step=step) == PLAIN
    assert inflate(gzip.compress(PLAIN) + gzip.compress(b"more"), step=step) == PLAIN + b"more"
    assert inflate(zlib.compress(PLAIN), "deflate", step=step) == PLAIN


def test_a_bomb_is_refused_in_small_slices() -> None:
    bomb = gzip.compress(bytes(1 << 26))
    inflater = Inflater("gzip", 1 << 22)
    slices = []
    with pytest.raises(Refused):
        slices.extend(map(len, inflater.feed(bomb)))
    assert max(slices, default=0) <= 1 << 20


def test_damaged_and_cut_bodies_are_refused() -> None:
    data = gzip.compress(PLAIN)
    for bad in (data[: len(data) // 2], b"not gzip", data[:100] + b"\xff" * 50 + data[150:]):
        with pytest.raises(Refused):
            inflate(bad)


def receiver(*messages: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive


def chunk(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def run(*messages: dict[str, Any], limit: int = 0, fail: bool = False) -> list[tuple[int, bool]]:
    turns: list[tuple[int, bool]] = []
    lane = Lane("test", 1, 10)

    def work(chunks: list[bytes], last: bool) -> None:
        turns.append((sum(map(len, chunks)), last))
        if fail:
            raise Refused("bad-request")  # type: ignore[arg-type]

    try:
        asyncio.run(pump(receiver(*messages), lane, work, limit))
    finally:
        lane.close()
    return turns


def test_the_whole_body_arrives_and_its_end_is_told_once() -> None:
    turns = run(*[chunk(bytes(100_000)) for _ in range(50)], chunk(b"end", more=False))
    assert sum(size for size, _ in turns) == 5_000_003
    assert [last for _, last in turns] == [False] * (len(turns) - 1) + [True]
    assert max(size for size, _ in turns) <= (1 << 20) + 100_000


def test_a_small_body_takes_one_turn() -> None:
    assert run(chunk(b"abc", more=False)) == [(3, True)]


def test_limits_and_disconnections() -> None:
    with pytest.raises(Problem) as refused:
        run(*[chunk(bytes(1000)) for _ in range(20)], limit=10_000)
    assert refused.value.status == 413
    with pytest.raises(Disconnected):
        run(chunk(bytes(200_000)), {"type": "http.disconnect"})


def test_an_error_of_the_work_ends_it() -> None:
    with pytest.raises(Refused):
        run(*[chunk(bytes(200_000)) for _ in range(5)], chunk(b"", more=False), fail=True)
