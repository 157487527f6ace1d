"""Makes the metadata packs of series that have settled, before anyone asks (docs/design.md section 4, series packs)."""

import time
from collections.abc import Callable

from sqlalchemy import or_, select, tuple_

from isocenter import telemetry
from isocenter.archive.packs.series import QUIET, Packs
from isocenter.config import Settings
from isocenter.errors import IsocenterError
from isocenter.index.tables import series
from isocenter.jobs import Again, Running
from isocenter.registry.watching import Watch
from isocenter.server.archive import Archive
from isocenter.server.assumed import assumed_by

log = telemetry.logger("server.packing")

KIND = "packs"
INTERVAL = 5.0
PAGE = 50
FEWEST = 8
"""Instances of a series below which a pack is not worth a file: such metadata is made as fast as it is read."""


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Packer:
    """Goes through the series in the order of their last change, always some seconds behind the present.

    Where it stands is kept in memory only: after a start it looks at what changed in the last hour. A series that
    was left out gets its pack when it is first asked for.
    """

    def __init__(self, archive: Archive, settings: Settings, clock: Callable[[], int] = now) -> None:
        self._database = archive.database
        watch = Watch(settings, archive.database)
        self._packs = Packs(
            archive.database,
            archive.store,
            workers=1,
            cache=0,
            character_set=assumed_by(watch),
        )
        self._root = f"{settings.http.public_root.rstrip('/') or 'http://localhost'}/dicom-web"
        self._clock = clock
        self._position = (clock() - 3_600_000_000, 0)

    def handle(self, running: Running) -> Again:
        """Make what is due; a handler of `jobs.Runner`."""
        while not running.cancelled():
            due = self._due()
            for series_id, changed_at in due:
                self._make(series_id)
                self._position = (changed_at, series_id)
                if running.cancelled():
                    break
            if len(due) < PAGE:
                break
        return Again(INTERVAL)

    def close(self) -> None:
        """End its processes."""
        self._packs.close()

    def _due(self) -> list[tuple[int, int]]:
        key = tuple_(series.c.changed_at, series.c.id)
        query = (
            select(series.c.id, series.c.changed_at)
            .where(
                or_(key > tuple_(*self._position)),
                series.c.changed_at <= self._clock() - QUIET,
                series.c.instances >= FEWEST,
            )
            .order_by(series.c.changed_at, series.c.id)
            .limit(PAGE)
        )
        with self._database.reading() as connection:
            return [(int(row.id), int(row.changed_at)) for row in connection.execute(query)]

    def _make(self, series_id: int) -> None:
        try:
            self._packs.make(series_id, self._root)
        except (IsocenterError, OSError):
            log.error("pack.failed", exc_info=True, series=series_id)
