"""The pixel workers of this process: frames go in, frames come out, within bounds.

They are started when the first frame comes, are no more than `limit`, and go when nothing came for a while. A frame
that crashes a codec or makes it hang costs its request a clear error and the process, which is replaced.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

import msgspec

from isocenter.config.imaging import Imaging
from isocenter.errors import Reason, Refused
from isocenter.imaging.near import Near
from isocenter.imaging.pixels import Pixels
from isocenter.imaging.recode import Outcome, Recode, packed, unpacked
from isocenter.imaging.rendering.request import Draw, Drawn, Request, ordered
from isocenter.imaging.stored import Stored
from isocenter.workers import Pool, WorkerLate, WorkerLost
from isocenter.workers.channel import Buffer

_Answer = TypeVar("_Answer")
_START: Final = 15.0
"""Seconds more for an answer, since the process may have to start first."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one frame may cost."""

    frame: int = 1 << 29
    """Bytes of a decoded frame: the pixel budget."""
    memory: int = 3 << 30
    """Bytes of address space that a worker may take beyond what it starts with."""
    patience: float = 60.0
    """Seconds for one frame."""


class Recoded(NamedTuple):
    """A frame as it was asked for; `pixels` describes its decoded form."""

    pixels: Pixels
    data: Buffer


class Engine:
    """The workers. All methods may be called by several threads at once."""

    def __init__(self, bounds: Bounds | None = None, limit: int | None = None) -> None:
        """`limit`: most processes; None: as many as there are processors."""
        self.bounds = bounds or Bounds()
        self._near = Near()
        self._pool = Pool(
            "isocenter.imaging.work",
            str(self.bounds.memory),
            str(self.bounds.patience + _START),
            limit=limit or len(os.sched_getaffinity(0)),
            patience=self.bounds.patience + _START,
            most=4 * self.bounds.frame + (1 << 20),
            environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        )

    @property
    def limit(self) -> int:
        """Most processes."""
        return self._pool.limit

    def expect(self) -> None:
        """Have a process ready soon: a picture will be asked for. Returns at once."""
        self._pool.warm_soon(1)

    def check(self, pixels: Pixels) -> None:
        """Raises Refused(TOO_LARGE) for frames beyond the pixel budget."""
        if pixels.decoded_bytes > self.bounds.frame:
            raise Refused(Reason.TOO_LARGE, "the frames are larger than may be decoded")

    def recoded(self, request: Recode, frame: Buffer | Stored) -> Recoded:
        """One frame recoded. Raises Refused: CANNOT_UNDERSTAND for a damaged one, TOO_LARGE, NOT_ACCEPTABLE,
        PROCESSING_FAILURE where it brought the codec down; Retriable where no process can be had."""
        return self._result(self.begun(request, frame))

    def begun(self, request: Recode, frame: Buffer | Stored) -> "Future[bytearray]":
        """Begin a frame; `finished` waits for it."""
        self.check(request.pixels)
        self._bound(frame)
        if isinstance(frame, Stored):
            return self._pool.submit(*packed(request._replace(stored=frame)))
        return self._pool.submit(*packed(request, frame))

    def finished(self, begun: "Future[bytearray]") -> Recoded:
        """The outcome of a frame. Raises as `recoded`."""
        return self._result(begun)

    def drawn(self, request: Request, data: Buffer | Stored = b"") -> tuple[Drawn, memoryview]:
        """A picture of the frame or the frames in `data`, and its bytes. Raises as `recoded`, and BAD_REQUEST for a
        picture that can't be."""
        here = self._near.drawn(request, data)
        if here is not None:
            return here
        parts = self._drawing(request, data)
        there = self._picture(lambda: self._pool.ask(*parts))
        self._near.expect(request)
        return there

    def begun_picture(self, request: Request, data: Buffer | Stored = b"") -> "Future[bytearray]":
        """Begin a picture; `finished_picture` waits for it."""
        return self._pool.submit(*self._drawing(request, data))

    def finished_picture(self, begun: "Future[bytearray]") -> tuple[Drawn, memoryview]:
        """What was drawn and its bytes. Raises as `drawn`."""
        return self._picture(begun.result)

    def _drawing(self, request: Request, data: Buffer | Stored) -> tuple[bytes, Buffer]:
        if isinstance(request, Draw):
            self.check(request.pixels)
        self._bound(data)
        if isinstance(data, Stored):
            return packed(ordered(request, data))
        return packed(ordered(request), data)

    def _bound(self, data: Buffer | Stored) -> None:
        if (data.length if isinstance(data, Stored) else len(data)) > 4 * self.bounds.frame:
            raise Refused(Reason.TOO_LARGE, "the frames are larger than may be decoded")

    def _picture(self, answer: Callable[[], bytearray]) -> tuple[Drawn, memoryview]:
        drawn, data = self._answer(answer, Drawn)
        if not drawn.media_type:
            raise Refused(drawn.reason or Reason.PROCESSING_FAILURE, drawn.comment)
        return drawn, data

    def all_recoded(self, request: Recode, frames: Iterable[Buffer | Stored]) -> "Ahead":
        """Each frame recoded, in order, all workers busy. Raises as `recoded`."""
        return Ahead(self, request, frames)

    def _result(self, begun: "Future[bytearray]") -> Recoded:
        outcome, data = self._answer(begun.result, Outcome)
        if outcome.pixels is None:
            raise Refused(outcome.reason or Reason.PROCESSING_FAILURE, outcome.comment)
        return Recoded(outcome.pixels, data)

    def _answer(self, answer: Callable[[], bytearray], kind: type[_Answer]) -> tuple[_Answer, memoryview]:
        try:
            return unpacked(answer(), kind)
        except WorkerLate as late:
            raise Refused(Reason.PROCESSING_FAILURE, "the frame took too long to decode") from late
        except WorkerLost as lost:
            if lost.status is None:
                raise
            raise Refused(Reason.PROCESSING_FAILURE, "the frame brought its decoder down") from lost
        except (msgspec.MsgspecError, ValueError) as garbled:
            raise Refused(Reason.PROCESSING_FAILURE, "the decoder gave no sensible answer") from garbled

    def close(self) -> None:
        """End the workers that are idle, and the others as they come back."""
        self._pool.close()


class Ahead:
    """Frames on their way through the workers, in order. The first are under way when it is made; no more are taken
    than keep the workers busy. Close it when not all are wanted."""

    def __init__(self, engine: Engine, request: Recode, frames: Iterable[Buffer | Stored]) -> None:
        self._engine, self._request, self._frames = engine, request, iter(frames)
        self._waiting: deque[Future[bytearray]] = deque()
        self._fill()

    def _fill(self) -> None:
        while len(self._waiting) <= self._engine.limit:
            frame = next(self._frames, None)
            if frame is None:
                return
            self._waiting.append(self._engine.begun(self._request, frame))

    def __iter__(self) -> Iterator[Recoded]:
        while self._waiting:
            found = self._engine.finished(self._waiting.popleft())
            self._fill()
            yield found

    def close(self) -> None:
        """Give up those that have not begun."""
        while self._waiting:
            self._waiting.popleft().cancel()


@lru_cache(maxsize=8)
def engine_with(bounds: Bounds, limit: int) -> Engine:
    """The engine of this process with these bounds, one for all who ask. `limit` 0: a worker a processor."""
    return Engine(bounds, limit or None)


def engine_of(imaging: Imaging) -> Engine:
    """The engine of this process that is configured so."""
    return engine_with(Bounds(imaging.frame, imaging.memory, imaging.patience), imaging.workers)
