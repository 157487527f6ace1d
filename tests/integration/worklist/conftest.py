"""A worklist on each database, made once and empty for each test."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from databases import cluster, migrated
from isocenter import database
from isocenter.database.tables import change
from isocenter.workflow.worklist.tables import worklist_item, worklist_station


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Database]:
    """Each database in turn."""
    if request.param == "sqlite":
        url = migrated(tmp_path_factory.mktemp("worklist"))
    else:
        url = cluster().create()
        database.migrate(url)
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
