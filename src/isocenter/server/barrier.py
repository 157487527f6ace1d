"""Who reads the index sees all that was acknowledged before: it waits for the rows that are still to be filed."""

import time
from typing import Final

from isocenter import telemetry
from isocenter.server.board import Board

log = telemetry.logger("server.barrier")

PATIENCE: Final = 10.0
"""Seconds; rows that take longer are a dead process', which nobody could adopt yet, or the index is in trouble."""
_CALM: Final = 30.0
"""Seconds after such a wait in which the others don't wait as long again."""
_SHORT: Final = 0.1
_LOOK, _SLOW_LOOK, _SOON = 0.001, 0.01, 0.05
"""Seconds between two looks, at first and later on, and when later begins."""


class Barrier:
    """Waits for what the processes of `board` have acknowledged."""

    def __init__(self, board: Board, patience: float = PATIENCE) -> None:
        self._board = board
        self._patience = patience
        self._short_until = 0.0

    def wait(self) -> None:
        """Until all is filed that was acknowledged before the call. Costs a comparison where that is so already."""
        if self._board.settled():
            return
        wanted = self._board.lagging()
        self._board.hurry(wanted)
        started = time.monotonic()
        patience = _SHORT if started < self._short_until else self._patience
        while not self._board.caught_up(wanted):
            waited = time.monotonic() - started
            if waited > patience:
                self._give_up(patience)
                return
            time.sleep(_LOOK if waited < _SOON else _SLOW_LOOK)

    def _give_up(self, waited: float) -> None:
        if waited == self._patience:
            self._short_until = time.monotonic() + _CALM
            log.error("index.lags", waited=waited)
            telemetry.count("isocenter_index_lags_total")
