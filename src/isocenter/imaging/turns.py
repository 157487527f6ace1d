"""Objects made ready before their turn, so that the pixel workers are busy while others leave."""

from collections import deque
from collections.abc import Iterator
from typing import Protocol, TypeVar

AHEAD = 4
"""Objects beyond the one that leaves that are made ready, at least, while objects have to be transcoded."""


class Prepared(Protocol):
    """An object that may leave, and what is open for it until it has."""

    @property
    def transcoded(self) -> bool:
        """The workers have its frames."""
        ...

    def close(self) -> None:
        """Let go of what is open for it."""
        ...


Ready = TypeVar("Ready", bound=Prepared)


def in_turn(objects: Iterator[Ready], ahead: int = AHEAD) -> Iterator[Ready]:
    """Each object, which stays open until the next one is asked for. While objects have to be transcoded some more are
    made ready."""
    waiting: deque[Ready] = deque()
    try:
        for one in objects:
            waiting.append(one)
            if not one.transcoded or len(waiting) > ahead:
                yield from _leaving(waiting)
        while waiting:
            yield from _leaving(waiting)
    finally:
        for one in waiting:
            one.close()


def _leaving(waiting: deque[Ready]) -> Iterator[Ready]:
    first = waiting.popleft()
    try:
        yield first
    finally:
        first.close()
