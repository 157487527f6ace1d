"""The roster as a running process sees it: looked at again when it is asked for, and then at most so often."""

import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from isocenter import telemetry
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.registry.roster import Roster, Stored, merged
from isocenter.registry.stored import read, version

log = telemetry.logger("registry")

INTERVAL = 0.5
"""Seconds that a roster holds without a look at the version in the database."""


class Watch:
    """The settings' and those in `database`. From any thread; one at a time looks, the others go on with what is known.

    While the database can't be read, what was known holds.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database = settings, database
        self._interval, self._clock = interval, clock
        self._lock = threading.Lock()
        self._roster = merged(settings, Stored(-1))
        self._failed = False
        self._looked = self._clock()
        self._look()

    def now(self, *, fresh: bool = False) -> Roster:
        """See `roster.Directory`. No connection to the database is held on return."""
        asked = self._clock()
        if (fresh or asked - self._looked >= self._interval) and self._lock.acquire(blocking=fresh):
            try:
                if self._looked < asked:
                    self._looked = self._clock()  # before the look: what is committed meanwhile may have been missed
                    self._look()
            finally:
                self._lock.release()
        return self._roster

    def _look(self) -> None:
        try:
            with self._database.reading(lagging=True) as connection:
                current = version(connection) == self._roster.version
            if not current:
                self._read()
        except SQLAlchemyError as error:
            if not self._failed:
                log.error("registry.unread", kind=type(error).__name__)
            self._failed = True
        else:
            self._failed = False

    def _read(self) -> None:
        with self._database.reading(snapshot=True) as connection:
            stored = read(connection)
        self._roster = roster = merged(self._settings, stored)
        aes, peers = len(roster.settings.aes), len(roster.settings.peers)
        log.info("registry.read", version=roster.version, aes=aes, peers=peers)
        for note in roster.notes:
            log.warning("registry.passed-over", entry=note.row.kind, title=note.row.title, comment=note.comment)
