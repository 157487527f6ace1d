"""Values that are counted or gathered when asked for: nothing of them is stored at study or patient level."""

from typing import Any

from sqlalchemy import BigInteger, Select, cast, func, select

from isocenter.declarations.query_keys import Key, Level
from isocenter.index import tables
from isocenter.index.matching_sql import Column, Dialect
from isocenter.index.matching_tables import SERIES, SERIES_BELOW, STUDY_BELOW, Frame


def counted(frame: Frame, found: Key) -> tuple[Column, str]:
    """The value of a NumberOf...Related... key (what is in force and may be seen) and the table that it needs."""
    if found.level is Level.SERIES:
        return frame.held(tables.series), SERIES
    what = found.keyword.rpartition("Related")[2]
    value: Column = {
        "Studies": func.count(STUDY_BELOW.c.id.distinct()),
        "Series": func.count(SERIES_BELOW.c.id),
        "Instances": cast(func.coalesce(func.sum(frame.held(SERIES_BELOW)), 0), BigInteger),
    }[what]
    return _below(frame, found.level, value), frame.owner(found.level)[1]


def gathered(frame: Frame, found: Key, dialect: Dialect) -> tuple[Column, str]:
    """Distinct modalities, SOP classes or stations of a study, joined (see Dialect.distinct), and the table needed."""
    column = {"SOPClassesInStudy": "sop_classes", "PerformedStationAETitle": "station_aet"}.get(
        found.keyword, "modality"
    )
    value = func.coalesce(dialect.distinct(SERIES_BELOW.c[column]), "")
    return _below(frame, Level.STUDY, value), frame.owner(Level.STUDY)[1]


def _below(frame: Frame, level: Level, value: Column) -> Column:
    query: Select[Any] = select(value).where(frame.below(level))
    sources = (SERIES_BELOW,) if level is Level.STUDY else (SERIES_BELOW, STUDY_BELOW)
    return query.select_from(*sources).correlate_except(*sources).scalar_subquery()
