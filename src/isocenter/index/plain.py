"""The common arrival: a new object of a series that is known, of which nothing has to be supplemented.

It is told by what is remembered of its series and by whether the database knows its UID; its rows are the same as any
other's (`index.filing`), with less around them. Whatever is the least unusual is left to the others.

On SQLite one statement asks and writes all three rows: an insertion into a view of the connection's own, behind which a
trigger does the rest. Each statement gives the interpreter lock away and has to get it back from the threads of the
other associations, while all of them wait for this transaction.
"""

import sqlite3

from isocenter.index.places import Places, SeriesPlace
from isocenter.index.records import Arrival, Outcome, Verdict
from isocenter.index.rows import INSTANCE_COLUMNS, instance_row
from isocenter.index.sessions import SqliteSession

_COLUMNS = (*INSTANCE_COLUMNS, "study_uid", "series_uid", "at")
_STORED = Outcome(Verdict.STORED)


def _names(before: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f'{before}"{column}"' for column in columns)


_OWN = (_names("", INSTANCE_COLUMNS), _names("NEW.", INSTANCE_COLUMNS))
_VIEW = f"CREATE TEMP VIEW plain AS SELECT {_names('NULL AS ', _COLUMNS)}"
_TRIGGER = f"""CREATE TEMP TRIGGER plain_filed INSTEAD OF INSERT ON plain BEGIN
INSERT INTO instance ({_OWN[0]}) VALUES ({_OWN[1]});
INSERT INTO change (kind, study_uid, series_uid, sop_uid, store_key, at)
VALUES ('stored', NEW.study_uid, NEW.series_uid, NEW.sop_uid, NEW.store_key, NEW.at);
UPDATE series SET instances = instances + 1, bytes = bytes + NEW.size, revision = revision + 1, changed_at = NEW.at
WHERE id = NEW.series;
END"""  # noqa: S608
_FILE = (
    f"INSERT INTO plain ({_names('', _COLUMNS)}) SELECT {', '.join('?' * len(_COLUMNS))} "  # noqa: S608
    "WHERE NOT EXISTS (SELECT 1 FROM instance WHERE sop_uid = ?) "
    "AND NOT EXISTS (SELECT 1 FROM removal WHERE store_key = ?)"
)


class PlainFiling:
    """Files such arrivals over one session, inside its transaction."""

    def __init__(self, session: SqliteSession, places: Places) -> None:
        self._session, self._places = session, places
        session.prepare((_VIEW, _TRIGGER))

    def file(self, a: Arrival, now: int) -> Outcome | None:
        """File `a`, if it is so; None where it is not, and nothing was done. `now` in microseconds UTC."""
        place = self._places.known(a)
        if place is None or not _is_plain(a, place):
            return None
        row = (*instance_row(a, place), a.study_uid, a.series_uid, now, a.sop_uid, a.store_key)
        try:
            return _STORED if self._session.run_through(_FILE, row) else None
        except sqlite3.IntegrityError:  # the long way finds out, and says so
            return None


def _is_plain(a: Arrival, place: SeriesPlace) -> bool:
    study = place.study
    return (
        study.patient.last == (a.patient, a.patient_ids)
        and study.study.last == (a.study, a.accessions)
        and place.level.last == a.series
        and study.identity == a.patient["identity"]
        and study.uid == a.study_uid
        and a.sop_class in place.sop_classes
        and not (place.named or place.elsewhere or a.flags or a.rejection or a.compressed)
        and not (a.attributes and a.attributes[-1][0] == "I")
    )
