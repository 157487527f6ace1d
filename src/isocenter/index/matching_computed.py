"""Values that are counted or gathered when asked for: nothing of them is stored at study or patient level."""

from typing import Any

from sqlalchemy import Select, func, select

from isocenter.declarations.query_keys import Key, Level
from isocenter.index import tables
from isocenter.index.matching_sql import Column, Dialect
from isocenter.index.matching_tables import SERIES, SERIES_BELOW, STUDY_BELOW, Frame


def counted(frame: Frame, found: Key) -> tuple[Column, str]:
    """The value of a NumberOf...Related... key (what is in force and may be seen) and the table that it needs."""
    if found.level is Level.SERIES:
        return tables.series.c.instances, SERIES
    what = found.keyword.rpartition("Related")[2]
    value: Column = {
        "Studies": func.count(STUDY_BELOW.c.id.distinct()),
        "Series": func.count(SERIES_BELOW.c.id),
        "Instances": func.coalesce(func.sum(SERIES_BELOW.c.instances), 0),
    }[what]
    return _below(frame, found.level, value), frame.owner(found.level)[1]


def gathered(frame: Frame, found: Key, dialect: Dialect) -> tuple[Column, str]:
    """The distinct modalities or SOP classes of a study, joined (see Dialect.distinct), and the table needed."""
    column = "sop_classes" if found.keyword == "SOPClassesInStudy" else "modality"
    value = func.coalesce(dialect.distinct(SERIES_BELOW.c[column]), "")
    return _below(frame, Level.STUDY, value), frame.owner(Level.STUDY)[1]


def _below(frame: Frame, level: Level, value: Column) -> Column:
    query: Select[Any] = select(value).where(frame.below(level))
    sources = (SERIES_BELOW,) if level is Level.STUDY else (SERIES_BELOW, STUDY_BELOW)
    return query.select_from(*sources).correlate_except(*sources).scalar_subquery()
