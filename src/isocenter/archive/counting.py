"""How many match a search, remembered while nothing changes: who leafs through a list is told the number of its rows
with every page, and counting them all takes far longer than a page.

Only on SQLite, whose one writer appends to the change feed in the order of its commits: as long as the feed ends where
it did, nothing has come, gone or been edited.
"""

from dataclasses import replace
from typing import Final

from isocenter.archive import query as archive_query
from isocenter.archive.query import Query
from isocenter.database import Database, changes
from isocenter.database.changes import Position

_MOST: Final = 256
"""Searches whose counts are remembered."""


class Counts:
    """The counts of one process. For several threads at once."""

    def __init__(self) -> None:
        self._known: dict[Query, tuple[Position, int]] = {}

    def count(self, database: Database, query: Query, cap: int) -> int:
        """As `query.count`."""
        if database.dialect != "sqlite" or _is_filled_in(query):
            return archive_query.count(database, query, cap)
        asked = replace(query, returns=(), ordered=False, offset=0, limit=None)
        with database.reading() as connection:
            end = changes.end(connection)
        known = self._known.get(asked)
        if known is not None and known[0] == end:
            return known[1]
        # what changes meanwhile may be counted already; the feed then ends elsewhere, and it is counted again
        found = archive_query.count(database, query, cap)
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[asked] = (end, found)
        return found


def _is_filled_in(query: Query) -> bool:
    """Whether it asks for an attribute that is read from what was stored before, by and by and without a change."""
    later = {key.path for key in query.more}
    return any(path in later for path, _ in query.keys)
