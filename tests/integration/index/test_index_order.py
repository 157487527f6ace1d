"""The order of what lies below a study: by arrival, and the same in an index that was made anew."""

from pathlib import Path

from archives import made, running, series_uid, study_uid
from isocenter.archive.query import Query, find
from isocenter.database import Database
from isocenter.declarations.query_keys import Level
from isocenter.index.rebuild import rebuild

_STUDY, _SERIES, _INSTANCE = (0x0020000D,), (0x0020000E,), (0x00080018,)


def _listed(database: Database, level: Level, offset: int = 0) -> list[str]:
    returned = _SERIES if level is Level.SERIES else _INSTANCE
    named = ((_STUDY, study_uid()),)
    query = Query(level=level, access=None, keys=named, returns=(returned,), ordered=True, offset=offset, limit=2)
    return [str(row.value(returned[0])) for page in find(database, query) for row in page]


def test_a_rebuilt_index_gives_the_same_order(tmp_path: Path, any_url: str) -> None:
    arrived = [made(number, series=series) for series in (3, 1, 2) for number in (3, 1, 2)]
    with running(tmp_path, any_url) as archive:
        archive.send(*arrived)
        expected = [each.sop_uid for each in arrived]
        for _ in range(2):
            pages = [_listed(archive.database, Level.IMAGE, offset) for offset in range(0, 10, 2)]
            assert [uid for page in pages for uid in page] == expected
            listed = _listed(archive.database, Level.SERIES) + _listed(archive.database, Level.SERIES, 2)
            assert listed == [series_uid(1, series) for series in (3, 1, 2)]
            rebuild(archive.store, archive.database)
