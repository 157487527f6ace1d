"""Which of the workers takes the next connection: the one that holds fewest, and the owner of the index before others.

The kernel wakes all of them. Whoever should not be first waits a moment, and finds the connection taken.
"""

from collections.abc import Callable

from isocenter.server.board import Board, Kind, State

_MOMENT = 0.002
"""Seconds: many times what a worker with nothing to do needs to accept."""


class Shares:
    """See `dimse.Sharing`. `preferred`: whether this worker comes first among those that hold as many connections."""

    def __init__(self, board: Board, slot: int, preferred: Callable[[], bool]) -> None:
        self._board = board
        self._slot = slot
        self._preferred = preferred
        self._own = 0

    def holds(self, connections: int) -> None:
        """Tell the others."""
        self._own = connections
        self._board.connected(self._slot, connections)

    def precedence(self) -> float:
        """A moment for the others where one of them should take the next connection."""
        others = [
            entry.connections
            for entry in self._board.entries()
            if entry.kind == Kind.DICOM and entry.state == State.READY and entry.slot != self._slot
        ]
        if not others or self._own < min(others) or (self._own == min(others) and self._preferred()):
            return 0.0
        return _MOMENT
