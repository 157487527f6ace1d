"""A worklist on each database, made once and empty for each test."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from sqlalchemy import delete

from databases import migrated, migrated_postgresql, postgresql_url
from isocenter import database
from isocenter.database.tables import change
from isocenter.workflow.worklist.tables import worklist_item, worklist_station

__all__ = ["postgresql_url"]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Database]:
    """Each database in turn."""
    sqlite = request.param == "sqlite"
    with nullcontext(migrated(tmp_path_factory.mktemp("worklist"))) if sqlite else migrated_postgresql() as url:
        found = database.open(url)
        yield found
        found.close()


@pytest.fixture
def emptied(opened: database.Database) -> database.Database:
    """The same, without an entry and without a change."""
    with opened.writing() as connection:
        for table in (worklist_station, worklist_item, change):
            connection.execute(delete(table))
    return opened
