"""Where blocking work runs: threads, a pool a class of work, with a bounded queue before each.

A full queue answers 503 at once instead of letting requests pile up (I-WEB-01).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from isocenter import telemetry
from isocenter.errors import Reason, Retriable

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """`threads` workers for one class of work and room for `waiting` more requests."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name = name
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"web-{name}")
        self._all = self._room = threads + waiting

    @property
    def busy(self) -> int:
        """Pieces of work that run or wait."""
        return self._all - self._room

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args)` in a thread. Raises Retriable where too much waits already."""
        if self._room <= 0:
            telemetry.count("isocenter_web_refused_total", lane=self.name)
            raise Retriable(Reason.OUT_OF_RESOURCES, f"too many requests of this kind ({self.name})")
        self._room -= 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))
        finally:
            self._room += 1

    def close(self) -> None:
        """Take no more work and wait for what runs."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Lanes:
    """The classes of work of one web process."""

    def __init__(self, query: int = 4, ingest: int = 8, retrieve: int = 4, waiting: int = 256, render: int = 4) -> None:
        self.query = Lane("query", query, waiting)
        self.ingest = Lane("ingest", ingest, waiting)
        self.retrieve = Lane("retrieve", retrieve, waiting)
        self.render = Lane("render", render, waiting)
        self.events = Lane("events", 1, max(waiting, 1) * 8)
        """What event channels read: each has at most one piece of work here."""
        self.finishers = ThreadPoolExecutor(6 * ingest, thread_name_prefix="web-finish")
        """Where parts of a STOW request are stored while the next ones arrive. Nothing there waits for a lane."""

    def close(self) -> None:
        """Close them all."""
        for lane in (self.query, self.ingest, self.retrieve, self.render, self.events):
            lane.close()
        self.finishers.shutdown(wait=True)
