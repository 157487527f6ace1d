"""On PostgreSQL an object may come through a process that has not heard yet of a note that names it: found here."""

from typing import Final

from sqlalchemy import text

from isocenter.database import Database, changes
from isocenter.index.rejecting import RECOUNT

_HIDE: Final = text(
    "WITH latest AS (SELECT DISTINCT ON (series_uid, sop_uid) series_uid, sop_uid, title FROM rejection "
    "WHERE revoked = 0 ORDER BY series_uid, sop_uid, at DESC, id DESC) "
    "UPDATE instance i SET rejected = l.title FROM latest l, series e, study s WHERE e.id = i.series "
    "AND s.id = i.study AND e.series_uid = l.series_uid AND i.sop_uid = l.sop_uid AND i.rejected = 0 "
    "RETURNING i.series, s.study_uid, e.series_uid, i.sop_uid, i.store_key"
)
_SEEN: Final = text("UPDATE rejection SET seen = 1 WHERE series_uid = :series_uid AND sop_uid = :sop_uid")
_COUNT: Final = text(RECOUNT.replace("?", ":at", 1).replace("?", ":series", 1))


def hide_late(database: Database, at: int) -> int:
    """Reject the instances in force that notes name; how many. On SQLite there are none: one process files."""
    if database.dialect == "sqlite":
        return 0
    with database.writing() as connection:
        rows = connection.execute(_HIDE).all()
        for series in sorted({row.series for row in rows}):
            connection.execute(_COUNT, {"at": at, "series": series})
        for row in rows:
            connection.execute(_SEEN, {"series_uid": row.series_uid, "sop_uid": row.sop_uid})
            changes.append(
                connection, "rejected", at, study_uid=row.study_uid, series_uid=row.series_uid, sop_uid=row.sop_uid,
                store_key=row.store_key,
            )  # fmt: skip
    return len(rows)
