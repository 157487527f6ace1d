"""The end of a server (PS3.4 CC.2.4, SCP Status Change): subscribers hear of it before it is gone, if they can be told
soon. Those who can't are not waited for."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.errors import IsocenterError
from isocenter.workflow.workitems.entries import Notify, Workitems

log = telemetry.logger("workflow.workitems")

_LOOK: Final = 0.05
"""Seconds between two looks at what still waits."""


class Parting:
    """Tells them at once, over whatever carries out jobs meanwhile; `await_told` waits until `seconds` after that."""

    def __init__(self, worklist: Workitems, notify: Notify, seconds: float, wake: Callable[[], None]) -> None:
        self._worklist, self._end = worklist, time.monotonic() + seconds
        self._told: frozenset[str] = frozenset()
        if seconds <= 0:
            return
        try:
            with worklist.database.writing() as connection:
                self._told = worklist.going_down(connection, notify)
        except (SQLAlchemyError, IsocenterError) as fault:
            log.warning("workitem.parting.untold", fault=type(fault).__name__)
        wake()

    def await_told(self) -> None:
        """Wait until all are told over DIMSE who can be reached."""
        try:
            while self._told and self._waits() and time.monotonic() < self._end:
                time.sleep(_LOOK)
        except (SQLAlchemyError, IsocenterError) as fault:
            log.warning("workitem.parting.unknown", fault=type(fault).__name__)

    def _waits(self) -> bool:
        with self._worklist.database.reading() as connection:
            return self._worklist.events.hopeful(connection, self._told)
